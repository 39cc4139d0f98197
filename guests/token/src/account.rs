//! Who holds tokens.

use althing_sdk::{Error, Result, context};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// Longest id of a program.
const PROGRAM_BYTES_MAX: usize = 64;

/// A holder, as text: `key:` and 64 hexadecimal digits, or `program:` and a program's id.
///
/// There is one spelling of each, so that nobody's tokens go to an account that nobody can use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Account(String);

impl Account {
    /// Who called this program: a key, or another program. Never the author of the instruction, who
    /// may have meant something else to happen.
    pub fn of_caller() -> Self {
        Self(context::caller().to_string())
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: String) -> Result<Self> {
        let valid = match text.split_once(':') {
            Some(("key", hex)) => hex.len() == 64 && hex.bytes().all(is_hex),
            Some(("program", id)) => is_program(id),
            _ => false,
        };
        if valid {
            return Ok(Self(text));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(format!(
            "account {shown:?}: wants key: and 64 hexadecimal digits in lower case, or program: and \
             the id of a program"
        )))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_program(id: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    id.len() <= PROGRAM_BYTES_MAX
        && id.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && id.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_has_one_spelling() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [format!("key:{hex}"), "program:shop-2".into(), "program:a".into()] {
            assert_eq!(Account::parse(text.clone()).map(|a| a.to_string()), Ok(text));
        }
        for text in [
            hex.clone(),
            format!("key:{}", hex.to_uppercase()),
            format!("key:{hex}0"),
            format!("key: {}", &hex[1..]),
            "key:".into(),
            "program:".into(),
            "program:Shop".into(),
            "program:2nd".into(),
            format!("program:{}", "a".repeat(65)),
            "role:admin".into(),
            String::new(),
        ] {
            assert!(Account::parse(text.clone()).is_err(), "{text}");
        }
    }
}
