//! `bongsu check hedge`: what defence plans would have saved in real falls, and cost in calm weeks.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

use crate::advice::korean::grouped;
use crate::cli::args::CheckCrashArgs;
use crate::cli::{CliError, print};
use crate::evaluate::hedge::{
    HedgeMeans, HedgeOptions, HedgeReport, HedgeWindow, spliced, try_hedges,
};
use crate::store::panel::{self, Join};

/// Tries the plans and prints what came of them.
///
/// # Errors
/// [`CliError::Usage`] without files; [`CliError::Runtime`] when one cannot be used, or a window is not
/// in them.
pub(super) fn execute(args: &CheckCrashArgs, json: bool) -> Result<(), CliError> {
    let missing = |flag: &str| {
        CliError::Usage(format!(
            "check hedge: {flag} is missing: expected Parquet files of daily bars (--data: date, symbol, \
             open, high, low, close, volume; several are put one behind the other) and one of index \
             bars (--indices: date, series, open, high, low, close)"
        ))
    };
    if args.data.is_empty() {
        return Err(missing("--data"));
    }
    let indices = args.indices.clone().ok_or_else(|| missing("--indices"))?;
    let read = |path: &std::path::PathBuf| {
        panel::read(std::slice::from_ref(path), std::slice::from_ref(&indices), Join::BySymbol)
    };
    let panels = args.data.iter().map(read).collect::<Result<Vec<_>, _>>();
    let panel = spliced(panels.context("cannot use the data")?);
    let terminal = std::io::stderr().is_terminal();
    let told = |done: usize, of: usize| {
        if terminal {
            // Progress nobody can see is no failure.
            let _ = write!(std::io::stderr(), "\r\x1b[Kwindow {} of {of} …", done + 1);
        }
    };
    let report = try_hedges(&panel, &HedgeOptions::default(), &told);
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let report = report.context("cannot try the plans")?;
    if json {
        let line =
            serde_json::to_string(&report).map_err(|error| CliError::Runtime(error.into()))?;
        return print(&format!("{line}\n"));
    }
    print(&table(&report))
}

fn table(report: &HedgeReport) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write_table(&mut text, report);
    text
}

fn write_table(text: &mut String, report: &HedgeReport) -> std::fmt::Result {
    writeln!(
        text,
        "from        to          index  held, won    waiting      first-ranked        saved        cost stated  risk before → after"
    )?;
    for window in &report.windows {
        let HedgeWindow { from, to, index_pct, value, waiting, first, cost, .. } = window;
        writeln!(
            text,
            "{from}  {to} {index_pct:>6.1} % {:>11} {:>12}  {:<17} {:>12} {:>12}  {:>11} → {}",
            grouped(*value),
            grouped(*waiting),
            first.action,
            grouped(first.saved.unwrap_or_default()),
            grouped(*cost),
            grouped(window.risk_before),
            grouped(window.risk_after),
        )?;
    }
    for (name, means) in [("falls", &report.falls), ("calm weeks", &report.calm)] {
        let HedgeMeans { windows, saved_pct, waiting_pct, by_action } = means;
        writeln!(
            text,
            "\n{name}: {windows} windows; waiting {waiting_pct:+.2} %, the first-ranked plan saved {saved_pct:+.2} % of the value held"
        )?;
        for (action, saved) in by_action {
            writeln!(text, "  {action:<18} {saved:>+7.2} %")?;
        }
    }
    Ok(())
}
