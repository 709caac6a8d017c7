//! The daily price limit (상한가, 하한가): near, within a tick, reached.
//!
//! The limits are the exchange's rule for the base price of the day (±30 %, cut to ticks; ±15 %
//! before 2015-06-15). Down: watch within a per cent of the limit, warning within a tick, critical at it:
//! nobody can sell below, so there may be no way out. Up: watch and warning, as a holder can sell.
//!
//! A trade beyond a limit shows that the issue has none today (a first day, a liquidation, leverage)
//! or another base price: the detector is then silent for the day.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, level};
use crate::market::{Market, Product, SessionDay, Won};
use crate::risk::params::PriceLimitParams;

/// Prices beyond are none: a thousand times what the exchange has seen.
const MOST: Won = 1_000_000_000_000;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLimit {
    base: Won,
    lower: Won,
    upper: Won,
    /// Prices from which on the limit is near.
    near_lower: Won,
    near_upper: Won,
    none_today: bool,
    down: Latch,
    up: Latch,
}

/// A trade as this detector sees it.
#[derive(Debug, Clone, Copy)]
pub struct LimitTrade {
    /// Session day.
    pub day: SessionDay,
    /// Event second.
    pub now: i64,
    /// Board.
    pub market: Market,
    /// Price, won.
    pub price: Won,
    /// Base price of the day, won; 0 when not known.
    pub base: Won,
}

fn product(market: Market) -> Product {
    if market == Market::Other { Product::ExchangeTraded } else { Product::Share }
}

impl PriceLimit {
    /// Looks at one trade.
    pub fn check(&mut self, params: &PriceLimitParams, trade: &LimitTrade) -> Option<Finding> {
        if trade.base != self.base {
            self.rebase(params, trade);
        }
        let price = trade.price;
        if self.none_today {
            return None;
        }
        if price < self.lower || price > self.upper {
            self.none_today = true;
            return None;
        }
        let down = self.rung(trade, price <= self.near_lower, price, self.lower);
        let up = self.rung(trade, price >= self.near_upper, price, self.upper).min(2);
        let far = |limit: Won| {
            (price - limit).abs() as f64 > params.rearm * params.near_pct / 100.0 * limit as f64
        };
        let (far_down, far_up) = (far(self.lower), far(self.upper));
        let (now, wait) = (trade.now, params.cooldown_s);
        let falls = self.down.is_news(down, far_down, now, wait);
        let rises = self.up.is_news(up, far_up, now, wait);
        let (rung, limit, direction) = match (falls, rises) {
            (true, _) => (down, self.lower, -1.0),
            (false, true) => (up, self.upper, 1.0),
            (false, false) => return None,
        };
        let latch = if falls { &mut self.down } else { &mut self.up };
        latch.told(rung, now);
        let distance = (price - limit).abs();
        Some(Finding {
            level: level(rung),
            price,
            reference_price: self.base,
            change_pct: 100.0 * (price - self.base) as f64 / self.base as f64,
            window_s: 0,
            evidence: vec![
                ("limit_price", limit as f64),
                ("distance_pct", 100.0 * distance as f64 / limit.max(1) as f64),
                ("distance_ticks", distance as f64 / self.tick(trade) as f64),
                ("direction", direction),
            ],
        })
    }

    fn tick(&self, trade: &LimitTrade) -> Won {
        product(trade.market).tick_size(trade.day, trade.market, trade.price).max(1)
    }

    fn rung(&self, trade: &LimitTrade, near: bool, price: Won, limit: Won) -> u8 {
        match (price - limit).abs() {
            _ if !near => 0,
            0 => 3,
            away if away <= self.tick(trade) => 2,
            _ => 1,
        }
    }

    /// The limits of another base price.
    fn rebase(&mut self, params: &PriceLimitParams, trade: &LimitTrade) {
        *self = Self { base: trade.base, ..Self::default() };
        if !(1..=MOST).contains(&trade.base) {
            self.none_today = true;
            return;
        }
        let product = product(trade.market);
        (self.lower, self.upper) = product.price_limits(trade.day, trade.market, trade.base);
        let near = params.near_pct / 100.0;
        let tick = |price| product.tick_size(trade.day, trade.market, price);
        // Of a cheap share a tick is more than a per cent.
        self.near_lower =
            ((self.lower as f64 * (1.0 + near)) as Won).max(self.lower + tick(self.lower));
        self.near_upper = ((self.upper as f64 * (1.0 - near)).ceil() as Won)
            .min(self.upper - tick(self.upper - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;
    use proptest::prelude::*;

    fn trade(now: i64, price: Won, base: Won) -> LimitTrade {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        LimitTrade { day, now, market: Market::Kospi, price, base }
    }

    fn levels(prices: &[(i64, Won)]) -> Vec<(Won, Level)> {
        let (params, mut limit) = (PriceLimitParams::default(), PriceLimit::default());
        prices
            .iter()
            .filter_map(|&(now, price)| {
                let found = limit.check(&params, &trade(now, price, 10_000))?;
                Some((price, found.level))
            })
            .collect()
    }

    #[test]
    fn near_a_tick_away_and_at_the_lower_limit() {
        let found =
            levels(&[(0, 7_200), (1, 7_070), (2, 7_020), (3, 7_010), (4, 7_000), (5, 7_000)]);
        let expected = [(7_070, Level::Watch), (7_010, Level::Warning), (7_000, Level::Critical)];
        assert_eq!(found, expected);
        // Away and back: told again only when it was far, and after the cool-down.
        let again =
            levels(&[(0, 7_000), (100, 7_300), (101, 7_000), (4_000, 7_300), (4_001, 7_000)]);
        assert_eq!(again, [(7_000, Level::Critical), (7_000, Level::Critical)]);
    }

    #[test]
    fn the_upper_limit_is_a_warning_at_most() {
        let found = levels(&[(0, 12_800), (1, 12_880), (2, 12_990), (3, 13_000)]);
        assert_eq!(found, [(12_880, Level::Watch), (12_990, Level::Warning)]);
    }

    #[test]
    fn a_price_beyond_the_limits_shows_that_there_are_none() {
        assert!(levels(&[(0, 5_000), (1, 7_000), (2, 13_000)]).is_empty());
    }

    #[test]
    fn no_base_price_no_limit() {
        let (params, mut limit) = (PriceLimitParams::default(), PriceLimit::default());
        assert_eq!(limit.check(&params, &trade(0, 7_000, 0)), None);
        assert!(limit.check(&params, &trade(1, 7_000, 10_000)).is_some(), "it is known now");
    }

    proptest! {
        #[test]
        fn told_only_near_a_limit_and_with_finite_numbers(
            base in 1i64..2_000_000, parts in prop::collection::vec(0.6f64..1.4, 1..40),
        ) {
            let (params, mut limit) = (PriceLimitParams::default(), PriceLimit::default());
            for (now, part) in parts.into_iter().enumerate() {
                let price = ((base as f64 * part) as i64).max(1);
                let found = limit.check(&params, &trade(now as i64, price, base));
                if let Some(finding) = found {
                    prop_assert!(finding.evidence.iter().all(|(_, value)| value.is_finite()));
                    let near = finding.evidence[1].1 <= 1.0 || finding.evidence[2].1 <= 1.0;
                    prop_assert!(near, "{finding:?}");
                    prop_assert!(finding.level < Level::Critical || finding.evidence[3].1 < 0.0);
                }
            }
        }
    }
}
