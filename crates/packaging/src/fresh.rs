//! Whether a component is made of what is there now.
//!
//! Builds of Python and JavaScript take long, and give another component each time. So what a
//! component was made of is kept beside it, as a hash in `NAME.inputs`.

use crate::{Project, manifest::file_error, project::write_if_changed};
use althing_protocol::{Error, Hash, Result};
use std::{fs, path::Path};
use walkdir::{DirEntry, WalkDir};

/// What is made, not written: never an input.
const MADE: [&str; 6] = ["build", "target", "node_modules", "__pycache__", "tests", ".git"];

/// Runs `build` unless `component` was built of the same files, with the same `tools`.
pub(crate) fn unless_fresh(
    project: &Project,
    tools: &str,
    component: &Path,
    tell: impl Fn(&str),
    build: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let inputs = inputs(project, tools)?.to_string();
    let kept = component.with_extension("inputs");
    if component.is_file() && fs::read_to_string(&kept).is_ok_and(|old| old == inputs) {
        return Ok(());
    }
    // A build that is cut short must not leave the old mark beside a component half new.
    fs::remove_file(&kept).or_else(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(file_error(&kept, &e)),
    })?;
    tell(&format!("building {}, in {}", project.name(), project.language().title()));
    build()?;
    write_if_changed(&kept, inputs.as_bytes())
}

/// The hash of everything that goes into the component.
fn inputs(project: &Project, tools: &str) -> Result<Hash> {
    let mut list = format!("{tools}\n");
    for dir in [project.dir().to_owned(), project.sdk(), project.wit()] {
        let files = WalkDir::new(&dir).sort_by_file_name().into_iter();
        for entry in files.filter_entry(|entry| entry.depth() == 0 || is_written(entry)) {
            let entry = entry.map_err(|e| Error::unavailable(format!("{}: {e}", dir.display())))?;
            if entry.file_type().is_file() {
                let bytes = fs::read(entry.path()).map_err(|e| file_error(entry.path(), &e))?;
                let name = entry.path().strip_prefix(&dir).unwrap_or(entry.path());
                list.push_str(&format!("{} {}\n", Hash::of(&bytes), name.display()));
            }
        }
    }
    Ok(Hash::of(list.as_bytes()))
}

fn is_written(entry: &DirEntry) -> bool {
    !MADE.iter().any(|made| entry.file_name() == *made)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_made_of_the_same_is_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), text).unwrap();
        };
        write("althing.toml", "name = \"x\"");
        write("app.py", "1");
        write("vendor/sdk/python/sdk.py", "1");
        write("vendor/wit/contract/world.wit", "1");
        let (component, builds) = (path("build/x.wasm"), Cell::new(0));
        let build = |tools: &str, succeeds: bool| {
            let project = Project::open(dir.path()).unwrap();
            let build = || {
                builds.set(builds.get() + 1);
                write("build/x.wasm", "component");
                if succeeds { Ok(()) } else { Err(Error::invalid("cut short")) }
            };
            assert_eq!(unless_fresh(&project, tools, &component, |_| {}, build).is_ok(), succeeds);
            builds.get()
        };
        assert_eq!(build("1", true), 1);
        write("tests/test_app.py", "1");
        write("__pycache__/app.pyc", "1");
        assert_eq!(build("1", true), 1, "no input changed");
        for (n, input) in ["app.py", "module/new.py", "vendor/sdk/python/sdk.py"].iter().enumerate()
        {
            write(input, "2");
            assert_eq!((build("1", true), build("1", true)), (n + 2, n + 2), "{input}");
        }
        assert_eq!(build("2", true), 5, "another version of a tool");
        fs::remove_file(&component).unwrap();
        assert_eq!(build("2", true), 6, "the component is gone");
        write("app.py", "3");
        build("2", false);
        assert_eq!(build("2", true), 8, "a build that was cut short");
    }
}
