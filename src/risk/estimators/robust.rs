//! Realised variance that a jump does not inflate, with the plain one and its downside half beside.
//!
//! Input are standardised returns z: the return of a 30-second bar times √(session/time), time
//! measured by the activity of the hour (`clock`), so that z² estimates the variance of a whole
//! session at any hour (Boudt, Croux & Laurent, Journal of Empirical Finance 2011). Each measure is
//! an exponentially weighted mean of
//!
//! - plain: z²;
//! - bipower: (π/2)·|zᵢ|·|zᵢ₋₁| (Barndorff-Nielsen & Shephard, Journal of Financial Econometrics 2004);
//! - median: π/(6 − 4√3 + π)·med(|zᵢ|, |zᵢ₋₁|, |zᵢ₋₂|)², which a zero return beside a jump does not
//!   deceive either (Andersen, Dobrev & Schaumburg, Journal of Econometrics 2012);
//! - downside: z² where z is below zero, the semivariance (Barndorff-Nielsen, Kinnebrock & Shephard
//!   2010), half of the plain one where falls and rises are alike.
//!
//! All start from the variance known before, which weighs as much as five returns: a day that is
//! livelier than the past is known to be so after some minutes. Unit: squared fraction a session. O(1).

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// π/2: the product of the sizes of two independent normal returns has mean 2/π of the variance.
const BIPOWER: f64 = PI / 2.0;
/// π/(6 − 4√3 + π).
const MEDIAN: f64 = PI / (6.0 - 4.0 * 1.732_050_807_568_877_2 + PI);

/// Returns that the start weighs as much as.
const START_RETURNS: f64 = 5.0;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RobustVariance {
    plain: f64,
    bipower: f64,
    median: f64,
    downside: f64,
    /// Sizes of the last return and of the one before it.
    before: [f64; 2],
    /// Returns in an unbroken row, at most two.
    row: u8,
    returns: u32,
}

impl RobustVariance {
    /// Starts from what is known before the first return: variance of a session, fraction².
    #[must_use]
    pub fn starting_at(variance: f64) -> Self {
        Self {
            plain: variance,
            bipower: variance,
            median: variance,
            downside: variance / 2.0,
            ..Self::default()
        }
    }

    /// Takes in a standardised return; `keep` is what the means keep of themselves.
    pub fn push(&mut self, z: f64, keep: f64) {
        let (size, [first, second]) = (z.abs(), self.before);
        let weight = (1.0 - keep).max(1.0 / (f64::from(self.returns) + START_RETURNS + 1.0));
        let mix = |mean: &mut f64, value: f64| *mean += weight * (value - *mean);
        mix(&mut self.plain, z * z);
        mix(&mut self.downside, if z < 0.0 { z * z } else { 0.0 });
        if self.row > 0 {
            mix(&mut self.bipower, BIPOWER * size * first);
        }
        if self.row > 1 {
            let middle = size.min(first).max(size.max(first).min(second));
            mix(&mut self.median, MEDIAN * middle * middle);
        }
        self.before = [size, first];
        self.row = (self.row + 1).min(2);
        self.returns = self.returns.saturating_add(1);
    }

    /// The next return does not follow the last one: no product is taken over the break.
    pub fn interrupt(&mut self) {
        self.row = 0;
    }

    /// Variance without jumps: the larger of bipower and median, lest many zero returns (a coarse
    /// tick) deceive one of them.
    #[must_use]
    pub const fn without_jumps(&self) -> f64 {
        self.bipower.max(self.median)
    }

    /// Plain realised variance.
    #[must_use]
    pub const fn plain(&self) -> f64 {
        self.plain
    }

    /// Bipower variation.
    #[must_use]
    pub const fn bipower(&self) -> f64 {
        self.bipower
    }

    /// Median realised variance.
    #[must_use]
    pub const fn median(&self) -> f64 {
        self.median
    }

    /// Downside semivariance.
    #[must_use]
    pub const fn downside(&self) -> f64 {
        self.downside
    }

    /// Returns taken in.
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

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            zs in prop::collection::vec((-0.2f64..0.2, 0u8..12), 1..60), start in 0.0f64..0.01,
        ) {
            let keep = 0.97f64;
            let mut robust = RobustVariance::starting_at(start);
            let mut chains: Vec<Vec<f64>> = vec![Vec::new()];
            for (z, dice) in &zs {
                if *dice == 0 {
                    robust.interrupt();
                    chains.push(Vec::new());
                }
                robust.push(*z, keep);
                chains.last_mut().unwrap().push(*z);
            }
            // Of each return: its weight in the means, and what it adds to each of them.
            let median = |a: f64, b: f64, c: f64| {
                let mut sizes = [a.abs(), b.abs(), c.abs()];
                sizes.sort_by(f64::total_cmp);
                PI / (6.0 - 4.0 * 3f64.sqrt() + PI) * sizes[1] * sizes[1]
            };
            let mut expected = [start, start / 2.0, start, start];
            let mut n = 0.0;
            for chain in &chains {
                for (i, z) in chain.iter().enumerate() {
                    let weight = (1.0 - keep).max(1.0 / (n + 6.0));
                    n += 1.0;
                    let values = [
                        Some(z * z),
                        Some(z.min(0.0).powi(2)),
                        (i > 0).then(|| PI / 2.0 * (z * chain[i - 1]).abs()),
                        (i > 1).then(|| median(*z, chain[i - 1], chain[i - 2])),
                    ];
                    for (mean, value) in expected.iter_mut().zip(values) {
                        *mean = value.map_or(*mean, |v| (1.0 - weight) * *mean + weight * v);
                    }
                }
            }
            let found = [robust.plain(), robust.downside(), robust.bipower(), robust.median()];
            for (found, expected) in found.into_iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
            prop_assert_eq!(robust.returns() as usize, zs.len());
        }
    }

    #[test]
    fn normal_returns_have_their_variance_and_a_jump_moves_the_plain_one_alone() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut robust = RobustVariance::starting_at(1.0);
        for _ in 0..40_000 {
            let normal: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
            robust.push(normal, 0.9995);
        }
        for variance in [robust.plain(), robust.bipower(), robust.median(), 2.0 * robust.downside()]
        {
            assert!((variance - 1.0).abs() < 0.1, "{robust:?}");
        }
        let before = robust;
        robust.push(-60.0, 0.9995);
        assert!(robust.plain() > before.plain() + 1.0, "{robust:?}");
        assert!(robust.without_jumps() < before.without_jumps() + 0.1, "{robust:?}");
    }
}
