//! Contracts and actors in Python: a component of the sources, the SDK and an interpreter, made by
//! componentize-py.
//!
//! `althing.build`, a part of the SDK, looks at the program first, in plain Python: what is wrong with
//! it is said where authors expect it, and not by an interpreter inside of a component. It also says
//! for which world it is: the class in `app.py` is what decides, and no setting that could say
//! something else.

use crate::{
    Project, Tools,
    command::{run, works},
    install::{debian_install, venv},
    manifest::file_error,
    project::write_if_changed,
};
use althing_protocol::{Error, Result};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Everything that is installed, with its version: what a component depends on besides the sources.
/// It brings the interpreter.
pub(crate) const TOOLS: &str = "componentize-py==0.25.1";

/// What its program does: that one names the directory that it was installed in, which may have moved.
const COMPONENTIZE: &str = "import componentize_py; componentize_py.script()";

/// The module that `althing.build` writes, and the file with the name of the world.
const MODULE: &str = "althing_component";
const WORLD: &str = "world";
/// Packages that the program uses besides the SDK, in the format of pip.
const REQUIREMENTS: &str = "requirements.txt";

/// Builds the component of `project` into the file `component`.
pub(crate) fn build(project: &Project, tools: &Tools, component: &Path) -> Result<()> {
    let bin = venv(tools, TOOLS, &[TOOLS])?;
    let python = bin.join("python");
    let made = tempfile::tempdir().map_err(|e| file_error(&env::temp_dir(), &e))?;
    let mut paths = vec![project.sdk(), made.path().to_owned()];
    let requirements = project.dir().join(REQUIREMENTS);
    if requirements.is_file() {
        let packages = made.path().join("packages");
        install(tools, &python, &requirements, &packages)?;
        paths.push(packages);
    }

    let mut look = isolated(&python);
    look.args(["-m", "althing.build"])
        .arg(project.dir())
        .arg(made.path())
        .current_dir(made.path())
        .env("PYTHONPATH", joined(&paths)?);
    run(&mut look, "mend what Python shows above")?;
    let world = made.path().join(WORLD);
    let world = fs::read_to_string(&world).map_err(|e| file_error(&world, &e))?;

    let new = made.path().join("component.wasm");
    let mut componentize = isolated(&python);
    componentize.args(["-c", COMPONENTIZE]);
    let wit = project.wit().join(folder(&world));
    componentize.arg("--quiet").arg("--wit-path").arg(wit).args(["--world", &world]);
    componentize.args(["componentize", MODULE]).arg("--output").arg(&new);
    for path in paths.iter().map(PathBuf::as_path).chain([project.dir()]) {
        componentize.arg("--python-path").arg(path);
    }
    // It looks for an environment and its packages: it gets an empty one, whatever the user is in.
    let none = made.path().join("lib/python3/site-packages");
    fs::create_dir_all(&none).map_err(|e| file_error(&none, &e))?;
    componentize.current_dir(made.path()).env("VIRTUAL_ENV", made.path());
    run(&mut componentize, "mend what is shown above")?;
    let bytes = fs::read(&new).map_err(|e| file_error(&new, &e))?;
    write_if_changed(component, &bytes)
}

/// The folder that has a world, in that of all worlds.
fn folder(world: &str) -> &'static str {
    if world.ends_with("actor") { "actor" } else { "contract" }
}

/// What runs the unit tests of `project`, natively.
pub(crate) fn tests(project: &Project, tools: &Tools) -> Result<Command> {
    const ADVICE: &str = "install Python 3.11 or newer (on Debian: `apt-get install python3`)";
    if !works(Command::new("python3").arg("--version")) {
        debian_install(tools, &["python3"], ADVICE)?;
    }
    let mut paths = vec![project.sdk()];
    paths.extend(env::var_os("PYTHONPATH").iter().flat_map(env::split_paths));
    let mut unittest = Command::new("python3");
    unittest
        .args(["-m", "unittest", "discover", "--start-directory", "tests", "--top-level-directory"])
        .arg(".")
        .current_dir(project.dir())
        .env("PYTHONPATH", joined(&paths)?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(unittest)
}

fn install(tools: &Tools, python: &Path, requirements: &Path, to: &Path) -> Result<()> {
    tools.tell(&format!("installing {REQUIREMENTS} with pip"));
    let mut pip = isolated(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.arg("--target").arg(to).arg("--requirement").arg(requirements);
    run(&mut pip, "a component takes packages in pure Python only; is the package index reachable?")
}

/// A program that sees nothing of the environment that the user may be in.
fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(variable);
    }
    // An error of componentize-py would bury what it says under a backtrace of its own.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("RUST_BACKTRACE", "0");
    command
}

fn joined(paths: &[PathBuf]) -> Result<OsString> {
    env::join_paths(paths).map_err(|e| Error::invalid(format!("the path of the project: {e}")))
}
