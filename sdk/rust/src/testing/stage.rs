//! Actors in memory.

use crate::{
    Actor, MigrateState,
    actor::{Instance, migrate_text},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    mem,
};

const ID_BYTES_MAX: usize = 128;
const STATE_BYTES_MAX: usize = 512 << 10;
const MESSAGE_BYTES_MAX: usize = 64 << 10;
const SENDS_MAX: usize = 64;
const SENDS_BYTES_MAX: usize = 256 << 10;
const HOPS_MAX: u32 = 1_024;
const WAITING_MAX: usize = 1_024;
/// Messages among actors that one message of the test may cause. A realm bounds the length of each
/// chain and goes on; here somebody waits for the end.
const DELIVERIES_MAX: usize = 10_000;
const LEVELS_MAX: usize = 64;
/// Up to it every integer is a double.
const INTEGER_MAX: u64 = 1 << 53;

/// Actors, and what they did.
///
/// Everything happens in the order of a realm: `message_contract`, `state_contract` and `handle` in one
/// instance, then `state_contract` in a fresh one; then the new state is stored, and what was sent
/// waits for its receivers, who take turns. It does not count fuel or memory, it grants everything,
/// and a panic is one of the test.
#[derive(Debug, Default)]
pub struct Stage {
    /// All lines logged so far, with who logged them.
    pub logs: Vec<(String, String)>,
    /// All messages that actors sent so far.
    pub sent: Vec<Sent>,
    /// Those of them that could not be delivered.
    pub letters: Vec<Letter>,
    actors: BTreeMap<String, Member>,
    /// Actors for whom something waits, each once.
    ready: VecDeque<String>,
}

/// A message that an actor sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Who sent it.
    pub from: String,
    /// Who is to get it.
    pub to: String,
    /// The message.
    pub message: Value,
}

/// A message that could not be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Who was to get it.
    pub to: String,
    /// The message.
    pub message: Value,
    /// Why not.
    pub reason: String,
}

#[derive(Debug)]
struct Member {
    code: Code,
    /// Canonical.
    state: String,
    /// Messages, with how many were before each of which one led to the next.
    inbox: VecDeque<(String, u32)>,
}

/// The functions of an actor's type. Each call is an instance of its own.
#[derive(Clone, Copy, Debug)]
struct Code {
    init: fn() -> Result<String, String>,
    turn: fn(&str, &str) -> Result<String, String>,
    state_contract: fn(&str) -> Result<(), String>,
}

impl Code {
    fn of<A: Actor>() -> Self {
        Self {
            init: || Instance::<A>::default().init(),
            turn: turn::<A>,
            state_contract: |state| Instance::<A>::default().state_contract(state.to_owned()),
        }
    }
}

/// What the first instance of a turn does.
fn turn<A: Actor>(message: &str, state: &str) -> Result<String, String> {
    let mut instance = Instance::<A>::default();
    instance
        .message_contract(message.to_owned(), state.to_owned())
        .map_err(|reason| format!("message contract refused the message: {reason}"))?;
    instance.state_contract(state.to_owned()).map_err(|reason| {
        format!("state contract refused the state before the message: {reason}")
    })?;
    may_send(true);
    let next = instance.handle(message.to_owned(), state.to_owned());
    may_send(false);
    next.map_err(|reason| format!("handle failed; it logged: {reason}"))
}

/// What the functions that run on this thread logged and sent.
#[derive(Debug, Default)]
struct Hands {
    may_send: bool,
    logs: Vec<String>,
    sends: Vec<(String, String)>,
}

thread_local! {
    static HANDS: RefCell<Option<Hands>> = const { RefCell::new(None) };
}

fn may_send(may: bool) {
    HANDS.with_borrow_mut(|hands| {
        if let Some(hands) = hands {
            hands.may_send = may;
        }
    });
}

/// Logs a line, if an actor runs on this thread.
pub(crate) fn log(text: &str) -> bool {
    HANDS
        .with_borrow_mut(|hands| hands.as_mut().map(|hands| hands.logs.push(text.to_owned())))
        .is_some()
}

/// The import `send`.
pub(crate) fn send(actor: &str, message: &str) {
    HANDS.with_borrow_mut(|hands| match hands {
        Some(hands) if hands.may_send => hands.sends.push((actor.to_owned(), message.to_owned())),
        _ => panic!("actor::send: only while `handle` runs, on a `testing::Stage`"),
    });
}

impl Stage {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `A` the actor `id`. Gives its first state.
    ///
    /// # Errors
    /// When `init` fails or the state contract refuses what it returns, and for an id that is not
    /// one, or is taken.
    pub fn spawn<A: Actor>(&mut self, id: &str) -> Result<Value, String> {
        check_id(id)?;
        if self.actors.contains_key(id) {
            return Err(format!("{id}: there is an actor of that id"));
        }
        let code = Code::of::<A>();
        let state = self.run(id, || {
            let state =
                (code.init)().map_err(|reason| format!("init failed; it logged: {reason}"))?;
            accepted(code, "init", &state)
        })?;
        let shown = value(&state);
        self.actors.insert(id.to_owned(), Member { code, state, inbox: VecDeque::new() });
        Ok(shown)
    }

    /// Gives `message` to the actor `id`, then delivers all that is sent because of it. The answer is
    /// the state that it made of the actor; states afterwards are those of [`Stage::state`].
    ///
    /// # Errors
    /// Why the message was refused: as in a realm, with the actor's id first. Then nothing has
    /// changed but the logs. What fails of the messages that follow is in `letters`.
    ///
    /// # Panics
    /// When more than 10,000 messages follow.
    pub fn send(&mut self, id: &str, message: impl Serialize) -> Result<Value, String> {
        let message = serde_json::to_string(&message).map_err(|e| format!("message: {e}"))?;
        let message = canonical("message", &message, MESSAGE_BYTES_MAX)?;
        let next = self.turn(id, &message, 0)?;
        self.deliver();
        Ok(value(&next))
    }

    /// The state of an actor.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn state(&self, id: &str) -> Value {
        match self.actors.get(id) {
            Some(member) => value(&member.state),
            None => panic!("actor {id}: spawn it first"),
        }
    }

    /// Lets `A` take over the actor `id`, whose version was `from_version`. Gives its new state.
    ///
    /// # Errors
    /// When `migrate` fails, or the state contract refuses what it returns. Then nothing has changed.
    pub fn migrate<A: MigrateState>(
        &mut self,
        id: &str,
        from_version: &str,
    ) -> Result<Value, String> {
        let code = Code::of::<A>();
        let state = self.state(id).to_string();
        let next = self.run(id, || {
            let next = migrate_text::<A>(&state, from_version)
                .map_err(|reason| format!("migrate failed; it logged: {reason}"))?;
            accepted(code, "migrate", &next)
        })?;
        let shown = value(&next);
        if let Some(member) = self.actors.get_mut(id) {
            (member.code, member.state) = (code, next);
        }
        Ok(shown)
    }

    /// One message, and the state after it; what was sent waits.
    fn turn(&mut self, id: &str, message: &str, hops: u32) -> Result<String, String> {
        let Some(member) = self.actors.get(id) else {
            return Err(format!("{id}: there is no actor of that id"));
        };
        let (code, state) = (member.code, member.state.clone());
        let (next, sends) = self.run(id, || {
            let next = accepted(code, "handle", &(code.turn)(message, &state)?)?;
            Ok((next, sends()?))
        })?;
        if let Some(member) = self.actors.get_mut(id) {
            member.state.clone_from(&next);
        }
        for (to, message) in sends {
            let sent = Sent { from: id.to_owned(), to, message: value(&message) };
            self.post(&sent, message, hops + 1);
            self.sent.push(sent);
        }
        Ok(next)
    }

    fn post(&mut self, sent: &Sent, message: String, hops: u32) {
        let refused = match self.actors.get_mut(&sent.to) {
            _ if hops > HOPS_MAX => Some(format!("{HOPS_MAX} messages led to one another")),
            None => Some("there is no actor of that id".to_owned()),
            Some(member) if member.inbox.len() >= WAITING_MAX => {
                Some(format!("{WAITING_MAX} messages wait"))
            }
            Some(member) => {
                if member.inbox.is_empty() {
                    self.ready.push_back(sent.to.clone());
                }
                member.inbox.push_back((message, hops));
                None
            }
        };
        if let Some(reason) = refused {
            let (to, message) = (sent.to.clone(), sent.message.clone());
            self.letters.push(Letter { reason: format!("{to}: {reason}"), to, message });
        }
    }

    /// All that waits: each receiver gets one message, and goes to the end if there is another.
    fn deliver(&mut self) {
        for _ in 0..DELIVERIES_MAX {
            let Some(id) = self.ready.pop_front() else { return };
            let inbox = self.actors.get_mut(&id).map(|member| &mut member.inbox);
            let Some((inbox, (message, hops))) =
                inbox.and_then(|inbox| inbox.pop_front().map(|next| (inbox, next)))
            else {
                continue;
            };
            if !inbox.is_empty() {
                self.ready.push_back(id.clone());
            }
            if let Err(reason) = self.turn(&id, &message, hops) {
                self.letters.push(Letter { to: id, message: value(&message), reason });
            }
        }
        assert!(self.ready.is_empty(), "more than {DELIVERIES_MAX} messages follow from this one");
    }

    /// Runs functions of the actor `id`, and keeps what they log.
    fn run<T>(&mut self, id: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        HANDS.set(Some(Hands::default()));
        let result = work();
        let hands = HANDS.take().unwrap_or_default();
        self.logs.extend(hands.logs.into_iter().map(|line| (id.to_owned(), line)));
        result.map_err(|reason| format!("{id}: {reason}"))
    }
}

/// The canonical form of a state that a function returned, if the state contract takes it.
fn accepted(code: Code, function: &str, state: &str) -> Result<String, String> {
    let what = format!("the state that `{function}` returned");
    let state = canonical(&what, state, STATE_BYTES_MAX)?;
    (code.state_contract)(&state).map_err(|reason| {
        format!("state contract refused the state that `{function}` returned: {reason}")
    })?;
    Ok(state)
}

/// What `handle` sent, canonical.
fn sends() -> Result<Vec<(String, String)>, String> {
    let sends =
        HANDS.with_borrow_mut(|hands| hands.as_mut().map(|hands| mem::take(&mut hands.sends)));
    let sends = sends.unwrap_or_default();
    let bytes: usize = sends.iter().map(|(to, message)| to.len() + message.len()).sum();
    if sends.len() > SENDS_MAX || bytes > SENDS_BYTES_MAX {
        return Err(format!(
            "handle sent {} messages of {bytes} bytes; the limits are {SENDS_MAX}, and \
             {SENDS_BYTES_MAX} bytes",
            sends.len()
        ));
    }
    let checked = sends.into_iter().map(|(to, message)| {
        check_id(&to)?;
        let message = canonical(&format!("message to {to}"), &message, MESSAGE_BYTES_MAX)?;
        Ok((to, message))
    });
    checked.collect()
}

fn check_id(id: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    let is_id = id.len() <= ID_BYTES_MAX
        && id.bytes().all(inner)
        && id.split('/').all(|segment| !segment.is_empty());
    is_id.then_some(()).ok_or_else(|| format!("{id:?}: not an actor id"))
}

/// The one text of a JSON, if a realm takes it.
fn canonical(what: &str, text: &str, bytes_max: usize) -> Result<String, String> {
    let refused = |reason: String| format!("{what}: {reason}");
    let value: Value = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
    check_value(&value, LEVELS_MAX).map_err(refused)?;
    let form = serde_json_canonicalizer::to_string(&value).map_err(|e| refused(e.to_string()))?;
    match form.len() <= bytes_max {
        true => Ok(form),
        false => Err(refused(format!("{} bytes, the limit is {bytes_max}", form.len()))),
    }
}

fn check_value(value: &Value, levels: usize) -> Result<(), String> {
    let mut below: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        Value::Number(n) if n.as_i128().is_some_and(|n| !is_a_double(n)) => {
            return Err(format!("number {n}: no double is exactly that; write it as a string"));
        }
        _ => return Ok(()),
    };
    let Some(levels) = levels.checked_sub(1) else {
        return Err(format!("more than {LEVELS_MAX} levels"));
    };
    below.try_for_each(|value| check_value(value, levels))
}

fn is_a_double(n: i128) -> bool {
    n.unsigned_abs() <= INTEGER_MAX.into()
        || serde_json_canonicalizer::to_string(&(n as f64)).is_ok_and(|form| form == n.to_string())
}

#[allow(clippy::expect_used)]
fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("it was JSON before")
}
