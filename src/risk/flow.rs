//! Continuous trading of one issue in bars of 30 seconds: what the tests of jump and slide rest on.
//!
//! Puts together the bar returns, the variance without jumps, beta and the slide's statistic, and
//! knows the price below which the present bar is worth a look, so that an ordinary trade costs one
//! comparison and the arithmetic runs once a bar.

use serde::{Deserialize, Serialize};

use super::detectors::fall_pct;
use super::detectors::jump::{self, JumpView};
use super::detectors::slide::{self, Slide};
use super::estimators::bar_returns::BAR_S;
use super::estimators::clock::SESSION_S;
use super::estimators::{BarReturns, Beta, Decay, RobustVariance};
use super::params::RiskParams;
use crate::market::Won;

/// What follows from the settings of both tests, computed once.
#[derive(Debug, Clone)]
pub(super) struct Thresholds {
    pub jump: [f64; 3],
    pub slide: [f64; 3],
    decay: Decay,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::new(&RiskParams::default())
    }
}

impl Thresholds {
    pub fn new(params: &RiskParams) -> Self {
        let slide = &params.slide;
        Self {
            jump: params.jump.false_alarms_a_day.map(jump::threshold),
            slide: slide.run_length_days.map(|days| slide::threshold(days, slide.allowance)),
            decay: Decay::half_life(params.jump.half_life_s),
        }
    }
}

/// A trade as continuous trading sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub second: i64,
    /// The mid, or the price where that says more; won.
    pub sample: f64,
    pub density: f64,
    /// Does not continue what was before: after missing trades, a halt, an auction.
    pub broken: bool,
    /// Normal variance of a session, fraction².
    pub normal: f64,
    /// Level of the index; 0 when not known.
    pub index: f64,
    /// Tick size at the price, won.
    pub tick: Won,
}

/// See the module.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Flow {
    bars: BarReturns,
    pub robust: RobustVariance,
    pub beta: Beta,
    pub slide: Slide,
    /// A price at or below it may be a jump, won; 0 when none can be.
    jump_below: f64,
    /// Deviation of a session without jumps, at least the normal one, fraction.
    deviation: f64,
    /// What a session's deviation is over the time from the anchor to the end of the bar.
    share: f64,
}

impl Flow {
    /// A new day begins with the normal variance of a session, fraction².
    pub fn begin_day(&mut self, normal: f64) {
        // Beta outlives the day: it changes slowly.
        let mut beta = self.beta;
        beta.begin(0.0);
        *self = Self { robust: RobustVariance::starting_at(normal), beta, ..Self::default() };
    }

    /// Takes in a trade.
    pub fn take(&mut self, step: &Step, params: &RiskParams, thresholds: &Thresholds) {
        if step.broken {
            self.bars.interrupt();
            self.robust.interrupt();
            self.slide.restart();
            self.jump_below = 0.0;
        }
        let before = self.bars.anchor();
        let (began, ended) = self.bars.push(step.second, step.sample);
        if !began {
            return;
        }
        match ended {
            Some(ended) => {
                let scale = (SESSION_S / (BAR_S as f64 * ended.bars as f64 * step.density)).sqrt();
                let z = ended.change * scale;
                let deviation = self.robust.without_jumps().max(step.normal).sqrt();
                let start = before.map_or(step.sample, |(close, _)| close);
                let from = step.second - (ended.bars + 1) * BAR_S;
                self.slide.push(
                    z / deviation.max(1e-6),
                    (start.round() as Won, from),
                    &params.slide,
                    thresholds.slide[2],
                );
                let keep = thresholds.decay.keep(ended.bars * BAR_S);
                self.robust.push(z, keep);
                self.beta.push(z, step.index, scale, keep);
            }
            None => self.beta.begin(step.index),
        }
        self.set_bar(step, params, thresholds);
    }

    /// Makes ready for the bar that begins.
    fn set_bar(&mut self, step: &Step, params: &RiskParams, thresholds: &Thresholds) {
        self.deviation = self.robust.without_jumps().max(step.normal).sqrt();
        self.jump_below = 0.0;
        let Some((anchor, bars)) = self.bars.anchor() else { return };
        self.share = (BAR_S as f64 * bars as f64 * step.density / SESSION_S).sqrt();
        if self.robust.returns() < params.jump.min_returns {
            return;
        }
        let statistical = thresholds.jump[0] * self.deviation * self.share;
        let ticks = params.jump.min_ticks.saturating_mul(step.tick) as f64 / anchor;
        let least = statistical.max(params.jump.min_falls_pct[0] / 100.0).max(ticks);
        self.jump_below = anchor * (1.0 - least);
    }

    /// The fall within the present bar at `price`, when it is large enough to be looked at.
    #[must_use]
    pub fn jump(&self, price: Won) -> Option<JumpView> {
        if price as f64 > self.jump_below {
            return None;
        }
        let (anchor, bars) = self.bars.anchor()?;
        let reference = anchor.round() as Won;
        let sigma = (self.deviation * self.share).max(1e-9);
        Some(JumpView {
            reference,
            fall_pct: fall_pct(reference, price),
            statistic: -(price as f64 / anchor).ln() / sigma,
            sigma_pct: 100.0 * sigma,
            session_pct: 100.0 * self.deviation,
            window_s: u32::try_from((bars + 1) * BAR_S).unwrap_or(u32::MAX),
        })
    }
}
