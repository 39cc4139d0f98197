//! `althing repair`.

use super::confirm;
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, fields},
};
use althing_node::{Config, Overrides};
use althing_protocol::{Contact, Error, PublicKey, Result, check_address};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Give a stopped node whose state is damaged, or differs, the state of another member
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The node stays the member that it is: its log is kept and goes on behind that state. What was
there is moved aside. Whether the members that hold the same entries agree on the state is asked
first.

A node whose log is damaged or lost cannot come back as the member that it was; the command says so,
and how it joins anew.

Examples:
  althing repair --dry-run
  althing repair
  althing repair --from 5be0...c1a9@192.168.1.8:3001")]
pub(crate) struct Args {
    /// A member to take the state from, when the node's own state does not tell of any; its key and
    /// address are those in `althing members --json` on another node. May be repeated
    #[arg(long, value_name = "KEY@HOST:PORT", value_parser = contact)]
    from: Vec<Contact>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn contact(text: &str) -> Result<Contact> {
    let (key, address) = text
        .split_once('@')
        .ok_or_else(|| Error::invalid(format!("member {text}: wants KEY@HOST:PORT")))?;
    check_address(address)?;
    Ok(Contact { key: key.parse::<PublicKey>()?, address: address.to_owned() })
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let data = context.data()?;
    if !args.dry_run && !args.yes {
        let question = format!("Replace the state in {} by another member's?", data.display());
        confirm(&question, "--yes")?;
    }
    let overrides =
        Overrides { file: context.globals.config.clone(), ..Overrides::from_environment() };
    let config = Config::load(&data, &overrides)?;
    let bar = bar(context);
    let progress = |have, all| {
        bar.set_length(all);
        bar.set_position(have);
    };
    let repaired = althing_node::repair(&config, &args.from, args.dry_run, progress).await;
    bar.finish_and_clear();
    let repaired = repaired?;
    let document = json!({
        "realm": repaired.realm.to_string(), "member": repaired.member, "why": repaired.why,
        "from": repaired.from, "index": repaired.index, "state_hash": repaired.state_hash,
        "bytes": repaired.bytes, "log_last": repaired.log_last, "previous": repaired.previous,
        "dry_run": args.dry_run,
    });
    context.out.show(&document, || {
        let previous = match &repaired.previous {
            Some(previous) => format!("moved to {}", previous.display()),
            None => "untouched: this was a dry run".to_owned(),
        };
        fields(&[
            ("realm", repaired.realm.to_string()),
            ("member", repaired.member.to_string()),
            ("wrong", repaired.why.clone()),
            ("from", format!("member {}", repaired.from)),
            ("state", format!("of entry {}, {}", repaired.index, output::size(repaired.bytes))),
            ("state hash", repaired.state_hash.clone()),
            ("log", format!("kept, up to entry {}", repaired.log_last)),
            ("before", previous),
            ("next", "althing up".to_owned()),
        ])
    })
}

fn bar(context: &Context) -> ProgressBar {
    let bar = match context.out.json() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(0),
    };
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} of the state, {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_member_is_a_key_at_an_address() {
        let key = PublicKey([7; 32]);
        let named = contact(&format!("{key}@pi.lan:3001")).unwrap();
        assert_eq!(named, Contact { key, address: "pi.lan:3001".into() });
        for (wrong, words) in [
            (key.to_string(), "wants KEY@HOST:PORT"),
            (format!("{key}@pi.lan"), "address"),
            ("abc@pi.lan:3001".to_owned(), "public key"),
        ] {
            let refused = contact(&wrong).unwrap_err().message;
            assert!(refused.contains(words), "{refused}");
        }
    }
}
