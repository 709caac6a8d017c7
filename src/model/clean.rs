//! Which days of an issue count, and what is measured on them.
//!
//! Returns across a halt, a corporate action or a move beyond the price limit are no market
//! moves: they neither enter a history nor are they forecast. Zero returns stay, nothing is
//! trimmed otherwise.

use super::panel::{DailyBar, DailyBars, IndexBars};
use crate::market::daily::{DayPrices, DayVariance};

/// ln of the lowest and highest ratio of closes within the price limit of 30 %, and rounding.
pub const RETURN_LIMITS: (f64, f64) = (-0.363_843_433_417_345, 0.266_203_040_774_656_7);

/// KRX sessions and where each lies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    dates: Vec<i32>,
    /// By days since the first session, the number of the session; `u32::MAX` where there is none.
    index: Vec<u32>,
}

impl Sessions {
    /// Of ascending days since 1970-01-01.
    #[must_use]
    pub fn new(dates: Vec<i32>) -> Self {
        let (Some(first), Some(last)) = (dates.first(), dates.last()) else {
            return Self::default();
        };
        let mut index = vec![u32::MAX; (last - first) as usize + 1];
        for (number, date) in dates.iter().enumerate() {
            index[(date - first) as usize] = number as u32;
        }
        Self { dates, index }
    }

    /// Number of the session on this day.
    #[must_use]
    pub fn number(&self, date: i32) -> Option<usize> {
        let offset = usize::try_from(date - self.dates.first()?).ok()?;
        self.index.get(offset).filter(|number| **number != u32::MAX).map(|number| *number as usize)
    }

    /// The days, ascending.
    #[must_use]
    pub fn dates(&self) -> &[i32] {
        &self.dates
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dates.is_empty()
    }
}

/// What is measured on a clean day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayRow {
    /// Log return, close to close.
    pub r: f64,
    /// Range variance: [`DayVariance::variance`].
    pub range: f64,
    /// Log return from the close before to the open.
    pub overnight: f64,
    /// Shares traded.
    pub volume: f64,
    /// Close times volume, won.
    pub value: f64,
}

/// Clean days of one issue in columns, ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CleanRows {
    /// Number of the session.
    pub session: Vec<u32>,
    /// What was measured.
    pub rows: Vec<DayRow>,
}

/// Whether the bar is of a day on which the issue was traded.
#[must_use]
pub fn trades(bar: &DailyBar) -> bool {
    !bar.halted && bar.volume > 0.0 && bar.open.is_finite() && bar.open > 0.0 && bar.close > 0.0
}

/// The bar with its high not below, its low not above any of its prices: adjusted prices are
/// rounded one by one, which can put them out of order.
#[must_use]
pub fn clamped(bar: &DailyBar) -> DailyBar {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    // NaN loses against any number in `min` and `max`.
    let high = prices.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let positive = prices.iter().copied().filter(|price| *price > 0.0);
    let low = positive.fold(f64::INFINITY, f64::min);
    DailyBar { high, low, ..*bar }
}

/// What is measured on `bar` when it is clean after `previous`, the bar of the session before:
/// both trade, the close did not jump, and the return is within the limits.
#[must_use]
pub fn clean(previous: &DailyBar, bar: &DailyBar) -> Option<DayRow> {
    if !trades(previous) || !trades(bar) || bar.jump {
        return None;
    }
    let r = (bar.close / previous.close).ln();
    if !(RETURN_LIMITS.0..=RETURN_LIMITS.1).contains(&r) {
        return None;
    }
    let bar = clamped(bar);
    let prices = DayPrices::new(bar.open, bar.high, bar.low, bar.close)?;
    let DayVariance { overnight, variance } = prices.day(previous.close)?;
    let value = bar.close * bar.volume;
    let row = DayRow { r, range: variance, overnight, volume: bar.volume, value };
    (row.range.is_finite() && row.value.is_finite()).then_some(row)
}

/// The clean days of an issue. A day whose session before the issue has no bar of is not clean.
#[must_use]
pub fn clean_rows(bars: &DailyBars, sessions: &Sessions) -> CleanRows {
    let mut clean_rows = CleanRows::default();
    let mut previous: Option<(usize, DailyBar)> = None;
    for at in 0..bars.len() {
        let bar = bars.get(at);
        let Some(session) = sessions.number(bar.date) else { continue };
        if let Some((before, earlier)) = previous
            && before + 1 == session
            && let Some(row) = clean(&earlier, &bar)
        {
            clean_rows.session.push(session as u32);
            clean_rows.rows.push(row);
        }
        previous = Some((session, bar));
    }
    clean_rows
}

/// Log return and range variance of each day of an index after its first. A level that is not
/// given is taken from the close before (open) or from the open (high, low). What cannot be computed
/// is NaN.
#[must_use]
pub fn index_rows(bars: &IndexBars) -> Vec<(i32, f64, f64)> {
    (1..bars.date.len())
        .map(|at| {
            let (before, close) = (bars.close[at - 1], bars.close[at]);
            let open = if bars.open[at] > 0.0 { bars.open[at] } else { before };
            let given = |level: f64| if level > 0.0 { level } else { open };
            let prices = DayPrices::new(open, given(bars.high[at]), given(bars.low[at]), close);
            let range = prices.and_then(|prices| prices.day(before)).map(|day| day.variance);
            (bars.date[at], (close / before).ln(), range.unwrap_or(f64::NAN))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bar(date: i32, prices: [f64; 4], volume: f64) -> DailyBar {
        let [open, high, low, close] = prices;
        DailyBar { date, open, high, low, close, volume, halted: false, jump: false }
    }

    #[test]
    fn limits_are_what_they_say() {
        assert!((RETURN_LIMITS.0 - 0.695_f64.ln()).abs() < 1e-15);
        assert!((RETURN_LIMITS.1 - 1.305_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn halts_reopenings_splits_and_jumps_are_no_moves() {
        let day = [100.0, 102.0, 99.0, 101.0];
        let before = bar(0, day, 10.0);
        assert!(clean(&before, &bar(1, day, 10.0)).is_some());
        let halted = DailyBar { open: f64::NAN, halted: true, volume: 0.0, ..before };
        assert_eq!(clean(&before, &halted), None);
        assert_eq!(clean(&halted, &bar(1, [90.0, 91.0, 89.0, 90.0], 10.0)), None, "re-opening");
        assert_eq!(clean(&before, &bar(1, day, 0.0)), None, "no volume");
        let tenth = day.map(|price| price / 10.0);
        assert_eq!(clean(&before, &bar(1, tenth, 100.0)), None, "a split, 10 for 1, unadjusted");
        assert_eq!(clean(&before, &DailyBar { jump: true, ..bar(1, day, 10.0) }), None);
    }

    #[test]
    fn a_missing_session_breaks_the_chain() {
        let mut bars = DailyBars::default();
        for date in [0, 1, 3, 4] {
            bars.push(bar(date, [100.0, 102.0, 99.0, 101.0], 10.0));
        }
        let sessions = Sessions::new(vec![0, 1, 2, 3, 4]);
        assert_eq!(clean_rows(&bars, &sessions).session, [1, 4]);
        assert_eq!(sessions.number(2), Some(2));
        assert_eq!(sessions.number(-1), None);
        assert_eq!(sessions.number(9), None);
    }

    proptest! {
        #[test]
        fn a_clean_row_is_finite(prices in prop::array::uniform4(1.0..1e6_f64), before in 1.0..1e6_f64) {
            let previous = bar(0, [before; 4], 1.0);
            if let Some(row) = clean(&previous, &bar(1, prices, 3.0)) {
                prop_assert!(row.range >= row.overnight * row.overnight);
                prop_assert!(row.r.abs() < 0.37 && row.range.is_finite());
            }
        }

        #[test]
        fn scale_does_not_matter(prices in prop::array::uniform4(90.0..110.0_f64), k in 0.01..100.0_f64) {
            let at = |k: f64| {
                clean(&bar(0, [100.0 * k; 4], 1.0), &bar(1, prices.map(|p| p * k), 3.0)).unwrap()
            };
            prop_assert!((at(1.0).range - at(k).range).abs() < 1e-12);
            prop_assert!((at(1.0).r - at(k).r).abs() < 1e-12);
        }
    }
}
