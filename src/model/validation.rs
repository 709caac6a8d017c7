//! How good the forecasts of a window were, in a few figures that are kept with the model.

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::design::{Design, IssueRows, Reader};
use super::document::Document;
use super::features::Origin;
use super::forecasts::{ForecastRow, Tails, forecasts};
use super::losses;
use super::panel::Panel;
use super::slopes::ShapeSchedule;
use super::tracking::Tracking;
use super::train::TrainError;
use super::walk::Walk;
use crate::market::SessionDay;

/// Metrics of forecasts over a window, each month's parameters fitted on the rows before it.
/// Definitions: [`losses`]; returns in per cent.
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
        from: design.day(first),
        to: design.day(last),
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
/// over the sessions from `from` to `to`, with the terms that `reader` knows.
///
/// # Errors
/// When no row of the window can be scored.
pub fn validate(
    panel: &Panel,
    document: &Document,
    (origin, reader): (Origin, Reader),
    (from, to): (SessionDay, SessionDay),
) -> Result<Validation, TrainError> {
    let design = reader.design(panel, None);
    let (first, last) = match (design.sessions.dates().first(), design.sessions.dates().last()) {
        (Some(first), Some(last)) => {
            (SessionDay::from_epoch_days(*first), SessionDay::from_epoch_days(*last))
        }
        _ => (from, from),
    };
    let walk = frozen_walk(&design, document, origin);
    let shapes = ShapeSchedule::constant(document.shape.clone());
    let tails = Tails::new(&design, &walk, &shapes, origin);
    let dates = design.sessions.dates();
    let start = dates.partition_point(|date| *date < from.epoch_days());
    let end = dates.partition_point(|date| *date <= to.epoch_days());
    let window = (start.min(end), end);
    let mixing = &document.mixing;
    let tracking = Tracking::new(&design, &walk, &tails, mixing, end);
    let rows = forecasts(&design, &walk, &tails, (mixing, &tracking), window, &|_| true);
    score(&design, rows.iter(), origin).ok_or(TrainError::NoSessions { from, to, first, last })
}

/// Variances of a document for every row; the row is left out where it has no coefficients.
#[must_use]
pub fn frozen_walk(design: &Design, document: &Document, origin: Origin) -> Walk {
    let of_issue = |issue: &IssueRows| {
        let of = |at: usize| {
            let market = &design.market[issue.session(at)];
            let model = document.choose(origin, market);
            model.map_or(f64::NAN, |model| model.variance(&issue.terms[at], market))
        };
        (0..issue.len()).map(of).collect()
    };
    Walk::of_variances(design, design.issues.par_iter().map(of_issue).collect())
}
