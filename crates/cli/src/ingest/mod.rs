//! A directory tree's file metadata in the realm, kept as the tree is.
//!
//! [`walk`] gives the tree and [`kept`] what the realm has of it, both in key order; [`diff`] merges
//! them; [`send`] takes what differs to tagger and `sys`. [`watch`] says which parts to do again.

mod diff;
mod kept;
mod name;
mod send;
mod summary;
mod walk;
mod watch;

pub(crate) use name::Prefix;
pub(crate) use send::TAGGER;
pub(crate) use summary::Summary;
pub(crate) use watch::{Touched, Watch};

use crate::{context::Remote, output::Output};
use althing_protocol::{Error, Result};
use diff::{Change, Diff, Kept};
use futures::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use send::{Batch, Done, Sender};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use walk::{Problem, Walk};
use watch::Reach;

/// What to ingest, and how.
#[derive(Debug)]
pub(crate) struct Options {
    /// Absolute, without symlinks.
    pub root: PathBuf,
    pub prefix: Prefix,
    /// Left out: the data of a node on this machine.
    pub without: Option<PathBuf>,
    /// Tagger gets its batches.
    pub tags: bool,
    /// Tagger gets all files, also those that did not change.
    pub retag: bool,
    pub dry_run: bool,
    /// Name every change.
    pub list: bool,
}

/// An ingest under way.
pub(crate) struct Ingest {
    options: Options,
    remote: Arc<Remote>,
    sender: Sender,
    out: Output,
    bar: ProgressBar,
}

impl Ingest {
    pub(crate) fn new(options: Options, remote: Arc<Remote>, out: Output) -> Self {
        let sender = Sender::new(Arc::clone(&remote), options.tags);
        // indicatif hides a bar by itself where stderr is no terminal.
        let bar = if out.json() { ProgressBar::hidden() } else { bar() };
        Self { options, remote, sender, out, bar }
    }

    /// Makes the realm's records those of the whole tree.
    pub(crate) async fn everything(&mut self) -> Result<Summary> {
        let mut summary = self.summary();
        let start = Instant::now();
        // After an error the comparison below finds what was not done.
        self.sender.forget();
        self.bar.reset();
        self.bar.enable_steady_tick(Duration::from_millis(200));
        let root = self.options.root.clone();
        let result = self.path(&root, Reach::Below, &mut summary).await;
        let result = match result {
            Ok(()) => self.settle_all(&mut summary).await,
            refused => refused,
        };
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        summary.took(start.elapsed());
        result.map(|()| summary)
    }

    /// Does what was touched once more.
    pub(crate) async fn touched(&mut self, touched: Touched) -> Result<Summary> {
        let Touched::Paths(paths) = touched else { return self.everything().await };
        let mut summary = self.summary();
        let start = Instant::now();
        for (path, reach) in paths {
            self.path(&path, reach, &mut summary).await?;
        }
        self.settle(&mut summary).await?;
        summary.took(start.elapsed());
        Ok(summary)
    }

    fn summary(&self) -> Summary {
        Summary {
            root: name::path(&self.options.root),
            prefix: self.options.prefix.to_string(),
            dry_run: self.options.dry_run,
            tagged: self.options.tags,
            ..Summary::default()
        }
    }

    /// Compares what is at `path` with what the realm has of it, and sends what differs.
    async fn path(&mut self, path: &Path, reach: Reach, summary: &mut Summary) -> Result<()> {
        self.check_root()?;
        let prefix = self.options.prefix.clone();
        // A file or a directory: one of the two keys at most is right.
        let (file, directory) = (prefix.key(path, false), prefix.key(path, true));
        let remote = Arc::clone(&self.remote);
        let at_file = kept::at(&remote, file);
        let depth_max = if reach == Reach::Below { usize::MAX } else { 0 };
        let walk = Walk::new(prefix, path, depth_max, self.options.without.clone());
        // What is gone or no directory any more leaves nothing below it, whatever was touched.
        if reach == Reach::Below || !path.is_dir() {
            self.compare(walk, at_file.chain(kept::below(&remote, &directory)), summary).await
        } else {
            self.compare(walk, at_file.chain(kept::at(&remote, directory)), summary).await
        }
    }

    /// A tree that is not there, as when a disk is not mounted, is no reason to delete its records.
    fn check_root(&self) -> Result<()> {
        let root = &self.options.root;
        if root.is_dir() {
            return Ok(());
        }
        Err(Error::not_found(format!(
            "{}: is no directory any more; nothing of it was deleted from the realm",
            root.display()
        )))
    }

    async fn compare(
        &mut self,
        walk: Walk,
        kept: impl Stream<Item = Result<Kept>>,
        summary: &mut Summary,
    ) -> Result<()> {
        let mut diff = Diff::new(walk.stream(), kept);
        let mut batch = Batch::default();
        while let Some(change) = diff.next().await? {
            summary.count(&change);
            self.tell(&change)?;
            self.bar.set_position(summary.scanned);
            if self.options.dry_run {
                continue;
            }
            match change {
                Change::Added(record) | Change::Changed(record) => batch.put(record),
                Change::Unchanged(record) if self.options.tags && self.options.retag => {
                    batch.tag(record)
                }
                Change::Deleted(key) => {
                    let path = self.options.prefix.path_of(&key);
                    batch.delete(key, path);
                }
                Change::Unchanged(_) | Change::Withheld | Change::Problem(_) => {}
            }
            if batch.is_full() {
                let done = self.sender.send(std::mem::take(&mut batch)).await?;
                self.untagged(done, summary)?;
            }
        }
        let done = self.sender.send(batch).await?;
        self.untagged(done, summary)
    }

    async fn settle_all(&mut self, summary: &mut Summary) -> Result<()> {
        self.settle(summary).await?;
        let Options { tags, retag, dry_run, .. } = self.options;
        if tags && retag && !dry_run { self.sender.settle_rules().await } else { Ok(()) }
    }

    async fn settle(&mut self, summary: &mut Summary) -> Result<()> {
        let done = self.sender.settle().await?;
        self.untagged(done, summary)
    }

    /// Counts and names what tagger did not take.
    fn untagged(&self, done: Done, summary: &mut Summary) -> Result<()> {
        for path in done.untagged {
            let reason = "not tagged: its path is too long for tagger".to_owned();
            let problem = Change::Problem(Problem { path, reason });
            summary.count(&problem);
            self.tell(&problem)?;
        }
        Ok(())
    }

    /// Problems are always named, changes when asked for.
    fn tell(&self, change: &Change) -> Result<()> {
        let line = match change {
            Change::Problem(problem) => {
                if !self.out.json() {
                    self.bar.suspend(|| eprintln!("skipped {}: {}", problem.path, problem.reason));
                }
                return Ok(());
            }
            _ if !self.options.list || self.out.json() => return Ok(()),
            Change::Added(record) => format!("+ {}", record.file.path),
            Change::Changed(record) => format!("~ {}", record.file.path),
            Change::Deleted(key) => format!("- {}", self.options.prefix.path_of(key)),
            Change::Unchanged(_) | Change::Withheld => return Ok(()),
        };
        // A closed pipe ends the listing, not the ingest.
        let _ = self.bar.suspend(|| self.out.say(line));
        Ok(())
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {human_pos} files  {per_sec}  {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}
