//! Which images run: staged, then activated.

use crate::{
    Halt,
    grants::{Read, decode_stored},
    keyspace,
};
use althing_protocol::{Error, Need, ProgramId, Result, limits, v1};
use althing_state::Key;

pub(crate) fn key(program: &str) -> Key {
    Key::new(keyspace::PROGRAM, program.as_bytes())
}

pub(crate) fn find(state: &impl Read, program: &str) -> Result<Option<v1::ProgramInfo>, Halt> {
    let bytes = state.read(&key(program))?;
    bytes.map(|bytes| decode_stored("program", &bytes)).transpose()
}

pub(crate) fn list(state: &impl Read) -> Result<Vec<v1::ProgramInfo>, Halt> {
    let pairs = state.pairs(keyspace::PROGRAM, b"", limits::PROGRAMS_MAX + 1)?;
    pairs.iter().map(|(_, bytes)| decode_stored("program", bytes)).collect()
}

/// The image that calls of `program` run.
///
/// # Errors
/// `not-found`, saying whether the program is unknown or only staged.
pub(crate) fn active(state: &impl Read, program: &str) -> Result<Result<v1::ImageInfo>, Halt> {
    let found = find(state, program)?;
    let staged = found.is_some();
    Ok(found.and_then(|info| info.active).ok_or_else(|| {
        Error::not_found(match staged {
            true => format!("program {program}: staged but not active; activate it"),
            false => format!("program {program}: not in this realm; `althing deploy` adds one"),
        })
    }))
}

/// Limits of one call, of what the manifest asks for and the realm allows.
pub(crate) fn call_limits(image: &v1::ImageInfo) -> (u64, u64) {
    let manifest = image.manifest.clone().unwrap_or_default();
    let or = |wanted, default, max| if wanted == 0 { default } else { u64::min(wanted, max) };
    (
        or(manifest.fuel_max, limits::FUEL_DEFAULT, limits::FUEL_MAX),
        or(
            manifest.memory_bytes_max,
            limits::GUEST_MEMORY_BYTES_DEFAULT,
            limits::GUEST_MEMORY_BYTES_MAX,
        ),
    )
}

/// Checks what a package asks for.
///
/// # Errors
/// `invalid`, naming the field and its limit.
pub(crate) fn check_manifest(manifest: &v1::Manifest) -> Result<()> {
    let at_most = |what: &str, value: u64, max: u64| match value <= max {
        true => Ok(()),
        false => Err(Error::invalid(format!("{what} of the manifest: {value}, at most {max}"))),
    };
    at_most("fuel_max", manifest.fuel_max, limits::FUEL_MAX)?;
    at_most("memory_bytes_max", manifest.memory_bytes_max, limits::GUEST_MEMORY_BYTES_MAX)?;
    let text = limits::MANIFEST_TEXT_BYTES_MAX as u64;
    at_most("length of version", manifest.version.len() as u64, text)?;
    at_most("length of description", manifest.description.len() as u64, text)
}

/// What calling a WASM program needs: it has no paths.
pub(crate) fn call_need(program: &str, method: &str) -> Result<Vec<Need>> {
    ProgramId::new(program)?;
    Ok(vec![Need::new(program, method)])
}
