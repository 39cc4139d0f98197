//! Keys and values with their revisions.
//!
//! A stored value is create revision (8 bytes, big-endian) ‖ modify revision (8) ‖ value: raw, since
//! it is the path that every file's metadata takes.

use crate::{Fault, Halt, keyspace, native::Call};
use althing_protocol::{Error, Result, limits, v1};

const HEADER: usize = 16;

/// A value and its revisions, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Index of the entry that made the key.
    pub create: u64,
    /// Index of the entry that last changed it.
    pub modify: u64,
    /// The value.
    pub value: &'a [u8],
}

/// Decodes a stored value.
///
/// # Errors
/// When it is not one of ours.
pub fn decode_pair(stored: &[u8]) -> Result<Pair<'_>, Halt> {
    let parts = stored.split_first_chunk::<8>();
    let parts = parts.and_then(|(create, rest)| Some((create, rest.split_first_chunk::<8>()?)));
    let Some((create, (modify, value))) = parts else {
        return Err(Halt::new("state: a value of sys is shorter than its revisions"));
    };
    Ok(Pair { create: u64::from_be_bytes(*create), modify: u64::from_be_bytes(*modify), value })
}

pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "key: {} bytes, wants 1 to {}",
            key.len(),
            limits::KEY_BYTES_MAX
        )));
    }
    Ok(())
}

pub(super) fn check_put(put: &v1::Put) -> Result<()> {
    check_key(&put.key)?;
    check_value(&put.key, &put.value)
}

pub(super) fn check_swap(args: &v1::CompareAndSwap) -> Result<()> {
    use v1::compare_and_swap::Expected;
    check_key(&args.key)?;
    check_value(&args.key, &args.new_value)?;
    match args.expected {
        None | Some(Expected::Absent(false)) => Err(Error::invalid(format!(
            "compare_and_swap of {}: says nothing to expect; give absent = true, a value or a \
             modify revision",
            args.key.escape_ascii()
        ))),
        Some(_) => Ok(()),
    }
}

fn check_value(key: &[u8], value: &[u8]) -> Result<()> {
    if value.len() <= limits::VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "value of key {}: {} bytes, the limit is {}",
        key.escape_ascii(),
        value.len(),
        limits::VALUE_BYTES_MAX
    )))
}

pub(super) fn put(call: &mut Call<'_>, put: v1::Put) -> Result<v1::Written, Fault> {
    let key = keyspace::kv(&put.key);
    let index = call.context.index;
    let create = match call.scope.get(&key)? {
        Some(old) => decode_pair(&old)?.create,
        None => index,
    };
    let mut stored = Vec::with_capacity(HEADER + put.value.len());
    stored.extend(create.to_be_bytes());
    stored.extend(index.to_be_bytes());
    stored.extend(&put.value);
    call.scope.put(key, stored)?;
    Ok(v1::Written { revision: Some(v1::Revision { create, modify: index }) })
}

pub(super) fn delete(call: &mut Call<'_>, key: &[u8]) -> Result<v1::Deleted, Fault> {
    let key = keyspace::kv(key);
    let existed = call.scope.get(&key)?.is_some();
    if existed {
        call.scope.delete(key)?;
    }
    Ok(v1::Deleted { existed })
}

pub(super) fn get(call: &Call<'_>, key: &[u8]) -> Result<v1::Found, Fault> {
    let Some(stored) = call.scope.get(&keyspace::kv(key))? else {
        return Ok(v1::Found::default());
    };
    let pair = decode_pair(&stored)?;
    let revision = Some(v1::Revision { create: pair.create, modify: pair.modify });
    let pair = v1::KeyValue { key: key.to_vec(), value: pair.value.to_vec(), revision };
    Ok(v1::Found { pair: Some(pair) })
}

pub(super) fn compare_and_swap(
    call: &mut Call<'_>,
    args: v1::CompareAndSwap,
) -> Result<v1::Written, Fault> {
    use v1::compare_and_swap::Expected;
    let stored = call.scope.get(&keyspace::kv(&args.key))?;
    let pair = stored.as_deref().map(decode_pair).transpose()?;
    let found = match &pair {
        Some(pair) => format!("has modify revision {}", pair.modify),
        None => "does not exist".to_owned(),
    };
    let holds = match (&args.expected, pair) {
        (Some(Expected::Absent(_)), pair) => pair.is_none(),
        (Some(Expected::Value(value)), Some(pair)) => pair.value == value,
        (Some(Expected::Modify(modify)), Some(pair)) => pair.modify == *modify,
        (_, _) => false,
    };
    if !holds {
        return Err(Error::conflict(format!(
            "key {}: is not as expected, it {found}; read it and try again",
            args.key.escape_ascii()
        ))
        .into());
    }
    put(call, v1::Put { key: args.key, value: args.new_value })
}
