//! A jump: a fall within one bar of 30 seconds that continuous trading does not explain.
//!
//! Lee & Mykland (Review of Financial Studies 2008): a return over its local standard deviation,
//! estimated without jumps from the bars before, is normal where there is no jump; the largest of n
//! such returns follows Gumbel's law, which gives the threshold for a stated chance of a false alarm
//! a day. With c·L the statistic in standard deviations (c = √(2/π) there), the threshold of chance α is
//!
//! C + q/√(2 ln n), C = √(2 ln n) − (ln π + ln ln n)/(2√(2 ln n)), q = −ln(−ln(1 − α)), n = 780 bars:
//! 5.12, 5.76 and 6.39 deviations for 1, 0.1 and 0.01 in a thousand.
//!
//! The local deviation is the larger of bipower and median realised variance of about the last half
//! hour, and at least the issue's own norm, at the activity of the hour. Every trade is compared
//! with the close of the bar before, one-sided: by the reflection principle the lowest point of a
//! bar goes below −x as often as its end leaves ±x, which is what the threshold counts.
//!
//! No test without a bar before in the same unbroken trading: not after missing trades, a halt or
//! an auction, nor at the opening. Thin issues have bars further apart, and are measured by that
//! time.

use crate::market::Won;
use crate::risk::params::JumpParams;

/// Bars of a session.
const BARS: f64 = 780.0;

/// Standard deviations beyond which the largest of a day's falls is a false alarm with chance `alpha`.
#[must_use]
pub fn threshold(alpha: f64) -> f64 {
    let root = (2.0 * BARS.ln()).sqrt();
    let centre = root - (std::f64::consts::PI.ln() + BARS.ln().ln()) / (2.0 * root);
    let alpha = alpha.clamp(1e-12, 0.5);
    centre - (-(-alpha).ln_1p()).ln() / root
}

/// A fall that is large enough to be looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JumpView {
    /// Close of the bar before, won.
    pub reference: Won,
    /// Fall from it, per cent.
    pub fall_pct: f64,
    /// Fall over its local standard deviation.
    pub statistic: f64,
    /// That deviation, per cent.
    pub sigma_pct: f64,
    /// Local volatility of a session, per cent.
    pub session_pct: f64,
    /// Time between that close and the end of the present bar, seconds.
    pub window_s: u32,
}

impl JumpView {
    /// Rung of both ladders.
    #[must_use]
    pub fn rung(&self, params: &JumpParams, thresholds: &[f64; 3]) -> u8 {
        super::rung(self.statistic, thresholds)
            .min(super::rung(self.fall_pct, &params.min_falls_pct))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thresholds_of_the_text() {
        for (alpha, expected) in [(1e-3, 5.12), (1e-4, 5.76), (1e-5, 6.39)] {
            assert!((threshold(alpha) - expected).abs() < 0.01, "{alpha}: {}", threshold(alpha));
        }
    }

    /// Gumbel's law overstates the tail of a finite sample: the true chance is smaller.
    #[test]
    fn the_stated_chance_is_an_upper_bound() {
        // Mills' bound of the normal tail, for both signs and all bars.
        for alpha in [1e-3, 1e-4, 1e-5] {
            let x = threshold(alpha);
            let tail = (-x * x / 2.0).exp() / (x * (2.0 * std::f64::consts::PI).sqrt());
            assert!(2.0 * BARS * tail < alpha, "{alpha}");
        }
    }

    proptest! {
        #[test]
        fn rarer_means_higher(alpha in 1e-9f64..0.4, part in 0.01f64..0.99) {
            prop_assert!(threshold(alpha * part) > threshold(alpha));
            prop_assert!(threshold(alpha).is_finite());
        }

        #[test]
        fn monotone_in_the_fall(fall in 0.0f64..30.0, more in 0.0f64..5.0, sigma in 0.01f64..2.0) {
            let (params, thresholds) = (JumpParams::default(), [5.12, 5.76, 6.39]);
            let view = |fall_pct: f64| JumpView {
                reference: 10_000, fall_pct, statistic: fall_pct / sigma, sigma_pct: sigma,
                session_pct: 2.0, window_s: 30,
            };
            prop_assert!(view(fall + more).rung(&params, &thresholds) >= view(fall).rung(&params, &thresholds));
        }
    }
}
