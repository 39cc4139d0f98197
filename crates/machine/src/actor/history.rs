//! The history of an actor: a chain of steps, and the way back along it.

use super::{
    Actors, At, books,
    query::no_step,
    running::{Running, limits_of},
    upgrade,
};
use crate::{Fault, Halt};
use althing_protocol::{Error, Hash, PublicKey, Result, limits, next_actor_chain, v1};
use althing_state::{Order, Range, Scope, Value};
use prost::Message;
use std::ops::Bound;
use v1::actor_step::Kind;

/// What happened to an actor: a step, but for what the history adds.
pub(crate) struct Happened {
    pub(crate) kind: Kind,
    /// The state after it. None: it is as it was.
    pub(crate) state: Option<Value>,
    pub(crate) fuel: u64,
    pub(crate) failure: Option<v1::Failure>,
    pub(crate) sends: Vec<v1::ActorOut>,
}

/// Adds a step to the history of `info`, which the caller writes: what happened at `at`, to an actor
/// that `image` runs.
pub(super) fn append(
    scope: &mut Scope,
    info: &mut v1::ActorInfo,
    at: At,
    image: &v1::ImageInfo,
    happened: Happened,
) -> Result<v1::ActorStep, Fault> {
    let Happened { kind, state, fuel, failure, sends } = happened;
    let step = info.step + 1;
    let before = info.state_hash.clone();
    if let Some(state) = state {
        put_state(scope, info, step, &kind, state)?;
    }
    let allowed = limits_of(image);
    let record = v1::ActorStep {
        step,
        index: at.index,
        timestamp_us: at.timestamp_us,
        image: image.image.clone(),
        before,
        after: info.state_hash.clone(),
        fuel,
        kind: Some(kind),
        failure,
        sends,
        previous: info.chain.clone(),
        fuel_max: allowed.fuel,
        memory_bytes_max: allowed.memory_bytes_max,
    };
    let bytes = record.encode_to_vec();
    let previous = Hash::try_from(info.chain.as_slice()).map_err(|e| Halt::new(e.message))?;
    info.chain = next_actor_chain(&previous, &bytes).0.to_vec();
    info.step = step;
    info.history_bytes += bytes.len() as u64;
    scope.put(books::numbered_key(books::STEP, &info.actor, step), bytes)?;
    Ok(record)
}

/// Makes `state` the one in force. One that another version made stays for good: a replay can begin behind
/// it, when what led to it cannot be run again. Of the others the oldest one goes when too many are kept:
/// never this one.
fn put_state(
    scope: &mut Scope,
    info: &mut v1::ActorInfo,
    step: u64,
    kind: &Kind,
    state: Value,
) -> Result<(), Fault> {
    let hash = Hash::of(&state).0.to_vec();
    let stays = matches!(kind, Kind::Migrated(_));
    if hash == info.state_hash && !stays {
        return Ok(());
    }
    info.state_hash = hash;
    info.state_step = step;
    info.state_bytes = state.len() as u64;
    scope.put(books::numbered_key(books::STATE, &info.actor, step), state)?;
    if stays {
        return Ok(());
    }
    info.kept.push(step);
    if info.kept.len() as u64 > limits::ACTOR_STATES_KEPT {
        let oldest = info.kept.remove(0);
        scope.delete(books::numbered_key(books::STATE, &info.actor, oldest))?;
    }
    Ok(())
}

impl Actors<'_> {
    /// Adds a step to the history of `info`, which the caller writes.
    pub(crate) fn append(
        &mut self,
        info: &mut v1::ActorInfo,
        running: &Running,
        happened: Happened,
    ) -> Result<v1::ActorStep, Fault> {
        append(self.scope, info, self.at, &running.image, happened)
    }

    /// Puts the state after an earlier step back, if the active version agrees with it. Messages that
    /// wait, and what was sent since, stay as they are.
    pub(super) fn rollback(
        &mut self,
        author: &PublicKey,
        args: v1::ActorRollback,
    ) -> Result<v1::ActorDone, Fault> {
        let (info, running) = self.standing(&args.actor)?;
        let mut info = upgrade::adopt(self.scope, info)?;
        let step = books::step(self.scope, &info.actor, args.to)?;
        let step = step.ok_or_else(|| no_step(&info, args.to))?;
        let state = match args.state {
            Some(state) => given(&info.actor, &step, state)?,
            None => kept(self.scope, &info.actor, &step)?.map_err(|gone| gone.error())?,
        };
        let turn = running.compiled.actor_check(&info.actor, &state, &running.limits)?;
        let fuel = self.used(&info, &turn);
        turn.result?;
        let back = v1::ActorBack { to: args.to, author: author.0.to_vec() };
        let (kind, state) = (Kind::Back(back), Some(state));
        let happened = Happened { kind, state, fuel, failure: None, sends: Vec::new() };
        self.append(&mut info, &running, happened)?;
        self.put_info(&info)?;
        Ok(v1::ActorDone { info: Some(info) })
    }
}

pub(super) fn given(actor: &str, step: &v1::ActorStep, state: Vec<u8>) -> Result<Value> {
    if Hash::of(&state).0[..] == step.after[..] {
        return Ok(state.into());
    }
    Err(Error::invalid(format!(
        "state given for step {} of actor {actor}: its hash is not the one in the history; `althing \
         actor replay {actor} --to {}` gives the right one",
        step.step, step.step
    )))
}

/// A state that is not kept any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    actor: String,
    step: u64,
    /// The steps from this one on compute it: the state before it is kept, or it is the first one.
    pub(super) from: u64,
}

impl Gone {
    pub(super) fn error(&self) -> Error {
        let Self { actor, step, from } = self;
        Error::not_found(format!(
            "state of actor {actor} after step {step}: is not kept any more; give it: `althing actor \
             replay {actor} --from {from} --to {step}` computes it from the history"
        ))
    }
}

/// The state after `step`, if it is kept.
pub(super) fn kept(
    scope: &Scope,
    actor: &str,
    step: &v1::ActorStep,
) -> Result<Result<Value, Gone>, Halt> {
    let end = books::numbered(actor, step.step);
    let prefix = books::of_actor(actor);
    let (end, order) = (Bound::Included(end.as_slice()), Order::Descending);
    let range = Range { end, order, ..Range::of_prefix(&prefix) };
    let newest = scope.range(books::STATE, range, 1, usize::MAX)?.pairs.pop();
    let mut from = 1;
    if let Some((key, state)) = newest {
        // One that came between them is gone when it is another.
        if Hash::of(&state).0[..] == step.after[..] {
            return Ok(Ok(state));
        }
        from = books::number_of(&key)? + 1;
    }
    Ok(Err(Gone { actor: actor.to_owned(), step: step.step, from }))
}
