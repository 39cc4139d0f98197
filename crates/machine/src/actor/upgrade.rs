//! Another version takes over all actors of a program, or none.
//!
//! ```text
//!   begin     sys/activate, sys/rollback: the program's actors pause, their mail waits
//!   migrate   ticks: the state of each actor, as the next version wants it, beside the one in force
//!   flip      one tick: the next version is the active one | discard: a state could not be migrated
//!   sweep     ticks: each actor takes its state over | drops it; those with mail are in the queue again
//! ```
//!
//! Between flip and sweep an actor takes its state over before anything else happens to it, and who reads
//! it reads what it has then: both with `adopt`. The step of it is of the flip, so it is the same whenever
//! it is written. Generations count the flips. No number comes back, so nothing takes what a discarded
//! upgrade left for its own.

use super::{
    Actors, At, books,
    history::{Happened, append},
    running::{Running, limits_of},
};
use crate::{
    Fault, Halt,
    context::Events,
    grants::{Read, decode_stored},
    programs,
};
use althing_protocol::{Error, Result, SYS, limits, v1};
use althing_state::Scope;
use prost::Message;
use std::ops::Bound;
use v1::{actor_info::Status, actor_step::Kind};

/// How an upgrade that failed is told to those who follow events.
const FAILED: &str = "program.upgrade_failed";
/// When to try again, while actors are migrated or looked after, in milliseconds.
const RETRY_MS: u64 = 500;

/// The actor as it is now: what the active version made of its state is its state, also when nothing
/// has happened to it since that one took over.
pub(super) fn adopt(scope: &mut Scope, mut info: v1::ActorInfo) -> Result<v1::ActorInfo, Fault> {
    let of = books::program(scope, &info.program)?;
    if info.generation == of.generation {
        return Ok(info);
    }
    // A stopped one has none. The history of one that is being removed does not go on.
    let shadow = books::shadow(scope, &info.actor)?
        .filter(|shadow| shadow.generation == of.generation && info.status() != Status::Removing);
    if let Some(shadow) = shadow {
        let flip = of.last.unwrap_or_default();
        let at = At { index: flip.index, timestamp_us: flip.timestamp_us };
        let image = program_info(scope, &info.program)?.active.unwrap_or_default();
        let happened = Happened {
            kind: Kind::Migrated(shadow.migrated.unwrap_or_default()),
            state: Some(shadow.state.into()),
            fuel: shadow.fuel,
            failure: None,
            sends: Vec::new(),
        };
        append(scope, &mut info, at, &image, happened)?;
    }
    info.generation = of.generation;
    drop_shadow(scope, &info.actor)?;
    scope.put(books::info_key(&info.actor), info.encode_to_vec())?;
    Ok(info)
}

/// Forgets what another version has made of an actor's state.
fn drop_shadow(scope: &mut Scope, actor: &str) -> Result<(), Fault> {
    let key = books::shadow_key(actor);
    match scope.get(&key)? {
        Some(_) => Ok(scope.delete(key)?),
        None => Ok(()),
    }
}

fn program_info(state: &impl Read, program: &str) -> Result<v1::ProgramInfo, Halt> {
    let found = programs::find(state, program)?;
    found.ok_or_else(|| Halt::new(format!("state: program {program} of actors is missing")))
}

impl Actors<'_> {
    /// Has `image` take over the actors of a program in the course of the ticks to come. False when there
    /// is nothing to wait for: it is no other component, or has no actors yet.
    ///
    /// # Errors
    /// `conflict` while an upgrade goes on.
    pub(crate) fn begin_upgrade(
        &mut self,
        info: &v1::ProgramInfo,
        image: &v1::ImageInfo,
        topic: &str,
    ) -> Result<bool, Fault> {
        let Some(active) = &info.active else { return Ok(false) };
        let mut of = self.program(&info.program)?;
        check_settled(&of)?;
        if of.actors == 0 || active.image == image.image {
            return Ok(false);
        }
        of.generation_last += 1;
        of.upgrade = Some(v1::ActorUpgrade {
            image: Some(image.clone()),
            generation: of.generation_last,
            index: self.at.index,
            after: String::new(),
            migrated: 0,
            topic: topic.to_owned(),
        });
        self.put_program(&of)?;
        self.count_upgrading(1)?;
        Ok(true)
    }

    /// Has the mail delivered that waited while the program was disabled.
    pub(crate) fn resume(&mut self, program: &str) -> Result<(), Fault> {
        let mut of = self.program(program)?;
        // An upgrade ends with the same.
        if of.actors == 0 || of.upgrade.is_some() {
            return Ok(());
        }
        if of.swept.replace(String::new()).is_none() {
            self.count_upgrading(1)?;
        }
        self.put_program(&of)
    }

    /// Forgets a program that is removed.
    ///
    /// # Errors
    /// `conflict` while it has actors.
    pub(crate) fn forget_program(&mut self, program: &str) -> Result<(), Fault> {
        let of = self.program(program)?;
        if of.actors > 0 {
            return Err(Error::conflict(format!(
                "program {program}: has {} actors; `althing actor list {program}` lists them, stop and \
                 remove them first",
                of.actors
            ))
            .into());
        }
        if of.swept.is_some() {
            self.count_upgrading(-1)?;
        }
        self.forget_share(program)?;
        let key = books::program_key(program);
        match self.scope.get(&key)? {
            Some(_) => Ok(self.scope.delete(key)?),
            None => Ok(()),
        }
    }

    fn count_upgrading(&mut self, change: i64) -> Result<(), Fault> {
        let mut queue = self.queue()?;
        queue.upgrading = queue.upgrading.saturating_add_signed(change);
        self.put_queue(&queue)
    }

    /// Goes on with the upgrades, program by program, as far as a tick may: behind the one at which the
    /// last tick ended, so none waits for the end of another one's.
    /// Begins nothing more when `fuel_max` is used.
    pub(super) fn go_on_with_upgrades(
        &mut self,
        fuel_max: u64,
        events: &mut Events,
    ) -> Result<(), Fault> {
        let mut queue = self.queue()?;
        if queue.upgrading == 0 {
            return Ok(());
        }
        let mut programs = self.scope.pairs(books::PROGRAM, b"", limits::PROGRAMS_MAX)?;
        let behind = programs.partition_point(|(key, _)| **key <= *queue.upgraded.as_bytes());
        programs.rotate_left(behind);
        let mut budget = Budget::new(self, fuel_max);
        for (_, bytes) in programs {
            if budget.is_spent(self) {
                break;
            }
            let of: v1::ActorProgram = decode_stored("actors of a program", &bytes)?;
            let program = of.program.clone();
            match &of {
                v1::ActorProgram { upgrade: Some(_), .. } => {
                    self.migrate_some(of, &mut budget, events)?;
                }
                v1::ActorProgram { swept: Some(_), .. } => self.sweep_some(of, &mut budget)?,
                _ => continue,
            }
            queue.upgraded = program;
        }
        let upgraded = queue.upgraded;
        self.put_queue(&v1::ActorQueue { upgraded, ..self.queue()? })
    }

    fn migrate_some(
        &mut self,
        mut of: v1::ActorProgram,
        budget: &mut Budget,
        events: &mut Events,
    ) -> Result<(), Fault> {
        let mut upgrade = of.upgrade.take().unwrap_or_default();
        let program = program_info(self.scope, &of.program)?;
        let from = program.active.clone().unwrap_or_default();
        let next = self.version(upgrade.image.clone().unwrap_or_default())?;
        while let Some(actor) = self.actor_after(&of.program, &upgrade.after)? {
            if budget.is_spent(self) {
                of.upgrade = Some(upgrade);
                return self.put_program(&of);
            }
            budget.actors -= 1;
            let info = self.info(&actor)?.ok_or_else(|| books::missing("info", &actor))?;
            // One that is stopped runs no more: it keeps the state that it stopped with.
            if info.status() == Status::Running {
                if let Err(error) = self.migrate(&info, &from, &next, upgrade.generation)? {
                    return self.discard(of, &upgrade, actor, &error, events);
                }
                upgrade.migrated += 1;
            }
            upgrade.after = actor;
        }
        budget.actors = budget.actors.saturating_sub(1);
        self.flip(of, upgrade, program, events)
    }

    /// Puts the state of an actor beside the one in force, as the next version wants it.
    fn migrate(
        &mut self,
        info: &v1::ActorInfo,
        from: &v1::ImageInfo,
        next: &Running,
        generation: u32,
    ) -> Result<Result<()>, Fault> {
        // The sweep of the upgrade before has ended: none is behind.
        let state = books::state(self.scope, &info.actor, info.state_step)?
            .ok_or_else(|| books::missing("the state", &info.actor))?;
        let from_version = from.manifest.as_ref().map_or("", |manifest| &manifest.version);
        let (actor, limits) = (&info.actor, &next.limits);
        let turn = next.compiled.actor_migrate(actor, &state, from_version, limits)?;
        let fuel = self.used(info, &turn);
        let state = match turn.result {
            Ok(next) => next.state,
            Err(error) => return Ok(Err(error)),
        };
        let (from_version, from_image) = (from_version.to_owned(), from.image.clone());
        let migrated = Some(v1::ActorMigrated { from_version, from_image });
        let shadow = v1::ActorShadow { generation, state, fuel, migrated };
        self.put(books::shadow_key(actor), &shadow)?;
        Ok(Ok(()))
    }

    fn flip(
        &mut self,
        mut of: v1::ActorProgram,
        upgrade: v1::ActorUpgrade,
        mut program: v1::ProgramInfo,
        events: &mut Events,
    ) -> Result<(), Fault> {
        let image = upgrade.image.unwrap_or_default();
        of.generation = upgrade.generation;
        of.swept = Some(String::new());
        of.last = Some(v1::ActorUpgraded {
            image: image.image.clone(),
            index: self.at.index,
            timestamp_us: self.at.timestamp_us,
            migrated: upgrade.migrated,
            ..v1::ActorUpgraded::default()
        });
        self.put_program(&of)?;
        programs::take_over(&mut program, image, self.at.index);
        self.put(programs::key(&program.program), &program)?;
        Ok(events.emit(SYS, &upgrade.topic, of.program.as_bytes())?)
    }

    fn discard(
        &mut self,
        mut of: v1::ActorProgram,
        upgrade: &v1::ActorUpgrade,
        actor: String,
        error: &Error,
        events: &mut Events,
    ) -> Result<(), Fault> {
        of.swept = Some(String::new());
        of.last = Some(v1::ActorUpgraded {
            image: upgrade.image.clone().unwrap_or_default().image,
            index: self.at.index,
            timestamp_us: self.at.timestamp_us,
            migrated: upgrade.migrated,
            failure: Some(error.into()),
            actor,
        });
        self.put_program(&of)?;
        Ok(events.emit(SYS, FAILED, of.program.as_bytes())?)
    }

    fn sweep_some(&mut self, mut of: v1::ActorProgram, budget: &mut Budget) -> Result<(), Fault> {
        let mut swept = of.swept.take().unwrap_or_default();
        while let Some(actor) = self.actor_after(&of.program, &swept)? {
            if budget.is_spent(self) {
                of.swept = Some(swept);
                return self.put_program(&of);
            }
            budget.actors -= 1;
            let info = self.info(&actor)?.ok_or_else(|| books::missing("info", &actor))?;
            let info = adopt(self.scope, info)?;
            // That of an upgrade that was discarded.
            drop_shadow(self.scope, &actor)?;
            if info.waiting > 0 && info.turn == 0 {
                self.line_up(info)?;
            }
            swept = actor;
        }
        budget.actors = budget.actors.saturating_sub(1);
        self.put_program(&of)?;
        self.count_upgrading(-1)
    }

    /// A version, whether or not it runs now.
    fn version(&self, image: v1::ImageInfo) -> Result<Running, Halt> {
        let compiled = self.contracts.compiled(&image)?;
        let limits = limits_of(&image);
        Ok(Running { image, compiled, limits })
    }

    /// The first actor of a program behind `after`.
    fn actor_after(&self, program: &str, after: &str) -> Result<Option<String>, Halt> {
        let prefix = books::of_actor(program);
        let after = [&prefix, after.as_bytes()].concat();
        let start = Bound::Excluded(after.as_slice());
        let page = self.scope.scan(books::OF, start, &prefix, 1, usize::MAX)?;
        page.pairs.first().map(|(key, _)| Ok(books::actor_of(key)?.to_owned())).transpose()
    }
}

/// # Errors
/// `conflict`, while an earlier change of the program's version goes on.
fn check_settled(of: &v1::ActorProgram) -> Result<()> {
    let (program, actors) = (&of.program, of.actors);
    if let Some(upgrade) = &of.upgrade {
        return Err(Error::conflict(format!(
            "program {program}: is being upgraded since entry {}, {} of its {actors} actors are \
             migrated; wait for the end",
            upgrade.index, upgrade.migrated
        ))
        .retry_after_ms(RETRY_MS));
    }
    if of.swept.is_some() {
        return Err(Error::conflict(format!(
            "program {program}: its {actors} actors are looked after behind the last change; try again \
             in a moment"
        ))
        .retry_after_ms(RETRY_MS));
    }
    Ok(())
}

/// What a tick may still do to upgrades.
struct Budget {
    actors: usize,
    fuel_max: u64,
    bytes_before: usize,
}

impl Budget {
    fn new(actors: &Actors<'_>, fuel_max: u64) -> Self {
        Self {
            actors: limits::TICK_MIGRATIONS_MAX,
            fuel_max,
            bytes_before: actors.scope.writes().bytes(),
        }
    }

    fn is_spent(&self, actors: &Actors<'_>) -> bool {
        let bytes = actors.scope.writes().bytes().saturating_sub(self.bytes_before);
        self.actors == 0
            || actors.fuel >= self.fuel_max
            || bytes >= limits::DELIVERIES_WRITES_BYTES_MAX
    }
}
