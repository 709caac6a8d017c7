//! The command line: one file a subcommand.
//!
//! Every command is called in the same way: the arguments are parsed ([`args`]), those that are
//! settings become the highest layer of [`Settings`], the settings are loaded and checked, and the
//! command's `execute(args, settings)` runs to its end. A command that needs a runtime makes one.
//!
//! Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings. Errors go to stderr as
//! `bongsu: …` with their causes; a reader of stdout that goes away ends a command quietly.

pub mod args;
pub mod assembly;
pub mod bench;
pub mod check;
pub mod config_show;
pub mod doctor;
pub mod enqueue;
mod error;
pub mod evaluate;
mod finding;
pub mod jobs;
pub mod journal;
pub mod kis_sim;
mod kis_state;
pub mod models;
mod output;
pub mod replay;
pub mod run;
pub mod simulate;
pub mod tail;
pub mod train;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

pub use args::Cli;
use args::{Command, ConfigCommand, JobsCommand};
pub use error::CliError;
pub use output::print;

use crate::config::{Settings, Sources};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run_with(std::env::args_os())
}

/// Runs `arguments`, the first of which is the program's name.
fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout; when nobody reads, so be it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(cli) {
        Ok(()) | Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            // When nobody reads stderr either, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "bongsu: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), CliError> {
    let command = cli.command.unwrap_or_default();
    let mut flags = cli.global.flags();
    flags.extend(command.flags());
    let settings = Settings::load(&Sources::of_process(cli.global.config, flags))?;
    match command {
        Command::Run(args) => run::execute(args, settings),
        Command::KisSim(args) => kis_sim::execute(*args, settings),
        Command::Replay(args) => replay::execute(args, settings),
        Command::Evaluate(args) => evaluate::execute(&args, &settings),
        Command::Simulate(args) => simulate::execute(&args, &settings),
        Command::Bench(args) => bench::execute(args, settings),
        Command::Tail(args) => tail::execute(args, settings),
        Command::Journal(args) => journal::execute(args, settings),
        Command::Enqueue(args) => enqueue::execute(args, settings),
        Command::Jobs { command: JobsCommand::List { json } } => jobs::list(json),
        Command::Jobs { command: JobsCommand::Next { count, json } } => {
            jobs::next(count.into(), json)
        }
        Command::Jobs { command: JobsCommand::Run { name, json } } => {
            jobs::run(&name, json, &settings)
        }
        Command::Models { command } => models::execute(command, &settings),
        Command::Train(args) => train::execute(args, &settings),
        Command::Doctor(args) => doctor::execute(args, settings),
        Command::Check(args) => check::execute(args, settings),
        Command::Config { command: ConfigCommand::Show(args) } => {
            config_show::execute(args, settings)
        }
    }
}
