//! Named counters: the smallest contract that is of use.
//!
//! A counter is a key with eight bytes, its value in little-endian order.

use althing_sdk::{Contract, Error, Reply, Result, contract, db, methods, reply};

/// Bytes of a counter's name.
const NAME_BYTES_MAX: usize = 256;
/// Counters on one page of `list`.
const LIST_MAX: u32 = 500;

methods! {
    /// Instructions. Each replies with the counter's new value.
    pub enum Call {
        /// Adds `by` to the counter `name`.
        Increment {
            /// The counter; `default` when left out.
            #[serde(default = "default_name")]
            name: String,
            /// How much; 1 when left out.
            #[serde(default = "one")]
            by: u64,
        },
        /// Sets the counter `name` to zero and forgets it.
        Reset {
            /// The counter; `default` when left out.
            #[serde(default = "default_name")]
            name: String,
        },
    }
}

methods! {
    /// Queries.
    pub enum Query {
        /// The value of the counter `name`; zero when nobody ever incremented it.
        Value {
            /// The counter; `default` when left out.
            #[serde(default = "default_name")]
            name: String,
        },
        /// Counters in the order of their names, as pairs of name and value.
        List {
            /// Only those after this name.
            #[serde(default)]
            after: Option<String>,
            /// At most so many; 500 at most.
            #[serde(default = "list_max")]
            limit: u32,
        },
    }
}

fn default_name() -> String {
    "default".into()
}

fn one() -> u64 {
    1
}

fn list_max() -> u32 {
    LIST_MAX
}

/// The contract.
pub struct Counter;

impl Contract for Counter {
    type Call = Call;
    type Query = Query;

    fn apply(call: Call) -> Result<Reply> {
        match call {
            Call::Increment { name, by } => {
                check(&name)?;
                let old = value(&name)?;
                let Some(new) = old.checked_add(by) else {
                    return Err(Error::new(format!("counter {name}: {old} + {by} is too large")));
                };
                db::put(&name, new.to_le_bytes())?;
                reply(new)
            }
            Call::Reset { name } => {
                check(&name)?;
                db::delete(&name)?;
                reply(0)
            }
        }
    }

    fn query(query: Query) -> Result<Reply> {
        match query {
            Query::Value { name } => {
                check(&name)?;
                reply(value(&name)?)
            }
            Query::List { after, limit } => {
                let limit = limit.min(LIST_MAX);
                let mut scan = db::scan("").page(limit);
                if let Some(after) = after {
                    scan = scan.after(after);
                }
                let counters: Vec<(String, u64)> = scan
                    .take(limit as usize)
                    .map(|pair| pair.and_then(|(key, value)| Ok((text(key)?, decode(&value)?))))
                    .collect::<Result<_>>()?;
                reply(counters)
            }
        }
    }
}

contract!(Counter);

fn check(name: &str) -> Result<()> {
    althing_sdk::ensure!(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX,
        "name of the counter: {} bytes, wants 1 to {NAME_BYTES_MAX}",
        name.len()
    );
    Ok(())
}

fn value(name: &str) -> Result<u64> {
    db::get(name)?.map_or(Ok(0), |bytes| decode(&bytes))
}

fn decode(bytes: &[u8]) -> Result<u64> {
    let bytes = bytes.try_into().map_err(|_| "a counter in the state has not eight bytes")?;
    Ok(u64::from_le_bytes(bytes))
}

fn text(key: Vec<u8>) -> Result<String> {
    String::from_utf8(key).map_err(|_| "a counter in the state has a name that is no text".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Counter;
    use althing_sdk::{serde_json::json, testing::Realm};

    #[test]
    fn counters_count_apart() {
        let mut realm = Realm::new();
        assert_eq!(realm.query::<Counter>("value", "").unwrap(), 0);
        assert_eq!(realm.apply::<Counter>("increment", "").unwrap(), 1);
        assert_eq!(realm.apply::<Counter>("increment", r#"{"by":4}"#).unwrap(), 5);
        assert_eq!(realm.apply::<Counter>("increment", r#"{"name":"b","by":2}"#).unwrap(), 2);
        assert_eq!(
            realm.query::<Counter>("list", r#"{"limit":9}"#).unwrap(),
            json!([["b", 2], ["default", 5]])
        );
        assert_eq!(
            realm.query::<Counter>("list", r#"{"after":"b"}"#).unwrap(),
            json!([["default", 5]])
        );
        assert_eq!(realm.apply::<Counter>("reset", "").unwrap(), 0);
        assert_eq!(realm.query::<Counter>("value", "").unwrap(), 0);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut realm = Realm::new();
        realm.apply::<Counter>("increment", &format!(r#"{{"by":{}}}"#, u64::MAX)).unwrap();
        let before = realm.db.clone();
        let error = realm.apply::<Counter>("increment", "").unwrap_err();
        assert!(error.contains("too large"), "{error}");
        assert!(realm.apply::<Counter>("increment", r#"{"name":""}"#).is_err());
        assert!(realm.apply::<Counter>("increment", r#"{"buy":1}"#).unwrap_err().contains("`buy`"));
        assert!(realm.apply::<Counter>("decrement", "").unwrap_err().contains("unknown method"));
        assert_eq!(realm.db, before);
    }
}
