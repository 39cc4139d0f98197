#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Freshness,
    door::entry,
    proposer::Proposal,
    testing::{
        copy, key, put, run,
        three::{Three, end, options, until},
    },
};
use althing_log::Kept;
use althing_protocol::{Kind, limits::CHECKPOINT_INTERVAL, sys, v1};
use althing_state::{Applied, Key, Scope};
use std::time::Duration;

/// Proposals that are handed over at once.
const GROUP: u64 = 512;

fn applied(realm: &Realm) -> u64 {
    *realm.core.applied.borrow()
}

/// Brings so many entries before all that do nothing, through the one that leads.
async fn tick(realm: &Realm, count: u64) {
    let proposals = realm.core.proposals.get().unwrap();
    let mut left = count;
    while left > 0 {
        let group = (0..left.min(GROUP)).map(|_| Proposal {
            entry: entry(v1::entry::Kind::Tick(v1::Tick {})),
            answer: None,
            _permits: None,
        });
        let group: Vec<_> = group.collect();
        left -= group.len() as u64;
        assert!(proposals.send(group).await.is_ok());
    }
}

/// Has the entries of the log come to `index`, whoever leads.
async fn fill(nodes: &[&Arc<Realm>], index: u64) {
    until("a log so long", async || {
        let leads = nodes.iter().find(|node| node.standing().is_ok_and(|now| now.leads));
        let Some(leads) = leads else { return false };
        let from = applied(leads);
        let count = index.saturating_sub(from).min(8 * GROUP);
        tick(leads, count).await;
        let mut applied = leads.core.applied.subscribe();
        // One that leads no more has taken none of them.
        let there = applied.wait_for(|now| *now >= from + count);
        let there = tokio::time::timeout(Duration::from_secs(2), there).await.is_ok();
        there && from + count >= index
    })
    .await;
}

/// Both nodes come to the same state, by the same entries.
async fn same(realm: &Realm, other: &Realm) {
    until("the same entry", async || applied(realm) == applied(other)).await;
    let (view, others) = (realm.core.store.view(), other.core.store.view());
    assert_eq!(view.applied(), others.applied());
    assert_eq!(view.state_hash().unwrap(), others.state_hash().unwrap());
}

/// Changes what the state on disk has under `path`, as no entry did.
fn tamper(options: &Options, path: &str) {
    let store = Store::open(&state_path(&options.dir)).unwrap();
    let mut tip = store.tip();
    let mut scope = Scope::new(tip.view());
    let key = Key::new("sys", path.as_bytes());
    let mut value = tip.view().get(&key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    scope.put(key, value).unwrap();
    tip.merge(scope.into_writes());
    // A position that is new is flushed.
    let was = tip.applied().clone();
    tip.set_applied(Applied { timestamp_us: was.timestamp_us + 1, ..was });
    assert!(tip.freeze());
    store.flusher().flush().unwrap().unwrap();
}

fn swap(path: &str, from: &str, to: &str) -> v1::Instruction {
    let args = v1::CompareAndSwap {
        key: path.into(),
        expected: Some(v1::compare_and_swap::Expected::Value(from.into())),
        new_value: to.into(),
    };
    sys::compare_and_swap(&args)
}

async fn repair(options: &Options, contacts: &[Contact], is_dry_run: bool) -> Result<Repaired> {
    Realm::repair(options, contacts, is_dry_run, |_, _| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_says_where_and_comes_back_equal() {
    let mut three = Three::new().await;
    let options = three.options();
    run(&three.first, sys::put("/kept", "right")).await;
    three.third.core.reach(applied(&three.first)).await.unwrap();
    let third = std::mem::replace(&mut three.third, Arc::clone(&three.first));
    end(third).await;
    tamper(&options, "/kept");
    let third = Realm::open(options.clone()).await.unwrap();

    put(&three.first, "before", 3).await;
    let parts = vec![swap("/kept", "right", "changed")];
    let parts_at = three.first.submit_as(&key(1), parts).await.unwrap()[0].index;
    put(&three.first, "after", 3).await;
    fill(&[&three.first, &three.second, &third], CHECKPOINT_INTERVAL).await;
    until("the divergence", async || third.has_diverged()).await;
    let first = format!("first at entry {parts_at}");
    until("its beginning", async || third.stopped().unwrap().contains(&first)).await;

    // The others vouched for it, and go on.
    let found = third.divergence().unwrap().unwrap();
    assert_eq!(found.checkpoint, CHECKPOINT_INTERVAL);
    let signers: Vec<_> = [101, 102].map(|n| key(n).public().to_string()).into();
    assert!(found.signers.len() == 2 && signers.iter().all(|key| found.signers.contains(key)));
    let begins = found.begins.unwrap();
    assert!(begins.is_first && begins.peer.starts_with("member "), "{begins:?}");
    assert!(begins.explanation.unwrap().to_string().contains("/kept"));
    put(&three.second, "without", 3).await;
    for node in [&three.first, &three.second] {
        node.view(Freshness::Linearizable).await.unwrap();
        assert_eq!(node.stopped(), None);
        assert_eq!(*node.core.cluster.decided.borrow(), CHECKPOINT_INTERVAL);
    }

    // It serves nobody, now and when it is started again.
    assert_eq!(third.view(Freshness::Local).await.unwrap_err().kind, Kind::Unavailable);
    let refused = third.submit_as(&key(1), vec![sys::put("/x", "y")]).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Unavailable);
    end(third).await;
    let refused = Realm::open(options.clone()).await.unwrap_err();
    assert!(refused.message.contains(&first), "{refused}");

    let votes = Kept::read(&options.dir.join("log")).unwrap();
    let dry = repair(&options, &[], true).await.unwrap();
    assert!(dry.why.contains(&first) && dry.previous.is_none(), "{dry:?}");
    assert!(Divergence::read(&options.dir).unwrap().is_some());
    let done = repair(&options, &[], false).await.unwrap();
    assert_eq!((done.member, done.index >= votes.last), (3, true));
    // What its log had is in the state.
    let kept = Kept::read(&options.dir.join("log")).unwrap();
    assert_eq!((kept.node, kept.last), (votes.node, done.index));
    let previous = done.previous.unwrap();
    assert_eq!(previous, options.dir.with_file_name("realm.before-repair-1"));
    assert!(Divergence::read(&previous).unwrap().is_some());
    Store::open(&state_path(&previous)).unwrap();

    let third = Realm::open(options).await.unwrap();
    let copied = third.core.vouch(done.index, &key(103)).unwrap();
    assert_eq!(copied, None, "it signs what it found itself");
    put(&third, "again", 3).await;
    same(&third, &three.first).await;
    same(&third, &three.second).await;
    end(third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_beside_a_log_that_the_others_overruled() {
    let three = Three::new().await;
    until("the third leads", async || {
        // Refused while the members are being changed.
        let _ = three.first.transfer_leader(Some(3)).await;
        three.third.standing().unwrap().leads
    })
    .await;
    put(&three.first, "before", 3).await;
    // What it takes in from now on nobody else has.
    let decided = applied(&three.third);
    three.third.core.cluster.links.close().await;
    tick(&three.third, 200).await;
    let options = options(three.dir.path(), 4);
    let options = Options { identity: three.options().identity, ..options };
    until("the tail", async || {
        let _ = fs::remove_dir_all(&options.dir);
        copy(&three.options().dir, &options.dir);
        Kept::read(&options.dir.join("log")).is_ok_and(|kept| kept.last >= decided + 200)
    })
    .await;
    fs::write(state_path(&options.dir), [7; 10_000]).unwrap();

    put(&three.first, "without", 3).await;
    let nobody = repair(&options, &[], false).await.unwrap_err();
    assert!(nobody.message.contains("--from"), "{nobody}");
    let done = repair(&options, &[three.contact()], false).await.unwrap();
    assert!(done.why.contains("state: "), "{}", done.why);
    assert!(decided < done.index && done.index < done.log_last, "{done:?}");
    assert_eq!(Kept::read(&options.dir.join("log")).unwrap().last, done.index);
    assert!(fs::read(state_path(&done.previous.unwrap())).unwrap() == [7; 10_000]);

    let third = Realm::open(options).await.unwrap();
    put(&three.first, "again", 3).await;
    same(&third, &three.first).await;
    // Alone with the second, its vote counts.
    end(three.first).await;
    third.view(Freshness::Linearizable).await.unwrap();
    put(&third, "as before", 3).await;
    same(&third, &three.second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_log_joins_anew() {
    let three = Three::new().await;
    put(&three.first, "before", 3).await;
    let options = three.options();
    let Three { dir: _dir, first, third, .. } = three;
    end(third).await;
    let state = || Store::open(&state_path(&options.dir)).unwrap().durable();
    let before = state();
    for (what, path) in [("acknowledged bytes are missing", "log/wal"), ("no log", "log")] {
        fs::remove_dir_all(options.dir.join(path)).unwrap();
        let refused = repair(&options, &[], false).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Conflict);
        for words in [what, "`althing remove 3`", "`althing join`"] {
            assert!(refused.message.contains(words), "{words}: {refused}");
        }
    }
    assert_eq!(state(), before, "nothing is touched");
    end(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_and_a_member_that_is_none() {
    let three = Three::new().await;
    let options = three.options();
    let running = repair(&options, &[], true).await.unwrap_err();
    assert_eq!(running.kind, Kind::Unavailable, "{running}");
    let Three { dir: _dir, first, third, .. } = three;
    end(third).await;
    // Nobody gives it to another key than its own.
    let mut stranger = options.clone();
    stranger.identity.as_mut().unwrap().key = key(77);
    let refused = repair(&stranger, &[], true).await.unwrap_err();
    assert!(refused.message.contains("is not that of a member"), "{refused}");
    run(&first, sys::member_remove(3)).await;
    let refused = repair(&options, &[], true).await.unwrap_err();
    // It depends on whether the log of the one that says so still has it.
    let words = ["no member any more", "was member 3 until"];
    assert!(words.iter().any(|words| refused.message.contains(words)), "{refused}");
    end(first).await;
}
