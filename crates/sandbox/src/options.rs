//! How a node runs its guests. None of it changes what a guest computes or costs: two nodes of a
//! realm may choose differently.

use std::{fmt, path::PathBuf};

/// What a node chooses for itself.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What runs the code of guests. Default: [`Backend::Native`].
    pub backend: Backend,
    /// Instances live in slots that are reserved once and reused: half the time of a call. Without
    /// it each call asks the system for its memory. Default: true.
    pub pooling: bool,
    /// Address space of each memory. Default: [`Reservation::Auto`].
    pub reservation: Reservation,
    /// A memory starts as a copy-on-write image of its first pages, rather than by copying data
    /// into it: what a call does not write is never copied. Default: true.
    pub copy_on_write: bool,
    /// Slots of the pool: the calls that may run at once, the apply thread's and queries together,
    /// each counted once for every program that calls another inside it. One more gets a
    /// [`Halt`](crate::Halt), so bound the queries below this. Default: 32.
    pub instances_max: u32,
    /// Where compiled images are kept between starts; without it, each start compiles them again.
    /// The directory is made, and kept to its owner (0700): what lies in it is run.
    pub cache_dir: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            backend: Backend::Native,
            pooling: true,
            reservation: Reservation::Auto,
            copy_on_write: true,
            instances_max: 32,
            cache_dir: None,
        }
    }
}

/// What runs the code of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// This processor's own code.
    Native,
    /// Code of a portable interpreter (Pulley): for processors that the compiler does not know, and
    /// as a second opinion on the first. More than ten times slower.
    Portable,
}

/// How much address space a memory has, which decides how its bounds are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// The first of these that this system has the address space for: full, small, small without a
    /// pool.
    Auto,
    /// All 4 GiB that a guest can address: the processor checks the bounds, at no cost.
    Full,
    /// No more than a guest may have: every access is checked by code of its own. For boards with
    /// few address bits.
    Small,
}

/// How an [`Engine`](crate::Engine) got its memory in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// A pool, 4 GiB of address space a slot.
    Full,
    /// A pool, as much address space a slot as a guest may have.
    Small,
    /// No pool: memory is asked for at each call.
    OnDemand,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Portable => "portable",
        })
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Small => "small",
            Self::OnDemand => "on-demand",
        })
    }
}
