//! Keyspaces that `sys` keeps for the machine. A dot is no part of a program's id, so no program
//! can name them; the bytes are described in `docs/formats.md`.

use althing_protocol::{Error, Result, SYS};
use althing_state::Key;
use prost::Message;

/// author ‖ session (8 bytes, big-endian) -> `SessionState`.
pub(crate) const SESSION: &str = "sys.session";
/// author ‖ session ‖ slot (2 bytes, big-endian) -> `Decided`.
pub(crate) const DECIDED: &str = "sys.decided";
/// id (8 bytes, big-endian) -> `Grant`.
pub(crate) const GRANT: &str = "sys.grant";
/// role ‖ 0 ‖ key -> nothing.
pub(crate) const ROLE: &str = "sys.role";
/// id (8 bytes, big-endian) -> `Member`. Nothing is ever deleted here.
pub(crate) const MEMBER: &str = "sys.member";
/// public key of the invitation -> `Invite`.
pub(crate) const INVITE: &str = "sys.invite";
/// program id -> `ProgramInfo`.
pub(crate) const PROGRAM: &str = "sys.program";
/// name -> a value of its own.
pub(crate) const META: &str = "sys.meta";

/// A key of `sys`'s own store of keys and values.
pub(crate) fn kv(key: &[u8]) -> Key {
    Key::new(SYS, key)
}

/// Decodes what we stored ourselves.
pub(crate) fn stored<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| Error::internal(format!("{what} in the state: {e}")))
}
