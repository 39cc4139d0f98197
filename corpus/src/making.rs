//! From the text of a scenario to its log.

use crate::{
    Corpus,
    log::{Log, LogBuilder, Step, key},
    scenario::{
        Bytes, Comparison, Condition, Flaw, Grant, Instruction, Member, Op, Package, Rules,
        Scenario, Swap, Text, Topic,
    },
};
use althing_protocol::{Hash, ImageClaim, JoinToken, actor, sys, v1};
use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::collections::BTreeMap;

/// The log that `scenario` stands for.
pub(crate) fn log(scenario: &Scenario, corpus: &Corpus, name: &str) -> Result<Log> {
    let mut making = Making { log: LogBuilder::new(name), ..Making::default() };
    for (name, guest) in &scenario.guests {
        let (hash, component) = guest.load(corpus).with_context(|| format!("guest {name}"))?;
        making.log.image(hash, component);
        making.images.insert(name.clone(), hash);
    }
    for (at, step) in (1..).zip(&scenario.steps) {
        making.step(step).with_context(|| format!("step {at} of {name}"))?;
    }
    Ok(making.log.finish())
}

/// A log while its scenario is read.
#[derive(Default)]
struct Making {
    log: LogBuilder,
    images: BTreeMap<String, Hash>,
    named: BTreeMap<String, v1::Envelope>,
}

impl Making {
    fn step(&mut self, step: &Text) -> Result<()> {
        for _ in 0..step.times {
            if let Some(at_us) = step.at_us {
                self.log.set_time(at_us);
            }
            match step {
                Text { tick: true, .. } => self.log.tick(),
                Text { query: Some(query), .. } => self.log.push(Step::Query {
                    caller: key(&step.author).public(),
                    program: query.program.clone(),
                    method: query.method.clone(),
                    args: query.args.get()?,
                }),
                Text { read: Some(actor), .. } => self.log.push(Step::Actor(actor.clone())),
                Text { replay: Some(name), .. } => {
                    let named = self.named.get(name);
                    let envelope = named.with_context(|| format!("no step is named {name}"))?;
                    self.log.submit(envelope.clone());
                }
                _ => self.sign(step)?,
            }
        }
        Ok(())
    }

    fn sign(&mut self, step: &Text) -> Result<()> {
        let mut instructions = Vec::new();
        for instruction in &step.run {
            self.instructions(instruction, &step.author, &mut instructions)?;
        }
        if instructions.is_empty() {
            bail!("wants one of run, replay, query, read and tick");
        }
        let (author, session) = (step.author.as_str(), step.session.as_str());
        let mut envelope = self.log.envelope(author, session, step.sequence, instructions);
        match step.flaw {
            None => {}
            Some(Flaw::Signature) => envelope.signature = vec![1; 64],
            Some(Flaw::Body) => drop(envelope.body.pop()),
            // The realm is the first field of the body: a tag, a length, and 32 bytes.
            Some(Flaw::Realm) => envelope.body[2] ^= 1,
        }
        if let Some(name) = &step.name {
            self.named.insert(name.clone(), envelope.clone());
        }
        self.log.submit(envelope);
        Ok(())
    }

    /// Adds what `instruction` stands for: one, or two for a deployment.
    fn instructions(
        &mut self,
        instruction: &Instruction,
        author: &str,
        into: &mut Vec<v1::Instruction>,
    ) -> Result<()> {
        use Instruction as I;
        let made = match instruction {
            I::Call { program, method, args } => v1::Instruction::new(program, method, args.get()?),
            I::Put { key, value } => sys::put(key.get()?, value.get()?),
            I::Delete { key } => sys::delete(key.get()?),
            I::Swap(swap) => swap.get()?,
            I::Txn { conditions, success, failure } => sys::txn(&v1::Txn {
                conditions: conditions.iter().map(Condition::get).collect::<Result<_>>()?,
                success: success.iter().map(Op::get).collect::<Result<_>>()?,
                failure: failure.iter().map(Op::get).collect::<Result<_>>()?,
            }),
            I::Open { label } => sys::session_open(label),
            I::Close { session } => sys::session_close(self.log.session(author, session)),
            I::Grant(grant) => grant.get()?,
            I::Revoke { id } => sys::revoke(*id),
            I::RoleAdd { role, member } => sys::role_add(&role_member(role, member)),
            I::RoleRemove { role, member } => sys::role_remove(&role_member(role, member)),
            I::Stage(package) => self.stage(package)?,
            I::Activate { program, guest } => self.activate(program, guest)?,
            I::Deploy(package) => {
                into.push(self.stage(package)?);
                self.activate(&package.program, &package.guest)?
            }
            I::Rollback { program, guest } => {
                let image = guest.as_ref().map(|guest| self.image(guest)).transpose()?;
                let image = image.map(|hash| hash.0.to_vec());
                sys::rollback(&v1::Rollback { program: program.clone(), image })
            }
            I::Disable { program } => sys::disable(program),
            I::Enable { program } => sys::enable(program),
            I::Remove { program } => sys::remove(program),
            I::Rules(rules) => rules.get(),
            I::Invite { invite, role, expires_us } => sys::member_invite(&v1::MemberInvite {
                invite: key(invite).public().0.to_vec(),
                role: role.parse::<v1::MemberRole>()?.into(),
                expires_us: *expires_us,
            }),
            I::Uninvite { invite } => sys::member_uninvite(&key(invite).public()),
            I::Join { invite, node, address, labels } => {
                let (realm, contacts) = (self.log.realm(), Vec::new());
                let token = JoinToken { realm, secret: key(invite), contacts };
                let join = token.join(&key(node).public(), address, with_names(labels));
                sys::member_join(&join)
            }
            I::Member(member) => member.get()?,
            I::Report { address, labels } => {
                let (address, labels) = (address.clone(), with_names(labels));
                sys::member_report(&v1::MemberReport { address, labels })
            }
            I::Expel { id } => sys::member_remove(*id),
            I::Leave {} => sys::member_leave(),
            of_actor => of_actor.of_actor()?,
        };
        into.push(made);
        Ok(())
    }

    fn stage(&self, package: &Package) -> Result<v1::Instruction> {
        let manifest = v1::Manifest {
            version: package.version.clone(),
            fuel_max: package.fuel,
            memory_bytes_max: package.memory,
            ..v1::Manifest::default()
        };
        let image = self.image(&package.guest)?;
        let (program, version) = (package.program.as_str(), package.version.as_str());
        let claim = ImageClaim { program, image: &image, version };
        let signature = package.publisher.as_ref().map(|publisher| claim.sign(&key(publisher)));
        let (program, manifest, image) = (program.to_owned(), Some(manifest), image.0.to_vec());
        Ok(sys::stage(&v1::Stage { program, image, manifest, signature }))
    }

    fn activate(&self, program: &str, guest: &str) -> Result<v1::Instruction> {
        let (program, image) = (program.to_owned(), self.image(guest)?.0.to_vec());
        Ok(sys::activate(&v1::Activate { program, image }))
    }

    fn image(&self, guest: &str) -> Result<Hash> {
        self.images.get(guest).copied().with_context(|| format!("no guest is named {guest}"))
    }
}

impl Instruction {
    /// The instructions of the program `actor`.
    fn of_actor(&self) -> Result<v1::Instruction> {
        Ok(match self.clone() {
            Self::Spawn { actor, program } => actor::spawn(actor, program),
            Self::Send { actor, message } => actor::send(actor, message.get()?),
            Self::Request { actor, message } => actor::request(actor, message.get()?),
            Self::Retry { actor, letter } => actor::retry(actor, letter),
            Self::Stop { actor } => actor::stop(actor),
            Self::ActorRemove { actor } => actor::remove(actor),
            Self::ActorRollback { actor, to, state } => {
                let state = state.as_ref().map(Bytes::get).transpose()?;
                actor::rollback(&v1::ActorRollback { actor, to, state })
            }
            Self::SendAt { actor, timer, at_us, message } => {
                let message = message.get()?;
                actor::send_at(&v1::ActorSendAt { actor, timer, at_us, message })
            }
            Self::SendEvery { actor, timer, first_us, period_us, message } => {
                let message = message.get()?;
                let every = v1::ActorSendEvery { actor, timer, first_us, period_us, message };
                actor::send_every(&every)
            }
            Self::Cancel { actor, timer } => actor::cancel(actor, timer),
            Self::Subscribe(topic) => actor::subscribe(&topic.get()?),
            Self::Unsubscribe(topic) => actor::unsubscribe(&topic.get()?),
            other => bail!("{other:?} is none of the program actor"),
        })
    }
}

impl Topic {
    fn get(&self) -> Result<v1::ActorTopic> {
        let Self { actor, program, topic, prefix } = self.clone();
        Ok(v1::ActorTopic { actor, program, topic, prefix: prefix.get()? })
    }
}

impl Swap {
    fn get(&self) -> Result<v1::Instruction> {
        use v1::compare_and_swap::Expected;
        let value = self.value.as_ref().map(Bytes::get).transpose()?.map(Expected::Value);
        let expected = value.or(self.modify.map(Expected::Modify));
        Ok(sys::compare_and_swap(&v1::CompareAndSwap {
            key: self.key.get()?,
            expected: Some(expected.unwrap_or(Expected::Absent(true))),
            new_value: self.new.get()?,
        }))
    }
}

impl Grant {
    fn get(&self) -> Result<v1::Instruction> {
        let subject = match self.to.contains(':') || self.to == "any" {
            true => self.to.clone(),
            false => format!("key:{}", key(&self.to).public()),
        };
        Ok(sys::grant(&v1::Grant {
            subject,
            program: self.program.clone(),
            method: self.method.clone(),
            prefix: self.prefix.get()?,
            exclusive: self.exclusive,
            expires_us: self.expires_us,
        }))
    }
}

impl Rules {
    fn get(&self) -> v1::Instruction {
        let bytes = |name: &String| key(name).public().0.to_vec();
        let keys = |names: &Vec<String>| v1::Publishers { keys: names.iter().map(bytes).collect() };
        sys::program_rules(&v1::ProgramRules {
            program: self.program.clone(),
            owner: self.owner.as_ref().map(bytes),
            role: self.role.clone(),
            publishers: self.publishers.as_ref().map(keys),
        })
    }
}

impl Member {
    fn get(&self) -> Result<v1::Instruction> {
        let role = self.role.as_ref().map(|role| role.parse::<v1::MemberRole>()).transpose()?;
        let given = self.given.as_ref().map(|given| v1::Labels { labels: with_names(given) });
        Ok(sys::member_set(&v1::MemberSet {
            id: self.id,
            role: role.map(Into::into),
            priority: self.priority,
            address: self.address.clone(),
            given,
        }))
    }
}

fn with_names(labels: &BTreeMap<String, String>) -> Vec<v1::Label> {
    let label =
        |(name, value): (&String, &String)| v1::Label { name: name.clone(), value: value.clone() };
    labels.iter().map(label).collect()
}

fn role_member(role: &str, member: &str) -> v1::RoleMember {
    v1::RoleMember { role: role.to_owned(), key: key(member).public().0.to_vec() }
}

impl Condition {
    fn get(&self) -> Result<v1::Condition> {
        use v1::condition::{Comparison as C, Target};
        let comparison = match self.is {
            Comparison::Equal => C::Equal,
            Comparison::NotEqual => C::NotEqual,
            Comparison::Less => C::Less,
            Comparison::Greater => C::Greater,
        };
        let target = match (&self.value, self.create, self.modify) {
            (Some(value), None, None) => Target::Value(value.get()?),
            (None, Some(create), None) => Target::Create(create),
            (None, None, Some(modify)) => Target::Modify(modify),
            _ => bail!("a condition wants one of value, create and modify"),
        };
        let (key, target) = (self.key.get()?, Some(target));
        Ok(v1::Condition { key, comparison: comparison.into(), target })
    }
}

impl Op {
    fn get(&self) -> Result<v1::Op> {
        use v1::op::Op as O;
        Ok(v1::Op {
            op: Some(match self {
                Self::Put { key, value } => {
                    O::Put(v1::Put { key: key.get()?, value: value.get()? })
                }
                Self::Delete { key } => O::Delete(v1::Delete { key: key.get()? }),
                Self::Get { key } => O::Get(v1::Get { key: key.get()? }),
            }),
        })
    }
}

impl Bytes {
    fn get(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Text(text) => with_keys(text)?.into_bytes(),
            Self::Hex { hex } => HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).context(hex.clone())?,
            Self::Fill { fill, times } => fill.repeat(*times).into_bytes(),
        })
    }
}

fn with_keys(text: &str) -> Result<String> {
    let mut parts = text.split("${");
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').context("a ${ without its }")?;
        done += &key(name).public().to_string();
        done += rest;
    }
    Ok(done)
}
