//! `bongsu evaluate`: how good forecasts and picks would have been, month by month.
//!
//! Reads bars and index series, walks through the window as if it were lived through, plays its
//! market crash days through the detectors, and prints the figures as a table or as one JSON object. `--leak-check` does it again on data that end
//! earlier and compares.

pub mod crash;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use rustc_hash::FxHashSet;

use super::args::EvaluateArgs;
use super::{CliError, assembly};
use crate::config::Settings;
use crate::evaluate::leak::{cuts, first_difference};
use crate::evaluate::report::CrashReport;
use crate::evaluate::{Evaluation, Run, RunOptions, run};
use crate::market::{SessionDay, Symbol};
use crate::model::panel::Panel;
use crate::model::train::Progress;
use crate::store::panel::{self, Column, Join};

/// Days at which the leak check cuts the data.
const CUTS: usize = 5;

/// Runs the command.
///
/// # Errors
/// [`CliError::Usage`] without `--data` or with dates in the wrong order; [`CliError::Runtime`]
/// when a file cannot be read or written, no row can be scored, or later data reached an earlier
/// result.
pub fn execute(args: &EvaluateArgs, settings: &Settings) -> Result<(), CliError> {
    check(args)?;
    let progress = Line::new();
    progress.say("reading");
    let (panel, options) = load(args)?;
    for name in ["KOSPI", "VIX", "SP500"] {
        if !panel.indices.contains_key(name) {
            progress
                .note(&format!("no series {name} in --indices: forecasts do without its terms"));
        }
    }
    let result = run(&panel, &options, &|step| progress.step(step));
    let result = result.context("cannot evaluate")?;
    if args.leak_check {
        progress.end();
        return leak_check(&panel, &options, &result);
    }
    write_results(args, &result)?;
    let Some(metrics) = &result.metrics else {
        let (from, to) = (panel.info.from, panel.info.to);
        return Err(CliError::runtime(format!(
            "no row can be scored: the data cover {from} to {to}, and an issue is scored after 500 clean days with a median of 200 million won traded a day; give earlier data or another --from and --to"
        )));
    };
    let window = (metrics.from, metrics.to);
    let mut report = Evaluation::new(metrics, &result, options.origin, options.method);
    if !args.indices.is_empty() {
        report.crash = crashes(args, settings, &panel, window, &progress);
    }
    progress.end();
    if args.json {
        let text = serde_json::to_string(&report).context("figures as JSON")?;
        return super::print(&format!("{text}\n"));
    }
    super::print(&report.table())
}

/// How the window's market crash days were found; `None` with a note when they cannot be played, which
/// takes nothing from the other figures.
fn crashes(
    args: &EvaluateArgs,
    settings: &Settings,
    panel: &Panel,
    window: (SessionDay, SessionDay),
    progress: &Line,
) -> Option<CrashReport> {
    if !["KOSPI", "KOSDAQ"].iter().any(|name| panel.indices.contains_key(*name)) {
        return None;
    }
    let days = crash::days_within(panel, window);
    progress.say(&format!("{} crash days and calm days through the detectors", days.len()));
    let options = crash::CrashOptions {
        params: assembly::risk_params(settings),
        symbols: Some(crash::FEWER_SYMBOLS),
        trades_per_symbol: Some(crash::FEWER_TRADES),
        seed: settings.sim.seed,
    };
    match crash::run_days(&args.data, &args.indices, &days, &options) {
        Ok(played) => Some(CrashReport {
            days: played.days as u64,
            detected: played.detected as u64,
            missed: played.missed as u64,
            false_alarms: played.false_alarms as u64,
            median_delay_s: played.median_delay_s,
        }),
        Err(error) => {
            progress.note(&format!("crash days are left out: {error:#}"));
            None
        }
    }
}

fn check(args: &EvaluateArgs) -> Result<(), CliError> {
    if args.data.is_empty() {
        return Err(CliError::Usage(
            "evaluate needs daily bars: --data FILE (Parquet or CSV with date, symbol, open, high, low, close, volume)".into(),
        ));
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(CliError::Usage(format!("--from {from} is after --to {to}")));
    }
    for path in [&args.forecasts, &args.picks].into_iter().flatten() {
        panel::check_ending(path).map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(())
}

/// The panel and what to do with it. A fit universe with bars of its own is joined behind the
/// data: its issues are fitted, and forecast only as far as the data have them.
fn load(args: &EvaluateArgs) -> Result<(Panel, RunOptions), CliError> {
    let mut files: Vec<PathBuf> = args.data.clone();
    let mut options = RunOptions {
        from: args.from,
        to: args.to,
        origin: args.origin.into(),
        method: args.method.into(),
        ..RunOptions::default()
    };
    if let Some(path) = &args.fit_universe {
        options.universe = Some(panel::read_universe(path).context("fit universe")?);
        if panel::has_bars(path).context("fit universe")? && !files.contains(path) {
            let mut wanted: FxHashSet<Symbol> = FxHashSet::default();
            for file in &files {
                wanted.extend(panel::read_universe(file).context("data")?);
            }
            options.wanted = Some(wanted);
            files.push(path.clone());
        }
    }
    let panel =
        panel::read(&files, &args.indices, Join::BySymbol).context("cannot use the data")?;
    Ok((panel, options))
}

fn write_results(args: &EvaluateArgs, result: &Run) -> Result<(), CliError> {
    if let Some(path) = &args.forecasts {
        panel::write_table(path, &forecast_table(result)).context("forecasts")?;
    }
    if let Some(path) = &args.picks {
        panel::write_table(path, &pick_table(result)).context("picks")?;
    }
    Ok(())
}

fn forecast_table(result: &Run) -> Vec<(&'static str, Column)> {
    let rows = || result.forecasts.iter().filter_map(|row| Some((row, row.forecast?)));
    let numbers = |of: fn(&crate::model::Forecast) -> f64| {
        Column::Numbers(rows().map(|(_, forecast)| of(&forecast)).collect())
    };
    let days = rows().map(|(row, _)| result.dates[row.session]).collect();
    let symbols = rows().map(|(row, _)| result.symbols[row.issue].to_string()).collect();
    vec![
        ("date", Column::Days(days)),
        ("symbol", Column::Texts(symbols)),
        ("var", numbers(|f| f.variance)),
        ("v01", numbers(|f| f.v01)),
        ("v025", numbers(|f| f.v025)),
        ("v05", numbers(|f| f.v05)),
        ("e025", numbers(|f| f.e025)),
        ("e05", numbers(|f| f.e05)),
    ]
}

fn pick_table(result: &Run) -> Vec<(&'static str, Column)> {
    let (mut days, mut symbols, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
    for (week, picks) in result.weeks.iter().zip(&result.picks) {
        for (rank, &issue) in (1..).zip(picks) {
            days.push(result.dates[week.session]);
            symbols.push(result.symbols[issue].to_string());
            ranks.push(rank);
        }
    }
    vec![
        ("date", Column::Days(days)),
        ("symbol", Column::Texts(symbols)),
        ("rank", Column::Integers(ranks)),
    ]
}

fn leak_check(panel: &Panel, options: &RunOptions, whole: &Run) -> Result<(), CliError> {
    let days = cuts(whole, CUTS);
    if days.is_empty() {
        return Err(CliError::runtime("no row can be scored, so there is nothing to compare"));
    }
    let progress = Line::new();
    for day in &days {
        progress.say(&format!("data until {day}"));
        let found = first_difference(panel, options, whole, *day, &|_| ());
        if let Some(difference) =
            found.with_context(|| format!("cannot evaluate data until {day}"))?
        {
            progress.end();
            return Err(CliError::runtime(format!(
                "later data reach earlier results: {difference}"
            )));
        }
    }
    progress.end();
    let days: Vec<String> = days.iter().map(SessionDay::to_string).collect();
    super::print(&format!(
        "no difference: forecasts and picks are the same to the last bit on data that end on {}\n",
        days.join(", ")
    ))
}

/// One line of progress on a terminal's stderr; nothing in a pipe.
struct Line {
    terminal: bool,
}

impl Line {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    fn say(&self, text: &str) {
        if self.terminal {
            // Progress nobody can see is no failure.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text} …");
        }
    }

    fn step(&self, step: Progress) {
        match step {
            Progress::Features => self.say("terms"),
            Progress::Months { done, of } => self.say(&format!("month {done} of {of}")),
            Progress::Tails => self.say("tails"),
            Progress::Validation => self.say("figures"),
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn note(&self, text: &str) {
        self.end();
        let _ = writeln!(std::io::stderr(), "bongsu: {text}");
    }
}
