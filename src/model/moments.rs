//! Mean and standard deviation, and how far two pairs of them are apart.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

impl Moments {
    /// Of the numbers among `values`; `None` with fewer than two, or when they do not vary.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        // Welford's recursion: no cancellation.
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            count += 1.0;
            let step: f64 = value - mean;
            mean += step / count;
            squares += step * (value - mean);
        }
        let deviation = (squares / count).sqrt();
        (count > 1.0 && deviation > 0.0 && deviation.is_finite())
            .then_some(Self { mean, deviation })
    }

    /// Jeffreys' divergence of two normal distributions with these moments, at least 0; `None` when one
    /// of them does not vary.
    #[must_use]
    pub fn divergence(&self, other: &Self) -> Option<f64> {
        let (a, b) = (self.deviation * self.deviation, other.deviation * other.deviation);
        let apart = (self.mean - other.mean) * (self.mean - other.mean);
        let found = 0.5 * (a / b + b / a - 2.0 + apart * (1.0 / a + 1.0 / b));
        found.is_finite().then_some(found.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_divergence_by_hand() {
        let a = Moments { mean: 0.0, deviation: 1.0 };
        let b = Moments { mean: 1.0, deviation: 2.0 };
        // ½ (¼ + 4 − 2 + 1 · (1 + ¼))
        assert!((a.divergence(&b).unwrap() - 1.75).abs() < 1e-12);
        assert_eq!(a.divergence(&Moments { mean: 0.0, deviation: 0.0 }), None);
    }

    proptest! {
        #[test]
        fn moments_are_those_of_two_passes(values in proptest::collection::vec(-1e6..1e6f64, 2..50)) {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let odd = values.iter().copied().chain([f64::NAN, f64::INFINITY]);
            if let Some(found) = Moments::of(odd) {
                prop_assert!((found.mean - mean).abs() <= 1e-9 * (1.0 + mean.abs()));
                prop_assert!((found.deviation - variance.sqrt()).abs() <= 1e-6 * (1.0 + variance.sqrt()));
                prop_assert!(found.divergence(&found).unwrap().abs() < 1e-12);
            }
        }
    }
}
