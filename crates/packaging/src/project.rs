//! A project: a directory that becomes a package.

use crate::{
    Tools,
    command::run,
    fresh, js,
    manifest::{FILE, Manifest, file_error},
    python, rust,
};
use althing_protocol::{Error, Hash, Result};
use std::{
    fmt, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

/// The folder of a project that holds what it needs of ours: `sdk/LANGUAGE` and `wit`.
const SUPPORT: &str = "vendor";

/// What a project is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// It has a `Cargo.toml`.
    Rust,
    /// It has an `app.py`.
    Python,
    /// It has an `app.js`.
    Js,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::Js];

    /// Its name, which is that of its folder in `sdk/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }

    /// The file that a project in it has.
    fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "app.py",
            Self::Js => "app.js",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|language| language.name() == name);
        found.ok_or_else(|| format!("{name}: there are rust, python and js"))
    }
}

/// A directory with a manifest and sources.
#[derive(Clone, Debug)]
pub struct Project {
    dir: PathBuf,
    language: Language,
    manifest: Manifest,
    support: PathBuf,
}

/// What a build gave.
#[derive(Clone, Debug)]
pub struct Built {
    /// The component, `NAME.wasm`.
    pub component: PathBuf,
    /// The manifest beside it, `NAME.toml`.
    pub manifest: PathBuf,
    /// The component's hash: what a realm knows it by.
    pub hash: Hash,
    /// Size of the component.
    pub bytes: u64,
}

impl Project {
    /// Looks at `dir`.
    ///
    /// # Errors
    /// `not-found` when it holds no project, `invalid` when its manifest is not understood or its
    /// language is not clear.
    pub fn open(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().map_err(|e| file_error(dir, &e))?;
        let manifest = dir.join(FILE);
        if !manifest.is_file() {
            return Err(Error::not_found(format!(
                "{}: holds no project, for it has no {FILE}; `althing new contract NAME`, or \
                 `althing new actor NAME`, makes one",
                dir.display()
            )));
        }
        let manifest = Manifest::read(&manifest)?;
        let language = language(&dir)?;
        let support = support(&dir, language)?;
        Ok(Self { dir, language, manifest, support })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it is written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What it is called, and asks for.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.manifest.name.as_str()
    }

    /// The folder of the SDK for its language.
    pub(crate) fn sdk(&self) -> PathBuf {
        self.support.join("sdk").join(self.language.name())
    }

    /// The directory above everything that goes into the package: the checkout, or the project.
    pub(crate) fn root(&self) -> &Path {
        if self.dir.starts_with(&self.support) { &self.support } else { &self.dir }
    }

    /// The folder of worlds: one for contracts, one for actors.
    pub(crate) fn wit(&self) -> PathBuf {
        self.support.join("wit")
    }

    /// Builds the package into the directory `out`: `NAME.wasm` and `NAME.toml`.
    ///
    /// A component that would be the same is left alone: one in Rust, which is the same each time;
    /// one in Python or JavaScript, which is another each time, when nothing it is made of changed.
    ///
    /// # Errors
    /// `invalid` when the sources do not build: the compiler said why on stderr. `unavailable` when
    /// a tool is missing that cannot be installed here.
    pub fn build(&self, tools: &Tools, out: &Path) -> Result<Built> {
        fs::create_dir_all(out).map_err(|e| file_error(out, &e))?;
        let component = out.join(format!("{}.wasm", self.name()));
        match self.language {
            Language::Rust => rust::build(self, tools, &component)?,
            Language::Python => {
                fresh::unless_fresh(
                    self,
                    python::TOOLS,
                    &component,
                    |text| tools.tell(text),
                    || python::build(self, tools, &component),
                )?;
            }
            Language::Js => {
                fresh::unless_fresh(
                    self,
                    js::TOOLS,
                    &component,
                    |text| tools.tell(text),
                    || js::build(self, tools, &component),
                )?;
            }
        }
        let manifest = component.with_extension("toml");
        let own = self.dir.join(FILE);
        let text = fs::read(&own).map_err(|e| file_error(&own, &e))?;
        write_if_changed(&manifest, &text)?;
        let image = fs::read(&component).map_err(|e| file_error(&component, &e))?;
        Ok(Built { component, manifest, hash: Hash::of(&image), bytes: image.len() as u64 })
    }

    /// Runs the unit tests of the project, natively. What they say goes to stderr. `out` is the
    /// directory of [`Project::build`].
    ///
    /// # Errors
    /// `invalid` when one fails, `unavailable` when a tool is missing.
    pub fn test_unit(&self, tools: &Tools, out: &Path) -> Result<()> {
        run(&mut self.unit_tests(tools, out)?, "mend what the tests show above")
    }

    /// What runs the unit tests, for who reads along.
    ///
    /// # Errors
    /// `unavailable` when a tool is missing.
    pub fn unit_tests(&self, tools: &Tools, out: &Path) -> Result<Command> {
        match self.language {
            Language::Rust => rust::tests(self, tools, out),
            Language::Python => python::tests(self, tools),
            Language::Js => js::tests(self, tools),
        }
    }
}

fn language(dir: &Path) -> Result<Language> {
    let found: Vec<Language> =
        Language::ALL.into_iter().filter(|language| dir.join(language.mark()).is_file()).collect();
    match *found.as_slice() {
        [language] => Ok(language),
        [] => Err(Error::not_found(format!(
            "{}: has no sources: Cargo.toml for Rust, app.py for Python, app.js for JavaScript",
            dir.display()
        ))),
        [first, second, ..] => Err(Error::invalid(format!(
            "{}: has both {} and {}; which is it?",
            dir.display(),
            first.mark(),
            second.mark()
        ))),
    }
}

/// The directory that holds `sdk` and `wit`: the project's own folder, or one above the project when
/// it is part of a checkout.
fn support(dir: &Path, language: Language) -> Result<PathBuf> {
    let holds = |dir: &Path| {
        dir.join("sdk").join(language.name()).is_dir() && dir.join("wit/contract").is_dir()
    };
    let own = dir.join(SUPPORT);
    if holds(&own) {
        return Ok(own);
    }
    dir.ancestors().find(|above| holds(above)).map(Path::to_owned).ok_or_else(|| {
        Error::not_found(format!(
            "{}: has no {SUPPORT}/sdk/{language} and {SUPPORT}/wit; `althing new` makes a project \
             that has them",
            dir.display()
        ))
    })
}

/// Writes `path` whole or not at all, and only when its bytes are others.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let write = || {
        // As readable as any file that this user makes.
        let readable = fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new()
            .permissions(readable)
            .tempfile_in(path.parent().unwrap_or(path))?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|e| file_error(path, &e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    /// A directory with these files; those that end in / are directories.
    fn dir(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "name = \"x\"").unwrap();
            }
        }
        dir
    }

    #[test]
    fn the_language_is_read_from_the_sources() {
        for language in Language::ALL {
            assert_eq!(language.name().parse(), Ok(language));
            let sdk = format!("vendor/sdk/{language}/");
            let dir = dir(&["althing.toml", language.mark(), &sdk, "vendor/wit/contract/"]);
            let project = Project::open(dir.path()).unwrap();
            assert_eq!((project.language(), project.name()), (language, "x"));
            assert!(project.sdk().is_dir() && project.wit().is_dir());
        }
    }

    #[test]
    fn a_project_in_a_checkout_uses_what_is_above_it() {
        let dir =
            dir(&["guests/x/althing.toml", "guests/x/app.py", "sdk/python/", "wit/contract/"]);
        let project = Project::open(&dir.path().join("guests/x")).unwrap();
        assert_eq!(project.sdk(), dir.path().canonicalize().unwrap().join("sdk/python"));
    }

    #[test]
    fn what_is_no_project_is_told_why() {
        let check = |files: &[&str], kind, words: &str| {
            let error = Project::open(dir(files).path()).unwrap_err();
            assert!(error.kind == kind && error.message.contains(words), "{files:?}: {error}");
        };
        check(&[], Kind::NotFound, "althing.toml");
        check(&["althing.toml"], Kind::NotFound, "no sources");
        check(&["althing.toml", "app.py", "app.js"], Kind::Invalid, "both app.py and app.js");
        check(&["althing.toml", "app.py"], Kind::NotFound, "vendor/sdk/python");
    }

    #[test]
    fn only_other_bytes_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_if_changed(&path, b"one").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        write_if_changed(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        write_if_changed(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
