//! Running drawdown: how far the price stands below the highest of the day, and the deepest it
//! has been.
//!
//! Input: trade prices above zero, won. Unit: fraction of the peak, 0 (at the peak) to 1. O(1).

use crate::market::Won;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Drawdown {
    peak: Won,
    current: f64,
    deepest: f64,
}

impl Drawdown {
    /// Takes in a price above zero.
    pub fn push(&mut self, price: Won) {
        self.peak = self.peak.max(price);
        self.current = 1.0 - price as f64 / self.peak as f64;
        self.deepest = self.deepest.max(self.current);
    }

    /// Of the last price.
    #[must_use]
    pub const fn current(&self) -> f64 {
        self.current
    }

    /// Largest so far.
    #[must_use]
    pub const fn deepest(&self) -> f64 {
        self.deepest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(prices in prop::collection::vec(1i64..99_999, 1..60)) {
            let mut drawdown = Drawdown::default();
            let mut deepest = 0.0f64;
            for end in 1..=prices.len() {
                drawdown.push(prices[end - 1]);
                let peak = *prices[..end].iter().max().unwrap();
                let current = (peak - prices[end - 1]) as f64 / peak as f64;
                deepest = deepest.max(current);
                prop_assert!((drawdown.current() - current).abs() < 1e-12);
                prop_assert!((drawdown.deepest() - deepest).abs() < 1e-12);
            }
        }
    }
}
