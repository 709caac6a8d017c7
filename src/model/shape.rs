//! What moves the tail of the residuals: a downside scale and a slow level.
//!
//! Standardised residuals are not alike in calm and in wild times. The **downside scale** g makes
//! the tail wider after days on which most issues fell, for small issues, and with a bad US
//! session of the night: g = exp(½ Σ slope · clip((x − mean) / deviation, ±4)). The **level** s
//! follows, slowly and damped, how far the residuals of the last 90 sessions reached:
//! s = max(q / reference, floor)^power with q the 5 % quantile of z / g. What is left,
//! u = z / (g s), is near to one distribution for all times.
//!
//! Slopes, means and deviations are constants, the slopes by half-year: [`slopes`](super::slopes).

use serde::{Deserialize, Serialize};

use super::features::{
    BREADTH, INDEX_TERMS, LTV, MarketTerms, OwnTerms, US_OPEN, US_RETURN, Variant,
};

/// Standardised inputs count up to this.
const LIMIT: f64 = 4.0;
/// ln of the value traded from which size is measured: 3.6 billion won.
const SIZE_CENTRE: f64 = 22.0;
/// Where `mpos1` stands among the market terms.
const MPOS1: usize = INDEX_TERMS + 4;
/// Where `ousneg` stands among the market terms.
const OUSNEG: usize = US_OPEN + 2;

/// What the downside scale looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleInput {
    /// The market term `bz`: whether most issues fell lately.
    Bz,
    /// The market term `mpos1`: a rise of the KOSPI.
    Mpos1,
    /// `bz` times size.
    BzSize,
    /// The own term `ltv`, about its centre.
    Size,
    /// The market term `ousret`: the S&P 500 since the last KRX close.
    Ousret,
    /// The market term `ousneg`: the negative part of its last return.
    Ousneg,
}

impl ScaleInput {
    fn value(self, own: &OwnTerms, market: &MarketTerms) -> f64 {
        let size = own.0[LTV] - SIZE_CENTRE;
        match self {
            Self::Bz => market.0[BREADTH],
            Self::Mpos1 => market.0[MPOS1],
            Self::BzSize => market.0[BREADTH] * size,
            Self::Size => size,
            Self::Ousret => market.0[US_RETURN],
            Self::Ousneg => market.0[OUSNEG],
        }
    }
}

/// One term of the downside scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleTerm {
    /// What it looks at.
    pub input: ScaleInput,
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation, above 0.
    pub deviation: f64,
    /// Effect of one deviation on ln g².
    pub slope: f64,
}

/// How the slow level follows the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelRule {
    /// Sessions whose residuals are looked at.
    pub sessions: usize,
    /// Residuals without which the level stays 1.
    pub least_rows: usize,
    /// The 5 % quantile of z / g at which the level is 1.
    pub reference: f64,
    /// Least ratio to it.
    pub floor: f64,
    /// Damping.
    pub power: f64,
}

impl LevelRule {
    /// The level at a 5 % quantile of z / g; 1 when it is not known.
    #[must_use]
    pub fn level(&self, quantile: Option<f64>) -> f64 {
        let known = quantile.filter(|q| q.is_finite());
        known.map_or(1.0, |q| (q / self.reference).max(self.floor).powf(self.power))
    }
}

/// What moves the tail of the residuals.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailShape {
    /// Downside scale at the KRX close; empty: 1.
    pub close: Vec<ScaleTerm>,
    /// Downside scale before the open.
    pub open: Vec<ScaleTerm>,
    /// Slow level; `None`: 1.
    pub level: Option<LevelRule>,
}

impl TailShape {
    /// The downside scale g of a forecast made with the terms of `variant`; an input that is not
    /// known counts as its mean.
    #[must_use]
    pub fn downside(&self, variant: Variant, own: &OwnTerms, market: &MarketTerms) -> f64 {
        let terms = if variant == Variant::Open { &self.open } else { &self.close };
        let effect = |term: &ScaleTerm| {
            let unit = (term.input.value(own, market) - term.mean) / term.deviation;
            if unit.is_finite() { term.slope * unit.clamp(-LIMIT, LIMIT) } else { 0.0 }
        };
        (0.5 * terms.iter().map(effect).sum::<f64>()).exp()
    }

    /// What is wrong with it, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        for term in self.close.iter().chain(&self.open) {
            let finite = [term.mean, term.deviation, term.slope].iter().all(|v| v.is_finite());
            if !finite || term.deviation <= 0.0 {
                return Some(format!("has a term that cannot be: {term:?}"));
            }
        }
        let wrong = self.level.filter(|rule| {
            let parts = [rule.reference, rule.floor, rule.power];
            let finite = parts.iter().all(|v| v.is_finite());
            !(finite && rule.reference < 0.0 && rule.floor > 0.0 && rule.power >= 0.0)
        });
        wrong.map(|rule| format!("has a level that cannot be: {rule:?}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::features::{MARKET, MARKET_NAMES, OWN};
    use crate::model::slopes::ShapeSchedule;

    /// Of a day before 2022.
    fn adaptive() -> TailShape {
        ShapeSchedule::adaptive().on(0).clone()
    }

    fn terms(bz: f64, mpos1: f64, ltv: f64) -> (OwnTerms, MarketTerms) {
        let (mut own, mut market) = ([0.0; OWN], [f64::NAN; MARKET]);
        own[LTV] = ltv;
        (market[BREADTH], market[MPOS1]) = (bz, mpos1);
        (OwnTerms(own), MarketTerms(market))
    }

    #[test]
    fn places_are_those_of_the_names() {
        let names = [BREADTH, MPOS1, US_RETURN, OUSNEG].map(|place| MARKET_NAMES[place]);
        assert_eq!(names, ["bz", "mpos1", "ousret", "ousneg"]);
    }

    #[test]
    fn by_hand() {
        let shape = adaptive();
        let (own, market) = terms(-0.142_345, 0.390_574, 22.0);
        // bz one deviation below its mean; bz × size and size at 0.
        let bzsize: f64 = 0.003_832 / 0.201_205 * 0.044_103;
        let size: f64 = -0.501_284 / 1.375_608 * 0.109_561;
        let expected = (0.5 * (0.105_466 + bzsize + size)).exp();
        assert!((shape.downside(Variant::Close, &own, &market) - expected).abs() < 1e-6);
        let unknown = MarketTerms::UNKNOWN;
        let expected = (0.5 * size).exp();
        assert!((shape.downside(Variant::OwnOnly, &own, &unknown) - expected).abs() < 1e-12);
        assert_eq!(TailShape::default().downside(Variant::Open, &own, &market), 1.0);
        let rule = shape.level.unwrap();
        assert!((rule.level(Some(-1.49)) - 1.0).abs() < 1e-12);
        assert!((rule.level(Some(-2.98)) - 2.0_f64.powf(0.6)).abs() < 1e-12);
        assert!((rule.level(Some(0.5)) - 0.2_f64.powf(0.6)).abs() < 1e-12);
        assert_eq!(rule.level(None), 1.0);
        assert_eq!(shape.problem(), None);
    }

    proptest! {
        #[test]
        fn bounded(bz in -9.0..9.0_f64, mpos1 in 0.0..9.0_f64, ltv in 5.0..40.0_f64) {
            let (own, market) = terms(bz, mpos1, ltv);
            let shape = adaptive();
            for variant in Variant::ALL {
                let g = shape.downside(variant, &own, &market);
                prop_assert!((0.2..5.0).contains(&g), "{g}");
            }
        }
    }
}
