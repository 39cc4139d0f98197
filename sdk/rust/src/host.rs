//! The host, behind functions that are the same for a guest and for a native test.

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(target_arch = "wasm32")]
pub(crate) use guest::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::*;

/// Pairs of a page, and whether there are more.
pub(crate) type Page = (Vec<(Vec<u8>, Vec<u8>)>, bool);
