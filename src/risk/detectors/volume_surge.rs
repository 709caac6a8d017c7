//! Volume far above its norm.
//!
//! The measure is the present rate of shares (average of about the last seven minutes) over the
//! norm of this hour. Turnover and number of trades must also be worth a word.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, level, rung};
use crate::market::Won;
use crate::risk::params::VolumeSurgeParams;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSurge(Latch);

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// Event second.
    pub now: i64,
    /// Trade price, won.
    pub price: Won,
    /// Present rate over the norm; 1 when there is no norm.
    pub ratio: f64,
    /// Present rate, shares a second.
    pub rate: f64,
    /// Norm, shares a second; 0 when there is none.
    pub norm: f64,
    /// Trades the present rate rests on.
    pub recent_trades: f64,
    /// Time the present rate looks back on, seconds.
    pub time_constant_s: f64,
}

impl VolumeSurge {
    /// Looks at one second of one issue.
    pub fn check(&mut self, params: &VolumeSurgeParams, inputs: &Inputs) -> Option<Finding> {
        let turnover = inputs.rate * inputs.time_constant_s * inputs.price as f64;
        let small = turnover < params.min_turnover || inputs.recent_trades < params.min_trades;
        let rung = if small { 0 } else { rung(inputs.ratio, &params.ratios) };
        let receded = inputs.ratio < params.rearm * params.ratios[0];
        if !self.0.is_news(rung, receded, inputs.now, params.cooldown_s) {
            return None;
        }
        self.0.told(rung, inputs.now);
        Some(Finding {
            level: level(rung),
            price: inputs.price,
            reference_price: 0,
            change_pct: 0.0,
            window_s: inputs.time_constant_s as u32,
            evidence: vec![
                ("ratio", inputs.ratio),
                ("shares_per_s", inputs.rate),
                ("normal_shares_per_s", inputs.norm),
                ("turnover", turnover),
                ("trades", inputs.recent_trades),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;

    #[test]
    fn ratio_turnover_and_trades_count() {
        let params = VolumeSurgeParams::default();
        let inputs = Inputs {
            now: 0,
            price: 50_000,
            ratio: 16.0,
            rate: 160.0,
            norm: 10.0,
            recent_trades: 90.0,
            time_constant_s: 430.0,
        };
        let level = |inputs: Inputs| {
            VolumeSurge::default().check(&params, &inputs).map(|finding| finding.level)
        };
        assert_eq!(level(inputs), Some(Level::Warning));
        assert_eq!(level(Inputs { ratio: 7.9, ..inputs }), None);
        assert_eq!(level(Inputs { price: 500, ..inputs }), None);
        assert_eq!(level(Inputs { recent_trades: 3.0, ..inputs }), None);
    }
}
