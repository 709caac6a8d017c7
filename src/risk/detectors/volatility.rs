//! Realised volatility far above its norm.
//!
//! The measure is the ratio of the intraday standard deviation (pre-averaged, exponentially
//! weighted) to the normal one. An issue with too little history has a norm of at least
//! what the range of the day tells, so that an unknown lively issue does not alarm every morning.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, level, rung};
use crate::market::Won;
use crate::risk::params::VolatilityParams;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volatility(Latch);

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// Event second.
    pub now: i64,
    /// Trade price, won.
    pub price: Won,
    /// Intraday variance of a session, fraction².
    pub session_variance: f64,
    /// Normal variance of a session, fraction².
    pub normal_variance: f64,
    /// Variance of a session by the range of today, fraction².
    pub range_variance: f64,
    /// Returns the intraday variance rests on.
    pub returns: u32,
    /// Sessions the norm rests on.
    pub sessions: u32,
    /// Part of a day's variance that falls between close and open.
    pub overnight_share: f64,
}

impl Volatility {
    /// Looks at one second of one issue.
    pub fn check(&mut self, params: &VolatilityParams, inputs: &Inputs) -> Option<Finding> {
        if inputs.returns < params.min_returns {
            return None;
        }
        let norm = if inputs.sessions < params.min_sessions {
            inputs.normal_variance.max(inputs.range_variance)
        } else {
            inputs.normal_variance
        };
        let daily_pct = |variance: f64| 100.0 * (variance / (1.0 - inputs.overnight_share)).sqrt();
        let (realised, normal) = (daily_pct(inputs.session_variance), daily_pct(norm));
        let ratio = realised / normal.max(1e-6);
        let quiet = realised < params.min_daily_vol_pct;
        let rung = if quiet { 0 } else { rung(ratio, &params.ratios) };
        let receded = quiet || ratio < params.rearm * params.ratios[0];
        if !self.0.is_news(rung, receded, inputs.now, params.cooldown_s) {
            return None;
        }
        self.0.told(rung, inputs.now);
        Some(Finding {
            level: level(rung),
            price: inputs.price,
            reference_price: 0,
            change_pct: 0.0,
            window_s: 600,
            evidence: vec![
                ("ratio", ratio),
                ("realised_daily_pct", realised),
                ("normal_daily_pct", normal),
                ("returns", f64::from(inputs.returns)),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;

    fn inputs(now: i64, realised: f64) -> Inputs {
        Inputs {
            now,
            price: 10_000,
            session_variance: realised * realised,
            normal_variance: 0.02 * 0.02,
            range_variance: realised * realised,
            returns: 40,
            sessions: 60,
            overnight_share: 0.0,
        }
    }

    #[test]
    fn ratio_history_and_size_count() {
        let params = VolatilityParams::default();
        let level = |inputs: Inputs| {
            Volatility::default().check(&params, &inputs).map(|finding| finding.level)
        };
        assert_eq!(level(inputs(0, 0.049)), None);
        assert_eq!(level(inputs(0, 0.051)), Some(Level::Watch));
        assert_eq!(level(inputs(0, 0.11)), Some(Level::Critical));
        assert_eq!(level(Inputs { returns: 19, ..inputs(0, 0.11) }), None);
        assert_eq!(level(Inputs { sessions: 3, ..inputs(0, 0.11) }), None, "today is its norm");
        assert_eq!(level(Inputs { normal_variance: 1e-5, ..inputs(0, 0.04) }), None, "small");
    }
}
