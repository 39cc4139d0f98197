//! The whole state as one stream of bytes.
//!
//! # Bytes
//! Integers are little-endian.
//!
//! | part | bytes |
//! |---|---|
//! | magic | `althsnap` |
//! | format version | u32: 1 |
//! | header | u32 length of the genesis, genesis; u32 length of the position, position (as in [`tables`]); state hash (32); pairs (u64) |
//! | pairs | one zstd frame: for each, in key order, u32 length of the key, keyspace ‖ 0 ‖ key; u32 length of the value, value |
//! | check | BLAKE3 (32) of all bytes before it |
//!
//! Two snapshots of the same state at the same entry hold the same header and pairs; compressed
//! bytes depend on the library's version and are not compared.
//!
//! A reader believes nothing: lengths are bounded by the limits before anything is allocated,
//! keys must ascend, the check must match, and the state hash is added up from the pairs. It says
//! that the *stream* is whole. That the state hash is the realm's own is for the caller to compare
//! with a checkpoint it trusts.

use crate::{
    Applied, KEYSPACE_BYTES_MAX, Key, Options, StateError, Store, Value, View, digest::StateSum,
    key::shown, scope::check_pair, tables,
};
use althing_protocol::{Hash, limits};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

/// Version of the stream's format.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"althsnap";
const GENESIS_BYTES_MAX: usize = limits::VALUE_BYTES_MAX;
const STORED_KEY_BYTES_MAX: usize = KEYSPACE_BYTES_MAX + 1 + limits::KEY_BYTES_MAX;
/// Level 3 needs a window of 2 MiB; a frame that asks for more than 8 is not ours.
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a snapshot was not written or not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The first bytes are not a snapshot's.
    #[error("snapshot: not an Althing snapshot")]
    NotSnapshot,
    /// A newer program wrote it.
    #[error(
        "snapshot: format version {found}, this program reads up to {known}; use a newer program"
    )]
    NewerFormat {
        /// Version in the stream.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The stream ends too early.
    #[error("snapshot: truncated; transfer it again")]
    Truncated,
    /// The stream is not what was written.
    #[error("snapshot: damaged: {0}; transfer it again")]
    Damaged(String),
    /// The pairs are not those the header promises.
    #[error(
        "snapshot: its state hash is {computed}, its header says {claimed}; take it from another node"
    )]
    StateHash {
        /// Hash of the pairs.
        computed: Hash,
        /// Hash in the header.
        claimed: Hash,
    },
    /// It is of another realm.
    #[error("snapshot: of realm {found}, not of realm {expected}; use this realm's snapshot")]
    OtherRealm {
        /// The snapshot's realm.
        found: althing_protocol::RealmId,
        /// The realm wanted.
        expected: althing_protocol::RealmId,
    },
    /// The stream cannot be read or written.
    #[error("snapshot: {0}")]
    Io(#[source] io::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

type Result<T> = std::result::Result<T, SnapshotError>;

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The realm's encoded genesis.
    pub genesis: Vec<u8>,
    /// The last entry in the state.
    pub applied: Applied,
    /// The state hash at it.
    pub state_hash: Hash,
    /// Pairs in the state.
    pub pairs: u64,
}

/// Writes the state of `view`. It reads the whole of it; see [`View::state_hash`] for what it
/// costs more when a part of the state is not on disk yet.
///
/// # Errors
/// When the disk or `out` fails, or the store closed the view meanwhile.
pub fn write(view: &View, out: impl Write) -> Result<Header> {
    let (sum, pairs) = view.tally()?;
    let header = Header {
        genesis: view.genesis().to_vec(),
        applied: view.applied().clone(),
        state_hash: sum.hash(),
        pairs,
    };
    let mut out = Hashing::new(out);
    out.write_all(MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    header.write(&mut out)?;

    let mut frame = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    let mut written = 0;
    for pair in view.pairs()? {
        let (key, value) = pair?;
        write_block(&mut frame, key.as_bytes())?;
        write_block(&mut frame, &value)?;
        written += 1;
    }
    assert_eq!(written, pairs, "the pairs of a view are counted before they are written");
    let mut out = frame.finish()?;
    let check = out.hash();
    out.inner.write_all(&check.0)?;
    out.inner.flush()?;
    Ok(header)
}

/// Reads the header alone, without checking the rest.
///
/// # Errors
/// When it is not a snapshot, or of a newer format, or too short.
pub fn read_header(input: impl Read) -> Result<Header> {
    Header::read(&mut Hashing::new(BufReader::new(input)))
}

/// Makes a store at `path` of the snapshot in `input`: the whole of it, or nothing. A store that
/// is there is replaced in one step; views of it stay valid. With `genesis`, a snapshot of another
/// realm is refused.
///
/// # Errors
/// What is wrong with the snapshot, or with the disk.
pub fn restore(
    path: &Path,
    input: impl Read,
    genesis: Option<&[u8]>,
    options: &Options,
) -> Result<Store> {
    let unpacking = Unpacking::begin(input, genesis)?;
    let header = unpacking.header.clone();
    Store::build(path, options, |db| {
        tables::initialise(db, &header.genesis, &header.applied, |filler| unpacking.fill(filler))
    })
}

/// Reads the whole of a snapshot and keeps nothing: all that [`restore`] and
/// [`Tip::replace`](crate::Tip::replace) would refuse is refused.
///
/// # Errors
/// What is wrong with the snapshot.
pub fn check(input: impl Read, genesis: Option<&[u8]>) -> Result<Header> {
    let Unpacking { header, input } = Unpacking::begin(input, genesis)?;
    let mut sum = StateSum::empty();
    read_pairs(input, header.pairs, |key, value| {
        sum.add(key, value);
        Ok(())
    })?;
    header.expect(&sum)?;
    Ok(header)
}

/// A snapshot whose header is read.
pub(crate) struct Unpacking<R> {
    pub(crate) header: Header,
    input: Hashing<BufReader<R>>,
}

impl<R: Read> Unpacking<R> {
    /// Reads the header; with `genesis`, that of another realm is refused.
    pub(crate) fn begin(input: R, genesis: Option<&[u8]>) -> Result<Self> {
        let mut input = Hashing::new(BufReader::new(input));
        let header = Header::read(&mut input)?;
        if let Some(expected) = genesis.filter(|genesis| *genesis != header.genesis) {
            return Err(SnapshotError::OtherRealm {
                found: althing_protocol::realm_id(&header.genesis),
                expected: althing_protocol::realm_id(expected),
            });
        }
        Ok(Self { header, input })
    }

    /// Fills a store with all its pairs, which must be what the header promises.
    pub(crate) fn fill(self, filler: &mut tables::Filler<'_>) -> Result<()> {
        read_pairs(self.input, self.header.pairs, |key, value| Ok(filler.put(key, value)?))?;
        self.header.expect(&filler.sum)
    }
}

/// Reads the frame and all after it.
fn read_pairs<R: BufRead>(
    input: Hashing<R>,
    pairs: u64,
    mut put: impl FnMut(&Key, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut frame = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
    frame.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let mut last: Option<Key> = None;
    for _ in 0..pairs {
        let (key, value) = read_pair(&mut frame)?;
        if last.is_some_and(|last| last >= key) {
            return Err(SnapshotError::Damaged(format!("key {key:?} is out of order")));
        }
        put(&key, &value)?;
        last = Some(key);
    }
    if frame.read(&mut [0]).map_err(in_frame)? != 0 {
        return Err(SnapshotError::Damaged(format!("more than {pairs} pairs")));
    }

    let mut input = frame.finish();
    let computed = input.hash();
    let mut stored = [0; 32];
    input.inner.read_exact(&mut stored)?;
    if computed.0 != stored {
        return Err(SnapshotError::Damaged("its bytes do not match their check".to_owned()));
    }
    if input.inner.read(&mut [0])? != 0 {
        return Err(SnapshotError::Damaged("bytes after its end".to_owned()));
    }
    Ok(())
}

fn read_pair(frame: &mut impl Read) -> Result<(Key, Value)> {
    let bytes = read_block(frame, "key", STORED_KEY_BYTES_MAX)?;
    let damaged = || format!("key {} has no keyspace", shown(&bytes));
    let key = Key::from_stored(&bytes).ok_or_else(|| SnapshotError::Damaged(damaged()))?;
    let value = read_block(frame, "value", limits::STORED_VALUE_BYTES_MAX)?;
    check_pair(&key, Some(&value)).map_err(|e| SnapshotError::Damaged(e.to_string()))?;
    Ok((key, value.into()))
}

impl Header {
    fn expect(&self, sum: &StateSum) -> Result<()> {
        let (computed, claimed) = (sum.hash(), self.state_hash);
        match computed == claimed {
            true => Ok(()),
            false => Err(SnapshotError::StateHash { computed, claimed }),
        }
    }

    fn write(&self, out: &mut impl Write) -> Result<()> {
        write_block(out, &self.genesis)?;
        write_block(out, &self.applied.encode())?;
        out.write_all(&self.state_hash.0)?;
        out.write_all(&self.pairs.to_le_bytes())?;
        Ok(())
    }

    /// Reads magic, version and header.
    fn read(input: &mut impl Read) -> Result<Self> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(SnapshotError::NotSnapshot);
        }
        match u32::from_le_bytes(read_array(input)?) {
            FORMAT => {}
            0 => return Err(SnapshotError::Damaged("format version 0".to_owned())),
            found => {
                return Err(SnapshotError::NewerFormat { found, known: FORMAT });
            }
        }
        let genesis = read_block(input, "genesis", GENESIS_BYTES_MAX)?;
        let applied = read_block(input, "position", Applied::ENCODED_BYTES_MAX)?;
        let applied = Applied::decode(&applied)
            .ok_or_else(|| SnapshotError::Damaged("its position is too short".to_owned()))?;
        let state_hash = Hash(read_array(input)?);
        let pairs = u64::from_le_bytes(read_array(input)?);
        Ok(Self { genesis, applied, state_hash, pairs })
    }
}

fn write_block(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    let Ok(length) = u32::try_from(bytes.len()) else {
        unreachable!("all that a store holds is below 4 GiB")
    };
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)?;
    Ok(())
}

/// Length and bytes; the length is checked before memory is taken.
fn read_block(input: &mut impl Read, what: &str, bytes_max: usize) -> Result<Vec<u8>> {
    let length = u32::from_le_bytes(read_array(input)?) as usize;
    if length > bytes_max {
        return Err(SnapshotError::Damaged(format!(
            "a {what} of {length} bytes, the limit is {bytes_max}"
        )));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes).map_err(in_frame)?;
    Ok(bytes)
}

fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(in_frame)?;
    Ok(bytes)
}

/// zstd reports bytes that are not its own as an error of kind `Other`; the stream's own errors
/// have a kind of their own.
fn in_frame(error: io::Error) -> SnapshotError {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => {
            SnapshotError::Damaged(error.to_string())
        }
        _ => error.into(),
    }
}

/// Hashes the bytes that pass.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // The same bytes again: a buffer that is filled is given back without reading.
        if let Ok(bytes) = self.inner.fill_buf() {
            self.hasher.update(&bytes[..amount]);
        }
        self.inner.consume(amount);
    }
}
