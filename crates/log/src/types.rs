//! What the consensus engine is told about our types.

use bytes::Bytes;
use openraft::impls::{BasicNode, BoxedErrorSource, InlineBatch, ProgressResponder, leader_id_adv};
use openraft::{AsyncRuntime, EntryPayload, OptionalSend, RaftTypeConfig};
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

/// The engine's types: responses `A`, async runtime `T`.
pub struct Types<A, T>(PhantomData<fn() -> (A, T)>);

/// What is proposed: opaque here.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A leader is a term and a node: two nodes may lead in one term, and the greater id wins.
pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Payload = EntryPayload<Command, u64, BasicNode>;
pub(crate) type Entry = openraft::Entry<LeaderId, Payload>;
pub(crate) type Ballot = openraft::Vote<LeaderId>;
pub(crate) type Membership = openraft::Membership<u64, BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId, u64, BasicNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, BasicNode>;
pub(crate) type Snapshot =
    openraft::storage::Snapshot<LeaderId, u64, BasicNode, crate::SnapshotFile>;

impl<A: Send + Sync + 'static, T: AsyncRuntime> RaftTypeConfig for Types<A, T> {
    type D = Command;
    /// None for the engine's own entries.
    type R = Option<A>;
    type NodeId = u64;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Ballot;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = T;
    type Responder<V>
        = ProgressResponder<Self, V>
    where
        V: OptionalSend + 'static;
    type Batch<V>
        = InlineBatch<V>
    where
        V: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

// By hand, since derives would ask the same of `A` and `T`. There is one value, equal to itself.
impl<A, T> fmt::Debug for Types<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}
impl<A, T> Clone for Types<A, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, T> Copy for Types<A, T> {}
impl<A, T> Default for Types<A, T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<A, T> PartialEq for Types<A, T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<A, T> Eq for Types<A, T> {}
impl<A, T> PartialOrd for Types<A, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<A, T> Ord for Types<A, T> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
