#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Divergence, Freshness, Realm, VerifyRange, snapshot,
    testing::{Follower, copy, entries, key, options, put, realm, run},
    transfer::Receiver,
};
use althing_protocol::{CheckpointValues, Hash, Need, sys};
use prost::Message;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A realm that has gone on since another node had its state, and that node's directory.
async fn parted(dir: &TempDir) -> (Arc<Realm>, std::path::PathBuf) {
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let realm = realm(&first).await;
    put(&realm, "before", 5).await;
    realm.shutdown().await.unwrap();
    drop(realm);
    copy(&first, &second);
    let realm = Realm::open(options(&first)).await.unwrap();
    put(&realm, "after", 20).await;
    let grant = v1::Grant {
        subject: format!("key:{}", key(2).public()),
        program: "sys".into(),
        method: "put".into(),
        ..v1::Grant::default()
    };
    run(&realm, sys::grant(&grant)).await;
    (realm, second)
}

/// Carries the state of `from` into the directory of another node.
async fn carry(from: &Realm, to: &Path) -> SnapshotFile {
    let sent = from.core.outbox.offer(&from.core).await.unwrap();
    let genesis = from.core.store.genesis();
    let mut receiver = Receiver::open(to, &genesis, sent.offer().clone(), u64::MAX).unwrap();
    while !receiver.is_complete() {
        let chunk = sent.chunk(receiver.have(), 1_000).unwrap();
        receiver.put(receiver.have(), &chunk).unwrap();
    }
    receiver.finish().unwrap()
}

fn same_state(core: &Core, other: &Core) {
    let (view, others) = (core.store.view(), other.store.view());
    assert_eq!(view.applied(), others.applied());
    assert_eq!(view.state_hash().unwrap(), others.state_hash().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_the_place_of_the_state_and_entries_follow_it() {
    let dir = TempDir::new().unwrap();
    let (first, second) = parted(&dir).await;
    let follower = Follower::open(&second);
    let core = &follower.core;
    // Some of what the snapshot holds is applied here, and not on disk.
    let next = follower.replica.applied().index + 1;
    let mut missed = entries(&first, next).await;
    missed.truncate(4);
    follower.apply(missed).await;
    let put_need = Need::new("sys", "put");
    let may_put = |core: &Core| {
        let table = core.machine.grants(&core.store.view()).unwrap();
        table.allow(&key(2).public(), &put_need, 0).is_ok()
    };
    assert!(!may_put(core));
    let before = core.store.view();
    let was = (before.applied().clone(), before.state_hash().unwrap());

    let file = carry(&first, &second).await;
    let at = file.position.clone();
    let path = file.path.clone().unwrap();
    follower.replica.install(file).await.unwrap();
    assert_eq!(follower.replica.applied(), at);
    assert_eq!((*core.applied.borrow(), *core.flushed.borrow()), (at.index, at.index));
    assert_eq!(core.store.durable().index, at.index);
    assert_eq!(core.store.checkpoint_last().unwrap().unwrap().index, at.index);
    assert_eq!(core.vouch(at.index, &key(2)).unwrap(), None, "what was copied was not found here");
    same_state(core, &first.core);
    assert!(may_put(core), "the table of grants is that of the new state");
    assert!(!path.exists(), "the file has served");
    assert_eq!((before.applied().clone(), before.state_hash().unwrap()), was);
    drop(before);

    put(&first, "later", 10).await;
    follower.apply(entries(&first, at.index + 1).await).await;
    same_state(core, &first.core);
    let last = follower.replica.applied().index;
    for index in at.index..=last {
        let own = core.store.view().fingerprint(index).unwrap();
        let known = first.core.fingerprint(index).unwrap();
        assert_eq!(own, known.filter(|_| index > at.index), "{index}");
    }
    follower.close();

    let follower = Follower::open(&second);
    assert_eq!(follower.replica.applied().index, last);
    put(&first, "last", 3).await;
    follower.apply(entries(&first, last + 1).await).await;
    same_state(&follower.core, &first.core);
    follower.close();
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_begins_behind_it() {
    let dir = TempDir::new().unwrap();
    let (first, second) = parted(&dir).await;
    let follower = Follower::open(&second);
    let file = carry(&first, &second).await;
    let at = file.position.index;
    follower.replica.install(file).await.unwrap();
    // As the only voter it has no leader to tell its log where to begin.
    follower.core.store.meta_put(snapshot::RESTORED, b"yes").unwrap();
    follower.close();
    fs::remove_dir_all(second.join("log")).unwrap();
    for n in 0..2 {
        let realm = Realm::open(options(&second)).await.unwrap();
        assert_eq!(realm.first_kept().unwrap(), at + 1);
        put(&realm, &format!("second/{n}"), 3).await;
        let view = realm.view(Freshness::Linearizable).await.unwrap();
        let after = althing_state::Key::new("sys", b"/after/19");
        assert!(view.get(&after).unwrap().is_some());
        assert_eq!(realm.verify(|_, _| {}).await.unwrap().from, VerifyRange::Checkpoint(at));
        realm.shutdown().await.unwrap();
    }
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_kept_behind_a_file_that_is_offered() {
    let dir = TempDir::new().unwrap();
    let (first, _) = parted(&dir).await;
    let (core, work) = (Arc::clone(&first.core), Gate::new(no_work()));
    let appended = Gate::new(verifier::channel().0);
    let replica = LogReplica { core, work, staged: mpsc::channel(1).0, appended };
    let file = replica.snapshot_file().await.unwrap();
    put(&first, "more", 5).await;
    let again = replica.snapshot_file().await.unwrap();
    assert_eq!(again, file, "one file serves all who ask while it is fresh");
    first.shutdown().await.unwrap();
    assert!(first.core.store.durable().index > file.position.index);
    assert_eq!(replica.snapshot().await.unwrap().position, file.position);
}

fn no_work() -> std::sync::mpsc::Sender<Work> {
    std::sync::mpsc::channel().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_was_said_stops_the_node_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let (first, second) = parted(&dir).await;
    for what in ["position", "missing", "damaged"] {
        let follower = Follower::open(&second);
        let before = follower.replica.applied();
        let mut file = carry(&first, &second).await;
        let path = file.path.clone().unwrap();
        match what {
            "position" => file.position.term += 1,
            "missing" => fs::remove_file(path).unwrap(),
            _ => {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }
        }
        let at = file.position.index;
        let halt = follower.replica.install(file).await.unwrap_err();
        assert!(halt.0.starts_with(&format!("snapshot of entry {at}: ")), "{what}: {halt}");
        assert_eq!(follower.core.stop.reason(), Some(halt.0.as_str()));
        assert_eq!(follower.replica.applied(), before);
        follower.close();
        let follower = Follower::open(&second);
        assert_eq!(follower.replica.applied(), before, "{what}");
        follower.core.store.check().unwrap();
        follower.close();
    }
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_before_is_refused() {
    let dir = TempDir::new().unwrap();
    let (first, second) = parted(&dir).await;
    let file = carry(&first, &second).await;
    put(&first, "later", 1).await;
    let follower = Follower::open(&second);
    follower.apply(entries(&first, follower.replica.applied().index + 1).await).await;
    let halt = follower.replica.install(file).await.unwrap_err();
    assert!(halt.0.contains("this node has applied entry"), "{halt}");
    same_state(&follower.core, &first.core);
    follower.close();
    first.shutdown().await.unwrap();
}

/// An entry with a checkpoint after the last one that is applied.
fn checkpoint(follower: &Follower, values: &CheckpointValues) -> Committed {
    let kind = v1::entry::Kind::Checkpoint(values.with(Vec::new()));
    let entry = v1::Entry { timestamp_us: 1, seed: vec![0; 16], kind: Some(kind) };
    let applied = follower.replica.applied();
    Committed {
        index: applied.index + 1,
        term: applied.term,
        node: applied.node,
        bytes: Some(entry.encode_to_vec().into()),
        membership: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_stops_keeps_evidence_and_stops_again() {
    let dir = TempDir::new().unwrap();
    let (first, second) = parted(&dir).await;
    first.shutdown().await.unwrap();
    let own = CheckpointValues {
        index: 3,
        entry_chain: Hash([1; 32]),
        result_chain: Hash([2; 32]),
        state_hash: Hash([3; 32]),
    };
    let vouched = CheckpointValues { result_chain: Hash([9; 32]), ..own };
    let follower = Follower::open(&second);
    follower.core.store.checkpoint_put(&own).unwrap();
    follower.apply(vec![checkpoint(&follower, &own)]).await;
    assert_eq!(Divergence::read(&second).unwrap(), None);
    // Nobody vouches for it: only voters count.
    let mut stranger = vouched.with(Vec::new());
    stranger.signatures.push(vouched.sign(&follower.core.id, &key(7)));
    let kind = v1::entry::Kind::Checkpoint(stranger);
    let entry = v1::Entry { timestamp_us: 1, seed: vec![0; 16], kind: Some(kind) };
    let bytes = Some(entry.encode_to_vec().into());
    follower.apply(vec![Committed { bytes, ..checkpoint(&follower, &own) }]).await;
    let last = follower.replica.applied();
    follower.close();

    for _ in 0..2 {
        let follower = Follower::open(&second);
        let halt = follower.replica.apply(vec![checkpoint(&follower, &vouched)]).await.unwrap_err();
        assert!(halt.0.contains("at entry 3 this node's chain of results differs"), "{halt}");
        let kept = Divergence::read(&second).unwrap().unwrap();
        assert_eq!(kept.reason(&second), halt.0);
        assert_eq!((kept.own, kept.vouched), ((&own).into(), (&vouched).into()));
        assert_eq!(follower.replica.applied(), last, "the entry is not applied");
        follower.close();
    }
}
