//! `althing programs` and `rules`: which programs there are, and who manages them.

use super::{deploy::named, number, rows, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, fields, short, table},
};
use althing_protocol::Result;
use serde_json::{Map, Value, json};

/// List the programs of the realm, or show one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing programs
  althing programs counter")]
pub(crate) struct Programs {
    /// Show this one: its images, who manages it, how many keys it has
    program: Option<String>,
}

/// Say who may manage a program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The owner, members of the role, and who holds sys/grant may manage a program: stage, activate,
rollback, disable, enable, remove, and change these rules. They need the grants for that as well.
With publishers, an image is staged only with a signature of one of them: see althing sign.

Keys are public keys in hexadecimal, or names of keys in the keystore.

Examples:
  althing rules counter
  althing rules counter --role deployer
  althing rules counter --publisher release --publisher ci
  althing rules counter --owner desktop --no-publishers")]
pub(crate) struct Rules {
    /// The program
    program: String,
    /// Give it to this key
    #[arg(long, value_name = "KEY")]
    owner: Option<String>,
    /// Let members of this role manage it as well
    #[arg(long, value_name = "ROLE", conflicts_with = "no_role")]
    role: Option<String>,
    /// Let the owner alone manage it
    #[arg(long)]
    no_role: bool,
    /// Only take images that one of these keys signed; once for each key
    #[arg(long, value_name = "KEY", conflicts_with = "no_publishers")]
    publisher: Vec<String>,
    /// Take images without a signature
    #[arg(long)]
    no_publishers: bool,
}

/// The program as the realm has it.
pub(super) async fn find(remote: &Remote, program: &str) -> Result<Value> {
    remote.call("query:program.show.v1", json!({ "program": program })).await
}

/// The program, and how many keys it has.
pub(super) async fn find_counted(remote: &Remote, program: &str) -> Result<Value> {
    remote.call("query:program.show.v1", json!({ "program": program, "count_keys": true })).await
}

pub(crate) async fn programs(context: &Context, args: Programs) -> Outcome {
    let remote = context.remote().await?;
    if let Some(program) = args.program {
        let mut output = find_counted(&remote, &program).await?;
        let kind = output.pointer("/active/kind").or(output.pointer("/staged/kind"));
        if kind.and_then(Value::as_str) == Some("actor") {
            let input = json!({ "program": program });
            output["actors"] = remote.call("query:actor.upgrade.v1", input).await?;
        }
        return context.out.show(&output, || shown(&output));
    }
    let output = remote.call("query:program.list.v1", json!({})).await?;
    context.out.show(&output, || {
        let row = |program: &Value| {
            let (active, staged) = (program.get("active"), program.get("staged"));
            let of = |info: Option<&Value>, field| {
                info.map(|info| text(info, field)).unwrap_or_default()
            };
            vec![
                text(program, "program"),
                of(active.or(staged), "kind"),
                of(active.or(staged), "version"),
                short(&of(active, "image")).to_owned(),
                short(&of(staged, "image")).to_owned(),
                state(program).to_owned(),
                of(active.or(staged), "description"),
            ]
        };
        let titles = ["PROGRAM", "KIND", "VERSION", "ACTIVE", "STAGED", "STATE", "DESCRIPTION"];
        table(
            &titles,
            rows(&output, "programs").iter().map(row),
            "no programs; `althing deploy FILE` adds one",
        )
    })
}

/// Whether calls reach a program, in a word.
pub(super) fn state(program: &Value) -> &'static str {
    match (program.get("disabled"), program.get("active")) {
        (Some(disabled), _) if disabled.get("removing") == Some(&Value::Bool(true)) => "removing",
        (Some(_), _) => "disabled",
        (None, Some(_)) => "runs",
        (None, None) => "staged",
    }
}

/// How many keys a program has, as far as they were counted.
pub(super) fn keys(program: &Value) -> String {
    let more = program.get("keys_more") == Some(&Value::Bool(true));
    let keys = output::number(number(program, "keys"));
    if more { format!("more than {keys}") } else { keys }
}

fn shown(program: &Value) -> String {
    let state = match program.get("disabled") {
        Some(by) => {
            format!(
                "{}, by key {} at entry {}",
                state(program),
                text(by, "key"),
                number(by, "index")
            )
        }
        None => state(program).to_owned(),
    };
    let mut pairs = vec![("program", text(program, "program")), ("state", state)];
    pairs.extend(managers(program));
    match program.get("actors") {
        Some(told) => pairs.extend(actors(told)),
        None => pairs.push(("keys", keys(program))),
    }
    let image = |which: &str, info: &Value| {
        let entry = |field: &str| match number(info, field) {
            0 => String::new(),
            index => index.to_string(),
        };
        vec![
            which.to_owned(),
            text(info, "version"),
            short(&text(info, "image")).to_owned(),
            entry("staged_index"),
            entry("activated_index"),
            short(&text(info, "publisher")).to_owned(),
        ]
    };
    let own = ["active", "staged"].into_iter();
    let own = own.filter_map(|which| Some(image(which, program.get(which)?)));
    let kept = rows(program, "versions").iter().map(|info| image("kept", info));
    let titles = ["IMAGE", "VERSION", "HASH", "STAGED", "ACTIVATED", "SIGNED BY"];
    format!("{}\n\n{}", fields(&pairs), table(&titles, own.chain(kept), "no images"))
}

/// How many actors there are, and how they are with the versions of their program.
fn actors(told: &Value) -> Vec<(&'static str, String)> {
    let all = output::number(number(told, "actors"));
    let mut pairs = vec![("actors", all.clone())];
    if let Some(upgrade) = told.get("upgrade") {
        let to = named(&text(upgrade, "version"), &text(upgrade, "image"));
        let migrated = output::number(number(upgrade, "migrated"));
        pairs.push(("upgrade", format!("to {to}: migrated {migrated} of {all}")));
    }
    if let Some(last) = told.get("last") {
        let (image, entry) = (text(last, "image"), number(last, "index"));
        let image = short(&image);
        let ended = match last.get("failure") {
            Some(failure) => format!(
                "to {image}: discarded in entry {entry}, {}: {}",
                text(last, "actor"),
                text(failure, "message")
            ),
            None => {
                format!("to {image}: done in entry {entry}, {} migrated", number(last, "migrated"))
            }
        };
        pairs.push(("last upgrade", ended));
    }
    pairs
}

fn managers(program: &Value) -> Vec<(&'static str, String)> {
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let publishers: Vec<_> =
        rows(program, "publishers").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    vec![
        ("owner", text(program, "owner")),
        ("role", or(text(program, "role"), "none")),
        ("publishers", or(publishers.join(", "), "none: images need no signature")),
    ]
}

pub(crate) async fn rules(context: &Context, args: Rules) -> Outcome {
    let mut input = Map::new();
    if let Some(owner) = &args.owner {
        input.insert("owner".into(), context.public_key(owner)?.to_string().into());
    }
    if args.no_role || args.role.is_some() {
        input.insert("role".into(), args.role.unwrap_or_default().into());
    }
    if args.no_publishers || !args.publisher.is_empty() {
        let keys = args.publisher.iter().map(|key| Ok(context.public_key(key)?.to_string()));
        input.insert("publishers".into(), keys.collect::<Result<Vec<_>>>()?.into());
    }
    let remote = context.remote().await?;
    if !input.is_empty() {
        input.insert("program".into(), args.program.clone().into());
        remote.call("action:program.rules.v1", input.into()).await?;
    }
    let program = find(&remote, &args.program).await?;
    let rules = json!({
        "program": args.program, "owner": program.get("owner"), "role": program.get("role"),
        "publishers": program.get("publishers"),
    });
    context.out.show(&rules, || fields(&managers(&program)))
}
