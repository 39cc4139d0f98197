//! Scenarios: logs as people write them.

use crate::{Corpus, Log, guests::Guest, making};
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A log as people write it. `corpus/README.md` describes the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is for.
    pub about: String,
    /// The guests, by the name that the steps use.
    #[serde(default)]
    pub(crate) guests: BTreeMap<String, Guest>,
    /// Built guests that do the same: the steps are for each of them as well, in place of the one
    /// guest that there is.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    #[serde(rename = "step")]
    pub(crate) steps: Vec<Text>,
}

/// A step: one of `run`, `replay`, `query`, `read` and `tick`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    /// Names the step, for a replay.
    pub(crate) name: Option<String>,
    /// The author; keys are made from names.
    #[serde(rename = "as", default = "founder")]
    pub(crate) author: String,
    /// One of the author's sessions, opened when it is first named.
    #[serde(default)]
    pub(crate) session: String,
    /// Instructions under one signature.
    #[serde(default)]
    pub(crate) run: Vec<Instruction>,
    /// The number of the first instruction, when it is not the next one.
    pub(crate) sequence: Option<u64>,
    /// What is wrong with the envelope.
    pub(crate) flaw: Option<Flaw>,
    /// Sends the envelope of that step again.
    pub(crate) replay: Option<String>,
    /// Asks a program.
    pub(crate) query: Option<Query>,
    /// Reads the state of an actor.
    pub(crate) read: Option<String>,
    /// An entry in which only time passes.
    #[serde(default)]
    pub(crate) tick: bool,
    /// The entry's time, when it is not a millisecond after the last one.
    pub(crate) at_us: Option<u64>,
    /// So many entries of this kind, each with the next number.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn founder() -> String {
    "founder".into()
}

fn once() -> u32 {
    1
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flaw {
    /// Another key signed it.
    Signature,
    /// It is for another realm.
    Realm,
    /// Its body is cut short.
    Body,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) program: String,
    #[serde(default = "run_method")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) args: Bytes,
}

/// Bytes: a text, in which `${NAME}` is the public key of that name; hexadecimal digits; or many of
/// the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bytes {
    Text(String),
    Hex { hex: String },
    Fill { fill: String, times: usize },
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// An instruction: those of `sys` and `actor` by their methods, and `call` for the others.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Instruction {
    Call {
        program: String,
        #[serde(default = "run_method")]
        method: String,
        #[serde(default)]
        args: Bytes,
    },
    Put {
        key: Bytes,
        value: Bytes,
    },
    Delete {
        key: Bytes,
    },
    Swap(Swap),
    Txn {
        #[serde(rename = "if", default)]
        conditions: Vec<Condition>,
        #[serde(rename = "then", default)]
        success: Vec<Op>,
        #[serde(rename = "else", default)]
        failure: Vec<Op>,
    },
    Open {
        label: String,
    },
    Close {
        session: String,
    },
    Grant(Grant),
    Revoke {
        id: u64,
    },
    RoleAdd {
        role: String,
        member: String,
    },
    RoleRemove {
        role: String,
        member: String,
    },
    Stage(Package),
    Activate {
        program: String,
        guest: String,
    },
    /// Both of the above.
    Deploy(Package),
    Rollback {
        program: String,
        guest: Option<String>,
    },
    Disable {
        program: String,
    },
    Enable {
        program: String,
    },
    Remove {
        program: String,
    },
    Rules(Rules),
    Invite {
        invite: String,
        role: String,
        expires_us: u64,
    },
    Uninvite {
        invite: String,
    },
    Join {
        invite: String,
        node: String,
        #[serde(default)]
        address: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    Member(Member),
    Report {
        #[serde(default)]
        address: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    Expel {
        id: u64,
    },
    Leave {},
    Spawn {
        actor: String,
        program: String,
    },
    Send {
        actor: String,
        message: Bytes,
    },
    Request {
        actor: String,
        message: Bytes,
    },
    Retry {
        actor: String,
        letter: u64,
    },
    Stop {
        actor: String,
    },
    ActorRemove {
        actor: String,
    },
    ActorRollback {
        actor: String,
        to: u64,
        state: Option<Bytes>,
    },
    SendAt {
        actor: String,
        timer: String,
        at_us: u64,
        message: Bytes,
    },
    SendEvery {
        actor: String,
        timer: String,
        #[serde(default)]
        first_us: u64,
        period_us: u64,
        message: Bytes,
    },
    Cancel {
        actor: String,
        timer: String,
    },
    Subscribe(Topic),
    Unsubscribe(Topic),
}

fn run_method() -> String {
    "run".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Swap {
    pub(crate) key: Bytes,
    /// The value it has; without this and `modify`, the key is absent.
    pub(crate) value: Option<Bytes>,
    pub(crate) modify: Option<u64>,
    pub(crate) new: Bytes,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// A name, or a subject with a colon, or `any`.
    pub(crate) to: String,
    pub(crate) program: String,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) prefix: Bytes,
    #[serde(default)]
    pub(crate) exclusive: bool,
    #[serde(default)]
    pub(crate) expires_us: u64,
}

/// Who may manage a program, and whose images it takes; keys by their names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) program: String,
    pub(crate) owner: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) publishers: Option<Vec<String>>,
}

/// What a member is to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) role: Option<String>,
    pub(crate) priority: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) given: Option<BTreeMap<String, String>>,
}

/// What an actor is told of; without more, changed keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    pub(crate) actor: String,
    #[serde(default = "sys")]
    pub(crate) program: String,
    #[serde(default = "kv")]
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) prefix: Bytes,
}

fn sys() -> String {
    "sys".into()
}

fn kv() -> String {
    "kv".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) program: String,
    pub(crate) guest: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) fuel: u64,
    #[serde(default)]
    pub(crate) memory: u64,
    /// The key that signs the image.
    pub(crate) publisher: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) key: Bytes,
    pub(crate) is: Comparison,
    pub(crate) value: Option<Bytes>,
    pub(crate) create: Option<u64>,
    pub(crate) modify: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    Greater,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Op {
    Put { key: Bytes, value: Bytes },
    Delete { key: Bytes },
    Get { key: Bytes },
}

impl Scenario {
    /// Whether every guest is a text of the corpus: then what it gives is on record.
    pub fn is_golden(&self) -> bool {
        self.guests.values().all(|guest| matches!(guest, Guest::Text(_)))
    }

    /// The built guests that it runs.
    pub fn built_guests(&self) -> impl Iterator<Item = &str> {
        self.guests.values().filter_map(|guest| match guest {
            Guest::Text(_) => None,
            Guest::Built(name) => Some(name.as_str()),
        })
    }

    /// The same for the other guests that it is for.
    pub(crate) fn variants(&self) -> impl Iterator<Item = (String, Self)> {
        let Self { about, guests, steps, .. } = self.clone();
        self.also.clone().into_iter().map(move |guest| {
            let about = format!("{about}: {guest}");
            let names = guests.keys().cloned();
            let guests = names.map(|name| (name, Guest::Built(guest.clone()))).collect();
            (guest, Self { about, guests, also: Vec::new(), steps: steps.clone() })
        })
    }

    /// The log it stands for.
    ///
    /// # Errors
    /// When a guest is missing, or a step is none.
    pub fn log(&self, corpus: &Corpus, name: &str) -> Result<Log> {
        making::log(self, corpus, name)
    }
}
