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
mod parquet;
mod rows;
mod text;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

pub use database::read_database;
pub use error::PanelError;
use rows::{BarRows, SeriesRows};
pub use write::{Column, check_ending, write_table};

use crate::market::{SessionDay, Symbol};
use crate::model::panel::{DailyBars, DataInfo, IndexBars, Issue, Panel};

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
    let mut panel = Panel { issues, indices: series, info: DataInfo::default() };
    panel.info = info(&panel, files);
    Ok(panel)
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

/// What was read: counts, dates, and a SHA-256 over codes and values in canonical order.
fn info(panel: &Panel, files: Vec<String>) -> DataInfo {
    let digests: Vec<[u8; 32]> = panel.issues.par_iter().map(issue_digest).collect();
    let mut whole = Sha256::new();
    for digest in digests {
        whole.update(digest);
    }
    for (name, bars) in &panel.indices {
        whole.update((name.len() as u64).to_le_bytes());
        whole.update(name.as_bytes());
        whole.update((bars.date.len() as u64).to_le_bytes());
        for at in 0..bars.date.len() {
            whole.update(bars.date[at].to_le_bytes());
            for level in [bars.open[at], bars.high[at], bars.low[at], bars.close[at]] {
                whole.update(canonical(level));
            }
        }
    }
    let days = || panel.issues.iter().filter(|issue| !issue.bars.is_empty());
    let first = days().map(|issue| issue.bars.date[0]).min().unwrap_or(0);
    let last = days().filter_map(|issue| issue.bars.date.last()).max().copied().unwrap_or(0);
    DataInfo {
        sha256: hex::encode(whole.finalize()),
        rows: panel.rows() as u64,
        symbols: panel.issues.len() as u64,
        from: SessionDay::from_epoch_days(first),
        to: SessionDay::from_epoch_days(last),
        files,
    }
}

/// A number's bits; every NaN is the same.
fn canonical(value: f64) -> [u8; 8] {
    if value.is_nan() { f64::NAN.to_bits().to_le_bytes() } else { value.to_bits().to_le_bytes() }
}

fn issue_digest(issue: &Issue) -> [u8; 32] {
    let DailyBars { date, open, high, low, close, volume, halted, jump } = &issue.bars;
    let mut bytes: Vec<u8> = Vec::with_capacity(16 + date.len() * 46);
    bytes.extend(issue.symbol.word().to_le_bytes());
    bytes.extend((date.len() as u64).to_le_bytes());
    for at in 0..date.len() {
        bytes.extend(date[at].to_le_bytes());
        for value in [open[at], high[at], low[at], close[at], volume[at]] {
            bytes.extend(canonical(value));
        }
        bytes.extend([u8::from(halted[at]), u8::from(jump[at])]);
    }
    Sha256::digest(&bytes).into()
}

#[cfg(test)]
mod tests;
