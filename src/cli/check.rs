//! `bongsu check`: tries what the daemon does, once and small, and says what does not work.
//!
//! - `etl` (`etl.rs`): everything collection and feed need of KIS, and where the results go.
//! - `ai` (`scorer.rs`): the range of the scores over a short simulated stretch.
//! - `llm` (`reports.rs`): one small report by the language model that is set.
//! - `crash` (`crash.rs`): the detectors on recorded days; a table, no list of checks.
//! - `coverage` (`coverage.rs`): whether portfolios lost what the simulation said; likewise.
//! - `hedge` (`hedge.rs`): defence plans on recorded days; likewise.
//!
//! A check is a line: name, state, what was found and, for anything but `ok`, what to do. Unlike
//! `doctor` this asks KIS for an access token when none is kept, makes the calls that collection
//! makes, and, while no daemon runs on the data folder, subscribes for a moment. It stores nothing
//! but the token.

mod coverage;
mod crash;
mod etl;
mod hedge;
mod reports;
mod scorer;
mod socket;

use super::args::{CheckArgs, CheckWhat};
use super::finding::report;
use super::{CliError, assembly};
use crate::config::Settings;

/// Makes the checks and prints them.
///
/// # Errors
/// [`CliError::Runtime`] when a check failed, after all have been printed, or the runtime or the
/// built-in simulator cannot be started; [`CliError::Usage`] for settings that cannot be used.
pub fn execute(args: CheckArgs, settings: Settings) -> Result<(), CliError> {
    if args.what == CheckWhat::Coverage {
        return coverage::execute(&args.crash, args.json, &settings);
    }
    if args.what == CheckWhat::Crash {
        return crash::execute(&args.crash, args.json, &settings);
    }
    if args.what == CheckWhat::Hedge {
        return hedge::execute(&args.crash, args.json);
    }
    let runtime = assembly::runtime()?;
    let mut checks = Vec::new();
    let all = args.what == CheckWhat::All;
    if all || args.what == CheckWhat::Etl {
        checks.extend(runtime.block_on(etl::checks(&settings))?);
    }
    if all || args.what == CheckWhat::Ai {
        checks.push(scorer::check(&settings));
    }
    if all || args.what == CheckWhat::Llm {
        checks.push(runtime.block_on(reports::check(&settings))?);
    }
    let command = match args.what {
        CheckWhat::Etl => "check etl",
        CheckWhat::Ai => "check ai",
        CheckWhat::Llm => "check llm",
        CheckWhat::Crash => "check crash",
        CheckWhat::Coverage => "check coverage",
        CheckWhat::Hedge => "check hedge",
        CheckWhat::All => "check all",
    };
    report(command, &checks, args.json)
}
