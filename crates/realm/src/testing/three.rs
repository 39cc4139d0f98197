//! Nodes of one realm in one process, over real connections.

use super::{key, run};
use crate::{Founding, Identity, Options, Realm};
use althing_protocol::{Contact, JoinToken, sys, v1};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) fn options(dir: &Path, node: u8) -> Options {
    let identity = Identity {
        key: key(100 + node),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        address: "127.0.0.1:0".into(),
        labels: Vec::new(),
    };
    let dir = dir.join(node.to_string()).join("realm");
    let options =
        Options { identity: Some(identity), guest_instances_max: 16, ..Options::new(dir) };
    Options { disk_low_water_bytes: 0, ..options }
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} did not come to pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Three voters of one realm; the founder's key is the first.
pub(crate) struct Three {
    pub(crate) dir: TempDir,
    pub(crate) first: Arc<Realm>,
    pub(crate) second: Arc<Realm>,
    pub(crate) third: Arc<Realm>,
}

impl Three {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let first = found(dir.path()).await;
        let second = join(&first, &dir, 2).await;
        let third = join(&first, &dir, 3).await;
        for node in [&first, &second, &third] {
            until("three voters", async || node.standing().unwrap().members.voters.len() == 3)
                .await;
        }
        Self { dir, first, second, third }
    }

    /// Options of the third node.
    pub(crate) fn options(&self) -> Options {
        options(self.dir.path(), 3)
    }

    /// As members say to a machine that knows nobody.
    pub(crate) fn contact(&self) -> Contact {
        let address = self.first.core.cluster.address();
        Contact { address, key: key(101).public() }
    }
}

/// The first node of a realm; the founder's key is the first.
pub(crate) async fn found(dir: &Path) -> Arc<Realm> {
    let founding = Founding {
        name: "test".into(),
        founder: key(1).public(),
        node: key(101).public(),
        grants: Vec::new(),
    };
    Realm::create(&options(dir, 1), founding).unwrap();
    Realm::open(options(dir, 1)).await.unwrap()
}

async fn join(realm: &Realm, dir: &TempDir, node: u8) -> Arc<Realm> {
    let known = || realm.members().unwrap()[0].address.clone();
    until("the address of the first member", async || !known().is_empty()).await;
    let secret = key(200 + node);
    let invite = v1::MemberInvite {
        invite: secret.public().0.to_vec(),
        role: v1::MemberRole::Voter.into(),
        expires_us: u64::MAX,
    };
    run(realm, sys::member_invite(&invite)).await;
    let contacts = vec![Contact { address: known(), key: key(101).public() }];
    let token = JoinToken { realm: realm.id(), secret, contacts };
    let options = options(dir.path(), node);
    Realm::join(&options, &token).await.unwrap();
    Realm::open(options).await.unwrap()
}

/// Shuts a node down, and lets go of its files.
pub(crate) async fn end(realm: Arc<Realm>) {
    realm.shutdown().await.unwrap();
    let core = Arc::downgrade(&realm.core);
    drop(realm);
    until("the end of a realm", async || core.strong_count() == 0).await;
}
