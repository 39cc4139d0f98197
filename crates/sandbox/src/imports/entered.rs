//! What every host function begins with.

use super::{
    Bytes,
    error::{Answer, Failed, Tried, answer},
};
use crate::{
    fault::Broken,
    fuel,
    host::Observed,
    state::{Phase, State},
};
use althing_protocol::{Error, limits};
use std::fmt::{self, Write};
use wasmtime::{Result, StoreContextMut, Trap, component::WasmStr};

/// Bytes of an argument or a result that who observes a call gets to see.
const SHOWN_BYTES_MAX: usize = 64;

/// A running host function.
pub(crate) struct Entered<'a> {
    name: &'static str,
    pub(crate) store: StoreContextMut<'a, State>,
    /// Only when somebody observes the call.
    observed: Option<Box<Observed>>,
}

impl<'a> Entered<'a> {
    /// Enters the function `name`, whose base price is `base`.
    pub(crate) fn new(
        store: StoreContextMut<'a, State>,
        name: &'static str,
        base: u64,
    ) -> Result<Self> {
        if store.data().phase == Phase::Starting {
            return Err(wasmtime::Error::new(Broken::Starting(name)));
        }
        let observed = store.data().is_observed.then(|| Box::new(Observed::of(name)));
        let mut entered = Self { name, store, observed };
        entered.charge(base)?;
        Ok(entered)
    }

    /// Takes `units`, or all that is left.
    pub(crate) fn charge(&mut self, units: u64) -> Result<()> {
        let left = self.store.get_fuel()?;
        self.store.set_fuel(left.saturating_sub(units))?;
        if let Some(observed) = &mut self.observed {
            observed.fuel += units.min(left);
        }
        if left < units { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }

    pub(super) fn charge_bytes(&mut self, bytes: usize, price: u64) -> Result<()> {
        self.charge(price.saturating_mul(bytes as u64))
    }

    /// Refuses what changes something, in a query.
    pub(super) fn writes(&self) -> Tried<()> {
        if self.store.data().may_change {
            return Ok(());
        }
        Err(Failed::Refused(Error::denied(format!(
            "{}: a query cannot change anything; do it in `apply`, by an instruction",
            self.name
        ))))
    }

    /// Checks the length of `list`, charges for it and gives its bytes.
    pub(super) fn bytes(
        &mut self,
        what: &'static str,
        list: &Bytes,
        max: usize,
        price: u64,
    ) -> Tried<&[u8]> {
        self.check(what, list.len(), max)?;
        self.take(what, list, price).map_err(Failed::from)
    }

    /// As [`bytes`](Self::bytes), for what may be as long as the ABI lets it: it is not copied, and its
    /// price bounds it.
    pub(crate) fn take(&mut self, what: &'static str, list: &Bytes, price: u64) -> Result<&[u8]> {
        self.charge_bytes(list.len(), price)?;
        let bytes = list.as_le_slice(&self.store);
        if let Some(observed) = &mut self.observed {
            observed.args.push((what, Shown(bytes).to_string()));
        }
        Ok(bytes)
    }

    pub(super) fn check(&self, what: &str, len: usize, max: usize) -> Tried<()> {
        if len <= max {
            return Ok(());
        }
        Err(Failed::Refused(Error::invalid(format!(
            "{what} of {}: {len} bytes, the limit is {max}",
            self.name
        ))))
    }

    pub(super) fn key(&mut self, list: &Bytes) -> Tried<Vec<u8>> {
        let key = self.bytes("key", list, limits::KEY_BYTES_MAX, fuel::COPY_PER_BYTE)?.to_vec();
        if key.is_empty() {
            let message = format!("key of {}: empty; a key has at least one byte", self.name);
            return Err(Failed::Refused(Error::invalid(message)));
        }
        Ok(key)
    }

    /// The text, if it is at most `max` bytes, or its length. That is known only once it is decoded,
    /// so it is charged then, whether it is taken or not.
    pub(super) fn text(
        &mut self,
        what: &'static str,
        text: &WasmStr,
        max: usize,
    ) -> Result<std::result::Result<String, usize>> {
        let broken = |_| wasmtime::Error::new(Broken::Text(self.name));
        let decoded = text.to_str(&self.store).map_err(broken)?;
        let len = decoded.len();
        let taken = if len <= max { Ok(decoded.into_owned()) } else { Err(len) };
        if let (Some(observed), Ok(text)) = (&mut self.observed, &taken) {
            observed.args.push((what, Shown(text.as_bytes()).to_string()));
        }
        self.charge_bytes(len, fuel::COPY_PER_BYTE)?;
        Ok(taken)
    }

    /// As [`text`](Self::text); refuses one that is longer.
    pub(super) fn text_at_most(
        &mut self,
        what: &'static str,
        text: &WasmStr,
        max: usize,
    ) -> Tried<String> {
        match self.text(what, text, max)? {
            Ok(text) => Ok(text),
            Err(len) => self.check(what, len, max).map(|()| String::new()),
        }
    }

    /// Notes an argument for who observes the call.
    pub(crate) fn tell(&mut self, what: &'static str, value: impl fmt::Display) {
        if let Some(observed) = &mut self.observed {
            observed.args.push((what, value.to_string()));
        }
    }

    /// Notes the result.
    pub(super) fn tell_result(&mut self, result: impl FnOnce() -> String) {
        if let Some(observed) = &mut self.observed {
            observed.result = result();
        }
    }

    /// Ends a function that may fail; `shown` is its result, for who observes the call.
    pub(super) fn answer<T>(
        mut self,
        tried: Tried<T>,
        shown: impl FnOnce(&T) -> String,
    ) -> Answer<T> {
        self.tell_result(|| match &tried {
            Ok(value) => shown(value),
            Err(failed) => failed.shown().into_owned(),
        });
        answer(tried)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(observed) = self.observed.take() {
            self.store.data_mut().host.observe(*observed);
        }
    }
}

/// The start of some bytes: as text when they are readable.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.0[..self.0.len().min(SHOWN_BYTES_MAX)];
        f.write_char('"')?;
        match std::str::from_utf8(start) {
            Ok(text) => write!(f, "{}", text.escape_debug())?,
            Err(_) => write!(f, "{}", start.escape_ascii())?,
        }
        f.write_char('"')?;
        match self.0.len() {
            len if len > start.len() => write!(f, "... ({len} bytes)"),
            _ => Ok(()),
        }
    }
}
