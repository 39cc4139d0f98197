//! `althing new` and `althing actor new`.

use crate::{
    context::Context,
    exit::Outcome,
    template::{self, Kind},
};
use althing_packaging::Language;
use althing_protocol::ProgramId;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Make a project
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Contract(Contract),
    Actor(Actor),
}

/// Make a contract that builds at once, with tests and a README
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The project needs nothing but this program and a toolchain of its language: `althing build` says
what is missing, and installs what it can.

Examples:
  althing new contract guestbook --lang python
  althing new contract shop --lang rust --dir contracts/shop")]
pub(crate) struct Contract {
    #[command(flatten)]
    project: Project,
}

/// Make an actor that builds at once, with tests and a README
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The project needs nothing but this program and a toolchain of its language, rust or python: `althing
build` says what is missing, and installs what it can.

Examples:
  althing actor new tally --lang rust
  althing new actor tally --lang python --dir actors/tally")]
pub(crate) struct Actor {
    #[command(flatten)]
    project: Project,
}

#[derive(Debug, clap::Args)]
struct Project {
    /// The program's id: 1 to 64 of a-z 0-9 - _, a letter first
    name: String,
    /// What to write it in: rust, python or, for contracts, js
    #[arg(long = "lang", value_name = "LANGUAGE")]
    language: Language,
    /// Where; it must not exist, or be empty [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Contract(args) => make(context, Kind::Contract, args.project),
        Command::Actor(args) => actor(context, args),
    }
}

/// `althing actor new` is `althing new actor`.
pub(crate) fn actor(context: &Context, args: Actor) -> Outcome {
    make(context, Kind::Actor, args.project)
}

fn make(context: &Context, kind: Kind, args: Project) -> Outcome {
    let name = ProgramId::new(args.name)?;
    let dir = args.dir.unwrap_or_else(|| PathBuf::from(name.as_str()));
    let files = template::project(kind, &name, args.language)?;
    template::write(&dir, &files)?;
    let document = json!({
        "name": name.as_str(), "kind": kind.name(), "language": args.language.name(), "dir": dir,
        "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
    });
    context.out.show(&document, || next(kind, &name, args.language, &dir))
}

fn next(kind: Kind, name: &ProgramId, language: Language, dir: &Path) -> String {
    let (a_kind, dir) = match kind {
        Kind::Contract => ("a contract", dir.display()),
        Kind::Actor => ("an actor", dir.display()),
    };
    format!(
        "{name}: {a_kind} in {}, in {dir}; its README says what is what\n\n  cd {dir}\n  \
         althing test\n  althing build\n  althing deploy build/{name}.wasm",
        language.title()
    )
}
