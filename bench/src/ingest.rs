//! (e) The metadata of a tree of files, as `althing ingest` puts it: to `sys`, and to tagger.

use crate::{
    Bench,
    node::Node,
    say,
    table::{Row, rate, thousands},
};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

const FILES: u64 = 100_000;
const FILES_PER_DIRECTORY: u64 = 100;
const ENDINGS: [&str; 4] = ["txt", "jpg", "toml", "log"];
const RULES: [&str; 2] = [
    r#"{"tag":"picture","rule":{"extensions":["jpg","png"]}}"#,
    r#"{"tag":"text","rule":{"globs":["*.txt","*.log"]}}"#,
];

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let files = bench.count(FILES, 100);
    say(format_args!("e: ingest of {} files", thousands(files)));
    let tree = bench.place("tree");
    grow(&tree, files)?;
    let node = bench.runtime.block_on(async {
        let node = Node::start(&bench.althing, &bench.place("ingest"), &[]).await?;
        node.deploy(&bench.guest("tagger"))?;
        for rule in RULES {
            node.althing(&["call", "tagger", "set_rule", rule])?;
        }
        anyhow::Ok(node)
    })?;
    let tree = tree.to_str().context("a path that is no text")?;
    let first = ingest(&node, tree)?;
    let second = ingest(&node, tree)?;
    node.process.stop()?;
    for (what, took) in [("first run", first), ("second run, nothing changed", second)] {
        let per_second = files as f64 / took.as_secs_f64();
        let what = format!("ingest of {} files with tags, {what}", thousands(files));
        bench.table.add(
            Row::new('e', what, format!("{:.2} s", took.as_secs_f64())).goes(rate(per_second)),
        );
    }
    Ok(())
}

fn ingest(node: &Node, tree: &str) -> Result<Duration> {
    let begun = Instant::now();
    node.althing(&["ingest", tree])?;
    Ok(begun.elapsed())
}

/// Empty files: only their metadata is taken.
fn grow(tree: &Path, files: u64) -> Result<()> {
    for directory in 0..files.div_ceil(FILES_PER_DIRECTORY) {
        let path = tree.join(format!("album-{directory:04}"));
        fs::create_dir_all(&path).context("making a directory")?;
        let left = files - directory * FILES_PER_DIRECTORY;
        for file in 0..left.min(FILES_PER_DIRECTORY) {
            let ending = ENDINGS[(file % ENDINGS.len() as u64) as usize];
            File::create(path.join(format!("file-{file:03}.{ending}"))).context("making a file")?;
        }
    }
    Ok(())
}
