//! What a new project is made of. All of it is in this binary: templates, SDKs, worlds.
//!
//! A template is a whole project, whose name becomes the name of the new one.

use crate::values::file_error;
use althing_packaging::Language;
use althing_protocol::{ACTOR, Error, ProgramId, Result, SYS};
use include_dir::{Dir, DirEntry, include_dir};
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static SDKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk");
static WORLDS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
/// What the SDK for Rust inherits from.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// What is of no use to a project, in any folder of an SDK: its own tests, and what they leave behind.
const SKIPPED: [&str; 4] = ["tests", "__pycache__", "node_modules", "target"];

/// What a project becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Contract,
    Actor,
}

impl Kind {
    /// Its name, which is that of its folder in `templates/`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Actor => "actor",
        }
    }

    /// The name that its templates have.
    fn example(self) -> &'static str {
        match self {
            Self::Contract => "guestbook",
            Self::Actor => "tally",
        }
    }
}

/// A file of a new project.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The files of a new project, by path.
///
/// # Errors
/// `invalid` for a name that no realm takes, and for a language in which there are none of this kind;
/// `internal`, when this binary was made of templates that do not fit together.
pub(crate) fn project(kind: Kind, name: &ProgramId, language: Language) -> Result<Vec<File>> {
    if [SYS, ACTOR].contains(&name.as_str()) {
        return Err(Error::invalid(format!(
            "{name}: is a part of every realm, which takes no other program of that id; choose \
             another name"
        )));
    }
    let template = TEMPLATES.get_dir(format!("{}/{language}", kind.name())).ok_or_else(|| {
        Error::invalid(format!(
            "{language}: there is no SDK for {}s in {}; choose another --lang",
            kind.name(),
            language.title()
        ))
    })?;
    let sdk = SDKS
        .get_dir(language.name())
        .ok_or_else(|| Error::internal(format!("SDK for {language}: not in this binary")))?;
    let mut files = Vec::new();
    gather(template, Path::new(""), &[], &mut files);
    for file in &mut files {
        if let Ok(text) = std::str::from_utf8(&file.bytes) {
            file.bytes = text.replace(kind.example(), name.as_str()).into_bytes();
        }
    }
    gather(sdk, &Path::new("vendor/sdk").join(language.name()), &SKIPPED, &mut files);
    gather(&WORLDS, Path::new("vendor/wit"), &[], &mut files);
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

/// Replaces each `name.workspace = true` by what the workspace has under that name; what a member says
/// besides stays.
fn inherit(table: Option<&mut Value>, workspace: Option<&Value>) {
    for (name, value) in table.and_then(Value::as_table_mut).into_iter().flatten() {
        let Some(own) = value.as_table_mut() else { continue };
        let shared = workspace.and_then(|all| all.get(name));
        let inherits = own.get("workspace") == Some(&Value::Boolean(true));
        let Some(shared) = shared.filter(|_| inherits) else { continue };
        own.remove("workspace");
        if own.is_empty() {
            *value = shared.clone();
            continue;
        }
        match shared {
            Value::Table(shared) => {
                for (key, value) in shared {
                    own.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            version => drop(own.insert("version".to_owned(), version.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(kind: Kind, language: Language) -> Vec<File> {
        project(kind, &ProgramId::new("my-own").unwrap(), language).unwrap()
    }

    #[test]
    fn a_project_has_all_it_needs_and_its_own_name() {
        for (kind, languages, scenario) in [
            (Kind::Contract, &Language::ALL[..], "tests/scenario.toml"),
            (Kind::Actor, &[Language::Rust, Language::Python], "tests/scenario.yaml"),
        ] {
            for language in languages {
                check(kind, *language, scenario);
            }
        }
    }

    fn check(kind: Kind, language: Language, scenario: &str) {
        let files = files(kind, language);
        let has = |path: &str| files.iter().any(|file| file.path == Path::new(path));
        let world = format!("vendor/wit/{}/world.wit", kind.name());
        for path in [".gitignore", "README.md", "althing.toml", scenario, &world] {
            assert!(has(path), "{kind:?}, {language}: {path}");
        }
        let manifest = files.iter().find(|file| file.path == Path::new("althing.toml"));
        let text = std::str::from_utf8(&manifest.unwrap().bytes).unwrap();
        assert!(text.contains("name = \"my-own\""), "{text}");
        for file in files.iter().filter(|file| !file.path.starts_with("vendor")) {
            let text = std::str::from_utf8(&file.bytes).unwrap();
            assert!(!text.contains(kind.example()), "{}", file.path.display());
        }
        let skipped = |file: &&File| {
            let mut parts = file.path.iter();
            file.path.starts_with("vendor") && parts.any(|p| SKIPPED.iter().any(|s| p == *s))
        };
        assert_eq!(files.iter().find(skipped), None);
    }

    #[test]
    fn a_language_without_actors_is_told_in_words() {
        let error = project(Kind::Actor, &ProgramId::new("a").unwrap(), Language::Js).unwrap_err();
        assert_eq!(error.kind, althing_protocol::Kind::Invalid);
        assert!(error.message.contains("no SDK for actors in JavaScript"), "{error}");
    }

    #[test]
    fn a_name_that_no_realm_takes_is_told_in_words() {
        for name in [SYS, ACTOR] {
            let error = project(Kind::Actor, &ProgramId::new(name).unwrap(), Language::Rust);
            let message = error.unwrap_err().message;
            assert!(message.ends_with("choose another name"), "{message}");
        }
    }

    #[test]
    fn the_sdk_for_rust_stands_alone() {
        let files = files(Kind::Actor, Language::Rust);
        let of = |path: &str| {
            let file = files.iter().find(|file| file.path == Path::new(path)).unwrap();
            std::str::from_utf8(&file.bytes).unwrap().parse::<Table>().unwrap()
        };
        let sdk = of("vendor/sdk/rust/Cargo.toml");
        assert_eq!(sdk["package"]["edition"].as_str(), Some("2024"));
        assert!(sdk["dependencies"]["serde"]["version"].is_str());
        let optional = &sdk["dependencies"]["regex-lite"];
        assert_eq!(optional["optional"].as_bool(), Some(true));
        assert!(optional["version"].is_str());
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
