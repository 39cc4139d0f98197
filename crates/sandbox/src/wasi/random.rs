//! Chance that is the same on every node: one stream for each call, keyed by the entry's seed.
//!
//! No author can foresee it, but it is no secret: whoever reads the log can compute it.

use super::{Entered, State, broken, interface, price};
use althing_protocol::limits::VALUE_BYTES_MAX;
use wasmtime::{Result, component::Linker};

/// Keys the stream. Another text is another stream, on every node.
const DOMAIN: &str = "althing 1 wasi random";
/// Bytes that a guest can ask for at once.
const BYTES_MAX: u64 = VALUE_BYTES_MAX as u64;

impl State {
    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let seed = &self.host.context().seed;
        let stream = self.wasi.random.get_or_insert_with(|| {
            let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
            Box::new(hasher.update(seed).finalize_xof())
        });
        stream.fill(bytes);
    }
}

/// `len` bytes, charged before they are made.
fn bytes(mut on: Entered<'_>, len: u64) -> Result<Vec<u8>> {
    on.tell("len", len);
    on.charge(price::RANDOM_PER_BYTE.saturating_mul(len))?;
    let max = BYTES_MAX;
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= max) else {
        return Err(broken(format!("asked for {len} random bytes at once, the limit is {max}")));
    };
    let mut bytes = vec![0; len];
    on.store.data_mut().fill(&mut bytes);
    Ok(bytes)
}

pub(super) fn define(linker: &mut Linker<State>) -> Result<()> {
    let mut random = interface(linker, "random/random")?;
    random.func_wrap("get-random-bytes", |store, (len,): (u64,)| {
        let on = Entered::new(store, "random.get-random-bytes", price::RANDOM)?;
        Ok((bytes(on, len)?,))
    })?;
    random.func_wrap("get-random-u64", |store, (): ()| {
        let mut on = Entered::new(store, "random.get-random-u64", price::RANDOM)?;
        Ok((u64::from_le_bytes(on.store.data_mut().random()),))
    })?;
    let mut insecure = interface(linker, "random/insecure")?;
    insecure.func_wrap("get-insecure-random-bytes", |store, (len,): (u64,)| {
        let on = Entered::new(store, "insecure.get-insecure-random-bytes", price::RANDOM)?;
        Ok((bytes(on, len)?,))
    })?;
    insecure.func_wrap("get-insecure-random-u64", |store, (): ()| {
        let mut on = Entered::new(store, "insecure.get-insecure-random-u64", price::RANDOM)?;
        Ok((u64::from_le_bytes(on.store.data_mut().random()),))
    })?;
    interface(linker, "random/insecure-seed")?.func_wrap("insecure-seed", |store, (): ()| {
        let mut on = Entered::new(store, "insecure-seed.insecure-seed", price::RANDOM)?;
        let state = on.store.data_mut();
        Ok(((u64::from_le_bytes(state.random()), u64::from_le_bytes(state.random())),))
    })
}
