//! `althing new`.

use crate::{context::Context, exit::Outcome, template};
use althing_packaging::Language;
use althing_protocol::ProgramId;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Make a project
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Contract(Contract),
}

/// Make a contract that builds at once, with tests and a README
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The project needs nothing but this program and a toolchain of its language: `althing build` says what
is missing, and installs what it can.

Examples:
  althing new contract guestbook --lang python
  althing new contract shop --lang rust --dir contracts/shop")]
pub(crate) struct Contract {
    /// The program's id: 1 to 64 of a-z 0-9 - _, a letter first
    name: String,
    /// What to write it in: rust, python or js
    #[arg(long = "lang", value_name = "LANGUAGE")]
    language: Language,
    /// Where; it must not exist, or be empty [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    let Command::Contract(args) = command;
    let name = ProgramId::new(args.name)?;
    let dir = args.dir.unwrap_or_else(|| PathBuf::from(name.as_str()));
    let files = template::contract(&name, args.language)?;
    template::write(&dir, &files)?;
    let document = json!({
        "name": name.as_str(), "language": args.language.name(), "dir": dir,
        "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
    });
    context.out.show(&document, || next(&name, args.language, &dir))
}

fn next(name: &ProgramId, language: Language, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "{name}: a contract in {}, in {dir}; its README says what is what\n\n  cd {dir}\n  \
         althing test\n  althing build\n  althing deploy build/{name}.wasm",
        language.title()
    )
}
