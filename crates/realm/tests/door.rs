//! What the door refuses, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, RealmId, limits, sys, v1};
use althing_realm::{Options, Realm};
use common::{World, key, options, output};

#[tokio::test(flavor = "multi_thread")]
async fn bad_envelopes_are_refused_and_leave_no_entry() {
    let world = World::new().await;
    let session = world.session(&world.founder, 1).await;
    let founder = world.founder.clone();
    let good = world.envelope(&founder, session, 1, vec![sys::put("/a", "1")]);
    let index = world.realm.status().unwrap().index;

    let mut forged = good.clone();
    forged.signature[0] ^= 1;
    let truncated = v1::Envelope { body: good.body[..9].to_vec(), ..good.clone() };
    let unsigned = v1::Envelope { signature: Vec::new(), ..good.clone() };
    let huge = vec![0; limits::ENVELOPE_BYTES_MAX + 1];
    let huge = v1::Envelope { body: huge, ..good.clone() };
    let stranger = world.envelope(&key(9), 0, 1, vec![sys::session_open("x")]);
    let ahead = world.envelope(&founder, session, 5_000, vec![sys::put("/a", "1")]);
    let unknown = v1::Instruction::new("nobody", "x", Vec::new());
    let unknown = world.envelope(&founder, session, 1, vec![unknown]);
    let mut stage = v1::Stage { program: "p".into(), image: vec![7; 32], ..v1::Stage::default() };
    stage.manifest = Some(v1::Manifest::default());
    let stage = world.envelope(&founder, session, 1, vec![sys::stage(&stage)]);
    let mut elsewhere = althing_protocol::Batch::decode(&good).unwrap();
    elsewhere.realm = RealmId([0; 32]);
    let elsewhere = althing_protocol::sign(&founder, elsewhere);
    let cases = [
        (forged, Kind::Denied, "signature"),
        (truncated, Kind::Invalid, "body of the envelope"),
        (unsigned, Kind::Denied, "signature"),
        (huge, Kind::Invalid, "limit"),
        (stranger, Kind::Denied, "holds no grant"),
        (ahead, Kind::Invalid, "too far ahead"),
        (unknown, Kind::NotFound, "nobody"),
        (stage, Kind::NotFound, "upload"),
        (elsewhere, Kind::Invalid, "realm"),
    ];
    for (envelope, kind, words) in cases {
        let error = world.realm.submit(envelope).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    assert_eq!(world.realm.status().unwrap().index, index, "none of it reached the log");

    let first = world.realm.submit(good.clone()).await.unwrap();
    assert_eq!(world.realm.submit(good).await.unwrap(), first, "a replay changes nothing");
    assert_eq!(world.realm.status().unwrap().index, index + 1);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_stage_makes_nobody_fetch_or_compile() {
    let world = World::new().await;
    let session = world.session(&world.founder, 1).await;
    // To look at it is to find that it is no component.
    let image = world.realm.blobs().put(b"no component").unwrap().0.to_vec();
    let manifest = Some(v1::Manifest::default());
    let stage = v1::Stage { program: "p".into(), image, manifest, signature: None };
    let stage = || vec![sys::stage(&stage)];
    let good = world.envelope(&world.founder, session, 1, stage());
    let mut forged = good.clone();
    forged.signature[0] ^= 1;
    let stranger = world.envelope(&key(9), 1, 1, stage());
    for (envelope, kind, words) in [
        (good, Kind::Invalid, "not WebAssembly"),
        (forged, Kind::Denied, "signature"),
        (stranger, Kind::NotFound, "session 1"),
    ] {
        let error = world.realm.submit(envelope).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    // A key with a session, and without this grant.
    let grant = v1::Grant {
        subject: format!("key:{}", key(8).public()),
        program: "sys".into(),
        method: "put".into(),
        ..v1::Grant::default()
    };
    output(&world.run(sys::grant(&grant)).await);
    let session = world.session(&key(8), 1).await;
    let error = world.realm.submit(world.envelope(&key(8), session, 1, stage())).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_again() {
    let World { dir, founder, realm } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let narrow = Options { queue_envelopes_max: 2, ..options(&dir) };
    let world = World { realm: Realm::open(narrow).await.unwrap(), dir, founder };
    let session = world.session(&world.founder, 1).await;
    let many = (1..200).map(|n| {
        let put = world.envelope(&world.founder, session, n, vec![sys::put("/a", n.to_string())]);
        world.realm.submit(put)
    });
    let results = futures::future::join_all(many).await;
    let refused: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    assert!(!refused.is_empty() && refused.len() < 199);
    for error in refused {
        assert_eq!(error.kind, Kind::Exhausted);
        assert!(error.retry_after_ms.is_some());
    }
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_below_its_low_water_mark_takes_no_writes() {
    let World { dir, founder, realm } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let thirsty = Options { disk_low_water_bytes: u64::MAX, ..options(&dir) };
    let world = World { realm: Realm::open(thirsty).await.unwrap(), dir, founder };
    let mut last = Ok(Vec::new());
    for _ in 0..400 {
        last = world.realm.submit_as(&world.founder, vec![sys::put("/a", "1")]).await;
        if last.is_err() {
            break;
        }
        // The disk is looked at once a second; a write before that is taken.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let error = last.unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.message.contains("disk_low_water_bytes"), "{error}");
    world.realm.view(althing_realm::Freshness::Linearizable).await.unwrap();
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_instructions_are_refused_goes_on() {
    let world = World::new().await;
    output(&world.run(sys::put("/a", "0")).await);
    // One that nobody waits for any more is refused as well: its number comes back, too.
    let unknown = v1::Instruction::new("nobody", "x", Vec::new());
    let mut left = Box::pin(world.realm.submit_as(&world.founder, vec![unknown]));
    assert!(futures::poll!(left.as_mut()).is_pending(), "it is on its way");
    drop(left);
    // More refusals than the window has numbers: none of them may be used up.
    for _ in 0..(limits::SESSION_WINDOW + 10) {
        let unknown = v1::Instruction::new("nobody", "x", Vec::new());
        let error = world.realm.submit_as(&world.founder, vec![unknown]).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{error}");
    }
    output(&world.run(sys::put("/a", "1")).await);
    // A session that went away is replaced.
    for n in 2..=(limits::SESSIONS_PER_AUTHOR_MAX as u64 + 1) {
        world.session(&world.founder, n).await;
    }
    output(&world.run(sys::put("/a", "2")).await);
    world.realm.shutdown().await.unwrap();
}
