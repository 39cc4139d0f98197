//! The command line: what it says, what runs, and how it ends.

use crate::{
    commands::{
        actor, build, completions, deploy, explain, grant, ingest, init, inspect, invite, join,
        key, kv, leave, lifecycle, log, members, new, ops, program, programs, repair, role, sign,
        snapshot, status, test, token, up,
    },
    context::{Context, Globals},
    exit::{self, Outcome, Stop},
};
use althing_protocol::Error;
use clap::{Parser, Subcommand, error::ErrorKind};
use std::{io, process::ExitCode};
use tracing_subscriber::EnvFilter;

const AFTER_HELP: &str = "\
Values and args are text, @FILE, or @- for stdin. Every command takes --json.

Examples:
  althing up                              make a realm here and run its node
  althing kv put /notes/first hello       write a key
  althing new contract shop --lang python a project of your own: build, test, deploy it
  althing deploy counter.wasm             upload, stage and activate a program
  althing actor spawn bank/alice ledger   an actor of a program that is deployed
  althing invite                          let another machine join the realm
  althing ingest /usr/share/doc           put a tree's file metadata into the realm";

/// One dependable computer of the machines you own.
#[derive(Debug, Parser)]
#[command(name = "althing", version, max_term_width = 100, after_help = AFTER_HELP)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", exit::HELP))]
#[command(propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Init(init::Args),
    Status(status::Args),
    #[command(subcommand)]
    Kv(kv::Command),
    #[command(subcommand)]
    New(new::Command),
    Build(build::Args),
    Test(test::Args),
    Inspect(inspect::Args),
    Deploy(deploy::Deploy),
    Upgrade(deploy::Upgrade),
    Rollback(lifecycle::Rollback),
    Disable(lifecycle::Disable),
    Enable(lifecycle::Enable),
    Remove(lifecycle::Remove),
    Sign(sign::Sign),
    Programs(programs::Programs),
    Rules(programs::Rules),
    Call(program::Call),
    Query(program::Query),
    #[command(subcommand)]
    Actor(actor::Command),
    Logs(program::Logs),
    #[command(subcommand)]
    Log(log::Command),
    Explain(explain::Args),
    Grant(grant::Grant),
    Revoke(grant::Revoke),
    Grants(grant::Grants),
    #[command(subcommand)]
    Role(role::Command),
    #[command(subcommand)]
    Token(token::Command),
    Invite(invite::Invite),
    Uninvite(invite::Uninvite),
    Join(join::Args),
    Members(members::Members),
    Promote(members::Promote),
    Demote(members::Demote),
    TransferLeader(leave::TransferLeader),
    Leave(leave::Leave),
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    Repair(repair::Args),
    #[command(subcommand)]
    Key(key::Command),
    #[command(subcommand)]
    Ops(ops::Command),
    Ingest(ingest::Args),
    Completions(completions::Args),
}

/// Parses, runs, reports.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return refuse(&e),
    };
    let json = cli.globals.json;
    trace(&cli);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli));
            // A read of stdin or of a slow disk may still hang on a thread of its own.
            runtime.shutdown_background();
            outcome
        }
        Err(e) => Err(Stop::Failed(Error::unavailable(format!("threads of the runtime: {e}")))),
    };
    exit::finish(outcome, json)
}

async fn run(cli: Cli) -> Outcome {
    let context = Context::new(cli.globals);
    match cli.command {
        Command::Up(args) => up::run(&context, args).await,
        Command::Init(args) => init::run(&context, &args),
        Command::Status(args) => status::run(&context, args).await,
        Command::Kv(command) => kv::run(&context, command).await,
        Command::New(command) => new::run(&context, command),
        Command::Build(args) => build::run(&context, args).await,
        Command::Test(args) => test::run(&context, args).await,
        Command::Inspect(args) => inspect::run(&context, &args),
        Command::Deploy(args) => deploy::deploy(&context, args).await,
        Command::Upgrade(args) => deploy::upgrade(&context, args).await,
        Command::Rollback(args) => lifecycle::rollback(&context, args).await,
        Command::Disable(args) => lifecycle::disable(&context, args).await,
        Command::Enable(args) => lifecycle::enable(&context, args).await,
        Command::Remove(args) => lifecycle::remove(&context, args).await,
        Command::Sign(args) => sign::run(&context, &args),
        Command::Programs(args) => programs::programs(&context, args).await,
        Command::Rules(args) => programs::rules(&context, args).await,
        Command::Call(args) => program::call(&context, args).await,
        Command::Query(args) => program::query(&context, args).await,
        Command::Actor(command) => actor::run(&context, command).await,
        Command::Logs(args) => program::logs(&context, args).await,
        Command::Log(command) => log::run(&context, command).await,
        Command::Explain(args) => explain::run(&context, args).await,
        Command::Grant(args) => grant::grant(&context, args).await,
        Command::Revoke(args) => grant::revoke(&context, args).await,
        Command::Grants(args) => grant::grants(&context, args).await,
        Command::Role(command) => role::run(&context, command).await,
        Command::Token(command) => token::run(&context, command).await,
        Command::Invite(args) => invite::invite(&context, args).await,
        Command::Uninvite(args) => invite::uninvite(&context, args).await,
        Command::Join(args) => join::run(&context, args).await,
        Command::Members(args) => members::members(&context, args).await,
        Command::Promote(args) => members::promote(&context, args).await,
        Command::Demote(args) => members::demote(&context, args).await,
        Command::TransferLeader(args) => leave::transfer_leader(&context, args).await,
        Command::Leave(args) => leave::leave(&context, args).await,
        Command::Snapshot(command) => snapshot::run(&context, command).await,
        Command::Repair(args) => repair::run(&context, args).await,
        Command::Key(command) => key::run(&context, command),
        Command::Ops(command) => ops::run(&context, command).await,
        Command::Ingest(args) => ingest::run(&context, args).await,
        Command::Completions(args) => completions::run(&context, &args),
    }
}

/// Help and version go to stdout; a mistake goes to stderr, as JSON when JSON was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    let told = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if told || !json {
        // Nobody is left to tell that nobody reads.
        let _ = error.print();
        return ExitCode::from(if told { 0 } else { 2 });
    }
    let message = error.render().to_string();
    let message = message.trim().trim_start_matches("error: ");
    exit::finish(Err(Stop::Failed(Error::invalid(message))), true)
}

/// Diagnostics go to stderr: what `ALTHING_LOG` asks for, else what `-v` and the command suggest.
fn trace(cli: &Cli) {
    let level = match (cli.globals.verbose, &cli.command) {
        (0, Command::Up(_)) => "info",
        (0, _) => "warn",
        (1, _) => "info",
        (2, _) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("ALTHING_LOG").unwrap_or_else(|_| {
        // The crates below follow -v late, and consensus warns of what is no news with one voter.
        let below = if cli.globals.verbose > 2 { "debug" } else { "warn,openraft=error" };
        EnvFilter::new(format!("{below},althing={level}"))
    });
    let terminal = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        /// As wide as help becomes.
        const WIDTH: usize = 100;
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            let behind = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in behind.lines() {
                assert!(line.chars().count() <= WIDTH, "would be broken: {line}");
            }
            for argument in command.get_arguments() {
                let name = argument.get_id();
                assert!(argument.get_help().is_some(), "{} {name} has no help", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn no_command_takes_a_global_flag_for_its_own() {
        fn check(command: &clap::Command, globals: &[&clap::Id]) {
            for argument in command.get_arguments() {
                assert!(
                    !globals.contains(&argument.get_id()),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(|below| check(below, globals));
        }
        let cli = Cli::command();
        let globals: Vec<_> = cli.get_arguments().map(clap::Arg::get_id).collect();
        assert!(globals.len() >= 8);
        cli.get_subcommands().for_each(|command| check(command, &globals));
    }
}
