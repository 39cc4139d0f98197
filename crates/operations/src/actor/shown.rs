//! What the realm keeps of actors, as JSON shows it: records, histories and mail.

use althing_protocol::{Error, Kind, v1};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The value of the canonical JSON that the realm keeps; `None` for what is none.
pub fn json(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// An actor.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownActor {
    /// Its id.
    pub actor: String,
    /// The program that it is of.
    pub program: String,
    /// `running`, `stopped`, or `removing` when some of it is deleted already.
    pub status: &'static str,
    /// Index of the entry that made it.
    pub spawned: u64,
    /// Public key that signed that entry.
    pub author: String,
    /// Its newest step; the one that made it is 1.
    pub step: u64,
    /// Hash chain over all its steps.
    pub chain: String,
    /// The step that its state is from.
    pub state_step: u64,
    /// BLAKE3 of its state as canonical JSON.
    pub state_hash: String,
    /// Length of its state, in bytes.
    pub state_bytes: u64,
    /// Length of its history, in bytes.
    pub history_bytes: u64,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Counts the upgrades of its program that it has gone through.
    pub generation: u32,
}

impl From<v1::ActorInfo> for ShownActor {
    fn from(info: v1::ActorInfo) -> Self {
        use v1::actor_info::Status;
        let status = match info.status() {
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Removing => "removing",
        };
        Self {
            actor: info.actor,
            program: info.program,
            status,
            spawned: info.spawned,
            author: hex(&info.author),
            step: info.step,
            chain: hex(&info.chain),
            state_step: info.state_step,
            state_hash: hex(&info.state_hash),
            state_bytes: info.state_bytes,
            history_bytes: info.history_bytes,
            waiting: info.waiting,
            generation: info.generation,
        }
    }
}

/// Why a message, a step or an upgrade failed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownFailure {
    /// Kind of error.
    pub kind: &'static str,
    /// The error's text.
    pub message: String,
}

impl From<v1::Failure> for ShownFailure {
    fn from(failure: v1::Failure) -> Self {
        let error = Error::from(&failure);
        Self { kind: Kind::name(error.kind), message: error.message }
    }
}

/// A message that an actor sent.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownOut {
    /// The receiver's id.
    pub to: String,
    /// The message. The history has its hash only, and so has an outcome for which it is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
    /// BLAKE3 of the message as canonical JSON.
    pub hash: String,
}

impl From<v1::ActorOut> for ShownOut {
    fn from(out: v1::ActorOut) -> Self {
        Self { to: out.to, message: json(&out.message), hash: hex(&out.hash) }
    }
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ShownSender {
    /// Who signed it.
    Key {
        /// Their public key.
        key: String,
    },
    /// Another actor.
    Actor {
        /// Its id.
        actor: String,
        /// The program that it was of.
        program: String,
    },
    /// A timer.
    Timer {
        /// Its name.
        timer: String,
        /// Public key of who set it.
        author: String,
    },
    /// An event.
    Topic {
        /// The program that emitted it.
        program: String,
        /// What it was about.
        topic: String,
        /// Public key of who subscribed.
        author: String,
    },
    /// Nobody that this version knows.
    Unknown,
}

impl From<v1::ActorSender> for ShownSender {
    fn from(sender: v1::ActorSender) -> Self {
        use v1::actor_sender::Sender;
        match sender.sender {
            Some(Sender::Key(key)) => Self::Key { key: hex(&key) },
            Some(Sender::Actor(from)) => Self::Actor { actor: from.actor, program: from.program },
            Some(Sender::Timer(from)) => {
                Self::Timer { timer: from.timer, author: hex(&from.author) }
            }
            Some(Sender::Topic(from)) => {
                Self::Topic { program: from.program, topic: from.topic, author: hex(&from.author) }
            }
            None => Self::Unknown,
        }
    }
}

/// A message on its way, and in the history.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownMail {
    /// Who sent it.
    pub from: ShownSender,
    /// The message.
    pub message: Value,
    /// Index of the entry that sent it.
    pub sent: u64,
    /// Messages before it, of which each made an actor send the next.
    pub hops: u32,
}

impl From<v1::ActorMail> for ShownMail {
    fn from(mail: v1::ActorMail) -> Self {
        Self {
            from: mail.from.unwrap_or_default().into(),
            message: json(&mail.message).unwrap_or_default(),
            sent: mail.index,
            hops: mail.hops,
        }
    }
}

/// One step of an actor's history.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownStep {
    /// Its number; the first is 1.
    pub step: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: ShownStepKind,
    /// Index of the entry.
    pub index: u64,
    /// Time of the entry, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// BLAKE3 of the component that ran.
    pub image: String,
    /// BLAKE3 of the state before; absent in the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// BLAKE3 of the state after. Of a message that was refused it is that before.
    pub after: String,
    /// Fuel used.
    pub fuel: u64,
    /// Why the message was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShownFailure>,
    /// What the actor sent, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<ShownOut>,
    /// The chain of the history before this step.
    pub previous: String,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ShownStepKind {
    /// The actor was made.
    Begun,
    /// A message came.
    Message(ShownMail),
    /// An earlier state came back.
    Rollback {
        /// The step whose state it is.
        to: u64,
        /// Public key of who asked for it.
        author: String,
    },
    /// Another version of the program took the state over.
    Migrated {
        /// The version before, as its manifest says.
        from_version: String,
        /// The component before.
        from_image: String,
    },
    /// Something that this version does not know.
    Unknown,
}

impl From<v1::ActorStep> for ShownStep {
    fn from(step: v1::ActorStep) -> Self {
        use v1::actor_step::Kind;
        let kind = match step.kind {
            Some(Kind::Begun(_)) => ShownStepKind::Begun,
            Some(Kind::Mail(mail)) => ShownStepKind::Message(mail.into()),
            Some(Kind::Back(back)) => {
                ShownStepKind::Rollback { to: back.to, author: hex(&back.author) }
            }
            Some(Kind::Migrated(migrated)) => ShownStepKind::Migrated {
                from_version: migrated.from_version,
                from_image: hex(&migrated.from_image),
            },
            None => ShownStepKind::Unknown,
        };
        Self {
            step: step.step,
            kind,
            index: step.index,
            timestamp_us: step.timestamp_us,
            image: hex(&step.image),
            before: (!step.before.is_empty()).then(|| hex(&step.before)),
            after: hex(&step.after),
            fuel: step.fuel,
            failure: step.failure.map(ShownFailure::from),
            sends: step.sends.into_iter().map(ShownOut::from).collect(),
            previous: hex(&step.previous),
        }
    }
}

/// A message that could not be delivered.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownLetter {
    /// Its number.
    pub letter: u64,
    /// The id of the actor that it was for.
    pub actor: String,
    /// The message.
    #[serde(flatten)]
    pub mail: ShownMail,
    /// Why it could not.
    pub failure: ShownFailure,
    /// Index of the entry that tried.
    pub index: u64,
    /// Time of that entry, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
}

impl From<v1::ActorLetter> for ShownLetter {
    fn from(letter: v1::ActorLetter) -> Self {
        Self {
            letter: letter.letter,
            actor: letter.actor,
            mail: letter.mail.unwrap_or_default().into(),
            failure: letter.failure.unwrap_or_default().into(),
            index: letter.index,
            timestamp_us: letter.timestamp_us,
        }
    }
}
