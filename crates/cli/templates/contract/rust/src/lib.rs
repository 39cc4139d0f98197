//! A guest book: everybody signs, nobody removes what others wrote.
//!
//! ```text
//!   count            how many entries were ever written
//!   entry/NUMBER     an entry, as JSON; the number has ten digits, so that keys sort like numbers
//! ```

use althing_sdk::{
    Contract, Error, Reply, Result, context, contract, db, ensure, events, methods, reply,
};
use serde::{Deserialize, Serialize};

/// Characters of an entry.
const TEXT_CHARS_MAX: usize = 280;
/// Entries on a page.
const PAGE_MAX: u32 = 100;

methods! {
    /// Instructions: what changes the book.
    pub enum Call {
        /// Writes an entry, and replies with its number.
        Sign { text: String },
        /// Removes an entry. Only who wrote it may.
        Remove { number: u64 },
    }
}

methods! {
    /// Queries: what only reads it.
    pub enum Query {
        /// Entries in order, after the number `after`: at most `limit`, and at most 100.
        List {
            #[serde(default)]
            after: u64,
            #[serde(default = "page_max")]
            limit: u32,
        },
        /// How many entries were ever written.
        Count,
    }
}

fn page_max() -> u32 {
    PAGE_MAX
}

/// An entry as it is stored, and shown.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    number: u64,
    /// `key:HEX`, or `program:ID` when a program signed.
    by: String,
    text: String,
    time_us: u64,
}

/// The contract.
pub struct Guestbook;

impl Contract for Guestbook {
    type Call = Call;
    type Query = Query;

    fn apply(call: Call) -> Result<Reply> {
        match call {
            Call::Sign { text } => sign(text),
            Call::Remove { number } => remove(number),
        }
    }

    fn query(query: Query) -> Result<Reply> {
        match query {
            Query::List { after, limit } => list(after, limit.min(PAGE_MAX)),
            Query::Count => reply(count()?),
        }
    }
}

contract!(Guestbook);

fn sign(text: String) -> Result<Reply> {
    let text = text.trim();
    let chars = text.chars().count();
    ensure!(
        (1..=TEXT_CHARS_MAX).contains(&chars),
        "text: {chars} characters, wants 1 to {TEXT_CHARS_MAX}"
    );
    let number = count()? + 1;
    let entry = Entry {
        number,
        by: context::caller().to_string(),
        text: text.to_owned(),
        time_us: context::timestamp_us(),
    };
    db::put_json("count", &number)?;
    db::put_json(key(number), &entry)?;
    events::emit_json("guestbook.signed", &entry)?;
    reply(number)
}

fn remove(number: u64) -> Result<Reply> {
    let entry: Entry = db::get_json(key(number))?
        .ok_or_else(|| Error::new(format!("there is no entry {number}")))?;
    // Decide with the caller, never with the author: a program that the author called for another
    // purpose could act in the author's name otherwise.
    let caller = context::caller().to_string();
    ensure!(entry.by == caller, "entry {number} was written by {}, not by {caller}", entry.by);
    db::delete(key(number))?;
    reply(())
}

fn list(after: u64, limit: u32) -> Result<Reply> {
    let entries: Vec<Entry> = db::scan("entry/")
        .after(key(after))
        .page(limit)
        .take(limit as usize)
        .map(|pair| pair.and_then(|(key, value)| db::decode(&key, &value)))
        .collect::<Result<_>>()?;
    reply(entries)
}

fn count() -> Result<u64> {
    Ok(db::get_json("count")?.unwrap_or(0))
}

fn key(number: u64) -> String {
    format!("entry/{number:010}")
}

#[cfg(test)]
mod tests {
    use super::Guestbook;
    use althing_sdk::{serde_json::json, testing::Realm};

    #[test]
    fn entries_are_listed_in_order() {
        let mut realm = Realm::new();
        assert_eq!(realm.apply::<Guestbook>("sign", r#"{"text": " first "}"#).unwrap(), 1);
        assert_eq!(realm.apply::<Guestbook>("sign", r#"{"text": "second"}"#).unwrap(), 2);
        let list = realm.query::<Guestbook>("list", "").unwrap();
        assert_eq!((&list[0]["text"], &list[1]["text"]), (&json!("first"), &json!("second")));
        let rest = realm.query::<Guestbook>("list", r#"{"after": 1, "limit": 5}"#).unwrap();
        assert_eq!(rest[0]["number"], 2);
        assert_eq!(realm.events.len(), 2);
    }

    #[test]
    fn only_who_wrote_an_entry_removes_it() {
        let mut realm = Realm::new();
        realm.context.author = [1; 32];
        realm.apply::<Guestbook>("sign", r#"{"text": "mine"}"#).unwrap();
        realm.context.author = [2; 32];
        let error = realm.apply::<Guestbook>("remove", r#"{"number": 1}"#).unwrap_err();
        assert!(error.contains("was written by"), "{error}");
        realm.context.author = [1; 32];
        realm.apply::<Guestbook>("remove", r#"{"number": 1}"#).unwrap();
        assert_eq!(realm.query::<Guestbook>("list", "").unwrap(), json!([]));
        assert_eq!(realm.query::<Guestbook>("count", "").unwrap(), 1);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut realm = Realm::new();
        let long = json!({ "text": "x".repeat(281) }).to_string();
        for args in [r#"{"text": "  "}"#, r#"{"txet": "x"}"#, "{}", &long] {
            assert!(realm.apply::<Guestbook>("sign", args).is_err(), "{args}");
        }
        assert!(realm.db.is_empty() && realm.events.is_empty());
    }
}
