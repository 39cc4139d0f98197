//! `althing actor test`.

use crate::{
    commands::{
        build::{blocking, build},
        test::{played, verdict},
    },
    context::Context,
    exit::Outcome,
    package::Package,
    scenario::actors::{self, Cast, Scenario},
};
use althing_packaging::Project;
use althing_protocol::{Error, Result};
use std::path::{Path, PathBuf};

/// Play a scenario with a component, with no node
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Messages are delivered as a realm delivers them. The exit code is 1 when something is not as
expected; the line, what was expected, what came and what was logged are shown. Without COMPONENT,
the project in which the scenario lies is built.

A scenario:
  actors:                              # left out: one, which needs no `to`
    bank/alice: {}                     # begins with init
    bank/bob: {state: {balance: 1}}    # with this state; with from-version it is migrated
  steps:
    - send: {deposit: {amount: 5}}
      to: bank/alice
      state: {balance: 5}              # all of the state; contains: a part of it
    - send: {transfer: {to: bank/bob, amount: 2}}
      to: bank/alice
      sends: [{to: bank/bob, message: {receive: {amount: 2}}}]
      logs: [sent]                     # parts of lines, in this order
    - to: bank/bob                     # sends nothing, looks
      contains: {balance: 3}
    - send: {withdraw: {amount: 900}}
      to: bank/alice
      violation: not enough            # a part of a contract's reason; fails: of any error
    - send: {transfer: {to: bank/nobody, amount: 1}}
      to: bank/alice
      letters: [{to: bank/nobody}]     # what others do not get; fails: why

Examples:
  althing actor test tests/money.yaml
  althing actor test money.yaml ledger.wasm --json")]
pub(crate) struct Test {
    /// The scenario, a YAML file
    scenario: PathBuf,
    /// The component, a .wasm file with its manifest beside it
    component: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, args: Test) -> Outcome {
    let scenario = Scenario::read(&args.scenario)?;
    let component = match args.component {
        Some(component) => component,
        None => build(&project(&args.scenario)?).await?.component,
    };
    let package = Package::unsigned(&component, None, None)?;
    let report = blocking(move || {
        let cast = Cast::load(&package)?;
        actors::run(&scenario, &cast)
    });
    let report = report.await?;
    context.out.show(&report, || played(std::slice::from_ref(&report)).join("\n"))?;
    verdict(report.passed)
}

/// The project that `scenario` is of: its directory, or the one above it.
fn project(scenario: &Path) -> Result<Project> {
    let path = std::path::absolute(scenario)
        .map_err(|e| Error::invalid(format!("{}: {e}", scenario.display())))?;
    let mut above = path.ancestors().skip(1).take(2);
    let dir = above.find(|dir| dir.join("althing.toml").exists());
    let dir = dir.ok_or_else(|| {
        Error::not_found(format!(
            "{}: lies in no project, and no component is named; althing actor test SCENARIO COMPONENT",
            scenario.display()
        ))
    })?;
    Project::open(dir)
}
