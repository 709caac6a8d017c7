//! What came of a pick.

use crate::model::clean::{Sessions, trades};
use crate::model::panel::DailyBars;

/// Sessions over which a pick is judged.
pub const HORIZONS: [usize; 2] = [5, 20];

/// Log return of an issue from the close of session `from` over `horizon` sessions.
///
/// `None` when the data end before, when a jump lies in between (a corporate action or a
/// re-opening that the prices do not show is no gain and no loss), or when the issue was not
/// traded on more than half of the sessions.
#[must_use]
pub fn outcome(bars: &DailyBars, sessions: &Sessions, from: usize, horizon: usize) -> Option<f64> {
    let dates = sessions.dates();
    let (start, end) = (*dates.get(from)?, *dates.get(from + horizon)?);
    let first = bars.date.binary_search(&start).ok()?;
    let last = bars.date.binary_search(&end).ok()?;
    let between = (first + 1)..=last;
    let traded = between.clone().filter(|&at| trades(&bars.get(at))).count();
    if between.clone().any(|at| bars.jump[at]) || 2 * (horizon - traded.min(horizon)) > horizon {
        return None;
    }
    Some((bars.close[last] / bars.close[first]).ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::panel::DailyBar;

    fn bars(closes: &[f64]) -> DailyBars {
        let mut bars = DailyBars::default();
        for (date, &close) in closes.iter().enumerate() {
            let (open, high, low) = (close, close, close);
            let date = date as i32;
            bars.push(DailyBar {
                date,
                open,
                high,
                low,
                close,
                volume: 1.0,
                halted: false,
                jump: false,
            });
        }
        bars
    }

    #[test]
    fn splits_and_halts_are_no_losses() {
        let sessions = Sessions::new((0..8).collect());
        let plain = bars(&[100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0]);
        let found = outcome(&plain, &sessions, 0, 5).unwrap();
        assert!((found - 1.05_f64.ln()).abs() < 1e-12);
        assert_eq!(outcome(&plain, &sessions, 2, 5), None, "the issue's data end before");
        assert_eq!(outcome(&plain, &sessions, 4, 5), None, "all data end before");
        let mut split = bars(&[100.0, 101.0, 10.2, 10.3, 10.4, 10.5, 10.6]);
        split.jump[2] = true;
        assert_eq!(outcome(&split, &sessions, 0, 5), None);
        assert!(outcome(&split, &sessions, 2, 4).is_some_and(|f| f > 0.0), "after the split");
        let mut halted = plain;
        for at in 2..5 {
            (halted.halted[at], halted.volume[at]) = (true, 0.0);
        }
        assert_eq!(outcome(&halted, &sessions, 0, 5), None, "three of five without trading");
        halted.halted[2] = false;
        halted.volume[2] = 1.0;
        assert!(outcome(&halted, &sessions, 0, 5).is_some(), "two of five");
    }
}
