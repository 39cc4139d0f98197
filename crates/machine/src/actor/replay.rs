//! Replay: an actor's history is run again, and every hash in it is proved.
//!
//! A step says which component ran on which message, and what it was allowed to use; the state it began
//! with is what the step before gave. So nothing else is needed. What a message may use of fuel, and
//! how errors are worded, may differ between versions of this program: they are not compared.
//!
//! What a component ran that the realm does not keep any more can be proved no more. The states that
//! other versions made of what it left stay, so a replay can begin behind each of them.
//!
//! A state that came back is kept as long as those of messages. Later it is what its own steps give, which
//! are found along the ways back that lead there and run once more.

use super::{
    books, history,
    query::{no_step, whole},
};
use crate::{Fault, Halt, Machine, grants::decode_stored, programs};
use althing_protocol::{
    Error, Hash, Kind as ErrorKind, Result, actor_chain_start, json, limits, next_actor_chain, v1,
};
use althing_sandbox::{ActorLimits, Deadline, Image, Next, Turn};
use althing_state::{Scope, Value, View};
use data_encoding::HEXLOWER;
use std::{ops::Bound, sync::Arc};
use v1::actor_step::Kind;

/// A part of a history that was replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorReplay {
    /// Steps that were found to be right.
    pub steps: u64,
    /// The first thing that is not.
    pub difference: Option<ActorDifference>,
    /// Where to go on, with [`state`](Self::state), when this was not all.
    pub next: Option<u64>,
    /// The last step that was found to be right, and the state after it.
    pub step: u64,
    /// Canonical JSON.
    pub state: Value,
}

/// A step that says something else than what running it again gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorDifference {
    /// The step.
    pub step: u64,
    /// What of it.
    pub what: String,
    /// As the history has it.
    pub recorded: String,
    /// As it came out now.
    pub replayed: String,
}

/// What running a step again gave.
struct Rerun {
    state: Value,
    failure: Option<Error>,
    sends: Vec<v1::ActorOut>,
}

enum Stop {
    Differs(ActorDifference),
    Fault(Fault),
}

impl From<ActorDifference> for Stop {
    fn from(difference: ActorDifference) -> Self {
        Self::Differs(difference)
    }
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

struct Replayer<'a> {
    machine: &'a Machine,
    scope: Scope,
    info: v1::ActorInfo,
    program: v1::ProgramInfo,
    deadline: Deadline,
    image: Option<Arc<Image>>,
    /// The step that is proved, and what was run for all of them so far.
    step: u64,
    runs: usize,
    fuel: u64,
}

impl Machine {
    /// Replays the history of an actor from one step to another one, or to the end: at most
    /// [`limits::ACTOR_REPLAY_STEPS_MAX`] of it, before `deadline`. `state` is the one before the first of
    /// these steps, if the realm does not keep it.
    ///
    /// # Errors
    /// `not-found`, when actor, step, state or component are not kept; `conflict`, while the actor is being
    /// removed; `invalid`, when `state` is not the right one; `exhausted` at the deadline; or a halt.
    pub fn actor_replay(
        &self,
        view: &View,
        actor: &str,
        from: u64,
        to: Option<u64>,
        state: Option<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<ActorReplay, Fault> {
        let (info, scope) = whole(view, actor)?;
        let to = to.unwrap_or(info.step);
        if let Some(step) = [from, to].into_iter().find(|step| !(1..=info.step).contains(step)) {
            return Err(no_step(&info, step).into());
        }
        if from > to {
            let text = format!("replay of actor {actor}: from step {from} is behind to step {to}");
            return Err(Error::invalid(text).into());
        }
        let program = programs::find(view, &info.program)?.unwrap_or_default();
        let (machine, image, step, runs, fuel) = (self, None, from, 0, 0);
        let mut replayer =
            Replayer { machine, scope, info, program, deadline, image, step, runs, fuel };
        let (chain, state) = replayer.start(from, state)?;
        replayer.steps(from..=to, chain, state)
    }
}

impl Replayer<'_> {
    /// Chain and state before step `from`.
    fn start(&self, from: u64, state: Option<Vec<u8>>) -> Result<(Hash, Value), Fault> {
        let actor = &self.info.actor;
        if from == 1 {
            return Ok((actor_chain_start(actor), Value::from(*b"")));
        }
        let (before, bytes) = self.record(from - 1)?;
        let previous = Hash::try_from(before.previous.as_slice())?;
        let state = match state {
            Some(state) => {
                json::check_canonical(&format!("state of {actor}"), &state)?;
                history::given(actor, &before, state)?
            }
            None => history::kept(&self.scope, actor, &before)?.map_err(|gone| gone.error())?,
        };
        Ok((next_actor_chain(&previous, &bytes), state))
    }

    fn steps(
        &mut self,
        steps: std::ops::RangeInclusive<u64>,
        chain: Hash,
        state: Value,
    ) -> Result<ActorReplay, Fault> {
        let (from, to) = (*steps.start(), *steps.end());
        let (mut chain, mut state) = (chain, state);
        let mut replay = ActorReplay {
            steps: 0,
            difference: None,
            next: None,
            step: from - 1,
            state: Value::clone(&state),
        };
        for step in steps {
            let full = self.runs >= limits::ACTOR_REPLAY_STEPS_MAX;
            if full || self.fuel > limits::DELIVERIES_FUEL_MAX {
                replay.next = Some(step);
                break;
            }
            match self.step(step, &mut chain, &state) {
                Ok(after) => state = after,
                Err(Stop::Differs(found)) => {
                    replay.difference = Some(found);
                    break;
                }
                // The time is over: what was done so far is of use.
                Err(Stop::Fault(Fault::Outcome(error)))
                    if error.kind == ErrorKind::Exhausted && replay.steps > 0 =>
                {
                    replay.next = Some(step);
                    break;
                }
                Err(Stop::Fault(fault)) => return Err(fault),
            }
            replay.steps += 1;
            replay.step = step;
        }
        if replay.step == to && to == self.info.step {
            replay.difference = self.end(&chain, &state)?;
        }
        replay.state = state;
        Ok(replay)
    }

    /// One step: it follows the one before, and running it again gives what it says.
    fn step(&mut self, step: u64, chain: &mut Hash, state: &Value) -> Result<Value, Stop> {
        self.step = step;
        let (record, bytes) = self.record(step)?;
        same(step, "number", &record.step.to_string(), &step.to_string())?;
        same_hash(step, "chain before it", &record.previous, &chain.0)?;
        let before = if step == 1 { Vec::new() } else { Hash::of(state).0.to_vec() };
        same_hash(step, "state before", &record.before, &before)?;
        let rerun = self.rerun(&record, state)?;
        same_result(step, record.failure.as_ref(), rerun.failure.as_ref())?;
        same_hash(step, "state after", &record.after, &Hash::of(&rerun.state).0)?;
        same(step, "messages sent", &sends(&record.sends), &sends(&rerun.sends))?;
        *chain = next_actor_chain(chain, &bytes);
        Ok(rerun.state)
    }

    /// At the end of the history: what is kept as the actor's chain and state follows from it.
    fn end(&self, chain: &Hash, state: &Value) -> Result<Option<ActorDifference>, Fault> {
        let v1::ActorInfo { actor, step, state_step, .. } = &self.info;
        let stored = books::state(&self.scope, actor, *state_step)?;
        let stored = stored.ok_or_else(|| books::missing("the state", actor))?;
        let checked =
            same_hash(*step, "chain after it", &self.info.chain, &chain.0).and_then(|()| {
                same_hash(*step, "state in force", &Hash::of(&stored).0, &Hash::of(state).0)
            });
        Ok(checked.err())
    }

    fn rerun(&mut self, record: &v1::ActorStep, state: &Value) -> Result<Rerun, Stop> {
        let actor = &self.info.actor.clone();
        let limits = ActorLimits {
            fuel: record.fuel_max,
            memory_bytes_max: record.memory_bytes_max,
            deadline: Some(self.deadline),
        };
        let turn = match &record.kind {
            Some(Kind::Begun(_)) => self.image(record)?.actor_init(actor, &limits)?,
            Some(Kind::Mail(mail)) => {
                self.image(record)?.actor_turn(actor, &mail.message, state, &limits)?
            }
            Some(Kind::Migrated(migrated)) => {
                let from_version = &migrated.from_version;
                self.image(record)?.actor_migrate(actor, state, from_version, &limits)?
            }
            Some(Kind::Back(back)) => {
                let (then, _) = self.record(back.to)?;
                same_hash(record.step, "state that came back", &record.after, &then.after)?;
                let state = self.state_after(record)?;
                self.image(record)?.actor_check(actor, &state, &limits)?
            }
            None => return Err(Halt::new("state: a step of an actor has no kind").into()),
        };
        self.finished(turn, state, limits.fuel)
    }

    /// The state after a step that was proved before, or in another replay: it is kept, or computed.
    fn state_after(&mut self, record: &v1::ActorStep) -> Result<Value, Stop> {
        let (state, path) = self.path_to(record)?;
        path.iter().rev().try_fold(state, |state, step| {
            let (record, _) = self.record(*step)?;
            let after = self.rerun(&record, &state)?.state;
            same_hash(*step, "state after", &record.after, &Hash::of(&after).0)?;
            Ok(after)
        })
    }

    /// A state that is kept, and the steps that lead from it to the one after `record`, last first: none of
    /// them is a way back, since that leads on to the step whose state it is.
    fn path_to(&self, record: &v1::ActorStep) -> Result<(Value, Vec<u64>), Fault> {
        let actor = &self.info.actor;
        let (mut record, mut path, mut fuel) = (record.clone(), Vec::new(), 0_u64);
        loop {
            if let Ok(state) = history::kept(&self.scope, actor, &record)? {
                return Ok((state, path));
            }
            let before = match &record.kind {
                Some(Kind::Back(back)) => back.to,
                _ => {
                    fuel = fuel.saturating_add(record.fuel);
                    path.push(record.step);
                    record.step.saturating_sub(1)
                }
            };
            if before == 0 {
                return Ok((Value::from(*b""), path));
            }
            if path.len() > limits::ACTOR_REPLAY_STEPS_MAX || fuel > limits::DELIVERIES_FUEL_MAX {
                return Err(self.is_far()?.into());
            }
            record = self.record(before)?.0;
        }
    }

    fn finished(&mut self, turn: Turn, before: &Value, fuel_max: u64) -> Result<Rerun, Stop> {
        self.runs += 1;
        self.fuel = self.fuel.saturating_add(turn.fuel_used);
        match turn.result {
            Ok(Next { state, sends }) => {
                let sends = sends.iter().map(super::turn::out).collect();
                Ok(Rerun { state: state.into(), failure: None, sends })
            }
            // This node has no slot, or the time is over: the history is not to blame. A guest that is
            // exhausted has used all its fuel.
            Err(error) if error.kind == ErrorKind::Exhausted && turn.fuel_used < fuel_max => {
                Err(error.into())
            }
            Err(error) => {
                Ok(Rerun { state: Value::clone(before), failure: Some(error), sends: Vec::new() })
            }
        }
    }

    fn record(&self, step: u64) -> Result<(v1::ActorStep, Value), Fault> {
        let key = books::numbered_key(books::STEP, &self.info.actor, step);
        let bytes = self.scope.get(&key)?.ok_or_else(|| no_step(&self.info, step))?;
        Ok((decode_stored("step of an actor", &bytes)?, bytes))
    }

    /// The component of a step, if the realm keeps it still.
    fn image(&mut self, record: &v1::ActorStep) -> Result<Arc<Image>, Fault> {
        let hash = Hash::try_from(record.image.as_slice())?;
        if let Some(image) = self.image.as_ref().filter(|image| image.hash() == hash) {
            return Ok(Arc::clone(image));
        }
        if !self.keeps_image(record) {
            return Err(self.image_is_gone(record, &hash)?.into());
        }
        let image = self.machine.contracts.images.image(&hash)?;
        let image = image.map_err(|error| Halt::new(format!("image {hash}: {error}")))?;
        self.image = Some(Arc::clone(&image));
        Ok(image)
    }

    fn keeps_image(&self, record: &v1::ActorStep) -> bool {
        let mut versions = self.program.active.iter().chain(&self.program.versions);
        versions.any(|version| version.image == record.image)
    }

    fn image_is_gone(&self, record: &v1::ActorStep, hash: &Hash) -> Result<Error, Fault> {
        let (actor, program) = (&self.info.actor, &self.info.program);
        let remedy = self.remedy()?;
        Ok(Error::not_found(format!(
            "component {hash}: ran step {} of actor {actor}, and is not kept any more: the realm keeps \
             the active version of program {program} and the {} before it; so the step cannot be \
             replayed; {remedy}",
            record.step,
            limits::PROGRAM_VERSIONS_MAX
        )))
    }

    /// The state of a way back takes more than a page of steps to compute.
    fn is_far(&self) -> Result<Error, Fault> {
        let (actor, step, remedy) = (&self.info.actor, self.step, self.remedy()?);
        Ok(Error::not_found(format!(
            "state that came back in step {step} of actor {actor}: is not kept any more, and {} steps or \
             {} of fuel are not enough to compute it; so the step cannot be replayed; {remedy}",
            limits::ACTOR_REPLAY_STEPS_MAX,
            limits::DELIVERIES_FUEL_MAX
        )))
    }

    /// What can be done about a step that cannot be proved.
    fn remedy(&self) -> Result<String, Fault> {
        Ok(match self.start_behind(self.step)? {
            Some(from) => format!("what is behind can be, with --from {from}"),
            None => "nor can those behind it".to_owned(),
        })
    }

    /// The first step behind `step` at which a replay can begin: its component is kept, and the state
    /// before it.
    fn start_behind(&self, step: u64) -> Result<Option<u64>, Fault> {
        let prefix = books::of_actor(&self.info.actor);
        let mut at = step;
        // Each is a state that stays, but for the last ones.
        for _ in 0..limits::SCAN_PAIRS_MAX {
            let start = books::numbered(&self.info.actor, at);
            let start = Bound::Included(start.as_slice());
            let kept = self.scope.scan(books::STATE, start, &prefix, 1, usize::MAX)?.pairs.pop();
            let Some((key, _)) = kept else { break };
            at = books::number_of(&key)? + 1;
            if at > self.info.step {
                break;
            }
            if self.keeps_image(&self.record(at)?.0) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

fn same(step: u64, what: &str, recorded: &str, replayed: &str) -> Result<(), ActorDifference> {
    if recorded == replayed {
        return Ok(());
    }
    Err(ActorDifference {
        step,
        what: what.to_owned(),
        recorded: recorded.to_owned(),
        replayed: replayed.to_owned(),
    })
}

fn same_hash(
    step: u64,
    what: &str,
    recorded: &[u8],
    replayed: &[u8],
) -> Result<(), ActorDifference> {
    same(step, what, &HEXLOWER.encode(recorded), &HEXLOWER.encode(replayed))
}

fn same_result(
    step: u64,
    recorded: Option<&v1::Failure>,
    replayed: Option<&Error>,
) -> Result<(), ActorDifference> {
    let recorded: Option<Error> = recorded.map(Into::into);
    if recorded.as_ref().map(|error| error.kind) == replayed.map(|error| error.kind) {
        return Ok(());
    }
    let told = |error: Option<&Error>| error.map_or("taken".to_owned(), ToString::to_string);
    same(step, "result", &told(recorded.as_ref()), &told(replayed))
}

fn sends(sends: &[v1::ActorOut]) -> String {
    let told = |out: &v1::ActorOut| format!("{} {}", out.to, HEXLOWER.encode(&out.hash));
    sends.iter().map(told).collect::<Vec<_>>().join(", ")
}
