//! Who is connected, who is being dialled, and which of two connections stays.
//!
//! A pair has one connection. When both sides dial, the connection that the smaller key dialled
//! stays, and the decision falls before either is used, so nothing under way is ever cut for it:
//!
//! - A side greets on the connection that it dialled only while it has no other.
//! - The larger key accepts what comes, and forgets its own dialling.
//! - The smaller key accepts what comes, unless it has greeted: then the other side may have
//!   accepted already, and is told to wait for that.
//!
//! All that is synchronous and without I/O; callers hold the lock for the length of a method.

use crate::{
    Handler, Peer, PeerStats, Standing, backoff::Backoff, greeting::Verdict, limits, link::Link,
    source::Source, traffic::Traffic,
};
use althing_protocol::{Error, PublicKey};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What dialling came to.
pub(crate) type Outcome = Result<Arc<Link>, Error>;
/// Where it is announced.
pub(crate) type Outcomes = watch::Receiver<Option<Outcome>>;

pub(crate) struct Table {
    me: PublicKey,
    slots: HashMap<PublicKey, Slot>,
    dials: u64,
}

struct Slot {
    address: String,
    state: State,
    backoff: Backoff,
    traffic: Arc<Traffic>,
}

enum State {
    Idle,
    Dialling(Dialling),
    Connected(Arc<Link>),
}

struct Dialling {
    id: u64,
    greeted: bool,
    outcome: watch::Sender<Option<Outcome>>,
    stop: CancellationToken,
}

/// A dialling that was begun, for the task that does it.
pub(crate) struct Dial {
    pub(crate) id: u64,
    pub(crate) traffic: Arc<Traffic>,
    /// Cancelled when its result is of no use any more.
    pub(crate) stop: CancellationToken,
}

/// How to get a connection.
pub(crate) enum Next {
    Connected(Arc<Link>),
    /// Somebody dials.
    Wait(Outcomes),
    /// The caller has to dial.
    Dial(Dial, Outcomes),
    /// It failed a moment ago.
    Later(Instant, Error),
}

impl Slot {
    fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            state: State::Idle,
            backoff: Backoff::default(),
            traffic: Arc::default(),
        }
    }

    fn dialling(&mut self, id: u64) -> Option<&mut Dialling> {
        match &mut self.state {
            State::Dialling(dialling) if dialling.id == id => Some(dialling),
            _ => None,
        }
    }

    /// The connection stands: those who wait for one get it.
    fn connect(&mut self, link: Arc<Link>) {
        self.traffic.connections.fetch_add(1, Relaxed);
        self.address.clone_from(&link.address);
        match std::mem::replace(&mut self.state, State::Connected(link.clone())) {
            State::Idle => {}
            State::Dialling(dialling) => {
                dialling.stop.cancel();
                dialling.outcome.send_replace(Some(Ok(link)));
            }
            State::Connected(old) => old.cut("the peer made a newer one"),
        }
    }

    fn fail(&mut self, now: Instant, error: Error) {
        self.traffic.failures.fetch_add(1, Relaxed);
        if let State::Dialling(dialling) = std::mem::replace(&mut self.state, State::Idle) {
            dialling.outcome.send_replace(Some(Err(error.clone())));
        }
        self.backoff.fail(now, error);
    }
}

impl Table {
    pub(crate) fn new(me: PublicKey) -> Self {
        Self { me, slots: HashMap::new(), dials: 0 }
    }

    /// The connection with `to`, or how to come to one. `stop` is the parent of a new dialling's.
    pub(crate) fn next(&mut self, to: &Peer, now: Instant, stop: &CancellationToken) -> Next {
        let slot = self.slots.entry(to.key).or_insert_with(|| Slot::new(&to.address));
        match &slot.state {
            State::Connected(link) => return Next::Connected(link.clone()),
            State::Dialling(dialling) => return Next::Wait(dialling.outcome.subscribe()),
            State::Idle => {}
        }
        // Another address is another chance.
        if slot.address == to.address
            && let Some((at, error)) = slot.backoff.until(now)
        {
            return Next::Later(at, error.clone());
        }
        self.dials += 1;
        slot.address.clone_from(&to.address);
        let (outcome, outcomes) = watch::channel(None);
        let dialling =
            Dialling { id: self.dials, greeted: false, outcome, stop: stop.child_token() };
        let dial =
            Dial { id: self.dials, traffic: slot.traffic.clone(), stop: dialling.stop.clone() };
        slot.state = State::Dialling(dialling);
        Next::Dial(dial, outcomes)
    }

    /// Whether dialling goes on to the greeting; from here on the smaller key accepts no other.
    pub(crate) fn greet(&mut self, key: &PublicKey, id: u64) -> bool {
        let dialling = self.slots.get_mut(key).and_then(|slot| slot.dialling(id));
        dialling.map(|dialling| dialling.greeted = true).is_some()
    }

    /// The peer welcomed a connection that this node dialled; whether it stands.
    pub(crate) fn dialled(&mut self, id: u64, link: &Arc<Link>) -> bool {
        let Some(slot) = self.slots.get_mut(&link.key) else { return false };
        let wanted = slot.dialling(id).is_some();
        if wanted {
            slot.connect(link.clone());
        }
        wanted
    }

    /// Dialling failed.
    pub(crate) fn failed(&mut self, key: &PublicKey, id: u64, now: Instant, error: Error) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.dialling(id).is_some()
        {
            slot.fail(now, error);
        }
    }

    /// What becomes of a connection that the peer dialled. `link` makes it when it is welcome.
    pub(crate) fn accept(
        &mut self,
        Peer { key, address }: &Peer,
        source: Source,
        boot: u64,
        handler: &dyn Handler,
        link: impl FnOnce(Arc<Traffic>) -> Arc<Link>,
    ) -> Verdict {
        let standing = match self.check(key, source, handler) {
            Ok(standing) => standing,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let slot = self.slots.entry(*key).or_insert_with(|| Slot::new(address));
        let ours_stays = self.me < *key;
        match &slot.state {
            State::Dialling(dialling) if ours_stays && dialling.greeted => return Verdict::Yield,
            // It had greeted before it accepted ours. If it lost ours since, so do we, soon.
            State::Connected(link) if ours_stays && link.dialled() && link.boot == boot => {
                return Verdict::Yield;
            }
            State::Connected(link)
                if standing == Standing::Member
                    && link.boot != boot
                    && link.pulse.silence() < limits::RESTART_MIN =>
            {
                return Verdict::Refused(twins(key, &link.address));
            }
            _ => {}
        }
        let link = link(slot.traffic.clone());
        slot.connect(link);
        Verdict::Welcome
    }

    /// Whether `key` may connect at all, and there is room.
    fn check(
        &self,
        key: &PublicKey,
        source: Source,
        handler: &dyn Handler,
    ) -> Result<Standing, Error> {
        if *key == self.me {
            return Err(twins(key, "the address that was dialled"));
        }
        let standing = handler.standing(key)?;
        let (max, source_max) = match standing {
            Standing::Member => (limits::MEMBER_CONNECTIONS_MAX, limits::MEMBER_CONNECTIONS_MAX),
            Standing::Stranger => {
                (limits::STRANGER_CONNECTIONS_MAX, limits::STRANGER_CONNECTIONS_PER_SOURCE_MAX)
            }
        };
        // Where the others of its kind come from.
        let like = || {
            self.slots.iter().filter_map(|(other, slot)| match &slot.state {
                State::Connected(link) if other != key => {
                    link.source.filter(|_| handler.standing(other).ok() == Some(standing))
                }
                _ => None,
            })
        };
        let open = if like().count() >= max {
            format!("{max} of your kind are")
        } else if like().filter(|other| *other == source).count() >= source_max {
            format!("{source_max} of your kind, and from your address, are")
        } else {
            return Ok(standing);
        };
        Err(Error::exhausted(format!("connections to this node: {open} open; try again later")))
    }

    /// A connection ended.
    pub(crate) fn lost(&mut self, link: &Arc<Link>, now: Instant, handler: &dyn Handler) {
        let Some(slot) = self.slots.get_mut(&link.key) else { return };
        if !matches!(&slot.state, State::Connected(current) if Arc::ptr_eq(current, link)) {
            return;
        }
        slot.state = State::Idle;
        if now.duration_since(link.since) >= limits::STABLE_AFTER {
            slot.backoff.reset();
        } else if link.dialled() {
            slot.fail(now, link.broken());
        }
        // Strangers come and go, and are forgotten.
        if link.uninvited(handler) {
            self.slots.remove(&link.key);
        }
    }

    /// Forgets a peer.
    pub(crate) fn remove(&mut self, key: &PublicKey) {
        let Some(slot) = self.slots.remove(key) else { return };
        match slot.state {
            State::Idle => {}
            State::Dialling(dialling) => dialling.stop.cancel(),
            State::Connected(link) => link.cut("this node no longer deals with it"),
        }
    }

    pub(crate) fn stats(&self) -> Vec<PeerStats> {
        let mut stats: Vec<_> = self
            .slots
            .iter()
            .map(|(key, slot)| {
                let connected = matches!(slot.state, State::Connected(_));
                let failure = slot.backoff.failure().filter(|_| !connected);
                let failure = failure.map(|error| error.message.clone());
                slot.traffic.stats(*key, slot.address.clone(), connected, failure)
            })
            .collect();
        stats.sort_by_key(|peer| peer.key);
        stats
    }
}

/// The refusal of a second machine with one key.
fn twins(key: &PublicKey, address: &str) -> Error {
    Error::conflict(format!(
        "node {key}: a machine at {address} is up and has the same key; was a data directory copied? \
         each machine needs a key of its own"
    ))
}

#[cfg(test)]
mod tests;
