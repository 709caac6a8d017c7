//! The issue's own terms, one pass over its clean days.

use super::window::SlidingSum;
use super::{OWN, OwnTerms};
use crate::model::clean::DayRow;
use crate::model::losses::VARIANCE_FLOOR;
use crate::model::tails::SortedWindow;

/// Clean days before the terms are known.
pub const MINIMUM_DAYS: usize = 66;
/// Days that the terms look back at most; with fewer they take what there is.
pub const LONGEST: usize = 250;

/// What the own terms of the next session follow from.
#[derive(Debug, Clone)]
pub struct OwnState {
    days: usize,
    last: Option<DayRow>,
    before_last: Option<DayRow>,
    range: [SlidingSum; 4],
    squares: [SlidingSum; 2],
    returns: SlidingSum,
    overnight: SlidingSum,
    zeros: SlidingSum,
    volume: SlidingSum,
    value: SortedWindow,
}

impl Default for OwnState {
    fn default() -> Self {
        Self {
            days: 0,
            last: None,
            before_last: None,
            range: [5, 22, 66, LONGEST].map(SlidingSum::new),
            squares: [22, LONGEST].map(SlidingSum::new),
            returns: SlidingSum::new(5),
            overnight: SlidingSum::new(22),
            zeros: SlidingSum::new(22),
            volume: SlidingSum::new(22),
            value: SortedWindow::new(LONGEST),
        }
    }
}

/// ln of a variance, not below ln 10⁻⁵.
fn log_variance(variance: f64) -> f64 {
    variance.max(VARIANCE_FLOOR).ln()
}

impl OwnState {
    /// Takes the next clean day in.
    pub fn push(&mut self, row: &DayRow) {
        self.days += 1;
        self.before_last = self.last.replace(*row);
        self.range.iter_mut().for_each(|sum| sum.push(row.range));
        self.squares.iter_mut().for_each(|sum| sum.push(row.r * row.r));
        self.returns.push(row.r);
        self.overnight.push(row.overnight * row.overnight);
        self.zeros.push(f64::from(u8::from(row.r == 0.0)));
        self.volume.push(row.volume);
        self.value.push(row.value);
    }

    /// Clean days so far.
    #[must_use]
    pub const fn days(&self) -> usize {
        self.days
    }

    /// Median of the value traded over the last 250 clean days, won; `None` before the 66th.
    #[must_use]
    pub fn median_value(&self) -> Option<f64> {
        (self.days >= MINIMUM_DAYS).then(|| self.value.median())
    }

    /// Mean range variance of the last 22 clean days; `None` before the 66th.
    #[must_use]
    pub fn range22(&self) -> Option<f64> {
        (self.days >= MINIMUM_DAYS).then(|| self.range[1].mean())
    }

    /// The terms of the session that follows; `None` before the 66th clean day.
    #[must_use]
    pub fn terms(&self) -> Option<OwnTerms> {
        let last = self.last.filter(|_| self.days >= MINIMUM_DAYS)?;
        let [range5, range22, range66, range250] = [0, 1, 2, 3].map(|at| self.range[at].mean());
        let [squares22, squares250] = [0, 1].map(|at| self.squares[at].mean());
        let deviation = range22.max(VARIANCE_FLOOR).sqrt();
        let one = last.r / deviation;
        let second = self.before_last?;
        let volume = (last.volume / self.volume.mean()).ln().clamp(-4.0, 4.0);
        let five = self.returns.sum() / (5.0_f64.sqrt() * deviation);
        let terms: [f64; OWN] = [
            log_variance(last.range),
            log_variance(range5),
            log_variance(range22),
            log_variance(range66),
            log_variance(range250),
            log_variance(squares22),
            (log_variance(squares250) - log_variance(range250)).clamp(-2.0, 2.0),
            one.clamp(-8.0, 0.0),
            one.clamp(0.0, 8.0),
            five.clamp(-6.0, 0.0),
            five.clamp(0.0, 6.0),
            self.overnight.mean() / range22.max(1e-12),
            self.zeros.mean(),
            volume,
            self.value.median().ln(),
            log_variance(second.range),
            (log_variance(last.range) - log_variance(range22)) * volume,
        ];
        terms.iter().all(|term| term.is_finite()).then_some(OwnTerms(terms))
    }
}

/// The own terms of the session after `history`, clean days in ascending order.
///
/// A reader that keeps only the last days of an issue gets what the whole history would give, as
/// far as it reaches: all terms from the last 250 days, all but `lp250 lrat250 ltv` from the last
/// 66; with 66 to 249 days those three are taken over what there is. `None` with fewer than 66.
#[must_use]
pub fn own_terms(history: &[DayRow]) -> Option<OwnTerms> {
    let mut state = OwnState::default();
    for row in &history[history.len().saturating_sub(LONGEST)..] {
        state.push(row);
    }
    state.terms()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each definition written out over the whole history.
    fn naive(history: &[DayRow]) -> [f64; OWN] {
        let last = |k: usize| &history[history.len().saturating_sub(k)..];
        let mean = |k: usize, of: fn(&DayRow) -> f64| {
            last(k).iter().map(of).sum::<f64>() / last(k).len() as f64
        };
        let ln = |v: f64| v.max(1e-5).ln();
        let range = |k| mean(k, |row| row.range);
        let s = range(22).max(1e-5).sqrt();
        let r1 = last(1)[0].r;
        let r5: f64 = last(5).iter().map(|row| row.r).sum();
        let mut values: Vec<f64> = last(250).iter().map(|row| row.value).collect();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let median =
            if n % 2 == 1 { values[n / 2] } else { (values[n / 2 - 1] + values[n / 2]) / 2.0 };
        let root5 = 5.0_f64.sqrt();
        let lvol = (last(1)[0].volume / mean(22, |row| row.volume)).ln().clamp(-4.0, 4.0);
        [
            ln(range(1)),
            ln(range(5)),
            ln(range(22)),
            ln(range(66)),
            ln(range(250)),
            ln(mean(22, |row| row.r * row.r)),
            (ln(mean(250, |row| row.r * row.r)) - ln(range(250))).clamp(-2.0, 2.0),
            (r1.min(0.0) / s).max(-8.0),
            (r1.max(0.0) / s).min(8.0),
            (r5.min(0.0) / (root5 * s)).max(-6.0),
            (r5.max(0.0) / (root5 * s)).min(6.0),
            mean(22, |row| row.overnight * row.overnight) / range(22).max(1e-12),
            mean(22, |row| if row.r == 0.0 { 1.0 } else { 0.0 }),
            lvol,
            median.ln(),
            ln(last(2)[0].range),
            (ln(range(1)) - ln(range(22))) * lvol,
        ]
    }

    fn days() -> impl Strategy<Value = Vec<DayRow>> {
        let day = (-0.3..0.26_f64, 0.0..0.1_f64, -0.2..0.2_f64, 1.0..1e9_f64, any::<bool>());
        let day = day.prop_map(|(r, session, overnight, volume, still)| DayRow {
            r: if still { 0.0 } else { r },
            range: session + overnight * overnight,
            overnight,
            volume,
            value: volume * 1_234.0,
        });
        prop::collection::vec(day, 60..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn as_defined(history in days()) {
            let mut state = OwnState::default();
            for (at, row) in history.iter().enumerate() {
                state.push(row);
                let seen = &history[..=at];
                prop_assert_eq!(state.terms().is_some(), seen.len() >= MINIMUM_DAYS);
                let Some(terms) = state.terms() else { continue };
                for (term, (found, expected)) in terms.0.iter().zip(naive(seen)).enumerate() {
                    prop_assert!((found - expected).abs() < 1e-10, "term {term}: {found} {expected}");
                }
                let live = own_terms(seen).unwrap();
                for (found, expected) in live.0.iter().zip(terms.0) {
                    prop_assert!((found - expected).abs() < 1e-10);
                }
            }
        }
    }
}
