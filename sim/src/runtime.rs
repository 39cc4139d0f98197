//! The async runtime of the simulated nodes: tokio's, with chance drawn from the seed.
//!
//! Three things of tokio's would differ from run to run, and are replaced: its watch channel wakes
//! those who wait in an order that it draws from the operating system; blocking work runs on threads;
//! and tasks that end with their runtime go in an order that depends on how many there were in the
//! process before, so that a crash closed connections in that order. With these gone a seed gives the
//! same run without any compiler flag.

use crate::watch::FifoWatch;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::TokioRuntime;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::task::LocalSet;

/// What simulated nodes run on.
pub(crate) type Runtime = DeterministicRng<OneThread>;

/// Tokio's runtime on the thread that turmoil gives it.
#[derive(Debug)]
pub(crate) struct OneThread(TokioRuntime);

impl AsyncRuntime for OneThread {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = FifoWatch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tokio::task::spawn_local(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        let tasks = LocalSet::new();
        self.0.block_on(tasks.run_until(future))
    }

    /// At once: simulated disks do not block.
    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = io::Result<T>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        std::future::ready(Ok(f()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft_rt::testing::Suite;
    use std::sync::mpsc::{Sender, channel};

    #[test]
    fn it_is_a_runtime() {
        Suite::<OneThread>::test_all();
    }

    /// Says its number when it goes.
    struct Goes(usize, Sender<usize>);

    impl Drop for Goes {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }

    #[test]
    fn tasks_that_are_cut_off_go_in_one_order() {
        let order = |tasks_before: usize| {
            let (sender, gone) = channel();
            OneThread::new(1).block_on(async {
                for _ in 0..tasks_before {
                    drop(OneThread::spawn(std::future::ready(())).await);
                }
                for number in 0..8 {
                    let goes = Goes(number, sender.clone());
                    drop(OneThread::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(goes);
                    }));
                }
            });
            drop(sender);
            gone.iter().collect::<Vec<_>>()
        };
        let first = order(0);
        assert_eq!(first.len(), 8);
        for tasks_before in 1..5 {
            assert_eq!(order(tasks_before), first, "{tasks_before}");
        }
    }
}
