//! What clients saw of registers, and whether one order explains it: every operation takes effect at
//! one moment between its call and its answer.
//!
//! An operation whose fate nobody learnt may take effect at any time after its call, or never. It is
//! shown to the checker as one that is answered after all others: to take effect there, where nobody
//! looks any more, is to take no effect. A read without an answer says nothing and is left out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use todc_utils::{Action, History, Specification, WGLChecker};

/// Events shown of a history that nothing explains.
const SHOWN: usize = 24;

/// What a client asks of a register. Every value is written once in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Read,
    Write(u64),
    Swap { from: Option<u64>, to: u64 },
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Option<u64>),
    Done,
    /// The register was not as a swap expected.
    Refused,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Asked(u32, Ask),
    /// To the event of this number.
    Answered(usize, Answer),
}

/// The histories of registers while they are made, in the order in which things happened.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// Call before the question is sent; gives the number that its answer goes to.
    pub(crate) fn asked(&self, register: u32, ask: Ask) -> usize {
        let mut events = self.events();
        events.push(Event::Asked(register, ask));
        events.len() - 1
    }

    /// Call once the answer is there.
    pub(crate) fn answered(&self, number: usize, answer: Answer) {
        self.events().push(Event::Answered(number, answer));
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions, and those of them that were answered for certain.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let events = self.events();
        let asked = events.iter().filter(|event| matches!(event, Event::Asked(..))).count();
        let known = |event: &&Event| match event {
            Event::Asked(..) => false,
            Event::Answered(_, answer) => *answer != Answer::Unknown,
        };
        (asked, events.iter().filter(known).count())
    }

    /// # Errors
    /// Names the first register whose answers no order explains, and the first of these.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut registers: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
        let mut places = Vec::new();
        for event in self.events().iter() {
            let (register, event) = match *event {
                Event::Asked(register, ask) => (register, Event::Asked(register, ask)),
                Event::Answered(number, answer) => {
                    let (register, place) = places[number];
                    (register, Event::Answered(place, answer))
                }
            };
            let history = registers.entry(register).or_default();
            places.push((register, history.len()));
            history.push(event);
        }
        for (register, history) in registers {
            if !is_explained(&history) {
                return Err(refuted(register, &history));
            }
        }
        Ok(())
    }
}

/// The beginning of a history that is explained is so too: what fails first is what is wrong.
fn refuted(register: u32, history: &[Event]) -> String {
    let fails = (1..=history.len()).find(|end| !is_explained(&history[..*end]));
    let end = fails.unwrap_or(history.len());
    let shown = history[..end].iter().enumerate().skip(end.saturating_sub(SHOWN));
    let shown: Vec<_> = shown.map(|(place, event)| format!("{place:>5} {event:?}")).collect();
    format!("register {register}: no order explains the last of these\n{}", shown.join("\n"))
}

fn is_explained(history: &[Event]) -> bool {
    let mut answers = BTreeMap::new();
    for event in history {
        if let Event::Answered(number, answer) = event {
            answers.insert(*number, *answer);
        }
    }
    let answer = |number: usize| answers.get(&number).copied().unwrap_or(Answer::Unknown);
    let mut actions = Vec::new();
    let mut unknown = Vec::new();
    for (place, event) in history.iter().enumerate() {
        // Each operation is a process of its own: one that was given up may still go on.
        match *event {
            Event::Asked(_, Ask::Read) if answer(place) == Answer::Unknown => {}
            Event::Asked(_, ask) => {
                let done = (ask, answer(place));
                actions.push((place, Action::Call(done)));
                if done.1 == Answer::Unknown {
                    unknown.push((place, Action::Response(done)));
                }
            }
            Event::Answered(_, Answer::Unknown) => {}
            Event::Answered(number, answer) => {
                let Event::Asked(_, ask) = history[number] else { unreachable!("no question") };
                actions.push((number, Action::Response((ask, answer))));
            }
        }
    }
    actions.extend(unknown);
    // The checker knows no empty history.
    actions.is_empty() || WGLChecker::<Register>::is_linearizable(History::from_actions(actions))
}

/// A register that is empty at first.
struct Register;

impl Specification for Register {
    type State = Option<u64>;
    type Operation = (Ask, Answer);

    fn init() -> Self::State {
        None
    }

    fn apply((ask, answer): &Self::Operation, state: &Self::State) -> (bool, Self::State) {
        let unchanged = *state;
        match (*ask, *answer) {
            (Ask::Read, Answer::Found(value)) => (value == *state, unchanged),
            (Ask::Write(value), Answer::Done | Answer::Unknown) => (true, Some(value)),
            (Ask::Swap { from, to }, Answer::Done) if from == *state => (true, Some(to)),
            (Ask::Swap { from, .. }, Answer::Refused) => (from != *state, unchanged),
            (Ask::Swap { from, to }, Answer::Unknown) => {
                (true, if from == *state { Some(to) } else { unchanged })
            }
            _ => (false, unchanged),
        }
    }
}

/// What clients, named by letters, ask and are told, one after the other.
#[track_caller]
fn check(history: &[(char, Option<Ask>, Option<Answer>)], is_explained: bool) {
    let recorder = Recorder::default();
    let mut open = BTreeMap::new();
    for (client, ask, answer) in history {
        if let Some(ask) = ask {
            open.insert(client, recorder.asked(7, *ask));
        }
        if let Some(answer) = answer {
            recorder.answered(open.remove(client).unwrap(), *answer);
        }
    }
    let checked = recorder.check();
    assert_eq!(checked.is_ok(), is_explained, "{checked:?}");
}

/// Asks and is answered before anything else happens.
fn at_once(client: char, ask: Ask, answer: Answer) -> (char, Option<Ask>, Option<Answer>) {
    (client, Some(ask), Some(answer))
}

fn asks(client: char, ask: Ask) -> (char, Option<Ask>, Option<Answer>) {
    (client, Some(ask), None)
}

fn is_told(client: char, answer: Answer) -> (char, Option<Ask>, Option<Answer>) {
    (client, None, Some(answer))
}

const FOUND_NONE: Answer = Answer::Found(None);
const FOUND_1: Answer = Answer::Found(Some(1));
const FOUND_2: Answer = Answer::Found(Some(2));

#[test]
fn what_one_order_explains_is_accepted() {
    use Answer::*;
    use Ask::*;
    check(&[], true);
    check(&[at_once('a', Write(1), Done), at_once('b', Read, FOUND_1)], true);
    // Both happen at once: either comes first.
    let overlap = [asks('a', Write(1)), at_once('b', Write(2), Done), is_told('a', Done)];
    for found in [FOUND_1, FOUND_2] {
        check(&[&overlap[..], &[at_once('c', Read, found)]].concat(), true);
    }
    let swap = Swap { from: Some(1), to: 2 };
    check(&[at_once('a', swap, Refused), at_once('b', Read, FOUND_NONE)], true);
    check(&[at_once('a', Write(1), Done), at_once('a', swap, Done)], true);
}

#[test]
fn a_stale_read_is_found() {
    use Answer::*;
    use Ask::*;
    let written = [at_once('a', Write(1), Done), at_once('a', Write(2), Done)];
    check(&[&written[..], &[at_once('b', Read, FOUND_1)]].concat(), false);
    check(&[&written[..], &[at_once('b', Read, FOUND_NONE)]].concat(), false);
    // Time does not run backwards for those who read while it is written.
    let [first, second] = [at_once('b', Read, FOUND_1), at_once('c', Read, FOUND_NONE)];
    check(&[asks('a', Write(1)), first, second, is_told('a', Done)], false);
    check(&[asks('a', Write(1)), second, first, is_told('a', Done)], true);
}

#[test]
fn a_lost_update_is_found() {
    use Answer::*;
    use Ask::*;
    let [to_1, to_2] = [1, 2].map(|to| Swap { from: None, to });
    check(&[at_once('a', to_1, Done), at_once('b', to_2, Done)], false);
    check(&[asks('a', to_1), at_once('b', to_2, Done), is_told('a', Done)], false);
    check(&[asks('a', to_1), at_once('b', to_2, Done), is_told('a', Refused)], true);
    check(&[at_once('a', Write(1), Done), at_once('b', Read, FOUND_NONE)], false);
}

#[test]
fn what_nobody_learnt_may_have_happened_or_not() {
    use Answer::*;
    use Ask::*;
    let given_up = at_once('a', Write(1), Unknown);
    let [none, one] = [FOUND_NONE, FOUND_1].map(|found| at_once('b', Read, found));
    // At once, late, never; once only, and for good.
    check(&[given_up, one], true);
    check(&[given_up, none, one], true);
    check(&[given_up, none, none], true);
    check(&[given_up, one, none], false);
    check(&[asks('a', Write(1)), none, one], true);
    check(&[one, given_up], false);
    let again = at_once('b', Write(2), Done);
    check(&[given_up, one, again, one], false);
    let swap = at_once('a', Swap { from: Some(2), to: 1 }, Unknown);
    check(&[swap, none, again, one], true);
    check(&[swap, one], false);
    check(&[at_once('a', Read, Unknown), none], true);
}

#[test]
fn a_refutation_names_the_answer() {
    let recorder = Recorder::default();
    for (register, value) in [(3, 10), (4, 20)] {
        let write = recorder.asked(register, Ask::Write(value));
        recorder.answered(write, Answer::Done);
    }
    for register in [3, 4] {
        let read = recorder.asked(register, Ask::Read);
        recorder.answered(read, Answer::Found(Some(10)));
    }
    assert_eq!(recorder.counts(), (4, 4));
    let refuted = recorder.check().unwrap_err();
    assert!(
        refuted.starts_with("register 4") && refuted.ends_with("Found(Some(10)))"),
        "{refuted}"
    );
}
