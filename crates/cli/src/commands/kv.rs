//! `althing kv`: keys and values of `sys`.

use super::{confirm, number, rows};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, preview, table},
    pages::Pages,
    values::{self, Source},
};
use althing_protocol::{Error, limits};
use serde_json::{Map, Value, json};

/// Read and write keys
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  althing kv put /notes/first hello
  althing kv put /photos/one @one.jpg
  althing kv put /leader desktop --if-absent
  althing kv get /photos/one > one.jpg
  althing kv list /notes/
  althing kv del --prefix /notes/ --dry-run
  echo '{\"success\": [{\"put\": {\"key\": \"/a\", \"value\": \"1\"}}]}' | althing kv txn -")]
pub(crate) enum Command {
    Put(Put),
    Get(Get),
    Del(Del),
    List(List),
    Txn(Txn),
}

/// Write a key
#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The key
    key: String,
    #[arg(help = values::HELP, allow_hyphen_values = true)]
    value: Source,
    /// Only if the key does not exist
    #[arg(long, group = "expected")]
    if_absent: bool,
    /// Only if the key has this value
    #[arg(long, group = "expected", value_name = "VALUE")]
    if_value: Option<Source>,
    /// Only if the key was last changed by the entry of this index
    #[arg(long, group = "expected", value_name = "INDEX")]
    if_modify: Option<u64>,
}

/// Print the value of a key, as it is
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The key
    key: String,
}

/// Delete a key, or all keys with a prefix
#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    /// The key, or with --prefix the beginning of the keys
    key: String,
    /// Delete all keys that begin so; asks first
    #[arg(long)]
    prefix: bool,
    /// Do not ask
    #[arg(long, requires = "prefix")]
    yes: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// List keys in order
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The beginning of the keys
    #[arg(default_value = "")]
    prefix: String,
    /// Start after this key
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1_000)]
    limit: u64,
}

/// Do several reads and writes at once, or none of them
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The document has three lists, each of which may be missing:

  {\"conditions\": [{\"key\": \"/stock\", \"comparison\": \"equal\", \"value\": \"1\"}],
   \"success\":    [{\"put\": {\"key\": \"/stock\", \"value\": \"0\"}}, {\"get\": {\"key\": \"/buyer\"}}],
   \"failure\":    [{\"get\": {\"key\": \"/stock\"}}]}

A comparison is equal, not-equal, less or greater; it compares one of value, create and modify.
Bytes that are no text go as key_base64 and value_base64.")]
pub(crate) struct Txn {
    /// The document: JSON text, @FILE, or @- for stdin
    document: Source,
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Put(args) => put(context, args).await,
        Command::Get(args) => get(context, args).await,
        Command::Del(args) if args.prefix => delete_prefix(context, args).await,
        Command::Del(args) => delete(context, args).await,
        Command::List(args) => list(context, args).await,
        Command::Txn(args) => txn(context, args).await,
    }
}

async fn put(context: &Context, args: Put) -> Outcome {
    let mut input = Map::new();
    input.insert("key".into(), args.key.into());
    values::insert(&mut input, "value", args.value.read(limits::VALUE_BYTES_MAX)?);
    let mut expected = Map::new();
    if args.if_absent {
        expected.insert("absent".into(), true.into());
    }
    if let Some(value) = args.if_value {
        values::insert(&mut expected, "value", value.read(limits::VALUE_BYTES_MAX)?);
    }
    if let Some(index) = args.if_modify {
        expected.insert("modify".into(), index.into());
    }
    let operation = if expected.is_empty() {
        "action:kv.put.v1"
    } else {
        input.insert("expected".into(), expected.into());
        "action:kv.cas.v1"
    };
    let output = context.remote().await?.call(operation, input.into()).await?;
    context.out.show(&output, || {
        let (create, modify) = (number(&output, "create"), number(&output, "modify"));
        let made = if create == modify { "created" } else { "changed" };
        format!("{made} at {modify}")
    })
}

async fn get(context: &Context, args: Get) -> Outcome {
    let output =
        context.remote().await?.call("query:kv.get.v1", json!({ "key": args.key })).await?;
    if context.out.json() {
        return context.out.show(&output, String::new);
    }
    let value = values::extract(&output, "value")
        .ok_or_else(|| Error::internal(format!("key {}: the answer has no value", args.key)))?;
    context.out.bytes(&value)
}

async fn delete(context: &Context, args: Del) -> Outcome {
    let remote = context.remote().await?;
    if args.dry_run {
        let existed = match remote.call("query:kv.get.v1", json!({ "key": args.key })).await {
            Ok(_) => true,
            Err(e) if e.kind == althing_protocol::Kind::NotFound => false,
            Err(e) => return Err(e.into()),
        };
        let output = json!({ "dry_run": true, "keys": u64::from(existed) });
        return context.out.show(&output, || {
            if existed { format!("would delete {}", args.key) } else { "nothing to delete".into() }
        });
    }
    let output = remote.call("action:kv.delete.v1", json!({ "key": args.key })).await?;
    context.out.show(&output, || {
        let existed = output.get("existed") == Some(&Value::Bool(true));
        if existed { "deleted".into() } else { "was not there".into() }
    })
}

/// Counts, asks, then deletes page by page. What others write meanwhile may stay.
async fn delete_prefix(context: &Context, args: Del) -> Outcome {
    let remote = context.remote().await?;
    let mut keys = 0u64;
    let mut pages = Pages::new(&remote, args.key.as_bytes()).keys_only();
    while let Some(page) = pages.next().await? {
        keys += page.len() as u64;
        if args.dry_run {
            let names = page.iter().filter_map(|pair| values::extract(pair, "key"));
            names.into_iter().try_for_each(|key| context.out.say(preview(&key, usize::MAX)))?;
        }
    }
    if args.dry_run {
        let output = json!({ "dry_run": true, "keys": keys });
        return context.out.show(&output, || format!("would delete {}", counted(keys)));
    }
    if keys > 0 && !args.yes {
        confirm(&format!("Delete {} under {:?}?", counted(keys), args.key), "--yes")?;
    }
    let mut deleted = 0u64;
    let mut pages = Pages::new(&remote, args.key.as_bytes()).keys_only();
    while let Some(page) = pages.next().await? {
        for some in page.chunks(limits::TXN_OPS_MAX) {
            let ops: Vec<Value> =
                some.iter().map(|pair| json!({ "delete": key_of(pair) })).collect();
            let output = remote.call("action:kv.txn.v1", json!({ "success": ops })).await?;
            let there = |result: &&Value| result["delete"]["existed"] == Value::Bool(true);
            deleted += rows(&output, "results").iter().filter(there).count() as u64;
        }
    }
    context.out.show(&json!({ "deleted": deleted }), || format!("deleted {}", counted(deleted)))
}

fn counted(keys: u64) -> String {
    match keys {
        1 => "1 key".to_owned(),
        keys => format!("{} keys", output::number(keys)),
    }
}

/// The fields that name the key of a pair.
fn key_of(pair: &Value) -> Value {
    let fields = ["key", "key_base64"].into_iter();
    fields
        .filter_map(|name| Some((name.to_owned(), pair.get(name)?.clone())))
        .collect::<Map<_, _>>()
        .into()
}

async fn list(context: &Context, args: List) -> Outcome {
    let remote = context.remote().await?;
    let mut pages = Pages::new(&remote, args.prefix.as_bytes()).after(args.after).limit(args.limit);
    let mut items = Vec::new();
    while let Some(page) = pages.next().await? {
        items.extend(page);
    }
    let more = pages.more();
    context.out.show(&json!({ "items": items, "more": more }), || {
        let row = |pair: &Value| {
            let value = values::extract(pair, "value").unwrap_or_default();
            let key = values::extract(pair, "key").unwrap_or_default();
            vec![preview(&key, usize::MAX), number(pair, "modify").to_string(), preview(&value, 60)]
        };
        let mut text = table(&["KEY", "CHANGED", "VALUE"], items.iter().map(row), "no keys");
        if more {
            text.push_str("\n(there are more: --limit, --after)");
        }
        text
    })
}

async fn txn(context: &Context, args: Txn) -> Outcome {
    let document = args.document.read_json(4 * limits::INSTRUCTION_BYTES_MAX)?;
    let output = context.remote().await?.call("action:kv.txn.v1", document).await?;
    context.out.show(&output, || {
        let succeeded = output.get("succeeded") == Some(&Value::Bool(true));
        let branch =
            if succeeded { "conditions held: success" } else { "conditions did not hold: failure" };
        let lines = rows(&output, "results").iter().map(|result| result.to_string());
        std::iter::once(branch.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
    })
}
