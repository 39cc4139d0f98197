//! README's section about actors, followed literally.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

use common::User;
use serde_json::json;
use std::{env, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn section(title: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section).to_owned()
}

/// What stands in the block of commands, and in the text, unless it has a NAME to fill in.
fn commands(section: &str) -> (Vec<String>, Vec<String>) {
    let (before, rest) = section.split_once("```sh\n").unwrap();
    let (block, after) = rest.split_once("\n```\n").unwrap();
    let block = block.lines().map(str::to_owned).collect();
    let text = format!("{before}{after}");
    let inline = text.split('`').skip(1).step_by(2);
    let joined = |code: &str| code.split_whitespace().collect::<Vec<_>>().join(" ");
    let inline = inline.filter(|code| code.starts_with("althing ")).map(joined);
    let is_name = |word: &str| {
        let name = word.split('.').next().unwrap_or(word);
        name.len() > 1 && name.bytes().all(|b| b.is_ascii_uppercase())
    };
    (block, inline.filter(|code| !code.split(' ').any(is_name)).collect())
}

/// Runs a line as a shell does, in the root of the repository. Its exit code is the one that stands in
/// its comment.
fn run(user: &User, line: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_althing")).parent().unwrap();
    let path = env::join_paths(
        [binary.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    let ran = Command::new("sh")
        .args(["-c", line])
        .current_dir(root())
        .env("PATH", path.unwrap())
        .env("XDG_CONFIG_HOME", user.path("config"))
        .env("ALTHING_DATA", user.path("data"))
        .output()
        .unwrap();
    let code = line.split_once("exit code ").map_or(0, |(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    });
    assert_eq!(ran.status.code(), Some(code), "{line}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_section_about_actors() {
    let user = User::new();
    let _node = user.up();
    for guest in ["thermostat", "saga"] {
        user.deploy(guest);
    }
    let (block, inline) = commands(&section("Actors"));
    let mut states = Vec::new();
    for line in &block {
        let out = run(&user, line);
        if line == "althing actor state bank" {
            states.push(serde_json::from_str::<serde_json::Value>(&out).unwrap());
        }
    }
    let of =
        |alice: i64, bob: i64| json!({"accounts": {"alice": alice, "bob": bob}, "issued": 1000});
    assert_eq!(states, [of(700, 300), of(1000, 0)]);
    assert!(inline.len() > 5, "{inline:?}");
    for line in &inline {
        run(&user, line);
    }
    user.says(&["kv", "put", "/sensors/living/temperature", "19.5"]);
    let state = user.json(&["actor", "state", "home/living"]);
    assert_eq!(state["state"]["reading"]["celsius"], json!(19.5), "{state}");
}
