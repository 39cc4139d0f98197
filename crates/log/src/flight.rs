//! Requests on their way: how many may be, and when they stop coming.

use futures::{Stream, StreamExt};
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Requests that are on their way to one node, or being answered by this one, at most.
pub(crate) const REQUESTS_MAX: usize = 64;
/// And the sum of their bytes, before another is taken: one large one may go beyond.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// What a source yields, held back while too much of it waits for answers. Shared by the side that
/// takes requests and the side that sees the answers, which may be different tasks.
pub(crate) struct Flight<S, V>(Mutex<State<S, V>>);

struct State<S, V> {
    /// None when it has ended, or was cut off.
    source: Option<S>,
    /// Bytes of each request without an answer, and what is remembered of it.
    open: VecDeque<(usize, V)>,
    bytes: usize,
    /// Whether no request is taken for now.
    is_held: bool,
    /// Who wants the next request.
    waker: Option<Waker>,
}

impl<S, V> Flight<S, V> {
    pub(crate) fn new(source: S) -> Arc<Self> {
        let open = VecDeque::new();
        let state = State { source: Some(source), open, bytes: 0, is_held: false, waker: None };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State<S, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest request is answered: gives what was remembered of it.
    pub(crate) fn land(&self) -> Option<V> {
        let value = self.land_and_hold();
        self.release();
        value
    }

    /// The same; and no other request is taken until [`release`](Self::release).
    pub(crate) fn land_and_hold(&self) -> Option<V> {
        let mut state = self.state();
        state.is_held = true;
        let (bytes, value) = state.open.pop_front()?;
        state.bytes -= bytes;
        Some(value)
    }

    /// Requests are taken again.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.is_held = false;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The oldest request without an answer.
    pub(crate) fn oldest<U>(&self, look: impl FnOnce(&V) -> U) -> Option<U> {
        self.state().open.front().map(|(_, value)| look(value))
    }

    /// Whether no more requests come and all are answered.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.source.is_none() && state.open.is_empty()
    }

    /// Drops the source at once, wherever the stream of requests is and whoever holds it.
    fn cut(&self) {
        let mut state = self.state();
        let source = state.source.take();
        let waker = state.waker.take();
        drop(state);
        drop(source);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<S: Stream + Unpin, V> Flight<S, V> {
    /// The next request, when there is room for one. `launch` gives what goes out, its size, and
    /// what is remembered until the answer; when it gives nothing, no more requests come.
    pub(crate) fn poll_next<O>(
        &self,
        cx: &mut Context<'_>,
        launch: impl FnOnce(S::Item) -> Option<(O, usize, V)>,
    ) -> Poll<Option<O>> {
        let mut state = self.state();
        let State { source, open, bytes, is_held, waker } = &mut *state;
        let Some(taken) = source else { return Poll::Ready(None) };
        // Whatever is waited for: a cut must wake, too.
        *waker = Some(cx.waker().clone());
        if *is_held || open.len() >= REQUESTS_MAX || *bytes >= BYTES_MAX {
            return Poll::Pending;
        }
        let Poll::Ready(item) = taken.poll_next_unpin(cx) else { return Poll::Pending };
        let Some((out, size, value)) = item.and_then(launch) else {
            *source = None;
            return Poll::Ready(None);
        };
        open.push_back((size, value));
        *bytes += size;
        Poll::Ready(Some(out))
    }
}

/// Held by the side that reads the answers. Dropping it ends the requests.
pub(crate) struct Landing<S, V>(Arc<Flight<S, V>>);

impl<S, V> Landing<S, V> {
    pub(crate) fn of(flight: Arc<Flight<S, V>>) -> Self {
        Self(flight)
    }
}

impl<S, V> Deref for Landing<S, V> {
    type Target = Flight<S, V>;

    fn deref(&self) -> &Flight<S, V> {
        &self.0
    }
}

impl<S, V> Drop for Landing<S, V> {
    fn drop(&mut self) {
        self.0.cut();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use futures::FutureExt;
    use futures::stream;
    use std::future::poll_fn;

    fn next<S: Stream<Item = usize> + Unpin>(flight: &Flight<S, usize>) -> Option<Option<usize>> {
        poll_fn(|cx| flight.poll_next(cx, |size| (size > 0).then_some((size, size, size))))
            .now_or_never()
    }

    #[test]
    fn as_many_as_there_is_room_for() {
        let flight = Flight::new(stream::repeat(1));
        for _ in 0..REQUESTS_MAX {
            assert_eq!(next(&flight), Some(Some(1)));
        }
        assert_eq!(next(&flight), None);
        assert_eq!(flight.land(), Some(1));
        assert_eq!(next(&flight), Some(Some(1)));
        assert_eq!(next(&flight), None);
    }

    #[test]
    fn none_is_taken_while_they_are_held() {
        let flight = Flight::new(stream::repeat(1));
        assert_eq!((next(&flight), next(&flight)), (Some(Some(1)), Some(Some(1))));
        assert_eq!(flight.land_and_hold(), Some(1));
        assert_eq!((next(&flight), flight.oldest(|size| *size)), (None, Some(1)));
        flight.release();
        assert_eq!(next(&flight), Some(Some(1)));
        assert_eq!(flight.land(), Some(1));
        assert_eq!(next(&flight), Some(Some(1)));
    }

    #[test]
    fn a_large_one_is_alone() {
        let flight = Flight::new(stream::iter([3 * BYTES_MAX, 1, 2]));
        assert_eq!(next(&flight), Some(Some(3 * BYTES_MAX)));
        assert_eq!(next(&flight), None);
        flight.land().unwrap();
        assert_eq!((next(&flight), next(&flight)), (Some(Some(1)), Some(Some(2))));
        assert_eq!(flight.oldest(|size| *size), Some(1));
        assert_eq!(next(&flight), Some(None));
        assert!(!flight.is_over());
        assert_eq!((flight.land(), flight.land(), flight.land()), (Some(1), Some(2), None));
        assert!(flight.is_over());
    }

    #[test]
    fn a_refused_request_is_the_last() {
        let flight = Flight::new(stream::iter([1, 0, 2]));
        assert_eq!(next(&flight), Some(Some(1)));
        assert_eq!(next(&flight), Some(None));
        assert_eq!(next(&flight), Some(None));
    }

    #[tokio::test]
    async fn whoever_reads_no_more_answers_drops_the_source_and_wakes() {
        let alive = Arc::new(());
        let held = alive.clone();
        let source = stream::pending::<usize>().map(move |size| {
            let _ = &held;
            size
        });
        let flight = Flight::new(source);
        let landing = Landing::of(flight.clone());
        let taking = tokio::spawn(async move {
            poll_fn(|cx| flight.poll_next(cx, |size| Some((size, size, ())))).await
        });
        tokio::task::yield_now().await;
        drop(landing);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert_eq!(taking.await.unwrap(), None);
    }
}
