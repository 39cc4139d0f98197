//! Images: from blobs, through the sandbox, kept compiled.
//!
//! One thread compiles, one image after the other; whoever needs an image that is being compiled
//! waits for that one compilation. What was compiled before comes from the sandbox's cache within
//! milliseconds, on the thread that asks: a compilation under way holds up nobody else.

mod kept;
mod shelf;

pub(crate) use kept::KeptImages;

use althing_blobs::Blobs;
use althing_machine::{Halt, Images};
use althing_protocol::{Error, Hash, Result};
use althing_sandbox::{Engine, Image, LoadError, Progress, limits::THREAD_STACK_BYTES};
use schemars::JsonSchema;
use serde::Serialize;
use shelf::{Failure, Job, Shelf};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// How often other nodes are asked for an image that apply needs.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Images that wait to be compiled; one more is refused.
const WAITING_MAX: usize = 64;

/// What became of an image. The inner error is the sandbox's refusal, the same on every node.
type Loaded = Result<Result<Arc<Image>>, Halt>;

/// The images of this node.
pub(crate) struct NodeImages {
    blobs: Arc<Blobs>,
    engine: Engine,
    shelf: Mutex<Shelf>,
    changed: Condvar,
    /// Where images come from that are not here.
    source: OnceLock<Source>,
    pub(crate) kept: KeptImages,
    /// The thread that cannot go on without an image; all others can be told that there is none.
    apply: OnceLock<ThreadId>,
}

/// Brings the bytes of an image into the blobs, if another node has them; waits for that.
pub(crate) type Source = Box<dyn Fn(&Hash) -> Result<()> + Send + Sync>;

/// What one try came to.
enum Tried {
    Ended(Loaded),
    /// The bytes are on no node that answers now.
    Nowhere(Error),
}

/// How far an image is on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ImageStatus {
    pub(crate) state: ImageState,
    /// Functions that are compiled.
    pub(crate) functions_done: u32,
    /// Functions there are; 0 until compiling begins.
    pub(crate) functions_total: u32,
    /// Why it was refused, or why this node failed at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Where an image is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImageState {
    /// Its bytes are not here.
    Absent,
    /// Its bytes are here.
    Present,
    /// It is compiled, or waits for that.
    Compiling,
    /// It can be called.
    Ready,
    /// It can run on no node.
    Refused,
}

impl NodeImages {
    pub(crate) fn new(blobs: Arc<Blobs>, engine: Engine, kept: KeptImages) -> Self {
        let (shelf, changed) = (Mutex::default(), Condvar::new());
        let (source, apply) = (OnceLock::new(), OnceLock::new());
        Self { blobs, engine, shelf, changed, source, kept, apply }
    }

    /// Begins to compile what is asked for; `first`, before anybody asks.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(crate) fn start(self: &Arc<Self>, first: BTreeSet<Hash>) -> Result<()> {
        let mut shelf = self.shelf();
        shelf.jobs.extend(first.iter().map(|hash| (*hash, Arc::default())));
        shelf.queue.extend(&first);
        shelf.first = first;
        drop(shelf);
        let worker = Arc::clone(self);
        // Starting an image runs its guest. Nobody waits for the thread when the realm ends: what
        // it compiles then is in the cache, or lost.
        thread::Builder::new()
            .name("althing-compile".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || worker.work())
            .map(drop)
            .map_err(|error| Error::unavailable(format!("thread althing-compile: {error}")))
    }

    /// From now on, images that are not here are asked for there.
    pub(crate) fn come_from(&self, source: Source) {
        self.source.set(source).ok();
    }

    /// The calling thread is the one that applies.
    pub(crate) fn apply_is_here(&self) {
        self.apply.set(thread::current().id()).ok();
    }

    /// What apply waits for, if it does.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.shelf().waits_for.map(|hash| format!("it waits for image {hash}"))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// It is in memory no more.
    #[cfg(test)]
    pub(crate) fn forget(&self, hash: &Hash) {
        self.shelf().ready.remove(hash);
    }

    /// Compiles nothing more, once what is under way is done. Nobody waits for an image any more.
    pub(crate) fn close(&self) {
        self.shelf().is_closed = true;
        self.changed.notify_all();
    }

    /// Images in memory, and those that wait or are compiled.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let shelf = self.shelf();
        (shelf.ready.len(), shelf.jobs.len())
    }

    /// Images that ran when the realm was opened and are not prepared yet.
    pub(crate) fn unprepared(&self) -> usize {
        self.shelf().first.len()
    }

    /// Whether the bytes are here.
    fn is_present(&self, hash: &Hash) -> bool {
        self.blobs.size(hash).is_ok_and(|size| size.is_some())
    }

    pub(crate) fn status(&self, hash: &Hash) -> ImageStatus {
        let at = |state| ImageStatus { state, functions_done: 0, functions_total: 0, reason: None };
        let shelf = self.shelf();
        if shelf.ready.contains_key(hash) {
            return at(ImageState::Ready);
        }
        if let Some(job) = shelf.jobs.get(hash) {
            let (functions_done, functions_total) = job.progress.functions();
            return ImageStatus { functions_done, functions_total, ..at(ImageState::Compiling) };
        }
        let failure = shelf.failures.get(hash).cloned();
        drop(shelf);
        let found = if self.is_present(hash) { ImageState::Present } else { ImageState::Absent };
        match failure {
            Some(Failure::Refused(error)) => {
                ImageStatus { reason: Some(error.message), ..at(ImageState::Refused) }
            }
            Some(Failure::Node(halt)) => {
                ImageStatus { reason: Some(halt.to_string()), ..at(found) }
            }
            None => at(found),
        }
    }

    /// Begins to prepare an image, unless it is on its way already.
    ///
    /// # Errors
    /// `not-found` when it was not uploaded, `exhausted` when too many wait.
    pub(crate) fn prepare(&self, hash: &Hash) -> Result<ImageStatus> {
        self.check_present(hash)?;
        self.prepare_from_anywhere(hash)
    }

    /// The same, for an image that may have to come from another node first.
    ///
    /// # Errors
    /// `exhausted` when too many wait.
    pub(crate) fn prepare_from_anywhere(&self, hash: &Hash) -> Result<ImageStatus> {
        if self.find(hash).is_none() {
            self.enqueue(hash, false)?;
        }
        Ok(self.status(hash))
    }

    /// What the door asks before it proposes to stage an image. Waits until it is compiled.
    ///
    /// # Errors
    /// `not-found` when it was not uploaded, or the sandbox's refusal.
    pub(crate) fn check(&self, hash: &Hash) -> Result<()> {
        if self.find(hash).is_none() {
            self.check_present(hash)?;
        }
        let loaded = self.load(hash, false).map_err(|halt| match self.shelf().is_closed {
            true => crate::halt::stopped("it is shutting down"),
            false => crate::halt::internal(halt),
        });
        loaded?.map(drop)
    }

    fn check_present(&self, hash: &Hash) -> Result<()> {
        match self.is_present(hash) {
            true => Ok(()),
            false => Err(Error::not_found(format!(
                "image {hash}: not on this node; upload it first, `althing deploy` does"
            ))),
        }
    }

    /// The image, or its refusal, if it is known.
    fn find(&self, hash: &Hash) -> Option<Result<Arc<Image>>> {
        let shelf = self.shelf();
        if let Some(image) = shelf.ready.get(hash) {
            return Some(Ok(Arc::clone(image)));
        }
        match shelf.failures.get(hash) {
            Some(Failure::Refused(error)) => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// The image, once it is compiled. What is urgent is what apply waits for.
    fn load(&self, hash: &Hash, is_urgent: bool) -> Loaded {
        if let Some(found) = self.find(hash) {
            return Ok(found);
        }
        if let Some(image) = self.engine.cached(hash) {
            let loaded = Ok(Ok(Arc::new(image)));
            self.shelf().keep(hash, &loaded);
            return loaded;
        }
        let job = self.enqueue(hash, is_urgent).map_err(|error| Halt::new(error.message))?;
        let mut shelf = self.shelf();
        let loaded = loop {
            if let Some(loaded) = job.outcome() {
                break loaded;
            }
            if shelf.is_closed {
                break Err(Halt::new(format!("image {hash}: the realm ends")));
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        };
        if is_urgent {
            shelf.waits_for = None;
        }
        loaded
    }

    /// The job of compiling `hash`, begun or found. One that is urgent does not end while the image is
    /// nowhere: whoever ends a job sees, under the same lock, that apply waits for it.
    fn enqueue(&self, hash: &Hash, is_urgent: bool) -> Result<Arc<Job>> {
        let mut shelf = self.shelf();
        if is_urgent {
            shelf.waits_for = Some(*hash);
        }
        if let Some(job) = shelf.jobs.get(hash) {
            let job = Arc::clone(job);
            if is_urgent && let Some(at) = shelf.queue.iter().position(|queued| queued == hash) {
                shelf.queue.swap(0, at);
            }
            return Ok(job);
        }
        if shelf.queue.len() >= WAITING_MAX && !is_urgent {
            return Err(Error::exhausted(format!(
                "image {hash}: {WAITING_MAX} others wait to be compiled; try again later"
            ))
            .retry_after_ms(1_000));
        }
        let job = Arc::<Job>::default();
        shelf.jobs.insert(*hash, Arc::clone(&job));
        match is_urgent {
            true => shelf.queue.push_front(*hash),
            false => shelf.queue.push_back(*hash),
        }
        self.changed.notify_all();
        Ok(job)
    }

    /// Compiles what is asked for, until the realm ends. An image that is nowhere is asked for again
    /// while apply waits for it.
    fn work(&self) {
        // The compiler's own threads are made by this one, and are as patient as it.
        crate::queries::yield_to_others();
        while let Some((hash, job)) = self.next() {
            let compile = || self.compile(&hash, &job.progress);
            let tried = catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(|_| {
                let halt = Halt::new(format!("image {hash}: the compiler panicked: a defect"));
                Tried::Ended(Err(halt))
            });
            let mut shelf = self.shelf();
            let loaded = match tried {
                Tried::Ended(loaded) => loaded,
                Tried::Nowhere(error) if shelf.waits_for == Some(hash) && !shelf.is_closed => {
                    tracing::warn!(%hash, %error, "apply waits for an image");
                    shelf.queue.push_front(hash);
                    let waited = self.changed.wait_timeout(shelf, ASK_AGAIN);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                Tried::Nowhere(error) => Err(missing(&hash, &format!(", and {}", error.message))),
            };
            shelf.end(&hash, &job, loaded);
            drop(shelf);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<(Hash, Arc<Job>)> {
        let mut shelf = self.shelf();
        loop {
            if shelf.is_closed {
                return None;
            }
            if let Some(hash) = shelf.queue.pop_front()
                && let Some(job) = shelf.jobs.get(&hash)
            {
                return Some((hash, Arc::clone(job)));
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn compile(&self, hash: &Hash, progress: &Arc<Progress>) -> Tried {
        let begun = Instant::now();
        let took = || begun.elapsed().as_millis() as u64;
        if let Some(image) = self.engine.cached(hash) {
            tracing::info!(%hash, ms = took(), "image loaded");
            return Tried::Ended(Ok(Ok(Arc::new(image))));
        }
        let bytes = match self.bytes(hash) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Tried::Nowhere(error),
            Err(halt) => return Tried::Ended(Err(halt)),
        };
        tracing::info!(%hash, bytes = bytes.len(), "compiling an image");
        Tried::Ended(match self.engine.compile(hash, &bytes, progress) {
            Ok(image) => {
                let (_, functions) = progress.functions();
                tracing::info!(%hash, functions, ms = took(), "image compiled");
                Ok(Ok(Arc::new(image)))
            }
            Err(LoadError::Refused(error)) => {
                tracing::info!(%hash, %error, "image refused");
                Ok(Err(error))
            }
            Err(LoadError::Halt(halt)) => Err(halt.into()),
        })
    }

    /// The bytes of an image, from here or from another node. The inner error says that no node has
    /// them now.
    fn bytes(&self, hash: &Hash) -> Result<Result<Vec<u8>>, Halt> {
        let here = || self.blobs.get(hash).map_err(|e| Halt::new(format!("image {hash}: {e}")));
        loop {
            if let Some(bytes) = here()? {
                return Ok(Ok(bytes));
            }
            let Some(source) = self.source.get() else { return Err(missing(hash, "")) };
            if let Err(error) = source(hash) {
                return Ok(Err(error));
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(hash: &Hash, why: &str) -> Halt {
    Halt::new(format!("image {hash}: missing on this node{why}; upload it again, then restart"))
}

impl Images for NodeImages {
    fn image(&self, hash: &Hash) -> Loaded {
        let is_apply = self.apply.get() == Some(&thread::current().id());
        if is_apply {
            self.kept.note(hash);
        }
        self.load(hash, is_apply)
    }
}

#[cfg(test)]
mod tests;
