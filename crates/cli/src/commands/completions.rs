//! `althing completions`.

use crate::{cli::Cli, context::Context, exit::Outcome};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing completions bash > ~/.local/share/bash-completion/completions/althing
  althing completions fish > ~/.config/fish/completions/althing.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "althing", &mut script);
    context.out.bytes(&script)
}
