//! `althing rollback`, `disable`, `enable`, `remove`.

use super::{
    confirm,
    deploy::{goes_on, migrated, named},
    members,
    migration::follow,
    number,
    programs::{find, find_counted, keys, state},
    rows, text,
};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, short},
};
use althing_protocol::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Run a version of a program again that ran before
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --to it is the version that ran before the one that runs now. What runs now is kept, so
the same command goes forward again. Actors of the program are migrated to it, like with an
upgrade; to put the state of one of them back, althing actor rollback.

Examples:
  althing rollback counter
  althing rollback counter --to 0.1.0
  althing rollback counter --to 3f8a21 --dry-run")]
pub(crate) struct Rollback {
    /// The program
    program: String,
    /// A version that is kept, or the beginning of its image's hash
    #[arg(long, value_name = "IMAGE|VERSION")]
    to: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until all actors of the program are migrated
    #[arg(long)]
    no_wait: bool,
}

/// Let a program refuse calls and queries; its keys stay
#[derive(Debug, clap::Args)]
pub(crate) struct Disable {
    /// The program
    program: String,
}

/// Let a disabled program run again
#[derive(Debug, clap::Args)]
pub(crate) struct Enable {
    /// The program
    program: String,
}

/// Delete a disabled program with all its keys and versions, or end a node's membership
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A program: there is no way back but a snapshot. What was granted to the program goes with it; what
others were granted on it stays.

A member: its node gets no more entries and its key never comes back. The machine can be invited
again; it joins with an empty data directory, as another member.

Examples:
  althing snapshot save before-removal
  althing disable counter
  althing remove counter --dry-run
  althing remove counter
  althing remove 3")]
pub(crate) struct Remove {
    /// A program, or the number of a member as `althing members` shows it
    #[arg(value_name = "PROGRAM|MEMBER")]
    what: String,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
    /// Only say what would be deleted
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(crate) async fn rollback(context: &Context, args: Rollback) -> Outcome {
    let remote = context.remote().await?;
    let program = find(&remote, &args.program).await?;
    let target = target(&program, args.to.as_deref())?;
    let version =
        |info: &Value| json!({ "image": text(info, "image"), "version": text(info, "version") });
    let mut document = json!({
        "program": args.program, "dry_run": args.dry_run, "to": version(target),
        "from": program.get("active").map(version),
    });
    if !args.dry_run {
        let input = json!({ "program": args.program, "image": text(target, "image") });
        let output = remote.call("action:program.rollback.v1", input).await?;
        let index = number(&output, "index");
        document["index"] = index.into();
        if text(target, "kind") == "actor" {
            let image = text(target, "image");
            let upgrade = (args.program.as_str(), image.as_str(), index);
            follow(context, &remote, &mut document, upgrade, !args.no_wait).await?;
        }
    }
    context.out.show(&document, || {
        let name = |info: &Value| named(&text(info, "version"), &text(info, "image"));
        let from = program.get("active").map_or_else(|| "nothing".to_owned(), name);
        let (program, to) = (&args.program, name(target));
        match args.dry_run {
            true => format!("{program}: would go back from {from} to {to}"),
            false if text(&document, "state") == "upgrading" => goes_on(program, &document),
            false => {
                let entry = number(&document, "index");
                format!("{program}: {from} -> {to}, from entry {entry}{}", migrated(&document))
            }
        }
    })
}

/// The kept version that `to` means: the last one, the one of that version, or the one whose image
/// begins so.
fn target<'a>(program: &'a Value, to: Option<&str>) -> Result<&'a Value> {
    let (name, kept) = (text(program, "program"), rows(program, "versions"));
    let Some(to) = to else {
        return kept.first().ok_or_else(|| {
            Error::conflict(format!(
                "program {name}: no other image was active before, so there is nothing to go back to"
            ))
        });
    };
    let matches = |info: &&Value| {
        text(info, "version") == to || (to.len() >= 6 && text(info, "image").starts_with(to))
    };
    let mut found = kept.iter().filter(matches);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(Error::invalid(format!(
            "--to {to}: is image {} and image {}; give the beginning of one of them",
            short(&text(one, "image")),
            short(&text(other, "image"))
        ))),
        (None, _) => Err(Error::not_found(format!(
            "--to {to}: is none of the {} versions kept of program {name}; `althing programs {name}` \
             lists them",
            kept.len()
        ))),
    }
}

pub(crate) async fn disable(context: &Context, args: Disable) -> Outcome {
    switch(context, &args.program, "action:program.disable.v1", "refuses calls and queries").await
}

pub(crate) async fn enable(context: &Context, args: Enable) -> Outcome {
    switch(context, &args.program, "action:program.enable.v1", "runs").await
}

async fn switch(context: &Context, program: &str, operation: &str, does: &str) -> Outcome {
    let output = context.remote().await?.call(operation, json!({ "program": program })).await?;
    context
        .out
        .show(&output, || format!("{program}: {does} from entry {}", number(&output, "index")))
}

/// A program's id begins with a letter, so a number is a member.
pub(crate) async fn remove(context: &Context, args: Remove) -> Outcome {
    match args.what.parse() {
        Ok(id) => members::remove(context, id, &args).await,
        Err(_) => remove_program(context, args).await,
    }
}

async fn remove_program(context: &Context, args: Remove) -> Outcome {
    let name = &args.what;
    let remote = context.remote().await?;
    let program = find_counted(&remote, name).await?;
    let images = ["active", "staged"].iter().filter(|which| program.get(which).is_some()).count()
        + rows(&program, "versions").len();
    let what = format!(
        "program {name} with {} keys and {}",
        keys(&program),
        output::counted(images as u64, "image")
    );
    let told = remote.call("query:actor.upgrade.v1", json!({ "program": name })).await?;
    let actors = number(&told, "actors");
    let is_disabled = program.get("disabled").is_some();
    if args.dry_run {
        let document = json!({
            "program": name, "dry_run": true, "keys": number(&program, "keys"),
            "keys_more": program.get("keys_more"), "images": images, "state": state(&program),
            "actors": actors,
        });
        return context.out.show(&document, || {
            let mut told = format!("would delete {what}");
            if !is_disabled {
                told += &format!(", once it is disabled: althing disable {name}");
            }
            if actors > 0 {
                let actors = output::counted(actors, "actor");
                told += &format!(", once its {actors} are removed: althing actor list {name}");
            }
            told
        });
    }
    let may = is_disabled && actors == 0;
    // What the realm refuses, it says what to do about: nobody need be asked.
    if may && !args.yes {
        confirm(&format!("Delete {what}?"), "--yes")?;
    }
    let (keys, grants) = remove_all(context, &remote, name, &program).await?;
    let document = json!({ "program": name, "keys": keys, "grants": grants });
    context.out.show(&document, || format!("{name}: deleted, with {} keys", output::number(keys)))
}

/// An instruction deletes some of the keys. When this ends early, removing again goes on.
async fn remove_all(
    context: &Context,
    remote: &Remote,
    program: &str,
    shown: &Value,
) -> Result<(u64, u64)> {
    let bar = match context.out.json() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(number(shown, "keys")),
    };
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos} keys") {
        bar.set_style(style);
    }
    bar.set_message(format!("removing {program}"));
    let (mut keys, mut grants) = (0, 0);
    loop {
        let removed =
            remote.call("action:program.remove.v1", json!({ "program": program })).await?;
        keys += number(&removed, "keys");
        grants += number(&removed, "grants");
        bar.set_position(keys);
        if removed.get("more") != Some(&Value::Bool(true)) {
            bar.finish_and_clear();
            return Ok((keys, grants));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    #[test]
    fn a_version_is_named_by_itself_or_its_image() {
        let image = |n: u8| format!("{n:02}").repeat(32);
        let program = json!({"program": "p", "versions": [
            {"version": "2", "image": image(2)},
            {"version": "1", "image": image(1)},
            {"version": "1", "image": image(11)},
        ]});
        let of = |to: Option<&str>| target(&program, to).map(|info| text(info, "image"));
        assert_eq!(of(None), Ok(image(2)));
        assert_eq!(of(Some("2")), Ok(image(2)));
        assert_eq!(of(Some(&image(11))), Ok(image(11)));
        assert_eq!(of(Some("111111")), Ok(image(11)));
        let error = of(Some("1")).unwrap_err();
        assert!(error.kind == Kind::Invalid && error.message.contains("010101010101"), "{error}");
        for none in ["3", "0202", "", &image(3)] {
            assert_eq!(of(Some(none)).unwrap_err().kind, Kind::NotFound, "{none}");
        }
        let nothing = json!({"program": "p", "versions": []});
        assert_eq!(target(&nothing, None).unwrap_err().kind, Kind::Conflict);
    }
}
