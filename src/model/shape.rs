//! What moves the tail of the residuals: a downside scale and a slow level.
//!
//! Standardised residuals are not alike in calm and in wild times. The **downside scale** g makes
//! the tail wider after days on which most issues fell, for small issues, and with a bad US
//! session of the night: g = exp(½ Σ slope · clip((x − mean) / deviation, ±4)). The **level** s
//! follows, slowly and damped, how far the residuals of the last 90 sessions reached:
//! s = max(q / reference, floor)^power with q the 5 % quantile of z / g. What is left,
//! u = z / (g s), is near to one distribution for all times.
//!
//! The slopes are constants. They were estimated on days before 2022 (large Korean issues from 2015
//! on, KOSPI issues from 2020 on) by a gamma likelihood of min(z, 0)², each session counting once;
//! later refits moved them little. So nothing of a later day is in them when they are used from
//! 2022 on, and there is nothing to fit on the data at hand.

use serde::{Deserialize, Serialize};

use super::features::{LTV, MARKET_NAMES, MarketTerms, OwnTerms, Variant};

/// Standardised inputs count up to this.
const LIMIT: f64 = 4.0;
/// ln of the value traded from which size is measured: 3.6 billion won.
const SIZE_CENTRE: f64 = 22.0;

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
        let of = |name: &str| {
            let place = MARKET_NAMES.iter().position(|known| *known == name);
            place.map_or(f64::NAN, |place| market.0[place])
        };
        let size = own.0[LTV] - SIZE_CENTRE;
        match self {
            Self::Bz => of("bz"),
            Self::Mpos1 => of("mpos1"),
            Self::BzSize => of("bz") * size,
            Self::Size => size,
            Self::Ousret => of("ousret"),
            Self::Ousneg => of("ousneg"),
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

const fn term(input: ScaleInput, mean: f64, deviation: f64, slope: f64) -> ScaleTerm {
    ScaleTerm { input, mean, deviation, slope }
}

impl TailShape {
    /// The constants described above.
    #[must_use]
    pub fn adaptive() -> Self {
        use ScaleInput::{Bz, BzSize, Mpos1, Ousneg, Ousret, Size};
        Self {
            close: vec![
                term(Bz, -0.005_397, 0.136_948, -0.105_466),
                term(Mpos1, 0.390_574, 0.568_296, -0.058_422),
                term(BzSize, -0.003_832, 0.201_205, 0.044_103),
                term(Size, 0.501_284, 1.375_608, 0.109_561),
            ],
            open: vec![
                term(Bz, -0.005_397, 0.136_948, -0.081_331),
                term(Mpos1, 0.390_574, 0.568_296, -0.051_282),
                term(BzSize, -0.003_832, 0.201_205, 0.040_749),
                term(Size, 0.501_284, 1.375_608, 0.116_322),
                term(Ousret, 0.040_764, 0.781_264, -0.206_959),
                term(Ousneg, -0.262_086, 0.505_473, 0.074_049),
            ],
            level: Some(LevelRule {
                sessions: 90,
                least_rows: 5_000,
                reference: -1.49,
                floor: 0.2,
                power: 0.6,
            }),
        }
    }

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
    use crate::model::features::{MARKET, OWN};

    fn terms(bz: f64, mpos1: f64, ltv: f64) -> (OwnTerms, MarketTerms) {
        let (mut own, mut market) = ([0.0; OWN], [f64::NAN; MARKET]);
        own[LTV] = ltv;
        (market[3], market[9]) = (bz, mpos1);
        (OwnTerms(own), MarketTerms(market))
    }

    #[test]
    fn by_hand() {
        let shape = TailShape::adaptive();
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
            for variant in Variant::ALL {
                let g = TailShape::adaptive().downside(variant, &own, &market);
                prop_assert!((0.2..5.0).contains(&g), "{g}");
            }
        }
    }
}
