//! Images: from blobs, through the sandbox, kept compiled.
//!
//! One thread compiles, one image after the other; whoever needs an image that is being compiled
//! waits for that one compilation. What was compiled before comes from the sandbox's cache within
//! milliseconds, on the thread that asks: a compilation under way holds up nobody else.

use althing_blobs::Blobs;
use althing_machine::{Halt, Images};
use althing_protocol::{Error, Hash, Result};
use althing_sandbox::{Engine, Image, LoadError, Progress, limits::THREAD_STACK_BYTES};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// Compiled images in memory; beyond it those that nobody holds are dropped.
const READY_MAX: usize = 64;
/// Failures that are remembered.
const FAILURES_MAX: usize = 256;
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
}

#[derive(Default)]
struct Shelf {
    ready: HashMap<Hash, Arc<Image>>,
    /// Why the last attempt failed. A refusal stays, a failure of this node may be tried again.
    failures: BTreeMap<Hash, Failure>,
    /// What waits or is being compiled.
    jobs: HashMap<Hash, Arc<Job>>,
    queue: VecDeque<Hash>,
    /// Images that the realm ran when it was opened, and that nobody has tried yet.
    first: BTreeSet<Hash>,
    is_closed: bool,
}

#[derive(Clone)]
enum Failure {
    Refused(Error),
    Node(Halt),
}

#[derive(Default)]
struct Job {
    progress: Arc<Progress>,
    outcome: Mutex<Option<Loaded>>,
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
    pub(crate) fn new(blobs: Arc<Blobs>, engine: Engine) -> Self {
        Self { blobs, engine, shelf: Mutex::default(), changed: Condvar::new() }
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

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles nothing more, once what is under way is done.
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
        self.load(hash, false).map_err(crate::halt::internal)?.map(drop)
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

    /// The image, once it is compiled.
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
        loop {
            if let Some(loaded) = &*job.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                return loaded.clone();
            }
            if shelf.is_closed {
                return Err(Halt::new(format!("image {hash}: the realm ends")));
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The job of compiling `hash`, begun or found.
    fn enqueue(&self, hash: &Hash, is_urgent: bool) -> Result<Arc<Job>> {
        let mut shelf = self.shelf();
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

    /// Compiles what is asked for, until the realm ends.
    fn work(&self) {
        // The compiler's own threads are made by this one, and are as patient as it.
        crate::queries::yield_to_others();
        while let Some((hash, job)) = self.next() {
            let compile = || self.compile(&hash, &job.progress);
            let loaded = catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(|_| {
                Err(Halt::new(format!("image {hash}: the compiler panicked: a defect")))
            });
            let mut shelf = self.shelf();
            shelf.keep(&hash, &loaded);
            shelf.jobs.remove(&hash);
            shelf.first.remove(&hash);
            *job.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
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

    fn compile(&self, hash: &Hash, progress: &Arc<Progress>) -> Loaded {
        let begun = Instant::now();
        let took = || begun.elapsed().as_millis() as u64;
        if let Some(image) = self.engine.cached(hash) {
            tracing::info!(%hash, ms = took(), "image loaded");
            return Ok(Ok(Arc::new(image)));
        }
        let bytes = self.blobs.get(hash).map_err(|e| Halt::new(format!("image {hash}: {e}")))?;
        let bytes = bytes.ok_or_else(|| {
            Halt::new(format!("image {hash}: missing on this node; upload it again, then restart"))
        })?;
        tracing::info!(%hash, bytes = bytes.len(), "compiling an image");
        match self.engine.compile(hash, &bytes, progress) {
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
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn keep(&mut self, hash: &Hash, loaded: &Loaded) {
        let failure = match loaded {
            Ok(Ok(image)) => {
                if self.ready.len() >= READY_MAX {
                    self.ready.retain(|_, image| Arc::strong_count(image) > 1);
                }
                self.ready.insert(*hash, Arc::clone(image));
                self.failures.remove(hash);
                return;
            }
            Ok(Err(error)) => Failure::Refused(error.clone()),
            Err(halt) => {
                tracing::error!(%hash, %halt, "image not prepared");
                Failure::Node(halt.clone())
            }
        };
        if self.failures.len() >= FAILURES_MAX {
            self.failures.pop_first();
        }
        self.failures.insert(*hash, failure);
    }
}

impl Images for NodeImages {
    fn image(&self, hash: &Hash) -> Loaded {
        self.load(hash, true)
    }
}
