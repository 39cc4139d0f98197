//! What happened, for those who follow the token.

use crate::{Account, Amount};
use althing_sdk::{Reply, Result, events, reply};
use serde::Serialize;

/// An event. Its fields are its data, as a JSON object.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Event<'a> {
    Mint {
        to: &'a Account,
        amount: Amount,
    },
    Burn {
        from: &'a Account,
        amount: Amount,
    },
    Transfer {
        from: &'a Account,
        to: &'a Account,
        amount: Amount,
        /// Who moved it, when it was not `from`.
        #[serde(skip_serializing_if = "Option::is_none")]
        spender: Option<&'a Account>,
    },
    Approval {
        owner: &'a Account,
        spender: &'a Account,
        amount: Amount,
    },
    Freeze {
        account: &'a Account,
        frozen: bool,
    },
    Pause {
        paused: bool,
    },
    Owner {
        owner: &'a Account,
    },
}

impl Event<'_> {
    fn topic(&self) -> &'static str {
        match self {
            Self::Mint { .. } => "token.mint",
            Self::Burn { .. } => "token.burn",
            Self::Transfer { .. } => "token.transfer",
            Self::Approval { .. } => "token.approval",
            Self::Freeze { .. } => "token.freeze",
            Self::Pause { .. } => "token.pause",
            Self::Owner { .. } => "token.owner",
        }
    }

    /// Emits it; the call that did is done.
    pub(crate) fn emit(&self) -> Result<Reply> {
        events::emit_json(self.topic(), self)?;
        reply(())
    }
}
