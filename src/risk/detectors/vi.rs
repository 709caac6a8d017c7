//! Volatility interruption (변동성완화장치, VI) of one issue: near, or under way.
//!
//! - *Near* (watch): the price stands within a per cent of the one at which the static VI begins, by
//!   the exchange's rule (±10 % of the last auction's price, to the tick; `market/rules/vi.rs`).
//! - *Under way* (warning, from the third of a day on critical): the feed says so, or trading shows
//!   it: the static reference changed after a pause as long as a VI takes. That is seen only when the
//!   auction has ended it. KIS tells market states of one issue a registration, so most
//!   interruptions are seen this way, late but surely.
//!
//! A dynamic VI (2 to 6 % from the trade before) cannot be seen coming: the trade that would start it
//! does not happen. Its kind is told from what the rule says of the prices around it: 1 static, 2
//! dynamic, 3 both, 0 not to be told.
//!
//! Not told: during and after a halt of the market or of the issue, which end with an auction too.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch};
use crate::market::rules::vi::{self, ViClass, ViPhase};
use crate::market::{Market, SessionDay, Won};
use crate::risk::params::ViParams;
use crate::risk::types::Level;

/// Seconds without a trade that a VI takes at least; and at most, with what an auction without
/// match adds.
const PAUSE_S: std::ops::RangeInclusive<i64> = 100..=420;

/// Prices beyond are none: a thousand times what the exchange has seen.
const MOST: Won = 1_000_000_000_000;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vi {
    reference: Won,
    lower: Won,
    upper: Won,
    active: bool,
    /// The feed told of the one that the next change of the reference ends.
    told: bool,
    count: u8,
    near: Latch,
}

/// A trade as this detector sees it.
#[derive(Debug, Clone, Copy)]
pub struct ViTrade {
    /// Session day.
    pub day: SessionDay,
    /// Event second.
    pub now: i64,
    /// Board.
    pub market: Market,
    /// Price, won.
    pub price: Won,
    /// Price of the trade before, won; 0 before the first.
    pub before: Won,
    /// Seconds since it.
    pub pause_s: i64,
    /// Static reference that the trade carries, won; 0 when it carries none.
    pub reference: Won,
    /// The market or the issue was halted within the last half hour.
    pub after_halt: bool,
}

impl Vi {
    /// The static reference of the last trade, won; 0 before the first.
    #[must_use]
    pub const fn reference(&self) -> Won {
        self.reference
    }

    /// Looks at one trade.
    pub fn trade(&mut self, params: &ViParams, trade: &ViTrade) -> Option<Finding> {
        self.active = false;
        if !(1..=MOST).contains(&trade.reference) || !vi::in_force(trade.day) {
            return None;
        }
        let was = self.reference;
        if was != trade.reference {
            (self.lower, self.upper) =
                vi::static_triggers(trade.day, trade.market, trade.reference);
            self.reference = trade.reference;
            let told = std::mem::take(&mut self.told);
            let auction = was > 0 && PAUSE_S.contains(&trade.pause_s);
            if auction && !told && !trade.after_halt {
                return Some(self.begun(params, was, trade.before, trade.price, true));
            }
        }
        // One comparison for the ordinary trade.
        let margin = trade.reference as f64 * params.near_pct / 100.0;
        let low = trade.price.saturating_sub(self.lower) as f64;
        let high = self.upper.saturating_sub(trade.price) as f64;
        let near = low.min(high);
        let receded = near > params.rearm * margin;
        let rung = u8::from(near <= margin);
        if !self.near.is_news(rung, receded, trade.now, params.cooldown_s) {
            return None;
        }
        self.near.told(rung, trade.now);
        let trigger = if low <= high { self.lower } else { self.upper };
        Some(Finding {
            level: Level::Watch,
            price: trade.price,
            reference_price: trade.reference,
            change_pct: change_pct(trade.reference, trade.price),
            window_s: 0,
            evidence: vec![
                ("under_way", 0.0),
                ("trigger_price", trigger as f64),
                ("distance_pct", 100.0 * near / trade.reference as f64),
                ("direction", if low <= high { -1.0 } else { 1.0 }),
                ("count", f64::from(self.count)),
            ],
        })
    }

    /// The feed says whether an interruption is under way; `price` is the last one known.
    pub fn tell(&mut self, params: &ViParams, active: bool, price: Won) -> Option<Finding> {
        if !active || std::mem::replace(&mut self.active, true) {
            self.active = active;
            return None;
        }
        self.told = true;
        Some(self.begun(params, self.reference, price, price, false))
    }

    /// One has begun from `before`; `price` is what is known after it.
    fn begun(
        &mut self,
        params: &ViParams,
        reference: Won,
        before: Won,
        price: Won,
        inferred: bool,
    ) -> Finding {
        self.count = self.count.saturating_add(1);
        let repeated = self.count >= params.critical_count;
        let from_reference = change_pct(reference, price);
        let kind = if inferred { kind(reference, before, price) } else { 0.0 };
        Finding {
            level: if repeated { Level::Critical } else { Level::Warning },
            price,
            reference_price: reference,
            change_pct: from_reference,
            window_s: 0,
            evidence: vec![
                ("under_way", if inferred { 0.0 } else { 1.0 }),
                ("inferred", if inferred { 1.0 } else { 0.0 }),
                ("kind", kind),
                ("direction", if from_reference < 0.0 { -1.0 } else { 1.0 }),
                ("change_of_auction_pct", change_pct(before, price)),
                ("count", f64::from(self.count)),
            ],
        }
    }
}

fn change_pct(from: Won, to: Won) -> f64 {
    if from <= 0 { 0.0 } else { 100.0 * to.saturating_sub(from) as f64 / from as f64 }
}

/// Which threshold the auction's price is beyond: that of the class is not known, so the
/// narrower one counts for the dynamic kind.
fn kind(reference: Won, before: Won, price: Won) -> f64 {
    let dynamic = vi::dynamic_percent(ViClass::Kospi200, ViPhase::Continuous).unwrap_or(3);
    let fixed = change_pct(reference, price).abs() >= vi::STATIC_PERCENT as f64;
    let moving = change_pct(before, price).abs() >= dynamic as f64;
    f64::from(u8::from(fixed) + 2 * u8::from(moving))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trade(now: i64, price: Won, reference: Won) -> ViTrade {
        ViTrade {
            day: SessionDay::from_yyyymmdd(20_240_805).unwrap(),
            now,
            market: Market::Kosdaq,
            price,
            before: 9_200,
            pause_s: 1,
            reference,
            after_halt: false,
        }
    }

    #[test]
    fn near_the_trigger_is_told_once_and_again_after_receding() {
        let (params, mut vi) = (ViParams::default(), Vi::default());
        let mut at = |now, price| vi.trade(&params, &trade(now, price, 10_000));
        assert_eq!(at(0, 9_200), None);
        let found = at(1, 9_100).unwrap();
        assert_eq!((found.level, found.evidence[1]), (Level::Watch, ("trigger_price", 9_000.0)));
        assert_eq!(at(2, 9_050), None);
        assert_eq!((at(3, 9_300), at(4, 9_100)), (None, None), "not cooled");
        assert_eq!(at(3_000, 9_300), None);
        assert!(at(3_001, 9_100).is_some());
        assert_eq!(at(9_000, 9_500), None);
        assert_eq!(at(9_001, 10_950).unwrap().evidence[3], ("direction", 1.0));
    }

    #[test]
    fn a_new_reference_after_two_minutes_was_an_interruption() {
        let (params, mut vi) = (ViParams::default(), Vi::default());
        vi.trade(&params, &trade(0, 9_200, 10_000));
        let auction = ViTrade { pause_s: 140, ..trade(140, 8_900, 8_900) };
        let found = vi.trade(&params, &auction).unwrap();
        assert_eq!((found.level, found.evidence[2]), (Level::Warning, ("kind", 3.0)));
        assert_eq!((found.reference_price, found.evidence[1].1), (10_000, 1.0));

        let mut halted = Vi::default();
        halted.trade(&params, &trade(0, 9_200, 10_000));
        assert_eq!(halted.trade(&params, &ViTrade { after_halt: true, ..auction }), None);
        let mut thin = Vi::default();
        thin.trade(&params, &trade(0, 9_200, 10_000));
        assert_eq!(thin.trade(&params, &ViTrade { pause_s: 1_800, ..auction }), None);
        assert_eq!(Vi::default().trade(&params, &auction), None, "the first trade of the day");
    }

    #[test]
    fn what_the_feed_tells_is_not_inferred_again_and_the_third_is_critical() {
        let (params, mut vi) = (ViParams::default(), Vi::default());
        let mut reference = 10_000;
        vi.trade(&params, &trade(0, 9_950, reference));
        for count in 1..=3i64 {
            let told = vi.tell(&params, true, 9_100).unwrap();
            let level = if count < 3 { Level::Warning } else { Level::Critical };
            assert_eq!((told.level, told.evidence[5].1), (level, count as f64));
            assert_eq!(vi.tell(&params, true, 9_100), None, "told again");
            reference -= 100;
            let auction = ViTrade { pause_s: 130, ..trade(count * 500, reference, reference) };
            assert_eq!(vi.trade(&params, &auction), None);
        }
        assert_eq!(vi.tell(&params, false, 9_100), None);
    }

    proptest! {
        #[test]
        fn any_trades_are_survived(trades in prop::collection::vec(
            (1i64..1_000_000_000, 0i64..1_000_000_000, 0i64..10_000), 1..40)) {
            let (params, mut vi) = (ViParams::default(), Vi::default());
            for (number, (price, reference, pause_s)) in trades.into_iter().enumerate() {
                let found = vi.trade(&params, &ViTrade { pause_s, ..trade(number as i64, price, reference) });
                if let Some(finding) = found {
                    prop_assert!(finding.evidence.iter().all(|(_, value)| value.is_finite()));
                }
            }
        }
    }
}
