//! Names and boards of issues, where a file of bars has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Format, PanelError, format, parquet, text};
use crate::advice::simulate::Known;
use crate::market::{Market, Symbol};

/// A row's code, name, board and sector; empty where there is none.
pub type KnownRow = (Symbol, String, String, String);

/// What the columns `name`, `market` and `sector` of files of bars say of each issue; the first file
/// counts. A file without them says nothing.
///
/// # Errors
/// As [`read`](super::read).
pub fn read_known(files: &[PathBuf]) -> Result<BTreeMap<Symbol, Known>, PanelError> {
    let mut known = BTreeMap::new();
    for path in files {
        for (symbol, name, market, sector) in rows(path)? {
            if !(name.is_empty() && market.is_empty() && sector.is_empty()) {
                known.entry(symbol).or_insert_with(|| Known {
                    name,
                    market: board(&market),
                    sector: Some(sector).filter(|sector| !sector.is_empty()),
                });
            }
        }
    }
    Ok(known)
}

fn rows(path: &Path) -> Result<Vec<KnownRow>, PanelError> {
    match format(path)? {
        Format::Parquet => parquet::known(path),
        Format::Csv => text::known(path),
    }
}

/// The board a file names.
fn board(name: &str) -> Market {
    match name.to_ascii_uppercase().as_str() {
        "KOSPI" => Market::Kospi,
        "KOSDAQ" => Market::Kosdaq,
        "" => Market::Unknown,
        _ => Market::Other,
    }
}
