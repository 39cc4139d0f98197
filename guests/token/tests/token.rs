//! The token as its holders see it, natively.

#![allow(clippy::unwrap_used)]

use althing_sdk::{
    serde_json::{Value, json},
    testing::Realm,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use token::Token;

const OWNER: u8 = 1;
const ADA: u8 = 2;
const BOB: u8 = 3;

/// The account of the key that is all `who`.
fn account(who: u8) -> String {
    format!("key:{}", format!("{who:02x}").repeat(32))
}

fn call(realm: &mut Realm, who: u8, method: &str, args: Value) -> Result<Value, String> {
    realm.context.author = [who; 32];
    realm.context.caller = None;
    realm.apply::<Token>(method, &args.to_string())
}

fn balance(realm: &mut Realm, account: &str) -> u128 {
    let args = json!({ "account": account }).to_string();
    amount(&realm.query::<Token>("balance", &args).unwrap())
}

fn amount(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// A token of the owner, who has 1,000.
fn made() -> Realm {
    let mut realm = Realm::new();
    let args = json!({"name": "Penny", "symbol": "P", "decimals": 2, "supply": "1000"});
    call(&mut realm, OWNER, "init", args).unwrap();
    realm
}

/// The call fails, says `words`, and changes nothing.
fn refused(realm: &mut Realm, who: u8, method: &str, args: Value, words: &str) {
    let before = (realm.db.clone(), realm.events.len());
    let error = call(realm, who, method, args).unwrap_err();
    assert!(error.contains(words), "{method}: {error}");
    assert_eq!((realm.db.clone(), realm.events.len()), before);
}

#[test]
fn a_token_is_made_once() {
    let mut realm = made();
    let info = realm.query::<Token>("info", "").unwrap();
    let expected = json!({
        "name": "Penny", "symbol": "P", "decimals": 2, "owner": account(OWNER),
        "supply": "1000", "paused": false,
    });
    assert_eq!(info, expected);
    let again = json!({"name": "Mine", "symbol": "M", "supply": "9"});
    refused(&mut realm, ADA, "init", again, "works once");
    let mut realm = Realm::new();
    refused(&mut realm, OWNER, "init", json!({"name": " ", "symbol": "P"}), "name");
    refused(&mut realm, OWNER, "mint", json!({"to": account(ADA), "amount": "1"}), "no token yet");
}

#[test]
fn a_transfer_moves_what_is_there() {
    let mut realm = made();
    let to = |who, amount: &str| json!({"to": account(who), "amount": amount});
    call(&mut realm, OWNER, "transfer", to(ADA, "400")).unwrap();
    call(&mut realm, ADA, "transfer", to(BOB, "400")).unwrap();
    assert_eq!([OWNER, ADA, BOB].map(|who| balance(&mut realm, &account(who))), [600, 0, 400]);
    assert_eq!(realm.events.last().unwrap().0, "token.transfer");
    refused(&mut realm, BOB, "transfer", to(ADA, "401"), "has 400, which is less than 401");
    refused(&mut realm, ADA, "transfer", to(BOB, "1"), "has 0");
    refused(&mut realm, BOB, "transfer", to(BOB, "401"), "less than 401");
    call(&mut realm, BOB, "transfer", to(BOB, "400")).unwrap();
    assert_eq!(balance(&mut realm, &account(BOB)), 400);
    for amount in [json!(1), json!("-1"), json!("01"), json!("")] {
        refused(
            &mut realm,
            BOB,
            "transfer",
            json!({"to": account(ADA), "amount": amount}),
            "amount",
        );
    }
    refused(&mut realm, BOB, "transfer", json!({"to": "ada", "amount": "1"}), "account");
}

#[test]
fn an_allowance_is_spent_and_no_more() {
    let mut realm = made();
    let take = |amount: &str| json!({"from": account(OWNER), "to": account(BOB), "amount": amount});
    refused(&mut realm, ADA, "transfer_from", take("1"), "may spend 0");
    let approve = json!({"spender": account(ADA), "amount": "50"});
    call(&mut realm, OWNER, "approve", approve).unwrap();
    call(&mut realm, ADA, "transfer_from", take("30")).unwrap();
    refused(&mut realm, ADA, "transfer_from", take("30"), "may spend 20");
    refused(&mut realm, BOB, "transfer_from", take("1"), "may spend 0");
    let args = json!({"owner": account(OWNER), "spender": account(ADA)}).to_string();
    assert_eq!(realm.query::<Token>("allowance", &args).unwrap(), "20");
    call(&mut realm, OWNER, "approve", json!({"spender": account(ADA), "amount": "0"})).unwrap();
    refused(&mut realm, ADA, "transfer_from", take("1"), "may spend 0");
    assert!(!realm.db.keys().any(|key| key.starts_with(b"a/")), "nothing is kept of it");
}

#[test]
fn a_program_holds_tokens_and_its_author_does_not_move_them() {
    let mut realm = made();
    let shop = json!({"to": "program:shop", "amount": "100"});
    call(&mut realm, OWNER, "transfer", shop).unwrap();
    // The owner signs an instruction to the shop, which calls the token.
    realm.context.author = [OWNER; 32];
    realm.context.caller = Some("shop".into());
    let args = json!({"to": account(ADA), "amount": "40"}).to_string();
    realm.apply::<Token>("transfer", &args).unwrap();
    assert_eq!(balance(&mut realm, "program:shop"), 60);
    assert_eq!(balance(&mut realm, &account(OWNER)), 900);
    let args = json!({"to": account(ADA), "amount": "1"}).to_string();
    assert!(realm.apply::<Token>("mint", &args).unwrap_err().contains("is not the owner"));
}

#[test]
fn the_owner_freezes_and_pauses_and_nobody_else_does() {
    let mut realm = made();
    let to = |who, amount: &str| json!({"to": account(who), "amount": amount});
    call(&mut realm, OWNER, "transfer", to(ADA, "10")).unwrap();
    for (method, args) in [
        ("freeze", json!({"account": account(OWNER), "frozen": true})),
        ("pause", json!({"paused": true})),
        ("mint", to(ADA, "1")),
        ("set_owner", json!({"owner": account(ADA)})),
    ] {
        refused(&mut realm, ADA, method, args, "is not the owner");
    }
    let freeze = |frozen: bool| json!({"account": account(ADA), "frozen": frozen});
    call(&mut realm, OWNER, "freeze", freeze(true)).unwrap();
    refused(&mut realm, ADA, "transfer", to(BOB, "1"), "is frozen");
    refused(&mut realm, ADA, "burn", json!({"amount": "1"}), "is frozen");
    call(&mut realm, OWNER, "transfer", to(ADA, "1")).unwrap();
    call(&mut realm, OWNER, "freeze", freeze(false)).unwrap();
    call(&mut realm, ADA, "transfer", to(BOB, "1")).unwrap();
    call(&mut realm, OWNER, "pause", json!({"paused": true})).unwrap();
    refused(&mut realm, ADA, "transfer", to(BOB, "1"), "paused");
    call(&mut realm, OWNER, "pause", json!({"paused": false})).unwrap();
    call(&mut realm, OWNER, "set_owner", json!({"owner": account(ADA)})).unwrap();
    refused(&mut realm, OWNER, "mint", to(OWNER, "1"), "is not the owner");
    call(&mut realm, ADA, "mint", to(ADA, "1")).unwrap();
}

#[test]
fn there_is_no_more_than_can_be_counted() {
    let mut realm = made();
    let rest = (u128::MAX - 1000).to_string();
    refused(
        &mut realm,
        OWNER,
        "mint",
        json!({"to": account(ADA), "amount": u128::MAX.to_string()}),
        "more than there can be",
    );
    call(&mut realm, OWNER, "mint", json!({"to": account(ADA), "amount": rest})).unwrap();
    refused(
        &mut realm,
        OWNER,
        "mint",
        json!({"to": account(OWNER), "amount": "1"}),
        "more than there can be",
    );
    call(&mut realm, ADA, "transfer", json!({"to": account(OWNER), "amount": rest})).unwrap();
    assert_eq!(balance(&mut realm, &account(OWNER)), u128::MAX);
}

#[test]
fn balances_come_in_pages() {
    let mut realm = made();
    for who in 2..9 {
        call(&mut realm, OWNER, "transfer", json!({"to": account(who), "amount": "1"})).unwrap();
    }
    let mut seen = Vec::new();
    let mut args = json!({"limit": 3});
    loop {
        let page = realm.query::<Token>("balances", &args.to_string()).unwrap();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item[0].as_str().unwrap().to_owned()));
        args["after"] = items.last().unwrap()[0].clone();
        if page["more"] == false {
            break;
        }
        assert_eq!(items.len(), 3);
    }
    assert_eq!(seen, (1..9).map(account).collect::<Vec<_>>());
}

/// An instruction by one of four, with amounts around what they have.
fn instruction() -> impl Strategy<Value = (u8, &'static str, Value)> {
    let who = || 1_u8..5;
    let amount = || prop_oneof![0..200_u128, Just(u128::MAX), Just(u128::MAX - 1000)];
    (who(), who(), who(), amount(), 0..7_u8, any::<bool>()).prop_map(
        |(caller, a, b, amount, method, flag)| {
            let (a, b, amount) = (account(a), account(b), amount.to_string());
            let (method, args) = match method {
                0 => ("mint", json!({"to": a, "amount": amount})),
                1 => ("burn", json!({"amount": amount})),
                2 => ("transfer", json!({"to": a, "amount": amount})),
                3 => ("approve", json!({"spender": a, "amount": amount})),
                4 => ("transfer_from", json!({"from": a, "to": b, "amount": amount})),
                5 => ("freeze", json!({"account": a, "frozen": flag})),
                _ => ("pause", json!({"paused": flag && amount == "7"})),
            };
            (caller, method, args)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, the balances add up to the supply, which only `mint` raises and only `burn`
    /// lowers; a transfer changes two balances at most, by the amount.
    #[test]
    fn tokens_are_conserved(instructions in prop::collection::vec(instruction(), 1..60)) {
        let mut realm = made();
        let mut supply = 1000_u128;
        for (caller, method, args) in instructions {
            let before = balances(&mut realm);
            let done = call(&mut realm, caller, method, args.clone()).is_ok();
            let after = balances(&mut realm);
            let moved: u128 = args["amount"].as_str().map_or(0, |text| text.parse().unwrap());
            if done {
                supply = match method {
                    "mint" => supply + moved,
                    "burn" => supply - moved,
                    _ => supply,
                };
            } else {
                prop_assert_eq!(&before, &after);
            }
            prop_assert_eq!(after.values().sum::<u128>(), supply);
            let info = realm.query::<Token>("info", "").unwrap();
            prop_assert_eq!(amount(&info["supply"]), supply);
            let changes = changed(&before, &after);
            prop_assert!(changes.iter().all(|change| *change == moved));
            let most = match method { "transfer" | "transfer_from" => 2, "mint" | "burn" => 1, _ => 0 };
            prop_assert!(changes.len() <= most, "{} changed {:?}", method, changes);
        }
    }
}

fn balances(realm: &mut Realm) -> BTreeMap<String, u128> {
    let page = realm.query::<Token>("balances", "").unwrap();
    assert_eq!(page["more"], false);
    let rows = page["items"].as_array().unwrap().iter();
    rows.map(|row| (row[0].as_str().unwrap().to_owned(), amount(&row[1]))).collect()
}

/// By how much each balance changed that did.
fn changed(before: &BTreeMap<String, u128>, after: &BTreeMap<String, u128>) -> Vec<u128> {
    let of =
        |side: &BTreeMap<String, u128>, account: &String| side.get(account).copied().unwrap_or(0);
    let mut accounts: Vec<&String> = before.keys().chain(after.keys()).collect();
    accounts.sort();
    accounts.dedup();
    let changes = accounts.into_iter().map(|a| of(before, a).abs_diff(of(after, a)));
    changes.filter(|change| *change > 0).collect()
}
