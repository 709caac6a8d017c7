//! Running drawdown: how far the price stands below the highest of the day.
//!
//! Input: trade prices above zero, won. Unit: fraction of the peak, 0 (at the peak) to 1. O(1); the division is left to the reader.

use serde::{Deserialize, Serialize};

use crate::market::Won;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawdown {
    peak: Won,
    last: Won,
}

impl Drawdown {
    /// Takes in a price above zero.
    pub fn push(&mut self, price: Won) {
        self.peak = self.peak.max(price);
        self.last = price;
    }

    /// Of the last price; 0 before the first.
    #[must_use]
    pub fn current(&self) -> f64 {
        (self.peak - self.last) as f64 / self.peak.max(1) as f64
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
            for end in 1..=prices.len() {
                drawdown.push(prices[end - 1]);
                let peak = *prices[..end].iter().max().unwrap();
                let current = (peak - prices[end - 1]) as f64 / peak as f64;
                prop_assert!((drawdown.current() - current).abs() < 1e-12);
            }
        }
    }
}
