//! How much.

use althing_sdk::{Error, Result};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
};
use std::fmt;

/// An amount in the smallest unit, up to 2^128 - 1. In JSON it is a text of decimal digits: numbers
/// of JSON lose their last digits in many languages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, if it is an amount.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, if it is an amount.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// As it is stored.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// From what is stored.
    ///
    /// # Errors
    /// When that is no amount, which only a defect of this contract can be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes =
            bytes.try_into().map_err(|_| Error::new("an amount in the state is damaged"))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

/// Reads the text of an amount.
struct Digits;

impl Visitor<'_> for Digits {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an amount: decimal digits in quotes, from \"0\" to \"{}\"", u128::MAX)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        // One spelling: no sign, no leading zero.
        let plain =
            text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        match text.parse() {
            Ok(amount) if plain => Ok(Amount(amount)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Amount;
    use althing_sdk::serde_json;

    #[test]
    fn an_amount_is_digits_in_quotes() {
        for amount in [0, 1, u64::MAX.into(), u128::MAX] {
            let json = format!("\"{amount}\"");
            assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), Amount(amount));
            assert_eq!(serde_json::to_string(&Amount(amount)).unwrap(), json);
            assert_eq!(Amount::from_bytes(&Amount(amount).to_bytes()), Ok(Amount(amount)));
        }
        let above = "\"340282366920938463463374607431768211456\"";
        for json in ["1", "\"\"", "\"-1\"", "\"+1\"", "\"01\"", "\"1.0\"", "\" 1\"", "null", above]
        {
            assert!(serde_json::from_str::<Amount>(json).is_err(), "{json}");
        }
    }
}
