//! Beta of an issue to its market's index, online: how much of a fall is the market's.
//!
//! β = (p + Σw·x·m)/(p + Σw·m²), exponentially weighted over returns x of the issue and m of the index
//! across the same bars (both scaled to a session), p the variance of an ordinary session: where the
//! index hardly moves, there is nothing to learn, and β is near 1 (a ridge towards it). Bars are of
//! half a minute and quotes do not move at one instant, so it errs to the low side (Epps, JASA 1979).
//!
//! Input: returns as fractions of a session's scale. Unit: none; −2 to 5, where it is cut. O(1).

use serde::{Deserialize, Serialize};

/// Variance of an ordinary session of the index: (1 %)².
const ORDINARY: f64 = 1e-4;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Beta {
    covariance: f64,
    variance: f64,
    level: f64,
}

impl Beta {
    /// A bar of the issue ended with the standardised return `z`, when the index stood at `level`
    /// (0 when not known). `scale` makes a return over the bar one of a session.
    pub fn push(&mut self, z: f64, level: f64, scale: f64, keep: f64) {
        if self.level > 0.0 && level > 0.0 {
            let market = (level / self.level).ln() * scale;
            self.covariance = keep * self.covariance + (1.0 - keep) * z * market;
            self.variance = keep * self.variance + (1.0 - keep) * market * market;
        }
        self.level = level;
    }

    /// A bar began without a return before it; the index stands at `level`.
    pub fn begin(&mut self, level: f64) {
        self.level = level;
    }

    /// β.
    #[must_use]
    pub fn value(&self) -> f64 {
        ((ORDINARY + self.covariance) / (ORDINARY + self.variance)).clamp(-2.0, 5.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((-0.05f64..0.05, 2_000.0f64..3_000.0), 2..60),
        ) {
            let (keep, scale) = (0.95f64, 3.0);
            let mut beta = Beta::default();
            beta.begin(2_500.0);
            let (mut sum, mut square, mut before) = (0.0, 0.0, 2_500.0f64);
            for (z, level) in &steps {
                beta.push(*z, *level, scale, keep);
                let market = (level / before).ln() * scale;
                sum = keep * sum + (1.0 - keep) * z * market;
                square = keep * square + (1.0 - keep) * market * market;
                before = *level;
            }
            let expected = ((1e-4 + sum) / (1e-4 + square)).clamp(-2.0, 5.0);
            prop_assert!((beta.value() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn it_finds_the_slope_and_survives_without_an_index() {
        let mut beta = Beta::default();
        beta.begin(2_000.0);
        let mut level = 2_000.0f64;
        for step in 0..4_000 {
            let change = if step % 2 == 0 { 0.0005 } else { -0.0005 };
            level *= f64::exp(change);
            beta.push(1.6 * change * 20.0, level, 20.0, 0.99);
        }
        // The index moves 1 % a session here: as much is learned as is assumed.
        assert!((beta.value() - 1.3).abs() < 0.01, "{}", beta.value());
        let mut without = Beta::default();
        without.push(0.3, 0.0, 1.0, 0.9);
        assert_eq!(without.value(), 1.0);
    }
}
