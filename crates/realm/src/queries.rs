//! Queries of guests, on threads of their own: with the stack that nested guests need, fewer than
//! there are instances for them, and behind every other thread of the node. Whoever writes waits
//! for none of them.

use crate::halt::internal;
use althing_protocol::{Error, Result};
use althing_sandbox::{Deadline, limits::THREAD_STACK_BYTES};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Queries that wait for a thread; one more is refused.
const WAITING_MAX: usize = 1_024;
/// Threads, whatever the number of processors.
const THREADS_MAX: usize = 16;
/// How much a thread yields to the others of the node: 0 is not at all, 19 is the most.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce(Wait) + Send>;

/// Runs queries.
pub(crate) struct Queries {
    shared: Arc<Shared>,
    threads: usize,
    deadline_ms: u64,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(Instant, Job)>,
    is_closed: bool,
}

/// How long a query waited for a thread.
struct Wait(Duration);

impl Queries {
    /// As many threads as there are `instances` for queries, and processors to run them.
    pub(crate) fn new(instances: u32, deadline_ms: u64) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = (2 * processors).min(THREADS_MAX).min(instances as usize).max(1);
        Self { shared: Arc::default(), threads, deadline_ms }
    }

    /// Starts the threads. They end once [`close`](Self::close) is called.
    ///
    /// # Errors
    /// When the system has no threads.
    pub(crate) fn start(&self) -> Result<Vec<JoinHandle<()>>> {
        let start = |number| {
            let name = format!("althing-query-{number}");
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name(name.clone())
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || shared.work())
                .map_err(|error| Error::unavailable(format!("thread {name}: {error}")))
        };
        (0..self.threads).map(start).collect()
    }

    /// Takes no more. What waits is refused, what runs has its deadline.
    pub(crate) fn close(&self) {
        let mut waiting = self.shared.waiting();
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.shared.changed.notify_all();
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting().jobs.len()
    }

    /// Runs `ask` on one of the threads, and waits for its answer. `ask` keeps to the deadline
    /// that it is given, which begins when it runs; it waits no longer than that either.
    ///
    /// # Errors
    /// `exhausted` when too many wait or it waited for too long, `unavailable` when the realm ends,
    /// and what `ask` returns.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Deadline) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let deadline_ms = self.deadline_ms;
        self.shared.push(Box::new(move |Wait(waited)| {
            if answer.is_closed() {
                // Whoever asked has gone.
                return;
            }
            let result = match waited.as_millis() > u128::from(deadline_ms) {
                true => Err(busy(&format!("this one waited {deadline_ms} ms for its turn"))),
                false => ask(Deadline::after_ms(deadline_ms)),
            };
            let _ = answer.send(result);
        }))?;
        let gone = |_| Error::unavailable("query: the realm ends, or its thread panicked");
        answered.await.map_err(gone)?
    }
}

fn busy(why: &str) -> Error {
    Error::exhausted(format!("queries: too many at once, {why}; ask again a little later"))
        .retry_after_ms(100)
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(internal("query: the realm has ended"));
        }
        if waiting.jobs.len() >= WAITING_MAX {
            return Err(busy(&format!("{WAITING_MAX} wait already")));
        }
        waiting.jobs.push_back((Instant::now(), job));
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        yield_to_others();
        loop {
            let mut waiting = self.waiting();
            let (since, job) = loop {
                if let Some(next) = waiting.jobs.pop_front() {
                    break next;
                }
                if waiting.is_closed {
                    return;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            };
            drop(waiting);
            let run = std::panic::AssertUnwindSafe(|| job(Wait(since.elapsed())));
            // Whoever asked learns of it from the channel that is gone.
            if std::panic::catch_unwind(run).is_err() {
                tracing::error!("a query panicked: a defect");
            }
        }
    }
}

/// Puts the calling thread behind those that are not so patient. The threads that it makes later
/// are as patient as it.
pub(crate) fn yield_to_others() {
    // Elsewhere this would be said of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "priority of a thread");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;
    use std::sync::mpsc;

    /// One thread, which is busy until something is sent.
    fn busy_one(
        runtime: &tokio::runtime::Runtime,
        deadline_ms: u64,
    ) -> (Arc<Queries>, mpsc::Sender<()>, Vec<JoinHandle<()>>) {
        let queries = Arc::new(Queries::new(1, deadline_ms));
        let threads = queries.start().unwrap();
        let (go, went) = mpsc::channel::<()>();
        let (begun, began) = mpsc::channel();
        let (first, went) = (Arc::clone(&queries), Arc::new(Mutex::new(went)));
        runtime.spawn(async move {
            // A thread that is slow to wake may let a short deadline pass before it begins.
            loop {
                let (begun, went) = (begun.clone(), Arc::clone(&went));
                let block = move |_| {
                    begun.send(()).unwrap();
                    let _ = went.lock().unwrap().recv();
                    Ok(())
                };
                if first.run(block).await.is_ok() {
                    return;
                }
            }
        });
        began.recv().unwrap();
        (queries, go, threads)
    }

    #[test]
    fn the_queue_is_bounded_and_what_waits_too_long_is_refused() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (queries, go, threads) = busy_one(&runtime, 1);
        let asked: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let queries = Arc::clone(&queries);
                runtime.spawn(async move { queries.run(|_| Ok(())).await })
            })
            .collect();
        while queries.waiting() < WAITING_MAX {
            thread::yield_now();
        }
        let full = runtime.block_on(queries.run(|_| Ok(()))).unwrap_err();
        assert_eq!(full.kind, Kind::Exhausted);
        let last = Instant::now();
        while last.elapsed() < Duration::from_millis(3) {
            thread::yield_now();
        }
        drop(go);
        for asked in asked {
            let late = runtime.block_on(asked).unwrap().unwrap_err();
            assert!(late.message.contains("waited"), "{late}");
        }
        queries.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn closing_refuses_what_waits_and_a_panic_costs_one_query() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (queries, go, threads) = busy_one(&runtime, 60_000);
        let waits = Arc::clone(&queries);
        let waits = runtime.spawn(async move { waits.run(|_| Ok(())).await });
        while queries.waiting() == 0 {
            thread::yield_now();
        }
        drop(go);
        runtime.block_on(waits).unwrap().unwrap();
        let panics = queries.run(|_| -> Result<()> { panic!("as a defect would") });
        assert_eq!(runtime.block_on(panics).unwrap_err().kind, Kind::Unavailable);
        runtime.block_on(queries.run(|_| Ok(()))).unwrap();
        queries.close();
        assert!(runtime.block_on(queries.run(|_| Ok(()))).is_err());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
