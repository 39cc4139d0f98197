//! Builds the guests: `guests/NAME` becomes a package, the component `target/guests/NAME.wasm` and its
//! manifest `target/guests/NAME.toml`.

use althing_packaging::{Built, Language, Project, Tools};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds all guests. What has not changed is not built again.
pub(crate) fn build() -> Result<Vec<Built>> {
    let root = root();
    let out = root.join("target/guests");
    let tools = tools();
    let mut built = Vec::new();
    for project in projects(&root.join("guests"))? {
        let name = project.dir().file_name().unwrap_or_default();
        ensure!(name == project.name(), "guests/{}: is called {}", name.display(), project.name());
        built.push(
            project.build(&tools, &out).with_context(|| format!("guest {}", project.name()))?,
        );
    }
    Ok(built)
}

/// What runs the tests of the guests that are not in Rust; those of the others are cargo's to run.
pub(crate) fn other_tests() -> Result<Vec<Command>> {
    let root = root();
    let (tools, out) = (tools(), root.join("target/guests"));
    let mut projects = projects(&root.join("guests"))?;
    projects.retain(|project| project.language() != Language::Rust);
    let commands = projects.iter().map(|project| project.unit_tests(&tools, &out));
    Ok(commands.collect::<Result<_, _>>()?)
}

/// The scenarios of actors, `guests/NAME/tests/*.yaml`, each with the component that plays in it.
pub(crate) fn scenarios() -> Result<Vec<(PathBuf, PathBuf)>> {
    let root = root();
    let mut scenarios = Vec::new();
    for project in projects(&root.join("guests"))? {
        let component = root.join("target/guests").join(format!("{}.wasm", project.name()));
        let Ok(files) = fs::read_dir(project.dir().join("tests")) else { continue };
        for file in files {
            let file = file?.path();
            if file.extension().is_some_and(|ending| ending == "yaml") {
                scenarios.push((file, component.clone()));
            }
        }
    }
    ensure!(!scenarios.is_empty(), "no guest has a scenario");
    scenarios.sort();
    Ok(scenarios)
}

/// What guests need is installed into the checkout, and says so.
fn tools() -> Tools {
    Tools::at(root().join("target/tools"), |text| eprintln!("guests: {text}")).locked()
}

/// The checkout that this was built from.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The projects in the directory `guests`, by name.
fn projects(guests: &Path) -> Result<Vec<Project>> {
    let mut dirs = Vec::new();
    for entry in fs::read_dir(guests).with_context(|| format!("reading {}", guests.display()))? {
        let dir = entry?.path();
        if dir.join("althing.toml").is_file() {
            dirs.push(dir);
        }
    }
    ensure!(!dirs.is_empty(), "{} holds no guest", guests.display());
    dirs.sort();
    Ok(dirs.iter().map(|dir| Project::open(dir)).collect::<Result<_, _>>()?)
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}
