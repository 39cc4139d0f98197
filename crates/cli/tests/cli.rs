//! The command as a user has it, against a node of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::User;
use serde_json::{Value, json};
use std::fs;

#[test]
fn keys_are_written_read_listed_and_deleted() {
    let user = User::new();
    let made = user.json(&["init", "--name", "test"]);
    assert_eq!(made["name"], "test");
    let _node = user.up();

    let put = user.json(&["kv", "put", "/notes/first", "hello"]);
    assert_eq!(put["create"], put["modify"]);
    assert_eq!(user.says(&["kv", "get", "/notes/first"]), "hello");
    let got = user.json(&["kv", "get", "/notes/first"]);
    assert_eq!((&got["key"], &got["value"]), (&json!("/notes/first"), &json!("hello")));

    let bytes = [0, 159, 146, 150, b'\n'];
    fs::write(user.path("bytes"), bytes).unwrap();
    let from_file = format!("@{}", user.path("bytes").display());
    user.says(&["kv", "put", "/bytes", &from_file]);
    assert!(user.json(&["kv", "get", "/bytes"])["value"].is_null());
    assert_eq!(user.json(&["kv", "get", "/bytes"])["value_base64"], "AJ+Slgo=");
    assert_eq!(user.run_with(&["kv", "put", "/notes/second", "-"], b"from stdin").code, 0);
    assert_eq!(user.says(&["kv", "get", "/notes/second"]), "from stdin");

    let list = user.json(&["kv", "list", "/notes/"]);
    let keys: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|item| &item["key"]).collect();
    assert_eq!(keys, ["/notes/first", "/notes/second"]);
    assert_eq!(list["more"], false);
    assert_eq!(user.json(&["kv", "list", "/notes/", "--limit", "1"])["more"], true);
    let after = user.json(&["kv", "list", "/notes/", "--after", "/notes/first"]);
    assert_eq!(after["items"].as_array().unwrap().len(), 1);

    let txn = r#"{"conditions": [{"key": "/notes/first", "value": "hello"}],
                  "success": [{"put": {"key": "/notes/first", "value": "bye"}}]}"#;
    let ran = user.run_with(&["kv", "txn", "@-", "--json"], txn.as_bytes());
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["succeeded"], true, "{ran:?}");
    let ran = user.run_with(&["kv", "txn", "@-", "--json"], txn.as_bytes());
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["succeeded"], false, "{ran:?}");

    assert_eq!(user.json(&["kv", "del", "--prefix", "/notes/", "--dry-run"])["keys"], 2);
    assert_eq!(user.fails(&["kv", "del", "--prefix", "/notes/"]).0, 2, "nobody was asked");
    assert_eq!(user.json(&["kv", "del", "--prefix", "/notes/", "--yes"])["deleted"], 2);
    assert_eq!(user.json(&["kv", "del", "/bytes"])["existed"], true);
    assert_eq!(user.says(&["kv", "list"]), "no keys");
}

#[test]
fn a_tree_is_ingested_found_by_tag_and_the_same_after_a_restart() {
    let user = User::new();
    let node = user.up();
    user.deploy("counter");
    user.deploy("tagger");
    assert_eq!(user.says(&["call", "counter", "increment", r#"{"by": 2}"#]), "2");
    assert_eq!(user.json(&["call", "counter", "increment"])["output"], 3);
    let rule = r#"{"tag": "image", "rule": {"extensions": ["png", "jpg"]}}"#;
    user.says(&["call", "tagger", "set_rule", rule]);

    for n in 0..300 {
        user.write(&format!("tree/some/{n:03}.txt"), "text");
    }
    user.write("tree/photo.jpg", "a");
    user.write("tree/photo.jpg.d/old.png", "b");
    user.write("tree/photo-2/new.PNG", "c");
    let tree = user.path("tree");
    let tree = tree.to_str().unwrap();
    let counts = |summary: &Value| {
        ["scanned", "added", "changed", "deleted", "unchanged", "errors"]
            .map(|name| summary[name].as_u64().unwrap())
    };
    // 303 files, the tree itself, and three directories below it.
    let dry = user.json(&["ingest", tree, "--dry-run"]);
    assert_eq!(counts(&dry), [307, 307, 0, 0, 0, 0]);
    let first = user.json(&["ingest", tree]);
    assert_eq!(counts(&first), [307, 307, 0, 0, 0, 0]);
    assert_eq!(first["tagged"], true);
    assert_eq!(counts(&user.json(&["ingest", tree])), [307, 0, 0, 0, 307, 0]);
    assert_eq!(tagged(&user), ["photo-2/new.PNG", "photo.jpg", "photo.jpg.d/old.png"]);

    user.write("tree/photo.jpg", "longer");
    user.write("tree/third.jpg", "d");
    fs::remove_dir_all(user.path("tree/photo.jpg.d")).unwrap();
    let changed = user.json(&["ingest", tree]);
    // The tree's own time changed too.
    assert_eq!(counts(&changed), [306, 1, 2, 2, 303, 0]);
    assert_eq!(tagged(&user), ["photo-2/new.PNG", "photo.jpg", "third.jpg"]);
    let record = user.says(&["kv", "get", &format!("/files{tree}/photo.jpg")]);
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!((&record["kind"], &record["size"]), (&json!("file"), &json!(6)));

    user.says(&[
        "call",
        "tagger",
        "set_rule",
        r#"{"tag": "text", "rule": {"extensions": ["txt"]}}"#,
    ]);
    assert_eq!(counts(&user.json(&["ingest", tree, "--retag"])), [306, 0, 0, 0, 306, 0]);
    let status = user.json(&["query", "tagger", "status"]);
    assert_eq!(status["output"], json!({"files": 306, "remaining": 0}));
    let tags = user.json(&["query", "tagger", "tags"]);
    assert_eq!(tags["output"]["items"][1], json!({"tag": "text", "files": 300}));

    let before = user.json(&["status"]);
    node.interrupt();
    assert_eq!(user.fails(&["status"]).1, "unavailable");
    let node = user.up();
    assert_eq!(tagged(&user), ["photo-2/new.PNG", "photo.jpg", "third.jpg"]);
    assert_eq!(user.says(&["query", "counter", "value"]), "3");
    assert_eq!(counts(&user.json(&["ingest", tree])), [306, 0, 0, 0, 306, 0]);
    let after = user.json(&["status"]);
    assert_eq!(after["realm"], before["realm"]);
    let verdict = user.json(&["log", "verify"]);
    assert_eq!((&verdict["agrees"], &verdict["from"]), (&json!(true), &json!("genesis")));
    assert!(user.says(&["log", "verify"]).contains("genesis"));
    node.interrupt();
}

/// The files with the tag `image`, from the tree on.
fn tagged(user: &User) -> Vec<String> {
    let page = user.json(&["query", "tagger", "by_tag", r#"{"tag": "image"}"#]);
    let items = page["output"]["items"].as_array().unwrap().iter();
    let tree = format!("{}/", user.path("tree").display());
    items.map(|path| path.as_str().unwrap().strip_prefix(&tree).unwrap().to_owned()).collect()
}

#[test]
fn up_deploys_the_packages_of_a_directory() {
    let user = User::new();
    fs::create_dir(user.path("packages")).unwrap();
    for guest in ["counter", "tagger"] {
        let (component, manifest) = common::package(guest);
        fs::copy(component, user.path(&format!("packages/{guest}.wasm"))).unwrap();
        fs::copy(manifest, user.path(&format!("packages/{guest}.toml"))).unwrap();
    }
    let packages = user.path("packages");
    let args = ["--packages", packages.to_str().unwrap()];
    let (node, said) = user.up_with(&args);
    assert_eq!(said["packages"], json!(["counter", "tagger"]));
    assert_eq!(user.says(&["query", "counter", "value"]), "0");
    let index = user.json(&["status"])["index"].clone();
    node.interrupt();
    let (_node, said) = user.up_with(&args);
    assert_eq!(said["packages"], json!(["counter", "tagger"]));
    let again = user.json(&["status"])["index"].as_u64().unwrap();
    assert!(again <= index.as_u64().unwrap() + 1, "what is active is not staged again");
}

#[test]
fn a_tree_is_followed() {
    let user = User::new();
    let _node = user.up();
    user.write("tree/a", "1");
    let tree = user.path("tree");
    let mut watch = user.start(&["ingest", tree.to_str().unwrap(), "--watch", "--no-tag"]);
    assert_eq!(watch.line()["added"], 2);

    user.write("tree/new/b", "2");
    fs::remove_file(user.path("tree/a")).unwrap();
    let key = |name: &str| format!("/files{}/{name}", tree.display());
    // What is written meanwhile may come in any number of steps.
    let (mut added, mut deleted) = (0, 0);
    while (added, deleted) != (2, 1) {
        let step = watch.line();
        added += step["added"].as_u64().unwrap();
        deleted += step["deleted"].as_u64().unwrap();
    }
    assert_eq!(user.run(&["kv", "get", &key("new/b")]).code, 0);
    assert_eq!(user.run(&["kv", "get", &key("a")]).code, 3);
    watch.interrupt();
}

#[test]
fn only_the_desktops_key_writes_processed_photos() {
    let user = User::new();
    let _node = user.up();
    let desktop = user.says(&["key", "new", "desktop"]);
    let camera = user.says(&["key", "new", "camera"]);
    assert_eq!(user.json(&["key", "show", "camera"])["key"], camera);
    user.says(&["grant", "any", "sys/put", "--prefix", "/photos"]);
    user.says(&["role", "add", "editor", "desktop"]);
    let id = user.json(&[
        "grant",
        "role:editor",
        "sys/put",
        "--prefix",
        "/processed_photos",
        "--exclusive",
    ]);
    let id = id["id"].as_u64().unwrap().to_string();

    user.says(&["--key", "camera", "kv", "put", "/photos/1", "raw"]);
    user.says(&["--key", "desktop", "kv", "put", "/processed_photos/1", "done"]);
    let (code, kind, message) =
        user.fails(&["--key", "camera", "kv", "put", "/processed_photos/1", "x"]);
    assert_eq!((code, kind.as_str()), (4, "denied"));
    assert!(message.contains("althing grant") && message.contains(&camera), "{message}");
    assert_eq!(
        user.fails(&["kv", "put", "/processed_photos/1", "x"]).1,
        "denied",
        "not even the operator"
    );

    let grants = user.json(&["grants"]);
    assert!(grants["grants"].as_array().unwrap().iter().any(|grant| grant["exclusive"] == true));
    let node = &user.json(&["members"])["members"][0]["key"];
    assert_eq!(
        user.json(&["role", "list"])["members"],
        json!([{"role": "editor", "key": desktop}, {"role": "node", "key": node}])
    );
    user.says(&["revoke", &id, "--dry-run"]);
    user.says(&["revoke", &id]);
    user.says(&["kv", "put", "/processed_photos/1", "x"]);
    assert_eq!(user.fails(&["revoke", &id]).1, "not-found");

    // What a key signed is in the log under its name.
    let shown = user.says(&["log", "tail", "-n", "100"]);
    assert!(shown.contains(&camera[..12]) && shown.contains(&desktop[..12]), "{shown}");
    assert_eq!(user.json(&["log", "verify"])["agrees"], true);
}

#[test]
fn a_key_of_ones_own_ingests_over_a_stream() {
    let user = User::new();
    let _node = user.up();
    let key = user.says(&["key", "new", "scanner"]);
    user.says(&["grant", "key:scanner", "sys/*", "--prefix", "/scans", "--expires", "1d"]);
    for n in 0..500 {
        user.write(&format!("tree/{n}"), "");
    }
    let tree = user.path("tree");
    let tree = tree.to_str().unwrap();
    let args = ["--key", "scanner", "ingest", tree, "--prefix", "/scans", "--no-tag"];
    assert_eq!(user.json(&args)["added"], 501);
    assert_eq!(user.json(&args)["unchanged"], 501);
    let last = user.json(&["status"])["index"].as_u64().unwrap();
    let entry = user.json(&["log", "show", &last.to_string()]);
    assert_eq!(entry["author"], key);
    let elsewhere = ["--key", "scanner", "ingest", tree, "--no-tag"];
    assert_eq!(user.fails(&elsewhere).1, "denied");
}

#[test]
fn a_caller_with_a_token_of_its_own_may_do_what_it_is_granted() {
    let user = User::new();
    let _node = user.up();
    let file = user.path("phone.token");
    let file = file.to_str().unwrap();
    let made = user.json(&["token", "new", "phone", "--out", file]);
    assert!(made["token"].is_null(), "it is in the file only");
    let key = made["key"].as_str().unwrap();
    assert_eq!(user.fails(&["--token-file", file, "kv", "put", "/phone/a", "1"]).1, "denied");
    user.says(&["grant", &format!("key:{key}"), "sys/put", "--prefix", "/phone"]);
    user.says(&["--token-file", file, "kv", "put", "/phone/a", "1"]);
    let names = user.json(&["token", "list"]);
    assert_eq!(names["tokens"].as_array().unwrap().len(), 2);
    user.says(&["token", "revoke", "phone"]);
    assert_eq!(user.run(&["--token-file", file, "kv", "put", "/phone/a", "2"]).code, 4);
}

#[test]
fn the_exit_code_says_what_kind_of_error_it_was() {
    let user = User::new();
    assert_eq!(user.fails(&["status"]).0, 9, "no node");
    assert_eq!(user.fails(&["kv", "put", "/a"]).0, 2, "an argument is missing");
    assert_eq!(user.fails(&["ingest", "/no/such/place"]).0, 3);
    let _node = user.up();
    user.deploy("counter");
    let code = |args: &[&str]| {
        let (code, kind, _) = user.fails(args);
        (code, kind)
    };
    let is = |code: i32, kind: &str| (code, kind.to_owned());
    assert_eq!(code(&["call", "counter", "increment", "{oops"]), is(2, "invalid"));
    assert_eq!(code(&["ops", "call", "query:kv.get.v1", r#"{"kee": 1}"#]), is(2, "invalid"));
    assert_eq!(code(&["kv", "get", "/none"]), is(3, "not-found"));
    assert_eq!(code(&["ops", "call", "query:kv.gett.v1"]), is(3, "not-found"));
    assert_eq!(code(&["query", "nobody", "value"]), is(3, "not-found"));
    user.says(&["kv", "put", "/a", "1"]);
    assert_eq!(code(&["kv", "put", "/a", "2", "--if-absent"]), is(5, "conflict"));
    assert_eq!(code(&["call", "counter", "no_such_method"]), is(8, "guest-failed"));
    assert_eq!(code(&["init"]), is(5, "conflict"));
    let told = user.run(&["kv", "get", "/none"]);
    assert!(told.err.starts_with("not-found: ") && told.out.is_empty(), "{told:?}");
}

#[test]
fn streams_are_a_document_a_line_and_follow() {
    let user = User::new();
    let _node = user.up();
    user.says(&["kv", "put", "/a", "1"]);
    let mut tail = user.start(&["log", "tail", "-n", "1", "--follow"]);
    let first = tail.line();
    assert_eq!(first["instructions"][0]["args"]["key"], "/a");
    user.says(&["kv", "put", "/b", "2"]);
    let second = tail.line();
    assert_eq!(second["instructions"][0]["args"]["key"], "/b");
    assert_eq!(second["index"].as_u64().unwrap(), first["index"].as_u64().unwrap() + 1);
    drop(tail);

    user.deploy("counter");
    assert_eq!(user.says(&["logs", "counter"]), "");
    assert_eq!(user.json(&["programs"])["programs"][0]["program"], "counter");
}

#[test]
fn operations_are_listed_described_and_called() {
    let user = User::new();
    let _node = user.up();
    let list = user.json(&["ops", "list"]);
    let names: Vec<&str> = list["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|op| op["name"].as_str().unwrap())
        .collect();
    for name in
        ["query:kv.get.v1", "action:kv.put.v1", "query:log.verify.v1", "action:token.create.v1"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    let described = user.says(&["ops", "describe", "action:kv.put.input.v1"]);
    assert!(described.contains("sys/put") && described.contains("value_base64"), "{described}");
    let input = r#"{"key": "/a", "value": "1"}"#;
    user.says(&["ops", "call", "action:kv.put.input.v1", input]);
    let got = user.json(&["ops", "call", "query:kv.get.v1", r#"{"key": "/a"}"#, "--read", "local"]);
    assert_eq!(got["value"], "1");
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let user = User::new();
    for args in [&["completions", "bash"][..], &["--help"], &["key", "list"]] {
        let ran = user.run_unheard(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn there_are_completions_for_shells() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = user.says(&["completions", shell]);
        assert!(script.contains("ingest") && script.contains("no-tag"), "{shell}");
    }
}
