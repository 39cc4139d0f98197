//! This node among the others of its realm.
//!
//! ```text
//!   book       who is a member, and where          roster     keeps the book up to date
//!   service    what the others ask of this node    report     what this node says of itself
//!   links      how the others are reached          forward    instructions and questions for the leader
//!   reconcile  the leader makes the log's members those of the state, and hands over
//!   quorum     whom the realm can do without       live       how the members are
//!   ballot     the leader has checkpoints vouched  divergence where nodes differ
//!   reseed     the state for a node that lost its own
//!   ticks      what is due without an instruction
//!   office     what a leader sees to first        clock      whether this node's is that of the others
//! ```

mod ballot;
mod book;
mod catch_up;
mod clock;
mod depart;
pub(crate) mod divergence;
mod forward;
mod health;
mod images;
mod join;
pub(crate) mod kind;
mod leadership;
mod links;
mod live;
mod message;
mod office;
mod prefetch;
mod quorum;
mod reconcile;
mod report;
pub(crate) mod reseed;
mod roster;
mod service;
mod snapshots;
mod ticks;

pub(crate) use ballot::run as hold_ballots;
pub use catch_up::CatchUp;
pub(crate) use depart::check as check_is_member;
pub(crate) use divergence::run as compare;
pub(crate) use health::run as watch_health;
pub(crate) use links::Links;
pub(crate) use live::{InLog, Live, LiveMember};
pub(crate) use prefetch::{APPENDED_MAX, may_stage, run as prefetch};
pub(crate) use reconcile::run as reconcile;
pub(crate) use report::run as report;
pub(crate) use roster::{keep as keep_book, learn as learn_members};
pub(crate) use ticks::run as tick;

use crate::{
    Realm, divergence::Divergence, halt::internal, realm::Core, replica::RealmLog, transfer::Outbox,
};
use althing_log::Standing;
use althing_machine::Machine;
use althing_peers::{Peers, PeersConfig};
use althing_protocol::{Error, RealmId, Result, SecretKey, v1};
use althing_state::Store;
use arc_swap::ArcSwapOption;
use book::Book;
use prost::Message;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Mutex, watch};

/// Key of the store's local table: raft id of this node, 8 bytes little endian.
const MEMBER: &str = "member";
/// Key of the store's local table: the members that this node was told last.
const TOLD: &str = "members told";
/// Raft id of the node that founds a realm.
const FIRST: u64 = 1;

/// This node, as others meet it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its own key: who connects has it proven.
    pub key: SecretKey,
    /// Where it listens for other nodes; without, it is reached over the connections that it makes.
    pub listen: Option<SocketAddr>,
    /// `HOST:PORT` at which others reach it; empty if they cannot.
    pub address: String,
    /// What it says of itself.
    pub labels: Vec<v1::Label>,
}

/// What a realm's node knows about the others.
pub(crate) struct Cluster {
    /// Raft id of this node.
    pub(crate) me: u64,
    pub(crate) identity: Option<Identity>,
    pub(crate) links: Links,
    /// Told whenever an entry may have changed who is a member, or another member said so.
    pub(crate) members_changed: watch::Sender<()>,
    /// Somebody unknown speaks as the log of a member does.
    knocked: AtomicBool,
    /// One blob is fetched at a time.
    pub(crate) fetching: Mutex<()>,
    /// One snapshot is received at a time.
    pub(crate) receiving: Mutex<()>,
    /// Bytes of it that are here, and all of them.
    pub(crate) received: watch::Sender<Option<(u64, u64)>>,
    leads: AtomicBool,
    /// Whether this node may propose, when it leads.
    office: office::Office,
    /// How the others are.
    pub(crate) pulse: health::Pulse,
    /// The newest checkpoint of which an entry was applied here that counts.
    pub(crate) decided: watch::Sender<u64>,
    /// That this node differs from what the voters vouch for, once it has found so.
    pub(crate) diverged: watch::Sender<Option<Divergence>>,
    /// The entry that ended this node's membership; 0 when it is not known which.
    ended: watch::Sender<Option<u64>>,
    /// While the realm runs: the log's own state refers to all this.
    log: ArcSwapOption<RealmLog>,
}

impl Cluster {
    pub(crate) fn open(
        realm: RealmId,
        store: &Store,
        machine: &Machine,
        identity: Option<Identity>,
        outbox: Arc<Outbox>,
    ) -> Result<Self> {
        let me = member_of(store)?;
        let book = book(store, machine, BTreeSet::new())?;
        Ok(Self {
            me,
            identity,
            links: Links::new(realm, book, outbox),
            members_changed: watch::Sender::new(()),
            knocked: AtomicBool::new(false),
            fetching: Mutex::new(()),
            receiving: Mutex::new(()),
            received: watch::Sender::new(None),
            leads: AtomicBool::new(false),
            office: office::Office::default(),
            pulse: health::Pulse::default(),
            decided: watch::Sender::new(0),
            diverged: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            log: ArcSwapOption::empty(),
        })
    }

    /// Whether this node led when it was last looked at; late by half a second at most.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Where others reach this node: port 0 stands for the one that it got.
    pub(crate) fn address(&self) -> String {
        let Some(identity) = &self.identity else { return String::new() };
        let port = self.links.peers().and_then(|peers| peers.local_addr()).map(|at| at.port());
        match (identity.address.strip_suffix(":0"), port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            _ => identity.address.clone(),
        }
    }

    /// The other members.
    fn others(&self) -> Vec<u64> {
        let book = self.links.book();
        book.current().map(|member| member.id).filter(|id| *id != self.me).collect()
    }

    /// Whether this node began the realm's log; all others wait to be added to it.
    pub(crate) fn is_founder(&self) -> bool {
        self.me == FIRST
    }

    /// Whether this node is the only voter of a membership, as the log keeps it. The founder's first
    /// entry makes it that.
    ///
    /// # Errors
    /// `internal` when it is malformed.
    pub(crate) fn votes_alone(&self, membership: &[u8]) -> Result<bool> {
        let voters = althing_log::voters(membership).map_err(internal)?;
        Ok(if voters.is_empty() { self.is_founder() } else { voters.into_iter().eq([self.me]) })
    }

    /// # Errors
    /// `unavailable` before the log is open, and after it was closed.
    pub(crate) fn log(&self) -> Result<Arc<RealmLog>> {
        self.log.load_full().ok_or_else(|| {
            Error::unavailable("realm: is starting or stopping on this node; ask again, or another")
                .retry_after_ms(500)
        })
    }

    /// Who leads, and whom, as far as this node knows.
    pub(crate) fn standing(&self) -> Result<Standing> {
        Ok(self.log()?.standing())
    }

    pub(crate) fn log_is(&self, log: RealmLog) {
        self.log.store(Some(Arc::new(log)));
    }

    /// Says nothing more to others, and hears nothing.
    pub(crate) async fn close(&self) {
        self.links.close().await;
        self.log.store(None);
    }
}

impl Core {
    /// Listens for other nodes, if this one is to meet any.
    pub(crate) async fn meet(self: &Arc<Self>) -> Result<()> {
        let Some(identity) = &self.cluster.identity else { return Ok(()) };
        let config = PeersConfig { listen: identity.listen };
        let service = Arc::new(service::Service(Arc::clone(self)));
        let peers = Peers::start(config, &identity.key, service).await?;
        if let Some(address) = peers.local_addr() {
            tracing::info!(%address, member = self.cluster.me, "listening for other nodes");
        }
        self.cluster.links.connect(peers);
        Ok(())
    }
}

impl Realm {
    /// Who leads, and whom, as far as this node knows.
    ///
    /// # Errors
    /// `unavailable` while the realm starts or stops.
    pub fn standing(&self) -> Result<Standing> {
        self.core.cluster.standing()
    }

    /// The members of now, as this node knows them.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn members(&self) -> Result<Vec<v1::Member>> {
        let members = self.core.machine.members(&self.core.store.view()).map_err(internal)?;
        Ok(members.into_iter().filter(v1::Member::is_current).collect())
    }
}

/// A number in a message.
fn number(what: &str, bytes: &[u8]) -> Result<u64> {
    let number = <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes);
    number.map_err(|_| Error::invalid(format!("{what}: has {} bytes, wants 8", bytes.len())))
}

/// The members as of the state of a store.
fn members(store: &Store, machine: &Machine) -> Result<message::Members> {
    let view = store.view();
    let members = machine.members(&view).map_err(internal)?;
    Ok(message::Members { as_of: view.applied().index, members })
}

fn book(store: &Store, machine: &Machine, in_log: BTreeSet<u64>) -> Result<Book> {
    let told = store.meta_get(TOLD).map_err(internal)?.unwrap_or_default();
    let told = message::Members::decode(told.as_slice()).map_err(internal)?;
    Ok(Book::new(members(store, machine)?, told, in_log))
}

/// Which member the node of a store is.
pub(crate) fn member_of(store: &Store) -> Result<u64> {
    match store.meta_get(MEMBER).map_err(internal)? {
        None => Ok(FIRST),
        Some(id) => number("member of the state", &id),
    }
}

/// Notes in a store that was just made that this node is member `id`, and who the others are.
pub(crate) fn is_member(store: &Store, id: u64, told: message::Members) -> Result<()> {
    store.meta_put(TOLD, &told.encode_to_vec()).map_err(internal)?;
    store.meta_put(MEMBER, &id.to_le_bytes()).map_err(internal)
}
