//! The steps of a scenario, one after the other, judged.

use super::{
    Scenario,
    file::{Expected, Letter, Step},
    stage::{Came, DELIVERIES_MAX, NotBegun, Stage, halted},
};
use crate::{
    output::preview,
    package::Package,
    scenario::{
        Done, Report,
        compare::{Extent, differences},
    },
};
use althing_protocol::{Error, Kind, Result, limits};
use althing_sandbox::{
    ActorLimits, Engine, EngineOptions, Image, LoadError, limits::THREAD_STACK_BYTES,
};
use etcetera::BaseStrategy as _;
use serde_json::{Value, json};
use std::thread;

/// Lines of the actors' logs that are shown of a step that went wrong.
const LOG_LINES: usize = 20;
/// Characters of a message that are shown.
const WIDTH: usize = 60;

/// A component that plays, and what it may use.
pub(crate) struct Cast {
    pub(super) image: Image,
    pub(super) limits: ActorLimits,
}

impl Cast {
    /// Compiles the component of a package. What was compiled before comes from the user's cache.
    ///
    /// # Errors
    /// What a realm would refuse about it; `invalid` when it is no actor.
    pub(crate) fn load(package: &Package) -> Result<Self> {
        let cache = etcetera::choose_base_strategy().ok().map(|base| base.cache_dir());
        let cache_dir = cache.map(|dir| dir.join("althing").join("compiled"));
        let options = EngineOptions { cache_dir, ..EngineOptions::default() };
        let engine = Engine::new(&options).map_err(halted)?;
        let image = engine.load(&package.hash, &package.image).map_err(|error| match error {
            LoadError::Refused(error) => error,
            LoadError::Halt(halt) => halted(halt),
        })?;
        if image.kind() != althing_sandbox::Kind::Actor {
            return Err(Error::invalid(format!(
                "component {}: is no actor; scenarios of contracts are TOML, and `althing test` \
                 plays them",
                package.program
            )));
        }
        let manifest = &package.manifest;
        let or = |value, default, max: u64| if value == 0 { default } else { max.min(value) };
        let limits = ActorLimits {
            fuel: or(manifest.fuel_max, limits::FUEL_DEFAULT, limits::FUEL_MAX),
            memory_bytes_max: or(
                manifest.memory_bytes_max,
                limits::GUEST_MEMORY_BYTES_DEFAULT,
                limits::GUEST_MEMORY_BYTES_MAX,
            ),
            deadline: None,
        };
        Ok(Self { image, limits })
    }
}

/// Plays `scenario` with the component of `package`.
///
/// # Errors
/// What keeps this machine from running the component; not what goes wrong in the scenario.
pub(crate) fn run(scenario: &Scenario, cast: &Cast) -> Result<Report> {
    // Guests need the stack that they have in a realm.
    thread::scope(|scope| {
        let play = || play(scenario, cast);
        let thread =
            thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, play);
        let ended = thread.map_err(|e| Error::unavailable(format!("thread: {e}")))?.join();
        ended.unwrap_or_else(|_| Err(Error::internal("scenario: its thread panicked")))
    })
}

fn play(scenario: &Scenario, cast: &Cast) -> Result<Report> {
    let mut steps = Vec::new();
    match Stage::new(cast, &scenario.actors)? {
        Err(not_begun) => steps.push(beginning(&not_begun)),
        Ok(mut stage) => {
            for step in &scenario.steps {
                let done = self::step(&mut stage, step)?;
                let passed = done.passed;
                steps.push(done);
                if !passed {
                    break;
                }
            }
        }
    }
    Ok(Report {
        scenario: scenario.path.display().to_string(),
        passed: steps.iter().all(|step| step.passed),
        steps,
        steps_in_all: scenario.steps.len(),
    })
}

/// What stands for an actor that did not begin, before all steps.
fn beginning(NotBegun { line, actor, error }: &NotBegun) -> Done {
    Done {
        line: usize::try_from(*line).unwrap_or(usize::MAX),
        does: format!("begin with {actor}"),
        passed: false,
        fuel: None,
        differences: vec![format!("failed: {error}")],
        log: Vec::new(),
    }
}

fn step(stage: &mut Stage<'_>, step: &Step) -> Result<Done> {
    let came = step.message.as_ref().map(|message| stage.deliver(&step.to, message)).transpose()?;
    let mut differences = came.as_ref().map_or_else(Vec::new, |came| judge(step, came));
    if let Some((expected, extent)) = &step.state {
        let got = value(stage.state(&step.to));
        let found = self::differences(expected, &got, *extent);
        differences.extend(found.into_iter().map(|line| format!("state of {}: {line}", step.to)));
    }
    let does = match &step.message {
        Some(message) => format!("send {} to {}", preview(message, WIDTH), step.to),
        None => format!("look at {}", step.to),
    };
    let passed = differences.is_empty();
    let logs = came.as_ref().map_or(&[][..], |came| &came.logs);
    let last = if passed { &[] } else { &logs[logs.len().saturating_sub(LOG_LINES)..] };
    Ok(Done {
        line: usize::try_from(step.line).unwrap_or(usize::MAX),
        does,
        passed,
        fuel: came.as_ref().map(|came| came.fuel),
        differences,
        log: last.iter().map(|(actor, line)| format!("{actor}: {line}")).collect(),
    })
}

/// What is wrong with what came of a message; nothing when it is as expected.
fn judge(step: &Step, came: &Came) -> Vec<String> {
    let mut lines = match (&step.expected, &came.error) {
        (Expected::Handled { .. }, Some(error)) => vec![format!("failed: {error}")],
        (Expected::Handled { sends }, None) => sends.as_ref().map_or_else(Vec::new, |expected| {
            let sent = |sent: &althing_sandbox::Sent| {
                json!({ "to": sent.to, "message": value(&sent.message) })
            };
            let got: Value = came.sends.iter().map(sent).collect();
            let found = differences(expected, &got, Extent::Part);
            found.into_iter().map(|line| format!("sends{line}")).collect()
        }),
        (Expected::Violation(words) | Expected::Failure(words), None) => {
            vec![format!("expected an error with {words:?}, got none")]
        }
        (Expected::Violation(words), Some(error)) if error.kind != Kind::ContractViolation => {
            vec![format!("expected a contract violation with {words:?}, got: {error}")]
        }
        (Expected::Violation(words), Some(error)) => {
            unlike(words, error, reason(behind(&step.to, &error.message)))
        }
        (Expected::Failure(words), Some(error)) => unlike(words, error, &told(&step.to, error)),
    };
    if came.is_endless {
        lines.push(format!(
            "actors: send each other messages after {DELIVERIES_MAX} of them; a chain that goes on for \
             ever wants a timer"
        ));
        return lines;
    }
    lines.extend(logged(&step.logs, &came.logs));
    lines.extend(undelivered(&step.letters, &came.letters));
    lines
}

fn unlike(words: &str, error: &Error, told: &str) -> Vec<String> {
    let line = || format!("expected an error with {words:?}, got: {error}");
    (!told.contains(words)).then(line).into_iter().collect()
}

/// An error without the actor that it is about, which the scenario names anyway.
fn told(actor: &str, error: &Error) -> String {
    format!("{}: {}", error.kind.name(), behind(actor, &error.message))
}

fn behind<'a>(actor: &str, message: &'a str) -> &'a str {
    let name = message.strip_prefix("actor ").unwrap_or(message);
    name.strip_prefix(actor).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}

/// What a contract gave as its reason, behind the words that say which one refused what: they are
/// the same whatever it was.
fn reason(refusal: &str) -> &str {
    refusal.split_once(": ").map_or(refusal, |(_, reason)| reason)
}

/// Whether the expected texts are there, in their order; between them there may be others.
fn logged(expected: &[String], logs: &[(String, String)]) -> Option<String> {
    let mut lines = logs.iter();
    let missing = expected.iter().find(|text| !lines.any(|(_, line)| line.contains(*text)))?;
    Some(format!("logs: expected a line with {missing:?} here, got none"))
}

fn undelivered(expected: &[Letter], got: &[(String, Error)]) -> Vec<String> {
    let pair = |at: usize| match (expected.get(at), got.get(at)) {
        (Some(letter), Some((to, error)))
            if letter.to == *to && told(to, error).contains(&letter.fails) =>
        {
            None
        }
        (Some(letter), Some((to, error))) => Some(format!(
            "letters[{at}]: expected one to {} with {:?}, got one to {to}: {error}",
            letter.to, letter.fails
        )),
        (Some(letter), None) => {
            Some(format!("letters[{at}]: expected one to {}, got none", letter.to))
        }
        (None, Some((to, error))) => {
            Some(format!("letters[{at}]: a message to {to} was not delivered: {error}"))
        }
        (None, None) => None,
    };
    (0..expected.len().max(got.len())).filter_map(pair).collect()
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}
