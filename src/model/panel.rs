//! Daily bars in columns, by issue, and index series.
//!
//! A [`Panel`] is joined from several sources: a day of an issue that two of them give is taken
//! from the first. Prices are adjusted by whoever made the source; the panel changes nothing.
//! A missing number is NaN. KRX sessions are the dates on which any issue has a bar.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::market::{SessionDay, Symbol};

/// Daily bars of one issue, one entry a day in every column, in ascending order of days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DailyBars {
    /// Days since 1970-01-01.
    pub date: Vec<i32>,
    /// First price; NaN where there was none.
    pub open: Vec<f64>,
    /// Highest price.
    pub high: Vec<f64>,
    /// Lowest price.
    pub low: Vec<f64>,
    /// Last price; on a day without trading the last one before it.
    pub close: Vec<f64>,
    /// Shares traded.
    pub volume: Vec<f64>,
    /// No trading that day.
    pub halted: Vec<bool>,
    /// The close is beyond the price limit: a corporate action or a re-opening, no ordinary move.
    pub jump: Vec<bool>,
}

/// One day of an issue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyBar {
    /// Days since 1970-01-01.
    pub date: i32,
    /// First price; NaN where there was none.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
    /// No trading that day.
    pub halted: bool,
    /// Beyond the price limit.
    pub jump: bool,
}

impl DailyBars {
    /// Number of days.
    #[must_use]
    pub fn len(&self) -> usize {
        self.date.len()
    }

    /// Whether there is no day.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.date.is_empty()
    }

    /// Day number `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> DailyBar {
        DailyBar {
            date: self.date[at],
            open: self.open[at],
            high: self.high[at],
            low: self.low[at],
            close: self.close[at],
            volume: self.volume[at],
            halted: self.halted[at],
            jump: self.jump[at],
        }
    }

    /// Adds a day at the end; the caller keeps the order.
    pub fn push(&mut self, bar: DailyBar) {
        self.date.push(bar.date);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
        self.halted.push(bar.halted);
        self.jump.push(bar.jump);
    }

    /// The days of `self`, and those of `other` that `self` lacks.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let (mut a, mut b) = (0, 0);
        let mut joined = Self::default();
        while a < self.len() || b < other.len() {
            let first = self.date.get(a).copied().unwrap_or(i32::MAX);
            let second = other.date.get(b).copied().unwrap_or(i32::MAX);
            if first <= second {
                joined.push(self.get(a));
                a += 1;
                b += usize::from(first == second && b < other.len());
            } else {
                joined.push(other.get(b));
                b += 1;
            }
        }
        joined
    }

    /// The days before `end`.
    #[must_use]
    pub fn before(&self, end: i32) -> Self {
        let days = self.date.partition_point(|&date| date < end);
        Self {
            date: self.date[..days].to_vec(),
            open: self.open[..days].to_vec(),
            high: self.high[..days].to_vec(),
            low: self.low[..days].to_vec(),
            close: self.close[..days].to_vec(),
            volume: self.volume[..days].to_vec(),
            halted: self.halted[..days].to_vec(),
            jump: self.jump[..days].to_vec(),
        }
    }
}

/// Levels of an index on its own trading days, ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexBars {
    /// Days since 1970-01-01, of the index's own market.
    pub date: Vec<i32>,
    /// First level; NaN where it is not given.
    pub open: Vec<f64>,
    /// Highest level; NaN where it is not given.
    pub high: Vec<f64>,
    /// Lowest level; NaN where it is not given.
    pub low: Vec<f64>,
    /// Last level.
    pub close: Vec<f64>,
}

impl IndexBars {
    /// The days before `end`.
    #[must_use]
    pub fn before(&self, end: i32) -> Self {
        let days = self.date.partition_point(|&date| date < end);
        Self {
            date: self.date[..days].to_vec(),
            open: self.open[..days].to_vec(),
            high: self.high[..days].to_vec(),
            low: self.low[..days].to_vec(),
            close: self.close[..days].to_vec(),
        }
    }

    /// The days of `self`, and those of `other` that `self` lacks.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let row = |bars: &Self, at: usize| {
            let (open, high, low, close) =
                (bars.open[at], bars.high[at], bars.low[at], bars.close[at]);
            (bars.date[at], [open, high, low, close])
        };
        let mut days: BTreeMap<i32, [f64; 4]> =
            (0..other.date.len()).map(|at| row(other, at)).collect();
        days.extend((0..self.date.len()).map(|at| row(self, at)));
        Self {
            date: days.keys().copied().collect(),
            open: days.values().map(|level| level[0]).collect(),
            high: days.values().map(|level| level[1]).collect(),
            low: days.values().map(|level| level[2]).collect(),
            close: days.values().map(|level| level[3]).collect(),
        }
    }
}

/// One issue of a panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// Issue code.
    pub symbol: Symbol,
    /// Its days.
    pub bars: DailyBars,
}

/// What a panel was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataInfo {
    /// SHA-256 over the rows that were read, in hexadecimal; where they lay does not enter.
    pub sha256: String,
    /// Rows of daily bars.
    pub rows: u64,
    /// Issues.
    pub symbols: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
    /// Names of the files, without folders.
    #[serde(default)]
    pub files: Vec<String>,
}

/// Daily bars of many issues, and index series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// Issues in ascending order of their codes. One code occurs twice only where sources were
    /// deliberately kept apart.
    pub issues: Vec<Issue>,
    /// Index series by name: `KOSPI`, `VIX`, `SP500`, ….
    pub indices: BTreeMap<String, IndexBars>,
    /// What it was read from.
    pub info: DataInfo,
}

impl Panel {
    /// Every KRX session: days on which an issue has a bar, ascending, as days since 1970-01-01.
    #[must_use]
    pub fn sessions(&self) -> Vec<i32> {
        let dates = self.issues.iter().flat_map(|issue| issue.bars.date.iter().copied());
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        for date in dates.clone() {
            (low, high) = (low.min(date), high.max(date));
        }
        if low > high {
            return Vec::new();
        }
        let mut seen = vec![false; (high - low) as usize + 1];
        for date in dates {
            seen[(date - low) as usize] = true;
        }
        (low..=high).filter(|date| seen[(date - low) as usize]).collect()
    }

    /// The panel as it was before the day `end`: nothing of that day or later is left.
    #[must_use]
    pub fn before(&self, end: SessionDay) -> Self {
        let end = end.epoch_days();
        let issues = self
            .issues
            .iter()
            .map(|issue| Issue { symbol: issue.symbol, bars: issue.bars.before(end) });
        Self {
            issues: issues.filter(|issue| !issue.bars.is_empty()).collect(),
            indices: self
                .indices
                .iter()
                .map(|(name, bars)| (name.clone(), bars.before(end)))
                .collect(),
            info: self.info.clone(),
        }
    }

    /// Number of bars.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.issues.iter().map(|issue| issue.bars.len()).sum()
    }
}
