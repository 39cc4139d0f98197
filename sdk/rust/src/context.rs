//! Who calls, and when: the same on every node.

use crate::host;
use std::fmt;

/// Who called this program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The public key of who signed the instruction, or of who asks in a query.
    Key([u8; 32]),
    /// The id of the program that called this one.
    Program(String),
}

/// `key:` and the key in hexadecimal, or `program:` and the id: as grants name subjects.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                // In one piece: what formats each byte costs a call more than the rest of it.
                let mut text = String::with_capacity(68);
                text.push_str("key:");
                for byte in key {
                    text.push(DIGITS[usize::from(byte >> 4)].into());
                    text.push(DIGITS[usize::from(byte & 15)].into());
                }
                f.write_str(&text)
            }
            Self::Program(id) => write!(f, "program:{id}"),
        }
    }
}

/// Who called this program. Decide with this, never with [`author`], who may do what: a program that
/// an author calls for one purpose could otherwise act in the author's name for another.
pub fn caller() -> Caller {
    host::caller()
}

/// The public key of who signed the instruction, or asks the query.
pub fn author() -> [u8; 32] {
    host::author()
}

/// The index of the log entry; in a query, of the last one that the state holds.
pub fn index() -> u64 {
    host::index()
}

/// The realm's time, in microseconds since the Unix epoch, UTC. Never runs backwards.
pub fn timestamp_us() -> u64 {
    host::timestamp_us()
}

/// A seed that no author could foresee, different for each instruction. Not a secret.
pub fn seed() -> [u8; 32] {
    host::seed()
}

/// The id under which this program runs.
pub fn program() -> String {
    host::program()
}
