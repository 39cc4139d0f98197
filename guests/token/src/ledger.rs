//! What is stored, and the rules that keep it whole.
//!
//! ```text
//!   token                      name, symbol, decimals and owner, as JSON; written by `init`
//!   supply                     the sum of all balances
//!   paused                     there while nothing may be transferred
//!   b/ACCOUNT                  a balance; none is zero
//!   f/ACCOUNT                  there while the account is frozen
//!   a/ACCOUNT/ACCOUNT          what the second may spend of the first; none is zero
//! ```

use crate::{Account, Amount};
use althing_sdk::{Error, Result, db, ensure};
use serde::{Deserialize, Serialize};

const TOKEN: &str = "token";
const SUPPLY: &str = "supply";
const PAUSED: &str = "paused";
/// Where the balances are.
pub(crate) const BALANCES: &str = "b/";

/// What the token is, and whose.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    pub(crate) owner: Account,
}

/// The token.
///
/// # Errors
/// When `init` was not called.
pub(crate) fn token() -> Result<Token> {
    db::get_json(TOKEN)?.ok_or_else(|| Error::new("there is no token yet: call `init`"))
}

/// Makes the token.
///
/// # Errors
/// When there is one.
pub(crate) fn create(token: &Token) -> Result<()> {
    ensure!(db::get(TOKEN)?.is_none(), "the token was made already; `init` works once");
    db::put_json(TOKEN, token)
}

/// Writes a token that changed.
pub(crate) fn store(token: &Token) -> Result<()> {
    db::put_json(TOKEN, token)
}

/// The token, for its owner alone.
///
/// # Errors
/// When somebody else calls.
pub(crate) fn owned() -> Result<Token> {
    let token = token()?;
    let caller = Account::of_caller();
    ensure!(caller == token.owner, "{caller} is not the owner, who is {}", token.owner);
    Ok(token)
}

/// Moves `amount`, in the name of whoever may.
///
/// # Errors
/// When the token is paused, `from` is frozen, or has not enough.
pub(crate) fn transfer(from: &Account, to: &Account, amount: Amount) -> Result<()> {
    ensure!(!is_paused()?, "transfers are paused by the owner of the token");
    ensure!(!is_frozen(from)?, "{from} is frozen by the owner of the token");
    let left = debited(from, amount)?;
    // Otherwise the second of the two writes below would undo the first.
    if from == to {
        return Ok(());
    }
    // Cannot be too much: no balance exceeds the supply, which is an amount.
    let Some(raised) = balance(to)?.plus(amount) else {
        return Err(Error::new("the balances do not add up to the supply"));
    };
    put(&balance_key(from), left)?;
    put(&balance_key(to), raised)
}

/// Makes `amount` for `to`.
///
/// # Errors
/// When there would be more than an amount can say.
pub(crate) fn mint(to: &Account, amount: Amount) -> Result<()> {
    let supply = supply()?;
    let Some(raised) = supply.plus(amount) else {
        return Err(Error::new(format!(
            "{supply} + {amount} is more than there can be of one token: {}",
            u128::MAX
        )));
    };
    let Some(balance) = balance(to)?.plus(amount) else {
        return Err(Error::new("the balances do not add up to the supply"));
    };
    put(SUPPLY, raised)?;
    put(&balance_key(to), balance)
}

/// Destroys `amount` of `from`.
///
/// # Errors
/// When it has not enough, or is frozen.
pub(crate) fn burn(from: &Account, amount: Amount) -> Result<()> {
    ensure!(!is_paused()?, "transfers are paused by the owner of the token");
    ensure!(!is_frozen(from)?, "{from} is frozen by the owner of the token");
    let left = debited(from, amount)?;
    let Some(supply) = supply()?.minus(amount) else {
        return Err(Error::new("the balances do not add up to the supply"));
    };
    put(SUPPLY, supply)?;
    put(&balance_key(from), left)
}

/// Takes `amount` from what `spender` may spend of `owner`.
///
/// # Errors
/// When that is not enough.
pub(crate) fn spend(owner: &Account, spender: &Account, amount: Amount) -> Result<()> {
    let allowed = allowance(owner, spender)?;
    let Some(left) = allowed.minus(amount) else {
        return Err(Error::new(format!(
            "{spender} may spend {allowed} of {owner}, not {amount}; `approve` raises it"
        )));
    };
    approve(owner, spender, left)
}

/// Sets what `spender` may spend of `owner`.
pub(crate) fn approve(owner: &Account, spender: &Account, amount: Amount) -> Result<()> {
    put(&allowance_key(owner, spender), amount)
}

/// What `spender` may spend of `owner`.
pub(crate) fn allowance(owner: &Account, spender: &Account) -> Result<Amount> {
    get(&allowance_key(owner, spender))
}

/// Where the allowances that `owner` gave are.
pub(crate) fn allowances_of(owner: &Account) -> String {
    format!("a/{owner}/")
}

pub(crate) fn balance(account: &Account) -> Result<Amount> {
    get(&balance_key(account))
}

pub(crate) fn supply() -> Result<Amount> {
    get(SUPPLY)
}

pub(crate) fn is_paused() -> Result<bool> {
    Ok(db::get(PAUSED)?.is_some())
}

pub(crate) fn pause(on: bool) -> Result<()> {
    mark(PAUSED, on)
}

pub(crate) fn is_frozen(account: &Account) -> Result<bool> {
    Ok(db::get(frozen_key(account))?.is_some())
}

pub(crate) fn freeze(account: &Account, on: bool) -> Result<()> {
    mark(&frozen_key(account), on)
}

/// What is left of the balance of `from` without `amount`.
fn debited(from: &Account, amount: Amount) -> Result<Amount> {
    let balance = balance(from)?;
    balance
        .minus(amount)
        .ok_or_else(|| Error::new(format!("{from} has {balance}, which is less than {amount}")))
}

fn balance_key(account: &Account) -> String {
    format!("{BALANCES}{account}")
}

fn frozen_key(account: &Account) -> String {
    format!("f/{account}")
}

fn allowance_key(owner: &Account, spender: &Account) -> String {
    format!("a/{owner}/{spender}")
}

fn get(key: &str) -> Result<Amount> {
    db::get(key)?.map_or(Ok(Amount::ZERO), |bytes| Amount::from_bytes(&bytes))
}

/// Writes an amount; zero is no key, so that the state holds nothing of who has nothing.
fn put(key: &str, amount: Amount) -> Result<()> {
    if amount == Amount::ZERO {
        return db::delete(key).map(drop);
    }
    db::put(key, amount.to_bytes())
}

fn mark(key: &str, on: bool) -> Result<()> {
    if on { db::put(key, [1]) } else { db::delete(key).map(drop) }
}
