//! Any node takes any request: what only the leader can do goes to it, from whichever node was asked.
//!
//! To send an envelope again is safe, author, session and sequence make it take effect once. So a
//! node goes on trying for its caller while the leadership moves. What it says at the end holds for
//! all tries: once one of them may have done something, nothing that a later one is told is a refusal.

use super::{kind, message::Outcomes};
use crate::{halt::internal, realm::Core};
use althing_log::Standing;
use althing_protocol::{Error, Kind, Result, decode, v1};
use bytes::Bytes;
use futures::FutureExt;
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How long a caller's envelope is tried: several elections.
const SUBMIT_WAIT: Duration = Duration::from_secs(10);
/// How long the leader may take for one: it may have to compile an image. That it is lost, the
/// connection tells sooner.
const ANSWER_WAIT: Duration = Duration::from_secs(120);
/// How long a question to the leader is tried.
const READ_WAIT: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Where to go with what only a leader does.
pub(super) enum Leader {
    Here,
    At(u64),
    Nowhere,
}

/// Why a try gave no outcome.
#[derive(Debug)]
enum Failed {
    /// Nothing was done, nor will be; another node may do it, or this one later.
    NotBegun(Error),
    /// What the door said. When it is `unavailable`, it may have been done.
    Said(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotBegun(error) | Failed::Said(error) => error,
        }
    }
}

/// What comes next after a try.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Another try; if there is no time for one, this is the answer.
    Again(Error),
    /// This is the answer.
    Give(Error),
}

/// The tries of one envelope.
#[derive(Debug, Default)]
struct Tries {
    /// Whether one of them may have brought it into the log.
    may_be_done: bool,
}

impl Tries {
    fn after(&mut self, failed: Failed) -> Next {
        let is_said = matches!(failed, Failed::Said(_));
        let error = Error::from(failed);
        match error.kind {
            Kind::Unavailable => {
                self.may_be_done |= is_said;
                Next::Again(error)
            }
            // It would be in the way of the outcome only.
            Kind::Exhausted if self.may_be_done => Next::Again(unknown(error)),
            _ if self.may_be_done => Next::Give(unknown(error)),
            _ => Next::Give(error),
        }
    }
}

fn unknown(error: Error) -> Error {
    let message = format!(
        "{}; an earlier try was cut off and may have been done: send the same envelope again, it \
         takes effect once",
        error.message
    );
    Error { kind: Kind::Unavailable, message, ..error }
}

impl Core {
    pub(super) fn leader(&self) -> Result<Leader> {
        let Standing { leads, leader, .. } = self.cluster.standing()?;
        Ok(match leader {
            _ if leads => Leader::Here,
            Some(id) if id != self.cluster.me => Leader::At(id),
            _ => Leader::Nowhere,
        })
    }

    /// Brings an envelope into the log, through whichever node leads, and waits for its outcomes.
    ///
    /// # Errors
    /// What the leader's door refuses; `unavailable` when its outcome is not known.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        envelope: v1::Envelope,
        is_verified: bool,
    ) -> Result<Vec<v1::Outcome>> {
        let until = Instant::now() + SUBMIT_WAIT;
        let mut tries = Tries::default();
        loop {
            self.stop.check()?;
            let tried = match self.leader()? {
                Leader::Here => self.enter_here(envelope.clone(), is_verified).await,
                Leader::At(id) => {
                    let asked = self.while_it_leads(id, self.submit_to(id, &envelope)).await;
                    asked.map_err(Failed::Said).and_then(read)
                }
                Leader::Nowhere => Err(Failed::NotBegun(no_leader())),
            };
            let error = match tried.map_err(|failed| tries.after(failed)) {
                Ok(outcomes) => return Ok(outcomes),
                Err(Next::Give(error)) => return Err(error),
                Err(Next::Again(error)) => error,
            };
            // A realm of one node has nobody else to ask.
            if self.is_alone() || Instant::now() + PAUSE >= until {
                return Err(error);
            }
            self.wait_for_leader(until).await;
        }
    }

    /// Lets an envelope in where it can be proposed. What the door refuses it refuses by the state of
    /// this node: that counts if this node still leads, or else a majority may have let it in by then.
    async fn enter_here(
        self: &Arc<Self>,
        envelope: v1::Envelope,
        is_verified: bool,
    ) -> Result<Vec<v1::Outcome>, Failed> {
        self.take_office().await.map_err(Failed::NotBegun)?;
        let entered = self.enter(envelope, is_verified).await;
        if entered.as_ref().is_err_and(is_by_the_state) {
            self.check_leads().boxed().await.map_err(Failed::NotBegun)?;
        }
        entered.map_err(Failed::Said)
    }

    /// # Errors
    /// `unavailable` when a majority does not say that this node leads.
    async fn check_leads(&self) -> Result<()> {
        self.cluster.log()?.read_index().await?;
        Ok(())
    }

    async fn submit_to(&self, id: u64, envelope: &v1::Envelope) -> Result<Outcomes> {
        let body = Bytes::from(envelope.encode_to_vec());
        let answer = self.cluster.links.ask(id, kind::SUBMIT, body, ANSWER_WAIT).await?;
        // That this node cannot read what was done is no refusal.
        decode("outcomes of the leader", &answer).map_err(internal)
    }

    /// Answers a member that has an envelope for the leader.
    pub(super) async fn enter_for(self: &Arc<Self>, body: &[u8]) -> Result<Bytes> {
        let envelope: v1::Envelope = decode("envelope", body)?;
        let answer = match self.enter_here(envelope, false).await {
            Ok(outcomes) => Outcomes { outcomes, not_begun: None },
            Err(Failed::NotBegun(error)) => {
                Outcomes { outcomes: Vec::new(), not_begun: Some((&error).into()) }
            }
            Err(Failed::Said(error)) => return Err(error),
        };
        Ok(answer.encode_to_vec().into())
    }

    /// The index up to which a state shows all that was acknowledged before this call.
    ///
    /// # Errors
    /// `unavailable` when nobody leads, or the leader is not reached.
    pub(crate) async fn read_index(&self) -> Result<u64> {
        let until = Instant::now() + READ_WAIT;
        loop {
            let tried = match self.leader()? {
                Leader::Here => {
                    let log = self.cluster.log()?;
                    log.read_index().await.map_err(Error::from)
                }
                Leader::At(id) => self.while_it_leads(id, self.read_index_of(id)).await,
                Leader::Nowhere => Err(no_leader()),
            };
            match tried {
                Err(error) if error.kind == Kind::Unavailable && !self.is_alone() => {
                    if Instant::now() + PAUSE >= until {
                        return Err(error);
                    }
                    self.wait_for_leader(until).await;
                }
                tried => return tried,
            }
        }
    }

    async fn read_index_of(&self, id: u64) -> Result<u64> {
        let ask = self.cluster.links.ask(id, kind::READ_INDEX, Bytes::new(), READ_WAIT);
        let index = <[u8; 8]>::try_from(&ask.await?[..]);
        index.map(u64::from_le_bytes).map_err(|_| Error::internal("read index: not 8 bytes"))
    }

    /// What was asked of a leader can be asked of the next one as soon as there is one. It may hang on
    /// one that stands still, whose connection looks alive for a while.
    async fn while_it_leads<T>(
        &self,
        id: u64,
        asking: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut watch = self.cluster.log()?.watch();
        let deposed = async {
            let mut now = Some(watch.now());
            while now.is_some_and(|Standing { leader, .. }| leader.is_none_or(|led| led == id)) {
                now = watch.changed().await;
            }
        };
        tokio::select! {
            answer = asking => answer,
            () = deposed => Err(Error::unavailable(format!(
                "member {id}: does not lead any more, and has not answered; ask again"
            ))),
        }
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.cluster.standing().is_ok_and(|standing| {
            standing.leads && standing.members.voters.len() + standing.members.learners.len() <= 1
        })
    }

    /// Waits a little, and while nobody leads until somebody does.
    async fn wait_for_leader(&self, until: Instant) {
        sleep(PAUSE).await;
        let Ok(log) = self.cluster.log() else { return };
        let mut watch = log.watch();
        let led = async {
            let mut now = Some(watch.now());
            while now.is_some_and(|standing| standing.leader.is_none()) {
                now = watch.changed().await;
            }
        };
        // Out of time: what was tried last says why.
        let _ = timeout_at(until, led).await;
    }
}

fn read(answer: Outcomes) -> Result<Vec<v1::Outcome>, Failed> {
    match answer.not_begun {
        Some(failure) => Err(Failed::NotBegun((&failure).into())),
        None => Ok(answer.outcomes),
    }
}

/// Whether another state may say something else.
fn is_by_the_state(error: &Error) -> bool {
    matches!(error.kind, Kind::Denied | Kind::NotFound | Kind::Conflict | Kind::Invalid)
}

pub(super) fn no_leader() -> Error {
    Error::unavailable(
        "no node leads at the moment: too few voters reach each other; see `althing members`, ask \
         again, or read locally",
    )
    .retry_after_ms(500)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{
        key, run,
        three::{Three, end},
    };
    use althing_protocol::{Batch, sign, sys};

    #[derive(Clone, Copy, Debug)]
    enum Then {
        Again(Kind),
        Give(Kind),
    }
    use Then::{Again, Give};

    /// After each of these failures comes that.
    #[test]
    fn a_try_that_may_have_been_done_makes_no_later_refusal_certain() {
        let said = |kind| Failed::Said(Error::new(kind, "x"));
        let not_begun = || Failed::NotBegun(no_leader());
        let full = || Failed::Said(Error::exhausted("x").retry_after_ms(50));
        let cases: [(Vec<Failed>, Vec<Then>); 6] = [
            (vec![said(Kind::Denied)], vec![Give(Kind::Denied)]),
            // Nobody has begun: the caller may try again, under another number too.
            (vec![full()], vec![Give(Kind::Exhausted)]),
            (
                vec![not_begun(), not_begun(), full()],
                vec![Again(Kind::Unavailable), Again(Kind::Unavailable), Give(Kind::Exhausted)],
            ),
            (
                vec![not_begun(), said(Kind::NotFound)],
                vec![Again(Kind::Unavailable), Give(Kind::NotFound)],
            ),
            // The first leader may have proposed it before it was lost.
            (
                vec![said(Kind::Unavailable), full(), not_begun(), said(Kind::Denied)],
                vec![
                    Again(Kind::Unavailable),
                    Again(Kind::Unavailable),
                    Again(Kind::Unavailable),
                    Give(Kind::Unavailable),
                ],
            ),
            (
                vec![said(Kind::Unavailable), said(Kind::Internal)],
                vec![Again(Kind::Unavailable), Give(Kind::Unavailable)],
            ),
        ];
        for (failures, expected) in cases {
            let mut tries = Tries::default();
            for (failed, then) in failures.into_iter().zip(expected) {
                let what = format!("{failed:?} after {tries:?}");
                match (tries.after(failed), then) {
                    (Next::Again(error), Again(kind)) | (Next::Give(error), Give(kind)) => {
                        assert_eq!(error.kind, kind, "{what}");
                    }
                    (next, _) => panic!("{next:?}, wants {then:?}: {what}"),
                }
            }
        }
        let waits = unknown(Error::exhausted("queue: full").retry_after_ms(50));
        assert_eq!(waits.retry_after_ms, Some(50));
        assert!(waits.message.contains("queue: full; an earlier try"), "{waits}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_may_lead_no_more_refuses_nobody() {
        let Three { dir: _dir, first, second, third } = Three::new().await;
        run(&first, sys::put("/a", "1")).await;
        let leader = first.standing().unwrap().leader.unwrap();
        let nodes = [first, second, third].into_iter();
        let (mut leads, others): (Vec<_>, Vec<_>) =
            nodes.partition(|node| node.core.cluster.me == leader);
        let leads = leads.remove(0);
        let batch = Batch {
            realm: leads.id(),
            author: key(1).public(),
            session: 99,
            sequence: 1,
            instructions: vec![sys::put("/a", "2")],
        };
        let enter = || leads.core.enter_here(sign(&key(1), batch.clone()), false);
        match enter().await {
            Err(Failed::Said(error)) => assert_eq!(error.kind, Kind::NotFound, "{error}"),
            other => panic!("{other:?}"),
        }
        for node in others {
            end(node).await;
        }
        assert!(leads.standing().unwrap().leads, "it has not heard of another");
        match enter().await {
            // A majority may have opened the session since.
            Err(Failed::NotBegun(error)) => assert_eq!(error.kind, Kind::Unavailable, "{error}"),
            other => panic!("{other:?}"),
        }
        end(leads).await;
    }
}
