//! The file `durable`: up to which byte the log has been flushed.
//!
//! Written after each flush and not flushed itself: after a killed process it is exact, after power
//! loss it may lag, and it never runs ahead. Layout: 16 bytes of name, then two slots of
//! {offset u64, CRC-32 of those 8 bytes as u64}, little-endian, written in turn.

use raft_log::codeq::config::{CodeqConfig, Crc32fast};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const NAME: &[u8; 16] = b"althing durable1";
const SLOT_BYTES: usize = 16;

/// The offset, in memory and in the file.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    offset: AtomicU64,
    writes: AtomicU64,
}

impl Mark {
    /// Opens the file, or makes it. An unreadable one says nothing: it is an additional guard.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes)?;
        bytes.resize(NAME.len() + 2 * SLOT_BYTES, 0);
        let known = &bytes[..NAME.len()] == NAME;
        let slots = bytes[NAME.len()..].chunks_exact(SLOT_BYTES).map(parse);
        let slots: Vec<_> = slots.map(|slot| slot.filter(|_| known)).collect();
        let newest = if slots.first() > slots.get(1) { 0 } else { 1 };
        let offset = slots.iter().flatten().copied().max().unwrap_or(0);
        if !known {
            file.write_all_at(NAME, 0)?;
        }
        // The next write goes to the other slot.
        Ok(Self { file, offset: AtomicU64::new(offset), writes: AtomicU64::new(newest + 1) })
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Acquire)
    }

    /// The log is durable up to `offset`. Called by one thread at a time, the one that flushes.
    pub(crate) fn advance(&self, offset: u64) -> io::Result<()> {
        if offset <= self.offset() {
            return Ok(());
        }
        let slot = self.writes.fetch_add(1, Ordering::Relaxed) % 2;
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        bytes[8..].copy_from_slice(&Crc32fast::hash(&offset.to_le_bytes()).to_le_bytes());
        self.file.write_all_at(&bytes, NAME.len() as u64 + slot * SLOT_BYTES as u64)?;
        self.offset.store(offset, Ordering::Release);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn parse(slot: &[u8]) -> Option<u64> {
    let offset: [u8; 8] = slot[..8].try_into().ok()?;
    let sum: [u8; 8] = slot[8..].try_into().ok()?;
    (u64::from_le_bytes(sum) == Crc32fast::hash(&offset)).then_some(u64::from_le_bytes(offset))
}
