//! What an issue's spread and bid depth usually are at this time of its day.
//!
//! Both are exponentially weighted means over event time, fast (what is now) and slow (the norm); a
//! slow mean over few samples is their plain mean. The spread is divided by the root of the
//! activity of the hour (`clock`) on the way in and multiplied on the way out: spreads follow
//! volatility through the day (McInish & Wood, Journal of Finance 1992), and a wide opening is no news.
//!
//! Input: relative spread (fraction of the mid) and bid depth (shares) at an event second; one a
//! second counts. Unit of the answers: the same. O(1).

use serde::{Deserialize, Serialize};

use super::Decay;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LiquidityNorm {
    first_second: i64,
    last_second: i64,
    samples: u32,
    spread: f64,
    slow_spread: f64,
    depth: f64,
    slow_depth: f64,
}

impl Default for LiquidityNorm {
    fn default() -> Self {
        Self {
            first_second: i64::MIN,
            last_second: i64::MIN,
            samples: 0,
            spread: 0.0,
            slow_spread: 0.0,
            depth: 0.0,
            slow_depth: 0.0,
        }
    }
}

impl LiquidityNorm {
    /// Takes in a sample; a second one of a second is ignored. `density` is the activity of the
    /// hour, above zero.
    pub fn push(
        &mut self,
        second: i64,
        (spread, depth): (f64, f64),
        density: f64,
        fast: &Decay,
        slow: &Decay,
    ) {
        if second <= self.last_second {
            return;
        }
        if self.samples == 0 {
            (self.first_second, self.last_second) = (second, second);
        }
        let step = second - self.last_second;
        let plain = 1.0 / (f64::from(self.samples) + 1.0);
        let (quick, lazy) =
            ((1.0 - fast.keep(step)).max(plain), (1.0 - slow.keep(step)).max(plain));
        let usual = spread / density.sqrt();
        self.spread += quick * (spread - self.spread);
        self.slow_spread += lazy * (usual - self.slow_spread);
        self.depth += quick * (depth - self.depth);
        self.slow_depth += lazy * (depth - self.slow_depth);
        self.last_second = second;
        self.samples = self.samples.saturating_add(1);
    }

    /// Spread now, and as it usually is at an hour of this `density`; fractions.
    #[must_use]
    pub fn spread(&self, density: f64) -> (f64, f64) {
        (self.spread, self.slow_spread * density.sqrt())
    }

    /// Bid depth now, and as it usually is; shares.
    #[must_use]
    pub const fn depth(&self) -> (f64, f64) {
        (self.depth, self.slow_depth)
    }

    /// Samples the norm rests on, and the seconds they were taken over.
    #[must_use]
    pub const fn basis(&self) -> (u32, i64) {
        (self.samples, self.last_second.saturating_sub(self.first_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((0i64..90, 0.0f64..0.05, 0.0f64..1e6, 0.5f64..3.0), 1..60),
        ) {
            let (fast, slow) = (Decay::half_life(60.0), Decay::half_life(3_600.0));
            let mut norm = LiquidityNorm::default();
            let (mut second, mut last, mut n) = (1_000, None::<i64>, 0.0);
            let mut means = [0.0f64; 4];
            for (step, spread, depth, density) in steps {
                second += step;
                norm.push(second, (spread, depth), density, &fast, &slow);
                if last.is_some_and(|last| second <= last) {
                    continue;
                }
                let passed = last.map_or(0, |last| second - last) as f64;
                last = Some(second);
                n += 1.0;
                let weight = |half: f64| (1.0 - 0.5f64.powf(passed / half)).max(1.0 / n);
                let values = [spread, spread / density.sqrt(), depth, depth];
                for ((mean, value), half) in means.iter_mut().zip(values).zip([60.0, 3_600.0, 60.0, 3_600.0]) {
                    *mean += weight(half) * (value - *mean);
                }
            }
            let (spread, usual) = norm.spread(1.0);
            let (depth, slow) = norm.depth();
            for (found, expected) in [(spread, means[0]), (usual, means[1]), (depth, means[2]), (slow, means[3])] {
                prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0));
            }
            prop_assert_eq!(norm.basis().0, n as u32);
        }
    }

    #[test]
    fn a_wide_opening_is_usual() {
        let (fast, slow) = (Decay::half_life(60.0), Decay::half_life(3_600.0));
        let mut norm = LiquidityNorm::default();
        for second in 0..600 {
            norm.push(second, (0.004, 100.0), 4.0, &fast, &slow);
        }
        let (now, usual) = norm.spread(4.0);
        assert!((now - 0.004).abs() < 1e-9 && (usual - 0.004).abs() < 1e-9);
        assert!((norm.spread(1.0).1 - 0.002).abs() < 1e-9);
    }
}
