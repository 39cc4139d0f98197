//! Reading actors of a view: what queries are made of.

use super::{books, history, running, upgrade};
use crate::{Fault, Halt, Machine, grants::decode_stored, programs};
use althing_protocol::{Error, limits, v1};
use althing_sandbox::{ActorLimits, Deadline};
use althing_state::{Order, Page, Range, Scope, Value, View};
use prost::Message;
use std::ops::Bound;
use v1::image_info::Kind;

/// One page of something that actors have.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorPage<T> {
    /// In order.
    pub items: Vec<T>,
    /// Whether there is more after the last one.
    pub more: bool,
}

/// The state of an actor after one of its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorState {
    /// The actor as it is now.
    pub info: v1::ActorInfo,
    /// The step.
    pub step: u64,
    /// BLAKE3 of the state after it.
    pub hash: Vec<u8>,
    /// That state, canonical JSON; or else the step from which a replay computes it, when it is not
    /// kept.
    pub state: Result<Value, u64>,
}

/// One page of dead letters.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorLetters {
    /// Oldest first.
    pub letters: Vec<v1::ActorLetter>,
    /// Where to go on, when there may be more: behind this one.
    pub next: Option<u64>,
}

/// An actor as it is now, and a scope in which the rest of it is as well: what another version has made
/// of it is its state before it is written as such. Nothing of the scope is merged.
pub(super) fn now(view: &View, actor: &str) -> Result<(v1::ActorInfo, Scope), Fault> {
    let info = books::info(view, actor)?.ok_or_else(|| running::unknown(actor))?;
    as_of_now(view, info)
}

fn as_of_now(view: &View, info: v1::ActorInfo) -> Result<(v1::ActorInfo, Scope), Fault> {
    let mut scope = Scope::new(view.clone());
    let info = upgrade::adopt(&mut scope, info)?;
    Ok((info, scope))
}

/// The same, of an actor whose history is whole.
pub(super) fn whole(view: &View, actor: &str) -> Result<(v1::ActorInfo, Scope), Fault> {
    let (info, scope) = now(view, actor)?;
    running::check_whole(&info)?;
    Ok((info, scope))
}

impl Machine {
    /// An actor.
    ///
    /// # Errors
    /// `not-found`, or a halt.
    pub fn actor(&self, view: &View, actor: &str) -> Result<v1::ActorInfo, Fault> {
        Ok(now(view, actor)?.0)
    }

    /// The state of an actor: of now, or after `step`.
    ///
    /// # Errors
    /// `not-found`, when there is no such actor or step; `conflict`, while it is being removed; or a halt.
    pub fn actor_state(
        &self,
        view: &View,
        actor: &str,
        step: Option<u64>,
    ) -> Result<ActorState, Fault> {
        let (info, scope) = whole(view, actor)?;
        let step = step.unwrap_or(info.step);
        let record = books::step(&scope, actor, step)?.ok_or_else(|| no_step(&info, step))?;
        let state = history::kept(&scope, actor, &record)?.map_err(|gone| gone.from);
        Ok(ActorState { info, step, hash: record.after, state })
    }

    /// Actors whose ids begin with `prefix`, of one program or of all, by id.
    ///
    /// # Errors
    /// A halt.
    pub fn actor_list(
        &self,
        view: &View,
        program: Option<&str>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ActorPage<v1::ActorInfo>, Fault> {
        let Some(program) = program else {
            let page = page(view, books::INFO, prefix.as_bytes(), after.map(Vec::from), limit)?;
            let ActorPage { items, more } = decoded("actor", page)?;
            let items = items.into_iter().map(|info| Ok(as_of_now(view, info)?.0));
            return Ok(ActorPage { items: items.collect::<Result<_, Fault>>()?, more });
        };
        let of = |actor: &str| books::of_key(program, actor).key().to_vec();
        let page = page(view, books::OF, &of(prefix), after.map(of), limit)?;
        let info = |(key, _): &(Vec<u8>, Value)| Ok(now(view, books::actor_of(key)?)?.0);
        let items = page.pairs.iter().map(info).collect::<Result<_, Fault>>()?;
        Ok(ActorPage { items, more: page.more })
    }

    /// Steps of an actor's history: behind step `after` in `order`, or from the start or the end.
    ///
    /// # Errors
    /// `not-found`; `conflict`, while it is being removed; or a halt.
    pub fn actor_history(
        &self,
        view: &View,
        actor: &str,
        after: Option<u64>,
        order: Order,
        limit: usize,
    ) -> Result<ActorPage<v1::ActorStep>, Fault> {
        let (_, scope) = whole(view, actor)?;
        let prefix = books::of_actor(actor);
        let after = after.map(|step| books::numbered(actor, step));
        let bound = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = match order {
            Order::Ascending => Range { start: bound, ..Range::of_prefix(&prefix) },
            Order::Descending => Range { end: bound, order, ..Range::of_prefix(&prefix) },
        };
        let pairs = limit.min(limits::SCAN_PAIRS_MAX);
        let page = scope.range(books::STEP, range, pairs, limits::SCAN_BYTES_MAX)?;
        Ok(decoded("step", page)?)
    }

    /// Dead letters behind number `after`: of one actor, or of all.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn actor_letters(
        &self,
        view: &View,
        actor: Option<&str>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<ActorLetters, Halt> {
        let after = after.map(|letter| letter.to_be_bytes().to_vec());
        let of = |letter: &v1::ActorLetter| actor.is_none_or(|actor| letter.actor == actor);
        // Those of others are read as well: they count for what one page reads.
        let page = page(view, books::LETTER, b"", after, limits::SCAN_PAIRS_MAX)?;
        let ActorPage { items, mut more } = decoded::<v1::ActorLetter>("dead letter", page)?;
        let mut letters = Vec::new();
        let mut last = None;
        for letter in items {
            if letters.len() == limit.min(limits::SCAN_PAIRS_MAX) {
                more = true;
                break;
            }
            last = Some(letter.letter);
            letters.extend(Some(letter).filter(of));
        }
        Ok(ActorLetters { letters, next: last.filter(|_| more) })
    }

    /// The timers of an actor, by name.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn actor_timers(
        &self,
        view: &View,
        actor: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ActorPage<v1::ActorTimer>, Halt> {
        let after = after.map(|timer| books::timer_key(actor, timer).key().to_vec());
        let page = page(view, books::TIMER, &books::of_actor(actor), after, limit)?;
        let ActorPage { mut items, mut more } = decoded::<v1::ActorTimer>("timer", page)?;
        let mut bytes = 0;
        let mut fits = |timer: &v1::ActorTimer| {
            bytes += timer.message_bytes;
            bytes <= limits::SCAN_BYTES_MAX as u64
        };
        let count = items.iter().take_while(|timer| fits(timer)).count();
        more |= count < items.len();
        items.truncate(count);
        for timer in &mut items {
            timer.message = books::timer_message(view, timer)?;
        }
        Ok(ActorPage { items, more })
    }

    /// What an actor is subscribed to, by program, topic and prefix.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn actor_subscriptions(
        &self,
        view: &View,
        actor: &str,
        after: Option<&v1::ActorTopic>,
        limit: usize,
    ) -> Result<ActorPage<v1::ActorSubscription>, Halt> {
        let after = after.map(|topic| books::subscribed_key(topic).key().to_vec());
        let page = page(view, books::SUBSCRIBED, &books::of_actor(actor), after, limit)?;
        let subscription = |(key, _): &(Vec<u8>, Value)| {
            let missing = || books::missing("a subscription", actor);
            let topic = books::topic_of_subscribed(key).ok_or_else(missing)?;
            let bytes = view.get(&topic)?.ok_or_else(missing)?;
            decode_stored("subscription", &bytes)
        };
        let items = page.pairs.iter().map(subscription).collect::<Result<_, _>>()?;
        Ok(ActorPage { items, more: page.more })
    }

    /// What is known of the actors of a program: how many there are, and of upgrades.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn actor_program(&self, view: &View, program: &str) -> Result<v1::ActorProgram, Halt> {
        books::program(view, program)
    }

    /// What the active version of a program says about messages and states of its actors, canonical
    /// JSON; none, when it says nothing. It keeps to `deadline`, on a thread with the stack of a guest.
    ///
    /// # Errors
    /// `not-found`, when there is no such program or none is active; `invalid` for a contract; what the
    /// guest failed with; or a halt.
    pub fn actor_describe(
        &self,
        view: &View,
        program: &str,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let info = programs::find(view, program)?.ok_or_else(|| programs::unknown(program))?;
        let active = info.active.ok_or_else(|| programs::not_active(program))?;
        running::check_actor(program, &active)?;
        let allowed = ActorLimits { deadline: Some(deadline), ..running::limits_of(&active) };
        Ok(self.contracts.compiled(&active)?.actor_describe(&allowed)??)
    }

    /// What is known of all actors: how many there are, and how much waits.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn actor_queue(&self, view: &View) -> Result<v1::ActorQueue, Halt> {
        books::queue(view)
    }
}

pub(super) fn no_step(info: &v1::ActorInfo, step: u64) -> Error {
    let (actor, last) = (&info.actor, info.step);
    Error::not_found(format!(
        "step {step} of actor {actor}: is not in its history, which has {last}; `althing actor \
         history {actor}` shows them"
    ))
}

/// A page of keys with `prefix`, behind the key `after`.
fn page(
    view: &View,
    keyspace: &str,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Page, Halt> {
    let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let pairs = limit.min(limits::SCAN_PAIRS_MAX);
    Ok(view.scan(keyspace, start, prefix, pairs, limits::SCAN_BYTES_MAX)?)
}

fn decoded<M: Message + Default>(what: &str, page: Page) -> Result<ActorPage<M>, Halt> {
    let items = page.pairs.iter().map(|(_, bytes)| decode_stored(what, bytes));
    Ok(ActorPage { items: items.collect::<Result<_, _>>()?, more: page.more })
}

/// The image to which the actors of a program are being upgraded.
pub(crate) fn upgrading_to(
    view: &View,
    program: &v1::ProgramInfo,
) -> Result<Option<Vec<u8>>, Halt> {
    // A contract has no actors: nothing to read.
    if program.active.as_ref().is_none_or(|active| active.kind() != Kind::Actor) {
        return Ok(None);
    }
    let upgrade = books::program(view, &program.program)?.upgrade;
    Ok(upgrade.and_then(|upgrade| upgrade.image).map(|image| image.image))
}
