//! `althing test`.

use super::build::{blocking, build, here, out, tools};
use crate::{
    context::Context,
    exit::{Outcome, Stop},
    output,
    package::Package,
    scenario::{self, Report, Scenario, actors},
};
use althing_packaging::Project;
use althing_protocol::{Error, Kind, Result};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Test a project: its unit tests, and its scenarios in a realm of their own
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs the unit tests of the project's language, builds the package, and runs each scenario, a file
tests/*.toml, against a node in a temporary directory. Of a step that goes wrong it shows what was
expected, what came, and what the program logged. The exit code is 1 when a test fails. Scenarios of
actors are tests/*.yaml: see althing actor test --help.

A scenario:
  signers = [\"ada\"]                     # names of keys; {ada} in any text is the public key

  [[step]]
  call = \"sign\"                         # or query = METHOD, or upgrade = true
  as = \"ada\"                            # who signs the call
  args = { text = \"hello\" }
  expect = 1                            # all of the answer; contains = for a part of it
  events = [{ topic = \"guestbook.signed\" }]

  [[step]]
  call = \"remove\"
  args = { number = 1 }
  fails = \"was written by key:{ada}\"    # a part of the error

Examples:
  althing test
  althing test guestbook --unit")]
pub(crate) struct Args {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only the unit tests
    #[arg(long)]
    unit: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let project = Project::open(&args.dir)?;
    // A mistake in them should not cost a build first.
    let (scenarios, of_actors) = match args.unit {
        true => (Vec::new(), Vec::new()),
        false => (Scenario::read_all(project.dir())?, actors::Scenario::read_all(project.dir())?),
    };
    let unit = unit(&project).await?;
    let mut reports = Vec::new();
    if unit.is_none() && !args.unit {
        let built = build(&project).await?;
        let package = Package::unsigned(&built.component, None, None)?;
        for scenario in &scenarios {
            eprintln!("playing {}", here(&scenario.path));
            reports.push(scenario::run(context, scenario, &package, &out(&project)).await?);
        }
        reports.extend(play(package, of_actors).await?);
    }
    let passed = unit.is_none() && reports.iter().all(|report| report.passed);
    let document = json!({
        "program": project.name(), "passed": passed,
        "unit": { "passed": unit.is_none(), "error": unit },
        "scenarios": reports,
    });
    context.out.show(&document, || shown(&project, unit.as_deref(), &reports))?;
    verdict(passed)
}

/// How a command ends that tests.
pub(super) fn verdict(passed: bool) -> Outcome {
    if passed { Ok(()) } else { Err(Stop::Refuted) }
}

/// Plays the scenarios of an actor.
async fn play(package: Package, scenarios: Vec<actors::Scenario>) -> Result<Vec<Report>> {
    if scenarios.is_empty() {
        return Ok(Vec::new());
    }
    blocking(move || {
        let cast = actors::Cast::load(&package)?;
        scenarios.iter().map(|scenario| actors::run(scenario, &cast)).collect()
    })
    .await
}

/// Runs the unit tests; what they say goes to stderr. Why they failed, if they did.
async fn unit(project: &Project) -> Result<Option<String>> {
    let project = project.clone();
    match blocking(move || project.test_unit(&tools()?, &out(&project))).await {
        Ok(()) => Ok(None),
        Err(Error { kind: Kind::Invalid, message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}

fn shown(project: &Project, unit: Option<&str>, reports: &[Report]) -> String {
    let mut lines = vec![match unit {
        None => format!("{}: unit tests passed", project.name()),
        Some(error) => format!("{}: unit tests FAILED: {error}", project.name()),
    }];
    lines.extend(played(reports));
    lines.join("\n")
}

/// How scenarios went, for people.
pub(super) fn played(reports: &[Report]) -> Vec<String> {
    let mut lines = Vec::new();
    for report in reports {
        let passed = report.steps.iter().filter(|step| step.passed).count();
        let verdict = if report.passed { "passed" } else { "FAILED" };
        let count = format!("{passed} of {} steps", report.steps_in_all);
        lines.push(format!("{}: {verdict}, {count}", here(Path::new(&report.scenario))));
        for step in report.steps.iter().filter(|step| !step.passed) {
            lines.push(format!("  line {}, {}", step.line, step.does));
            lines.extend(step.differences.iter().map(|d| format!("    {}", output::printable(d))));
            if !step.log.is_empty() {
                lines.push("  its log:".to_owned());
                lines
                    .extend(step.log.iter().map(|line| format!("    {}", output::printable(line))));
            }
        }
    }
    lines
}
