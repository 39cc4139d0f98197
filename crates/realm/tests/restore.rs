//! A realm goes back to a snapshot where one node alone decides.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/nodes.rs"]
mod nodes;

use althing_protocol::{Kind, sys};
use althing_realm::{Freshness, Realm};
use nodes::{found, join, options, run, until, value};

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_goes_back_whichever_member_it_is() {
    let (dir, again) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = found(dir.path()).await;
    let second = join(&first, dir.path(), 2).await;
    until("two voters", async || first.standing().unwrap().members.voters.len() == 2).await;
    let shared = dir.path().join("shared");
    // What the log knows of its voters comes into the state when it is applied.
    run(&second, sys::put(b"/shared", b"1")).await;
    second.view(Freshness::Linearizable).await.unwrap();
    second.save_snapshot(&shared).await.unwrap();
    let refused = Realm::restore(options(again.path(), 1), &shared, None).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict, "{refused}");
    assert!(refused.message.contains("althing repair"), "{refused}");
    assert!(!options(again.path(), 1).dir.join("state.redb").exists(), "nothing is half done");

    run(&second, sys::member_remove(1)).await;
    until("the second is alone", async || {
        let standing = second.standing().unwrap();
        standing.leads && standing.members.voters.len() == 1
    })
    .await;
    run(&second, sys::put(b"/kept", b"1")).await;
    second.view(Freshness::Linearizable).await.unwrap();
    let alone = dir.path().join("alone");
    second.save_snapshot(&alone).await.unwrap();
    run(&second, sys::put(b"/gone", b"1")).await;
    for node in [first, second] {
        node.shutdown().await.unwrap();
    }
    Realm::restore(options(again.path(), 2), &alone, None).await.unwrap();
    let second = Realm::open(options(again.path(), 2)).await.unwrap();
    assert_eq!(second.status().unwrap().member, 2);
    run(&second, sys::put(b"/after", b"1")).await;
    for (path, is_there) in [("/kept", true), ("/gone", false), ("/after", true)] {
        let found = value(&second, path, Freshness::Linearizable).await;
        assert_eq!(found.is_some(), is_there, "{path}");
    }
    second.shutdown().await.unwrap();
}
