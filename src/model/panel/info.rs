//! What a panel holds, in a few figures and a fingerprint.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{DailyBars, Issue, Panel};
use crate::market::SessionDay;

/// What a panel holds and where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataInfo {
    /// SHA-256 over the rows, in hexadecimal; where they lay does not enter.
    pub sha256: String,
    /// Rows of daily bars.
    pub rows: u64,
    /// Issues.
    pub symbols: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
    /// Names of the files they were read from, without folders.
    #[serde(default)]
    pub files: Vec<String>,
}

impl DataInfo {
    /// Of all rows of `panel`: counts, dates, and a SHA-256 over codes and values in canonical order.
    pub(super) fn of(panel: &Panel, files: Vec<String>) -> Self {
        let digests: Vec<[u8; 32]> = panel.issues.par_iter().map(issue_digest).collect();
        let mut whole = Sha256::new();
        for digest in digests {
            whole.update(digest);
        }
        for (name, bars) in &panel.indices {
            whole.update((name.len() as u64).to_le_bytes());
            whole.update(name.as_bytes());
            whole.update((bars.len() as u64).to_le_bytes());
            for at in 0..bars.len() {
                whole.update(bars.date[at].to_le_bytes());
                for level in [bars.open[at], bars.high[at], bars.low[at], bars.close[at]] {
                    whole.update(canonical(level));
                }
            }
        }
        let days = || panel.issues.iter().filter(|issue| !issue.bars.is_empty());
        let first = days().map(|issue| issue.bars.date[0]).min().unwrap_or(0);
        let last = days().filter_map(|issue| issue.bars.date.last()).max().copied().unwrap_or(0);
        Self {
            sha256: hex::encode(whole.finalize()),
            rows: panel.rows() as u64,
            symbols: panel.issues.len() as u64,
            from: SessionDay::from_epoch_days(first),
            to: SessionDay::from_epoch_days(last),
            files,
        }
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
