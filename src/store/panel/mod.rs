//! Daily bars and index series from Parquet and CSV files.
//!
//! Input: files with the columns `date symbol open high low close volume` and, where they have
//! them, `halted jump`; index files with `date series open high low close`. Output: a
//! [`Panel`] with a fingerprint of what was read. Files of one adjustment are joined by issue and
//! day, a day that two of them give is taken from the first; files kept apart count each of their
//! issues for itself. Only the columns that are used are read, row groups in parallel.
//!
//! A file that cannot be used is refused as a whole, with the file, column, row and value.

mod columns;
mod database;
mod error;
mod known;
mod parquet;
mod rows;
mod text;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

pub use database::{DailyBarCount, count_daily_bars, read_database};
pub use error::PanelError;
pub use known::read_known;
use rows::{BarRows, SeriesRows};
pub use write::{Column, check_ending, write_table};

use crate::market::Symbol;
use crate::model::panel::{IndexBars, Issue, Panel};

/// How several files of bars belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// Prices of one adjustment: the days of an issue are joined.
    #[default]
    BySymbol,
    /// Each file for itself: a code that two of them have is two issues.
    Apart,
}

/// What a file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
}

fn format(path: &Path) -> Result<Format, PanelError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "parquet" | "pq" => Ok(Format::Parquet),
        "csv" => Ok(Format::Csv),
        _ => Err(PanelError::Ending { path: path.into() }),
    }
}

/// Reads bars and index series.
///
/// # Errors
/// When a file cannot be read, lacks a column, or holds a value that cannot be.
pub fn read(data: &[PathBuf], indices: &[PathBuf], join: Join) -> Result<Panel, PanelError> {
    let mut issues: Vec<Issue> = Vec::new();
    for path in data {
        let read = read_bars(path)?;
        issues = match join {
            Join::Apart => merged(issues, read),
            Join::BySymbol => joined(issues, read),
        };
    }
    let mut series: BTreeMap<String, IndexBars> = BTreeMap::new();
    for path in indices {
        for (name, bars) in read_series(path)? {
            let known = series.remove(&name);
            let bars = known.map_or_else(|| bars.clone(), |known| known.joined(&bars));
            series.insert(name, bars);
        }
    }
    let names = data.iter().chain(indices).filter_map(|path| path.file_name());
    let files = names.map(|name| name.to_string_lossy().into_owned()).collect();
    Ok(Panel::new(issues, series, files))
}

/// The codes in the column `symbol` of a file, which may have other columns or none.
///
/// # Errors
/// As [`read`].
pub fn read_universe(path: &Path) -> Result<FxHashSet<Symbol>, PanelError> {
    match format(path)? {
        Format::Parquet => parquet::symbols(path),
        Format::Csv => text::symbols(path),
    }
}

/// Whether a file has bars, not codes alone.
///
/// # Errors
/// As [`read`].
pub fn has_bars(path: &Path) -> Result<bool, PanelError> {
    let columns = match format(path)? {
        Format::Parquet => parquet::column_names(path)?,
        Format::Csv => text::column_names(path)?,
    };
    Ok(columns.iter().any(|name| name == "close"))
}

fn read_bars(path: &Path) -> Result<Vec<Issue>, PanelError> {
    let parts: Vec<BarRows> = match format(path)? {
        Format::Parquet => parquet::bars(path)?,
        Format::Csv => vec![text::bars(path)?],
    };
    rows::issues(path, parts)
}

fn read_series(path: &Path) -> Result<BTreeMap<String, IndexBars>, PanelError> {
    let parts: Vec<SeriesRows> = match format(path)? {
        Format::Parquet => parquet::series(path)?,
        Format::Csv => vec![text::series(path)?],
    };
    Ok(rows::series(parts))
}

/// Both lists in the order of their codes, none joined.
fn merged(mut known: Vec<Issue>, read: Vec<Issue>) -> Vec<Issue> {
    known.extend(read);
    // Stable: of equal codes that of the first file comes first.
    known.sort_by_key(|issue| issue.symbol);
    known
}

/// Issues of equal code joined into one.
fn joined(known: Vec<Issue>, read: Vec<Issue>) -> Vec<Issue> {
    let mut all = merged(known, read);
    all.dedup_by(|later, first| {
        let same = later.symbol == first.symbol;
        if same {
            first.bars = first.bars.joined(&later.bars);
        }
        same
    });
    all
}

#[cfg(test)]
mod tests;
