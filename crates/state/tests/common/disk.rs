//! A disk in memory that forgets what was not synced.

use super::Numbers;
use althing_state::StorageBackend;
use std::{
    io,
    sync::{Arc, Mutex},
};

/// The smallest part of a write that a disk completes or loses.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct State {
    /// What a sync has confirmed.
    stable: Vec<u8>,
    /// What reads see.
    current: Vec<u8>,
    /// Changes since the last sync.
    pending: Vec<Change>,
    /// Changes and syncs until the power goes.
    budget: Option<u64>,
    len_max: Option<u64>,
    operations: u64,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn of(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().current = image.clone();
        disk.0.lock().unwrap().stable = image;
        disk
    }

    /// The power goes after this many changes and syncs.
    pub fn lose_power_after(&self, operations: u64) {
        self.0.lock().unwrap().budget = Some(operations);
    }

    /// The disk is full at this length.
    pub fn limit(&self, len_max: u64) {
        self.0.lock().unwrap().len_max = Some(len_max);
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// What reads see now.
    pub fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.clone()
    }

    /// What is found after power loss: all that was synced, and any part of the rest.
    pub fn image_after_power_loss(&self, numbers: &mut Numbers) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        let mut image = state.stable.clone();
        for change in &state.pending {
            match (numbers.below(4), change) {
                (0, _) => {}
                (1, Change::Write(offset, bytes)) => {
                    for (i, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if numbers.below(2) == 0 {
                            write(&mut image, offset + (i * SECTOR_BYTES) as u64, sector);
                        }
                    }
                }
                (_, change) => make(&mut image, change),
            }
        }
        image
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

impl State {
    fn spend(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.budget {
            Some(0) => Err(io::Error::other("no power")),
            Some(budget) => {
                *budget -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.spend()?;
        make(&mut self.current, &change);
        self.pending.push(change);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let start = offset as usize;
        let bytes = state.current.get(start..start + out.len());
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.len_max.is_some_and(|len_max| len > len_max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.change(Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.spend()?;
        state.stable = state.current.clone();
        state.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Write(offset, data.to_vec()))
    }
}
