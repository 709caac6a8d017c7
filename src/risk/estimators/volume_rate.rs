//! How fast an issue trades: exponentially decaying rates of shares and trades.
//!
//! rate(t) = Σ qᵢ·exp(−(t − tᵢ)/τ)/τ, an average over about the last τ seconds that is exact under
//! irregular spacing. A fast rate says what happens now; a slow one is the issue's own norm where
//! the feed gives none. A rate that has not run for long compared with τ is too low by the factor
//! 1 − exp(−elapsed/τ); the slow one is corrected for it, the fast one is not (it errs on the quiet
//! side while it warms up).
//!
//! Unit: shares a second. O(1).

use serde::{Deserialize, Serialize};

use super::Decay;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VolumeRate {
    first_second: i64,
    last_second: i64,
    fast: f64,
    slow: f64,
    trades: f64,
}

impl Default for VolumeRate {
    fn default() -> Self {
        Self { first_second: i64::MIN, last_second: i64::MIN, fast: 0.0, slow: 0.0, trades: 0.0 }
    }
}

impl VolumeRate {
    /// Takes in a trade of `quantity` shares. A trade from the past
    /// counts as of now.
    pub fn push(&mut self, second: i64, quantity: i64, fast: &Decay, slow: &Decay) {
        if self.first_second == i64::MIN {
            self.first_second = second;
            self.last_second = second;
        }
        if second > self.last_second {
            let step = second - self.last_second;
            let keep = fast.keep(step);
            self.fast *= keep;
            self.trades *= keep;
            self.slow *= slow.keep(step);
            self.last_second = second;
        }
        let quantity = quantity.max(0) as f64;
        self.fast += quantity * fast.rate_s();
        self.slow += quantity * slow.rate_s();
        self.trades += 1.0;
    }

    /// Shares a second, lately.
    #[must_use]
    pub const fn fast(&self) -> f64 {
        self.fast
    }

    /// Shares a second over a longer time; `None` until a quarter of its time constant has passed.
    #[must_use]
    pub fn slow(&self, slow: &Decay) -> Option<f64> {
        let slow_s = slow.time_constant_s();
        let elapsed = self.last_second.saturating_sub(self.first_second) as f64;
        (elapsed >= slow_s / 4.0).then(|| self.slow / -(-elapsed / slow_s).exp_m1())
    }

    /// Trades that the fast rate rests on, older ones counting less.
    #[must_use]
    pub const fn recent_trades(&self) -> f64 {
        self.trades
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((0i64..90, 1i64..10_000), 1..80),
        ) {
            let (fast, slow) = (Decay::half_life(300.0), Decay::half_life(3_500.0));
            let (fast_s, slow_s) = (fast.time_constant_s(), slow.time_constant_s());
            let mut rate = VolumeRate::default();
            let mut second = 77;
            let mut seen = Vec::new();
            for (step, quantity) in steps {
                second += step;
                seen.push((second, quantity as f64));
                rate.push(second, quantity, &fast, &slow);
            }
            let sum = |tau: f64, unit: bool| -> f64 {
                seen.iter().map(|(at, quantity)| {
                    let weight = (-((second - at) as f64) / tau).exp();
                    if unit { weight } else { quantity * weight / tau }
                }).sum()
            };
            prop_assert!((rate.fast() / sum(fast_s, false) - 1.0).abs() < 1e-9);
            prop_assert!((rate.recent_trades() / sum(fast_s, true) - 1.0).abs() < 1e-9);
            let elapsed = (second - seen[0].0) as f64;
            match rate.slow(&slow) {
                None => prop_assert!(elapsed < slow_s / 4.0),
                Some(found) => {
                    let expected = sum(slow_s, false) / (1.0 - (-elapsed / slow_s).exp());
                    prop_assert!((found / expected - 1.0).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_steady_stream_has_its_rate() {
        let (fast, slow) = (Decay::half_life(300.0), Decay::half_life(3_500.0));
        let mut rate = VolumeRate::default();
        for second in 0..3_000 {
            rate.push(second, 50, &fast, &slow);
        }
        assert!((rate.fast() - 50.0).abs() < 0.5);
        assert!((rate.slow(&slow).unwrap() - 50.0).abs() < 0.5);
    }
}
