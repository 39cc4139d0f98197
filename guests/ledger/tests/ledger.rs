//! What a ledger takes, and what it refuses.
#![allow(clippy::unwrap_used, missing_docs)]

use althing_sdk::{
    serde_json::{Value, json},
    testing::Stage,
};
use ledger::{Ledger, Message, State};
use proptest::prelude::*;

/// A ledger with 1,000 in it, all of it alice's.
fn bank() -> Stage {
    let mut stage = Stage::new();
    stage.spawn::<Ledger>("bank").unwrap();
    for account in ["alice", "bob"] {
        stage.send("bank", json!({"open": {"account": account}})).unwrap();
    }
    stage.send("bank", json!({"issue": {"to": "alice", "amount": 1000}})).unwrap();
    stage
}

#[test]
fn money_moves() {
    let mut stage = bank();
    let state =
        stage.send("bank", json!({"transfer": {"from": "alice", "to": "bob", "amount": 300}}));
    assert_eq!(state.unwrap(), json!({"issued": 1000, "accounts": {"alice": 700, "bob": 300}}));
    let state = stage.send("bank", json!({"post": {"bob": -100, "alice": 100}})).unwrap();
    assert_eq!(state["accounts"], json!({"alice": 800, "bob": 200}));
}

#[test]
fn what_would_create_or_lose_money_is_refused() {
    let mut stage = bank();
    let before = stage.state("bank");
    let state = "state contract refused the state that `handle` returned: ";
    let message = "message contract refused the message: ";
    for (sent, contract, reason) in [
        (json!({"post": {"bob": 500}}), state, "1500 are in the accounts, 1000 were issued"),
        (json!({"post": {"alice": -1}}), state, "999 are in the accounts"),
        (json!({"transfer": {"from": "bob", "to": "alice", "amount": 1}}), state, "bob: -1"),
        (json!({"post": {"alice": -1001, "bob": 1001}}), state, "alice: -1"),
        (json!({"post": {"alice": i64::pow(2, 53), "bob": 0}}), state, "not conserved"),
        (json!({"issue": {"to": "bob", "amount": 5}}), message, "1000 were issued already"),
        (json!({"transfer": {"from": "alice", "to": "bob", "amount": -5}}), message, "at least 1"),
        (
            json!({"transfer": {"from": "alice", "to": "eve", "amount": 5}}),
            message,
            "eve: there is",
        ),
        (json!({"post": {"eve": 0}}), message, "eve: there is none"),
        (json!({"post": {}}), message, "0 fields, wants at least 1"),
        (json!({"open": {"account": "bob"}}), message, "is open already"),
        (json!({"open": {"account": ""}}), message, "`open.account`: 0 characters"),
        (json!({"open": {"acount": "eve"}}), message, "unknown field `acount`"),
        (json!({"mint": {"amount": 5}}), message, "wants one of \"open\", \"issue\""),
        (json!(null), message, "wants one of"),
    ] {
        let error = stage.send("bank", &sent).unwrap_err();
        assert!(error.starts_with(&format!("bank: {contract}")), "{sent}: {error}");
        assert!(error.contains(reason), "{sent}: {error}");
    }
    assert_eq!(stage.state("bank"), before);
}

#[test]
fn nobody_issues_before_there_is_an_account() {
    let mut stage = Stage::new();
    assert_eq!(stage.spawn::<Ledger>("bank").unwrap(), json!({"issued": 0, "accounts": {}}));
    let error = stage.send("bank", json!({"issue": {"to": "alice", "amount": 5}})).unwrap_err();
    assert!(error.contains("account alice: there is none"), "{error}");
}

fn accounts() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["alice", "bob", "carol"]).prop_map(str::to_owned)
}

fn messages() -> impl Strategy<Value = Message> {
    let amount = -50..1500i64;
    let changes = prop::collection::btree_map(accounts(), -500..500i64, 0..3);
    prop_oneof![
        accounts().prop_map(|account| Message::Open { account }),
        (accounts(), amount.clone()).prop_map(|(to, amount)| Message::Issue { to, amount }),
        (accounts(), accounts(), amount).prop_map(|(from, to, amount)| Message::Transfer {
            from,
            to,
            amount
        }),
        changes.prop_map(Message::Post),
    ]
}

proptest! {
    #[test]
    fn no_messages_create_money(messages in prop::collection::vec(messages(), 0..40)) {
        let mut stage = bank();
        for message in messages {
            let _ = stage.send("bank", message);
            let state: Value = stage.state("bank");
            let state: State = althing_sdk::serde_json::from_value(state).unwrap();
            prop_assert_eq!(state.issued, 1000);
            prop_assert_eq!(state.accounts.values().sum::<i64>(), 1000);
            prop_assert!(state.accounts.values().all(|balance| *balance >= 0));
        }
    }
}
