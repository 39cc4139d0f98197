//! The test realm: the rules of a real one, in memory.
#![allow(clippy::unwrap_used)]

use althing_sdk::{
    Contract, Kind, Migrate, Reply, Result, bail, context, contract, crypto, db, ensure, events,
    methods, programs, reply, testing::Realm,
};

methods! {
    enum BankCall {
        Pay { amount: u64 },
        Greedy,
        Again,
    }
}

methods! {
    enum BankQuery {
        Total,
        Sneaky,
    }
}

/// Takes payments from programs only.
struct Bank;

impl Contract for Bank {
    type Call = BankCall;
    type Query = BankQuery;

    fn apply(call: BankCall) -> Result<Reply> {
        match call {
            BankCall::Pay { amount } => {
                let context::Caller::Program(payer) = context::caller() else {
                    bail!("programs pay, keys do not");
                };
                let total = db::get_json::<u64>(&payer)?.unwrap_or(0) + amount;
                db::put_json(&payer, &total)?;
                events::emit("paid", payer)?;
                ensure!(amount < 100, "{amount} is too much");
                reply(total)
            }
            BankCall::Greedy => reply(programs::call_json::<u64>("shop", "buy", &())?),
            BankCall::Again => reply(programs::call_json::<u64>("bank", "again", &())?),
        }
    }

    fn query(query: BankQuery) -> Result<Reply> {
        match query {
            BankQuery::Total => reply(db::scan("").count()),
            BankQuery::Sneaky => reply(programs::call_json::<u64>("shop", "buy", &())?),
        }
    }
}

methods! {
    enum Call {
        Buy { amount: u64 },
        Try { amount: u64 },
        Fill,
        Clear { limit: u32 },
        Reach { method: String },
    }
}

methods! {
    enum Query {
        Banked,
        Keys { rev: bool, after: Option<String>, before: Option<String> },
        Sneaky,
    }
}

struct Shop;

impl Contract for Shop {
    type Call = Call;
    type Query = Query;

    fn apply(call: Call) -> Result<Reply> {
        let pay = |amount: u64| programs::call("bank", "pay", format!("{{\"amount\":{amount}}}"));
        match call {
            Call::Buy { amount } => Ok(Reply::raw(pay(amount)?)),
            Call::Try { amount } => {
                db::put("tried", "yes")?;
                match pay(amount) {
                    Ok(_) => reply("paid"),
                    Err(error) => {
                        ensure!(error.kind() == Kind::GuestFailed, "{:?}", error.kind());
                        reply(error.message())
                    }
                }
            }
            Call::Fill => {
                for key in ["a/1", "a/2", "a/3", "b/1"] {
                    db::put(key, key)?;
                }
                reply(())
            }
            Call::Clear { limit } => {
                let deleted = db::delete_prefix("a/", limit)?;
                reply((deleted.keys, deleted.more))
            }
            Call::Reach { method } => reply(programs::call_json::<u64>("bank", &method, &())?),
        }
    }

    fn query(query: Query) -> Result<Reply> {
        match query {
            Query::Banked => reply(programs::query_json::<u64>("bank", "total", &())?),
            Query::Sneaky => reply(programs::query_json::<u64>("bank", "sneaky", &())?),
            Query::Keys { rev, after, before } => {
                let mut scan = db::scan("a/").page(1);
                scan = if rev { scan.rev() } else { scan };
                scan = after.into_iter().fold(scan, |scan, key| scan.after(key));
                scan = before.into_iter().fold(scan, |scan, key| scan.before(key));
                let keys = scan.map(|pair| Ok(String::from_utf8_lossy(&pair?.0).into_owned()));
                reply(keys.collect::<Result<Vec<_>>>()?)
            }
        }
    }
}

impl Migrate for Shop {
    fn migrate(from_version: &str) -> Result<()> {
        ensure!(from_version != "0", "version 0 is too old");
        db::put("migrated", from_version)?;
        programs::query("bank", "total", "")?;
        let refused = programs::call("bank", "pay", r#"{"amount":1}"#).unwrap_err();
        ensure!(refused.kind() == Kind::Denied, "{refused}");
        Ok(())
    }
}

contract!(Shop, migrate);

fn realm() -> Realm {
    let mut realm = Realm::new();
    realm.context.program = "shop".into();
    realm.register::<Bank>("bank");
    realm
}

#[test]
fn a_call_writes_in_the_keyspace_of_the_callee() {
    let mut realm = realm();
    assert_eq!(realm.apply::<Shop>("buy", r#"{"amount":5}"#).unwrap(), 5);
    assert_eq!(realm.apply::<Shop>("buy", r#"{"amount":7}"#).unwrap(), 12);
    assert_eq!(realm.db_of("bank")["shop".as_bytes()], b"12");
    assert!(realm.db.is_empty());
    assert_eq!(realm.events.len(), 2);
    assert_eq!(realm.query::<Shop>("banked", "{}").unwrap(), 1);
}

#[test]
fn what_fails_is_undone_and_the_rest_stays() {
    let mut realm = realm();
    let said = realm.apply::<Shop>("try", r#"{"amount":100}"#).unwrap();
    assert_eq!(said, "bank: 100 is too much");
    assert!(realm.db_of("bank").is_empty() && realm.events.is_empty());
    assert_eq!(realm.db["tried".as_bytes()], b"yes");
    // A caller that fails undoes what its callee did.
    let mut realm = self::realm();
    realm.apply::<Shop>("buy", r#"{"amount":500}"#).unwrap_err();
    assert!(realm.db_of("bank").is_empty());
}

#[test]
fn nobody_is_entered_twice() {
    let mut realm = realm();
    for method in ["greedy", "again"] {
        let args = format!(r#"{{"method":"{method}"}}"#);
        let error = realm.apply::<Shop>("reach", &args).unwrap_err();
        assert!(error.contains("cannot be entered again"), "{error}");
    }
    let error = realm.query::<Shop>("sneaky", "{}").unwrap_err();
    assert!(error.contains("may only query"), "{error}");
}

#[test]
fn scans_go_both_ways() {
    let mut realm = realm();
    realm.apply::<Shop>("fill", "").unwrap();
    let keys = |realm: &mut Realm, args: &str| realm.query::<Shop>("keys", args).unwrap();
    assert_eq!(keys(&mut realm, r#"{"rev":false}"#), serde_json::json!(["a/1", "a/2", "a/3"]));
    assert_eq!(keys(&mut realm, r#"{"rev":true}"#), serde_json::json!(["a/3", "a/2", "a/1"]));
    let inner = r#"{"rev":true,"after":"a/1","before":"a/3"}"#;
    assert_eq!(keys(&mut realm, inner), serde_json::json!(["a/2"]));
    let clear = r#"{"limit":2}"#;
    assert_eq!(realm.apply::<Shop>("clear", clear).unwrap(), serde_json::json!([2, true]));
    assert_eq!(realm.apply::<Shop>("clear", clear).unwrap(), serde_json::json!([1, false]));
    assert_eq!(realm.db.len(), 1);
}

#[test]
fn a_migration_may_write_and_query() {
    let mut realm = realm();
    realm.migrate::<Shop>("1.1").unwrap();
    assert_eq!(realm.db["migrated".as_bytes()], b"1.1");
    assert!(realm.migrate::<Shop>("0").unwrap_err().contains("too old"));
}

#[test]
fn hashes_and_signatures_are_the_real_ones() {
    let key = ed25519_zebra::SigningKey::from([3; 32]);
    let public: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&key).into();
    let signature: [u8; 64] = key.sign(b"message").into();
    assert!(crypto::verify(public, "message", signature));
    assert!(!crypto::verify(public, "another", signature));
    assert!(!crypto::verify("short", "message", signature));
    assert_eq!(crypto::blake3("x"), *blake3::hash(b"x").as_bytes());
    assert_eq!(crypto::sha256("")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
}
