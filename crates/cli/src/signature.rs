//! A publisher's signature of an image, in a file beside the component.

use crate::values::{self, Source};
use althing_protocol::{Error, ImageClaim, Result, SecretKey, v1};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The version of the file.
const FORMAT: u32 = 1;
/// Larger than any signature with its texts.
const FILE_BYTES_MAX: usize = 64 << 10;

/// The file: JSON. Program, image and version are there for people and for plain words when they
/// are not those of the package; the signature covers them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    program: String,
    version: String,
    image: String,
    publisher: String,
    signature: String,
}

/// As `action:program.stage.v1` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Signature {
    pub publisher: String,
    pub signature: String,
}

/// Where the signature of the component `file` is looked for.
pub(crate) fn beside(file: &Path) -> PathBuf {
    file.with_extension("sig")
}

impl Signature {
    /// Reads the signature at `path`, which must be one of `claim`.
    ///
    /// # Errors
    /// `not-found` for a missing file, `invalid` for one that is cut short or says something else,
    /// `denied` when the publisher did not sign that.
    pub(crate) fn read(path: &Path, claim: ImageClaim<'_>) -> Result<Self> {
        let refused = |reason: &str| {
            Error::invalid(format!(
                "signature {}: {reason}; sign the component again with `althing sign`, or remove \
                 the file",
                path.display()
            ))
        };
        let text = Source::File(path.display().to_string()).read(FILE_BYTES_MAX)?;
        let written: Written = serde_json::from_slice(&text)
            .map_err(|e| refused(&format!("is cut short or no signature: {e}")))?;
        if written.format != FORMAT {
            return Err(refused(&format!("has format {}, not {FORMAT}", written.format)));
        }
        let image = claim.image.to_string();
        for (what, signed, own) in [
            ("program", written.program.as_str(), claim.program),
            ("image", &written.image, &image),
            ("version", &written.version, claim.version),
        ] {
            if signed != own {
                return Err(refused(&format!("is of {what} {signed:?}, the package has {own:?}")));
            }
        }
        let hex = |text: &str| {
            HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .map_err(|e| refused(&format!("is not hexadecimal: {e}")))
        };
        let (publisher, signature) = (hex(&written.publisher)?, hex(&written.signature)?);
        claim.verify(&v1::ImageSignature { publisher, signature }).map_err(|e| Error {
            message: format!("signature {}: {}", path.display(), e.message),
            ..e
        })?;
        Ok(Self { publisher: written.publisher, signature: written.signature })
    }

    /// Signs `claim`, and writes that to `path`: the whole of it, or nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(path: &Path, key: &SecretKey, claim: ImageClaim<'_>) -> Result<Self> {
        let signed = claim.sign(key);
        let hex = |bytes: &[u8]| HEXLOWER_PERMISSIVE.encode(bytes);
        let written = Written {
            format: FORMAT,
            program: claim.program.to_owned(),
            version: claim.version.to_owned(),
            image: claim.image.to_string(),
            publisher: hex(&signed.publisher),
            signature: hex(&signed.signature),
        };
        let mut text = serde_json::to_string_pretty(&written)
            .map_err(|e| Error::internal(format!("signature: not printable as JSON: {e}")))?;
        text.push('\n');
        let temp = path.with_extension("sig.new");
        fs::write(&temp, text).map_err(|e| values::file_error(&temp, &e))?;
        fs::rename(&temp, path).map_err(|e| values::file_error(path, &e))?;
        Ok(Self { publisher: written.publisher, signature: written.signature })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::{Hash, Kind};

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    /// What reading says after `change` to the text of a good signature.
    fn changed(change: impl Fn(&str) -> String) -> Result<Signature> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counter.sig");
        let image = Hash::of(b"component");
        let claim = ImageClaim { program: "counter", image: &image, version: "1" };
        Signature::write(&path, &key(1), claim).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(&text)).unwrap();
        Signature::read(&path, claim)
    }

    #[test]
    fn what_was_written_is_read() {
        let signature = changed(str::to_owned).unwrap();
        assert_eq!(signature.publisher, key(1).public().to_string());
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        let whole = changed(str::to_owned).unwrap();
        for keep in [0, 1, 40, 200] {
            let error = changed(|text| text[..keep].to_owned()).unwrap_err();
            assert!(error.message.contains("cut short"), "{error}");
        }
        let error = changed(|text| text.replace(&whole.signature, &whole.signature[2..]));
        assert!(error.unwrap_err().message.contains("63 bytes"));
    }

    #[test]
    fn what_is_of_something_else_is_refused_by_name() {
        let other = Hash::of(b"other").to_string();
        let own = Hash::of(b"component").to_string();
        for (from, to, words) in [
            ("\"counter\"", "\"other\"", "is of program \"other\""),
            (own.as_str(), other.as_str(), "is of image"),
            ("\"1\"", "\"2\"", "is of version \"2\""),
            ("\"format\": 1", "\"format\": 2", "format 2"),
            ("\"format\"", "\"formed\"", "formed"),
        ] {
            let error = changed(|text| text.replace(from, to)).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert!(error.message.contains(words), "{error}");
            assert!(error.message.contains("althing sign"), "{error}");
        }
    }

    #[test]
    fn another_key_is_refused() {
        let (own, other) = (key(1).public().to_string(), key(2).public().to_string());
        let error = changed(|text| text.replace(&own, &other)).unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.message.contains("did not sign"), "{error}");
    }
}
