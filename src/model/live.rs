//! Today's forecast of the issues that a daemon watches, from the sessions it was told of.
//!
//! A daemon knows some four months of daily bars of each issue it watches, and a calendar; no
//! index history and no US session. It uses the coefficients that were fitted without those
//! ([`Variant::Watched`](super::Variant::Watched)), and takes the breadth over the issues it
//! watches. On the KOSPI issues from 2022 to mid-2024 that costs little: FZ0 at 2.5 % is 1.687 with
//! the breadth of all issues, 1.697 with that of 40 and 1.704 with that of 15, against 1.725 of
//! the published 25 terms with an issue's own tail.
//!
//! Input: [`Reference`]s with ranges. Output: terms and [`Forecast`]s of the session that comes.
//! There are none of an issue with fewer than 66 clean days, and no forecast that cannot be: a
//! deviation beyond what the price limit lets a day have, or below that of a tick. It is then the
//! caller's to make from what it has, so a document of absurd coefficients cannot blind the
//! detectors that measure in deviations.

use super::clean::{DayRow, clean};
use super::document::{Document, Forecast};
use super::features::breadth::{Breadth, BreadthSum};
use super::features::window::SlidingSum;
use super::features::{MarketTerms, Origin, OwnTerms, own_terms};
use super::panel::DailyBar;
use crate::market::{Reference, SessionBar, Symbol};

/// Issues without which a session's breadth says nothing.
const LEAST_WATCHED: usize = 10;
/// Clean days that a return is measured by.
const NORM_DAYS: usize = 22;

/// Variance of a day that can be, fraction²: from 0.05 % to the price limit of 30 % (ln 0.7 = −0.357).
const POSSIBLE: std::ops::RangeInclusive<f64> = 2.5e-7..=0.127;
/// Standard deviations that a mean tail loss can have.
const MOST_DEVIATIONS: f64 = 20.0;

/// Sessions of an issue before today, oldest first; `None` where it had no clean day.
pub type History = Vec<Option<DayRow>>;

fn daily_bar(bar: SessionBar) -> DailyBar {
    let price = |won: i64| if won > 0 { won as f64 } else { f64::NAN };
    DailyBar {
        date: 0,
        open: price(bar.open),
        high: price(bar.high),
        low: price(bar.low),
        close: bar.close as f64,
        volume: bar.volume as f64,
        halted: bar.volume <= 0,
        // What is beyond the price limit is left out by its return.
        jump: false,
    }
}

/// The clean days of an issue, by session; empty when only its closes are known.
#[must_use]
pub fn history(reference: &Reference) -> History {
    let bars: Vec<DailyBar> = reference.sessions().map(daily_bar).collect();
    bars.windows(2).map(|pair| clean(&pair[0], &pair[1])).collect()
}

/// Whether most of the watched issues fell or rose lately. The histories end with the same session.
#[must_use]
pub fn watched_breadth(histories: &[History]) -> Breadth {
    let sessions = histories.iter().map(Vec::len).max().unwrap_or(0);
    let mut sums = vec![BreadthSum::default(); sessions];
    for history in histories {
        let mut norm = SlidingSum::new(NORM_DAYS);
        let sums = &mut sums[sessions - history.len()..];
        for (sum, row) in sums.iter_mut().zip(history) {
            let Some(row) = row else { continue };
            if norm.count() >= NORM_DAYS {
                sum.add(row.r, norm.mean());
            }
            norm.push(row.range);
        }
    }
    sums.iter().fold(Breadth::default(), |breadth, sum| breadth.after(sum, LEAST_WATCHED))
}

/// The own terms of the session after `history`; `None` with fewer than 66 clean days.
#[must_use]
pub fn known_terms(history: &[Option<DayRow>]) -> Option<OwnTerms> {
    let rows: Vec<DayRow> = history.iter().flatten().copied().collect();
    own_terms(&rows)
}

impl Document {
    /// Forecast of the session with these own terms, at the close before it.
    #[must_use]
    pub fn forecast_watched(
        &self,
        symbol: Symbol,
        own: &OwnTerms,
        market: &MarketTerms,
    ) -> Option<Forecast> {
        let forecast = self.forecast(Origin::Close, Some(symbol), own, market)?;
        let reach = -forecast.e025 / forecast.variance.sqrt();
        (POSSIBLE.contains(&forecast.variance) && reach <= MOST_DEVIATIONS).then_some(forecast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::SessionDay;

    fn reference(bars: &[SessionBar]) -> Reference {
        let mut reference = Reference::bare("005930".parse().unwrap());
        for (bar, day) in bars.iter().zip(20_000..) {
            reference.push_session(SessionDay::from_epoch_days(day), *bar);
        }
        reference
    }

    fn bar(close: i64, volume: i64) -> SessionBar {
        SessionBar { open: close, high: close + 10, low: close - 10, close, volume }
    }

    #[test]
    fn halts_and_splits_are_no_days() {
        let halted = SessionBar { open: 0, high: 0, low: 0, close: 1_010, volume: 0 };
        let bars = [bar(1_000, 5), bar(1_010, 5), halted, bar(900, 5), bar(909, 5), bar(9_090, 5)];
        let days: Vec<bool> = history(&reference(&bars)).iter().map(Option::is_some).collect();
        // The re-opening has no day before it; the last is a consolidation, 1 for 10.
        assert_eq!(days, [true, false, false, true, false]);
        assert!(history(&Reference::bare("005930".parse().unwrap())).is_empty());
    }

    #[test]
    fn a_fall_of_most_issues_is_seen_and_that_of_few_is_not() {
        let fallen = |down: i64| {
            let mut bars: Vec<SessionBar> =
                (0..40).map(|at| bar(10_000 + 50 * (at % 2), 5)).collect();
            bars.push(bar(10_050 - down, 5));
            history(&reference(&bars))
        };
        let quiet = watched_breadth(&vec![fallen(50); 12]);
        let wild = watched_breadth(&vec![fallen(400); 12]);
        assert!(wild.bz < quiet.bz - 0.5, "{wild:?} {quiet:?}");
        assert_eq!(watched_breadth(&vec![fallen(400); 9]), Breadth::default());
        // Shorter histories end with the same session.
        let mut mixed = vec![fallen(400); 12];
        mixed[0].drain(..5);
        assert_eq!(watched_breadth(&mixed).bz, wild.bz);
    }
}
