//! From a panel to a document.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::document::{Document, DocumentError, FORMAT, REFERENCE_POINTS, VariantModel};
use super::features::{MARKET_NAMES, OWN, OWN_NAMES, Origin, TermSet, Variant};
use super::forecasts::{ForecastRow, Tails, forecasts, own_tails};
use super::gram::DailySums;
use super::moments::Moments;
use super::panel::Panel;
use super::ranker::{RankerModel, TraitSet};
use super::shape::TailShape;
use super::slopes::ShapeSchedule;
use super::tails::{Mixing, TailPoints, quantile};
use super::tracking::{Correction, Tracking};
use super::validation::score;
use super::walk::{Fitted, LEAST_ROWS, Walk};
use crate::market::{SessionDay, Symbol};

/// Which terms, how they are fitted, and how the tail follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Terms of the breadth of the market, a gamma fit mixed in, and a residual tail that follows
    /// the market: [`shape`](super::shape).
    #[default]
    Adaptive,
    /// The classical one to compare with: 25 terms (28 at the open), least squares, residuals as
    /// they are.
    Har25,
}

impl Method {
    /// The terms it fits of a variant.
    #[must_use]
    pub fn terms(self, variant: Variant) -> TermSet {
        match self {
            Self::Adaptive => TermSet::full(variant),
            Self::Har25 => TermSet::classical(variant),
        }
    }

    /// How own and pooled residuals are mixed.
    #[must_use]
    pub fn mixing(self) -> Mixing {
        match self {
            Self::Adaptive => Mixing::default(),
            Self::Har25 => Mixing::classical(),
        }
    }

    /// What moves the residuals' tail, by day.
    #[must_use]
    pub fn shapes(self) -> ShapeSchedule {
        match self {
            Self::Adaptive => ShapeSchedule::adaptive(),
            Self::Har25 => ShapeSchedule::constant(TailShape::default()),
        }
    }
}

/// What to train on and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Sessions after this day are not looked at; `None`: all.
    pub until: Option<SessionDay>,
    /// How it is forecast.
    pub method: Method,
    /// Which issues to fit on; `None`: all.
    pub fit_universe: Option<FxHashSet<Symbol>>,
    /// Months of walk-forward validation at the end of the data.
    pub validation_months: u32,
    /// Version of the program, kept in the document.
    pub code_version: String,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            until: None,
            method: Method::default(),
            fit_universe: None,
            validation_months: 12,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Clean rows and terms are made.
    Features,
    /// Month `done` of `of` is fitted.
    Months {
        /// Months done.
        done: usize,
        /// Months in all.
        of: usize,
    },
    /// Residual tails.
    Tails,
    /// The forecasts of the last months are scored.
    Validation,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// As it is stored, validation included.
    pub document: Document,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Too few rows.
    #[error(
        "{rows} rows of {symbols} issues can be fitted, at least {needed} are needed: an issue counts from its 67th clean day on while the median of its daily value traded is 200 million won or more; give more history or more issues"
    )]
    TooFew {
        /// Rows that can be fitted.
        rows: usize,
        /// Issues in the panel.
        symbols: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The sums of a fit are not finite.
    #[error(
        "the sums of the least-squares fit are not finite (term `{term}`): a price or volume in the data is beyond what can be computed with"
    )]
    NotFinite {
        /// The term.
        term: String,
    },
    /// The solver failed.
    #[error("the least-squares solver failed: {0}")]
    Solver(String),
    /// The data end before the window begins.
    #[error(
        "no session between {from} and {to} can be scored; the data cover {first} to {last}, and a row is scored after 500 clean days of its issue"
    )]
    NoSessions {
        /// First day wanted.
        from: SessionDay,
        /// Last day wanted.
        to: SessionDay,
        /// First session of the data.
        first: SessionDay,
        /// Last session of the data.
        last: SessionDay,
    },
    /// The result does not pass its own check.
    #[error("the fitted model {0}")]
    Document(#[from] DocumentError),
}

/// Fits a model to everything up to `options.until` and validates it walk-forward.
///
/// # Errors
/// When the data are too few or not finite.
pub fn train(
    panel: &Panel,
    options: &TrainOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Trained, TrainError> {
    progress(Progress::Features);
    let cut = options.until.map(|until| panel.before(until.next()));
    let panel = cut.as_ref().unwrap_or(panel);
    let design = Design::new(panel, options.fit_universe.as_ref());
    let rows = design.fitted_rows();
    if rows < LEAST_ROWS {
        return Err(TrainError::TooFew { rows, symbols: panel.issues.len(), needed: LEAST_ROWS });
    }
    let sums = DailySums::new(&design);
    let months = |done, of| progress(Progress::Months { done, of });
    let (mixing, shapes) = (options.method.mixing(), options.method.shapes());
    let sessions = design.sessions.len();
    let last = |span: usize| sessions.saturating_sub(span)..sessions;
    let mut variants = Vec::new();
    for variant in Variant::ALL {
        let walk =
            Walk::new(&design, &sums, options.method, &[variant], last(STORED_SPAN), &months)?;
        variants.extend(variant_model(&design, &walk, &shapes, &mixing));
    }
    progress(Progress::Tails);
    if variants.is_empty() {
        return Err(TrainError::TooFew { rows, symbols: panel.issues.len(), needed: LEAST_ROWS });
    }
    let walk = Walk::new(
        &design,
        &sums,
        options.method,
        &Variant::ALL[1..],
        last(SCORED_SPAN),
        &|_, _| (),
    )?;
    let tails = Tails::new(&design, &walk, &shapes, Origin::Close);
    let window = (sessions.saturating_sub(REFERENCE_SESSIONS), sessions);
    let fitted = |number: usize| design.issues[number].fitted;
    let tracking = Tracking::new(&design, &walk, &tails, &mixing, sessions);
    let forecasts = forecasts(&design, &walk, &tails, (&mixing, &tracking), window, &fitted);
    progress(Progress::Validation);
    let since = validation_start(&design, options.validation_months);
    let recent = forecasts.iter().filter(|row| row.session >= since);
    let validation = score(&design, recent, Origin::Close);
    let ranker = RankerModel::fit(panel, &design, TraitSet::Watched)
        .map_err(|error| TrainError::Solver(error.to_string()))?;
    let trained_until = design.day(sessions - 1);
    let document = Document {
        format: FORMAT,
        method: options.method,
        code_version: options.code_version.clone(),
        trained_from: design.day(first_fitted(&sums, sessions)),
        trained_until,
        fitted_rows: rows as u64,
        data: panel.info.clone(),
        own_terms: OWN_NAMES.map(str::to_owned).to_vec(),
        market_terms: MARKET_NAMES.map(str::to_owned).to_vec(),
        variants,
        mixing,
        shape: shapes.on(trained_until.next().epoch_days()).clone(),
        breadth: design.session_terms.breadth(sessions),
        own_tails: own_tails_by_symbol(&design, &walk, &tails, &mixing),
        own_corrections: corrections_by_symbol(&design, &tracking),
        reference: reference(&forecasts),
        own_moments: own_moments(&design),
        validation,
        ranker,
    };
    document.check()?;
    Ok(Trained { document })
}

/// Sessions that what is stored of a variant looks back on: bias factor, pooled residuals and level
/// one behind the other.
const STORED_SPAN: usize = 1_100;
/// Sessions that the scored forecasts look back on: they themselves, an issue's own residuals, the
/// level and the bias factor.
const SCORED_SPAN: usize = 2_100;
/// Sessions over which the reference distribution of forecasts is taken: two years.
const REFERENCE_SESSIONS: usize = 500;

fn first_fitted(sums: &DailySums, sessions: usize) -> usize {
    (0..sessions).find(|&session| sums.rows(session) > 0.0).unwrap_or(0)
}

/// The first session of the last `months` months, the last of which is that of the last session.
fn validation_start(design: &Design, months: u32) -> usize {
    let dates = design.sessions.dates();
    let month = |date: i32| {
        let (year, month, _) = SessionDay::from_epoch_days(date).ymd();
        year * 12 + month
    };
    let Some(last) = dates.last().map(|date| month(*date)) else { return 0 };
    dates.partition_point(|date| month(*date) + months <= last)
}

/// Probabilities at which the pooled residuals are kept: every per cent, and finer in the tails.
fn probabilities() -> Vec<f64> {
    let tail = [0.0005, 0.001, 0.0025, 0.005];
    let middle = (1..100).map(|at| f64::from(at) / 100.0);
    let fine = [0.025, 0.975];
    let mut all: Vec<f64> = tail.into_iter().chain(middle).chain(fine).collect();
    all.extend(tail.map(|p| 1.0 - p));
    all.sort_by(f64::total_cmp);
    all
}

/// Own tails of the issues that have one; of a code that two issues share, that of the first.
fn own_tails_by_symbol(
    design: &Design,
    walk: &Walk,
    tails: &Tails,
    mixing: &Mixing,
) -> BTreeMap<Symbol, TailPoints> {
    let known = own_tails(design, walk, tails, mixing);
    let pairs = design.issues.iter().zip(known).rev();
    pairs
        .filter_map(|(issue, tail)| Some((issue.symbol, tail.filter(TailPoints::is_tail)?)))
        .collect()
}

/// Corrections of the issues that have one; of a code that two issues share, that of the first.
fn corrections_by_symbol(design: &Design, tracking: &Tracking) -> BTreeMap<Symbol, Correction> {
    let pairs = design.issues.iter().zip(tracking.last()).rev();
    let known = pairs.filter(|(_, correction)| **correction != Correction::default());
    known.map(|(issue, correction)| (issue.symbol, *correction)).collect()
}

/// What is stored of the walk's last fit and the residuals before it; `None` when it has no fit.
fn variant_model(
    design: &Design,
    walk: &Walk,
    shapes: &ShapeSchedule,
    mixing: &Mixing,
) -> Option<VariantModel> {
    let Fitted { variant, coefficients } = walk.next.fits.first()?;
    let sessions = design.sessions.len();
    let origin = if *variant == Variant::Open { Origin::Open } else { Origin::Close };
    let tails = Tails::new(design, walk, shapes, origin);
    let pooled = tails.residuals.tail_before(sessions, mixing.pooled_sessions)?;
    let all = tails.residuals.sorted(sessions.saturating_sub(mixing.pooled_sessions), sessions);
    let probabilities = probabilities();
    let quantiles = probabilities.iter().map(|&p| quantile(&all, all.len(), p)).collect();
    Some(VariantModel {
        variant: *variant,
        intercept: coefficients.intercept,
        own: coefficients.own.to_vec(),
        market: coefficients.market.to_vec(),
        dropped: coefficients.dropped.clone(),
        scale: walk.next.scale,
        level: tails.level[sessions],
        pooled,
        probabilities,
        quantiles,
    })
}

/// Quantiles 0 to 100 % of the forecast mean loss in the worst 2.5 %, per cent.
fn reference(forecasts: &[ForecastRow]) -> Vec<f64> {
    let losses = forecasts.iter().filter_map(|row| row.forecast.map(|f| -100.0 * f.e025));
    let mut losses: Vec<f64> = losses.collect();
    losses.sort_by(f64::total_cmp);
    let Some(last) = losses.len().checked_sub(1) else {
        // Without a scored row there is nothing to compare with: every forecast is in the middle.
        return vec![0.0; REFERENCE_POINTS];
    };
    let at = |percent: usize| losses[percent * last / (REFERENCE_POINTS - 1)];
    (0..REFERENCE_POINTS).map(at).collect()
}

fn own_moments(design: &Design) -> Vec<Moments> {
    let mut sums = [(0.0, 0.0); OWN];
    let mut rows = 0.0;
    for issue in design.issues.iter().filter(|issue| issue.fitted) {
        for at in (0..issue.len()).filter(|&at| issue.may_fit(at)) {
            rows += 1.0;
            for (sum, term) in sums.iter_mut().zip(issue.terms[at].0) {
                sum.0 += term;
                sum.1 += term * term;
            }
        }
    }
    let of = |(sum, square): (f64, f64)| {
        let mean: f64 = sum / rows;
        Moments { mean, deviation: (square / rows - mean * mean).max(0.0).sqrt() }
    };
    sums.map(of).to_vec()
}
