//! What a new project is made of. All of it is in this binary: templates, SDKs, the world.
//!
//! A template is a whole project, of the name `guestbook`, which becomes the name of the new one.

use crate::values::file_error;
use althing_packaging::Language;
use althing_protocol::{Error, ProgramId, Result};
use include_dir::{Dir, DirEntry, include_dir};
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static SDKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk");
static WORLD: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit/contract");
/// What the SDK for Rust inherits from.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// The name that templates have.
const NAME: &str = "guestbook";
/// What is of no use to a project, in any folder of an SDK: its own tests, and what they leave behind.
const SKIPPED: [&str; 4] = ["tests", "__pycache__", "node_modules", "target"];

/// A file of a new project.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The files of a new contract, by path.
///
/// # Errors
/// `internal`, when this binary was made of templates that do not fit together.
pub(crate) fn contract(name: &ProgramId, language: Language) -> Result<Vec<File>> {
    let folder = |dir: &'static Dir<'static>| {
        dir.get_dir(language.name())
            .ok_or_else(|| Error::internal(format!("templates: {language}: not in this binary")))
    };
    let mut files = Vec::new();
    gather(folder(&TEMPLATES)?, Path::new(""), &[], &mut files);
    for file in &mut files {
        if let Ok(text) = std::str::from_utf8(&file.bytes) {
            file.bytes = text.replace(NAME, name.as_str()).into_bytes();
        }
    }
    gather(folder(&SDKS)?, &Path::new("vendor/sdk").join(language.name()), &SKIPPED, &mut files);
    gather(&WORLD, Path::new("vendor/wit/contract"), &[], &mut files);
    if language == Language::Rust {
        let manifest = Path::new("vendor/sdk/rust/Cargo.toml");
        for file in files.iter_mut().filter(|file| file.path == manifest) {
            file.bytes = standalone(&file.bytes)?.into_bytes();
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes the files into the directory `dir`, which is made when it is not there.
///
/// # Errors
/// `conflict` when there is something in it already.
pub(crate) fn write(dir: &Path, files: &[File]) -> Result<()> {
    let is_taken = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => return Err(file_error(dir, &e)),
    };
    if is_taken {
        return Err(Error::conflict(format!(
            "{}: is not empty; name another with --dir",
            dir.display()
        )));
    }
    for file in files {
        let path = dir.join(&file.path);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(|e| file_error(parent, &e))?;
        fs::write(&path, &file.bytes).map_err(|e| file_error(&path, &e))?;
    }
    Ok(())
}

/// Adds what is in `dir` and below, with `prefix` before its paths, but nothing called as one of
/// `skipped`.
fn gather(dir: &Dir<'_>, prefix: &Path, skipped: &[&str], files: &mut Vec<File>) {
    for entry in dir.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        let path = prefix.join(name);
        match entry {
            _ if skipped.iter().any(|skipped| name == *skipped) => {}
            DirEntry::Dir(below) => gather(below, &path, skipped, files),
            DirEntry::File(file) => files.push(File { path, bytes: file.contents().to_vec() }),
        }
    }
}

/// The manifest of a member of our workspace with all that it inherits written out.
fn standalone(manifest: &[u8]) -> Result<String> {
    let broken = |what: &str| Error::internal(format!("manifest of the SDK: {what}"));
    let parse = |text: &str| text.parse::<Table>().map_err(|e| broken(&e.to_string()));
    let text = std::str::from_utf8(manifest).map_err(|_| broken("is no text"))?;
    let mut manifest = parse(text)?;
    let workspace = parse(WORKSPACE)?;
    let section = |name: &str| workspace.get("workspace").and_then(|all| all.get(name));
    let (package, dependencies) = (section("package"), section("dependencies"));
    // Lints are for those who change it.
    manifest.remove("lints");
    inherit(manifest.get_mut("package"), package);
    inherit(manifest.get_mut("dependencies"), dependencies);
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for target in targets.iter_mut().map(|(_, target)| target) {
            inherit(target.get_mut("dependencies"), dependencies);
        }
    }
    let text = toml::to_string(&manifest).map_err(|e| broken(&e.to_string()))?;
    if text.contains("workspace = true") {
        return Err(broken("inherits what the workspace does not have"));
    }
    Ok(text)
}

/// Replaces each `name.workspace = true` by what the workspace has under that name.
fn inherit(table: Option<&mut Value>, workspace: Option<&Value>) {
    for (name, value) in table.and_then(Value::as_table_mut).into_iter().flatten() {
        let inherits = value.get("workspace") == Some(&Value::Boolean(true));
        if let Some(own) = workspace.and_then(|all| all.get(name)).filter(|_| inherits) {
            *value = own.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(language: Language) -> Vec<File> {
        contract(&ProgramId::new("my-book").unwrap(), language).unwrap()
    }

    #[test]
    fn a_project_has_all_it_needs_and_its_own_name() {
        for language in Language::ALL {
            let files = files(language);
            let has = |path: &str| files.iter().any(|file| file.path == Path::new(path));
            for path in [".gitignore", "README.md", "althing.toml", "tests/scenario.toml"] {
                assert!(has(path), "{language}: {path}");
            }
            assert!(has("vendor/wit/contract/world.wit"));
            let manifest = files.iter().find(|file| file.path == Path::new("althing.toml"));
            let text = std::str::from_utf8(&manifest.unwrap().bytes).unwrap();
            assert!(text.contains("name = \"my-book\""), "{text}");
            for file in files.iter().filter(|file| !file.path.starts_with("vendor")) {
                let text = std::str::from_utf8(&file.bytes).unwrap();
                assert!(!text.contains(NAME), "{}", file.path.display());
            }
            let skipped = |file: &&File| {
                let mut parts = file.path.iter();
                file.path.starts_with("vendor") && parts.any(|p| SKIPPED.iter().any(|s| p == *s))
            };
            assert_eq!(files.iter().find(skipped), None);
        }
    }

    #[test]
    fn the_sdk_for_rust_stands_alone() {
        let files = files(Language::Rust);
        let of = |path: &str| {
            let file = files.iter().find(|file| file.path == Path::new(path)).unwrap();
            std::str::from_utf8(&file.bytes).unwrap().parse::<Table>().unwrap()
        };
        let sdk = of("vendor/sdk/rust/Cargo.toml");
        assert_eq!(sdk["package"]["edition"].as_str(), Some("2024"));
        assert!(sdk["dependencies"]["serde"]["version"].is_str());
        let mut targets = sdk["target"].as_table().unwrap().values();
        assert!(targets.any(|target| {
            let bindgen = target["dependencies"].get("wit-bindgen");
            bindgen.is_some_and(|bindgen| bindgen["version"].is_str())
        }));
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let files = [File { path: "a/b".into(), bytes: b"1".to_vec() }];
        write(&dir.path().join("new"), &files).unwrap();
        assert_eq!(fs::read(dir.path().join("new/a/b")).unwrap(), b"1");
        let error = write(&dir.path().join("new"), &files).unwrap_err();
        assert_eq!(error.kind, althing_protocol::Kind::Conflict);
    }
}
