//! A ledger: accounts whose money nobody can create.
//!
//! An actor of it is one ledger. Its money is issued once, and from then on only moves:
//!
//! ```json
//! {"open": {"account": "alice"}}
//! {"issue": {"to": "alice", "amount": 1000}}
//! {"transfer": {"from": "alice", "to": "bob", "amount": 300}}
//! {"post": {"alice": -30, "bob": 20, "carol": 10}}
//! ```
//!
//! `post` is what bookkeepers do: changes of any accounts, all at once. That they balance is not for
//! `handle` to find out, which only adds. The state contract says what must be true of every ledger,
//! whatever the message was and whoever wrote the code that handled it: no balance is negative, and the
//! balances are together what was issued. `{"post": {"bob": 500}}` is refused by it, and so is a
//! transfer of more than there is.

use althing_sdk::{Actor, Error, Result, actor, data, ensure};
use std::collections::BTreeMap;

/// Money of a ledger: beyond it, JSON has not every integer.
const MONEY_MAX: i64 = 9_007_199_254_740_991;

data! {
    /// What a ledger is told.
    pub enum Message {
        /// A new account, with nothing in it.
        Open {
            #[schemars(length(min = 1, max = 64))]
            account: String,
        },
        /// All the money that this ledger will ever have.
        Issue {
            to: String,
            #[schemars(range(min = 1, max = MONEY_MAX))]
            amount: i64,
        },
        /// Money goes from one account to another.
        Transfer {
            from: String,
            to: String,
            #[schemars(range(min = 1, max = MONEY_MAX))]
            amount: i64,
        },
        /// By how much each of some accounts changes.
        Post(#[schemars(extend("minProperties" = 1, "maxProperties" = 100))] BTreeMap<String, i64>),
    }

    /// A ledger.
    #[derive(Default)]
    pub struct State {
        /// All its money; 0 until it is issued.
        #[schemars(range(min = 0, max = MONEY_MAX))]
        pub issued: i64,
        /// What is in which account.
        #[schemars(extend("maxProperties" = 10_000))]
        pub accounts: BTreeMap<String, i64>,
    }
}

/// The actor.
pub struct Ledger;

impl Actor for Ledger {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State::default()
    }

    fn handle(message: Message, mut state: State) -> Result<State> {
        match message {
            Message::Open { account } => {
                state.accounts.insert(account, 0);
            }
            Message::Issue { to, amount } => {
                state.issued = amount;
                add(&mut state, &to, amount)?;
            }
            Message::Transfer { from, to, amount } => {
                add(&mut state, &from, -amount)?;
                add(&mut state, &to, amount)?;
            }
            Message::Post(changes) => {
                for (account, change) in changes {
                    add(&mut state, &account, change)?;
                }
            }
        }
        Ok(state)
    }

    fn message_contract(message: &Message, state: &State) -> Result<()> {
        match message {
            Message::Open { account } => {
                ensure!(
                    !state.accounts.contains_key(account),
                    "account {account}: is open already"
                );
                Ok(())
            }
            Message::Issue { to, .. } => {
                ensure!(
                    state.issued == 0,
                    "{} were issued already, once and for all",
                    state.issued
                );
                balance(state, to).map(drop)
            }
            Message::Transfer { from, to, .. } => {
                balance(state, from)?;
                balance(state, to).map(drop)
            }
            Message::Post(changes) => {
                changes.keys().try_for_each(|account| balance(state, account).map(drop))
            }
        }
    }

    fn state_contract(state: &State) -> Result<()> {
        let mut sum = 0i128;
        for (account, balance) in &state.accounts {
            ensure!(*balance >= 0, "account {account}: {balance}, and no balance may be negative");
            sum += i128::from(*balance);
        }
        ensure!(
            sum == i128::from(state.issued),
            "money is not conserved: {sum} are in the accounts, {} were issued",
            state.issued
        );
        Ok(())
    }
}

actor!(Ledger);

fn balance(state: &State, account: &str) -> Result<i64> {
    state.accounts.get(account).copied().ok_or_else(|| no_account(account))
}

fn add(state: &mut State, account: &str, change: i64) -> Result<()> {
    let balance = state.accounts.get_mut(account).ok_or_else(|| no_account(account))?;
    // Too large for a ledger is not yet too large for an i64: the contract has the last word.
    *balance = balance.saturating_add(change);
    Ok(())
}

fn no_account(account: &str) -> Error {
    Error::new(format!("account {account}: there is none; open it"))
}
