//! A node of its own, and the steps of a scenario on it.

use super::{
    Scenario,
    compare::{Extent, differences},
    file::{Action, Expected, OPERATOR, Step},
};
use crate::{
    commands::{deploy, init},
    context::{ANSWER_WAIT, Context, Remote},
    package::Package,
    values::file_error,
};
use althing_client::Endpoint;
use althing_node::{Config, Node, Overrides};
use althing_operations::Freshness;
use althing_protocol::{Error, Hash, Result, SecretKey};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// Lines of the program's log that are shown of a step that went wrong.
const LOG_LINES: usize = 20;

/// How a scenario went.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub scenario: String,
    pub passed: bool,
    /// Those that were run: the first that goes wrong is the last.
    pub steps: Vec<Done>,
    /// How many there are.
    pub steps_in_all: usize,
}

/// A step that was run.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    pub line: usize,
    pub does: String,
    pub passed: bool,
    pub fuel: Option<u64>,
    pub differences: Vec<String>,
    /// What the program logged last, when the step went wrong.
    pub log: Vec<String>,
}

/// Runs `scenario` with `package`, in a realm that is gone afterwards. It lies in the directory `out`,
/// where compiled images stay for the next one.
///
/// # Errors
/// What keeps the realm from running, or the package from being deployed; not what goes wrong in a
/// step.
pub(crate) async fn run(
    context: &Context,
    scenario: &Scenario,
    package: &Package,
    out: &Path,
) -> Result<Report> {
    let dir = tempfile::tempdir_in(out).map_err(|e| file_error(out, &e))?;
    let data = dir.path().join("data");
    // Nobody acts as the founder: the operator may do all that is wanted here.
    let founder = althing_client::generate()?.public();
    let operator = init::init(&data, "scenario", founder, Vec::new())?.local.to_string();
    let (kept, cache) = (out.join("compiled"), data.join("realm/cache"));
    carry(&kept, &cache);
    // Whatever this user's environment says about other nodes.
    let overrides = Overrides {
        flags: vec![("http.listen".to_owned(), "127.0.0.1:0".to_owned())],
        ..Overrides::default()
    };
    let node = Node::start(Config::load(&data, &overrides)?).await?;
    let endpoint = Endpoint::discover(&data)?;
    let ran = match Session::open(context, scenario, package, endpoint, operator).await {
        Ok(session) => session.run(scenario).await,
        Err(error) => Err(error),
    };
    let stopped = node.shutdown().await;
    drop(node);
    carry(&cache, &kept);
    let report = ran?;
    stopped.map(|()| report)
}

/// Moves a directory of compiled images. That it does not work, because there is none or another run
/// has it, costs time and nothing else.
fn carry(from: &Path, to: &Path) {
    if from.is_dir() {
        let _ = fs::remove_dir_all(to);
        let _ = fs::rename(from, to);
    }
}

/// The connections to the node, and the names in the scenario.
struct Session<'a> {
    context: &'a Context,
    package: &'a Package,
    /// By the name of their signer.
    remotes: BTreeMap<String, Remote>,
    /// `{NAME}` and the public key that it stands for.
    names: Vec<(String, String)>,
}

impl<'a> Session<'a> {
    async fn open(
        context: &'a Context,
        scenario: &Scenario,
        package: &'a Package,
        endpoint: Endpoint,
        operator: String,
    ) -> Result<Self> {
        let fresh = Freshness::default();
        let own = Remote::connect(&endpoint, None, fresh, ANSWER_WAIT).await?;
        let mut names = vec![(format!("{{{OPERATOR}}}"), operator)];
        let mut remotes = BTreeMap::new();
        match &scenario.from {
            Some(from) => {
                let dir = scenario.path.parent().unwrap_or(Path::new(""));
                let first =
                    Package::read(&dir.join(from), None, Some(package.program.as_str()), None)?;
                deploy::deploy_package(context, &own, &first, false).await?;
            }
            None => {
                deploy::deploy_package(context, &own, package, false).await?;
            }
        }
        for name in &scenario.signers {
            // The same in each run, so that what is said of a failure stays the same.
            let key = SecretKey::from_seed(Hash::of(name.as_bytes()).as_bytes());
            let public = key.public().to_string();
            let grant = json!({
                "subject": format!("key:{public}"), "program": package.program.as_str(),
                "method": "*", "exclusive": false,
            });
            own.call("action:grant.add.v1", grant).await?;
            let remote = Remote::connect(&endpoint, Some(key), fresh, ANSWER_WAIT).await?;
            remotes.insert(name.clone(), remote);
            names.push((format!("{{{name}}}"), public));
        }
        remotes.insert(OPERATOR.to_owned(), own);
        Ok(Self { context, package, remotes, names })
    }

    async fn run(&self, scenario: &Scenario) -> Result<Report> {
        let mut steps = Vec::new();
        for step in &scenario.steps {
            let done = self.step(step).await?;
            let passed = done.passed;
            steps.push(done);
            if !passed {
                break;
            }
        }
        Ok(Report {
            scenario: scenario.path.display().to_string(),
            passed: steps.iter().all(|step| step.passed),
            steps,
            steps_in_all: scenario.steps.len(),
        })
    }

    async fn step(&self, step: &Step) -> Result<Done> {
        let (does, result) = match &step.action {
            Action::Call { method, args, signer } => {
                let by = if signer == OPERATOR { String::new() } else { format!(" as {signer}") };
                let output = self.ask("action:program.call.v1", signer, method, args).await;
                (format!("call {method}{by}"), output)
            }
            Action::Query { method, args } => {
                let output = self.ask("query:program.query.v1", OPERATOR, method, args).await;
                (format!("query {method}"), output)
            }
            Action::Upgrade => ("upgrade".to_owned(), self.upgrade().await),
        };
        let fuel = result.as_ref().ok().and_then(|output| output.get("fuel")?.as_u64());
        let differences = self.judge(&step.expected, &result);
        let passed = differences.is_empty();
        let log = if passed { Vec::new() } else { self.log().await? };
        Ok(Done { line: step.line, does, passed, fuel, differences, log })
    }

    fn remote(&self, signer: &str) -> Result<&Remote> {
        self.remotes
            .get(signer)
            .ok_or_else(|| Error::internal(format!("scenario: nobody connected as {signer}")))
    }

    async fn ask(
        &self,
        operation: &str,
        signer: &str,
        method: &str,
        args: &Value,
    ) -> Result<Value> {
        let input = json!({
            "program": self.package.program.as_str(), "method": method, "args": self.named(args),
        });
        self.remote(signer)?.call(operation, input).await
    }

    /// Puts what was built in place of what runs. Where that is the same, its bytes are made others.
    async fn upgrade(&self) -> Result<Value> {
        let remote = self.remote(OPERATOR)?;
        let done = deploy::deploy_package(self.context, remote, self.package, false).await?;
        if done["state"] != "unchanged" {
            return Ok(done);
        }
        let again = self.package.remarked();
        deploy::deploy_package(self.context, remote, &again, false).await
    }

    /// What is wrong with `result`; nothing when it is as expected.
    fn judge(&self, expected: &Expected, result: &Result<Value>) -> Vec<String> {
        match (expected, result) {
            (Expected::Failure(words), Err(error)) => {
                let (words, error) = (self.names_in(words), error.to_string());
                match error.contains(&words) {
                    true => Vec::new(),
                    false => vec![format!("error: expected one with {words:?}, got {error:?}")],
                }
            }
            (Expected::Failure(words), Ok(output)) => {
                vec![format!("expected an error with {words:?}, got {}", answer(output))]
            }
            (Expected::Success { .. }, Err(error)) => vec![format!("failed: {error}")],
            (Expected::Success { output, events }, Ok(got)) => {
                let mut lines = output.as_ref().map_or_else(Vec::new, |(value, extent)| {
                    differences(&self.named(value), &answer(got), *extent)
                });
                if let Some(events) = events {
                    let none = json!([]);
                    let got = got.get("events").unwrap_or(&none);
                    let found = differences(&self.named(events), got, Extent::Part);
                    lines.extend(found.into_iter().map(|line| format!("events{line}")));
                }
                lines
            }
        }
    }

    /// `value` with the keys in place of the names of signers.
    fn named(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.names_in(text).into(),
            Value::Array(values) => values.iter().map(|value| self.named(value)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.named(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn names_in(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, key)| text.replace(name, key))
    }

    async fn log(&self) -> Result<Vec<String>> {
        let input = json!({ "program": self.package.program.as_str(), "limit": 1_000 });
        let output = self.remote(OPERATOR)?.call("query:program.logs.v1", input).await?;
        let lines = output["lines"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        Ok(last.iter().map(|l| format!("{}: {}", text(l, "level"), text(l, "text"))).collect())
    }
}

/// What the program answered: JSON, or its bytes.
fn answer(output: &Value) -> Value {
    let bytes = || output.get("output_base64").cloned().unwrap_or_default();
    output.get("output").cloned().unwrap_or_else(bytes)
}
