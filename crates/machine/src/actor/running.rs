//! What runs an actor: the active version of its program, and what it may use.

use super::{Actors, books};
use crate::{Fault, Halt, LogLine, grants::Read, programs};
use althing_protocol::{Error, Result, v1};
use althing_sandbox::{ActorLimits, Image, Turn};
use std::sync::Arc;
use v1::{actor_info::Status, image_info::Kind};

/// The version of a program that runs its actors.
pub(crate) struct Running {
    pub(crate) image: v1::ImageInfo,
    pub(crate) compiled: Arc<Image>,
    pub(crate) limits: ActorLimits,
}

/// What a version lets one message use.
pub(crate) fn limits_of(image: &v1::ImageInfo) -> ActorLimits {
    let (fuel, memory_bytes_max) = programs::call_limits(image);
    ActorLimits { fuel, memory_bytes_max, deadline: None }
}

impl Actors<'_> {
    /// What runs the actors of `program`.
    ///
    /// # Errors
    /// `conflict` while they are paused: it is disabled, or being upgraded.
    pub(crate) fn running(&self, program: &str) -> Result<Running, Fault> {
        if self.contracts.natives.contains(program) {
            let text = format!("program {program}: is part of the binary, and has no actors");
            return Err(Error::invalid(text).into());
        }
        let image = programs::active(self.scope, program)??;
        check_actor(program, &image)?;
        check_upgrade(self.scope, program)?;
        let compiled = self.contracts.compiled(&image)?;
        let limits = limits_of(&image);
        Ok(Running { image, compiled, limits })
    }

    /// An actor that takes messages, and what runs it.
    pub(crate) fn standing(&self, actor: &str) -> Result<(v1::ActorInfo, Running), Fault> {
        let info = self.info(actor)?.ok_or_else(|| unknown(actor))?;
        check_running(&info)?;
        let running = self.running(&info.program)?;
        Ok((info, running))
    }

    /// Whether the actor is there, and takes messages.
    pub(super) fn takes_messages(&self, actor: &str) -> Result<Result<()>, Halt> {
        let info = self.info(actor)?;
        Ok(info.ok_or_else(|| unknown(actor)).and_then(|info| check_running(&info)))
    }

    /// Accounts for a run: its log, and its fuel, which it gives.
    pub(crate) fn used(&mut self, info: &v1::ActorInfo, turn: &Turn) -> u64 {
        self.logs.renew();
        let line = |level, text| LogLine {
            index: self.at.index,
            program: info.program.clone(),
            actor: Some(info.actor.clone()),
            level,
            text,
        };
        for text in &turn.logs {
            self.logs.add(line("info", text.clone()));
        }
        if turn.logs_dropped > 0 {
            let text = format!("{} lines dropped: the call logged too much", turn.logs_dropped);
            self.logs.note(line("warn", text));
        }
        self.fuel = self.fuel.saturating_add(turn.fuel_used);
        turn.fuel_used
    }
}

/// # Errors
/// `invalid`, when the program is no actor.
pub(crate) fn check_actor(program: &str, image: &v1::ImageInfo) -> Result<()> {
    if image.kind() == Kind::Actor {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "program {program}: is a contract; actors are made of programs that are actors"
    )))
}

pub(crate) fn unknown(actor: &str) -> Error {
    Error::not_found(format!("actor {actor}: does not exist; `althing actor spawn` makes one"))
}

/// # Errors
/// `conflict`, when some of the actor is deleted already.
pub(crate) fn check_whole(info: &v1::ActorInfo) -> Result<()> {
    if info.status() != Status::Removing {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "actor {0}: is being removed; `althing actor remove {0}` goes on with it",
        info.actor
    )))
}

/// # Errors
/// `conflict`, when the actor takes no messages any more.
pub(crate) fn check_running(info: &v1::ActorInfo) -> Result<()> {
    match info.status() {
        Status::Running => Ok(()),
        Status::Removing => check_whole(info),
        Status::Stopped => Err(Error::conflict(format!(
            "actor {0}: is stopped and takes no messages; `althing actor remove {0}` makes room for \
             another one of this id",
            info.actor
        ))),
    }
}

/// # Errors
/// `conflict`, while the actors of `program` are being upgraded.
pub(super) fn check_upgrade(state: &impl Read, program: &str) -> Result<(), Fault> {
    if books::program(state, program)?.upgrade.is_none() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "actors of program {program}: are being upgraded and wait for its end; try again later"
    ))
    .into())
}
