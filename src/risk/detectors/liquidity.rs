//! Getting out of an issue becomes dear: a wide spread, a thin bid, or no trading while the market
//! falls.
//!
//! Three measures against the issue's own norm of this time of day, the highest rung counts:
//!
//! 1. *spread*: smoothed spread over its norm, and at least a plain per cent;
//! 2. *depth*: norm of the bid depth over the depth now, when the spread is wider than usual too;
//! 3. *dry*: norm of the traded volume over the volume now, while the market falls.
//!
//! The norm needs twenty minutes of samples ([`crate::risk::estimators::LiquidityNorm`]). Silent in the
//! closing auction, where books are no quotes one can trade at.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, level, rung};
use crate::market::Won;
use crate::risk::params::LiquidityParams;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liquidity(Latch);

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// Event second.
    pub now: i64,
    /// Trade price, won.
    pub price: Won,
    /// Smoothed spread and its norm, fractions of the mid.
    pub spread: (f64, f64),
    /// Smoothed bid depth and its norm, shares.
    pub depth: (f64, f64),
    /// Samples of the norms, and the seconds they were taken over.
    pub basis: (u32, i64),
    /// Traded volume over its norm; 1 when not known.
    pub volume_ratio: f64,
    /// Fall of the market, per cent.
    pub market_fall_pct: f64,
    /// Whether trading is continuous.
    pub continuous: bool,
}

/// How many times `much` is of `little`; 1 when one of them is not known.
fn times(much: f64, little: f64) -> f64 {
    if much > 0.0 && little > 0.0 { (much / little).min(1e6) } else { 1.0 }
}

impl Liquidity {
    /// Looks at one second of one issue.
    pub fn check(&mut self, params: &LiquidityParams, inputs: &Inputs) -> Option<Finding> {
        let (samples, seconds) = inputs.basis;
        if samples < params.min_samples || seconds < params.min_seconds || !inputs.continuous {
            return None;
        }
        let spread_pct = 100.0 * inputs.spread.0;
        let spread = times(inputs.spread.0, inputs.spread.1);
        let depth = times(inputs.depth.1, inputs.depth.0);
        let dry = times(1.0, inputs.volume_ratio);
        let falling = inputs.market_fall_pct >= params.market_fall_pct;
        let by_spread = if spread_pct >= params.min_spread_pct {
            rung(spread, &params.spread_ratios)
        } else {
            0
        };
        let by_depth =
            if spread >= params.depth_spread_ratio { rung(depth, &params.depth_ratios) } else { 0 };
        let by_volume = if falling { rung(dry, &params.dry_ratios) } else { 0 };
        let rung = by_spread.max(by_depth).max(by_volume);
        let receded = spread < params.rearm * params.spread_ratios[0]
            && depth < params.rearm * params.depth_ratios[0]
            && (!falling || dry < params.rearm * params.dry_ratios[0]);
        if !self.0.is_news(rung, receded, inputs.now, params.cooldown_s) {
            return None;
        }
        self.0.told(rung, inputs.now);
        let view = match rung {
            rung if rung == by_spread => 1.0,
            rung if rung == by_depth => 2.0,
            _ => 3.0,
        };
        Some(Finding {
            level: level(rung),
            price: inputs.price,
            reference_price: 0,
            change_pct: 0.0,
            window_s: 60,
            evidence: vec![
                ("view", view),
                ("spread_pct", spread_pct),
                ("normal_spread_pct", 100.0 * inputs.spread.1),
                ("spread_ratio", spread),
                ("bid_depth", inputs.depth.0),
                ("normal_bid_depth", inputs.depth.1),
                ("volume_ratio", inputs.volume_ratio),
                ("market_fall_pct", inputs.market_fall_pct),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;
    use proptest::prelude::*;

    fn inputs(now: i64) -> Inputs {
        Inputs {
            now,
            price: 10_000,
            spread: (0.001, 0.001),
            depth: (1_000.0, 1_000.0),
            basis: (500, 3_000),
            volume_ratio: 1.0,
            market_fall_pct: 0.0,
            continuous: true,
        }
    }

    fn level_of(inputs: Inputs) -> Option<(Level, f64)> {
        let found = Liquidity::default().check(&LiquidityParams::default(), &inputs)?;
        Some((found.level, found.evidence[0].1))
    }

    #[test]
    fn each_measure_speaks() {
        assert_eq!(level_of(inputs(0)), None);
        assert_eq!(
            level_of(Inputs { spread: (0.008, 0.001), ..inputs(0) }),
            Some((Level::Warning, 1.0))
        );
        assert_eq!(
            level_of(Inputs { spread: (0.005, 0.001), ..inputs(0) }),
            None,
            "a small spread"
        );
        let thin = Inputs { depth: (40.0, 1_000.0), ..inputs(0) };
        assert_eq!(level_of(thin), None, "the spread is as ever");
        let thin = Inputs { spread: (0.0016, 0.001), ..thin };
        assert_eq!(level_of(thin), Some((Level::Critical, 2.0)));
        let dry = Inputs { volume_ratio: 0.15, ..inputs(0) };
        assert_eq!(level_of(dry), None, "a quiet hour");
        assert_eq!(level_of(Inputs { market_fall_pct: 4.0, ..dry }), Some((Level::Watch, 3.0)));
        let new = Inputs { basis: (500, 600), spread: (0.05, 0.001), ..inputs(0) };
        assert_eq!(level_of(new), None, "no norm yet");
        assert_eq!(level_of(Inputs { basis: (500, 3_000), continuous: false, ..new }), None);
    }

    #[test]
    fn noise_around_the_threshold_is_told_once() {
        let (params, mut liquidity) = (LiquidityParams::default(), Liquidity::default());
        let mut told = 0;
        for now in 0..3_000 {
            let spread = if now % 2 == 0 { 0.0081 } else { 0.0079 };
            let inputs = Inputs { spread: (spread, 0.002), ..inputs(now) };
            told += usize::from(liquidity.check(&params, &inputs).is_some());
        }
        assert_eq!(told, 1);
        let calm = Inputs { spread: (0.002, 0.002), ..inputs(4_000) };
        assert_eq!(liquidity.check(&params, &calm), None);
        assert!(
            liquidity.check(&params, &Inputs { spread: (0.009, 0.002), ..inputs(4_001) }).is_some()
        );
    }

    proptest! {
        #[test]
        fn any_numbers_are_survived_and_a_wider_spread_is_no_lower_level(
            values in [any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>()],
            spread in 0.0f64..0.2, more in 0.0f64..0.2,
        ) {
            let wild = Inputs {
                spread: (values[0], values[1]), depth: (values[2], values[3]),
                volume_ratio: values[4], market_fall_pct: values[5], ..inputs(0)
            };
            let _ = level_of(wild);
            let level = |spread: f64| level_of(Inputs { spread: (spread, 0.002), ..inputs(0) }).map(|f| f.0);
            prop_assert!(level(spread + more) >= level(spread));
        }
    }
}
