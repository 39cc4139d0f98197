//! Memberships in bytes: who votes, who learns, and where they are.

use crate::types::{LeaderId, LogId, Membership, StoredMembership};
use openraft::impls::BasicNode;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

#[derive(Clone, PartialEq, Message)]
struct StoredMessage {
    /// The entry that set it; absent before the first, and inside an entry.
    #[prost(message, optional, tag = "1")]
    at: Option<AtMessage>,
    /// One set of voters, or two while they change.
    #[prost(message, repeated, tag = "2")]
    configs: Vec<ConfigMessage>,
    /// Address by id, of voters and learners.
    #[prost(btree_map = "uint64, string", tag = "3")]
    nodes: BTreeMap<u64, String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct AtMessage {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigMessage {
    #[prost(uint64, repeated, tag = "1")]
    voters: Vec<u64>,
}

/// Who votes in a membership as [`Position::membership`](crate::Position) holds it; while voters
/// change, those of before and after. Nobody before the first entry.
///
/// # Errors
/// When it is malformed.
pub fn voters(membership: &[u8]) -> io::Result<BTreeSet<u64>> {
    Ok(decode_stored(membership)?.membership().voter_ids().collect())
}

pub(crate) fn encode(membership: &Membership) -> Vec<u8> {
    message(membership, None).encode_to_vec()
}

/// Of one encoding only: it comes from other nodes, too.
pub(crate) fn decode(bytes: &[u8]) -> io::Result<Membership> {
    let (membership, _) = parse(bytes)?;
    if encode(&membership) != bytes {
        return Err(invalid("it has unknown or repeated fields".into()));
    }
    Ok(membership)
}

pub(crate) fn encode_stored(stored: &StoredMembership) -> Vec<u8> {
    message(stored.membership(), stored.log_id().as_ref()).encode_to_vec()
}

/// Empty bytes are the membership before the first entry.
pub(crate) fn decode_stored(bytes: &[u8]) -> io::Result<StoredMembership> {
    if bytes.is_empty() {
        return Ok(StoredMembership::default());
    }
    parse(bytes).map(|(membership, at)| StoredMembership::new(at, membership))
}

fn message(membership: &Membership, at: Option<&LogId>) -> StoredMessage {
    StoredMessage {
        at: at.map(|id| AtMessage {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
        }),
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| ConfigMessage { voters: voters.iter().copied().collect() })
            .collect(),
        nodes: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
    }
}

fn parse(bytes: &[u8]) -> io::Result<(Membership, Option<LogId>)> {
    let message = StoredMessage::decode(bytes).map_err(|error| invalid(error.to_string()))?;
    let configs =
        message.configs.into_iter().map(|config| config.voters.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, BasicNode> =
        message.nodes.into_iter().map(|(id, addr)| (id, BasicNode { addr })).collect();
    let membership = Membership::new(configs, nodes).map_err(|error| invalid(error.to_string()))?;
    let at =
        message.at.map(|at| LogId::new(LeaderId { term: at.term, node_id: at.node }, at.index));
    Ok((membership, at))
}

fn invalid(error: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("membership: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_membership_survives() {
        let nodes: BTreeMap<u64, BasicNode> =
            [(1, "a:1"), (2, "b:2"), (9, "")].map(|(id, addr)| (id, BasicNode::new(addr))).into();
        let configs = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let members = Membership::new(configs, nodes).unwrap();
        assert_eq!(decode(&encode(&members)).unwrap(), members);
        for at in [None, Some(LogId::new(LeaderId { term: 3, node_id: 2 }, 77))] {
            let stored = StoredMembership::new(at, members.clone());
            assert_eq!(decode_stored(&encode_stored(&stored)).unwrap(), stored);
            assert_eq!(voters(&encode_stored(&stored)).unwrap(), BTreeSet::from([1, 2]));
        }
        assert_eq!(decode_stored(&[]).unwrap(), StoredMembership::default());
        assert!(decode(&[0xff]).is_err());
    }
}
