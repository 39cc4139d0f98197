//! What a peer can make grow, and how long it can make anybody wait. Units come last.

use std::time::Duration;

/// The body of a frame, in bytes; a longer one is refused when its length is read.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Connections with members.
pub const MEMBER_CONNECTIONS_MAX: usize = 256;
/// Connections with keys that are no member's: machines that want to join.
pub const STRANGER_CONNECTIONS_MAX: usize = 16;
/// Those of one source, which is an IPv4 address or the 64 bits that an IPv6 network has. One
/// machine with many keys does not keep the others out.
pub const STRANGER_CONNECTIONS_PER_SOURCE_MAX: usize = 8;
/// Connections that have not yet proven a key.
pub const HANDSHAKES_MAX: usize = 64;
/// Those of one source; one more is closed.
pub const HANDSHAKES_PER_SOURCE_MAX: usize = 16;
/// Streams that a node has open to a peer at a time; whoever wants one more waits. The multiplexer
/// would let no more than these wait for a first answer.
pub const STREAMS_MAX: usize = 256;
/// Streams of a peer that a node serves at a time; one more is closed. The peer may have ended some,
/// and opened others, of which we have not heard to the end.
pub const SERVED_STREAMS_MAX: usize = 2 * STREAMS_MAX;
/// Streams of a key that is no member's that a node serves at a time.
pub const STRANGER_STREAMS_MAX: usize = 4;
/// The body of a call of such a key, in bytes.
pub const STRANGER_CALL_BYTES_MAX: usize = 64 << 10;
/// What the receive windows of all streams of a connection may grow by, beyond the smallest, in
/// bytes. Those of a connection that begins as a stranger's do not grow.
pub const WINDOW_GROWTH_BYTES_MAX: usize = 64 << 20;
/// Bodies of calls that are being received or handled for one peer, in bytes; one more waits.
pub const CALL_BYTES_MAX: usize = 64 << 20;
/// A body that does not wait for that, in bytes: a heartbeat is not held up by bulk.
pub const SMALL_CALL_BYTES_MAX: usize = 64 << 10;

/// From the first packet to an authenticated connection, name lookup included.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// From the opening of a stream to its header.
pub const HEADER_MAX: Duration = Duration::from_secs(5);
/// For the body of a call to arrive, and for its answer to be taken.
pub const BODY_MAX: Duration = Duration::from_secs(60);
/// For a call, whatever its caller wants; who waits longer opens a pipe.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3_600);
/// Between two signs of life that each side sends.
pub const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Without a byte from the peer, after which a connection counts as dead.
pub const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Without a byte, after which a process that starts again with the same key takes the place of the
/// one that is connected; before, it is another machine with a copied key.
pub const RESTART_MIN: Duration = Duration::from_secs(2);
/// Without the peer taking a byte of what waits for it, after which a connection counts as dead.
pub const STALL_MAX: Duration = Duration::from_secs(10);
/// Without a stream, after which a connection is closed.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// The same for a key that is no member's and came by itself.
pub const STRANGER_IDLE_MAX: Duration = Duration::from_secs(10);
/// For a connection to say goodbye.
pub const CLOSE_MAX: Duration = Duration::from_secs(1);
/// For what runs to end when the node stops.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Before dialling again after the first failure; it doubles with each.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Before dialling again, at most.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that ended before this age counts as a failure to dial.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);
/// For the connection that a peer said it is dialling itself.
pub const YIELD_MAX: Duration = Duration::from_secs(2);
