//! Which images run, and who may change that.

use crate::{
    Halt,
    grants::{GrantTable, Read, decode_stored},
    keyspace,
};
use althing_protocol::{Error, Need, ProgramId, PublicKey, Result, SYS, limits, v1};
use althing_state::Key;
use data_encoding::HEXLOWER;
use v1::image_info::Kind;

/// Methods of `sys` that manage the program at the path of their need.
const MANAGING: [&str; 7] =
    ["stage", "activate", "rollback", "disable", "enable", "remove", "program_rules"];

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

/// Whether `author` may do what `need` says to a program of somebody. It is asked after the grant
/// table: a grant lets a key manage programs of its own, and make some.
///
/// The owner may, members of the program's role may, and so may who could grant itself anything: a
/// program whose owner lost the key is not lost.
///
/// # Errors
/// `denied`, naming the owner and what the owner can do about it.
pub(crate) fn check_manager(
    state: &impl Read,
    table: &GrantTable,
    author: &PublicKey,
    need: &Need,
    now_us: u64,
) -> Result<Result<()>, Halt> {
    if need.program != SYS || !MANAGING.contains(&need.method.as_str()) {
        return Ok(Ok(()));
    }
    let Some(info) = state.read(&Key::new(keyspace::PROGRAM, &need.path))? else {
        return Ok(Ok(()));
    };
    let info: v1::ProgramInfo = decode_stored("program", &info)?;
    let may = info.owner == author.0
        || table.has_role(author, &info.role)
        || table.allow(author, &Need::new(SYS, "grant"), now_us).is_ok();
    Ok(if may { Ok(()) } else { Err(not_manager(author, &info)) })
}

fn not_manager(author: &PublicKey, info: &v1::ProgramInfo) -> Error {
    let (program, owner) = (&info.program, HEXLOWER.encode(&info.owner));
    let (role, remedy) = match info.role.as_str() {
        "" => (String::new(), format!("althing rules {program} --owner {author}")),
        role => (format!(", members of role {role}"), format!("althing role add {role} {author}")),
    };
    Error::denied(format!(
        "program {program}: belongs to key {owner}; that key{role} and who holds sys/grant may \
         manage it, key {author} may not; one of them runs: {remedy}"
    ))
}

/// The image that calls of `program` run.
///
/// # Errors
/// `not-found`, saying whether the program is unknown or only staged; `conflict` while it is
/// disabled.
pub(crate) fn active(state: &impl Read, program: &str) -> Result<Result<v1::ImageInfo>, Halt> {
    let Some(info) = find(state, program)? else {
        return Ok(Err(unknown(program)));
    };
    if let Some(disabled) = &info.disabled {
        return Ok(Err(not_running(program, disabled)));
    }
    Ok(info.active.ok_or_else(|| not_active(program)))
}

/// The image that calls of the contract `program` run.
///
/// # Errors
/// As [`active`]; and `invalid` for a program that is no contract.
pub(crate) fn contract(state: &impl Read, program: &str) -> Result<Result<v1::ImageInfo>, Halt> {
    let image = active(state, program)?;
    Ok(image.and_then(|image| match image.kind() {
        Kind::Contract => Ok(image),
        Kind::Actor => Err(Error::invalid(format!(
            "program {program}: is an actor; send to one of its actors: althing actor send"
        ))),
    }))
}

pub(crate) fn not_active(program: &str) -> Error {
    Error::not_found(format!("program {program}: staged but not active; activate it"))
}

pub(crate) fn unknown(program: &str) -> Error {
    Error::not_found(format!("program {program}: not in this realm; `althing deploy` adds one"))
}

/// Not `unavailable`, which clients try again for: another node says the same.
pub(crate) fn not_running(program: &str, disabled: &v1::Disabled) -> Error {
    let remedy = match disabled.removing {
        true => format!("it is being removed; `althing remove {program}` goes on with it"),
        false => format!("`althing enable {program}` lets it run"),
    };
    Error::conflict(format!(
        "program {program}: disabled by key {} at entry {}; {remedy}",
        HEXLOWER.encode(&disabled.author),
        disabled.index
    ))
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

/// Makes `image` the active one as of entry `index`, and keeps the one before, which it gives.
pub(crate) fn take_over(
    info: &mut v1::ProgramInfo,
    image: v1::ImageInfo,
    index: u64,
) -> Option<v1::ImageInfo> {
    let image = v1::ImageInfo { activated: index, ..image };
    info.staged.take_if(|staged| is_same(staged, &image));
    info.versions.retain(|version| !is_same(version, &image));
    let before = info.active.replace(image.clone());
    if let Some(before) = &before
        && !is_same(before, &image)
    {
        info.versions.insert(0, before.clone());
        info.versions.truncate(limits::PROGRAM_VERSIONS_MAX);
    }
    before
}

/// The same component may run with another manifest: that is another version.
fn is_same(one: &v1::ImageInfo, other: &v1::ImageInfo) -> bool {
    (&one.image, &one.manifest) == (&other.image, &other.manifest)
}

/// What calling a WASM program needs: it has no paths.
pub(crate) fn call_need(program: &str, method: &str) -> Result<Vec<Need>> {
    ProgramId::new(program)?;
    Ok(vec![Need::new(program, method)])
}
