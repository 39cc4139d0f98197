//! `tests/*.toml`.

use super::compare::Extent;
use crate::values::file_error;
use althing_protocol::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use toml::Spanned;

/// The signer that needs no name: who deploys the contract.
pub(super) const OPERATOR: &str = "me";

/// A scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Where it is written.
    pub path: PathBuf,
    /// Names of keys, besides [`OPERATOR`].
    pub signers: Vec<String>,
    /// The package that runs at first, when it is not the one that was built.
    pub from: Option<PathBuf>,
    pub steps: Vec<Step>,
}

/// A step, and what must come of it.
#[derive(Debug)]
pub(crate) struct Step {
    /// Where it begins in the file.
    pub line: usize,
    pub action: Action,
    pub expected: Expected,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    /// An instruction.
    Call { method: String, args: Value, signer: String },
    /// A query, by [`OPERATOR`].
    Query { method: String, args: Value },
    /// The package that was built takes over.
    Upgrade,
}

/// What must come of a step.
#[derive(Debug)]
pub(crate) enum Expected {
    /// It succeeds.
    Success { output: Option<(Value, Extent)>, events: Option<Value> },
    /// It fails, and the error contains this.
    Failure(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    signers: Vec<String>,
    from: Option<PathBuf>,
    #[serde(rename = "step", default)]
    steps: Vec<Spanned<WrittenStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    call: Option<String>,
    query: Option<String>,
    upgrade: Option<bool>,
    #[serde(rename = "as")]
    signer: Option<String>,
    args: Option<Value>,
    expect: Option<Value>,
    contains: Option<Value>,
    fails: Option<String>,
    events: Option<Value>,
}

impl Scenario {
    /// The scenarios in the folder `tests` of a project, by name.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub(crate) fn read_all(project: &Path) -> Result<Vec<Self>> {
        let files = super::files(&project.join("tests"), &["toml"])?;
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// `invalid`, with the line of what is not understood.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| file_error(path, &e))?;
        Self::parse(path, &text).map_err(|e| {
            Error::invalid(format!("scenario {}: {}", path.display(), e.message.trim_end()))
        })
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let written: Written = toml::from_str(text).map_err(|e| Error::invalid(e.to_string()))?;
        let mut names = BTreeSet::from([OPERATOR]);
        for name in &written.signers {
            let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
            if !valid || !names.insert(name) {
                return Err(Error::invalid(format!(
                    "signer {name:?}: wants letters and digits, each name once, and {OPERATOR} is \
                     taken"
                )));
            }
        }
        if written.steps.is_empty() {
            return Err(Error::invalid("has no [[step]]"));
        }
        let mut steps = Vec::new();
        for step in written.steps {
            let line = 1 + text[..step.span().start].matches('\n').count();
            let step = step.into_inner().check(line, &names);
            steps.push(step.map_err(|e| Error::invalid(format!("line {line}: {}", e.message)))?);
        }
        let (signers, from) = (written.signers, written.from);
        Ok(Self { path: path.to_owned(), signers, from, steps })
    }
}

impl WrittenStep {
    fn check(self, line: usize, names: &BTreeSet<&str>) -> Result<Step> {
        let refused = |why: String| Err(Error::invalid(why));
        let is_call = self.call.is_some();
        let signer = self.signer.clone().unwrap_or_else(|| OPERATOR.to_owned());
        if !names.contains(signer.as_str()) {
            return refused(format!("as = {signer:?}: not one of `signers`"));
        }
        if self.signer.is_some() && !is_call {
            return refused("only a call has a signer: leave `as` out".to_owned());
        }
        if self.events.is_some() && !is_call {
            return refused("only a call has events: leave `events` out".to_owned());
        }
        let args = self.args.clone().unwrap_or_else(|| Value::Object(Default::default()));
        let action = match (&self.call, &self.query, self.upgrade) {
            (Some(method), None, None) => Action::Call { method: method.clone(), args, signer },
            (None, Some(method), None) => Action::Query { method: method.clone(), args },
            (None, None, Some(true)) if self.args.is_none() => Action::Upgrade,
            _ => {
                return refused(
                    "a step has one of `call = METHOD`, `query = METHOD` and `upgrade = true`, and \
                     an upgrade has no args"
                        .to_owned(),
                );
            }
        };
        Ok(Step { line, action, expected: self.expected()? })
    }

    fn expected(self) -> Result<Expected> {
        let is_upgrade = self.upgrade.is_some();
        match (self.expect, self.contains, self.fails) {
            (None, None, Some(text)) if self.events.is_none() => Ok(Expected::Failure(text)),
            (expect, contains, None) if expect.is_none() || contains.is_none() => {
                let whole = expect.map(|value| (value, Extent::Whole));
                let output = whole.or(contains.map(|value| (value, Extent::Part)));
                if is_upgrade && output.is_some() {
                    return Err(Error::invalid("an upgrade has no answer: leave that out"));
                }
                Ok(Expected::Success { output, events: self.events })
            }
            _ => Err(Error::invalid(
                "a step has one of `expect`, `contains` and `fails`, and a step that fails has no \
                 events",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scenario_is_read_with_its_lines() {
        let text = "signers = [\"ada\"]\n\n[[step]]\ncall = \"add\"\nas = \"ada\"\nargs = { by = 2 }\nexpect = 2\n\n\
                    [[step]]\nquery = \"value\"\nfails = \"no\"\n[[step]]\nupgrade = true\n";
        let scenario = Scenario::parse(Path::new("x"), text).unwrap();
        let lines: Vec<_> = scenario.steps.iter().map(|step| step.line).collect();
        assert_eq!(lines, [3, 9, 12]);
        let Action::Call { method, args, signer } = &scenario.steps[0].action else { panic!() };
        assert_eq!((method.as_str(), args, signer.as_str()), ("add", &json!({"by": 2}), "ada"));
        assert!(matches!(&scenario.steps[1].expected, Expected::Failure(text) if text == "no"));
        assert!(matches!(scenario.steps[2].action, Action::Upgrade));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for (text, words) in [
            ("", "no [[step]]"),
            ("[[step]]\ncal = \"x\"", "cal"),
            ("\n[[step]]\ncall = \"x\"\nquery = \"y\"", "line 2"),
            ("[[step]]\nargs = {}", "a step has one of `call"),
            ("[[step]]\nupgrade = false", "upgrade = true"),
            ("[[step]]\nupgrade = true\nexpect = 1", "no answer"),
            ("[[step]]\ncall = \"x\"\nas = \"bob\"", "not one of `signers`"),
            ("[[step]]\nquery = \"x\"\nas = \"me\"", "leave `as` out"),
            ("[[step]]\nquery = \"x\"\nevents = []", "leave `events` out"),
            ("[[step]]\ncall = \"x\"\nexpect = 1\nfails = \"y\"", "one of `expect`"),
            ("[[step]]\ncall = \"x\"\nexpect = 1\ncontains = 1", "one of `expect`"),
            ("[[step]]\ncall = \"x\"\nevents = []\nfails = \"y\"", "has no events"),
            ("signers = [\"me\"]\n[[step]]\ncall = \"x\"", "is taken"),
            ("signers = [\"a b\"]\n[[step]]\ncall = \"x\"", "a b"),
        ] {
            let message = Scenario::parse(Path::new("x"), text).unwrap_err().message;
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
