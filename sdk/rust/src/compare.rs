//! `memcmp` and `bcmp` of a guest, eight bytes at a time.
//!
//! Those that come with the compiler go byte by byte, and a map is searched by comparing keys: a sixth of
//! all that an actor with a map in its state does.

#![cfg_attr(target_arch = "wasm32", allow(unsafe_code))]

use core::ffi::c_int;

/// Below zero when `one` comes first, zero when they are equal. Both are of the same length.
fn compare(one: &[u8], other: &[u8]) -> c_int {
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks(), other.as_chunks());
    for (word, other) in words.iter().zip(other_words) {
        if word != other {
            return match u64::from_be_bytes(*word) < u64::from_be_bytes(*other) {
                true => -1,
                false => 1,
            };
        }
    }
    let mut pairs = rest.iter().zip(other_rest);
    let differs = pairs.find(|(one, other)| one != other);
    differs.map_or(0, |(one, other)| c_int::from(*one) - c_int::from(*other))
}

#[cfg(target_arch = "wasm32")]
mod exported {
    use super::{c_int, compare};
    use core::slice::from_raw_parts;

    /// # Safety
    /// Both have `len` bytes.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> c_int {
        // SAFETY: the caller's; code in Rust passes no null.
        unsafe { compare(from_raw_parts(one, len), from_raw_parts(other, len)) }
    }

    /// # Safety
    /// Both have `len` bytes.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> c_int {
        // SAFETY: the caller's.
        unsafe { memcmp(one, other, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn the_first_byte_that_differs_decides() {
        for len in 0..40 {
            let one: Vec<u8> = (0..len).map(|at: u8| at.wrapping_mul(11)).collect();
            assert_eq!(compare(&one, &one), 0);
            for at in 0..one.len() {
                // What lies behind the first difference says the opposite.
                for (byte, behind) in
                    [(one[at].wrapping_add(128), 0), (one[at].wrapping_sub(1), 255)]
                {
                    let mut other = one.clone();
                    other[at] = byte;
                    other[at + 1..].fill(behind);
                    let order = compare(&one, &other).cmp(&0);
                    assert_eq!(order, one.cmp(&other), "{one:?} {other:?}");
                    assert_ne!(order, Ordering::Equal);
                }
            }
        }
    }
}
