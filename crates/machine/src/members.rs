//! Which nodes the realm is to have.
//!
//! This is what is wanted. The node that leads makes it so in the log's own membership, one step at
//! a time; that it takes a while is no concern of the state.
//!
//! A member's record stays when its membership ends. So an id is never given out twice, and a key
//! that was removed never comes back: a node that lost its disk might vote twice under its old name.

use crate::{
    Halt, Machine,
    grants::{Read, decode_stored},
    keyspace,
};
use althing_protocol::{PublicKey, Result, limits, v1};
use althing_state::{Key, View};

/// The id of the first member.
const FIRST: u64 = 1;

pub(crate) fn key(id: u64) -> Key {
    Key::new(keyspace::MEMBER, &id.to_be_bytes())
}

pub(crate) fn invite_key(invite: &[u8]) -> Key {
    Key::new(keyspace::INVITE, invite)
}

/// All there ever were, by id.
pub(crate) fn list(state: &impl Read) -> Result<Vec<v1::Member>, Halt> {
    let pairs = state.pairs(keyspace::MEMBER, b"", limits::MEMBERS_MAX + 1)?;
    pairs.iter().map(|(_, bytes)| decode_stored("member", bytes)).collect()
}

/// Invitations that were neither used nor taken back, by their keys.
pub(crate) fn invites(state: &impl Read) -> Result<Vec<(PublicKey, v1::Invite)>, Halt> {
    let pairs = state.pairs(keyspace::INVITE, b"", limits::INVITES_MAX + 1)?;
    pairs
        .iter()
        .map(|(key, bytes)| {
            let key = PublicKey::try_from(key.as_slice())
                .map_err(|_| Halt::new("state: the key of an invitation is malformed"))?;
            Ok((key, decode_stored("invitation", bytes)?))
        })
        .collect()
}

/// The node that founded the realm.
pub(crate) fn first(node: &PublicKey) -> v1::Member {
    v1::Member {
        id: FIRST,
        key: node.0.to_vec(),
        role: v1::MemberRole::Voter.into(),
        priority: limits::PRIORITY_DEFAULT,
        ..v1::Member::default()
    }
}

/// Ids count up.
pub(crate) fn next_id(all: &[v1::Member]) -> u64 {
    all.last().map_or(FIRST, |last| last.id + 1)
}

impl Machine {
    /// All members there ever were, by id; [`v1::Member::is_current`] says which are members still.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn members(&self, view: &View) -> Result<Vec<v1::Member>, Halt> {
        list(view)
    }

    /// Invitations that were neither used nor taken back, by their keys. Some may have expired.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn invites(&self, view: &View) -> Result<Vec<(PublicKey, v1::Invite)>, Halt> {
        invites(view)
    }
}
