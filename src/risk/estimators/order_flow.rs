//! Imbalance of the order flow: who crosses the spread, buyers or sellers.
//!
//! (B − S)/(B + S) with B and S the shares bought and sold by the side that took the other's quote
//! (order imbalance in shares, scaled; Chordia, Roll & Subrahmanyam, Journal of Financial Economics
//! 2002). Both sums forget exponentially in event time ([`Decay`]), so that it is that of about the
//! last half-life. Trades of an auction have no such side and are left out. The balance of waiting
//! orders is in [`super::Spread`].
//!
//! Unit: −1 (all sold) to +1 (all bought), 0 when nothing is known; never NaN. O(1) a trade.

use serde::{Deserialize, Serialize};

use super::Decay;
use crate::market::Side;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OrderFlow {
    last_second: i64,
    bought: f64,
    sold: f64,
}

impl Default for OrderFlow {
    fn default() -> Self {
        Self { last_second: i64::MIN, bought: 0.0, sold: 0.0 }
    }
}

impl OrderFlow {
    /// Takes in a trade of `quantity` shares at an event second; one from the past counts as of
    /// now. Quantities at or below zero are ignored.
    pub fn push(&mut self, second: i64, side: Side, quantity: i64, decay: &Decay) {
        if quantity <= 0 || side == Side::Auction {
            return;
        }
        if second > self.last_second {
            let keep = decay.keep(second.saturating_sub(self.last_second));
            (self.bought, self.sold) = (self.bought * keep, self.sold * keep);
            self.last_second = second;
        }
        match side {
            Side::Buy => self.bought += quantity as f64,
            Side::Sell => self.sold += quantity as f64,
            Side::Auction => {}
        }
    }

    /// −1 to +1; 0 when nothing is known.
    #[must_use]
    pub fn imbalance(&self) -> f64 {
        imbalance(self.bought, self.sold)
    }
}

/// (`bought` − `sold`) / (`bought` + `sold`), −1 to +1; 0 when both are 0 or one is no number. Values
/// below zero count as 0.
#[must_use]
pub fn imbalance(bought: f64, sold: f64) -> f64 {
    let (bought, sold) = (bought.max(0.0), sold.max(0.0));
    // Halved, so that the sum of the largest numbers is one.
    let sum = bought / 2.0 + sold / 2.0;
    if sum > 0.0 && sum.is_finite() {
        ((bought / 2.0 - sold / 2.0) / sum).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((-3i64..90, 0usize..3, -5i64..1_000), 1..60),
        ) {
            let decay = Decay::half_life(60.0);
            let mut flow = OrderFlow::default();
            let mut seen: Vec<(i64, f64)> = Vec::new();
            let (mut second, mut now) = (1_000, i64::MIN);
            for (step, side, quantity) in steps {
                second += step;
                let side = [Side::Buy, Side::Sell, Side::Auction][side];
                flow.push(second, side, quantity, &decay);
                let sign = match side { Side::Buy => 1.0, Side::Sell => -1.0, Side::Auction => 0.0 };
                if quantity > 0 && sign != 0.0 {
                    now = now.max(second);
                    seen.push((now, sign * quantity as f64));
                }
                let weighted = |(at, shares): &(i64, f64)| shares * 0.5f64.powf((now - at) as f64 / 60.0);
                let net: f64 = seen.iter().map(weighted).sum();
                let all: f64 = seen.iter().map(|trade| weighted(trade).abs()).sum();
                let expected = if all > 0.0 { net / all } else { 0.0 };
                prop_assert!((flow.imbalance() - expected).abs() < 1e-9);
            }
        }

        #[test]
        fn bounded_and_never_nan(
            bought in any::<f64>(), sold in any::<f64>(), trades in prop::collection::vec(any::<(i64, i64)>(), 0..20),
        ) {
            prop_assert!((-1.0..=1.0).contains(&imbalance(bought, sold)));
            let mut flow = OrderFlow::default();
            for (index, (second, quantity)) in trades.into_iter().enumerate() {
                let side = if index % 2 == 0 { Side::Buy } else { Side::Sell };
                flow.push(second, side, quantity, &Decay::half_life(60.0));
                prop_assert!((-1.0..=1.0).contains(&flow.imbalance()));
            }
        }
    }

    #[test]
    fn nothing_yet() {
        assert_eq!(OrderFlow::default().imbalance(), 0.0);
        assert_eq!((imbalance(3.0, 1.0), imbalance(f64::NAN, 0.0)), (0.5, 0.0));
    }
}
