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

/// An actor's id, in bytes.
pub const ACTOR_ID_BYTES_MAX: usize = 128;
/// Actors in a realm.
pub const ACTORS_MAX: u64 = 1_000_000;
/// An actor's state as canonical JSON, in bytes.
pub const ACTOR_STATE_BYTES_MAX: usize = 512 << 10;
/// A message to an actor as canonical JSON, in bytes.
pub const ACTOR_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Messages that one handling of a message may send.
pub const ACTOR_SENDS_MAX: usize = 64;
/// The same, in bytes of ids and messages.
pub const ACTOR_SENDS_BYTES_MAX: usize = 256 << 10;
/// Messages that wait for one actor.
pub const ACTOR_WAITING_MAX: u64 = 1_024;
/// Messages that may wait for an actor that is to answer at once.
pub const ACTOR_REQUEST_WAITING_MAX: u64 = 64;
/// Messages that wait for the actors of one program. It never has more of them, nor more bytes of them,
/// than there is room left in the realm: so there is always room for those of others.
pub const PROGRAM_WAITING_MAX: u64 = 16_384;
/// Messages that wait in a realm.
pub const ACTORS_WAITING_MAX: u64 = 262_144;
/// The same, in bytes.
pub const ACTORS_WAITING_BYTES_MAX: u64 = 64 << 20;
/// Fuel that costs a program one turn of the queue of actors: so much more that its next place is behind.
pub const ACTOR_TURN_FUEL: u64 = 10_000_000;
/// Messages in a row of which each made an actor send the next: a chain that is to go on for ever
/// wants a timer.
pub const ACTOR_HOPS_MAX: u32 = 1_024;
/// Messages that one message may cause, each made by an actor that got one of them. Those that are sent at
/// once share what is left.
pub const ACTOR_CAUSED_MAX: u32 = 16_384;
/// Dead letters that a realm keeps; the oldest go first.
pub const ACTOR_LETTERS_MAX: u64 = 10_000;
/// Those of them that are of one program; its oldest go first.
pub const PROGRAM_LETTERS_MAX: u64 = 2_000;
/// States of an actor that are kept, to be rolled back to without being given. Those that upgrades made
/// are kept beside them: one for each upgrade.
pub const ACTOR_STATES_KEPT: u64 = 32;
/// Timers of one actor.
pub const ACTOR_TIMERS_EACH_MAX: usize = 64;
/// Timers of a realm. As with mail, a program never has more of them, nor more bytes, than there is room
/// left.
pub const ACTOR_TIMERS_MAX: u64 = 16_384;
/// Their messages, in bytes.
pub const ACTOR_TIMERS_BYTES_MAX: u64 = 16 << 20;
/// How long a timer that goes on waits at least when there was no room for its message, in microseconds.
pub const ACTOR_TIMER_RETRY_US: u64 = 10_000_000;
/// A timer's name, in bytes.
pub const ACTOR_TIMER_BYTES_MAX: usize = 64;
/// The shortest period of a timer, in microseconds.
pub const ACTOR_PERIOD_US_MIN: u64 = 100_000;
/// Subscriptions of a realm.
pub const ACTOR_SUBSCRIPTIONS_MAX: u64 = 4_096;
/// Actors that one event reaches.
pub const ACTOR_SUBSCRIBERS_MAX: usize = 256;
/// The prefix of the keys that an actor is told of, in bytes.
pub const ACTOR_PREFIX_BYTES_MAX: usize = 3 << 10;
/// Messages that the events and changed keys of one entry become.
pub const ENTRY_TOPIC_MESSAGES_MAX: usize = 4_096;
/// The same, in bytes.
pub const ENTRY_TOPIC_BYTES_MAX: usize = 16 << 20;
/// Prefixes and subscriptions that are looked at for the events and changed keys of one entry.
pub const ENTRY_TOPIC_LOOKS_MAX: usize = 131_072;
/// What an entry may write beyond the limit of its instructions, to note which subscriptions were not
/// told of something, in bytes: enough for each of them.
pub const ENTRY_NOTES_BYTES_MAX: usize = 32 << 20;
/// Messages delivered behind the instructions of an entry.
pub const ENTRY_DELIVERIES_MAX: usize = 64;
/// Fuel after which no more deliveries or migrations begin: behind the instructions of an entry, or in a
/// tick. So they use at most this and one run more.
pub const DELIVERIES_FUEL_MAX: u64 = 200_000_000;
/// Bytes of writes after which no more deliveries begin there, and no more migrations, each.
pub const DELIVERIES_WRITES_BYTES_MAX: usize = 16 << 20;
/// Messages delivered by a tick.
pub const TICK_DELIVERIES_MAX: usize = 256;
/// Timers that one tick fires.
pub const TICK_TIMERS_MAX: usize = 256;
/// Bytes of writes after which a tick fires no more timers.
pub const TICK_TIMERS_BYTES_MAX: usize = 4 << 20;
/// Actors that one tick migrates, or looks after behind an upgrade.
pub const TICK_MIGRATIONS_MAX: usize = 256;
/// Steps of a history that one call replays.
pub const ACTOR_REPLAY_STEPS_MAX: usize = 1_000;
/// Levels of a JSON text.
pub const JSON_DEPTH_MAX: usize = 64;
