//! `althing deploy` and `upgrade`: a package becomes what a program runs.

use super::{migration::follow, number, prepare::prepare, rows, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, short},
    package::Package,
};
use althing_protocol::{Error, Result};
use althing_sandbox::Kind;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Upload, stage and activate a program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The manifest names the program and says what it asks for; the default is FILE with the ending .toml,
else althing.toml beside it. Who deploys a program first owns it.

Examples:
  althing deploy counter.wasm
  althing deploy target/tagger.wasm --manifest tagger/althing.toml --dry-run")]
pub(crate) struct Deploy {
    #[command(flatten)]
    files: Files,
}

/// Bring a program of the realm to another version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The keys of the program stay. A contract with a migration brings them to its own version; when that
fails, the version that ran goes on, and nothing of the migration stays. What ran before is kept:
althing rollback brings it back.

Actors of a program are migrated first, all of them, while they wait; then the version runs, or is
discarded for the sake of one whose state it cannot take. This command waits for that. The same
component with another manifest runs at once.

Examples:
  althing upgrade counter.wasm --dry-run
  althing upgrade counter.wasm --signature release/counter.sig")]
pub(crate) struct Upgrade {
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// The component, a .wasm file
    file: PathBuf,
    /// The package's manifest
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// A publisher's signature [default: FILE with the ending .sig, if it is there]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Deploy it as this program, whatever name the manifest gives
    #[arg(long = "as", value_name = "PROGRAM")]
    program: Option<String>,
    /// Only check the package, and say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until all actors of the program are migrated
    #[arg(long)]
    no_wait: bool,
}

impl Files {
    fn package(&self) -> Result<Package> {
        let (manifest, signature) = (self.manifest.as_deref(), self.signature.as_deref());
        Package::read(&self.file, manifest, self.program.as_deref(), signature)
    }

    fn how(&self) -> How {
        How { dry_run: self.dry_run, wait: !self.no_wait }
    }
}

/// How far a deployment goes.
#[derive(Clone, Copy)]
struct How {
    dry_run: bool,
    wait: bool,
}

pub(crate) async fn deploy(context: &Context, args: Deploy) -> Outcome {
    let package = args.files.package()?;
    let remote = context.remote().await?;
    let own = find(&remote, &package).await?;
    let deployed = bring(context, &remote, &package, own.as_ref(), args.files.how()).await?;
    context.out.show(&deployed, || {
        let hash = package.hash.to_string();
        let (program, hash) = (&package.program, short(&hash));
        match text(&deployed, "state").as_str() {
            "unchanged" => format!("{program}: {hash} is active already"),
            "checked" => format!(
                "{program}: would activate {hash}, {}",
                output::size(package.image.len() as u64)
            ),
            "upgrading" => goes_on(package.program.as_str(), &deployed),
            _ => {
                let entry = number(&deployed, "index");
                format!("{program}: {hash} is active from entry {entry}{}", migrated(&deployed))
            }
        }
    })
}

pub(crate) async fn upgrade(context: &Context, args: Upgrade) -> Outcome {
    let package = args.files.package()?;
    let remote = context.remote().await?;
    let Some(own) = find(&remote, &package).await? else {
        return Err(Error::not_found(format!(
            "program {}: not in this realm, so there is nothing to upgrade; `althing deploy` adds \
             it",
            package.program
        ))
        .into());
    };
    let mut upgraded = bring(context, &remote, &package, Some(&own), args.files.how()).await?;
    upgraded["from"] = match own.get("active") {
        Some(active) => {
            json!({ "image": text(active, "image"), "version": text(active, "version") })
        }
        None => Value::Null,
    };
    context.out.show(&upgraded, || {
        let program = &package.program;
        let to = named(&package.manifest.version, &package.hash.to_string());
        let from = match upgraded.get("from") {
            Some(Value::Null) | None => "nothing".to_owned(),
            Some(from) => named(&text(from, "version"), &text(from, "image")),
        };
        match text(&upgraded, "state").as_str() {
            "unchanged" => format!("{program}: {to} is active already"),
            "checked" => format!(
                "{program}: would go from {from} to {to}, {}",
                output::size(package.image.len() as u64)
            ),
            "upgrading" => goes_on(program.as_str(), &upgraded),
            _ => {
                let entry = number(&upgraded, "index");
                format!("{program}: {from} -> {to}, from entry {entry}{}", migrated(&upgraded))
            }
        }
    })
}

/// What is said of an upgrade that nobody waits for.
pub(super) fn goes_on(program: &str, document: &Value) -> String {
    format!(
        "{program}: migrated {} of {} actors; `althing programs {program}` says how it goes on",
        output::number(number(document, "migrated")),
        output::number(number(document, "actors"))
    )
}

/// What is said of actors that were migrated, behind the rest.
pub(super) fn migrated(document: &Value) -> String {
    match number(document, "migrated") {
        0 => String::new(),
        1 => ", with its actor migrated".to_owned(),
        actors => format!(", with its {} actors migrated", output::number(actors)),
    }
}

/// A version and its image, for people.
pub(super) fn named(version: &str, image: &str) -> String {
    match version {
        "" => short(image).to_owned(),
        version => format!("{version} ({})", short(image)),
    }
}

/// Brings a package to run. What the realm has already is not sent again.
pub(crate) async fn deploy_package(
    context: &Context,
    remote: &Remote,
    package: &Package,
    dry_run: bool,
) -> Result<Value> {
    let own = find(remote, package).await?;
    bring(context, remote, package, own.as_ref(), How { dry_run, wait: true }).await
}

/// The program as the realm has it.
async fn find(remote: &Remote, package: &Package) -> Result<Option<Value>> {
    let programs = remote.call("query:program.list.v1", json!({})).await?;
    let program = package.program.as_str();
    Ok(rows(&programs, "programs").iter().find(|row| text(row, "program") == program).cloned())
}

async fn bring(
    context: &Context,
    remote: &Remote,
    package: &Package,
    own: Option<&Value>,
    how: How,
) -> Result<Value> {
    let (program, hash) = (package.program.as_str(), package.hash.to_string());
    let version = &package.manifest.version;
    let state = |state: &str| json!({ "program": program, "image": hash, "version": version, "state": state });
    let at = |field: &str| own.and_then(|own| own.get(field)).filter(|info| is_of(info, package));
    if at("active").is_some() {
        return Ok(state("unchanged"));
    }
    if how.dry_run {
        return Ok(state("checked"));
    }
    let signer = package.signature.as_ref().map(|signature| signature.publisher.clone());
    let staged = at("staged").map(|staged| text(staged, "publisher"));
    let stages = staged != Some(signer.unwrap_or_default());
    if stages {
        upload(context, remote, package).await?;
    }
    prepare(context, remote, package).await?;
    if stages {
        let mut input = json!({ "program": program, "image": hash, "manifest": package.manifest });
        if let Some(signature) = &package.signature {
            input["signature"] = json!(signature);
        }
        remote.call("action:program.stage.v1", input).await?;
    }
    let input = json!({ "program": program, "image": hash });
    let output = remote.call("action:program.activate.v1", input).await?;
    let mut activated = state("activated");
    let index = number(&output, "index");
    activated["index"] = index.into();
    if althing_sandbox::report(&package.image).kind == Some(Kind::Actor) {
        follow(context, remote, &mut activated, (program, &hash, index), how.wait).await?;
    }
    Ok(activated)
}

/// Whether the realm has this component with this manifest.
fn is_of(info: &Value, package: &Package) -> bool {
    let manifest = json!(package.manifest);
    let fields = ["version", "description", "fuel_max", "memory_bytes_max"];
    text(info, "image") == package.hash.to_string()
        && fields.iter().all(|field| info.get(field) == manifest.get(field))
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
