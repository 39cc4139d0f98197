//! The life of actors, as a user leads it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

#[path = "../../machine/tests/common/account.rs"]
mod account;
mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;

use common::{Running, User};
use serde_json::{Value, json};
use std::fs;

/// Puts version `version` of the program `bank` into the user's home.
fn build(user: &User, version: &str, component: &[u8]) -> String {
    fs::write(user.path("bank.wasm"), component).unwrap();
    let manifest = format!("name = \"bank\"\nversion = \"{version}\"\n");
    fs::write(user.path("bank.toml"), manifest).unwrap();
    user.path("bank.wasm").display().to_string()
}

/// A node with two accounts, each of which begins with 100.
fn bank(user: &User) -> Running {
    let node = user.up();
    let deployed = user.json(&["deploy", &build(user, "0.1.0", &account::account())]);
    assert_eq!((&deployed["state"], &deployed["migrated"]), (&json!("activated"), &json!(0)));
    for actor in ["bank/alice", "bank/bob"] {
        let spawned = user.json(&["actor", "spawn", actor, "bank"]);
        assert_eq!((&spawned["step"], &spawned["status"]), (&json!(1), &json!("running")));
    }
    node
}

fn state(user: &User, actor: &str) -> String {
    user.says(&["actor", "state", actor])
}

#[test]
fn from_spawn_to_remove() {
    let user = User::new();
    let _node = bank(&user);
    assert_eq!(user.says(&["actor", "request", "bank/alice", "\"+5\""]), "105");
    let replied = user.json(&["actor", "request", "bank/alice", "\"-7 bank/bob\""]);
    assert_eq!((&replied["step"], &replied["state"]), (&json!(3), &json!(98)));
    assert_eq!(replied["sends"][0]["to"], "bank/bob");
    assert_eq!(replied["sends"][0]["message"], "+7");
    assert_eq!(state(&user, "bank/bob"), "107", "delivered in the same entry");

    // What a contract refuses changes nothing.
    for (message, code, words) in [
        ("\"?\"", 7, "message contract refused the message: what is that?"),
        ("\"-900 bank/bob\"", 7, "not enough"),
        ("\"#\"", 7, "state contract refused the state"),
        ("\"{\"", 8, "`handle`"),
        ("\"l\"", 6, "fuel"),
    ] {
        let (got, _, text) = user.fails(&["actor", "request", "bank/alice", message]);
        assert_eq!(got, code, "{text}");
        assert!(text.contains("bank/alice") && text.contains(words), "{text}");
    }
    assert_eq!(state(&user, "bank/alice"), "98");

    // A message that nobody waits for leaves a step and a letter.
    user.says(&["actor", "send", "bank/alice", "\"#\""]);
    let letters = user.json(&["actor", "letters", "bank/alice"]);
    let letter = &letters["letters"][0];
    assert_eq!(
        (&letter["message"], &letter["failure"]["kind"]),
        (&json!("#"), &json!("contract-violation"))
    );
    let number = letter["letter"].to_string();
    user.says(&["actor", "retry", "bank/alice", &number]);
    let letters = user.json(&["actor", "letters"]);
    assert_eq!(letters["letters"].as_array().unwrap().len(), 1, "it came back: {letters}");
    assert_eq!(user.json(&["actor", "letters", "bank/bob"])["letters"], json!([]));

    let history = user.json(&["actor", "history", "bank/alice"]);
    let kinds: Vec<_> =
        history["steps"].as_array().unwrap().iter().map(|step| &step["kind"]).collect();
    assert_eq!(kinds, ["begun", "message", "message", "message", "message"]);
    let refused = &history["steps"][3];
    assert_eq!(refused["before"], refused["after"]);
    let page = user.json(&["actor", "history", "bank/alice", "--after", "1", "--limit", "2"]);
    assert_eq!((&page["steps"][0]["step"], &page["more"]), (&json!(2), &json!(true)));
    assert!(user.says(&["actor", "history", "bank/alice"]).contains("state contract refused"));

    let dry = user.json(&["actor", "rollback", "bank/alice", "--to", "2", "--dry-run"]);
    assert_eq!((&dry["now"], &dry["then"], &dry["undone"]), (&json!(98), &json!(105), &json!(3)));
    user.says(&["actor", "rollback", "bank/alice", "--to", "2"]);
    assert_eq!(state(&user, "bank/alice"), "105");
    assert_eq!(user.says(&["actor", "state", "bank/alice", "--step", "3"]), "98", "both branches");
    let replayed = user.json(&["actor", "replay", "bank/alice"]);
    assert_eq!((&replayed["agrees"], &replayed["steps"]), (&json!(true), &json!(6)));
    let listed = user.json(&["actor", "list", "bank", "--under", "bank/alice"]);
    assert_eq!(replayed["chain"], listed["actors"][0]["chain"]);
    let then = user.json(&["actor", "replay", "bank/alice", "--from", "2", "--to", "3"]);
    assert_eq!((&then["steps"], &then["state"]), (&json!(2), &json!(98)));

    let told = user.says(&["actor", "describe", "bank"]);
    assert_eq!(told, "bank: does not describe its messages and states");
    let status = &user.json(&["status"])["actors"];
    assert_eq!((&status["total"], &status["letters"]), (&json!(2), &json!(1)));
    assert!(user.says(&["status"]).contains("2; 0 messages wait, 1 dead letters, 0 timers"));

    let (code, kind, text) = user.fails(&["actor", "remove", "bank/alice", "--yes"]);
    assert_eq!((code, kind.as_str()), (5, "conflict"), "{text}");
    user.says(&["actor", "stop", "bank/alice"]);
    assert_eq!(user.fails(&["actor", "send", "bank/alice", "1"]).0, 5);
    let dry = user.says(&["actor", "remove", "bank/alice", "--dry-run"]);
    assert!(dry.contains("6 steps"), "{dry}");
    assert_eq!(user.fails(&["actor", "remove", "bank/alice"]).0, 2, "nobody was asked");
    user.says(&["actor", "remove", "bank/alice", "--yes"]);
    assert_eq!(user.fails(&["actor", "state", "bank/alice"]).0, 3);
    let listed = user.json(&["actor", "list"]);
    assert_eq!((listed["actors"].as_array().unwrap().len(), &listed["more"]), (1, &json!(false)));
    assert_eq!(user.json(&["log", "verify"])["agrees"], true);
}

#[test]
fn a_state_that_is_not_kept_comes_out_of_the_history() {
    let user = User::new();
    let _node = bank(&user);
    user.says(&["actor", "send", "bank/alice", "\"*40 bank/bob\""]);
    assert_eq!(state(&user, "bank/bob"), "140");
    let (code, _, text) = user.fails(&["actor", "state", "bank/bob", "--step", "1"]);
    assert!(code == 3 && text.contains("althing actor replay bank/bob --from 1 --to 1"), "{text}");
    assert!(user.says(&["actor", "replay", "bank/bob", "--to", "1"]).ends_with("\n100"));
    let replayed = user.json(&["actor", "replay", "bank/bob", "--from", "3"]);
    assert_eq!((&replayed["steps"], &replayed["last"]), (&json!(39), &json!(41)));
    assert!(replayed["chain"].is_string(), "{replayed}");
    let part = user.says(&["actor", "replay", "bank/bob", "--from", "3", "--to", "3"]);
    assert_eq!(part, "bank/bob: 1 step replayed, every hash agrees\n102");
    let part = user.json(&["actor", "replay", "bank/bob", "--to", "3"]);
    assert!(part.get("chain").is_none(), "{part}");
    let (code, _, text) = user.fails(&["actor", "replay", "bank/bob", "--from", "50"]);
    assert!(code == 3 && text.contains("step 50"), "{text}");
    let rolled = user.json(&["actor", "rollback", "bank/bob", "--to", "1"]);
    assert_eq!((&rolled["step"], &rolled["state_step"]), (&json!(42), &json!(42)));
    assert_eq!(state(&user, "bank/bob"), "100");
    assert_eq!(user.json(&["actor", "replay", "bank/bob"])["agrees"], true);
    assert_eq!(user.fails(&["actor", "rollback", "bank/bob", "--to", "99"]).0, 3);
}

#[test]
fn what_actors_log_is_told_by_actor_and_by_program() {
    let user = User::new();
    let _node = bank(&user);
    user.says(&["actor", "request", "bank/alice", "\"ohello\""]);
    user.says(&["actor", "request", "bank/bob", "\"ogood bye\""]);
    let own = user.says(&["logs", "bank/alice"]);
    assert!(own.contains("info") && own.ends_with("hello") && own.lines().count() == 1, "{own}");
    let all = user.says(&["logs", "bank"]);
    assert!(all.contains("bank/alice: hello") && all.contains("bank/bob: good bye"), "{all}");
    assert_eq!(user.fails(&["logs", "bank/nobody"]).0, 3);

    let last = user.json(&["status"])["index"].to_string();
    let shown = user.json(&["log", "show", &last]);
    let args = json!({"actor": "bank/bob", "message": "ogood bye"});
    assert_eq!(shown["instructions"][0]["args"], args);
    assert_eq!(shown["instructions"][0]["outcome"]["output"]["step"]["step"], 2);
    user.says(&["actor", "send", "bank/alice", "\"-1 bank/nobody\""]);
    let last = user.json(&["status"])["index"].to_string();
    let told = user.says(&["explain", &last]);
    for words in ["delivered to actors", "bank/alice  step 3", "the one that the node recorded"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn messages_are_json_and_nothing_else() {
    let user = User::new();
    let _node = bank(&user);
    for (message, words) in [
        ("hello", "a text needs quotes"),
        ("{\"a\": 1, \"a\": 2}", "key \"a\" twice"),
        ("NaN", "not JSON: expected"),
        ("9007199254740993", "no double is exactly that"),
        ("\"\\ud800\"", "surrogate"),
        (&format!("{}1{}", "[".repeat(65), "]".repeat(65)), "levels"),
        (&format!("\"{}\"", "x".repeat(70_000)), "the limit of 65536 bytes"),
    ] {
        for command in ["send", "request"] {
            let (code, _, text) = user.fails(&["actor", command, "bank/alice", message]);
            assert!(code == 2 && text.contains(words), "{words}: {text}");
        }
    }
    let ran = user.run_with(&["actor", "request", "bank/alice", "@-"], b" \"+1\" ");
    assert_eq!((ran.code, ran.out.trim()), (0, "101"), "{ran:?}");
    for (args, code, words) in [
        (["actor", "spawn", "bank//x", "bank"], 2, "not an actor id"),
        (["actor", "spawn", "bank/x", "nothing"], 3, "nothing"),
        (["actor", "spawn", "bank/alice", "bank"], 5, "bank/alice"),
        (["actor", "request", "bank/nobody", "1"], 3, "bank/nobody"),
        (["call", "bank", "handle", "1"], 2, "althing actor send"),
        (["query", "bank", "state", "1"], 2, "althing actor"),
    ] {
        let (got, _, text) = user.fails(&args);
        assert!(got == code && text.contains(words), "{args:?}: {got} {text}");
    }
    let (code, _, text) = user.fails(&["actor", "send-every", "bank/bob", "t", "1ms", "1"]);
    assert!(code == 2 && text.contains("period_us"), "{text}");
}

#[test]
fn timers_and_subscriptions_are_set_listed_and_ended() {
    let user = User::new();
    let _node = bank(&user);
    user.says(&["actor", "send-at", "bank/bob", "late", "2100-01-01T00:00:00Z", "\"+1\""]);
    user.says(&["actor", "send-every", "bank/bob", "interest", "12h", "\"+1\""]);
    let timers = user.json(&["actor", "timers", "bank/bob"]);
    let names: Vec<_> = timers["timers"].as_array().unwrap().iter().map(|t| &t["timer"]).collect();
    assert_eq!(names, ["interest", "late"]);
    assert_eq!(timers["timers"][0]["period_us"], 43_200_000_000_u64);
    let told = user.says(&["actor", "timers", "bank/bob"]);
    assert!(told.contains("2100-01-01T00:00:00") && told.contains("12h"), "{told}");
    user.says(&["actor", "cancel", "bank/bob", "late"]);
    assert_eq!(user.json(&["actor", "timers", "bank/bob"])["timers"].as_array().unwrap().len(), 1);
    assert_eq!(user.fails(&["actor", "cancel", "bank/bob", "late"]).0, 3);

    user.says(&["actor", "subscribe", "bank/bob", "--keys", "/rates"]);
    let heard = user.json(&["actor", "subscriptions", "bank/bob"]);
    let heard = &heard["subscriptions"][0];
    assert_eq!((&heard["topic"], &heard["prefix"]), (&json!("kv"), &json!("/rates")));
    user.says(&["actor", "unsubscribe", "bank/bob", "--keys", "/rates"]);
    assert_eq!(user.json(&["actor", "subscriptions", "bank/bob"])["subscriptions"], json!([]));
}

#[test]
fn an_upgrade_is_waited_for_and_one_that_fails_says_why() {
    let user = User::new();
    let _node = bank(&user);
    user.says(&["actor", "request", "bank/bob", "\"+5\""]);
    let shown = user.says(&["programs", "bank"]);
    assert!(shown.contains("actors") && user.says(&["programs"]).contains("actor"), "{shown}");

    // The state contract of this one refuses what bob has.
    let file = build(&user, "0.2.0", &account::refusing(105));
    let (code, kind, text) = user.fails(&["actor", "upgrade", &file]);
    assert_eq!((code, kind.as_str()), (7, "contract-violation"), "{text}");
    for words in ["discarded in entry", "bank/bob", "not that number", "the version before runs on"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(state(&user, "bank/bob"), "105");
    assert!(user.says(&["programs", "bank"]).contains("discarded"));

    let file = build(&user, "0.3.0", &account::refusing(999));
    let upgraded = user.json(&["upgrade", &file]);
    assert_eq!((&upgraded["state"], &upgraded["migrated"]), (&json!("activated"), &json!(2)));
    let programs = user.json(&["programs", "bank"]);
    assert_eq!(upgraded["index"], programs["active"]["activated_index"], "{programs}");
    assert!(upgraded["begun"].as_u64() < upgraded["index"].as_u64(), "{upgraded}");
    assert_eq!(user.json(&["programs", "bank"])["active"]["version"], "0.3.0");
    let (code, _, text) = user.fails(&["actor", "request", "bank/bob", "\"+894\""]);
    assert!(code == 7 && text.contains("not that number"), "{text}");
    let back = user.says(&["rollback", "bank"]);
    assert!(back.contains("-> 0.1.0") && back.contains("2 actors migrated"), "{back}");
    assert_eq!(user.says(&["actor", "request", "bank/bob", "\"+894\""]), "999");
    let history = user.json(&["actor", "history", "bank/bob"]);
    let versions: Vec<_> = history["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step.get("from_version"))
        .collect();
    assert_eq!(versions, ["0.1.0", "0.3.0"]);
    assert_eq!(user.json(&["actor", "replay", "bank/bob"])["agrees"], true);

    let going: Value =
        user.json(&["upgrade", &build(&user, "0.4.0", &account::refusing(7)), "--no-wait"]);
    assert!(going["state"] == "upgrading" || going["state"] == "activated", "{going}");
}

#[test]
fn who_may_manage_programs_need_not_be_named_for_their_actors() {
    let user = User::new();
    let _node = bank(&user);
    let token = user.path("ci.token").display().to_string();
    let ci = user.json(&["token", "new", "ci", "--out", &token]);
    user.says(&["grant", &format!("key:{}", ci["key"].as_str().unwrap()), "sys/*"]);
    let file = build(&user, "0.2.0", &account::refusing(999));
    for args in [&["upgrade", &file][..], &["rollback", "bank"], &["programs", "bank"]] {
        let ran = user.run(&[&["--token-file", &token], args].concat());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }
    let missing = user.run(&["--token-file", &token, "remove", "nothing", "--dry-run"]);
    assert_eq!(missing.code, 3, "{missing:?}");
}

#[test]
fn a_program_with_actors_is_not_removed() {
    let user = User::new();
    let _node = bank(&user);
    let dry = user.says(&["remove", "bank", "--dry-run"]);
    let (first, then) =
        ("once it is disabled: althing disable bank", "once its 2 actors are removed");
    assert!(dry.contains(first) && dry.contains(then), "{dry}");
    user.says(&["disable", "bank"]);
    let dry = user.says(&["remove", "bank", "--dry-run"]);
    assert!(!dry.contains(first) && dry.contains(then), "{dry}");
    let (code, kind, text) = user.fails(&["remove", "bank"]);
    assert_eq!((code, kind.as_str()), (5, "conflict"), "nobody was asked: {text}");
    assert!(text.contains("`althing actor list bank` lists them"), "{text}");
    assert_eq!(user.json(&["actor", "list", "bank"])["actors"].as_array().unwrap().len(), 2);
}

#[test]
fn grants_reach_actors_by_whole_segments() {
    let user = User::new();
    let _node = bank(&user);
    for actor in ["bankrupt", "bank/alice/savings"] {
        user.says(&["actor", "spawn", actor, "bank"]);
    }
    let token = user.path("teller.token").display().to_string();
    let teller = user.json(&["token", "new", "teller", "--out", &token]);
    let teller = format!("key:{}", teller["key"].as_str().unwrap());
    user.says(&["grant", &teller, "actor/state|list|send|letters", "--prefix", "bank"]);
    let as_teller = |args: &[&str]| user.run(&[&["--token-file", &token, "actor"], args].concat());
    let listed = as_teller(&["list", "--under", "bank", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let ids: Vec<_> =
        listed["actors"].as_array().unwrap().iter().map(|actor| &actor["actor"]).collect();
    assert_eq!(ids, ["bank/alice", "bank/alice/savings", "bank/bob"]);
    let under = |id: &str, more: &[&str]| {
        let listed = user.json(&[&["actor", "list", "--under", id], more].concat());
        let ids = listed["actors"].as_array().unwrap().iter();
        (ids.map(|actor| actor["actor"].clone()).collect::<Vec<_>>(), listed["more"].clone())
    };
    assert_eq!(under("bank/alice", &[]).0, ["bank/alice", "bank/alice/savings"]);
    assert_eq!(under("bank/alice", &["--limit", "1"]), (vec![json!("bank/alice")], json!(true)));
    let next = under("bank/alice", &["--limit", "1", "--after", "bank/alice"]);
    assert_eq!(next, (vec![json!("bank/alice/savings")], json!(false)));
    assert_eq!(as_teller(&["send", "bank/bob", "\"+1\""]).code, 0);
    for refused in [
        &["list"][..],
        &["state", "bankrupt"],
        &["send", "bankrupt", "1"],
        &["history", "bank/bob"],
        &["letters"],
        &["spawn", "bank/carol", "bank"],
    ] {
        let ran = as_teller(refused);
        assert!(ran.code == 4 && ran.err.contains("althing grant"), "{refused:?}: {ran:?}");
    }
}
