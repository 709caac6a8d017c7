//! Daily bars in columns, by issue, and index series.
//!
//! A [`Panel`] is joined from several sources: a day of an issue that two of them give is taken
//! from the first. Prices are adjusted by whoever made the source; the panel changes nothing.
//! A missing number is NaN. KRX sessions are the dates on which any issue has a bar.

mod columns;
mod info;

use std::collections::BTreeMap;

use self::columns::day_columns;
pub use self::info::DataInfo;
use crate::market::{SessionDay, Symbol};

day_columns! {
    /// Daily bars of one issue, one entry a day in every column, in ascending order of days.
    DailyBars of
    /// One day of an issue.
    DailyBar {
        /// First price; NaN where there was none.
        open: f64,
        /// Highest price; NaN where there was none.
        high: f64,
        /// Lowest price; NaN where there was none.
        low: f64,
        /// Last price; on a day without trading the last one before it.
        close: f64,
        /// Shares traded.
        volume: f64,
        /// No trading that day.
        halted: bool,
        /// The close is beyond the price limit: a corporate action or a re-opening, no ordinary move.
        jump: bool,
    }
}

day_columns! {
    /// Levels of an index on the trading days of its own market, ascending.
    IndexBars of
    /// One day of an index.
    IndexBar {
        /// First level; NaN where it is not given.
        open: f64,
        /// Highest level; NaN where it is not given.
        high: f64,
        /// Lowest level; NaN where it is not given.
        low: f64,
        /// Last level.
        close: f64,
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

/// Daily bars of many issues, and index series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// Issues in ascending order of their codes. One code occurs twice only where sources were
    /// deliberately kept apart.
    pub issues: Vec<Issue>,
    /// Index series by name: `KOSPI`, `VIX`, `SP500`, ….
    pub indices: BTreeMap<String, IndexBars>,
    /// What it holds.
    pub info: DataInfo,
}

impl Panel {
    /// Of issues in ascending order of their codes, and of index series. `files` are the names of
    /// what they were read from.
    #[must_use]
    pub fn new(
        issues: Vec<Issue>,
        indices: BTreeMap<String, IndexBars>,
        files: Vec<String>,
    ) -> Self {
        let mut panel = Self { issues, indices, info: DataInfo::default() };
        panel.info = DataInfo::of(&panel, files);
        panel
    }

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

    /// The panel as it was before the day `end`: nothing of that day or later is left, in `info`
    /// neither.
    #[must_use]
    pub fn before(&self, end: SessionDay) -> Self {
        let end = end.epoch_days();
        let part = |issue: &Issue| Issue { symbol: issue.symbol, bars: issue.bars.before(end) };
        let issues = self.issues.iter().map(part).filter(|issue| !issue.bars.is_empty()).collect();
        let indices = self.indices.iter().map(|(name, bars)| (name.clone(), bars.before(end)));
        Self::new(issues, indices.collect(), self.info.files.clone())
    }

    /// Number of bars.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.issues.iter().map(|issue| issue.bars.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let day = |date: i32| DailyBar {
            date,
            open: f64::NAN,
            high: 11.0,
            low: 9.0,
            close: 10.0,
            volume: 5.0,
            halted: date == 3,
            jump: false,
        };
        let issue = |symbol: &str, days: &[i32]| {
            let mut bars = DailyBars::default();
            days.iter().for_each(|date| bars.push(day(*date)));
            Issue { symbol: symbol.parse().unwrap(), bars }
        };
        let mut index = IndexBars::default();
        for date in [1, 2, 4] {
            index.push(IndexBar { date, open: 1.0, high: 2.0, low: 0.5, close: f64::from(date) });
        }
        let issues = vec![issue("000020", &[1, 2, 3, 5]), issue("000030", &[4, 5])];
        Panel::new(issues, BTreeMap::from([("KOSPI".to_owned(), index)]), vec!["a.csv".to_owned()])
    }

    #[test]
    fn a_part_is_described_as_what_it_is() {
        let whole = panel();
        let part = whole.before(SessionDay::from_epoch_days(4));
        let DataInfo { rows, symbols, from, to, files, sha256 } = part.info.clone();
        assert_eq!((rows, symbols, from.epoch_days(), to.epoch_days()), (3, 1, 1, 3));
        assert_eq!(files, ["a.csv"]);
        assert_ne!(sha256, whole.info.sha256);
        // As if it had been read alone, and the whole as it was.
        let alone = Panel::new(part.issues.clone(), part.indices.clone(), files);
        assert_eq!(alone.info, part.info);
        assert_eq!(whole.before(SessionDay::from_epoch_days(6)).info, whole.info);
        assert_eq!((whole.info.rows, whole.info.symbols, part.sessions()), (6, 2, vec![1, 2, 3]));
    }

    #[test]
    fn the_first_of_two_gives_a_day_that_both_have() {
        let series = |days: &[i32], close: f64| {
            let mut bars = IndexBars::default();
            let bar = |date| IndexBar { date, open: 1.0, high: 1.0, low: 1.0, close };
            days.iter().for_each(|date| bars.push(bar(*date)));
            bars
        };
        let joined = series(&[2, 4], 1.0).joined(&series(&[1, 2, 5, 6], 2.0));
        assert_eq!(joined.date, [1, 2, 4, 5, 6]);
        assert_eq!(joined.close, [2.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(series(&[], 1.0).joined(&joined), joined);
    }
}
