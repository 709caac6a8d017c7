//! `bongsu check coverage`: value at risk of portfolios by chance, against what came.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::actors::model_watch::built_in;
use crate::cli::args::CheckCrashArgs;
use crate::cli::{CliError, print};
use crate::config::Settings;
use crate::evaluate::scenarios::{Coverage, CoverageOptions, coverage};
use crate::market::SessionDay;
use crate::model::FittedModel;
use crate::store::panel::{Join, read};

/// The window: the first three years that can be scored walking forward in files from 2020 on.
const FROM: u32 = 20_220_103;
const TO: u32 = 20_241_230;

#[derive(Serialize)]
struct Report {
    from: SessionDay,
    to: SessionDay,
    paths: usize,
    seed: u64,
    rows: Vec<Coverage>,
}

/// Simulates, holds, and prints how often more was lost.
///
/// # Errors
/// [`CliError::Usage`] without `--data`; [`CliError::Runtime`] when a file cannot be used.
pub(super) fn execute(
    args: &CheckCrashArgs,
    json: bool,
    settings: &Settings,
) -> Result<(), CliError> {
    if args.data.is_empty() {
        return Err(CliError::Usage(
            "check coverage: --data is missing: expected a file of daily bars from 2020 or before"
                .to_owned(),
        ));
    }
    let indices: Vec<_> = args.indices.iter().cloned().collect();
    let panel = read(&args.data, &indices, Join::BySymbol)
        .map_err(|error| CliError::Runtime(error.into()))?;
    // Of the model only how tails are shaped is taken; its coefficients are fitted anew, month by month.
    let switch = built_in().map_err(CliError::runtime)?;
    let switch = switch.ok_or_else(|| CliError::runtime("no model is built in"))?;
    let model = FittedModel::read(&switch).map_err(|error| CliError::Runtime(error.into()))?;
    let day = |number| {
        SessionDay::from_yyyymmdd(number).expect("invariant: the window's bounds are days")
    };
    let options = CoverageOptions {
        from: day(FROM),
        to: day(TO),
        portfolios: 20,
        most_holdings: 20,
        paths: 5_000,
        seed: settings.sim.seed,
    };
    let terminal = std::io::stderr().is_terminal();
    let progress = |done: usize, of: usize| {
        if terminal {
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{done} of {of} dates …");
        }
    };
    let rows = coverage(&panel, &model.document, &options, &progress)
        .map_err(|error| CliError::Runtime(error.into()))?;
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let CoverageOptions { from, to, paths, seed, .. } = options;
    let report = Report { from, to, paths, seed, rows };
    if json {
        let line =
            serde_json::to_string(&report).map_err(|error| CliError::Runtime(error.into()))?;
        return print(&format!("{line}\n"));
    }
    print(&table(&report))
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{} to {}, {} paths, seed {}\nsessions  level  lost more  right     error  ES ratio  portfolios  dates\n",
        report.from, report.to, report.paths, report.seed
    );
    for row in &report.rows {
        text.push_str(&format!(
            "{:>8}  {:>5}  {:>7.2} %  {:>4.1} %  {:>5.2} %  {:>8}  {:>10}  {:>5}\n",
            row.horizon,
            100.0 * row.level,
            100.0 * row.exceeded,
            100.0 * (1.0 - row.level),
            100.0 * row.error,
            row.shortfall_ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            row.portfolios,
            row.dates
        ));
    }
    text
}
