//! A running node: from a data directory to a listening port, and back.

use crate::callers::Callers;
use crate::config::{self, Config};
use crate::data_dir::{self, Lock};
use crate::host::Host;
use crate::labels;
use crate::server;
use althing_client::Keystore;
use althing_protocol::{Error, PublicKey, Result};
use althing_realm::{Identity, Options, Realm, Reservation};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How often a node looks whether its realm still runs.
const STOPPED_CHECK: Duration = Duration::from_millis(500);

/// A running node. It runs until [`shutdown`](Self::shutdown).
pub struct Node {
    address: SocketAddr,
    key: PublicKey,
    dir: PathBuf,
    host: Arc<Host>,
    running: Mutex<Option<Running>>,
}

struct Running {
    server: JoinHandle<()>,
    /// Let go of last: what is on disk is ours until then.
    _lock: Lock,
}

impl Node {
    /// Opens the data directory, replays what its state lacks, and listens.
    ///
    /// # Errors
    /// `unavailable` when another process holds the directory or the address; whatever keeps the
    /// realm from opening.
    pub async fn start(config: Config) -> Result<Self> {
        // Boxed: the future of all that a start does is large, and callers hold it in theirs.
        Box::pin(Self::open(config)).await
    }

    async fn open(config: Config) -> Result<Self> {
        let Config { dir, settings } = config;
        settings.check()?;
        let lock = Lock::take(&dir)?;
        let options = realm_options(&dir, &settings)?;
        let key = Keystore::open(&dir)?.show(data_dir::NODE_KEY)?;
        let callers = Callers::open(data_dir::callers(&dir))?;
        // Before the realm is opened: a port that is taken should not cost a replay.
        let (listener, address) = bind(settings.http.listen).await?;
        let realm = Realm::open(options).await?;
        // Whoever asks now finds this node among the members as it is.
        realm.announced().await;
        let host = Host::new(realm, callers, settings)?;
        write_address(&dir, address)?;
        tracing::info!(%address, realm = %host.realm.id(), "listening");
        let server = tokio::spawn(server::run(listener, address, Arc::clone(&host)));
        let running = Mutex::new(Some(Running { server, _lock: lock }));
        Ok(Self { address, key, dir, host, running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node's own key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The realm it runs.
    pub fn realm(&self) -> &Arc<Realm> {
        &self.host.realm
    }

    /// Returns when the realm has stopped by itself, with the reason: it takes no writes any more,
    /// and only a restart, once the cause is mended, changes that.
    pub async fn failed(&self) -> Error {
        loop {
            if let Some(reason) = self.host.realm.stopped() {
                return Error::unavailable(format!(
                    "realm: stopped: {reason}; mend the cause, then start the node again"
                ));
            }
            tokio::time::sleep(STOPPED_CHECK).await;
        }
    }

    /// Takes nothing more in, lets requests under way finish within their time, makes everything
    /// durable and ends. A second call does nothing. The state's file is closed with the node: drop
    /// it before the directory is opened again in this process.
    ///
    /// # Errors
    /// When the last flush failed; nothing acknowledged is lost by that, the log has it.
    pub async fn shutdown(&self) -> Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return Ok(()) };
        self.host.stopping.cancel();
        let served = running.server.await;
        data_dir::remove(&data_dir::address(&self.dir))?;
        self.host.realm.shutdown().await?;
        served.map_err(|error| Error::internal(format!("server of {}: {error}", self.address)))
    }
}

impl Drop for Node {
    /// What was not shut down stops serving at least; the log has all that was acknowledged.
    fn drop(&mut self) {
        self.host.stopping.cancel();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node {} at {}", self.key, self.address)
    }
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| {
        Error::unavailable(format!(
            "address {listen}: {error}; stop what listens there, or set http.listen"
        ))
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn write_address(dir: &Path, address: SocketAddr) -> Result<()> {
    data_dir::write_private(&data_dir::address(dir), format!("http://{address}\n").as_bytes())
}

/// How the node in `dir` runs its realm.
///
/// # Errors
/// When its key cannot be read; `invalid` when nobody could reach it as the settings say.
pub(crate) fn realm_options(dir: &Path, settings: &config::Settings) -> Result<Options> {
    let sandbox = &settings.sandbox;
    let identity = Identity {
        key: Keystore::open(dir)?.load(data_dir::NODE_KEY)?,
        listen: settings.peers.listen.0,
        address: settings.peers.address()?,
        labels: labels::all(&settings.node.labels),
    };
    Ok(Options {
        identity: Some(identity),
        queue_envelopes_max: settings.limits.queue_max,
        disk_low_water_bytes: settings.data.disk_low_water_bytes,
        log_flush_wait_us: settings.log.flush_wait_us,
        log_entries_keep: settings.log.keep_entries,
        log_bytes_keep: settings.log.keep_bytes,
        state_cache_bytes: settings.data.cache_bytes,
        state_flush_idle_ms: settings.data.flush_idle_ms,
        guest_instances_max: sandbox.instances_max,
        guest_backend: match sandbox.backend {
            config::Backend::Native => althing_realm::Backend::Native,
            config::Backend::Portable => althing_realm::Backend::Portable,
        },
        guest_pooling: sandbox.reservation != config::Reservation::OnDemand,
        guest_reservation: match sandbox.reservation {
            config::Reservation::Auto => Reservation::Auto,
            config::Reservation::Full => Reservation::Full,
            config::Reservation::Small | config::Reservation::OnDemand => Reservation::Small,
        },
        query_deadline_ms: sandbox.query_deadline_ms,
        ..Options::new(data_dir::realm(dir))
    })
}
