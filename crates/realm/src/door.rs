//! The door: what is checked before anything is proposed.
//!
//! One thread takes what waits, up to [`GROUP_MAX`] envelopes, checks their signatures as one
//! batch, asks the machine, and hands what passed to the proposer in the order it came. Under load
//! the groups grow by themselves.

use crate::{halt::internal, proposer::Proposal, realm::Core};
use althing_machine::Admission;
use althing_protocol::{Batch, Error, Hash, Kind, Result, SYS, decode, v1, verify, verify_all};
use futures::FutureExt;
use prost::Message;
use rand::Rng;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Signatures checked at once: beyond this a batch gains nothing.
const GROUP_MAX: usize = 64;

/// What a submitter waits for.
pub(crate) type Answer = oneshot::Sender<Result<Vec<v1::Outcome>>>;

/// An envelope on its way in. The permits bound how many there are, and their bytes, until the
/// outcome is known.
pub(crate) struct Arrival {
    pub(crate) envelope: v1::Envelope,
    pub(crate) batch: Batch,
    /// Signed by this node a moment ago for a caller whose key it keeps.
    pub(crate) is_verified: bool,
    pub(crate) answer: Answer,
    pub(crate) permits: [OwnedSemaphorePermit; 2],
}

/// Runs until all senders are gone.
pub(crate) fn run(
    core: &Core,
    mut arrivals: mpsc::Receiver<Arrival>,
    proposals: &mpsc::Sender<Vec<Proposal>>,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while arrivals.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let mut passed = Vec::with_capacity(group.len());
        for (arrival, verdict) in check_signatures(std::mem::take(&mut group)) {
            match verdict.and_then(|()| admit(core, &arrival.batch)) {
                Ok(Admission::Propose) => passed.push(propose(core, arrival)),
                Ok(Admission::Decided(outcomes)) => reply(arrival.answer, Ok(outcomes)),
                Err(error) => reply(arrival.answer, Err(error)),
            }
        }
        if !passed.is_empty() && proposals.blocking_send(passed).is_err() {
            return;
        }
    }
}

fn check_signatures(group: Vec<Arrival>) -> Vec<(Arrival, Result<()>)> {
    let unchecked: Vec<_> = group
        .iter()
        .filter(|arrival| !arrival.is_verified)
        .map(|arrival| (&arrival.envelope, arrival.batch.author))
        .collect();
    let mut verdicts = verify_all(&unchecked, rand::rng()).into_iter();
    group
        .into_iter()
        .map(|arrival| {
            let verdict = if arrival.is_verified { Some(Ok(())) } else { verdicts.next() };
            (arrival, verdict.unwrap_or_else(|| Err(internal("a signature was not checked"))))
        })
        .collect()
}

fn admit(core: &Core, batch: &Batch) -> Result<Admission> {
    core.stop.check()?;
    core.check_disk()?;
    let view = core.store.view();
    let now_us = now_us().max(view.applied().timestamp_us);
    core.machine.admit(&view, batch, now_us).map_err(internal)?
}

fn propose(core: &Core, arrival: Arrival) -> Proposal {
    core.verified.add(&arrival.envelope);
    let signed = v1::Signed { envelope: Some(arrival.envelope) };
    let entry = entry(v1::entry::Kind::Signed(signed));
    Proposal { entry, answer: Some(arrival.answer), _permits: Some(arrival.permits) }
}

/// Whether more than the state is looked at before an instruction comes to the door.
fn is_prepared(instruction: &v1::Instruction) -> bool {
    let method = instruction.method.as_str();
    let images = matches!(method, "stage" | "activate" | "rollback");
    let votes = matches!(method, "member_set" | "member_remove" | "member_leave");
    instruction.program_id == SYS && (images || votes)
}

/// An entry of now.
pub(crate) fn entry(kind: v1::entry::Kind) -> Vec<u8> {
    let mut seed = [0; 16];
    rand::rng().fill_bytes(&mut seed);
    v1::Entry { timestamp_us: now_us(), seed: seed.to_vec(), kind: Some(kind) }.encode_to_vec()
}

pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A submitter that went away does not want its answer.
pub(crate) fn reply(answer: Answer, result: Result<Vec<v1::Outcome>>) {
    let _ = answer.send(result);
}

impl Core {
    /// Lets an envelope in, and waits for its outcomes.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        envelope: v1::Envelope,
        is_verified: bool,
    ) -> Result<Vec<v1::Outcome>> {
        self.stop.check()?;
        let bytes = envelope.encoded_len();
        if bytes > althing_protocol::limits::ENVELOPE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "envelope: {bytes} bytes, the limit is {}; send less at once",
                althing_protocol::limits::ENVELOPE_BYTES_MAX
            )));
        }
        let permits = self.queue.enter(bytes)?;
        let batch = Batch::decode(&envelope)?;
        if batch.instructions.iter().any(is_prepared) {
            // What takes long, or others to ask, is done for those only who may have it.
            if !is_verified {
                verify(&envelope, &batch.author)?;
            }
            if let Admission::Decided(outcomes) = admit(self, &batch)? {
                return Ok(outcomes);
            }
            self.check_quorum_left(&batch)?;
            // Few come here: the future of all others need not be as large.
            self.check_images(&batch).boxed().await?;
        }
        let (answer, outcomes) = oneshot::channel();
        let arrival = Arrival { envelope, batch, is_verified, answer, permits };
        let arrivals = self.arrivals.get().ok_or_else(|| self.gone())?;
        arrivals.send(arrival).await.map_err(|_| self.gone())?;
        drop(arrivals);
        outcomes.await.map_err(|_| self.gone())?
    }

    /// An image that is to be staged, or gone back to, is made ready here; one that is to be the active
    /// one is ready on a quorum first.
    async fn check_images(self: &Arc<Self>, batch: &Batch) -> Result<()> {
        for instruction in &batch.instructions {
            match (instruction.program_id.as_str(), instruction.method.as_str()) {
                (SYS, "stage") => {
                    let stage: v1::Stage = decode("args of sys/stage", &instruction.args)?;
                    self.make_ready(&Hash::try_from(stage.image.as_slice())?).await?;
                }
                (SYS, "activate") => {
                    let activate: v1::Activate = decode("args of sys/activate", &instruction.args)?;
                    self.quorum_has(&Hash::try_from(activate.image.as_slice())?).await?;
                }
                (SYS, "rollback") => {
                    let rollback = decode("args of sys/rollback", &instruction.args)?;
                    if let Some(hash) = self.goes_back_to(&rollback)? {
                        self.make_ready(&hash).await?;
                        self.quorum_has(&hash).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An image is fetched from another node if it is not here, verified and compiled, where it holds
    /// nobody up.
    async fn make_ready(self: &Arc<Self>, hash: &Hash) -> Result<()> {
        match self.fetch_blob(hash).await {
            // The check that follows says so.
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
        let (core, hash) = (Arc::clone(self), *hash);
        let check = move || {
            // Housekeeping leaves it alone until the entry is applied, and long after.
            core.blobs.touch(&hash).map_err(Error::from)?;
            core.images.check(&hash)
        };
        tokio::task::spawn_blocking(check).await.map_err(internal)?
    }

    fn gone(&self) -> Error {
        let reason = self.stop.reason().unwrap_or("it is shutting down");
        crate::halt::stopped(reason)
    }
}
