//! The disk under the state: a file in memory that forgets what was not synced.

use crate::chance::Chance;
use crate::power::{Crash, Power};
use althing_state::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The smallest part of a write that a disk completes or loses.
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct File {
    /// What a sync has confirmed.
    stable: Vec<u8>,
    /// What reads see.
    current: Vec<u8>,
    /// Changes since the last sync.
    pending: Vec<Change>,
}

/// Clones are the same file.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateDisk(Arc<Mutex<File>>);

/// The file, as one run of the machine has it open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    disk: StateDisk,
    power: Power,
}

impl StateDisk {
    pub(crate) fn open(&self, power: &Power) -> OpenFile {
        OpenFile { disk: self.clone(), power: power.clone() }
    }

    /// Puts another file in the place of this one, in one durable step.
    pub(crate) fn replace(&self, image: &[u8]) {
        *self.lock() =
            File { stable: image.to_vec(), current: image.to_vec(), pending: Vec::new() };
    }

    /// What reads see.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().current.is_empty()
    }

    /// What is there after a crash.
    pub(crate) fn crash(&self, crash: Crash, chance: &mut Chance) {
        let mut file = self.lock();
        let pending = std::mem::take(&mut file.pending);
        for change in pending {
            match (if crash == Crash::Kill { 3 } else { chance.below(4) }, change) {
                (0, _) => {}
                (1, Change::Write(offset, bytes)) => {
                    for (i, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if chance.percent(50) {
                            write(&mut file.stable, offset + (i * SECTOR_BYTES) as u64, sector);
                        }
                    }
                }
                (_, change) => make(&mut file.stable, &change),
            }
        }
        file.current = file.stable.clone();
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenFile {
    fn change(&self, change: Change) -> io::Result<()> {
        self.power.check()?;
        let mut file = self.disk.lock();
        make(&mut file.current, &change);
        file.pending.push(change);
        Ok(())
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.disk.lock();
        let start = offset as usize;
        let bytes = file.current.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.power.sync(&mut || {
            let mut file = self.disk.lock();
            for change in std::mem::take(&mut file.pending) {
                make(&mut file.stable, &change);
            }
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}

fn make(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => write(image, *offset, bytes),
        Change::SetLen(len) => image.resize(*len as usize, 0),
    }
}

fn write(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    image[start..end].copy_from_slice(bytes);
}
