//! What is known about an issue's daily volatility before its first trade of the day.
//!
//! Mean square of close-to-close log returns (zero mean: a daily mean is far below its own error),
//! shrunk towards a market default as if that had been seen for `shrink_sessions` sessions:
//! (k·d² + Σ r²)/(k + n). Moves beyond 30 %, the daily limit, are corporate actions or re-openings:
//! left out. Unit: squared fraction a day.

use serde::{Deserialize, Serialize};

use crate::market::Won;

const LIMIT: f64 = 0.305;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Variance of a day's return, close to close, fraction².
    pub daily_variance: f64,
    /// Sessions it rests on, beside the market default.
    pub sessions: u32,
}

impl Prior {
    /// Sessions the weight of which decays when days are folded in one by one.
    const MEMORY: f64 = 66.0;

    /// What is known of an issue without history.
    #[must_use]
    pub const fn unknown(default_daily_vol: f64) -> Self {
        Self { daily_variance: default_daily_vol * default_daily_vol, sessions: 0 }
    }

    /// From `closes`, oldest first; those at or below zero break the chain.
    #[must_use]
    pub fn from_closes(closes: &[Won], default_daily_vol: f64, shrink_sessions: f64) -> Self {
        let (mut sum, mut sessions) = (0.0, 0u32);
        for pair in closes.windows(2) {
            if let Some(squared) = squared_return(pair[0], pair[1]) {
                sum += squared;
                sessions += 1;
            }
        }
        let default = default_daily_vol * default_daily_vol;
        let daily_variance =
            (shrink_sessions * default + sum) / (shrink_sessions + f64::from(sessions));
        Self { daily_variance, sessions }
    }

    /// Folds in one more day that ended at `close` after `previous`.
    pub fn fold(&mut self, previous: Won, close: Won, shrink_sessions: f64) {
        if let Some(squared) = squared_return(previous, close) {
            let weight = (shrink_sessions + f64::from(self.sessions)).min(Self::MEMORY) + 1.0;
            self.daily_variance += (squared - self.daily_variance) / weight;
            self.sessions += 1;
        }
    }
}

fn squared_return(from: Won, to: Won) -> Option<f64> {
    if from <= 0 || to <= 0 {
        return None;
    }
    let ratio = to as f64 / from as f64;
    ((ratio - 1.0).abs() <= LIMIT).then(|| ratio.ln().powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn folding_day_by_day_is_the_mean(closes in prop::collection::vec(9_000i64..10_000, 0..50)) {
            let whole = Prior::from_closes(&closes, 0.025, 10.0);
            let mut folded = Prior::unknown(0.025);
            for pair in closes.windows(2) {
                folded.fold(pair[0], pair[1], 10.0);
            }
            prop_assert_eq!(whole.sessions, folded.sessions);
            prop_assert!((whole.daily_variance / folded.daily_variance - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn splits_and_holes_are_left_out() {
        let prior = Prior::from_closes(&[50_000, 1_000, 0, 1_000, 1_010], 0.025, 10.0);
        assert_eq!(prior.sessions, 1);
        assert!(prior.daily_variance < 0.025 * 0.025);
    }
}
