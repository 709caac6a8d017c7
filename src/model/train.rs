//! From a panel to a document.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::document::{Document, DocumentError, FORMAT, Moments, REFERENCE_POINTS, VariantModel};
use super::features::{MARKET_NAMES, OWN, OWN_NAMES, Origin, TermSet, Variant};
use super::forecasts::{ForecastRow, Tails, forecasts, own_tails};
use super::gram::DailySums;
use super::losses;
use super::panel::Panel;
use super::shape::TailShape;
use super::tails::{Mixing, TailPoints, quantile};
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

    /// What moves the residuals' tail.
    #[must_use]
    pub fn shape(self) -> TailShape {
        match self {
            Self::Adaptive => TailShape::adaptive(),
            Self::Har25 => TailShape::default(),
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

/// Metrics of forecasts over a window, each month's parameters fitted on the rows before it.
/// Definitions: [`losses`](super::losses); returns in per cent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Origin of the forecasts.
    pub origin: Origin,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
    /// Rows scored.
    pub rows: u64,
    /// Issues scored.
    pub symbols: u64,
    /// Mean quasi-likelihood against squared returns.
    pub qlike_r2: f64,
    /// Mean quasi-likelihood against range variances.
    pub qlike_range: f64,
    /// Mean FZ0 loss at 2.5 %.
    pub fz0_025: f64,
    /// Mean FZ0 loss at 5 %.
    pub fz0_05: f64,
    /// Share of rows below the 1 % quantile.
    pub exceed_99: f64,
    /// Share of rows below the 2.5 % quantile.
    pub exceed_975: f64,
    /// Share of rows below the 5 % quantile.
    pub exceed_95: f64,
    /// Realised over forecast loss in the worst 2.5 %; 1 is right.
    pub es_ratio_975: f64,
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
    let (mixing, shape) = (Mixing::default(), options.method.shape());
    let sessions = design.sessions.len();
    let mut variants = Vec::new();
    for variant in Variant::ALL {
        let walk = Walk::new(&design, &sums, options.method, &[variant], sessions, &months)?;
        variants.extend(variant_model(&design, &walk, &shape, &mixing));
    }
    progress(Progress::Tails);
    if variants.is_empty() {
        return Err(TrainError::TooFew { rows, symbols: panel.issues.len(), needed: LEAST_ROWS });
    }
    let walk = Walk::new(&design, &sums, options.method, &Variant::ALL[1..], sessions, &|_, _| ())?;
    let tails = Tails::new(&design, &walk, &shape, Origin::Close);
    let window = (sessions.saturating_sub(REFERENCE_SESSIONS), sessions);
    let fitted = |number: usize| design.issues[number].fitted;
    let forecasts = forecasts(&design, &walk, &tails, &mixing, window, &fitted);
    progress(Progress::Validation);
    let since = validation_start(&design, options.validation_months);
    let recent = forecasts.iter().filter(|row| row.session >= since);
    let validation = score(&design, recent, Origin::Close);
    let document = Document {
        format: FORMAT,
        method: options.method,
        code_version: options.code_version.clone(),
        trained_from: day(&design, first_fitted(&sums, sessions)),
        trained_until: day(&design, sessions - 1),
        fitted_rows: rows as u64,
        data: panel.info.clone(),
        own_terms: OWN_NAMES.map(str::to_owned).to_vec(),
        market_terms: MARKET_NAMES.map(str::to_owned).to_vec(),
        variants,
        mixing,
        shape,
        breadth: design.session_terms.breadth(sessions),
        own_tails: own_tails_by_symbol(&design, &walk, &tails, &mixing),
        reference: reference(&forecasts),
        own_moments: own_moments(&design),
        validation,
    };
    document.check()?;
    Ok(Trained { document })
}

/// Sessions over which the reference distribution of forecasts is taken: two years.
const REFERENCE_SESSIONS: usize = 500;

fn day(design: &Design, session: usize) -> SessionDay {
    SessionDay::from_epoch_days(design.sessions.dates()[session])
}

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

/// What is stored of the walk's last fit and the residuals before it; `None` when it has no fit.
fn variant_model(
    design: &Design,
    walk: &Walk,
    shape: &TailShape,
    mixing: &Mixing,
) -> Option<VariantModel> {
    let Fitted { variant, coefficients } = walk.next.fits.first()?;
    let sessions = design.sessions.len();
    let origin = if *variant == Variant::Open { Origin::Open } else { Origin::Close };
    let tails = Tails::new(design, walk, shape, origin);
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

/// Scores forecasts; `None` without any.
pub(crate) fn score<'a>(
    design: &Design,
    rows: impl Iterator<Item = &'a ForecastRow>,
    origin: Origin,
) -> Option<Validation> {
    let mut sums = [0.0; 9];
    let (mut realised, mut expected, mut count) = (0.0, 0.0, 0_u64);
    let (mut first, mut last) = (usize::MAX, 0);
    let mut issues = FxHashSet::default();
    for row in rows {
        let Some(forecast) = row.forecast else { continue };
        let measured = design.issues[row.issue].day(row.at);
        let (f, r) = (losses::bounded(&forecast), measured.r * 100.0);
        let below = |v: f64| f64::from(u8::from(r < v));
        let loss = [
            losses::qlike_return(f.variance, r),
            losses::qlike_range(f.variance, losses::measured_variance(measured.range)),
            losses::fz0(r, f.v025, f.e025, 0.025),
            losses::fz0(r, f.v05, f.e05, 0.05),
            below(f.v01),
            below(f.v025),
            below(f.v05),
        ];
        sums.iter_mut().zip(loss).for_each(|(sum, loss)| *sum += loss);
        if r <= f.v025 {
            realised += r;
            expected += f.e025;
        }
        count += 1;
        (first, last) = (first.min(row.session), last.max(row.session));
        issues.insert(row.issue);
    }
    if count == 0 {
        return None;
    }
    let mean = |at: usize| sums[at] / count as f64;
    Some(Validation {
        origin,
        from: day(design, first),
        to: day(design, last),
        rows: count,
        symbols: issues.len() as u64,
        qlike_r2: mean(0),
        qlike_range: mean(1),
        fz0_025: mean(2),
        fz0_05: mean(3),
        exceed_99: mean(4),
        exceed_975: mean(5),
        exceed_95: mean(6),
        es_ratio_975: if expected < 0.0 { realised / expected } else { 1.0 },
    })
}

/// Scores the forecasts of a finished `document` (no coefficient refitted, residuals moving on)
/// over the sessions from `from` to `to`.
///
/// # Errors
/// When no row of the window can be scored.
pub fn validate(
    panel: &Panel,
    document: &Document,
    origin: Origin,
    from: SessionDay,
    to: SessionDay,
) -> Result<Validation, TrainError> {
    let design = Design::new(panel, None);
    let (first, last) = match (design.sessions.dates().first(), design.sessions.dates().last()) {
        (Some(first), Some(last)) => {
            (SessionDay::from_epoch_days(*first), SessionDay::from_epoch_days(*last))
        }
        _ => (from, from),
    };
    let walk = frozen_walk(&design, document, origin);
    let tails = Tails::new(&design, &walk, &document.shape, origin);
    let dates = design.sessions.dates();
    let start = dates.partition_point(|date| *date < from.epoch_days());
    let end = dates.partition_point(|date| *date <= to.epoch_days());
    let window = (start.min(end), end);
    let rows = forecasts(&design, &walk, &tails, &document.mixing, window, &|_| true);
    score(&design, rows.iter(), origin).ok_or(TrainError::NoSessions { from, to, first, last })
}

/// Variances of a document for every row; the row is left out where it has no coefficients.
fn frozen_walk(design: &Design, document: &Document, origin: Origin) -> Walk {
    let of_issue = |issue: &super::design::IssueRows| {
        let of = |at: usize| {
            let market = &design.market[issue.session(at)];
            let model = document.choose(origin, market);
            model.map_or(f64::NAN, |model| model.variance(&issue.terms[at], market))
        };
        (0..issue.len()).map(of).collect()
    };
    Walk::of_variances(design, design.issues.par_iter().map(of_issue).collect())
}
