//! The keys of the simulated realm: the same for all seeds.

use althing_protocol::SecretKey;

fn key(kind: u8, number: u64) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(&seed)
}

/// Who may do everything.
pub(crate) fn founder() -> SecretKey {
    key(1, 0)
}

/// The key of a node: each membership has its own.
pub(crate) fn node(number: u64) -> SecretKey {
    key(2, number)
}

/// The secret half of an invitation.
pub(crate) fn invite(number: u64) -> SecretKey {
    key(3, number)
}

/// A client's.
pub(crate) fn client(number: u64) -> SecretKey {
    key(4, number)
}
