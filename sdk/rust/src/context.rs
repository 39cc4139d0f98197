//! Who calls, and when: the same on every node.

use crate::host;

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
