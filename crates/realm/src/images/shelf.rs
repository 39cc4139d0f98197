//! What is known of images in memory: those that are compiled, that failed, or are on their way.

use super::Loaded;
use althing_machine::Halt;
use althing_protocol::{Error, Hash};
use althing_sandbox::{Image, Progress};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Compiled images in memory; beyond it those that nobody holds are dropped.
const READY_MAX: usize = 64;
/// Failures that are remembered.
const FAILURES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Shelf {
    pub(super) ready: HashMap<Hash, Arc<Image>>,
    /// Why the last attempt failed. A refusal stays, a failure of this node may be tried again.
    pub(super) failures: BTreeMap<Hash, Failure>,
    /// What waits or is being compiled.
    pub(super) jobs: HashMap<Hash, Arc<Job>>,
    pub(super) queue: VecDeque<Hash>,
    /// Images that the realm ran when it was opened, and that nobody has tried yet.
    pub(super) first: BTreeSet<Hash>,
    pub(super) is_closed: bool,
    /// The image that apply needs and that is not ready.
    pub(super) waits_for: Option<Hash>,
}

#[derive(Clone)]
pub(super) enum Failure {
    Refused(Error),
    Node(Halt),
}

#[derive(Default)]
pub(super) struct Job {
    pub(super) progress: Arc<Progress>,
    outcome: Mutex<Option<Loaded>>,
}

impl Job {
    pub(super) fn outcome(&self) -> Option<Loaded> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shelf {
    /// Ends the job of an image.
    pub(super) fn end(&mut self, hash: &Hash, job: &Job, loaded: Loaded) {
        self.keep(hash, &loaded);
        self.jobs.remove(hash);
        self.first.remove(hash);
        *job.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
    }

    pub(super) fn keep(&mut self, hash: &Hash, loaded: &Loaded) {
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
