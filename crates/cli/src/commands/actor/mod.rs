//! `althing actor`: JSON state behind contracts, what is sent to it, and where it has been.

mod back;
mod describe;
mod history;
mod letters;
mod life;
mod list;
mod messages;
mod test;
mod timers;
mod topics;

use super::{deploy, new, number, rows, shown, text};
use crate::{
    context::Context,
    exit::Outcome,
    values::{self, Source},
};
use althing_protocol::{Error, Result, json, limits};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Spawn actors, send them messages, look into their history
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
An actor is state of its own under an id, in JSON. Its program checks each message and each state;
what a contract refuses changes nothing. Messages are JSON: text, @FILE, or @- for stdin.

Examples:
  althing deploy ledger.wasm
  althing actor spawn bank/alice ledger
  althing actor request bank/alice '{\"open\": {\"account\": \"alice\"}}'
  althing actor history bank/alice
  althing actor rollback bank/alice --to 1
  althing actor replay bank/alice")]
pub(crate) enum Command {
    Spawn(life::Spawn),
    Send(messages::Send),
    Request(messages::Request),
    State(list::State),
    List(list::List),
    History(history::History),
    Replay(history::Replay),
    Rollback(back::Rollback),
    Describe(describe::Describe),
    Upgrade(deploy::Upgrade),
    Stop(life::Stop),
    Remove(life::Remove),
    Letters(letters::Letters),
    Retry(letters::Retry),
    SendAt(timers::SendAt),
    SendEvery(timers::SendEvery),
    Cancel(timers::Cancel),
    Timers(timers::Timers),
    Subscribe(topics::Subscribe),
    Unsubscribe(topics::Unsubscribe),
    Subscriptions(topics::Subscriptions),
    Test(test::Test),
    New(new::Actor),
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Spawn(args) => life::spawn(context, args).await,
        Command::Send(args) => messages::send(context, args).await,
        Command::Request(args) => messages::request(context, args).await,
        Command::State(args) => list::state(context, args).await,
        Command::List(args) => list::list(context, args).await,
        Command::History(args) => history::history(context, args).await,
        Command::Replay(args) => history::replay(context, args).await,
        Command::Rollback(args) => back::rollback(context, args).await,
        Command::Describe(args) => describe::describe(context, args).await,
        Command::Upgrade(args) => deploy::upgrade(context, args).await,
        Command::Stop(args) => life::stop(context, args).await,
        Command::Remove(args) => life::remove(context, args).await,
        Command::Letters(args) => letters::letters(context, args).await,
        Command::Retry(args) => letters::retry(context, args).await,
        Command::SendAt(args) => timers::send_at(context, args).await,
        Command::SendEvery(args) => timers::send_every(context, args).await,
        Command::Cancel(args) => timers::cancel(context, args).await,
        Command::Timers(args) => timers::timers(context, args).await,
        Command::Subscribe(args) => topics::subscribe(context, args).await,
        Command::Unsubscribe(args) => topics::unsubscribe(context, args).await,
        Command::Subscriptions(args) => topics::subscriptions(context, args).await,
        Command::Test(args) => test::run(context, args).await,
        Command::New(args) => new::actor(context, args),
    }
}

/// How messages are written, for the help texts.
fn message_help() -> String {
    format!("The message as JSON: {}", values::HELP)
}

/// The message that an argument gives. What the realm would read as something else is refused here.
fn message(source: &Source) -> Result<Value> {
    let text = source.read(limits::INSTRUCTION_BYTES_MAX)?;
    // Where in the text it is no JSON at all, this says.
    serde_json::from_slice::<IgnoredAny>(&text).map_err(|e| {
        Error::invalid(format!("message: not JSON: {e}; a text needs quotes: '\"text\"'"))
    })?;
    json::parse("message", &text)
}

/// Said under a page that has another one behind it.
const MORE: &str = "\n(there are more: --limit, --after)";

fn with_more(mut page: String, output: &Value) -> String {
    if output.get("more") == Some(&Value::Bool(true)) {
        page.push_str(MORE);
    }
    page
}

/// JSON on a line.
fn line(value: &Value, width: usize) -> String {
    crate::output::preview(value.to_string().as_bytes(), width)
}
