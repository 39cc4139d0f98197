//! The life of a program, as a user leads it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

use common::{User, package};
use serde_json::{Value, json};
use std::fs;

/// Version `n` of the counter, in the user's home. The same code with a custom section is another
/// image.
fn build(user: &User, n: u8) -> String {
    let (component, _) = package("counter");
    let mut bytes = fs::read(component).unwrap();
    bytes.extend([0, 3, 1, b'v', n]);
    fs::write(user.path("counter.wasm"), bytes).unwrap();
    let manifest = format!("name = \"counter\"\nversion = \"0.{n}.0\"\n");
    fs::write(user.path("counter.toml"), manifest).unwrap();
    user.path("counter.wasm").display().to_string()
}

fn versions(user: &User) -> Vec<String> {
    let shown = user.json(&["programs", "counter"]);
    let active = shown.get("active").into_iter();
    let images = active.chain(shown["versions"].as_array().unwrap());
    images.map(|image| image["version"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn from_the_first_deploy_to_the_last_key() {
    let user = User::new();
    let node = user.up();
    let file = build(&user, 1);
    let (code, _, message) = user.fails(&["upgrade", &file]);
    assert_eq!((code, message.contains("althing deploy")), (3, true), "{message}");
    assert_eq!(user.json(&["deploy", &file])["state"], "activated");
    assert_eq!(user.says(&["call", "counter", "increment", r#"{"by": 2}"#]), "2");

    build(&user, 2);
    let checked = user.json(&["upgrade", &file, "--dry-run"]);
    assert_eq!((&checked["state"], &checked["version"]), (&json!("checked"), &json!("0.2.0")));
    assert_eq!(checked["from"]["version"], "0.1.0");
    assert_eq!(versions(&user), ["0.1.0"], "it was a dry run");
    let said = user.says(&["upgrade", &file]);
    assert!(said.contains("0.1.0 (") && said.contains("-> 0.2.0 ("), "{said}");
    assert_eq!(user.json(&["upgrade", &file])["state"], "unchanged");
    assert_eq!(user.says(&["query", "counter", "value"]), "2", "its keys stay");
    assert_eq!(versions(&user), ["0.2.0", "0.1.0"]);

    let back = user.json(&["rollback", "counter", "--dry-run"]);
    assert_eq!((&back["to"]["version"], &back["index"]), (&json!("0.1.0"), &Value::Null));
    let said = user.says(&["rollback", "counter"]);
    assert!(said.contains("0.2.0 (") && said.contains("-> 0.1.0 ("), "{said}");
    assert_eq!(versions(&user), ["0.1.0", "0.2.0"]);
    assert_eq!(user.says(&["call", "counter", "increment"]), "3");
    user.says(&["rollback", "counter", "--to", "0.2.0"]);
    assert_eq!(versions(&user), ["0.2.0", "0.1.0"]);
    let (code, kind, _) = user.fails(&["rollback", "counter", "--to", "0.9.0"]);
    assert_eq!((code, kind.as_str()), (3, "not-found"));

    user.says(&["disable", "counter"]);
    for refused in [["call", "counter", "increment"], ["query", "counter", "value"]] {
        let (code, kind, message) = user.fails(&refused);
        assert_eq!((code, kind.as_str()), (5, "conflict"));
        assert!(message.contains("althing enable counter"), "{message}");
    }
    let shown = user.says(&["programs", "counter"]);
    assert!(shown.contains("disabled, by key") && shown.contains("0.1.0"), "{shown}");
    user.says(&["enable", "counter"]);
    assert_eq!(user.says(&["call", "counter", "increment"]), "4");

    let (code, _, message) = user.fails(&["remove", "counter", "--yes"]);
    assert_eq!((code, message.contains("althing disable counter")), (5, true), "{message}");
    user.says(&["disable", "counter"]);
    let dry = user.json(&["remove", "counter", "--dry-run"]);
    assert_eq!((&dry["keys"], &dry["images"]), (&json!(1), &json!(2)));
    assert_eq!(user.fails(&["remove", "counter"]).0, 2, "nobody was asked");
    assert_eq!(user.json(&["remove", "counter", "--yes"])["keys"], 1);
    assert_eq!(user.fails(&["call", "counter", "increment"]).1, "not-found");
    assert_eq!(user.fails(&["programs", "counter"]).1, "not-found");

    assert_eq!(user.json(&["deploy", &file])["state"], "activated");
    assert_eq!(user.says(&["query", "counter", "value"]), "0");
    node.interrupt();
    let _node = user.up();
    assert_eq!(versions(&user), ["0.2.0"]);
    assert_eq!(user.json(&["log", "verify"])["agrees"], true);
}

#[test]
fn publishers_sign_what_runs() {
    let user = User::new();
    let _node = user.up();
    let file = build(&user, 1);
    user.says(&["deploy", &file]);
    let release = user.says(&["key", "new", "release"]);
    user.says(&["key", "new", "stranger"]);
    let rules = user.json(&["rules", "counter", "--publisher", "release"]);
    assert_eq!(rules["publishers"], json!([release]));
    assert_eq!(user.fails(&["sign", &file]).0, 2, "no key is named");

    build(&user, 2);
    let (code, _, message) = user.fails(&["upgrade", &file]);
    assert_eq!((code, message.contains("althing sign")), (4, true), "{message}");
    user.says(&["sign", &file, "--key", "stranger"]);
    let (code, _, message) = user.fails(&["upgrade", &file]);
    assert_eq!((code, message.contains("none of its publishers")), (4, true), "{message}");
    let signed = user.json(&["sign", &file, "--key", "release"]);
    assert_eq!((&signed["publisher"], &signed["version"]), (&json!(release), &json!("0.2.0")));
    assert_eq!(user.json(&["upgrade", &file])["state"], "activated");
    assert_eq!(user.json(&["programs", "counter"])["active"]["publisher"], release);

    // The signature of version 0.2.0 lies beside version 0.3.0; then it is cut short.
    build(&user, 3);
    let (code, _, message) = user.fails(&["upgrade", &file]);
    assert_eq!((code, message.contains("is of image")), (2, true), "{message}");
    let beside = user.path("counter.sig");
    let text = fs::read(&beside).unwrap();
    fs::write(&beside, &text[..text.len() / 2]).unwrap();
    let (code, _, message) = user.fails(&["upgrade", &file]);
    assert_eq!((code, message.contains("cut short")), (2, true), "{message}");
    let elsewhere = user.path("release.sig");
    let elsewhere = elsewhere.to_str().unwrap();
    user.says(&["sign", &file, "--key", "release", "--out", elsewhere]);
    assert_eq!(user.json(&["upgrade", &file, "--signature", elsewhere])["state"], "activated");

    user.says(&["rules", "counter", "--no-publishers"]);
    fs::remove_file(beside).unwrap();
    build(&user, 4);
    assert_eq!(user.json(&["upgrade", &file])["state"], "activated");
}

#[test]
fn a_program_belongs_to_somebody() {
    let user = User::new();
    let _node = user.up();
    let methods = "sys/stage|activate|rollback|disable|enable|programs|program_rules";
    for name in ["owner", "member"] {
        user.says(&["key", "new", name]);
        user.says(&["grant", &format!("key:{name}"), methods]);
        user.says(&["grant", &format!("key:{name}"), "sys/blob_put|blob_stat"]);
    }
    let file = build(&user, 1);
    user.says(&["--key", "owner", "deploy", &file]);
    let member = user.says(&["key", "show", "member"]);
    let (code, _, message) = user.fails(&["--key", "member", "disable", "counter"]);
    assert_eq!(code, 4);
    assert!(message.contains(&format!("althing rules counter --owner {member}")), "{message}");
    user.says(&["--key", "owner", "rules", "counter", "--role", "deployer"]);
    user.says(&["role", "add", "deployer", "member"]);
    user.says(&["--key", "member", "disable", "counter"]);
    user.says(&["--key", "member", "rules", "counter", "--owner", "member", "--no-role"]);
    assert_eq!(user.json(&["rules", "counter"])["owner"], member);
    assert_eq!(user.fails(&["--key", "owner", "enable", "counter"]).0, 4);
    // Who may grant is never locked out.
    user.says(&["enable", "counter"]);
}
