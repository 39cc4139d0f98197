//! The life of an actor: its beginning, and its end.

use super::{
    Actors, books,
    history::Happened,
    running::{check_running, check_upgrade, unknown},
};
use crate::Fault;
use althing_protocol::{Error, PublicKey, actor_chain_start, limits, v1};
use althing_state::Key;
use std::ops::Bound;
use v1::{actor_info::Status, actor_step::Kind};

/// Timers and subscriptions, each, that one instruction ends of an actor that is removed.
const FORGET_MAX: usize = 256;
/// When to try again, while messages for a stopped actor become dead letters, in milliseconds.
const RETRY_MS: u64 = 200;

impl Actors<'_> {
    /// Makes an actor, in the state that the program's `init` gives.
    pub(super) fn spawn(
        &mut self,
        author: &PublicKey,
        args: v1::ActorSpawn,
    ) -> Result<v1::ActorDone, Fault> {
        let v1::ActorSpawn { actor, program } = args;
        let running = self.running(&program)?;
        if let Some(info) = self.info(&actor)? {
            return Err(Error::conflict(format!(
                "actor {actor}: exists since entry {}, of program {}; choose another id",
                info.spawned, info.program
            ))
            .into());
        }
        let mut queue = self.queue()?;
        if queue.actors >= limits::ACTORS_MAX {
            return Err(Error::exhausted(format!(
                "actors of the realm: {}, which is the limit; `althing actor remove` makes room",
                queue.actors
            ))
            .into());
        }
        let mut of = self.program(&program)?;
        let mut info = v1::ActorInfo {
            actor,
            program,
            generation: of.generation,
            spawned: self.at.index,
            author: author.0.to_vec(),
            ..v1::ActorInfo::default()
        };
        info.chain = actor_chain_start(&info.actor).0.to_vec();
        let turn = running.compiled.actor_init(&info.actor, &running.limits)?;
        let fuel = self.used(&info, &turn);
        let happened = Happened {
            kind: Kind::Begun(v1::ActorBegun {}),
            state: Some(turn.result?.state.into()),
            fuel,
            failure: None,
            sends: Vec::new(),
        };
        self.append(&mut info, &running, happened)?;
        of.actors += 1;
        queue.actors += 1;
        self.scope.put(books::of_key(&info.program, &info.actor), *b"")?;
        self.put_info(&info)?;
        self.put_program(&of)?;
        self.put_queue(&queue)?;
        Ok(v1::ActorDone { info: Some(info) })
    }

    /// Lets an actor take no more messages. Those that wait become dead letters when their turn comes,
    /// also while its program is disabled; its timers and subscriptions end when they would have sent
    /// one.
    pub(super) fn stop(&mut self, args: &v1::ActorName) -> Result<v1::ActorDone, Fault> {
        let mut info = self.info(&args.actor)?.ok_or_else(|| unknown(&args.actor))?;
        check_running(&info)?;
        check_upgrade(self.scope, &info.program)?;
        info.set_status(Status::Stopped);
        Ok(v1::ActorDone { info: Some(self.line_up(info)?) })
    }

    /// Deletes what one instruction may delete of a stopped actor. Its id is free when there is no
    /// more.
    pub(super) fn remove(&mut self, args: &v1::ActorName) -> Result<v1::ActorRemoved, Fault> {
        let mut info = self.info(&args.actor)?.ok_or_else(|| unknown(&args.actor))?;
        if info.status() == Status::Running {
            return Err(Error::conflict(format!(
                "actor {0}: runs; `althing actor stop {0}` before removing it",
                info.actor
            ))
            .into());
        }
        if info.waiting > 0 {
            return Err(Error::conflict(format!(
                "actor {}: {} messages wait for it, which become dead letters first; try again in a \
                 moment",
                info.actor, info.waiting
            ))
            .retry_after_ms(RETRY_MS)
            .into());
        }
        check_upgrade(self.scope, &info.program)?;
        let timers = self.forget_timers(&info.actor, FORGET_MAX)?;
        let subscriptions = self.forget_subscriptions(&info.actor, FORGET_MAX)?;
        let mut removed = v1::ActorRemoved {
            keys: (timers + subscriptions) as u64,
            more: timers == FORGET_MAX || subscriptions == FORGET_MAX,
        };
        self.clear(&info, &mut removed)?;
        if removed.more {
            info.set_status(Status::Removing);
            self.put_info(&info)?;
        } else {
            self.forget(&info)?;
        }
        Ok(removed)
    }

    /// Deletes states and steps, as far as there is room. There is no mail: nobody can send any.
    fn clear(&mut self, info: &v1::ActorInfo, removed: &mut v1::ActorRemoved) -> Result<(), Fault> {
        let prefix = books::of_actor(&info.actor);
        let (mut keys, mut bytes) = (limits::REMOVE_KEYS_MAX, limits::REMOVE_BYTES_MAX);
        for keyspace in [books::STATE, books::STEP] {
            if keys == 0 || bytes == 0 {
                removed.more = true;
                break;
            }
            let page = self.scope.scan(keyspace, Bound::Unbounded, &prefix, keys, bytes)?;
            for (key, value) in &page.pairs {
                bytes = bytes.saturating_sub(key.len() + value.len());
                self.scope.delete(Key::new(keyspace, key))?;
            }
            keys -= page.pairs.len();
            removed.keys += page.pairs.len() as u64;
            removed.more |= page.more;
        }
        Ok(())
    }

    /// Deletes the last of it.
    fn forget(&mut self, info: &v1::ActorInfo) -> Result<(), Fault> {
        let mut of = self.program(&info.program)?;
        let mut queue = self.queue()?;
        of.actors = of.actors.saturating_sub(1);
        queue.actors = queue.actors.saturating_sub(1);
        self.put_program(&of)?;
        self.put_queue(&queue)?;
        self.scope.delete(books::shadow_key(&info.actor))?;
        self.scope.delete(books::of_key(&info.program, &info.actor))?;
        Ok(self.scope.delete(books::info_key(&info.actor))?)
    }
}
