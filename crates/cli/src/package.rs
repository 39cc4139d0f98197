//! A package on disk: a component and its manifest.

use crate::{
    signature::{self, Signature},
    values::file_error,
};
use althing_packaging::Manifest as Written;
use althing_protocol::{Error, Hash, ImageClaim, ProgramId, Result, limits};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

/// The manifest as `action:program.stage.v1` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Manifest {
    pub version: String,
    pub description: String,
    pub fuel_max: u64,
    pub memory_bytes_max: u64,
}

/// A component, and what it is to become.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub program: ProgramId,
    pub manifest: Manifest,
    pub image: Vec<u8>,
    pub hash: Hash,
    /// A publisher's, from the file beside the component.
    pub signature: Option<Signature>,
}

impl Package {
    /// Reads a component, its manifest, and its signature, if there is one: those named, else `FILE`
    /// with the endings `.toml` and `.sig`, else `althing.toml` beside it. `program` overrides the
    /// name that the manifest gives.
    ///
    /// # Errors
    /// `not-found` for a missing file, `invalid` for one that is not understood, and for a
    /// signature of something else.
    pub(crate) fn read(
        file: &Path,
        manifest: Option<&Path>,
        program: Option<&str>,
        signature: Option<&Path>,
    ) -> Result<Self> {
        let mut package = Self::unsigned(file, manifest, program)?;
        let beside = signature::beside(file);
        if let Some(path) = signature.or_else(|| beside.exists().then_some(beside.as_path())) {
            package.signature = Some(Signature::read(path, package.claim())?);
        }
        Ok(package)
    }

    /// The same, whatever signature there is.
    ///
    /// # Errors
    /// As [`Package::read`].
    pub(crate) fn unsigned(
        file: &Path,
        manifest: Option<&Path>,
        program: Option<&str>,
    ) -> Result<Self> {
        let image = image(file)?;
        let path = match manifest {
            Some(path) => path.to_owned(),
            None => Written::beside(file)?,
        };
        let written = Written::read(&path)?;
        Ok(Self {
            program: program.map_or(Ok(written.name), ProgramId::new)?,
            manifest: Manifest {
                version: written.version,
                description: written.description,
                fuel_max: written.fuel_max,
                memory_bytes_max: written.memory_bytes_max,
            },
            hash: Hash::of(&image),
            image,
            signature: None,
        })
    }

    /// The same program under another hash: with a custom section behind its end, which nothing runs.
    pub(crate) fn remarked(&self) -> Self {
        /// Id, size, and a name: `again`.
        const SECTION: &[u8] = b"\x00\x06\x05again";
        let image = [&self.image, SECTION].concat();
        Self { hash: Hash::of(&image), image, signature: None, ..self.clone() }
    }

    /// What a publisher signs of it.
    pub(crate) fn claim(&self) -> ImageClaim<'_> {
        ImageClaim {
            program: self.program.as_str(),
            image: &self.hash,
            version: &self.manifest.version,
        }
    }

    /// The packages of a directory, by file name.
    ///
    /// # Errors
    /// As [`Package::read`]; `not-found` when there are none.
    pub(crate) fn read_all(dir: &Path) -> Result<Vec<Self>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(|e| file_error(dir, &e))? {
            files.push(entry.map_err(|e| file_error(dir, &e))?.path());
        }
        files.retain(|file| file.extension().is_some_and(|ending| ending == "wasm"));
        files.sort();
        if files.is_empty() {
            return Err(Error::not_found(format!(
                "{}: has no packages, which are NAME.wasm and NAME.toml",
                dir.display()
            )));
        }
        files.iter().map(|file| Self::read(file, None, None, None)).collect()
    }
}

fn image(file: &Path) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    let open = File::open(file).map_err(|e| file_error(file, &e))?;
    let head = open.take(limits::IMAGE_BYTES_MAX as u64 + 1).read_to_end(&mut image);
    head.map_err(|e| file_error(file, &e))?;
    if image.len() > limits::IMAGE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{}: larger than the limit of {} bytes",
            file.display(),
            limits::IMAGE_BYTES_MAX
        )));
    }
    if !image.starts_with(b"\0asm") {
        return Err(Error::invalid(format!("{}: is no WebAssembly component", file.display())));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_package_has_a_component_and_a_manifest_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("counter.wasm");
        fs::write(&file, COMPONENT).unwrap();
        assert_eq!(Package::read(&file, None, None, None).unwrap_err().kind, Kind::NotFound);
        let manifest = "name = \"counter\"\nversion = \"1\"\n[limits]\nfuel_max = 7\n";
        fs::write(dir.path().join("althing.toml"), manifest).unwrap();
        let package = Package::read(&file, None, None, None).unwrap();
        assert_eq!(package.program.as_str(), "counter");
        assert_eq!((package.manifest.fuel_max, package.manifest.memory_bytes_max), (7, 0));
        assert_eq!(package.hash, Hash::of(COMPONENT));
        fs::write(dir.path().join("counter.toml"), "name = \"own\"").unwrap();
        assert_eq!(Package::read(&file, None, None, None).unwrap().program.as_str(), "own");
        assert_eq!(Package::read(&file, None, Some("two"), None).unwrap().program.as_str(), "two");
        assert_eq!(Package::read_all(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.wasm");
        fs::write(&file, COMPONENT).unwrap();
        for (text, word) in
            [("name = \"x\"\nfule = 1\n", "fule"), ("name = \"Not An Id\"", "program id")]
        {
            fs::write(dir.path().join("x.toml"), text).unwrap();
            let error = Package::read(&file, None, None, None).unwrap_err();
            assert!(error.kind == Kind::Invalid && error.message.contains(word), "{error}");
        }
        fs::write(&file, "text").unwrap();
        assert_eq!(Package::read(&file, None, None, None).unwrap_err().kind, Kind::Invalid);
    }
}
