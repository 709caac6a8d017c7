//! Relative bid-ask spread, smoothed in event time, and the balance of the book.
//!
//! spread = (ask − bid)/mid. The average moves towards each new second's value with weight
//! 1 − exp(−Δt/τ) ([`Decay`]). Quotes that are empty or crossed are ignored. Balance is
//! (ask depth − bid depth)/(ask depth + bid depth): +1 when nobody bids.
//!
//! Unit: fraction of the mid price; balance −1 to +1. O(1).

use serde::{Deserialize, Serialize};

use super::Decay;
use super::order_flow::imbalance;
use crate::market::Won;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    last_second: i64,
    value: f64,
    ask_depth: f64,
    bid_depth: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { last_second: i64::MIN, value: 0.0, ask_depth: 0.0, bid_depth: 0.0 }
    }
}

/// The mid of two best quotes, won; `None` when one is missing or they are crossed.
#[must_use]
pub fn mid(ask: Won, bid: Won) -> Option<f64> {
    (bid > 0 && ask >= bid).then(|| (ask as f64 + bid as f64) / 2.0)
}

impl Spread {
    /// Takes in the best quotes at an event second; at most one a second counts.
    pub fn push(&mut self, second: i64, ask: Won, bid: Won, decay: &Decay) {
        let Some(mid) = mid(ask, bid) else { return };
        if second <= self.last_second {
            return;
        }
        let value = (ask - bid) as f64 / mid;
        let weight = if self.last_second == i64::MIN {
            1.0
        } else {
            1.0 - decay.keep(second - self.last_second)
        };
        self.value += weight * (value - self.value);
        self.last_second = second;
    }

    /// Takes in the total depth of both sides, shares; ignored when both are empty.
    pub fn push_depth(&mut self, ask_depth: i64, bid_depth: i64) {
        let (ask, bid) = (ask_depth.max(0) as f64, bid_depth.max(0) as f64);
        if ask + bid > 0.0 {
            (self.ask_depth, self.bid_depth) = (ask, bid);
        }
    }

    /// Smoothed spread, fraction of the mid; 0 when no quote is known.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// Balance of the book, −1 to +1; 0 when not known.
    #[must_use]
    pub fn balance(&self) -> f64 {
        imbalance(self.ask_depth, self.bid_depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((1i64..90, 900i64..1_000, -20i64..100), 1..60),
        ) {
            let decay = Decay::half_life(40.0);
            let mut spread = Spread::default();
            let (mut second, mut expected, mut last) = (5, None::<f64>, 0);
            for (step, bid, width) in steps {
                second += step;
                spread.push(second, bid + width, bid, &decay);
                spread.push(second, bid + 500, bid, &decay);
                let ignored = width < 0;
                let width = if ignored { 500 } else { width } as f64;
                let value = width / (bid as f64 + width / 2.0);
                let keep = 0.5f64.powf((second - last) as f64 / 40.0);
                expected = Some(expected.map_or(value, |old| keep * old + (1.0 - keep) * value));
                last = second;
                prop_assert!((spread.value() - expected.unwrap()).abs() < 1e-12);
            }
        }

        #[test]
        fn balance_is_bounded(ask in any::<i64>(), bid in any::<i64>()) {
            let mut spread = Spread::default();
            spread.push_depth(ask, bid);
            prop_assert!((-1.0..=1.0).contains(&spread.balance()));
        }
    }

    #[test]
    fn empty_quotes_are_ignored() {
        let mut spread = Spread::default();
        spread.push(1, 0, 0, &Decay::half_life(60.0));
        spread.push(2, 100, 0, &Decay::half_life(60.0));
        assert_eq!(spread.value(), 0.0);
        assert_eq!(mid(101, 99), Some(100.0));
    }
}
