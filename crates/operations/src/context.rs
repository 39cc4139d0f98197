//! Who asks, how fresh the answer must be, and what decides whether they may.

pub use althing_protocol::Need;
use althing_protocol::{Error, Kind, PublicKey, Result, v1};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Who asks. Grants are those of the key; the name is for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key whose grants count.
    pub key: PublicKey,
    /// What the node calls this caller.
    pub name: String,
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// Sees every write that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// Whatever this node has applied.
    Local,
    /// Waits until this node has applied the entry of this index.
    AtLeast(u64),
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::Local => f.write_str("local"),
            Self::AtLeast(index) => write!(f, "at-least={index}"),
        }
    }
}

impl FromStr for Freshness {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            None if text == "linearizable" => return Ok(Self::Linearizable),
            None if text == "local" => return Ok(Self::Local),
            Some(("at-least", index)) => {
                if let Ok(index) = index.parse() {
                    return Ok(Self::AtLeast(index));
                }
            }
            _ => {}
        }
        Err(Error::invalid(format!(
            "freshness {text:?}: unknown; use linearizable, local or at-least=INDEX"
        )))
    }
}

/// What decides and what changes: the realm, seen from an operation.
pub trait Authority: Send + Sync {
    /// Whether `caller` holds a grant for `need`.
    ///
    /// # Errors
    /// `denied`, naming the grant that is missing and the command that gives it.
    fn allow(&self, caller: &Caller, need: &Need) -> Result<()>;

    /// Waits until what `allow` judges by is as fresh as `read`. Where it always is of now, there is
    /// nothing to wait for.
    ///
    /// # Errors
    /// `unavailable` when that cannot be had.
    fn reach(&self, read: Freshness) -> BoxFuture<'_, Result<()>> {
        let _ = read;
        Box::pin(async { Ok(()) })
    }

    /// Submits `instructions` in `caller`'s name; one outcome each, in order.
    fn submit<'a>(
        &'a self,
        caller: &'a Caller,
        instructions: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>>;
}

/// What an operation runs in.
#[derive(Clone)]
pub struct Context {
    /// Who asks.
    pub caller: Caller,
    /// How fresh what is read must be.
    pub read: Freshness,
    /// What decides and what changes.
    pub authority: Arc<dyn Authority>,
}

impl Context {
    /// Whether the caller holds a grant for `need`. A node that has not come to the grant yet does not
    /// refuse: it waits until it is as fresh as what is to be read.
    pub(crate) async fn allow(&self, need: &Need) -> Result<()> {
        match self.authority.allow(&self.caller, need) {
            Err(error) if error.kind == Kind::Denied && self.read != Freshness::Local => {
                self.authority.reach(self.read).await?;
                self.authority.allow(&self.caller, need)
            }
            allowed => allowed,
        }
    }
}
