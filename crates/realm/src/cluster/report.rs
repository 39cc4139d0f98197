//! What this node says of itself, kept in the state for the others to find it.

use crate::{Realm, realm::Core};
use althing_protocol::{Result, sys, v1};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Until it is tried again, when nothing tells to.
const TICK: Duration = Duration::from_millis(500);
/// For what this node says to come into the state, when nothing hinders it.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(1);

impl Realm {
    /// Where others reach this node; empty when they cannot.
    pub fn peer_address(&self) -> String {
        self.core.cluster.address()
    }

    /// Waits a moment for the members to know where this node is: it says so as soon as somebody
    /// leads.
    pub async fn announced(&self) {
        let mut applied = self.core.applied.subscribe();
        let is_said = |_: &u64| matches!(news(&self.core), Ok(None));
        // Without a leader it is said later.
        let _ = timeout(ANNOUNCED_WAIT, applied.wait_for(is_said)).await;
    }
}

/// Says it whenever the state says something else. A task of its own: nobody else waits while nobody
/// leads. Runs until it is aborted.
pub(crate) async fn run(core: Arc<Core>) {
    let mut changed = core.cluster.members_changed.subscribe();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Err(error) = report(&core).await {
            tracing::warn!(%error, "saying where this node is");
        }
        tokio::select! {
            _ = ticks.tick() => {}
            told = changed.changed() => if told.is_err() { return },
        }
    }
}

/// Says it if that is news; does nothing on a node that is no member yet.
///
/// # Errors
/// When nobody leads, or the grant of the role `node` was taken away.
async fn report(core: &Arc<Core>) -> Result<()> {
    let Some(identity) = &core.cluster.identity else { return Ok(()) };
    let Some(said) = news(core)? else { return Ok(()) };
    core.authors.submit(core, &identity.key, vec![sys::member_report(&said)]).await?;
    Ok(())
}

/// What is to be said and is not in the state.
fn news(core: &Core) -> Result<Option<v1::MemberReport>> {
    let Some(identity) = &core.cluster.identity else { return Ok(None) };
    let said =
        v1::MemberReport { address: core.cluster.address(), labels: identity.labels.clone() };
    let is_news =
        |member: &v1::Member| (&member.address, &member.labels) != (&said.address, &said.labels);
    let members = core.machine.members(&core.store.view()).map_err(crate::halt::internal)?;
    let own = members.iter().find(|member| member.id == core.cluster.me && member.is_current());
    Ok(own.is_some_and(is_news).then_some(said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{
        Founding, Identity, Options,
        cluster::message::Members,
        testing::{key, options},
    };
    use althing_protocol::limits::{BATCH_PAYLOADS_MAX, SESSION_WINDOW};
    use std::time::Instant;

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come to pass");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_book_does_not_wait_for_what_cannot_be_said() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity {
            key: key(1),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            address: "127.0.0.1:0".into(),
            labels: Vec::new(),
        };
        let options = Options { identity: Some(identity), ..options(dir.path()) };
        let founder = key(1).public();
        let founding = Founding { name: "test".into(), founder, node: founder, grants: Vec::new() };
        Realm::create(&options, founding).unwrap();
        let realm = Realm::open(options).await.unwrap();
        let core = &realm.core;
        until("its address", || news(core).unwrap().is_none()).await;

        // All that its key may have in flight waits for an image.
        let fetching = core.cluster.fetching.lock().await;
        let stage = v1::Stage {
            program: "p".into(),
            image: vec![7; 32],
            manifest: Some(v1::Manifest::default()),
            signature: None,
        };
        let count = BATCH_PAYLOADS_MAX.min(SESSION_WINDOW as usize / 2);
        let waiting: Vec<_> = (0..SESSION_WINDOW as usize / 2 / count)
            .map(|_| {
                let (realm, stage) = (Arc::clone(&realm), vec![sys::stage(&stage); count]);
                tokio::spawn(async move { realm.submit_as(&key(1), stage).await })
            })
            .collect();
        let is_full = || core.queue.waiting() >= waiting.len();
        until("a full queue", is_full).await;
        // It is to be reached elsewhere.
        core.cluster.links.close().await;
        assert!(news(core).unwrap().is_some());
        for id in 7..10_u8 {
            let key = key(id).public();
            let member = v1::Member { id: id.into(), key: key.0.to_vec(), ..v1::Member::default() };
            let told = Members { as_of: u64::from(id) << 32, members: vec![member] };
            core.hear_of_members(told).await.unwrap();
            let knows = || core.cluster.links.book().id(&key) == Some(id.into());
            until("what was told in the book", knows).await;
        }
        assert!(news(core).unwrap().is_some(), "it still waits to say that");
        drop(fetching);
        for submitted in waiting {
            assert!(submitted.await.unwrap().is_err(), "there is no such image");
        }
        realm.shutdown().await.unwrap();
    }
}
