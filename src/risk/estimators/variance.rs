//! Exponentially weighted variance of returns in event time, robust to bid-ask bounce.
//!
//! Prices are sampled at most once a second (the mid of the quotes when the caller knows it) and
//! averaged over bars of [`BAR_S`] seconds; returns are taken between bar means. Averaging
//! before differencing takes out most of the bounce and of the tick grid (pre-averaging; Jacod et
//! al., Stochastic Processes and their Applications 2009), which at one-second sampling would
//! make a ten-won tick on a 10,000-won share look like 8 % a day.
//!
//! The mean of n equally spaced samples of a random walk lags it, so the difference of two means
//! m bars apart has variance σ²·Δ·(m − (g(n₁) + g(n₂))/2) with g(n) = (1 − 1/n²)/3: one for single
//! samples, two thirds for full adjacent bars. Each squared return is divided by that time and by
//! the activity of the hour (`clock`), so that it estimates the variance of a whole
//! session, and enters with weight 1 − exp(−mΔ/τ) (irregular spacing; Müller, Operators on
//! inhomogeneous time series, 2001).
//!
//! A squared return counts for at most `cap²` times the present estimate: one bad print cannot
//! move it far, while a real storm still doubles it bar after bar.
//!
//! Unit: squared fraction a session (0.0004 is 2 % from open to close). O(1) a sample.

use serde::{Deserialize, Serialize};

use super::Decay;
use super::clock::SESSION_S;

/// Length of a bar, seconds.
pub const BAR_S: i64 = 30;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EwmaVariance {
    session_variance: f64,
    last_second: i64,
    bar: Bar,
    previous: Bar,
    returns: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bar {
    index: i64,
    sum: f64,
    count: u32,
}

impl Bar {
    const NONE: Self = Self { index: i64::MIN, sum: 0.0, count: 0 };

    fn mean(self) -> f64 {
        self.sum / f64::from(self.count)
    }

    /// (1 − 1/n²)/3: how much shorter the time between means is, in bars, from this side.
    fn lag(self) -> f64 {
        let count = f64::from(self.count);
        (1.0 - 1.0 / (count * count)) / 3.0
    }
}

impl EwmaVariance {
    /// Starts from what is known before the first return: variance of a session, fraction².
    #[must_use]
    pub const fn starting_at(session_variance: f64) -> Self {
        Self {
            session_variance,
            last_second: i64::MIN,
            bar: Bar::NONE,
            previous: Bar::NONE,
            returns: 0,
        }
    }

    /// Takes in a price above zero at an event second. A second sample of one second, or one from
    /// the past, is ignored. `density` is the activity at that time, above zero; `decay`
    /// has the τ, and `cap` is the bound, of the module's text.
    pub fn push(&mut self, second: i64, price: f64, density: f64, decay: &Decay, cap: f64) {
        if second <= self.last_second {
            return;
        }
        self.last_second = second;
        let index = second.div_euclid(BAR_S);
        if index != self.bar.index {
            self.close_bar(density, decay, cap);
            self.bar = Bar { index, sum: 0.0, count: 0 };
        }
        self.bar.sum += price;
        self.bar.count += 1;
    }

    fn close_bar(&mut self, density: f64, decay: &Decay, cap: f64) {
        if self.bar.count == 0 {
            return;
        }
        if self.previous.count > 0 {
            let bars = self.bar.index - self.previous.index;
            let apart = bars as f64;
            let effective = apart - (self.bar.lag() + self.previous.lag()) / 2.0;
            let change = (self.bar.mean() / self.previous.mean()).ln();
            let scaled = change * change * SESSION_S / (BAR_S as f64 * effective * density);
            let bounded = scaled.min(cap * cap * self.session_variance);
            let weight = 1.0 - decay.keep(bars * BAR_S);
            self.session_variance += weight * (bounded - self.session_variance);
            self.returns += 1;
        }
        self.previous = self.bar;
    }

    /// The estimate: variance of a whole session, fraction².
    #[must_use]
    pub const fn session_variance(&self) -> f64 {
        self.session_variance
    }

    /// Returns taken in since the start.
    #[must_use]
    pub const fn returns(&self) -> u32 {
        self.returns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;

    const HALF_LIFE: f64 = 400.0;

    /// Groups samples into bars and applies the formula of the module's text literally.
    fn naive(start: f64, samples: &[(i64, f64)]) -> f64 {
        let mut bars: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        let mut seen = i64::MIN;
        for (second, price) in samples {
            if *second > seen {
                bars.entry(second.div_euclid(BAR_S)).or_default().push(*price);
                seen = *second;
            }
        }
        bars.pop_last();
        let bars: Vec<_> = bars.into_iter().collect();
        let mut estimate = start;
        for pair in bars.windows(2) {
            let [(i, a), (j, b)] = pair else { unreachable!() };
            let g = |n: usize| (1.0 - 1.0 / (n * n) as f64) / 3.0;
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let apart = (j - i) as f64;
            let time = BAR_S as f64 * (apart - (g(a.len()) + g(b.len())) / 2.0) * 1.3;
            let squared = (mean(b) / mean(a)).ln().powi(2) * SESSION_S / time;
            let keep = 0.5f64.powf(apart * BAR_S as f64 / HALF_LIFE);
            estimate = keep * estimate + (1.0 - keep) * squared.min(36.0 * estimate);
        }
        estimate
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((0i64..200, 9_000i64..11_000), 0..80),
        ) {
            let mut second = 1_000_000;
            let samples: Vec<(i64, f64)> = steps.iter().map(|(step, price)| {
                second += step;
                (second, *price as f64)
            }).collect();
            let mut estimator = EwmaVariance::starting_at(4e-4);
            for (second, price) in &samples {
                estimator.push(*second, *price, 1.3, &Decay::half_life(HALF_LIFE), 6.0);
            }
            let expected = naive(4e-4, &samples);
            prop_assert!((estimator.session_variance() / expected - 1.0).abs() < 1e-9);
        }
    }

    /// A random walk of 2 % a session, with or without a bounce of ten won on 10,000.
    fn walk(bounce: f64, spacing: i64) -> f64 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut estimator = EwmaVariance::starting_at(4e-4);
        let decay = Decay::half_life(HALF_LIFE);
        let step = 0.02 * (spacing as f64 / SESSION_S).sqrt();
        let (mut price, mut mean, mut count) = (10_000.0f64, 0.0, 0u32);
        for tick in 0..400_000 / spacing {
            let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
            price *= 1.0 + sign * step;
            let shown = price + if rng.random::<bool>() { bounce } else { 0.0 };
            estimator.push(tick * spacing, shown, 1.0, &decay, 6.0);
            if estimator.returns() > 100 {
                mean += estimator.session_variance();
                count += 1;
            }
        }
        mean / f64::from(count)
    }

    #[test]
    fn unbiased_on_a_random_walk_and_nearly_blind_to_bounce() {
        for spacing in [1, 5, 45] {
            let ratio = walk(0.0, spacing) / 4e-4;
            assert!((0.9..1.1).contains(&ratio), "spacing {spacing}: {ratio}");
        }
        let bounced = walk(10.0, 1) / 4e-4;
        assert!((0.9..1.25).contains(&bounced), "{bounced}");
    }

    #[test]
    fn one_bad_print_moves_it_little() {
        let mut estimator = EwmaVariance::starting_at(4e-4);
        let decay = Decay::half_life(HALF_LIFE);
        for second in 0..3_000 {
            let price = if second == 1_500 { 13_000.0 } else { 10_000.0 + (second % 3) as f64 };
            estimator.push(second, price, 1.0, &decay, 6.0);
        }
        assert!(estimator.session_variance() < 4e-4, "{}", estimator.session_variance());
    }
}
