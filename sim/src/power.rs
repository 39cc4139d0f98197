//! The power of a simulated machine: when it goes, nothing of that run reaches disk or network.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is gone; what it wrote, of the state, is in the system's hands.
    Kill,
    /// What was not synced is lost, or a part of it.
    Power,
}

/// A crash that waits for a sync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fuse {
    /// Syncs that still succeed.
    pub(crate) syncs: u64,
    /// Whether the sync that blows it takes effect.
    pub(crate) after: bool,
    pub(crate) crash: Crash,
}

#[derive(Debug, Default)]
struct State {
    /// Counts the starts of the machine. What an earlier run still holds is dead.
    run: u64,
    off: Option<Crash>,
    fuse: Option<Fuse>,
}

/// Shared by disks, network and driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supply(Arc<Mutex<State>>);

/// The supply as one run of the machine sees it.
#[derive(Clone, Debug)]
pub(crate) struct Power {
    supply: Supply,
    run: u64,
}

impl Supply {
    /// The machine is started.
    pub(crate) fn start(&self) -> Power {
        let mut state = self.lock();
        state.run += 1;
        (state.off, state.fuse) = (None, None);
        Power { supply: self.clone(), run: state.run }
    }

    pub(crate) fn arm(&self, fuse: Fuse) {
        self.lock().fuse = Some(fuse);
    }

    /// From here on nothing that runs has an effect.
    pub(crate) fn cut(&self, crash: Crash) {
        self.lock().off.get_or_insert(crash);
    }

    /// How the machine went down, when it did.
    pub(crate) fn off(&self) -> Option<Crash> {
        self.lock().off
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Power {
    /// Which start of the machine this is.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    pub(crate) fn is_on(&self) -> bool {
        let state = self.supply.lock();
        state.run == self.run && state.off.is_none()
    }

    /// An error when the power is gone.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_on() { Ok(()) } else { Err(no_power()) }
    }

    /// Does `sync`, unless the power goes before. An error when it goes, before or after.
    pub(crate) fn sync(&self, sync: &mut dyn FnMut()) -> io::Result<()> {
        self.check()?;
        let blown = {
            let mut state = self.supply.lock();
            match &mut state.fuse {
                Some(fuse) if fuse.syncs == 0 => state.fuse.take(),
                Some(fuse) => {
                    fuse.syncs -= 1;
                    None
                }
                None => None,
            }
        };
        if blown.is_none_or(|fuse| fuse.after) {
            sync();
        }
        match blown {
            Some(fuse) => {
                self.supply.cut(fuse.crash);
                Err(no_power())
            }
            None => Ok(()),
        }
    }
}

fn no_power() -> io::Error {
    io::Error::other("no power")
}
