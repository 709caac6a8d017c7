//! High and low of the day, and the variance they tell.
//!
//! Parkinson (Journal of Business 1980): for a driftless walk watched over a session,
//! E[ln(H/L)²] = 4·ln 2·σ². Over a part of a session the squared range is divided by the share of
//! activity that was watched (`clock`); below 2 % of a session that would amplify noise, so the
//! share is taken as at least that.
//!
//! Input: trade prices above zero, won. Unit of the variance: squared fraction a session. O(1).

use serde::{Deserialize, Serialize};

use crate::market::Won;

/// Smallest share of a session a range is scaled up from.
const MIN_SHARE: f64 = 0.02;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayRange {
    first: Won,
    high: Won,
    low: Won,
    /// ln(H/L)², kept because extremes seldom move.
    squared: f64,
}

impl Default for DayRange {
    fn default() -> Self {
        Self { first: 0, high: 0, low: Won::MAX, squared: 0.0 }
    }
}

impl DayRange {
    /// Takes in a trade price above zero.
    pub fn push(&mut self, price: Won) {
        if self.first == 0 {
            self.first = price;
        }
        if price > self.high || price < self.low {
            self.high = self.high.max(price);
            self.low = self.low.min(price);
            self.squared = (self.high as f64 / self.low as f64).ln().powi(2);
        }
    }

    /// First price, won; 0 before it.
    #[must_use]
    pub const fn first(&self) -> Won {
        self.first
    }

    /// Highest price, won; 0 before the first.
    #[must_use]
    pub const fn high(&self) -> Won {
        self.high
    }

    /// Lowest price, won; 0 before the first.
    #[must_use]
    pub const fn low(&self) -> Won {
        if self.high == 0 { 0 } else { self.low }
    }

    /// Variance of a session by Parkinson, when the range was watched over `share` (0 to 1) of one;
    /// fraction². 0 before the first price.
    #[must_use]
    pub fn session_variance(&self, share: f64) -> f64 {
        self.squared / (4.0 * std::f64::consts::LN_2 * share.clamp(MIN_SHARE, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            prices in prop::collection::vec(1i64..2_000_000, 1..60), share in 0.0f64..1.0,
        ) {
            let mut range = DayRange::default();
            for price in &prices {
                range.push(*price);
            }
            let (low, high) = (prices.iter().min().unwrap(), prices.iter().max().unwrap());
            prop_assert_eq!((range.low(), range.high()), (*low, *high));
            prop_assert_eq!(range.first(), prices[0]);
            let expected = (*high as f64 / *low as f64).ln().powi(2) / 2.772_588_722_239_781;
            let expected = expected / share.max(0.02);
            prop_assert!((range.session_variance(share) - expected).abs() <= 1e-9 * expected);
        }
    }

    #[test]
    fn nothing_yet() {
        assert_eq!(DayRange::default().session_variance(0.5), 0.0);
        assert_eq!(DayRange::default().low(), 0);
    }
}
