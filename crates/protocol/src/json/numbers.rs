//! Integers that a reader could take for other ones: JSON's numbers are doubles.

use super::write;
use crate::{Error, Result};

/// Digits of an integer that is a double, whatever its digits are: 2^53 has 16.
const EXACT_DIGITS: usize = 15;
/// Up to here all integers are doubles.
const EXACT_MAX: u64 = 1 << 53;

/// Which integers are understood.
#[derive(Clone, Copy)]
pub(super) enum Integers {
    /// Those that are a double, exactly.
    Doubles,
    /// Those, and all from -2^63 to 2^64 - 1.
    Bits64,
}

impl Integers {
    /// Whether one that was read is surely understood.
    pub(super) fn take(self, magnitude: u64) -> bool {
        matches!(self, Self::Bits64) || magnitude <= EXACT_MAX
    }
}

/// Refuses an integer that would be read as another one, the nearest double, without a word.
pub(super) fn check(what: &str, text: &[u8], integers: Integers) -> Result<()> {
    let mut rest = text;
    let mut before = None;
    while let Some(start) = rest.iter().position(|b| matches!(b, b'"' | b'0'..=b'9')) {
        let is_negative = rest[..start].last().copied().or(before) == Some(b'-');
        rest = &rest[start..];
        let token = match rest[0] {
            b'"' => string_len(rest),
            _ => rest.iter().take_while(|b| is_of_number(**b)).count(),
        };
        let (token, behind) = rest.split_at(token);
        if token.len() > EXACT_DIGITS && token.iter().all(u8::is_ascii_digit) {
            check_integer(what, token, is_negative, integers)?;
        } else if token[0] != b'"' {
            check_finite(what, token)?;
        }
        before = token.last().copied();
        rest = behind;
    }
    Ok(())
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
}

/// Bytes of the string that `text` begins with, with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn check_integer(what: &str, digits: &[u8], is_negative: bool, integers: Integers) -> Result<()> {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    let bits_max = if is_negative { 1 << 63 } else { u64::MAX };
    let has_64_bits = digits.parse::<u64>().is_ok_and(|bits| bits <= bits_max);
    if matches!(integers, Integers::Bits64) && has_64_bits {
        return Ok(());
    }
    let double: f64 = digits.parse().unwrap_or(f64::INFINITY);
    // The form in which 1e20 comes back is its own; 2^53 + 1 comes back as 2^53.
    if double.is_finite() && write::double(&mut ryu_js::Buffer::new(), double) == digits {
        return Ok(());
    }
    let shown: String = digits.chars().take(40).collect();
    Err(Error::invalid(format!(
        "{what}: number {shown}: no double is exactly that (up to 2^53 all integers are); write it as \
         a string"
    )))
}

fn check_finite(what: &str, number: &[u8]) -> Result<()> {
    let number = std::str::from_utf8(number).unwrap_or_default();
    match number.parse::<f64>() {
        Ok(double) if double.is_infinite() => {
            let shown: String = number.chars().take(40).collect();
            Err(Error::invalid(format!("{what}: number {shown}: no double is as large")))
        }
        _ => Ok(()),
    }
}
