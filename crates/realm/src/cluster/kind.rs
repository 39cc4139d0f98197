//! What nodes of a realm say to each other.

use althing_peers::Kind;

/// A message of the log that wants an answer: votes, heartbeats.
pub(crate) const RAFT: Kind = Kind(1);
/// A pipe: appends of the log one way, their answers the other.
pub(crate) const APPENDS: Kind = Kind(2);
/// A pipe: a snapshot.
pub(crate) const SNAPSHOT: Kind = Kind(3);
/// An envelope for the leader; the answer is its outcomes.
pub(crate) const SUBMIT: Kind = Kind(4);
/// Up to which index must a state have come to show what was acknowledged until now?
pub(crate) const READ_INDEX: Kind = Kind(5);
/// A part of a blob.
pub(crate) const BLOB: Kind = Kind(6);
/// How the node is.
pub(crate) const HEALTH: Kind = Kind(7);
/// The chains after an entry.
pub(crate) const FINGERPRINT: Kind = Kind(8);
/// What the node found at a checkpoint, signed.
pub(crate) const VOUCH: Kind = Kind(9);
/// The leader hands over.
pub(crate) const TRANSFER: Kind = Kind(10);
/// A machine that was invited wants to become a member.
pub(crate) const JOIN: Kind = Kind(11);

/// Whether an image is ready on the node.
pub(crate) const READINESS: Kind = Kind(12);

/// How the members are.
pub(crate) const LIVE: Kind = Kind(13);

/// A member whose node is stopped wants the state.
pub(crate) const SEED: Kind = Kind(14);
/// A part of it.
pub(crate) const SEED_PART: Kind = Kind(15);

/// Who the members are, when the node knows more than the one that asks.
pub(crate) const MEMBERS: Kind = Kind(16);

/// What the logs of members say to each other.
pub(crate) const OF_THE_LOG: [Kind; 3] = [RAFT, APPENDS, SNAPSHOT];

/// What a machine may send that is no member.
pub(crate) const FOR_STRANGERS: [Kind; 1] = [JOIN];
