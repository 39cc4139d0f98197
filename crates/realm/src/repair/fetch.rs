//! The state, from another member.

use super::own::Own;
use crate::{
    cluster::{
        divergence::{self, ANSWER_WAIT},
        kind,
        reseed::{Seed, SeedPart},
    },
    halt::internal,
    transfer::{Offer, Receiver},
};
use althing_log::SnapshotFile;
use althing_peers::{Peer, Peers};
use althing_protocol::{Contact, Error, PublicKey, Result, decode, realm_id, v1};
use bytes::Bytes;
use prost::Message;
use std::{collections::BTreeSet, time::Duration};

/// For a member to offer its state, which it may have to write first.
const OFFER_WAIT: Duration = Duration::from_secs(600);
/// For a part of it to arrive.
const PART_WAIT: Duration = Duration::from_secs(30);

/// A member that offers a state which this node's log can go on behind.
pub(super) struct Source<'a> {
    peers: &'a Peers,
    own: &'a Own,
    peer: Peer,
    /// Its id.
    pub(super) member: u64,
    pub(super) genesis: Vec<u8>,
    pub(super) offer: Offer,
    members: Vec<v1::Member>,
}

impl<'a> Source<'a> {
    /// The first member that has what this node needs.
    pub(super) async fn find(
        peers: &'a Peers,
        own: &'a Own,
        contacts: &[Contact],
    ) -> Result<Source<'a>> {
        let candidates = candidates(own, contacts);
        let mut refused = Vec::new();
        for peer in candidates {
            let address = peer.address.clone();
            match Self::ask(peers, own, peer).await {
                Ok(source) => return Ok(source),
                Err(error) => {
                    tracing::warn!(address, %error, "a member does not give its state");
                    refused.push(format!("{address}: {}", error.message));
                }
            }
        }
        Err(Error::unavailable(match refused.is_empty() {
            true => {
                "no other member is known here; name one with --from KEY@HOST:PORT, as `althing \
                     members --json` shows it on another node"
                    .into()
            }
            false => format!("no other member gives its state: {}", refused.join("; ")),
        }))
    }

    async fn ask(peers: &'a Peers, own: &'a Own, peer: Peer) -> Result<Source<'a>> {
        let answer = peers.call(&peer, &own.realm, kind::SEED, Bytes::new(), OFFER_WAIT).await?;
        let Seed { genesis, offer, members } = decode("offer of a state", &answer)?;
        let found = realm_id(&genesis);
        if found != own.realm {
            return Err(Error::denied(format!("it offers the state of realm {found}")));
        }
        let offer = Offer::decode(&offer)?;
        let current = |key: &PublicKey| {
            members.iter().find(|member| member.is_current() && member.key == key.0)
        };
        let member = current(&peer.key).map_or(0, |member| member.id);
        let me = current(&own.key).filter(|me| me.id == own.log.node).ok_or_else(|| {
            Error::conflict(format!(
                "the key {} is not that of member {}, or that is no member any more; the machine \
                 joins anew, with an empty data directory",
                own.key, own.log.node
            ))
        })?;
        // The log must go on where it ends, and it must know this member.
        let first = own.log.first.max(me.joined + 1);
        if offer.applied.index + 1 < first {
            return Err(Error::conflict(format!(
                "its state is of entry {}, and this node needs one of entry {} or later; try again \
                 in some minutes",
                offer.applied.index,
                first - 1
            )));
        }
        Ok(Self { peers, own, peer, member, genesis, offer, members })
    }

    /// The voters beside it and this node.
    fn witnesses(&self) -> impl Iterator<Item = &v1::Member> {
        let others = move |member: &&v1::Member| {
            member.is_voter() && member.id != self.member && member.id != self.own.log.node
        };
        self.members.iter().filter(others)
    }

    /// Asks the other voters whether they have the chains that the state comes with.
    ///
    /// # Errors
    /// `conflict` when most of those who know have others.
    pub(super) async fn confirm(&self) -> Result<()> {
        let asked = self.witnesses().map(|voter| async move {
            let answer = self.chains_of(voter).await;
            (voter.id, answer.and_then(|bytes| divergence::answer(&bytes)))
        });
        let answers = futures::future::join_all(asked).await;
        divergence::judge(&self.offer.applied, self.member, answers)
    }

    async fn chains_of(&self, voter: &v1::Member) -> Result<Bytes> {
        let peer = peer(voter)
            .ok_or_else(|| Error::unavailable(format!("member {}: has no address", voter.id)))?;
        let question = divergence::question(self.offer.applied.index);
        self.peers.call(&peer, &self.own.realm, kind::FINGERPRINT, question, ANSWER_WAIT).await
    }

    /// Fetches the file, from where an earlier try ended.
    pub(super) async fn fetch(&self, progress: impl Fn(u64, u64) + Send) -> Result<SnapshotFile> {
        let (dir, genesis, offer) =
            (self.own.dir.clone(), self.genesis.clone(), self.offer.clone());
        let (file, bytes) = (offer.file_hash.0.to_vec(), offer.bytes);
        let free = crate::housekeeping::free_bytes(&dir).unwrap_or(u64::MAX);
        let open = move || Receiver::open(&dir, &genesis, offer, free);
        let mut receiver = tokio::task::spawn_blocking(open).await.map_err(internal)??;
        while !receiver.is_complete() {
            progress(receiver.have(), bytes);
            let wanted = SeedPart { file: file.clone(), offset: receiver.have() };
            let wanted = wanted.encode_to_vec().into();
            let part =
                self.peers.call(&self.peer, &self.own.realm, kind::SEED_PART, wanted, PART_WAIT);
            let part = part.await?;
            if part.is_empty() {
                return Err(Error::invalid("the other node ends its state too early"));
            }
            let put = move || {
                let at = receiver.have();
                receiver.put(at, &part).map(|_| receiver)
            };
            receiver = tokio::task::spawn_blocking(put).await.map_err(internal)??;
        }
        progress(bytes, bytes);
        tokio::task::spawn_blocking(move || receiver.finish()).await.map_err(internal)?
    }
}

/// Whom to ask: those that were named, or those that are known, first who is known to be right.
fn candidates(own: &Own, contacts: &[Contact]) -> Vec<Peer> {
    if !contacts.is_empty() {
        let peer = |contact: &Contact| Peer { key: contact.key, address: contact.address.clone() };
        return contacts.iter().map(peer).collect();
    }
    let signers: BTreeSet<&str> = own.signers.iter().map(String::as_str).collect();
    let others =
        own.members.iter().filter(|member| member.is_current() && member.id != own.log.node);
    let mut others: Vec<_> = others.filter_map(|member| Some((member, peer(member)?))).collect();
    others.sort_by_key(|(member, peer)| {
        (!signers.contains(peer.key.to_string().as_str()), !member.is_voter(), member.id)
    });
    others.into_iter().map(|(_, peer)| peer).collect()
}

fn peer(member: &v1::Member) -> Option<Peer> {
    let key = PublicKey::try_from(member.key.as_slice()).ok()?;
    let address = member.address.clone();
    (!address.is_empty()).then_some(Peer { key, address })
}
