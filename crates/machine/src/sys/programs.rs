//! Staging, activating, and going back.

use crate::{Fault, Images, contract, grants::Read, keyspace, native::Call, programs};
use althing_protocol::{ACTOR, Error, Hash, ImageClaim, ProgramId, Result, SYS, limits, v1};
use althing_sandbox as sandbox;
use data_encoding::HEXLOWER;
use prost::Message;
use v1::image_info::Kind;

/// A signature that is there must be good, whether or not the program asks for one.
pub(super) fn check(stage: &v1::Stage) -> Result<()> {
    ProgramId::new(stage.program.as_str())?;
    if [SYS, ACTOR].contains(&stage.program.as_str()) {
        let program = &stage.program;
        return Err(Error::invalid(format!(
            "program {program}: is part of the binary; choose another id"
        )));
    }
    let image = Hash::try_from(stage.image.as_slice())?;
    let Some(manifest) = &stage.manifest else {
        return Err(Error::invalid(format!("manifest of program {}: missing", stage.program)));
    };
    programs::check_manifest(manifest)?;
    if let Some(signature) = &stage.signature {
        let claim =
            ImageClaim { program: &stage.program, image: &image, version: &manifest.version };
        claim.verify(signature)?;
    }
    Ok(())
}

pub(super) fn check_rollback(args: &v1::Rollback) -> Result<()> {
    ProgramId::new(args.program.as_str())?;
    args.image.as_deref().map(Hash::try_from).transpose().map(drop)
}

/// Accepts an image that the sandbox accepts. What it refuses is refused with the same words on
/// every node: the check reads the bytes, which the hash names.
pub(super) fn stage(
    call: &mut Call<'_>,
    images: &dyn Images,
    stage: v1::Stage,
) -> Result<v1::ProgramInfo, Fault> {
    let mut info = match programs::find(call.scope, &stage.program)? {
        Some(info) => standing(info)?,
        None => {
            check_room(call)?;
            let owner = call.context.author.0.to_vec();
            v1::ProgramInfo { program: stage.program.clone(), owner, ..Default::default() }
        }
    };
    check_publisher(&info, stage.signature.as_ref())?;
    let hash = Hash::try_from(stage.image.as_slice())?;
    let compiled = images.image(&hash)?.map_err(|e| Error {
        message: format!("image {hash} of program {}: {}", stage.program, e.message),
        ..e
    })?;
    let kind = match compiled.kind() {
        sandbox::Kind::Contract => Kind::Contract,
        sandbox::Kind::Actor => Kind::Actor,
    };
    check_kind(&info, kind)?;
    info.staged = Some(v1::ImageInfo {
        image: stage.image,
        manifest: stage.manifest,
        staged: call.context.index,
        activated: 0,
        signature: stage.signature,
        kind: kind.into(),
    });
    save(call, &info)?;
    call.emit("program.staged", stage.program.as_bytes())?;
    Ok(info)
}

/// What was made of the states of one kind means nothing to the other.
fn check_kind(info: &v1::ProgramInfo, kind: Kind) -> Result<()> {
    let of = |kind| match kind {
        Kind::Contract => "a contract",
        Kind::Actor => "an actor",
    };
    match info.active.as_ref().map(v1::ImageInfo::kind) {
        Some(active) if active != kind => Err(Error::invalid(format!(
            "program {}: is {}, and the image is {}; choose another program id",
            info.program,
            of(active),
            of(kind)
        ))),
        _ => Ok(()),
    }
}

pub(super) fn activate(call: &mut Call<'_>, args: &v1::Activate) -> Result<v1::ProgramInfo, Fault> {
    let found = programs::find(call.scope, &args.program)?;
    let Some(info) = found else {
        return Err(
            Error::not_found(format!("program {}: stage an image first", args.program)).into()
        );
    };
    let info = standing(info)?;
    let is_staged = |image: &v1::ImageInfo| image.image == args.image;
    let Some(image) = info.staged.clone().filter(is_staged) else {
        return Err(Error::conflict(format!(
            "program {}: that image is not the staged one; another one may have been staged since",
            args.program
        ))
        .into());
    };
    // The publishers may have changed since it was staged.
    check_publisher(&info, image.signature.as_ref())?;
    switch(call, info, image, "program.activated")
}

/// Activates an image that was active before: the last one, or the one named. Publishers are not
/// asked: it has run, and who goes back is in a hurry.
pub(super) fn rollback(call: &mut Call<'_>, args: &v1::Rollback) -> Result<v1::ProgramInfo, Fault> {
    let info = existing(call, &args.program)?;
    let at = match &args.image {
        None => (!info.versions.is_empty()).then_some(0),
        Some(image) => info.versions.iter().position(|version| version.image == *image),
    };
    let Some(at) = at else {
        return Err(not_kept(&info, args.image.as_deref()).into());
    };
    let image = info.versions[at].clone();
    switch(call, info, image, "program.rolled_back")
}

fn not_kept(info: &v1::ProgramInfo, image: Option<&[u8]>) -> Error {
    let program = &info.program;
    let active = info.active.as_ref().map(|active| active.image.as_slice());
    match image {
        None => Error::conflict(format!(
            "program {program}: no other image was active before, so there is nothing to go back to"
        )),
        Some(image) if active == Some(image) => Error::conflict(format!(
            "image {} of program {program}: is the active one",
            HEXLOWER.encode(image)
        )),
        Some(image) => Error::not_found(format!(
            "image {} of program {program}: is not one of the {} kept; `althing programs \
             {program}` lists them",
            HEXLOWER.encode(image),
            info.versions.len()
        )),
    }
}

/// Makes `image` the active one. Where actors run, that is the end of an upgrade that begins here.
fn switch(
    call: &mut Call<'_>,
    mut info: v1::ProgramInfo,
    image: v1::ImageInfo,
    topic: &str,
) -> Result<v1::ProgramInfo, Fault> {
    check_kind(&info, image.kind())?;
    if call.actors().begin_upgrade(&info, &image, topic)? {
        call.emit("program.upgrading", info.program.as_bytes())?;
        return Ok(info);
    }
    let before = programs::take_over(&mut info, image.clone(), call.context.index);
    save(call, &info)?;
    call.emit(topic, info.program.as_bytes())?;
    let is_other = |before: &v1::ImageInfo| before.image != image.image;
    if image.kind() == Kind::Contract
        && let Some(before) = before.filter(is_other)
    {
        let from_version = before.manifest.unwrap_or_default().version;
        contract::migrate(call, &info.program, &image, &from_version)?;
    }
    Ok(info)
}

/// # Errors
/// `denied`, when the program has publishers and none of them signed.
fn check_publisher(info: &v1::ProgramInfo, signature: Option<&v1::ImageSignature>) -> Result<()> {
    let publishers = info.publishers.as_ref().map_or(&[][..], |publishers| &publishers.keys);
    let program = &info.program;
    match signature {
        _ if publishers.is_empty() => Ok(()),
        Some(signature) if publishers.contains(&signature.publisher) => Ok(()),
        Some(signature) => Err(Error::denied(format!(
            "image of program {program}: signed by {}, which is none of its publishers; `althing \
             programs {program}` lists them",
            HEXLOWER.encode(&signature.publisher)
        ))),
        None => Err(Error::denied(format!(
            "image of program {program}: has no signature, and its publishers must sign; one of \
             them runs `althing sign FILE --key NAME`"
        ))),
    }
}

/// The program, unless it is being removed.
pub(super) fn existing(call: &Call<'_>, program: &str) -> Result<v1::ProgramInfo, Fault> {
    let found = programs::find(call.scope, program)?;
    Ok(standing(found.ok_or_else(|| programs::unknown(program))?)?)
}

fn standing(info: v1::ProgramInfo) -> Result<v1::ProgramInfo> {
    match &info.disabled {
        Some(disabled) if disabled.removing => Err(programs::not_running(&info.program, disabled)),
        _ => Ok(info),
    }
}

pub(super) fn save(call: &mut Call<'_>, info: &v1::ProgramInfo) -> Result<(), Fault> {
    Ok(call.scope.put(programs::key(&info.program), info.encode_to_vec())?)
}

fn check_room(call: &Call<'_>) -> Result<(), Fault> {
    let count = call.scope.pairs(keyspace::PROGRAM, b"", limits::PROGRAMS_MAX)?.len();
    if count < limits::PROGRAMS_MAX {
        return Ok(());
    }
    Err(Error::exhausted(format!(
        "programs of the realm: {count}, which is the limit; `althing remove` makes room"
    ))
    .into())
}
