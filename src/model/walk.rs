//! Month by month: coefficients from the rows before, forecasts of the month with them.
//!
//! Parameters used in a month are fitted on rows dated before its first day and on nothing later.
//! The bias factor of a month is the mean of r² / exp(prediction) over the fitted issues' rows of
//! the last 500 sessions before it, with the predictions as they were made then: exp of a mean
//! logarithm is too low a variance, and by how much is measured out of sample.

use rayon::prelude::*;

use super::design::{Design, IssueRows};
use super::features::Variant;
use super::fit::{Coefficients, solve};
use super::gram::{DailySums, Gram};
use super::train::TrainError;
use crate::market::SessionDay;

/// Sessions over which the bias factor is measured.
pub const SCALE_SESSIONS: usize = 500;
/// Rows a fit needs.
pub const LEAST_ROWS: usize = 500;
/// Sessions a fit needs: the market terms are the same for all rows of one.
pub const LEAST_SESSIONS: usize = 60;
/// Rows the bias factor needs out of sample; before there are so many it is taken in sample.
const LEAST_SCALE_ROWS: f64 = 500.0;

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
    /// market terms are known on its session.
    ///
    /// # Errors
    /// When the sums of a fit are not finite.
    pub fn new(
        design: &Design,
        sums: &DailySums,
        variants: &[Variant],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, TrainError> {
        let mut months = fits(design, sums, variants, progress)?;
        let session_parts = session_parts(design, &months);
        let mut logs: Vec<Vec<f64>> = design
            .issues
            .par_iter()
            .map(|issue| predictions(issue, &months, &session_parts))
            .collect();
        let ratios = ratios(design, &logs);
        for month in &mut months {
            month.scale = scale(design, month, &ratios);
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

    /// Standardised residual r / √h of row `at` of issue `issue`; NaN without a forecast.
    #[must_use]
    pub fn residual(&self, design: &Design, issue: usize, at: usize) -> f64 {
        design.issues[issue].day(at).r / self.variance[issue][at].sqrt()
    }
}

fn empty(sessions: usize) -> Month {
    Month { first: sessions, end: sessions, fits: Vec::new(), scale: f64::NAN }
}

/// Every month with its fits, and at the end one without sessions that is fitted on everything.
fn fits(
    design: &Design,
    sums: &DailySums,
    variants: &[Variant],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Month>, TrainError> {
    let dates = design.sessions.dates();
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
    let mut grams: Vec<(Variant, Gram)> =
        variants.iter().map(|&variant| (variant, Gram::new(variant.market_mask()))).collect();
    let (count, mut added) = (months.len(), 0);
    for (done, month) in months.iter_mut().enumerate() {
        for session in added..month.first {
            for (_, gram) in &mut grams {
                gram.add(sums, session, &design.market[session]);
            }
        }
        added = month.first;
        for (variant, gram) in &grams {
            if gram.rows >= LEAST_ROWS as f64 && gram.sessions >= LEAST_SESSIONS {
                month.fits.push(Fitted { variant: *variant, coefficients: solve(gram)? });
            }
        }
        progress(done + 1, count);
    }
    Ok(months)
}

/// By session: which of its month's fits is used, and the part that all issues share.
fn session_parts(design: &Design, months: &[Month]) -> Vec<Option<(usize, f64)>> {
    let mut parts = vec![None; design.sessions.len()];
    for month in months {
        for session in month.first..month.end {
            let market = &design.market[session];
            let usable = |fit: &Fitted| market.suffice(fit.variant);
            parts[session] = month
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
fn scale(design: &Design, month: &Month, ratios: &[(f64, f64)]) -> f64 {
    let from = month.first.saturating_sub(SCALE_SESSIONS);
    let past = &ratios[from..month.first];
    let (sum, rows) = past.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    if rows >= LEAST_SCALE_ROWS {
        return sum / rows;
    }
    in_sample_scale(design, month, from)
}

/// The bias factor over the rows the month was fitted on: for its first months, when nothing was
/// predicted before.
fn in_sample_scale(design: &Design, month: &Month, from: usize) -> f64 {
    let shared: Vec<Option<(usize, f64)>> = (from..month.first)
        .map(|session| {
            let market = &design.market[session];
            let at = month.fits.iter().position(|fit| market.suffice(fit.variant))?;
            Some((at, month.fits[at].coefficients.session_part(market)))
        })
        .collect();
    let (mut sum, mut rows) = (0.0, 0.0);
    for issue in design.issues.iter().filter(|issue| issue.fitted) {
        for at in issue.between(from, month.first) {
            if let Some((fit, shared)) = shared[issue.session(at) - from]
                && issue.may_fit(at)
            {
                let log = shared + month.fits[fit].coefficients.own_part(&issue.terms[at]);
                sum += issue.day(at).r.powi(2) / log.exp();
                rows += 1.0;
            }
        }
    }
    sum / rows
}
