//! `althing deploy`, `programs`, `call`, `query`, `logs`.

use super::{number, rows, shown, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, fields, short, table},
    package::Package,
    values::{self, Source},
};
use althing_protocol::{Error, Result, limits};
use data_encoding::BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, time::Duration};

/// Upload, stage and activate a program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The manifest names the program and says what it asks for; the default is FILE with the ending .toml,
else althing.toml beside it.

Examples:
  althing deploy counter.wasm
  althing deploy target/tagger.wasm --manifest tagger/althing.toml --dry-run")]
pub(crate) struct Deploy {
    /// The component, a .wasm file
    file: PathBuf,
    /// The package's manifest
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Deploy it as this program, whatever name the manifest gives
    #[arg(long = "as", value_name = "PROGRAM")]
    program: Option<String>,
    /// Only check the package, and say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// List the programs of the realm
#[derive(Debug, clap::Args)]
pub(crate) struct Programs {}

/// Call a method of a program, as an instruction in the log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing call counter increment '{\"by\": 2}'
  althing call tagger set_rule @rule.json")]
pub(crate) struct Call {
    #[command(flatten)]
    method: Method,
}

/// Ask a program, without changing anything
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing query counter value
  althing query counter value --read local")]
pub(crate) struct Query {
    #[command(flatten)]
    method: Method,
}

#[derive(Debug, clap::Args)]
struct Method {
    /// The program
    program: String,
    /// The method
    method: String,
    #[arg(help = format!("The args as JSON: {}", values::HELP), allow_hyphen_values = true)]
    args: Option<Source>,
    /// Send the args as they are, whether or not they are JSON
    #[arg(long)]
    raw: bool,
}

/// Show what a program logged on this node
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The program
    program: String,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "LINES")]
    lines: usize,
}

pub(crate) async fn deploy(context: &Context, args: Deploy) -> Outcome {
    let package = Package::read(&args.file, args.manifest.as_deref(), args.program.as_deref())?;
    let remote = context.remote().await?;
    let deployed = deploy_package(context, &remote, &package, args.dry_run).await?;
    context.out.show(&deployed, || {
        let hash = package.hash.to_string();
        let (program, hash) = (&package.program, short(&hash));
        match text(&deployed, "state").as_str() {
            "unchanged" => format!("{program}: {hash} is active already"),
            "checked" => format!(
                "{program}: would activate {hash}, {}",
                output::size(package.image.len() as u64)
            ),
            _ => format!("{program}: {hash} is active from entry {}", number(&deployed, "index")),
        }
    })
}

/// Brings a package to run. What the realm has already is not sent again.
pub(crate) async fn deploy_package(
    context: &Context,
    remote: &Remote,
    package: &Package,
    dry_run: bool,
) -> Result<Value> {
    let (program, hash) = (package.program.as_str(), package.hash.to_string());
    let state = |state: &str| json!({ "program": program, "image": hash, "state": state });
    let programs = remote.call("query:program.list.v1", json!({})).await?;
    let own = rows(&programs, "programs").iter().find(|row| text(row, "program") == program);
    let image = |field: &str| own.and_then(|own| own.get(field)).map(|info| text(info, "image"));
    if image("active").as_ref() == Some(&hash) {
        return Ok(state("unchanged"));
    }
    if dry_run {
        return Ok(state("checked"));
    }
    if image("staged").as_ref() != Some(&hash) {
        upload(context, remote, package).await?;
        let input = json!({ "program": program, "image": hash, "manifest": package.manifest });
        remote.call("action:program.stage.v1", input).await?;
    }
    let input = json!({ "program": program, "image": hash });
    let output = remote.call("action:program.activate.v1", input).await?;
    let mut activated = state("activated");
    activated["index"] = number(&output, "index").into();
    Ok(activated)
}

async fn upload(context: &Context, remote: &Remote, package: &Package) -> Result<()> {
    let bar = if context.out.json() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(package.image.len() as u64)
    };
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    bar.set_message(format!("uploading {}", package.program));
    let result = remote.client.upload(&package.image, |sent| bar.set_position(sent)).await;
    bar.finish_and_clear();
    result.map(|_| ())
}

pub(crate) async fn programs(context: &Context, _: Programs) -> Outcome {
    let output = context.remote().await?.call("query:program.list.v1", json!({})).await?;
    context.out.show(&output, || {
        let row = |program: &Value| {
            let (active, staged) = (program.get("active"), program.get("staged"));
            let of = |info: Option<&Value>, field| {
                info.map(|info| text(info, field)).unwrap_or_default()
            };
            vec![
                text(program, "program"),
                of(active.or(staged), "version"),
                short(&of(active, "image")).to_owned(),
                short(&of(staged, "image")).to_owned(),
                of(active.or(staged), "description"),
            ]
        };
        let titles = ["PROGRAM", "VERSION", "ACTIVE", "STAGED", "DESCRIPTION"];
        table(
            &titles,
            rows(&output, "programs").iter().map(row),
            "no programs; `althing deploy FILE` adds one",
        )
    })
}

impl Method {
    fn input(&self) -> Result<Value> {
        let mut input = Map::new();
        input.insert("program".into(), self.program.clone().into());
        input.insert("method".into(), self.method.clone().into());
        match &self.args {
            Some(args) if self.raw => {
                let bytes = args.read(limits::INSTRUCTION_BYTES_MAX)?;
                input.insert("args_base64".into(), BASE64.encode(&bytes).into());
            }
            Some(args) => {
                input.insert("args".into(), args.read_json(limits::INSTRUCTION_BYTES_MAX)?);
            }
            None if self.raw => return Err(Error::invalid("--raw: there are no args")),
            None => {}
        }
        Ok(input.into())
    }
}

pub(crate) async fn call(context: &Context, args: Call) -> Outcome {
    let input = args.method.input()?;
    let output = context.remote().await?.call("action:program.call.v1", input).await?;
    given(context, &output)?;
    if context.verbose() {
        let pairs =
            [("index", text(&output, "index")), ("fuel", output::number(number(&output, "fuel")))];
        context.out.say(fields(&pairs))?;
        for event in rows(&output, "events") {
            context.out.say(format!("event  {}  {}", text(event, "topic"), text(event, "data")))?;
        }
    }
    Ok(())
}

pub(crate) async fn query(context: &Context, args: Query) -> Outcome {
    let input = args.method.input()?;
    let output = context.remote().await?.call("query:program.query.v1", input).await?;
    given(context, &output)
}

/// What a program gave: JSON for people, or its bytes as they are.
fn given(context: &Context, output: &Value) -> Outcome {
    if context.out.json() {
        return context.out.show(output, String::new);
    }
    match output.get("output") {
        Some(json) => context.out.show(output, || shown(json)),
        None => context.out.bytes(&values::extract(output, "output").unwrap_or_default()),
    }
}

pub(crate) async fn logs(context: &Context, args: Logs) -> Outcome {
    const POLL: Duration = Duration::from_millis(500);
    /// As many as a node keeps.
    const LINES_MAX: u64 = 1_000;
    let remote = context.remote().await?;
    let mut input = json!({ "program": args.program, "limit": LINES_MAX });
    let mut wanted = args.lines;
    loop {
        let output = remote.call("query:program.logs.v1", input.clone()).await?;
        let lines = rows(&output, "lines");
        for line in &lines[lines.len().saturating_sub(wanted)..] {
            context.out.item(line, || {
                format!(
                    "{:>8}  {:5}  {}",
                    number(line, "index"),
                    text(line, "level"),
                    output::printable(&text(line, "text"))
                )
            })?;
        }
        if let Some(last) = lines.last() {
            input["after"] = number(last, "number").into();
        }
        if !args.follow {
            return Ok(());
        }
        wanted = usize::MAX;
        tokio::time::sleep(POLL).await;
    }
}
