//! A contract's way from `althing new` to the version after the next, in each language; an actor's to
//! its scenario.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

use common::User;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A project of the template for contracts in `language`.
fn project(user: &User, language: &str) -> PathBuf {
    make(user, &["new", "contract", "my-book", "--lang", language])
}

fn make(user: &User, new: &[&str]) -> PathBuf {
    let dir = user.path("my-book");
    let made = user.json(&[new, &["--dir", dir.to_str().unwrap()]].concat());
    assert_eq!((&made["name"], &made["language"]), (&json!("my-book"), &json!(new[4])));
    // What cargo compiles of other crates is the same each time. One test at a time: it is one place
    // for what it makes of this crate too.
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/authors");
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir(dir.join("build")).unwrap();
    std::os::unix::fs::symlink(shared.canonicalize().unwrap(), dir.join("build/cargo")).unwrap();
    dir
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}: {from}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Makes, tests, builds, deploys, upgrades, rolls back. `source` holds the contract. Gives the project.
fn check(user: &User, language: &str, source: &str) -> PathBuf {
    let dir = project(user, language);
    let at = dir.to_str().unwrap();
    let tested = user.json(&["test", at]);
    assert_eq!((&tested["passed"], &tested["unit"]["passed"]), (&json!(true), &json!(true)));
    assert_eq!(tested["scenarios"][0]["passed"], true, "{tested}");

    let built = user.json(&["build", at]);
    assert_eq!((&built["program"], &built["version"]), (&json!("my-book"), &json!("0.1.0")));
    let component = built["component"].as_str().unwrap();
    let inspected = user.json(&["inspect", component]);
    assert_eq!(inspected, built["inspection"]);
    assert_eq!((&inspected["accepted"], &inspected["kind"]), (&json!(true), &json!("contract")));

    // What the scenario compiled need not be compiled again.
    user.json(&["init"]);
    fs::rename(dir.join("build/compiled"), user.path("data/realm/cache")).unwrap();
    let _node = user.up();
    assert_eq!(user.json(&["deploy", component])["state"], "activated");
    let sign = |text: &str| {
        let args = json!({ "text": text }).to_string();
        user.run(&["call", "my-book", "sign", &args])
    };
    let (first, second) = ("a long one", "another long one");
    assert_eq!(sign(first).out, "1\n");

    replace(&dir.join(source), "= 280", "= 5");
    replace(&dir.join("althing.toml"), "version = \"0.1.0\"", "version = \"0.2.0\"");
    let rebuilt = user.json(&["build", at]);
    assert_ne!(rebuilt["inspection"]["hash"], built["inspection"]["hash"]);
    user.json(&["upgrade", component]);
    assert!(sign(second).err.contains("wants 1 to 5"), "{language}");
    assert_eq!(user.json(&["query", "my-book", "count"])["output"], 1, "what it wrote lasts");
    user.json(&["rollback", "my-book"]);
    assert_eq!(sign(second).out, "2\n");
    let list = user.json(&["query", "my-book", "list"]);
    let texts: Vec<_> = list["output"].as_array().unwrap().iter().map(|e| &e["text"]).collect();
    assert_eq!(texts, [first, second]);
    dir
}

#[test]
fn rust() {
    let user = User::new();
    let dir = check(&user, "rust", "src/lib.rs");
    tests_that_fail_say_what_was_expected_and_what_came(&user, &dir);
    what_does_not_build_says_where_and_what_to_do(&user, &dir);
}

#[test]
fn python() {
    check(&User::new(), "python", "app.py");
}

#[test]
fn javascript() {
    check(&User::new(), "js", "app.js");
}

/// That a component comes of it is what the guests show, which are actors in Rust as well.
#[test]
fn actor_in_rust() {
    let user = User::new();
    let dir = make(&user, &["new", "actor", "my-book", "--lang", "rust"]);
    let tested = user.json(&["test", "--unit", dir.to_str().unwrap()]);
    assert_eq!(tested["unit"]["passed"], true, "{tested}");
}

/// Makes an actor, tests it, sees what it became, and what becomes of a scenario that is wrong.
#[test]
fn actor_in_python() {
    let user = User::new();
    let dir = user.path("my-book");
    let at = dir.to_str().unwrap();
    user.json(&["actor", "new", "my-book", "--lang", "python", "--dir", at]);
    let tested = user.json(&["test", at]);
    assert_eq!((&tested["passed"], &tested["unit"]["passed"]), (&json!(true), &json!(true)));
    assert_eq!(tested["scenarios"][0]["passed"], true, "{tested}");
    let component = dir.join("build/my-book.wasm");
    let component = component.to_str().unwrap();
    let inspected = user.json(&["inspect", component]);
    assert_eq!((&inspected["accepted"], &inspected["kind"]), (&json!(true), &json!("actor")));

    let scenario = dir.join("tests/scenario.yaml");
    replace(&scenario, "violation: 11 is more", "violation: 12 is more");
    let ran = user.run(&["actor", "test", scenario.to_str().unwrap(), component]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("11 is more than the limit, which is 10"), "{ran:?}");
}

fn tests_that_fail_say_what_was_expected_and_what_came(user: &User, dir: &Path) {
    let at = dir.to_str().unwrap();
    replace(&dir.join("src/lib.rs"), "= 5", "= 280");
    replace(&dir.join("tests/scenario.toml"), "expect = 2", "expect = 3");
    let ran = user.run(&["test", at]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("call sign as bob\n    answer: expected 3, got 2"), "{ran:?}");
    replace(&dir.join("tests/scenario.toml"), "as = \"bob\"", "as = \"eve\"");
    let (code, kind, message) = user.fails(&["test", at]);
    assert_eq!((code, kind.as_str()), (2, "invalid"));
    assert!(message.contains("line 20") && message.contains("eve"), "{message}");
}

fn what_does_not_build_says_where_and_what_to_do(user: &User, dir: &Path) {
    replace(&dir.join("src/lib.rs"), "reply(number)", "reply(numbr)");
    let ran = user.run(&["build", dir.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("src/lib.rs:") && ran.err.contains("`numbr`"), "{ran:?}");
    let last = ran.err.lines().last().unwrap();
    assert!(last.starts_with("invalid: cargo: ") && last.contains("mend what"), "{last}");
}

#[test]
fn a_project_is_made_where_there_is_nothing() {
    let user = User::new();
    user.write("taken/notes.txt", "mine");
    let at = user.path("taken");
    let args = ["new", "contract", "book", "--lang", "js", "--dir", at.to_str().unwrap()];
    let (code, kind, message) = user.fails(&args);
    assert_eq!((code, kind.as_str()), (5, "conflict"));
    assert!(message.contains("not empty"), "{message}");
    assert_eq!(fs::read_dir(at).unwrap().count(), 1);
    assert_eq!(user.fails(&["new", "contract", "My Book", "--lang", "js"]).0, 2);
    assert_eq!(user.fails(&["new", "contract", "book", "--lang", "cobol"]).0, 2);
    assert!(user.fails(&["new", "actor", "book", "--lang", "js"]).2.contains("JavaScript"));
}

#[test]
fn what_is_no_project_or_no_component_is_told() {
    let user = User::new();
    user.write("empty/notes.txt", "");
    let at = user.path("empty");
    for command in ["build", "test"] {
        let (code, kind, message) = user.fails(&[command, at.to_str().unwrap()]);
        assert_eq!((code, kind.as_str()), (3, "not-found"));
        assert!(message.contains("althing new contract"), "{message}");
    }
    let file = user.path("empty/notes.txt");
    let ran = user.run(&["inspect", file.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("refuses it") && ran.out.contains("not WebAssembly"), "{ran:?}");
}
