//! A token: transfers, allowances, an owner who mints.
//!
//! Whoever calls `init` first becomes the owner, so call it in the minute that you deploy it, or give
//! the grant for `token/init` to nobody else. Accounts are keys and programs; what an account holds
//! only its key, or its program, can move, or who it approved. The author of an instruction that
//! reaches this contract through another program moves nothing by that.

mod account;
mod amount;
mod event;
mod ledger;
mod page;

pub use account::Account;
pub use amount::Amount;

use althing_sdk::{Contract, Reply, Result, contract, ensure, methods, reply};
use event::Event;
use ledger::Token as Record;
use page::Page;
use serde::Serialize;

/// Bytes of the token's name, and of its symbol.
const NAME_BYTES_MAX: usize = 64;
/// Digits behind the point. More is more than 128 bits have.
const DECIMALS_MAX: u8 = 38;

methods! {
    /// Instructions. Each replies with `null`.
    pub enum Call {
        /// Makes the token. Its owner is who calls.
        Init {
            /// What people call it.
            name: String,
            /// The same in short.
            symbol: String,
            /// How many digits of an amount stand behind the point, for those who show it.
            #[serde(default)]
            decimals: u8,
            /// What the owner starts with.
            #[serde(default)]
            supply: Amount,
        },
        /// Makes `amount` for `to`. The owner's alone.
        Mint {
            /// Who gets it.
            to: Account,
            /// How much.
            amount: Amount,
        },
        /// Destroys `amount` of the caller.
        Burn {
            /// How much.
            amount: Amount,
        },
        /// Moves `amount` from the caller to `to`.
        Transfer {
            /// Who gets it.
            to: Account,
            /// How much.
            amount: Amount,
        },
        /// Lets `spender` move up to `amount` of the caller; `"0"` takes that back. It replaces what
        /// was allowed before: to change it from one sum to another, go by way of zero.
        Approve {
            /// Who may.
            spender: Account,
            /// How much.
            amount: Amount,
        },
        /// Moves `amount` from `from` to `to`, of what `from` allowed the caller.
        TransferFrom {
            /// Who gives it.
            from: Account,
            /// Who gets it.
            to: Account,
            /// How much.
            amount: Amount,
        },
        /// Stops an account from giving anything, or lets it again. The owner's alone.
        Freeze {
            /// Which.
            account: Account,
            /// Whether it is frozen.
            frozen: bool,
        },
        /// Stops all transfers, or lets them go on. The owner's alone.
        Pause {
            /// Whether they are stopped.
            paused: bool,
        },
        /// Makes somebody else the owner. The owner's alone.
        SetOwner {
            /// Who.
            owner: Account,
        },
    }
}

methods! {
    /// Queries.
    pub enum Query {
        /// Name, symbol, decimals, owner, supply, and whether transfers are paused.
        Info,
        /// What an account holds.
        Balance {
            /// Which.
            account: Account,
        },
        /// What `spender` may move of `owner`.
        Allowance {
            /// Who allowed it.
            owner: Account,
            /// Whom.
            spender: Account,
        },
        /// Accounts that hold something, in order, with what they hold.
        Balances {
            /// Only those after this one.
            #[serde(default)]
            after: Option<Account>,
            /// At most so many; 500 at most.
            #[serde(default = "page::limit_max")]
            limit: u32,
        },
        /// Whom `owner` allowed to move something, in order, with how much.
        Allowances {
            /// Who allowed it.
            owner: Account,
            /// Only those after this one.
            #[serde(default)]
            after: Option<Account>,
            /// At most so many; 500 at most.
            #[serde(default = "page::limit_max")]
            limit: u32,
        },
    }
}

/// The contract.
pub struct Token;

impl Contract for Token {
    type Call = Call;
    type Query = Query;

    fn apply(call: Call) -> Result<Reply> {
        let caller = Account::of_caller();
        match call {
            Call::Init { name, symbol, decimals, supply } => {
                init(Record { name, symbol, decimals, owner: caller }, supply)
            }
            Call::Mint { to, amount } => {
                ledger::owned()?;
                ledger::mint(&to, amount)?;
                Event::Mint { to: &to, amount }.emit()
            }
            Call::Burn { amount } => {
                ledger::burn(&caller, amount)?;
                Event::Burn { from: &caller, amount }.emit()
            }
            Call::Transfer { to, amount } => {
                ledger::transfer(&caller, &to, amount)?;
                Event::Transfer { from: &caller, to: &to, amount, spender: None }.emit()
            }
            Call::Approve { spender, amount } => {
                ledger::approve(&caller, &spender, amount)?;
                Event::Approval { owner: &caller, spender: &spender, amount }.emit()
            }
            Call::TransferFrom { from, to, amount } => {
                ledger::spend(&from, &caller, amount)?;
                ledger::transfer(&from, &to, amount)?;
                Event::Transfer { from: &from, to: &to, amount, spender: Some(&caller) }.emit()
            }
            Call::Freeze { account, frozen } => {
                ledger::owned()?;
                ledger::freeze(&account, frozen)?;
                Event::Freeze { account: &account, frozen }.emit()
            }
            Call::Pause { paused } => {
                ledger::owned()?;
                ledger::pause(paused)?;
                Event::Pause { paused }.emit()
            }
            Call::SetOwner { owner } => {
                let token = Record { owner, ..ledger::owned()? };
                ledger::store(&token)?;
                Event::Owner { owner: &token.owner }.emit()
            }
        }
    }

    fn query(query: Query) -> Result<Reply> {
        match query {
            Query::Info => {
                let token = ledger::token()?;
                reply(Info { token, supply: ledger::supply()?, paused: ledger::is_paused()? })
            }
            Query::Balance { account } => reply(ledger::balance(&account)?),
            Query::Allowance { owner, spender } => reply(ledger::allowance(&owner, &spender)?),
            Query::Balances { after, limit } => {
                reply(Page::read(ledger::BALANCES, after.as_ref(), limit)?)
            }
            Query::Allowances { owner, after, limit } => {
                reply(Page::read(&ledger::allowances_of(&owner), after.as_ref(), limit)?)
            }
        }
    }
}

contract!(Token);

#[derive(Serialize)]
struct Info {
    #[serde(flatten)]
    token: Record,
    supply: Amount,
    paused: bool,
}

fn init(token: Record, supply: Amount) -> Result<Reply> {
    for (what, text) in [("name", &token.name), ("symbol", &token.symbol)] {
        let fits = !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX;
        ensure!(fits, "{what}: {} bytes, wants 1 to {NAME_BYTES_MAX}", text.len());
    }
    let decimals = token.decimals;
    ensure!(decimals <= DECIMALS_MAX, "decimals: {decimals}, wants at most {DECIMALS_MAX}");
    ledger::create(&token)?;
    ledger::mint(&token.owner, supply)?;
    Event::Mint { to: &token.owner, amount: supply }.emit()
}
