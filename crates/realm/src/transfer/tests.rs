#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{put, realm};
use althing_protocol::Kind;
use althing_state::{Key, Scope, Store, View, Writes, snapshot};
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

const GENESIS: &[u8] = b"genesis of the test realm";

/// The state after entry 7.
fn store(genesis: &[u8], value: u8) -> Store {
    let backend = althing_state::InMemoryBackend::new();
    let store = Store::create_with_backend(backend, genesis, Writes::new(), &Default::default());
    let store = store.unwrap();
    let mut tip = store.tip();
    let mut scope = Scope::new(tip.view());
    for n in 0..50_u8 {
        // Nothing that can be compressed.
        let random = blake3::hash(&[n]);
        scope.put(Key::new("test", &[n]), [random.as_bytes(), &[value][..]].concat()).unwrap();
    }
    tip.merge(scope.into_writes());
    let membership = b"members".as_slice().into();
    let applied = Applied { index: 7, term: 2, node: 3, membership, ..tip.applied().clone() };
    tip.set_applied(applied);
    tip.publish();
    store
}

struct Transfer {
    dir: TempDir,
    sent: Outgoing,
}

impl Transfer {
    fn new() -> Self {
        Self::of(&store(GENESIS, 1).view())
    }

    fn of(view: &View) -> Self {
        let dir = TempDir::new().unwrap();
        let sent = Outgoing::make(dir.path(), view).unwrap();
        Self { dir, sent }
    }

    fn realm(&self) -> std::path::PathBuf {
        self.dir.path().join("realm")
    }

    fn receiver(&self) -> Receiver {
        self.receive(self.sent.offer().clone(), GENESIS).unwrap()
    }

    fn receive(&self, offer: Offer, genesis: &[u8]) -> Result<Receiver> {
        Receiver::open(&self.realm(), genesis, offer, u64::MAX)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < self.sent.offer().bytes {
            bytes.extend_from_slice(&self.sent.chunk(bytes.len() as u64, usize::MAX).unwrap());
        }
        bytes
    }

    /// Sends all in chunks of this length.
    fn send(&self, receiver: &mut Receiver, bytes_max: usize) {
        while !receiver.is_complete() {
            let chunk = self.sent.chunk(receiver.have(), bytes_max).unwrap();
            receiver.put(receiver.have(), &chunk).unwrap();
        }
    }

    fn kept(&self) -> usize {
        fs::read_dir(incoming_dir(&self.realm())).unwrap().count()
    }
}

#[test]
fn a_transfer_cut_at_every_chunk_goes_on() {
    let transfer = Transfer::new();
    let bytes = transfer.sent.offer().bytes;
    let mut attempts = 0;
    loop {
        // Each attempt gets one chunk further, and is then forgotten.
        let mut receiver = transfer.receiver();
        assert_eq!(receiver.have(), (attempts * 100).min(bytes));
        if receiver.is_complete() {
            let file = receiver.finish().unwrap();
            assert_eq!(file.position, transfer.sent.offer().position());
            let path = file.path.unwrap();
            assert_eq!(fs::read(&path).unwrap(), transfer.bytes());
            let header = snapshot::read_header(fs::File::open(path).unwrap()).unwrap();
            assert_eq!(header.applied, transfer.sent.offer().applied);
            break;
        }
        let chunk = transfer.sent.chunk(receiver.have(), 100).unwrap();
        receiver.put(receiver.have(), &chunk).unwrap();
        attempts += 1;
    }
    assert_eq!(attempts, bytes.div_ceil(100));
}

#[test]
fn what_is_whole_and_was_not_installed_is_received_already() {
    let transfer = Transfer::new();
    let mut receiver = transfer.receiver();
    transfer.send(&mut receiver, usize::MAX);
    let file = receiver.finish().unwrap();
    let again = transfer.receiver();
    assert!(again.is_complete());
    assert_eq!(again.finish().unwrap(), file);
}

#[test]
fn chunks_that_come_twice_or_overlap_are_the_same_file() {
    let transfer = Transfer::new();
    let bytes = transfer.bytes();
    let mut receiver = transfer.receiver();
    for (offset, end, have) in [(0, 100, 100), (0, 100, 100), (50, 150, 150), (20, 60, 150)] {
        assert_eq!(receiver.put(offset as u64, &bytes[offset..end]), Ok(have));
    }
    transfer.send(&mut receiver, 333);
    receiver.finish().unwrap();
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let transfer = Transfer::new();
    let length = transfer.sent.offer().bytes;
    let mut receiver = transfer.receiver();
    receiver.put(0, &transfer.bytes()[..10]).unwrap();
    let too_large = vec![0; CHUNK_BYTES_MAX + 1];
    for (offset, chunk) in [
        (11, &[0][..]),
        (10, &vec![0; usize::try_from(length).unwrap() - 9]),
        (u64::MAX, &[0]),
        (0, &too_large),
    ] {
        assert_eq!(receiver.put(offset, chunk).unwrap_err().kind, Kind::Invalid, "{offset}");
        assert_eq!(receiver.have(), 10);
    }
    assert_eq!(receiver.finish().unwrap_err().kind, Kind::Conflict, "some is still to come");
    assert_eq!(transfer.receiver().have(), 10, "and can go on");
    assert_eq!(transfer.sent.chunk(length + 1, 1).unwrap_err().kind, Kind::Invalid);
    assert!(transfer.sent.chunk(length, 1).unwrap().is_empty());
}

#[test]
fn an_altered_byte_anywhere_is_refused_and_the_file_goes() {
    let transfer = Transfer::new();
    let whole = transfer.bytes();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        let mut receiver = transfer.receiver();
        receiver.put(0, &altered).unwrap();
        let error = receiver.finish().unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "byte {at}: {error}");
        assert_eq!(transfer.kept(), 0);
    }
}

/// The offer of another file than the one that is sent, or of another state.
#[test]
fn what_was_not_offered_is_refused() {
    let hash = Hash([7; 32]);
    type Change = fn(&mut Offer, Hash);
    let cases: [(&str, Change); 5] = [
        ("its hash is", |offer, hash| offer.file_hash = hash),
        ("was offered", |offer, hash| offer.state_hash = hash),
        ("was offered", |offer, hash| offer.applied.result_chain = hash),
        ("was offered", |offer, _| offer.applied.index += 1),
        ("was offered", |offer, _| offer.applied.membership = b"others".as_slice().into()),
    ];
    for (says, change) in cases {
        let transfer = Transfer::new();
        let mut offer = transfer.sent.offer().clone();
        change(&mut offer, hash);
        let mut receiver = transfer.receive(offer, GENESIS).unwrap();
        transfer.send(&mut receiver, usize::MAX);
        let error = receiver.finish().unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains(says), "{says}: {error}");
        assert_eq!(transfer.kept(), 0);
    }
}

#[test]
fn another_realms_snapshot_is_refused() {
    let transfer = Transfer::of(&store(b"another genesis", 1).view());
    let mut receiver = transfer.receiver();
    transfer.send(&mut receiver, usize::MAX);
    let error = receiver.finish().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("not of realm"), "{error}");
    assert_eq!(transfer.kept(), 0);
}

/// A file that is whole, and whose header promises another state than its pairs are.
#[test]
fn a_state_hash_that_is_not_the_pairs_is_refused() {
    let transfer = Transfer::new();
    let mut bytes = transfer.bytes();
    let state_hash = transfer.sent.offer().state_hash;
    let at = bytes.windows(32).position(|window| window == state_hash.0).unwrap();
    let lie = Hash([8; 32]);
    bytes[at..at + 32].copy_from_slice(&lie.0);
    let body = bytes.len() - 32;
    let check = Hash::of(&bytes[..body]);
    bytes[body..].copy_from_slice(&check.0);
    let file_hash = Hash::of(&bytes);
    let offer = Offer { state_hash: lie, file_hash, ..transfer.sent.offer().clone() };
    let mut receiver = transfer.receive(offer, GENESIS).unwrap();
    receiver.put(0, &bytes).unwrap();
    let error = receiver.finish().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("its state hash is"), "{error}");
}

#[test]
fn a_realm_receives_one_file_at_a_time() {
    let transfer = Transfer::new();
    let mut receiver = transfer.receiver();
    receiver.put(0, &transfer.bytes()[..100]).unwrap();
    let newer = Transfer::of(&store(GENESIS, 2).view());
    let mut other = transfer.receive(newer.sent.offer().clone(), GENESIS).unwrap();
    assert_eq!((other.have(), transfer.kept()), (0, 1));
    newer.send(&mut other, usize::MAX);
    other.finish().unwrap();
}

#[test]
fn a_disk_without_room_is_said_before_anything_is_sent() {
    let transfer = Transfer::new();
    let offer = transfer.sent.offer().clone();
    let open = |free| Receiver::open(&transfer.realm(), GENESIS, offer.clone(), free);
    let error = open(offer.bytes - 1).unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    let mut receiver = open(offer.bytes).unwrap();
    receiver.put(0, &transfer.bytes()[..100]).unwrap();
    // What is here already needs no room.
    assert_eq!(open(offer.bytes - 100).unwrap().have(), 100);
    assert_eq!(open(offer.bytes - 101).unwrap_err().kind, Kind::Exhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_shared_found_and_gone_with_their_last_reader() {
    let dir = TempDir::new().unwrap();
    let realm = realm(&dir.path().join("realm")).await;
    put(&realm, "a", 3).await;
    let outbox = &realm.core.outbox;
    let count = || fs::read_dir(outgoing_dir(&realm.core.options.dir)).unwrap().count();
    let first = outbox.offer(&realm.core).await.unwrap();
    put(&realm, "b", 3).await;
    let again = outbox.offer(&realm.core).await.unwrap();
    assert_eq!(again.offer(), first.offer());
    let found = outbox.of(&first.as_file()).unwrap();
    assert_eq!(found.offer(), first.offer());
    assert_eq!(outbox.needed_from().unwrap(), first.offer().position());

    // Too old to be sent anew, it serves who reads it; a newer one takes its place.
    first.age();
    let second = outbox.offer(&realm.core).await.unwrap();
    assert!(second.offer().applied.index > first.offer().applied.index);
    assert_eq!(outbox.needed_from().unwrap(), second.offer().position());
    second.age();
    let busy = outbox.offer(&realm.core).await.map(|_| ()).unwrap_err();
    assert_eq!(busy.kind, Kind::Exhausted, "{busy}");
    assert_eq!(count(), 2);
    assert_eq!(first.chunk(0, 8).unwrap(), "althsnap");
    first.age();
    drop((first, again, found));
    assert_eq!(outbox.needed_from(), None);
    assert_eq!(count(), 1);
    let third = outbox.offer(&realm.core).await.unwrap();
    drop((second, third));
    assert_eq!((outbox.needed_from().is_some(), count()), (true, 1));
    realm.shutdown().await.unwrap();
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

proptest! {
    #[test]
    fn an_offer_survives_its_encoding(
        numbers in any::<[u64; 5]>(),
        hashes in [hash(), hash(), hash(), hash()],
        membership in prop::collection::vec(any::<u8>(), 0..64),
        cut in any::<prop::sample::Index>(),
    ) {
        let [index, term, node, timestamp_us, bytes] = numbers;
        let [entry_chain, result_chain, state_hash, file_hash] = hashes;
        let membership = membership.into();
        let applied =
            Applied { index, term, node, timestamp_us, entry_chain, result_chain, membership };
        let offer = Offer { applied, state_hash, file_hash, bytes };
        let encoded = offer.encode();
        prop_assert_eq!(Offer::decode(&encoded).unwrap(), offer.clone());
        let cut = Offer::decode(&encoded[..cut.index(encoded.len())]);
        prop_assert!(cut.map_or(true, |other| other != offer));
    }

    #[test]
    fn any_bytes_are_an_offer_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(offer) = Offer::decode(&bytes) {
            prop_assert_eq!(offer.encode(), bytes);
        }
    }
}
