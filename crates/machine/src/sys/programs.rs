//! Staging and activating images.

use crate::{Fault, Images, grants::Read, keyspace, native::Call, programs};
use althing_protocol::{Error, Hash, ProgramId, Result, SYS, limits, v1};
use prost::Message;

pub(super) fn check(stage: &v1::Stage) -> Result<()> {
    ProgramId::new(stage.program.as_str())?;
    if stage.program == SYS {
        return Err(Error::invalid("program sys: is part of the binary; choose another id"));
    }
    Hash::try_from(stage.image.as_slice())?;
    match &stage.manifest {
        Some(manifest) => programs::check_manifest(manifest),
        None => Err(Error::invalid(format!("manifest of program {}: missing", stage.program))),
    }
}

/// Accepts an image that the sandbox accepts. What it refuses is refused with the same words on
/// every node: the check reads the bytes, which the hash names.
pub(super) fn stage(
    call: &mut Call<'_>,
    images: &dyn Images,
    stage: v1::Stage,
) -> Result<v1::ProgramInfo, Fault> {
    let hash = Hash::try_from(stage.image.as_slice())?;
    images.image(&hash)?.map_err(|e| Error {
        message: format!("image {hash} of program {}: {}", stage.program, e.message),
        ..e
    })?;
    let found = programs::find(call.scope, &stage.program)?;
    if found.is_none() {
        check_room(call)?;
    }
    let mut info = found.unwrap_or_default();
    info.program.clone_from(&stage.program);
    info.staged = Some(v1::ImageInfo {
        image: stage.image,
        manifest: stage.manifest,
        staged: call.context.index,
        activated: 0,
    });
    call.scope.put(programs::key(&stage.program), info.encode_to_vec())?;
    call.emit("program.staged", stage.program.as_bytes())?;
    Ok(info)
}

pub(super) fn activate(call: &mut Call<'_>, args: &v1::Activate) -> Result<v1::ProgramInfo, Fault> {
    let found = programs::find(call.scope, &args.program)?;
    let Some(mut info) = found else {
        return Err(
            Error::not_found(format!("program {}: stage an image first", args.program)).into()
        );
    };
    let is_staged = |image: &v1::ImageInfo| image.image == args.image;
    let Some(mut image) = info.staged.take().filter(is_staged) else {
        return Err(Error::conflict(format!(
            "program {}: that image is not the staged one; another one may have been staged since",
            args.program
        ))
        .into());
    };
    image.activated = call.context.index;
    info.active = Some(image);
    call.scope.put(programs::key(&args.program), info.encode_to_vec())?;
    call.emit("program.activated", args.program.as_bytes())?;
    Ok(info)
}

fn check_room(call: &Call<'_>) -> Result<(), Fault> {
    let count = call.scope.pairs(keyspace::PROGRAM, b"", limits::PROGRAMS_MAX)?.len();
    if count < limits::PROGRAMS_MAX {
        return Ok(());
    }
    Err(Error::exhausted(format!("programs of the realm: {count}, which is the limit")).into())
}
