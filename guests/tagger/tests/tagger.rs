//! Tagging as a client sees it, natively.

#![allow(clippy::unwrap_used)]

use althing_sdk::{
    serde_json::{Value, json},
    testing::Realm,
};
use tagger::Tagger;

fn apply(realm: &mut Realm, method: &str, args: Value) -> Value {
    realm.apply::<Tagger>(method, &args.to_string()).unwrap()
}

fn query(realm: &mut Realm, method: &str, args: Value) -> Value {
    realm.query::<Tagger>(method, &args.to_string()).unwrap()
}

fn file(path: &str, size: u64) -> Value {
    json!({"path": path, "size": size, "modified_us": 1})
}

fn by_tag(realm: &mut Realm, tag: &str) -> Value {
    query(realm, "by_tag", json!({"tag": tag}))["items"].take()
}

/// Files, index and counts agree, whatever happened before.
fn check(realm: &mut Realm) {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut files = 0;
    for (key, value) in realm.db.clone() {
        let key = String::from_utf8(key).unwrap();
        let Some(path) = key.strip_prefix("f/") else { continue };
        files += 1;
        let record: Value = althing_sdk::serde_json::from_slice(&value).unwrap();
        for tag in record["tags"].as_array().unwrap() {
            let tag = tag.as_str().unwrap();
            *counts.entry(tag.into()).or_default() += 1;
            assert!(realm.db.contains_key(format!("t/{tag}\0{path}").as_bytes()));
        }
    }
    let indexed = realm.db.keys().filter(|key| key.starts_with(b"t/")).count() as u64;
    assert_eq!(indexed, counts.values().sum::<u64>());
    let counts: Vec<Value> =
        counts.iter().map(|(tag, files)| json!({"tag": tag, "files": files})).collect();
    assert_eq!(query(realm, "tags", json!({}))["items"], Value::from(counts));
    assert_eq!(query(realm, "status", json!({}))["files"], files);
}

#[test]
fn rules_tag_files() {
    let mut realm = Realm::new();
    apply(&mut realm, "set_rule", json!({"tag": "text", "rule": {"extensions": ["txt", "md"]}}));
    apply(&mut realm, "set_rule", json!({"tag": "big", "rule": {"size_min": 1000}}));
    let upserts = [file("/a.txt", 1), file("/b.md", 2000), file("/c.png", 1000)];
    let done = apply(&mut realm, "files", json!({"upserts": upserts}));
    assert_eq!(done["added"], 3);
    assert_eq!(by_tag(&mut realm, "text"), json!(["/a.txt", "/b.md"]));
    assert_eq!(by_tag(&mut realm, "big"), json!(["/b.md", "/c.png"]));
    assert_eq!(query(&mut realm, "file", json!({"path": "/b.md"}))["tags"], json!(["big", "text"]));
    check(&mut realm);

    let done = apply(
        &mut realm,
        "files",
        json!({"upserts": [file("/a.txt", 1), file("/b.md", 20)], "removes": ["/c.png", "/d"]}),
    );
    assert_eq!(
        done,
        json!({"added": 0, "changed": 1, "unchanged": 1, "removed": 1, "skipped": []})
    );
    assert_eq!(by_tag(&mut realm, "big"), json!([]));
    assert_eq!(query(&mut realm, "file", json!({"path": "/c.png"})), Value::Null);
    check(&mut realm);
}

#[test]
fn changed_rules_reach_all_files_in_steps() {
    let mut realm = Realm::new();
    for batch in 0..3 {
        let upserts: Vec<Value> =
            (0..400).map(|i| file(&format!("/{batch}/{i:03}.txt"), i)).collect();
        apply(&mut realm, "files", json!({"upserts": upserts}));
    }
    let reply =
        apply(&mut realm, "set_rule", json!({"tag": "text", "rule": {"extensions": ["txt"]}}));
    assert_eq!(reply["remaining"], 1000);
    // While it goes on: files before and behind the point it has reached come and go.
    apply(
        &mut realm,
        "files",
        json!({"upserts": [file("/0/new.txt", 1), file("/9/new.txt", 1)], "removes": ["/0/000.txt", "/2/000.txt"]}),
    );
    check(&mut realm);
    assert_eq!(query(&mut realm, "status", json!({}))["remaining"], 1001);
    let mut steps = 0;
    while apply(&mut realm, "retag", json!({"limit": 300}))["remaining"] != 0 {
        steps += 1;
        assert!(steps < 10);
    }
    check(&mut realm);
    assert_eq!(
        query(&mut realm, "tags", json!({}))["items"],
        json!([{"tag": "text", "files": 1200}])
    );

    apply(&mut realm, "remove_rule", json!({"tag": "text"}));
    while apply(&mut realm, "retag", json!({}))["remaining"] != 0 {}
    check(&mut realm);
    assert_eq!(query(&mut realm, "tags", json!({}))["items"], json!([]));
}

#[test]
fn pages_are_in_order_and_whole() {
    let mut realm = Realm::new();
    apply(&mut realm, "set_rule", json!({"tag": "all", "rule": {}}));
    let long = "x".repeat(1_000);
    let upserts: Vec<Value> = (0..250).map(|i| file(&format!("/{i:03}{long}"), 1)).collect();
    apply(&mut realm, "files", json!({"upserts": upserts}));
    let mut paths = Vec::new();
    loop {
        let after = paths.last().cloned();
        let page = query(&mut realm, "by_tag", json!({"tag": "all", "after": after, "limit": 100}));
        paths.extend(page["items"].as_array().unwrap().iter().cloned());
        assert!(page.to_string().len() < 64 << 10);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(paths.len(), 250);
    assert!(paths.is_sorted_by_key(|path| path.as_str().unwrap().to_owned()));
}

#[test]
fn ages_count_from_the_time_of_the_call() {
    let mut realm = Realm::new();
    realm.context.timestamp_us = 10_000_001;
    apply(&mut realm, "set_rule", json!({"tag": "old", "rule": {"age_min_s": 60}}));
    apply(&mut realm, "files", json!({"upserts": [file("/a", 1)]}));
    assert_eq!(by_tag(&mut realm, "old"), json!([]));
    realm.context.timestamp_us = 60_000_001;
    apply(&mut realm, "retag", json!({"restart": true}));
    assert_eq!(by_tag(&mut realm, "old"), json!(["/a"]));
    check(&mut realm);
}

#[test]
fn bad_input_is_refused_by_name() {
    let mut realm = Realm::new();
    for (method, args, word) in [
        ("set_rule", json!({"tag": "", "rule": {}}), "1 to 64"),
        ("set_rule", json!({"tag": "a\nb", "rule": {}}), "control"),
        ("set_rule", json!({"tag": "a", "rule": {"size": 1}}), "`size`"),
        ("remove_rule", json!({"tag": "a"}), "no rule"),
        ("files", json!({"upserts": vec![file("/a", 1); 1001]}), "1001"),
        ("files", json!({"upserts": [{"path": "/a"}]}), "`size`"),
        ("tag", json!({}), "unknown method `tag`"),
    ] {
        let error = realm.apply::<Tagger>(method, &args.to_string()).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    assert!(realm.db.is_empty());
    let path = "/".repeat(4_090);
    let done = apply(&mut realm, "files", json!({"upserts": [file(&path, 1)], "removes": [path]}));
    assert_eq!(done["skipped"], json!([path]));
}
