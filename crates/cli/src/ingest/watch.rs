//! What the system says has been touched, collected until it is quiet for a moment.

use althing_protocol::{Error, Result};
use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

/// So long nothing must happen before what happened is looked at.
const QUIET: Duration = Duration::from_millis(200);
/// But no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// More paths than this are cheaper to find by walking the tree.
const PATHS_MAX: usize = 1_024;

/// What to look at again of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The file or directory itself.
    Alone,
    /// With all that is below it.
    Below,
}

/// What was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// These paths.
    Paths(BTreeMap<PathBuf, Reach>),
    /// Nobody knows: everything has to be looked at.
    Everything,
}

impl Default for Touched {
    fn default() -> Self {
        Self::Paths(BTreeMap::new())
    }
}

impl Touched {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Paths(paths) if paths.is_empty())
    }

    fn add(&mut self, path: PathBuf, reach: Reach) {
        let Self::Paths(paths) = self else { return };
        let known = paths.entry(path).or_insert(reach);
        *known = reach.max(*known);
        if paths.len() > PATHS_MAX {
            *self = Self::Everything;
        }
    }

    /// Adds what `event` says. What lies in `without` is nobody's business.
    fn note(&mut self, event: &Event, without: Option<&Path>) {
        if event.need_rescan() {
            *self = Self::Everything;
            return;
        }
        let reach = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Reach::Alone,
            // Reading changes nothing, and our own walks read.
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => Reach::Alone,
            _ => Reach::Below,
        };
        for path in &event.paths {
            if without.is_some_and(|without| path.starts_with(without)) {
                continue;
            }
            // A name that comes or goes changes its directory too.
            if let (Reach::Below, Some(parent)) = (reach, path.parent()) {
                self.add(parent.to_owned(), Reach::Alone);
            }
            self.add(path.clone(), reach);
        }
    }

    /// Leaves out what is outside `root`, and what is below another path that is walked anyway.
    pub(crate) fn within(self, root: &Path) -> Self {
        let Self::Paths(paths) = self else { return Self::Everything };
        let mut kept: BTreeMap<PathBuf, Reach> = BTreeMap::new();
        let mut walked: Option<PathBuf> = None;
        // Paths are ordered by components, so what is below one follows it.
        for (path, reach) in paths {
            let covered = walked.as_ref().is_some_and(|above| path.starts_with(above));
            if covered || !path.starts_with(root) {
                continue;
            }
            if reach == Reach::Below {
                walked = Some(path.clone());
            }
            kept.insert(path, reach);
        }
        Self::Paths(kept)
    }
}

/// Follows a tree.
pub(crate) struct Watch {
    root: PathBuf,
    shared: Arc<Shared>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

#[derive(Default)]
struct Shared {
    touched: Mutex<Touched>,
    news: Notify,
}

impl Shared {
    /// A panic while it was held left whole paths behind, so it is taken as it is.
    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Begins to follow `root`, except for what lies in `without`.
    ///
    /// # Errors
    /// `exhausted` when the system follows no more directories, `unavailable` when it cannot follow.
    pub(crate) fn start(root: &Path, without: Option<PathBuf>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let noted = Arc::clone(&shared);
        let note = move |event: notify::Result<Event>| {
            match event {
                Ok(event) => noted.touched().note(&event, without.as_deref()),
                Err(e) => {
                    tracing::warn!("following the tree: {e}; looking at all of it again");
                    *noted.touched() = Touched::Everything;
                }
            }
            noted.news.notify_one();
        };
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(note, config).map_err(|e| refused(root, &e))?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(|e| refused(root, &e))?;
        Ok(Self { root: root.to_owned(), shared, _watcher: watcher })
    }

    /// Waits for something to be touched, and then for quiet.
    pub(crate) async fn next(&self) -> Touched {
        loop {
            while self.shared.touched().is_empty() {
                self.shared.news.notified().await;
            }
            let end = Instant::now() + WAIT_MAX;
            let quiet =
                async { while timeout(QUIET, self.shared.news.notified()).await.is_ok() {} };
            // Whether it got quiet or the time is up: now is the time.
            let _ = timeout_at(end, quiet).await;
            let touched = std::mem::take(&mut *self.shared.touched()).within(&self.root);
            if !touched.is_empty() {
                return touched;
            }
        }
    }
}

fn refused(root: &Path, error: &notify::Error) -> Error {
    let root = root.display();
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => Error::exhausted(format!(
            "{root}: has more directories than the system follows; raise fs.inotify.max_user_watches"
        )),
        _ => Error::unavailable(format!("{root}: cannot be followed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    fn touched(kind: EventKind, path: &str) -> Touched {
        let mut touched = Touched::default();
        touched.note(&Event::new(kind).add_path(path.into()), Some(Path::new("/t/data")));
        touched
    }

    fn paths(list: &[(&str, Reach)]) -> Touched {
        Touched::Paths(list.iter().map(|(path, reach)| (path.into(), *reach)).collect())
    }

    #[test]
    fn events_say_what_to_look_at() {
        use Reach::{Alone, Below};
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert_eq!(touched(data, "/t/a"), paths(&[("/t/a", Alone)]));
        for kind in [
            EventKind::Create(CreateKind::Folder),
            EventKind::Remove(RemoveKind::Any),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
        ] {
            assert_eq!(touched(kind, "/t/a"), paths(&[("/t", Alone), ("/t/a", Below)]));
        }
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(touched(open, "/t/a").is_empty());
        assert!(touched(data, "/t/data/realm/state.redb").is_empty());
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        let mut touched = paths(&[("/t/a", Alone)]);
        touched.note(&lost, None);
        assert_eq!(touched, Touched::Everything);
    }

    #[test]
    fn what_is_walked_anyway_is_left_out() {
        use Reach::{Alone, Below};
        let all = paths(&[
            ("/", Alone),
            ("/t", Alone),
            ("/t/a", Below),
            ("/t/a/b", Below),
            ("/t/a.b", Alone),
            ("/u", Below),
        ]);
        let expected = paths(&[("/t", Alone), ("/t/a", Below), ("/t/a.b", Alone)]);
        assert_eq!(all.within(Path::new("/t")), expected);
    }

    #[test]
    fn too_many_paths_are_everything() {
        let mut touched = Touched::default();
        for n in 0..=PATHS_MAX {
            touched.add(format!("/t/{n}").into(), Reach::Alone);
        }
        assert_eq!(touched, Touched::Everything);
    }

    #[tokio::test]
    async fn a_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let watch = Watch::start(&root, None).unwrap();
        std::fs::write(root.join("new"), "x").unwrap();
        let Touched::Paths(paths) = watch.next().await else { panic!("everything") };
        assert_eq!(paths.get(&root.join("new")), Some(&Reach::Below));
        assert_eq!(paths.get(&root), Some(&Reach::Alone));
    }
}
