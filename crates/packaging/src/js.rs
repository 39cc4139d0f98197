//! Contracts in JavaScript: a component of the sources, the SDK and QuickJS, made by `build.js` of the
//! SDK, in Node.

use crate::{
    Project, Tools,
    command::{run, works},
    install::{debian_install, npm},
    manifest::file_error,
    project::write_if_changed,
};
use althing_protocol::{Error, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Everything that is installed, with versions: what a component depends on besides the sources.
/// The first brings QuickJS (other tools bring an engine of ten times the size), the second makes one
/// file of all the sources.
pub(crate) const TOOLS: &str = "componentize-qjs@0.4.5 esbuild@0.28.2";

/// Where the tests of a project are.
const TESTS: &str = "tests";

/// Builds the component of `project` into the file `component`.
pub(crate) fn build(project: &Project, tools: &Tools, component: &Path) -> Result<()> {
    let packages: Vec<&str> = TOOLS.split(' ').collect();
    let modules = npm(tools, &packages.join("+"), &packages)?;
    let made = tempfile::tempdir().map_err(|e| file_error(&env::temp_dir(), &e))?;
    let new = made.path().join("component.wasm");
    let mut build = Command::new("node");
    build.arg(project.sdk().join("build.js"));
    build.arg(project.dir()).arg(project.wit().join("contract")).arg(modules).arg(&new);
    run(&mut build, "mend what is shown above; packages that it imports come by `npm install`")?;
    let bytes = fs::read(&new).map_err(|e| file_error(&new, &e))?;
    write_if_changed(component, &bytes)
}

/// What runs the unit tests of `project`, natively.
pub(crate) fn tests(project: &Project, tools: &Tools) -> Result<Command> {
    const ADVICE: &str =
        "install Node.js 20 or newer with npm (on Debian: `apt-get install nodejs npm`)";
    if !works(Command::new("npm").arg("--version")) {
        debian_install(tools, &["nodejs", "npm"], ADVICE)?;
    }
    if !project.dir().join("node_modules/althing").exists() {
        tools.tell(&format!("installing what package.json of {} names", project.name()));
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
        run(npm.current_dir(project.dir()), "is package.json right, and the registry reachable?")?;
    }
    let mut node = Command::new("node");
    node.arg("--test").args(test_files(&project.dir().join(TESTS))?).current_dir(project.dir());
    Ok(node)
}

/// The files with tests: what Node takes for one by itself differs between its versions.
fn test_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| file_error(dir, &e))? {
        let path = entry.map_err(|e| file_error(dir, &e))?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::not_found(format!("{}: holds no file NAME.test.js", dir.display())));
    }
    Ok(files)
}
