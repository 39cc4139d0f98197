//! Signatures are checked once on each node, in batches, off the apply thread: at the door of the
//! node that proposes, and on the others when an entry comes into their log.

use crate::realm::Core;
use althing_protocol::{Batch, Hash, decode, v1, verify_all};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Envelopes checked at the door whose entries are not applied yet, at most: the queue bounds those
/// that are on their way. Proposals that were lost never come; the older half goes for newer ones.
const AT_DOOR_MAX: usize = 1 << 16;
/// Entries of other leaders that are checked and not applied yet, at most.
const APPENDED_MAX: usize = 1 << 16;
/// Entries that wait to be checked, and their bytes, at most. One more is checked when it is applied.
const WAITING_MAX: usize = 4_096;
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Signatures checked at once: beyond this a batch gains nothing.
const GROUP_MAX: usize = 64;

/// Envelopes whose signature this node has checked: apply need not check them again.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// The newer ones, and those before.
    at_door: [HashSet<Hash>; 2],
    /// By index, so that what came too late for apply is forgotten.
    appended: BTreeMap<u64, Hash>,
    applied: u64,
}

impl Verified {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checked at the door.
    pub(crate) fn add(&self, envelope: &v1::Envelope) {
        let mut names = self.names();
        let [newer, older] = &mut names.at_door;
        if newer.len() >= AT_DOOR_MAX / 2 {
            *older = std::mem::take(newer);
        }
        newer.insert(name(envelope));
    }

    /// Checked when it came into the log at `index`.
    fn add_appended(&self, index: u64, envelope: &v1::Envelope) {
        let mut names = self.names();
        if index > names.applied && names.appended.len() < APPENDED_MAX {
            names.appended.insert(index, name(envelope));
        }
    }

    /// Whether the envelope of entry `index`, which is applied now, was checked.
    pub(crate) fn take(&self, index: u64, envelope: &v1::Envelope) -> bool {
        let name = name(envelope);
        let mut names = self.names();
        names.applied = names.applied.max(index);
        let later = names.appended.split_off(&index.saturating_add(1));
        let appended = std::mem::replace(&mut names.appended, later);
        let at_door = names.at_door.iter_mut().any(|checked| checked.remove(&name));
        at_door || appended.get(&index) == Some(&name)
    }
}

/// Covers signature and body: the same signature over another body is another envelope.
fn name(envelope: &v1::Envelope) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(envelope.signature.len() as u64).to_le_bytes());
    hasher.update(&envelope.signature).update(&envelope.body);
    Hash(*hasher.finalize().as_bytes())
}

/// Entries on their way to the thread that checks them.
#[derive(Clone)]
pub(crate) struct Appended {
    entries: SyncSender<(u64, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

/// The other end.
pub(crate) struct Waiting {
    entries: Receiver<(u64, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

pub(crate) fn channel() -> (Appended, Waiting) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let bytes = Arc::<AtomicUsize>::default();
    (Appended { entries: sender, bytes: Arc::clone(&bytes) }, Waiting { entries: receiver, bytes })
}

impl Appended {
    /// Has an entry checked, if there is room: it never waits.
    pub(crate) fn check(&self, index: u64, entry: &Bytes) {
        let len = entry.len();
        if self.bytes.fetch_add(len, Ordering::Relaxed) + len > WAITING_BYTES_MAX
            || self.entries.try_send((index, entry.clone())).is_err()
        {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
        }
    }
}

/// Runs until nobody can send any more.
pub(crate) fn run(core: &Core, waiting: &Waiting) {
    while let Ok(first) = waiting.entries.recv() {
        let more = waiting.entries.try_iter().take(GROUP_MAX - 1);
        let group: Vec<_> = std::iter::once(first).chain(more).collect();
        let bytes = group.iter().map(|(_, entry)| entry.len()).sum();
        let signed: Vec<_> =
            group.iter().filter_map(|(index, entry)| signed(*index, entry)).collect();
        let asked: Vec<_> =
            signed.iter().map(|(_, envelope, author)| (envelope, *author)).collect();
        // What is not good apply finds out itself, and says so in the outcome.
        for (verdict, (index, envelope, _)) in
            verify_all(&asked, rand::rng()).into_iter().zip(&signed)
        {
            if verdict.is_ok() {
                core.verified.add_appended(*index, envelope);
            }
        }
        waiting.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn signed(index: u64, entry: &[u8]) -> Option<(u64, v1::Envelope, althing_protocol::PublicKey)> {
    let entry: v1::Entry = decode("entry", entry).ok()?;
    let Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) })) = entry.kind else {
        return None;
    };
    let author = Batch::decode(&envelope).ok()?.author;
    Some((index, envelope, author))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Follower, key, put, realm};
    use althing_log::{Committed, Replica};
    use althing_protocol::{sign, sys};
    use prost::Message;
    use tempfile::TempDir;

    fn envelope(n: u8) -> v1::Envelope {
        v1::Envelope { body: vec![n; 3], signature: vec![n; 64] }
    }

    #[test]
    fn each_is_taken_once_and_only_where_it_is() {
        let verified = Verified::default();
        verified.add(&envelope(1));
        assert!(verified.take(5, &envelope(1)));
        assert!(!verified.take(6, &envelope(1)));
        verified.add_appended(7, &envelope(2));
        verified.add_appended(8, &envelope(3));
        assert!(!verified.take(7, &envelope(3)), "another leader replaced it");
        assert!(verified.take(8, &envelope(3)));
        assert!(!verified.take(8, &envelope(3)));
    }

    #[test]
    fn proposals_that_were_lost_make_room() {
        let verified = Verified::default();
        let numbered =
            |n: u32| v1::Envelope { body: n.to_le_bytes().to_vec(), signature: vec![1; 64] };
        let count = 2 * AT_DOOR_MAX as u32;
        for n in 0..count {
            verified.add(&numbered(n));
            let held: usize = verified.names().at_door.iter().map(HashSet::len).sum();
            assert!(held <= AT_DOOR_MAX);
        }
        assert!(!verified.take(1, &numbered(0)), "it was lost long ago");
        let newest = count - AT_DOOR_MAX as u32 / 2..count;
        assert!(newest.into_iter().all(|n| verified.take(1, &numbered(n))));
    }

    #[test]
    fn what_came_too_late_is_forgotten() {
        let verified = Verified::default();
        for index in 1..=10 {
            verified.add_appended(index, &envelope(1));
        }
        assert!(!verified.take(10, &envelope(2)));
        verified.add_appended(9, &envelope(1));
        assert!(verified.names().appended.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (appended, waiting) = channel();
        let entry = Bytes::from(vec![0; WAITING_BYTES_MAX / 4]);
        for index in 0..10 {
            appended.check(index, &entry);
        }
        assert_eq!(waiting.entries.try_iter().count(), 4);
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 4 * entry.len());
    }

    /// The next entry, without what it says.
    fn next(follower: &Follower) -> Committed {
        let at = follower.replica.applied();
        let (index, term, node) = (at.index + 1, at.term, at.node);
        Committed { index, term, node, bytes: None, membership: None }
    }

    /// A membership as the log writes it: its voters, and an empty address for each.
    fn only_voter(id: u8) -> Vec<u8> {
        let bytes = vec![0x12, 3, 0x0a, 1, id, 0x1a, 2, 0x08, id];
        assert_eq!(althing_log::voters(&bytes).unwrap(), [u64::from(id)].into());
        bytes
    }

    /// Whether the signature is what an entry fails for that the founder did not sign.
    async fn checks(follower: &Follower) -> bool {
        let batch = Batch {
            realm: follower.core.id,
            author: key(1).public(),
            session: 99,
            sequence: 1,
            instructions: vec![sys::put("/a", "forged")],
        };
        let mut envelope = sign(&key(1), batch);
        envelope.signature[0] ^= 1;
        let kind = v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) });
        let entry = v1::Entry { timestamp_us: 1, seed: vec![0; 16], kind: Some(kind) };
        let bytes = Some(entry.encode_to_vec().into());
        let ran = follower.replica.apply(vec![Committed { bytes, ..next(follower) }]).await;
        match &ran.unwrap()[0].outcomes[0].result {
            Some(v1::outcome::Result::Failure(failure)) => failure.message.contains("signature"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_a_node_that_voted_alone_replays_without_a_check() {
        let dir = TempDir::new().unwrap();
        let first = realm(dir.path()).await;
        put(&first, "a", 1).await;
        first.shutdown().await.unwrap();
        drop(first);
        // Each of these is in the log already when the node opens.
        let follower = Follower::open(dir.path());
        assert!(!checks(&follower).await, "its own door did");
        let membership = Some(only_voter(2));
        follower.apply(vec![Committed { membership, ..next(&follower) }]).await;
        assert!(checks(&follower).await, "another node proposes from there on");
        let membership = Some(only_voter(1));
        follower.apply(vec![Committed { membership, ..next(&follower) }]).await;
        assert!(checks(&follower).await, "what came between was never checked");
        let membership = Some(only_voter(2));
        follower.apply(vec![Committed { membership, ..next(&follower) }]).await;
        follower.close();
        let follower = Follower::open(dir.path());
        assert!(checks(&follower).await, "another node proposed it");
        follower.close();
    }
}
