//! Whether this node's clock is that of the others. The log's clock is the leader's, so nobody with
//! another one is to lead.

use super::health::hear;
use crate::realm::Core;
use althing_protocol::{Error, Result};
use futures::{StreamExt, stream::FuturesUnordered};
use std::collections::{BTreeMap, BTreeSet};

/// Clocks that differ by more are not the same, in microseconds.
pub(super) const DIFFERENCE_US_MAX: i64 = 5_000_000;
/// What a leader asks that hands over, in milliseconds.
const HAND_OVER_RETRY_MS: u64 = 500;

/// Whether a majority of the voters shares a clock that is not this node's.
pub(super) fn judge(core: &Core, voters: &BTreeSet<u64>) -> Option<String> {
    let fresh = core.cluster.pulse.fresh();
    let offsets = fresh.iter().filter(|(id, _)| voters.contains(id));
    let offsets: Vec<i64> = offsets.map(|(_, heard)| heard.offset_us).collect();
    off_by(offsets, quorum(voters)).map(words)
}

fn quorum(voters: &BTreeSet<u64>) -> usize {
    voters.len() / 2 + 1
}

fn words(off_us: i64) -> String {
    let side = if off_us > 0 { "behind" } else { "ahead of" };
    format!(
        "its clock is {} s {side} that of the majority; set it right",
        off_us.unsigned_abs() / 1_000_000
    )
}

/// How far the clocks of `quorum` others that agree with each other are from this one's, when that
/// is too far.
fn off_by(mut offsets_us: Vec<i64>, quorum: usize) -> Option<i64> {
    offsets_us.sort_unstable();
    let agree = offsets_us.windows(quorum.max(1)).find(|group| {
        let (first, last) = (group[0], group[group.len() - 1]);
        last.saturating_sub(first) <= DIFFERENCE_US_MAX
            && (first > DIFFERENCE_US_MAX || last < -DIFFERENCE_US_MAX)
    })?;
    Some(agree[agree.len() / 2])
}

/// Whether so many more answers can show that the clock is off.
fn may_be_off(offsets_us: &[i64], missing: usize, quorum: usize) -> bool {
    let far = offsets_us.iter().filter(|us| us.unsigned_abs() > DIFFERENCE_US_MAX.unsigned_abs());
    far.count() + missing >= quorum
}

/// Whether the clock of voter `id` is off, by all of their clocks.
pub(super) fn is_off(id: u64, clocks_us: &BTreeMap<u64, i64>, quorum: usize) -> bool {
    let own_us = clocks_us.get(&id).copied().unwrap_or(0);
    let others = clocks_us.iter().filter(|(other, _)| **other != id);
    off_by(others.map(|(_, us)| us.saturating_sub(own_us)).collect(), quorum).is_some()
}

impl Core {
    /// # Errors
    /// `unavailable` when this node's clock was found to be off: it is about to hand over.
    pub(super) fn check_clock_verdict(&self) -> Result<()> {
        self.cluster.pulse.clock().map_or(Ok(()), |why| {
            Err(Error::unavailable(format!(
                "member {}: hands the leadership over, {why}; ask again",
                self.cluster.me
            ))
            .retry_after_ms(HAND_OVER_RETRY_MS))
        })
    }

    /// Judges this node's clock by what the other voters say now; waits no longer than their answers
    /// can matter.
    ///
    /// # Errors
    /// `unavailable` when it is off.
    pub(super) async fn check_clock(&self, voters: &BTreeSet<u64>) -> Result<()> {
        let others = voters.iter().filter(|id| **id != self.cluster.me);
        let mut asked: FuturesUnordered<_> = others.map(|id| hear(self, *id)).collect();
        let (mut offsets_us, quorum) = (Vec::new(), quorum(voters));
        while may_be_off(&offsets_us, asked.len(), quorum)
            && let Some(heard) = asked.next().await
        {
            offsets_us.extend(heard.ok());
        }
        self.cluster.pulse.clock_is(off_by(offsets_us, quorum).map(words));
        self.check_clock_verdict()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        Realm,
        cluster::{health::Health, kind},
        door::now_us,
        testing::{
            key, run,
            three::{end, found, until},
        },
    };
    use althing_peers::{Handler, Kind, Peers, PeersConfig, Pipe, Standing};
    use althing_protocol::{JoinToken, PublicKey, RealmId, sys, v1};
    use bytes::Bytes;
    use futures::{FutureExt, future::BoxFuture};
    use prost::Message;
    use std::sync::Arc;

    const S: i64 = 1_000_000;

    #[test]
    fn a_clock_is_off_when_a_majority_shares_another() {
        for (others_s, voters, off_s) in [
            (&[][..], 1, None),
            // Of two, nobody can say who is right.
            (&[100][..], 2, None),
            (&[100, 101], 3, Some(101)),
            (&[-100, -99], 3, Some(-99)),
            // The other one is off.
            (&[0, 100], 3, None),
            // No two agree.
            (&[100, 200], 3, None),
            (&[4, 5], 3, None),
            (&[6, 7], 3, Some(7)),
            // One of five did not answer.
            (&[100, 100, 102], 5, Some(100)),
            (&[100, 100], 5, None),
            (&[0, 100, 100, 100], 5, Some(100)),
            (&[i64::MAX / S, i64::MAX / S], 3, Some(i64::MAX / S)),
        ] {
            let offsets = others_s.iter().map(|s| s * S).collect();
            let found = off_by(offsets, voters / 2 + 1).map(|us| us / S);
            assert_eq!(found, off_s, "{others_s:?} of {voters}");
        }
    }

    #[test]
    fn who_leads_waits_for_no_clock_that_cannot_matter() {
        for (others_s, missing, voters, may) in [
            (&[][..], 0, 1, false),
            // Of two, nobody can say who is right.
            (&[], 1, 2, false),
            (&[], 2, 3, true),
            (&[0], 1, 3, false),
            (&[100], 1, 3, true),
            (&[100], 0, 3, false),
            (&[0, 0], 2, 5, false),
            (&[0, 100], 2, 5, true),
        ] {
            let offsets: Vec<i64> = others_s.iter().map(|s| s * S).collect();
            assert_eq!(may_be_off(&offsets, missing, voters / 2 + 1), may, "{others_s:?} {voters}");
        }
    }

    #[test]
    fn no_heir_has_a_clock_that_the_majority_does_not_share() {
        // Member 1 hands over; of each voter, its clock less that of member 1.
        for (clocks_s, off) in [
            (&[(1, 0), (2, 100), (3, 0)][..], &[2][..]),
            // Its own is the wrong one.
            (&[(1, 0), (2, 100), (3, 101)], &[1]),
            (&[(1, 0), (2, 100), (3, -100)], &[]),
            (&[(1, 0), (2, 100)], &[]),
        ] {
            let clocks: BTreeMap<u64, i64> = clocks_s.iter().map(|(id, s)| (*id, s * S)).collect();
            let quorum = clocks.len() / 2 + 1;
            let found: Vec<u64> =
                clocks.keys().copied().filter(|id| is_off(*id, &clocks, quorum)).collect();
            assert_eq!(found, off, "{clocks_s:?}");
        }
    }

    /// A node that says how it is, and has a clock so many seconds off.
    struct Other(i64);

    impl Handler for Other {
        fn standing(&self, _: &PublicKey) -> Result<Standing> {
            Ok(Standing::Member)
        }

        fn admits(&self, _: &PublicKey, _: &RealmId, kind: Kind) -> Result<()> {
            match kind {
                kind::HEALTH => Ok(()),
                _ => Err(Error::unavailable("it says how it is, and nothing else")),
            }
        }

        fn call(
            &self,
            _: PublicKey,
            _: RealmId,
            _: Kind,
            _: Bytes,
        ) -> BoxFuture<'static, Result<Bytes>> {
            let now_us = now_us().saturating_add_signed(self.0 * S);
            async move { Ok(Health { now_us, ..Health::default() }.encode_to_vec().into()) }.boxed()
        }

        fn pipe(&self, _: PublicKey, _: RealmId, _: Kind, _: Pipe) -> BoxFuture<'static, ()> {
            async {}.boxed()
        }
    }

    /// Makes a node with key `n` a member that does no more than [`Other`].
    async fn add(realm: &Realm, n: u8, offset_s: i64) -> Peers {
        let config = PeersConfig { listen: Some("127.0.0.1:0".parse().unwrap()) };
        let peers = Peers::start(config, &key(n), Arc::new(Other(offset_s))).await.unwrap();
        let secret = key(200 + n);
        let invite = v1::MemberInvite {
            invite: secret.public().0.to_vec(),
            role: v1::MemberRole::Voter.into(),
            expires_us: u64::MAX,
        };
        run(realm, sys::member_invite(&invite)).await;
        let token = JoinToken { realm: realm.id(), secret, contacts: Vec::new() };
        let address = peers.local_addr().unwrap().to_string();
        let join = sys::member_join(&token.join(&key(n).public(), &address, Vec::new()));
        realm.submit_as(&key(101), vec![join]).await.unwrap();
        peers
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_to_lead_asks_the_others_what_time_it_is() {
        for (others_s, is_off) in
            [([100, 101], true), ([-100, -100], true), ([0, 100], false), ([0, 0], false)]
        {
            let dir = tempfile::tempdir().unwrap();
            let realm = found(dir.path()).await;
            let _second = add(&realm, 2, others_s[0]).await;
            let _third = add(&realm, 3, others_s[1]).await;
            let book = || realm.core.cluster.links.book();
            until("members that are known", async || book().peer(3).is_ok()).await;
            let judged = realm.core.check_clock(&BTreeSet::from([1, 2, 3])).await;
            assert_eq!(judged.is_err(), is_off, "{others_s:?}: {judged:?}");
            let words = judged.err().map(|error| error.message).unwrap_or_default();
            assert_eq!(words.contains("that of the majority"), is_off, "{words}");
            end(realm).await;
        }
    }
}
