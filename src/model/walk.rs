//! Month by month: coefficients from the rows before, forecasts of the month with them.
//!
//! Parameters used in a month are fitted on rows dated before its first day and on nothing later.
//! The bias factor of a month is the mean of r² / exp(prediction) over the fitted issues' rows of
//! the last 500 sessions before it, with the predictions as they were made then: exp of a mean
//! logarithm is too low a variance, and by how much is measured out of sample.
//!
//! The coefficients are three parts least squares of ln P and one part gamma likelihood of P: the
//! first is the safer against single days, the second the better for large variances.

use rayon::prelude::*;

use super::design::{Design, IssueRows};
use super::features::Variant;
use super::fit::{Coefficients, solve};
use super::glm::gamma;
use super::gram::{DailySums, Gram};
use super::losses::RANGE_TO_RETURN;
use super::train::{Method, TrainError};
use crate::market::SessionDay;

/// Sessions over which the bias factor is measured.
pub const SCALE_SESSIONS: usize = 500;
/// Rows a fit needs.
pub const LEAST_ROWS: usize = 500;
/// Sessions a fit needs: the market terms are the same for all rows of one.
pub const LEAST_SESSIONS: usize = 50;
/// Rows the bias factor needs; before there are so many it is [`RANGE_TO_RETURN`].
const LEAST_SCALE_ROWS: f64 = 2_000.0;
/// Weight of least squares in the mixture with the gamma fit.
const LEAST_SQUARES_WEIGHT: f64 = 0.75;

/// Coefficients of one set of terms, and the rows they were fitted on.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Which terms.
    pub variant: Variant,
    /// Their coefficients.
    pub coefficients: Coefficients,
}

/// One month of the walk.
#[derive(Debug, Clone)]
pub struct Month {
    /// Its first session.
    pub first: usize,
    /// The first session after it.
    pub end: usize,
    /// Fits on the rows before it, in the order in which they are preferred.
    pub fits: Vec<Fitted>,
    /// Bias factor; NaN without a fit.
    pub scale: f64,
}

/// Forecast variances of every row that has terms, each from what was known before it.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The months of the data.
    pub months: Vec<Month>,
    /// By issue and row with terms; NaN where nothing could be fitted before.
    pub variance: Vec<Vec<f64>>,
    /// What would be used after the last session.
    pub next: Month,
}

impl Walk {
    /// Walks over all months of `design`. A row is forecast with the first of `variants` whose
    /// market terms are known on its session and that could be fitted before. Months from session
    /// `until` on are left out.
    ///
    /// # Errors
    /// When the sums of a fit are not finite.
    pub fn new(
        design: &Design,
        sums: &DailySums,
        method: Method,
        variants: &[Variant],
        until: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, TrainError> {
        let mut months = fits(design, sums, method, variants, until, progress)?;
        let session_parts = session_parts(design, &months);
        let mut logs: Vec<Vec<f64>> = design
            .issues
            .par_iter()
            .map(|issue| predictions(issue, &months, &session_parts))
            .collect();
        let ratios = ratios(design, &logs);
        for month in &mut months {
            month.scale = scale(month, &ratios);
        }
        let mut of_session = vec![f64::NAN; design.sessions.len()];
        for month in &months {
            of_session[month.first..month.end].fill(month.scale);
        }
        logs.par_iter_mut().zip(&design.issues).for_each(|(logs, issue)| {
            for (at, log) in logs.iter_mut().enumerate() {
                *log = of_session[issue.session(at)] * log.exp();
            }
        });
        let next = months.pop().unwrap_or_else(|| empty(design.sessions.len()));
        Ok(Self { months, variance: logs, next })
    }

    /// A walk with variances that were computed elsewhere: nothing is fitted.
    #[must_use]
    pub fn of_variances(design: &Design, variance: Vec<Vec<f64>>) -> Self {
        Self { months: Vec::new(), variance, next: empty(design.sessions.len()) }
    }

    /// Standardised residual r / √h of row `at` of issue `issue`; NaN without a forecast.
    #[must_use]
    pub fn residual(&self, design: &Design, issue: usize, at: usize) -> f64 {
        design.issues[issue].day(at).r / self.variance[issue][at].sqrt()
    }
}

fn empty(sessions: usize) -> Month {
    Month { first: sessions, end: sessions, fits: Vec::new(), scale: f64::NAN }
}

/// Months of the data without fits, and at the end one without sessions.
fn months(dates: &[i32]) -> Vec<Month> {
    let month_of = |date: &i32| {
        let (year, month, _) = SessionDay::from_epoch_days(*date).ymd();
        (year, month)
    };
    let mut months: Vec<Month> = Vec::new();
    for days in dates.chunk_by(|a, b| month_of(a) == month_of(b)) {
        let first = months.last().map_or(0, |month| month.end);
        let end = first + days.len();
        months.push(Month { first, end, fits: Vec::new(), scale: f64::NAN });
    }
    months.push(empty(dates.len()));
    months
}

/// Those of `variants` with which a row of some session is forecast.
fn used(design: &Design, sums: &DailySums, variants: &[Variant]) -> Vec<Variant> {
    let first = |session: usize| {
        let market = &design.market[session];
        variants.iter().position(|variant| market.suffice(*variant))
    };
    let sessions = (0..design.sessions.len()).filter(|&session| sums.rows(session) > 0.0);
    let mut places: Vec<usize> = sessions.filter_map(first).collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|place| variants[place]).collect()
}

/// Every month with its fits, the last of them on everything.
fn fits(
    design: &Design,
    sums: &DailySums,
    method: Method,
    variants: &[Variant],
    until: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Month>, TrainError> {
    let dates = design.sessions.dates();
    let mut months = months(dates);
    let mut grams: Vec<(Gram, Option<Coefficients>)> = used(design, sums, variants)
        .into_iter()
        .map(|variant| (Gram::new(method.terms(variant)), None))
        .collect();
    let wanted = |month: &Month| month.first < until || month.first == until.min(dates.len());
    let (count, mut added) = (months.iter().filter(|month| wanted(month)).count(), 0);
    for (done, month) in months.iter_mut().filter(|month| wanted(month)).enumerate() {
        for session in added..month.first {
            for (gram, _) in &mut grams {
                gram.add(sums, session, &design.market[session]);
            }
        }
        added = month.first;
        // The gamma fit is renewed each January and July, and for what comes after the data.
        let renewed = dates
            .get(month.first)
            .is_none_or(|date| matches!(SessionDay::from_epoch_days(*date).ymd().1, 1 | 7));
        for (gram, likely) in &mut grams {
            if gram.rows < LEAST_ROWS as f64 || gram.sessions < LEAST_SESSIONS {
                continue;
            }
            let (system, squares) = solve(gram)?;
            let coefficients = if method == Method::Har25 {
                squares
            } else {
                if renewed || likely.is_none() {
                    let start = likely.as_ref().unwrap_or(&squares);
                    *likely = Some(gamma(design, gram, &system, month.first, start)?);
                }
                let likely = likely.as_ref().unwrap_or(&squares);
                squares.mixed(LEAST_SQUARES_WEIGHT, likely)
            };
            month.fits.push(Fitted { variant: gram.set.variant, coefficients });
        }
        progress(done + 1, count);
    }
    Ok(months)
}

/// By session: which of its month's fits is used, and the part that all issues share.
fn session_parts(design: &Design, months: &[Month]) -> Vec<Option<(usize, f64)>> {
    let mut parts = vec![None; design.sessions.len()];
    for month in months {
        let days = parts[month.first..month.end].iter_mut();
        for (part, market) in days.zip(&design.market[month.first..month.end]) {
            let usable = |fit: &Fitted| market.suffice(fit.variant);
            *part = month
                .fits
                .iter()
                .position(usable)
                .map(|at| (at, month.fits[at].coefficients.session_part(market)));
        }
    }
    parts
}

/// Predicted ln range variance of every row; NaN where there is no fit.
fn predictions(
    issue: &IssueRows,
    months: &[Month],
    session_parts: &[Option<(usize, f64)>],
) -> Vec<f64> {
    let mut logs = vec![f64::NAN; issue.len()];
    for month in months.iter().filter(|month| !month.fits.is_empty()) {
        for at in issue.between(month.first, month.end) {
            if let Some((fit, shared)) = session_parts[issue.session(at)] {
                logs[at] = shared + month.fits[fit].coefficients.own_part(&issue.terms[at]);
            }
        }
    }
    logs
}

/// By session: sum of r² / exp(prediction) over the rows that may be fitted, and their number.
fn ratios(design: &Design, logs: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let mut ratios = vec![(0.0, 0.0); design.sessions.len()];
    for (issue, logs) in design.issues.iter().zip(logs).filter(|(issue, _)| issue.fitted) {
        for (at, log) in logs.iter().enumerate() {
            if log.is_finite() && issue.may_fit(at) {
                let ratio = &mut ratios[issue.session(at)];
                ratio.0 += issue.day(at).r.powi(2) / log.exp();
                ratio.1 += 1.0;
            }
        }
    }
    ratios
}

/// The bias factor of a month.
fn scale(month: &Month, ratios: &[(f64, f64)]) -> f64 {
    let from = month.first.saturating_sub(SCALE_SESSIONS);
    let past = &ratios[from..month.first];
    let (sum, rows) = past.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    if rows > LEAST_SCALE_ROWS { sum / rows } else { RANGE_TO_RETURN }
}
