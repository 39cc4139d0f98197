//! What all tasks of a node's connections share.

use crate::{
    Handler, Peer, dial, limits,
    link::{Link, Undriven},
    notices::Notices,
    serve,
    table::{Next, Outcome, Table},
    tls::{Identity, TlsStream},
};
use althing_protocol::Error;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) handler: Arc<dyn Handler>,
    /// See [`crate::greeting::Greeting`].
    pub(crate) boot: u64,
    /// Cancelled when the node stops.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) notices: Notices,
    table: Mutex<Table>,
}

impl Shared {
    pub(crate) fn new(identity: Identity, handler: Arc<dyn Handler>) -> Self {
        Self {
            table: Mutex::new(Table::new(identity.public)),
            identity,
            handler,
            boot: rand::random(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            notices: Notices::default(),
        }
    }

    /// No method of the table leaves it half-changed, so a panic under the lock spoils nothing.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `task` until it ends or the node stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        });
    }

    /// The connection with `to`, dialled if there is none. `deadline` decides whether it is worth
    /// waiting until dialling is tried again.
    pub(crate) async fn link(self: &Arc<Self>, to: &Peer, deadline: Instant) -> Outcome {
        while !self.stop.is_cancelled() {
            let next = self.table().next(to, Instant::now(), &self.stop);
            let mut outcomes = match next {
                Next::Connected(link) => return Ok(link),
                Next::Wait(outcomes) => outcomes,
                Next::Dial(dial, outcomes) => {
                    self.tasks.spawn(dial::dial(self.clone(), to.clone(), dial));
                    outcomes
                }
                Next::Later(at, error) if at >= deadline => return Err(error),
                Next::Later(at, _) => {
                    tokio::time::sleep_until(at.into()).await;
                    continue;
                }
            };
            let outcome = outcomes.wait_for(Option::is_some).await;
            let outcome = outcome.ok().and_then(|outcome| outcome.clone());
            return outcome.unwrap_or_else(|| {
                Err(dial::unreachable(to, "this node no longer deals with it"))
            });
        }
        Err(dial::unreachable(to, "this node stops"))
    }

    /// Runs a connection until it ends.
    pub(crate) async fn drive(
        self: &Arc<Self>,
        link: Arc<Link>,
        stream: TlsStream,
        undriven: Undriven,
    ) {
        let (key, address) = (link.key, link.address.as_str());
        let uninvited = || link.uninvited(&*self.handler);
        let log = |what: &str| match uninvited() {
            // Outsiders do not decide how much is written.
            true => tracing::debug!(peer = %key, address, "{what}"),
            false => tracing::info!(peer = %key, address, dialled = link.dialled(), "{what}"),
        };
        log("connected");
        let growth = if uninvited() { 0 } else { limits::WINDOW_GROWTH_BYTES_MAX };
        let opened = |stream| {
            let streams_max = serve::streams_max(&*self.handler, &link);
            match link.opened(stream, streams_max) {
                Some(channel) => {
                    self.spawn(serve::serve(self.clone(), link.clone(), channel));
                }
                None => tracing::debug!(peer = %key, streams_max, "it has too many streams open"),
            }
        };
        let idle_max = || match uninvited() {
            true => limits::STRANGER_IDLE_MAX,
            false => limits::IDLE_MAX,
        };
        let lost = |reason: &str| {
            self.table().lost(&link, Instant::now(), &*self.handler);
            log(&format!("disconnected: {reason}"));
        };
        link.drive(stream, undriven, growth, opened, idle_max, lost).await;
    }

    /// Ends everything, and waits for it.
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(limits::SHUTDOWN_MAX, self.tasks.wait()).await.map_err(|_| {
            Error::internal("connections with peers: some did not end in time; they are left")
        })
    }
}
