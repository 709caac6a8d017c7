//! The fitted model as it is stored: coefficients, residual tails, and where they came from.
//!
//! A [`Document`] is JSON. It is checked when it is read ([`Document::from_json`]): lengths, names,
//! finite numbers, ordered tails. A document that fails is refused as a whole, with what was wrong;
//! its reader keeps the model it has.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::features::{Breadth, MARKET_NAMES, MarketTerms, OWN_NAMES, Origin, OwnTerms, Variant};
use super::moments::Moments;
use super::panel::DataInfo;
use super::ranker::RankerModel;
use super::shape::TailShape;
use super::tails::{Mixing, TailPoints};
use super::tracking::{Correction, LARGEST};
use super::train::Method;
use super::validation::Validation;
use crate::market::{SessionDay, Symbol};

/// The format this code writes and reads.
pub const FORMAT: u32 = 1;
/// Largest step of the corrections that a document may have.
const MOST_STEP: f64 = 0.01;
/// Entries of [`Document::reference`]: the quantiles 0, 1, …, 100 %.
pub const REFERENCE_POINTS: usize = 101;

/// A fitted model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// How the tail is forecast.
    pub method: Method,
    /// Version of the program that fitted it.
    pub code_version: String,
    /// First session whose rows were fitted.
    pub trained_from: SessionDay,
    /// Last session whose rows were fitted.
    pub trained_until: SessionDay,
    /// Rows that were fitted.
    pub fitted_rows: u64,
    /// What was read.
    pub data: DataInfo,
    /// Names of the own terms, in the order of the coefficients.
    pub own_terms: Vec<String>,
    /// Names of the market terms, in the order of the coefficients.
    pub market_terms: Vec<String>,
    /// The coefficients, one set a variant.
    pub variants: Vec<VariantModel>,
    /// How own and pooled residuals are mixed.
    pub mixing: Mixing,
    /// What moves the tail of the residuals in the sessions after `trained_until`.
    pub shape: TailShape,
    /// Breadth of the market after the last session: where a reader goes on from.
    pub breadth: Breadth,
    /// Tail of the own residuals of each issue that has enough of them.
    pub own_tails: BTreeMap<Symbol, TailPoints>,
    /// What the exceedances of each issue taught about its quantiles; empty in documents of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_corrections: BTreeMap<Symbol, Correction>,
    /// Quantiles 0 to 100 % of the forecast mean loss in the worst 2.5 % (−e025), in per cent, over
    /// the scored rows of the last two years before `trained_until`: what a percentile is of.
    pub reference: Vec<f64>,
    /// Mean and standard deviation of each own term over the fitted rows, in the same order.
    pub own_moments: Vec<Moments>,
    /// Walk-forward metrics of the last year; `None` when there were too few days.
    pub validation: Option<Validation>,
    /// Which issues may do better than the others; `None` in documents of earlier versions, and where
    /// there were too few weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranker: Option<RankerModel>,
}

/// Coefficients of ln variance, its bias factor and the residuals' tail, for one set of terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantModel {
    /// Which terms.
    pub variant: Variant,
    /// Intercept.
    pub intercept: f64,
    /// Coefficients of the own terms.
    pub own: Vec<f64>,
    /// Coefficients of the market terms; zero for those it lacks.
    pub market: Vec<f64>,
    /// Terms that did not vary in the data or followed from others: their coefficient is zero.
    #[serde(default)]
    pub dropped: Vec<String>,
    /// Bias factor c: h = c · exp(prediction).
    pub scale: f64,
    /// Slow level of the tail after the last session.
    pub level: f64,
    /// Tail of the pooled residuals, after downside scale and level.
    pub pooled: TailPoints,
    /// Probabilities of `quantiles`, ascending within (0, 1).
    pub probabilities: Vec<f64>,
    /// Quantiles of the pooled residuals, body and both tails.
    pub quantiles: Vec<f64>,
}

/// Forecast of one issue's log return of one session, close to close, as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Variance, above 0.
    pub variance: f64,
    /// 1 % quantile, below 0.
    pub v01: f64,
    /// 2.5 % quantile.
    pub v025: f64,
    /// 5 % quantile.
    pub v05: f64,
    /// Mean below the 2.5 % quantile.
    pub e025: f64,
    /// Mean below the 5 % quantile.
    pub e05: f64,
}

impl Forecast {
    /// The tail of residuals, at a variance.
    #[must_use]
    pub fn of(variance: f64, tail: TailPoints) -> Self {
        let tail = tail.scaled(variance.sqrt());
        let TailPoints { v01, v025, v05, e025, e05 } = tail;
        Self { variance, v01, v025, v05, e025, e05 }
    }

    /// Whether it can be a forecast: finite, variance above 0, quantiles below 0, tail means not
    /// above them.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let finite = [self.variance, self.v01, self.v025, self.v05, self.e025, self.e05];
        finite.iter().all(|value| value.is_finite())
            && self.variance > 0.0
            && self.v01 < 0.0
            && self.v025 < 0.0
            && self.v05 < 0.0
            && self.e025 <= self.v025
            && self.e05 <= self.v05
    }
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not of this shape.
    #[error("is no model document: {0}")]
    Shape(String),
    /// Another format.
    #[error(
        "has format {found}; this version reads format {FORMAT}: train anew, or use the version that wrote it"
    )]
    Format {
        /// The format it states.
        found: u32,
    },
    /// A part is wrong.
    #[error("`{part}` {problem}")]
    Part {
        /// Which part.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong(part: impl fmt::Display, problem: impl fmt::Display) -> DocumentError {
    DocumentError::Part { part: part.to_string(), problem: problem.to_string() }
}

fn length(part: &str, found: usize, expected: usize) -> Result<(), DocumentError> {
    if found == expected {
        return Ok(());
    }
    Err(wrong(part, format!("has {found} entries, expected {expected}")))
}

fn finite(part: &str, values: &[f64]) -> Result<(), DocumentError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(wrong(part, format!("entry {at} is {}, expected a number", values[at]))),
        None => Ok(()),
    }
}

fn ascending(part: &str, values: &[f64]) -> Result<(), DocumentError> {
    match values.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(at) => Err(wrong(
            part,
            format!(
                "entry {} is {} after {}, expected ascending",
                at + 1,
                values[at + 1],
                values[at]
            ),
        )),
        None => Ok(()),
    }
}

fn names(part: &str, found: &[String], expected: &[&str]) -> Result<(), DocumentError> {
    length(part, found.len(), expected.len())?;
    match found.iter().zip(expected).find(|(found, expected)| found != *expected) {
        Some((found, expected)) => {
            Err(wrong(part, format!("has `{found}` where `{expected}` is expected")))
        }
        None => Ok(()),
    }
}

impl VariantModel {
    fn check(&self) -> Result<(), DocumentError> {
        let part = |name: &str| format!("variants[{:?}].{name}", self.variant);
        length(&part("own"), self.own.len(), OWN_NAMES.len())?;
        length(&part("market"), self.market.len(), MARKET_NAMES.len())?;
        length(&part("quantiles"), self.quantiles.len(), self.probabilities.len())?;
        finite(&part("intercept"), &[self.intercept])?;
        finite(&part("own"), &self.own)?;
        finite(&part("market"), &self.market)?;
        finite(&part("probabilities"), &self.probabilities)?;
        finite(&part("quantiles"), &self.quantiles)?;
        ascending(&part("probabilities"), &self.probabilities)?;
        ascending(&part("quantiles"), &self.quantiles)?;
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(wrong(part("scale"), format!("is {}, expected above 0", self.scale)));
        }
        if !(self.level.is_finite() && self.level > 0.0) {
            return Err(wrong(part("level"), format!("is {}, expected above 0", self.level)));
        }
        if !self.pooled.is_tail() {
            return Err(wrong(part("pooled"), format!("is no lower tail: {:?}", self.pooled)));
        }
        Ok(())
    }

    /// The variance that these terms forecast; the market terms it lacks are not looked at.
    #[must_use]
    pub fn variance(&self, own: &OwnTerms, market: &MarketTerms) -> f64 {
        let mask = self.variant.market_mask();
        let own: f64 = self.own.iter().zip(own.0).map(|(beta, term)| beta * term).sum();
        let market = self.market.iter().zip(market.0).zip(mask);
        let market: f64 =
            market.filter(|(_, used)| *used).map(|((beta, term), _)| beta * term).sum();
        self.scale * (self.intercept + own + market).exp()
    }
}

impl Document {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// When it is not JSON of this shape, of another format, or a part of it is wrong.
    pub fn from_json(text: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let shape = |error: serde_json::Error| DocumentError::Shape(error.to_string());
        let head: Head = serde_json::from_slice(text).map_err(shape)?;
        if head.format != FORMAT {
            return Err(DocumentError::Format { found: head.format });
        }
        let document: Self = serde_json::from_slice(text).map_err(shape)?;
        document.check()?;
        Ok(document)
    }

    /// As JSON, readable, ending in a line break.
    ///
    /// # Errors
    /// When a number is not finite or a part is wrong: such a document is not written.
    pub fn to_json(&self) -> Result<String, DocumentError> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| DocumentError::Shape(error.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    /// Whether every part is in order.
    ///
    /// # Errors
    /// Names the first part that is not, and what is wrong with it.
    pub fn check(&self) -> Result<(), DocumentError> {
        if self.format != FORMAT {
            return Err(DocumentError::Format { found: self.format });
        }
        names("own_terms", &self.own_terms, &OWN_NAMES)?;
        names("market_terms", &self.market_terms, &MARKET_NAMES)?;
        length("reference", self.reference.len(), REFERENCE_POINTS)?;
        finite("reference", &self.reference)?;
        ascending("reference", &self.reference)?;
        length("own_moments", self.own_moments.len(), OWN_NAMES.len())?;
        for moments in &self.own_moments {
            finite("own_moments", &[moments.mean, moments.deviation])?;
        }
        let weight = self.mixing.own_weight;
        if !(0.0..=1.0).contains(&weight) {
            return Err(wrong("mixing.own_weight", format!("is {weight}, expected 0 to 1")));
        }
        let step = self.mixing.coverage_step;
        if !(0.0..=MOST_STEP).contains(&step) {
            let problem = format!("is {step}, expected 0 to {MOST_STEP}");
            return Err(wrong("mixing.coverage_step", problem));
        }
        if let Some(problem) = self.shape.problem() {
            return Err(wrong("shape", problem));
        }
        finite("breadth", &[self.breadth.bz, self.breadth.bp])?;
        if let Some((symbol, tail)) = self.own_tails.iter().find(|(_, tail)| !tail.is_tail()) {
            return Err(wrong(
                format!("own_tails.{symbol}"),
                format!("is no lower tail: {tail:?}"),
            ));
        }
        let corrections = &mut self.own_corrections.iter();
        if let Some((symbol, found)) = corrections.find(|(_, known)| !known.is_possible()) {
            let problem = format!("is {found:?}, expected -{LARGEST} to {LARGEST}");
            return Err(wrong(format!("own_corrections.{symbol}"), problem));
        }
        if self.variants.is_empty() {
            return Err(wrong("variants", "is empty"));
        }
        for (at, model) in self.variants.iter().enumerate() {
            model.check()?;
            if self.variants[..at].iter().any(|other| other.variant == model.variant) {
                return Err(wrong("variants", format!("has {:?} twice", model.variant)));
            }
        }
        if let Some((part, problem)) = self.ranker.as_ref().and_then(RankerModel::problem) {
            return Err(wrong(format!("ranker.{part}"), problem));
        }
        // Every fit has it. Without it a daemon, which knows no index, would be left without a word.
        if self.variant(Variant::OwnOnly).is_none() {
            return Err(wrong("variants", "lacks OwnOnly, the terms that every reader knows"));
        }
        Ok(())
    }

    /// The coefficients of `variant`; `None` when the data did not allow to fit them.
    #[must_use]
    pub fn variant(&self, variant: Variant) -> Option<&VariantModel> {
        self.variants.iter().find(|model| model.variant == variant)
    }

    /// The richest coefficients at `origin` that the known terms and this document allow.
    #[must_use]
    pub fn choose(&self, origin: Origin, market: &MarketTerms) -> Option<&VariantModel> {
        let wanted: &[Variant] = match origin {
            Origin::Open => &Variant::ALL,
            Origin::Close => &Variant::ALL[1..],
        };
        wanted.iter().filter(|v| market.suffice(**v)).find_map(|v| self.variant(*v))
    }

    /// Forecast of one session's log return of an issue.
    ///
    /// The tail of an issue with own residuals in the document (`symbol` among
    /// [`Self::own_tails`]) is mixed from those and the pooled ones; that of any other is the
    /// pooled one. Its quantiles are corrected by what its exceedances taught ([`Self::own_corrections`]).
    /// `None` when the document has no coefficients for the known terms, or when a term
    /// is not a number.
    #[must_use]
    pub fn forecast(
        &self,
        origin: Origin,
        symbol: Option<Symbol>,
        own: &OwnTerms,
        market: &MarketTerms,
    ) -> Option<Forecast> {
        let model = self.choose(origin, market)?;
        let variance = model.variance(own, market);
        let known = symbol.and_then(|symbol| self.own_tails.get(&symbol));
        let tail = match known {
            Some(own) => own.mixed(self.mixing.own_weight, model.pooled),
            None => model.pooled,
        };
        let taught = symbol.and_then(|symbol| self.own_corrections.get(&symbol));
        let tail = taught.copied().unwrap_or_default().of(tail);
        let scale = self.shape.downside(model.variant, own, market) * model.level;
        let forecast = Forecast::of(variance, tail.scaled(scale));
        forecast.is_valid().then_some(forecast)
    }

    /// Percentile (0 to 100) of a mean loss in the worst 2.5 %, `loss_pct` per cent, within
    /// [`Self::reference`]; linear between its entries, 0 and 100 beyond its ends.
    #[must_use]
    pub fn percentile(&self, loss_pct: f64) -> f64 {
        let above = self.reference.partition_point(|&known| known <= loss_pct);
        match above {
            0 => 0.0,
            _ if above >= self.reference.len() => 100.0,
            _ => {
                let (low, high) = (self.reference[above - 1], self.reference[above]);
                (above - 1) as f64 + (loss_pct - low) / (high - low)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
