//! Values and args: from the command line, a file, or stdin.

use althing_protocol::{Error, Result};
use data_encoding::BASE64;
use serde_json::{Map, Value};
use std::{
    convert::Infallible,
    fs::File,
    io::{Read, stdin},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// How arguments of this type are written, for the help texts.
pub(crate) const HELP: &str = "text, @FILE, or @- for stdin (@@x is the text @x)";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The argument itself.
    Text(String),
    /// The file of this path.
    File(String),
    /// Standard input.
    Stdin,
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(argument: &str) -> Result<Self, Infallible> {
        Ok(match argument.strip_prefix('@') {
            Some("-") => Self::Stdin,
            Some(text) if text.starts_with('@') => Self::Text(text.to_owned()),
            Some(path) => Self::File(path.to_owned()),
            None if argument == "-" => Self::Stdin,
            None => Self::Text(argument.to_owned()),
        })
    }
}

impl Source {
    /// The bytes, at most `bytes_max` of them.
    ///
    /// # Errors
    /// `not-found` and `denied` for a file, `invalid` when there is more than `bytes_max`.
    pub(crate) fn read(&self, bytes_max: usize) -> Result<Vec<u8>> {
        let bytes = match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::File(path) => {
                let file = File::open(path).map_err(|e| file_error(path, &e))?;
                head(file, bytes_max).map_err(|e| file_error(path, &e))?
            }
            Self::Stdin => head(stdin().lock(), bytes_max).map_err(|e| file_error("stdin", &e))?,
        };
        if bytes.len() > bytes_max {
            return Err(Error::invalid(format!(
                "{}: larger than the limit of {bytes_max} bytes",
                self.name()
            )));
        }
        Ok(bytes)
    }

    /// The bytes as a JSON value.
    ///
    /// # Errors
    /// As [`Source::read`], and `invalid` with line and column where it is not JSON.
    pub(crate) fn read_json(&self, bytes_max: usize) -> Result<Value> {
        let bytes = self.read(bytes_max)?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::invalid(format!(
                "{}: not JSON: {e}; a text needs quotes: '\"text\"'",
                self.name()
            ))
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Text(text) => crate::output::preview(text.as_bytes(), 40),
            Self::File(path) => path.clone(),
            Self::Stdin => "stdin".to_owned(),
        }
    }
}

/// One byte more than allowed is enough to see that it is too much.
fn head(reader: impl Read, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error of a file of this machine.
pub(crate) fn file_error(path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Error {
    let message = format!("{}: {error}", path.as_ref().display());
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(message),
        std::io::ErrorKind::PermissionDenied => Error::denied(message),
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => {
            Error::invalid(message)
        }
        _ => Error::unavailable(message),
    }
}

/// Puts `bytes` into the input of an operation: as `name` where they are text, else as `name_base64`.
pub(crate) fn insert(input: &mut Map<String, Value>, name: &str, bytes: Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => input.insert(name.to_owned(), text.into()),
        Err(e) => input.insert(format!("{name}_base64"), BASE64.encode(e.as_bytes()).into()),
    };
}

/// The bytes that an operation's output has as `name` or `name_base64`.
pub(crate) fn extract(output: &Value, name: &str) -> Option<Vec<u8>> {
    if let Some(text) = output.get(name).and_then(Value::as_str) {
        return Some(text.as_bytes().to_vec());
    }
    let encoded = output.get(format!("{name}_base64"))?.as_str()?;
    BASE64.decode(encoded.as_bytes()).ok()
}

/// A time on the command line: seconds, minutes, hours or days from now.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write 90s, 12h, 30d"))
}

/// The time that is `lifetime` from now, in microseconds since the Unix epoch, if there is one.
pub(crate) fn from_now_us(lifetime: std::time::Duration) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_add(lifetime).and_then(|end| u64::try_from(end.as_micros()).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn source(argument: &str) -> Source {
        argument.parse().unwrap()
    }

    #[test]
    fn spellings() {
        assert_eq!(source("text"), Source::Text("text".into()));
        assert_eq!(source(""), Source::Text(String::new()));
        assert_eq!(source("-"), Source::Stdin);
        assert_eq!(source("@-"), Source::Stdin);
        assert_eq!(source("@a/b"), Source::File("a/b".into()));
        assert_eq!(source("@@a"), Source::Text("@a".into()));
        assert_eq!(source("-1"), Source::Text("-1".into()));
    }

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        std::fs::write(&path, b"12345").unwrap();
        let source = Source::File(path.display().to_string());
        assert_eq!(source.read(5).unwrap(), b"12345");
        assert_eq!(source.read(4).unwrap_err().kind, althing_protocol::Kind::Invalid);
        let missing = Source::File(dir.path().join("none").display().to_string());
        assert_eq!(missing.read(4).unwrap_err().kind, althing_protocol::Kind::NotFound);
    }

    #[test]
    fn what_is_not_json_says_so() {
        let error = source("{oops").read_json(99).unwrap_err();
        assert!(error.message.contains("not JSON") && error.message.contains("{oops"), "{error}");
    }

    proptest! {
        #[test]
        fn bytes_survive_the_way_through_json(bytes: Vec<u8>) {
            let mut input = Map::new();
            insert(&mut input, "value", bytes.clone());
            prop_assert_eq!(extract(&Value::Object(input), "value"), Some(bytes));
        }

        #[test]
        fn any_text_can_be_given(text: String) {
            let argument = if text.starts_with('@') { format!("@{text}") } else { text.clone() };
            prop_assume!(argument != "-");
            prop_assert_eq!(source(&argument), Source::Text(text));
        }
    }
}
