//! `althing.toml`: what a package is called, and what it asks for.

use althing_protocol::{Error, ProgramId, Result};
use serde::Deserialize;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Its name in a project.
pub(crate) const FILE: &str = "althing.toml";

/// A manifest. Zeros and empty texts stand for what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The program's id, unless whoever deploys it says otherwise.
    pub name: ProgramId,
    /// For people.
    pub version: String,
    /// For people.
    pub description: String,
    /// Units of fuel that a call may use.
    pub fuel_max: u64,
    /// Linear memory that a call may have.
    pub memory_bytes_max: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    fuel_max: u64,
    memory_bytes_max: u64,
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// `not-found` when it is not there, `invalid` with the line that is not understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| file_error(path, &e))?;
        Self::parse(&text)
            .map_err(|e| Error::invalid(format!("manifest {}: {}", path.display(), e.message)))
    }

    fn parse(text: &str) -> Result<Self> {
        let written: Written = toml::from_str(text).map_err(|e| Error::invalid(e.to_string()))?;
        Ok(Self {
            name: ProgramId::new(written.name)?,
            version: written.version,
            description: written.description,
            fuel_max: written.limits.fuel_max,
            memory_bytes_max: written.limits.memory_bytes_max,
        })
    }

    /// Where the manifest of the component `file` is: `FILE` with the ending `.toml`, else
    /// `althing.toml` beside it.
    ///
    /// # Errors
    /// `not-found` when there is neither.
    pub fn beside(file: &Path) -> Result<PathBuf> {
        let own = file.with_extension("toml");
        let shared = file.with_file_name(FILE);
        [own, shared].into_iter().find(|path| path.exists()).ok_or_else(|| {
            Error::not_found(format!(
                "manifest of {}: neither that with the ending .toml nor {FILE} is there; name it \
                 with --manifest",
                file.display()
            ))
        })
    }
}

/// The error of a file of this machine.
pub(crate) fn file_error(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound => Error::not_found(message),
        ErrorKind::PermissionDenied => Error::denied(message),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => Error::invalid(message),
        _ => Error::unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default() {
        let manifest = Manifest::parse("name = \"one\"").unwrap();
        assert_eq!((manifest.name.as_str(), manifest.fuel_max), ("one", 0));
        let text = "name = \"two\"\nversion = \"1\"\n[limits]\nfuel_max = 7\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!((manifest.version.as_str(), manifest.fuel_max), ("1", 7));
        assert_eq!((manifest.description.as_str(), manifest.memory_bytes_max), ("", 0));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, words) in [
            ("name = \"x\"\nfule = 1", "fule"),
            ("name = \"x\"\n[limits]\nfule_max = 1", "fule_max"),
            ("name = \"Not An Id\"", "program id"),
            ("version = \"1\"", "name"),
            ("name =", "line 1"),
        ] {
            let message = Manifest::parse(text).unwrap_err().message;
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn a_manifest_lies_beside_its_component() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.wasm");
        assert!(Manifest::beside(&file).unwrap_err().message.contains("--manifest"));
        fs::write(dir.path().join(FILE), "").unwrap();
        assert!(Manifest::beside(&file).unwrap().ends_with(FILE));
        fs::write(dir.path().join("x.toml"), "").unwrap();
        assert!(Manifest::beside(&file).unwrap().ends_with("x.toml"));
    }
}
