//! `althing actor send` and `request`.

use super::{line, message, message_help, number, rows, shown, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, fields},
    values::Source,
};
use serde_json::{Value, json};

/// Characters of a message on a line.
const WIDTH: usize = 100;

/// Put a message into an actor's mailbox
///
/// It does not wait for what comes of it: a message that the actor refuses becomes a dead letter.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing actor send bank/alice '{\"open\": {\"account\": \"alice\"}}'
  althing actor send home/heating @reading.json
  althing actor letters bank/alice")]
pub(crate) struct Send {
    #[command(flatten)]
    message: Message,
}

/// Deliver a message to an actor, and print its new state
///
/// What a contract refuses is an error, and nothing of it stays. It overtakes up to 64 messages that
/// wait, and none of its own sender: then it is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing actor request bank/alice '{\"open\": {\"account\": \"alice\"}}'
  althing actor request bank/alice '{\"open\": {\"account\": \"bob\"}}' -v")]
pub(crate) struct Request {
    #[command(flatten)]
    message: Message,
}

#[derive(Debug, clap::Args)]
struct Message {
    /// The actor's id
    actor: String,
    #[arg(help = message_help(), allow_hyphen_values = true)]
    message: Source,
}

impl Message {
    fn input(&self) -> althing_protocol::Result<Value> {
        Ok(json!({ "actor": self.actor, "message": message(&self.message)? }))
    }
}

pub(super) async fn send(context: &Context, args: Send) -> Outcome {
    let input = args.message.input()?;
    let output = context.remote().await?.call("action:actor.send.v1", input).await?;
    context.out.show(&output, || {
        format!("{}: sent, entry {}", args.message.actor, number(&output, "index"))
    })
}

pub(super) async fn request(context: &Context, args: Request) -> Outcome {
    let input = args.message.input()?;
    let output = context.remote().await?.call("action:actor.request.v1", input).await?;
    context.out.show(&output, || match output.get("state") {
        Some(state) => shown(state),
        None => format!("its state is long: althing actor state {}", args.message.actor),
    })?;
    if context.verbose() {
        let pairs = [
            ("step", text(&output, "step")),
            ("index", text(&output, "index")),
            ("fuel", output::number(number(&output, "fuel"))),
            ("hash", text(&output, "state_hash")),
            ("chain", text(&output, "chain")),
        ];
        context.out.say(fields(&pairs))?;
        for sent in rows(&output, "sends") {
            let message = line(sent.get("message").unwrap_or(&sent["hash"]), WIDTH);
            context.out.say(format!("sent  {}  {message}", text(sent, "to")))?;
        }
    }
    Ok(())
}
