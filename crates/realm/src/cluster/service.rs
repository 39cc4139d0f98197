//! What other nodes ask of this one.

use super::{
    ballot, divergence, images, join,
    kind::{self, FOR_STRANGERS, OF_THE_LOG},
    links::exchange_here,
    reseed, roster, snapshots,
};
use crate::realm::Core;
use althing_peers::{Handler, Kind, Pipe, Standing};
use althing_protocol::{Error, PublicKey, RealmId, Result};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use prost::Message;
use std::sync::{Arc, atomic::Ordering};

/// Serves the realm's members.
pub(crate) struct Service(pub(crate) Arc<Core>);

impl Handler for Service {
    fn standing(&self, key: &PublicKey) -> Result<Standing> {
        self.0.cluster.links.book().standing(key)
    }

    fn admits(&self, from: &PublicKey, realm: &RealmId, kind: Kind) -> Result<()> {
        if *realm != self.0.id {
            return Err(Error::not_found(format!(
                "realm {realm}: is not on this node, which has realm {}; ask one of its own",
                self.0.id
            )));
        }
        match self.standing(from)? {
            Standing::Member => Ok(()),
            Standing::Stranger if FOR_STRANGERS.contains(&kind) => Ok(()),
            // It may be a member that came while this node was away. So it is not refused for good:
            // only who was removed is.
            Standing::Stranger => {
                if OF_THE_LOG.contains(&kind) {
                    self.0.cluster.knocked.store(true, Ordering::Relaxed);
                }
                Err(stranger(from))
            }
        }
    }

    fn call(
        &self,
        from: PublicKey,
        _: RealmId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes>> {
        let core = Arc::clone(&self.0);
        async move { answer(&core, from, kind, body).await }.boxed()
    }

    fn pipe(&self, from: PublicKey, _: RealmId, kind: Kind, pipe: Pipe) -> BoxFuture<'static, ()> {
        let core = Arc::clone(&self.0);
        async move {
            let Ok((log, id)) = core.cluster.log().and_then(|log| Ok((log, core.member(&from)?)))
            else {
                return;
            };
            match kind {
                kind::APPENDS => exchange_here(&log, id, pipe).await,
                kind::SNAPSHOT => snapshots::receive(&core, &log, id, pipe).await,
                _ => tracing::warn!(?kind, from = id, "a pipe of a kind that is none"),
            }
        }
        .boxed()
    }
}

impl Core {
    /// Raft id of the member with `key`.
    fn member(&self, key: &PublicKey) -> Result<u64> {
        self.cluster.links.book().id(key).ok_or_else(|| stranger(key))
    }
}

fn stranger(key: &PublicKey) -> Error {
    Error::unavailable(format!(
        "key {key}: is not that of a member as far as this node knows; `althing invite` on a member \
         lets a machine join"
    ))
}

async fn answer(core: &Arc<Core>, from: PublicKey, kind: Kind, body: Bytes) -> Result<Bytes> {
    match kind {
        kind::RAFT => {
            let id = core.member(&from)?;
            core.cluster.pulse.speaks(id);
            core.cluster.log()?.handle_call(id, body).await
        }
        kind::SUBMIT => core.enter_for(&body).await,
        kind::READ_INDEX => {
            let index = core.cluster.log()?.read_index().await?;
            Ok(Bytes::copy_from_slice(&index.to_le_bytes()))
        }
        kind::BLOB => images::part(core, &body).await,
        kind::READINESS => images::readiness(core, &body).await,
        kind::FINGERPRINT => divergence::chains(core, &body),
        kind::VOUCH => ballot::vote(core, &from, &body),
        kind::SEED => reseed::seed(core).await,
        kind::SEED_PART => reseed::part(core, &body).await,
        kind::HEALTH => Ok(core.health().encode_to_vec().into()),
        kind::LIVE => Ok(core.live_here()?.encode_to_vec().into()),
        kind::TRANSFER => core.hand_over_for(&body).await,
        kind::MEMBERS => roster::tell(core, &body),
        kind::JOIN => join::admit(core, &from, &body).await,
        _ => Err(Error::invalid(format!(
            "message of kind {}: is none that this node knows; run the same version on all nodes",
            kind.0
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Follower, key, realm, run};
    use althing_protocol::{JoinToken, Kind as ErrorKind, sys, v1};

    /// What a node says to one that it does not know may end nothing: it may know less than that one.
    #[tokio::test(flavor = "multi_thread")]
    async fn only_who_was_removed_is_denied() {
        let dir = tempfile::tempdir().unwrap();
        let realm = realm(dir.path()).await;
        for (id, secret) in [(2, key(12)), (3, key(13))] {
            let invite = v1::MemberInvite {
                invite: secret.public().0.to_vec(),
                role: v1::MemberRole::Learner.into(),
                expires_us: u64::MAX,
            };
            run(&realm, sys::member_invite(&invite)).await;
            let token = JoinToken { realm: realm.id(), secret, contacts: Vec::new() };
            let join = sys::member_join(&token.join(&key(id).public(), "", Vec::new()));
            realm.submit_as(&key(200), vec![join]).await.unwrap();
        }
        run(&realm, sys::member_remove(2)).await;
        let id = realm.id();
        realm.shutdown().await.unwrap();
        drop(realm);

        let follower = Follower::open(dir.path());
        let service = Service(Arc::clone(&follower.core));
        let says = |node: u8, kind| {
            service.admits(&key(node).public(), &id, kind).map_err(|error| error.kind)
        };
        let has_knocked = || follower.core.cluster.knocked.swap(false, Ordering::Relaxed);
        for kind in (0..=u8::MAX).map(Kind) {
            assert_eq!(says(2, kind), Err(ErrorKind::Denied), "{kind:?}");
            assert_eq!(says(3, kind), Ok(()), "{kind:?}");
            assert!(!has_knocked(), "{kind:?}");
            let to_stranger = if kind == kind::JOIN { Ok(()) } else { Err(ErrorKind::Unavailable) };
            assert_eq!(says(4, kind), to_stranger, "{kind:?}");
            assert_eq!(has_knocked(), OF_THE_LOG.contains(&kind), "{kind:?}");
        }
        drop(service);
        follower.close();
    }
}
