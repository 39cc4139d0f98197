//! Everything an author, a client or a guest can make grow, with its limit. Units come last.

/// Args of one instruction, in bytes.
pub const INSTRUCTION_BYTES_MAX: usize = 1 << 20;
/// Payloads under one signature.
pub const BATCH_PAYLOADS_MAX: usize = 256;
/// An encoded envelope, in bytes: four instructions of the largest size, or many small ones.
pub const ENVELOPE_BYTES_MAX: usize = 4 << 20;
/// A key, without its keyspace, in bytes.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// A value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// A value as stored: with the revisions that `sys` keeps before it, in bytes.
pub const STORED_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX + (1 << 10);
/// Keys and values that one instruction may write, in bytes.
pub const SCOPE_WRITES_BYTES_MAX: usize = 64 << 20;
/// Output or error text of one instruction, with its events, in bytes.
pub const OUTCOME_BYTES_MAX: usize = 64 << 10;
/// Events that one instruction may emit.
pub const EVENTS_MAX: usize = 256;
/// An event's topic, in bytes.
pub const TOPIC_BYTES_MAX: usize = 256;
/// A program's id, in bytes.
pub const PROGRAM_ID_BYTES_MAX: usize = 64;
/// A method's name, in bytes.
pub const METHOD_BYTES_MAX: usize = 128;
/// The text of an error that reaches clients or the log, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 2 << 10;
/// Pairs that one page of a scan returns.
pub const SCAN_PAIRS_MAX: usize = 1_000;
/// Keys and values that one page of a scan returns, in bytes.
pub const SCAN_BYTES_MAX: usize = 1 << 20;
/// Keys that one call of `delete-prefix` deletes.
pub const DELETE_PREFIX_KEYS_MAX: usize = 10_000;
/// Programs that may be nested below the one an instruction names, each called by the one above.
pub const CALL_DEPTH_MAX: u32 = 8;
/// Conditions, and operations a branch, of a transaction.
pub const TXN_OPS_MAX: usize = 128;
/// Outcomes kept per session, so the largest distance between the sequence numbers in flight.
pub const SESSION_WINDOW: u64 = 1_024;
/// Open sessions per author; opening one more closes the one used least recently.
pub const SESSIONS_PER_AUTHOR_MAX: usize = 64;
/// A session's label, in bytes.
pub const SESSION_LABEL_BYTES_MAX: usize = 128;
/// Grants and role memberships in a realm, each.
pub const GRANTS_MAX: usize = 4_096;
/// Members that a realm has in all its life: those that are removed count, for no id comes back.
pub const MEMBERS_MAX: usize = 1_024;
/// Voters at a time: a write waits for more than half of them.
pub const VOTERS_MAX: usize = 9;
/// A member's leader priority until somebody sets it: there is room above and below.
pub const PRIORITY_DEFAULT: u32 = 100;
/// Invitations that are neither used nor expired.
pub const INVITES_MAX: usize = 64;
/// A node's address, `HOST:PORT`, in bytes.
pub const NODE_ADDRESS_BYTES_MAX: usize = 260;
/// Labels that a member reports, and labels it is given, each.
pub const LABELS_MAX: usize = 16;
/// A label's name, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 64;
/// A label's value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 128;
/// Members that a join token names.
pub const JOIN_CONTACTS_MAX: usize = 8;
/// A join token's text, in bytes.
pub const JOIN_TOKEN_BYTES_MAX: usize = 8 << 10;
/// Programs in a realm.
pub const PROGRAMS_MAX: usize = 1_024;
/// Images kept of a program, besides the active and the staged one: what it can be rolled back to.
pub const PROGRAM_VERSIONS_MAX: usize = 8;
/// Publishers of a program.
pub const PUBLISHERS_MAX: usize = 16;
/// Keys that one instruction deletes of a program that is removed.
pub const REMOVE_KEYS_MAX: usize = 10_000;
/// Keys and values that one instruction reads and deletes of a program that is removed, in bytes.
pub const REMOVE_BYTES_MAX: usize = 16 << 20;
/// A component, in bytes.
pub const IMAGE_BYTES_MAX: usize = 64 << 20;
/// One chunk of an upload, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Fuel of a call that its manifest says nothing about.
pub const FUEL_DEFAULT: u64 = 50_000_000;
/// Fuel of one call, at most: under a second on the slowest board we support.
pub const FUEL_MAX: u64 = 500_000_000;
/// Linear memory of a call that its manifest says nothing about, in bytes.
pub const GUEST_MEMORY_BYTES_DEFAULT: u64 = 64 << 20;
/// Linear memory of one call, at most, in bytes.
pub const GUEST_MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Log lines that one call may write, in bytes; the rest is dropped, and the drop is noted.
pub const GUEST_LOG_BYTES_MAX: usize = 16 << 10;
/// Text of a manifest's version or description, in bytes.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 1 << 10;
/// Entries between checkpoints.
pub const CHECKPOINT_INTERVAL: u64 = 32_768;
