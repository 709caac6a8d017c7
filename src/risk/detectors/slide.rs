//! A slide: a fall so slow that no single window shows it.
//!
//! Page's test (Biometrika 1954): S ← max(0, S − z − k) over standardised returns z of 30-second bars,
//! with allowance k. It stays near 0 without a drift, and grows by δ − k a bar under a fall of δ
//! standard deviations a bar; k = 0.25 finds δ = 0.5 fastest. The thresholds follow from the stated
//! average run length to a false alarm, by Siegmund's approximation (Sequential Analysis, 1985):
//!
//! ARL = (exp(2kb) − 2kb − 1)/(2k²), b = h + 1.166.
//!
//! A hundred days of one issue (78,000 bars) give h = 17.2: an issue of 2.5 % a day that loses
//! 0.045 % a bar is found after about 35 minutes, 3 % lower. A return counts for at most a few
//! deviations: a jump has a test of its own.
//!
//! Unit: standard deviations. O(1).

use serde::{Deserialize, Serialize};

use crate::market::Won;
use crate::risk::params::SlideParams;

/// Bars of a session.
const BARS: f64 = 780.0;
/// What the boundary is overshot by: Siegmund's correction for discrete steps, both sides.
const OVERSHOOT: f64 = 1.166;

/// Average bars to a false alarm of a threshold.
#[must_use]
pub fn run_length(threshold: f64, allowance: f64) -> f64 {
    let x = 2.0 * allowance * (threshold + OVERSHOOT);
    (x.exp() - x - 1.0) / (2.0 * allowance * allowance)
}

/// The threshold whose average run length is `days`.
#[must_use]
pub fn threshold(days: f64, allowance: f64) -> f64 {
    let (mut low, mut high) = (0.0, 300.0 / (2.0 * allowance.max(0.01)));
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if run_length(middle, allowance) < days * BARS {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The test's state for one issue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slide {
    sum: f64,
    began_price: Won,
    began_second: i64,
}

impl Slide {
    /// A bar with the standardised return `z` ended; it began at `before` won, at `second`. `most`
    /// is the highest threshold.
    pub fn push(&mut self, z: f64, (before, second): (Won, i64), params: &SlideParams, most: f64) {
        if self.sum <= 0.0 || self.began_price <= 0 {
            (self.began_price, self.began_second) = (before, second);
        }
        let fall = (-z).clamp(-params.clip_sigmas, params.clip_sigmas);
        let sum = self.sum + fall - params.allowance;
        // Not far above the last threshold, or it would take hours to recede.
        self.sum = if sum.is_finite() { sum.clamp(0.0, 1.25 * most) } else { 0.0 };
    }

    /// Begins anew.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// The statistic.
    #[must_use]
    pub const fn statistic(&self) -> f64 {
        self.sum
    }

    /// Price before the first bar of the slide, won, and the event second.
    #[must_use]
    pub const fn began(&self) -> (Won, i64) {
        (self.began_price, self.began_second)
    }

    /// Fall since it began, per cent; 0 when none is under way.
    #[must_use]
    pub fn fall_pct(&self, price: Won) -> f64 {
        if self.sum > 0.0 { super::fall_pct(self.began_price, price) } else { 0.0 }
    }

    /// Rung of both ladders.
    #[must_use]
    pub fn rung(&self, price: Won, params: &SlideParams, thresholds: &[f64; 3]) -> u8 {
        let by_sum = super::rung(self.sum, thresholds);
        if by_sum == 0 {
            return 0;
        }
        by_sum.min(super::rung(self.fall_pct(price), &params.min_falls_pct))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution as _, StandardNormal};

    fn bars_to_alarm(seed: u64, drift: f64, threshold: f64, most: usize) -> usize {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let params = SlideParams::default();
        let mut slide = Slide::default();
        for bar in 0..most {
            let noise: f64 = StandardNormal.sample(&mut rng);
            slide.push(noise - drift, (10_000, 0), &params, 100.0);
            if slide.statistic() >= threshold {
                return bar + 1;
            }
        }
        most
    }

    #[test]
    fn the_stated_run_length_is_met() {
        // A low threshold, so that there are enough alarms to count; the law is the same.
        let (h, runs) = (8.0, 400);
        let mean: f64 =
            (0..runs).map(|seed| bars_to_alarm(seed, 0.0, h, 1_000_000) as f64).sum::<f64>()
                / runs as f64;
        let expected = run_length(h, 0.25);
        assert!((mean / expected - 1.0).abs() < 0.15, "{mean} {expected}");
    }

    #[test]
    fn a_flat_noisy_year_raises_about_what_is_stated() {
        let h = threshold(100.0, 0.25);
        assert!((h - 17.2).abs() < 0.1, "{h}");
        // 300 issue-days: three alarms are expected, nine or more have a chance of 0.4 %.
        let alarms = (0..300).filter(|seed| bars_to_alarm(1_000 + seed, 0.0, h, 780) < 780).count();
        assert!(alarms <= 8, "{alarms}");
    }

    #[test]
    fn a_drift_of_half_a_deviation_a_bar_is_found_within_the_hour() {
        let h = threshold(100.0, 0.25);
        for seed in 0..20 {
            let bars = bars_to_alarm(seed, 0.75, h, 2_000);
            assert!(bars < 120, "{bars}");
        }
    }

    proptest! {
        /// Whatever comes, the statistic is within bounds, and a deeper fall never lowers it.
        #[test]
        fn bounded_and_monotone(
            zs in prop::collection::vec(prop_oneof![8 => -6.0f64..6.0, 1 => any::<f64>()], 1..80),
            more in 0.0f64..2.0,
        ) {
            let params = SlideParams::default();
            let (mut plain, mut deeper) = (Slide::default(), Slide::default());
            for z in zs {
                plain.push(z, (1_000, 0), &params, 36.0);
                deeper.push(z - more, (1_000, 0), &params, 36.0);
                prop_assert!((0.0..=45.0).contains(&plain.statistic()));
                if z.is_finite() && plain.statistic() > 0.0 {
                    prop_assert!(deeper.statistic() >= plain.statistic() - 1e-9);
                }
            }
        }

        #[test]
        fn a_longer_run_length_is_a_higher_threshold(days in 1.0f64..1e6, times in 1.1f64..100.0) {
            let (low, high) = (threshold(days, 0.25), threshold(days * times, 0.25));
            prop_assert!(high > low && high.is_finite());
            prop_assert!((run_length(low, 0.25) / (days * BARS) - 1.0).abs() < 1e-6);
        }
    }
}
