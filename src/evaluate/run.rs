//! One evaluation: from a panel to forecasts, picks and their figures.

use rustc_hash::FxHashSet;

use super::forecasts::{ForecastMetrics, evaluate_forecasts};
use super::scored::{ScoredRow, scored};
use crate::market::{SessionDay, Symbol};
use crate::model::design::Reader;
use crate::model::features::{Origin, Variant};
use crate::model::forecasts::{ForecastRow, Tails, forecasts};
use crate::model::gram::DailySums;
use crate::model::panel::Panel;
use crate::model::ranker::fitted::calmest;
use crate::model::ranker::picks::{PickMetrics, evaluate_picks};
use crate::model::ranker::{TraitSet, Week, rank_weeks};
use crate::model::tracking::Tracking;
use crate::model::train::{Method, Progress, TrainError};
use crate::model::walk::{LEAST_ROWS, Walk};

/// What to evaluate.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Issues whose rows are fitted; `None`: all.
    pub universe: Option<FxHashSet<Symbol>>,
    /// Issues that are forecast, picked and scored; `None`: all.
    pub wanted: Option<FxHashSet<Symbol>>,
    /// First session; `None`: the first that can be scored.
    pub from: Option<SessionDay>,
    /// Last session; `None`: the last of the data.
    pub to: Option<SessionDay>,
    /// Whose terms they are made with.
    pub reader: Reader,
    /// When forecasts are made.
    pub origin: Origin,
    /// How tails are forecast.
    pub method: Method,
}

/// What came out, in the order of issues and sessions.
#[derive(Debug, Clone)]
pub struct Run {
    /// Code of each issue of the panel.
    pub symbols: Vec<Symbol>,
    /// Days of the sessions.
    pub dates: Vec<i32>,
    /// Forecasts of the scored rows.
    pub forecasts: Vec<ForecastRow>,
    /// The same with what came of them.
    pub scored: Vec<ScoredRow>,
    /// Weeks of the window, with scores.
    pub weeks: Vec<Week>,
    /// Best issues of each week, best first, in the order of `weeks`.
    pub picks: Vec<Vec<usize>>,
    /// Figures of the forecasts; `None` when no row could be scored.
    pub metrics: Option<ForecastMetrics>,
    /// Figures of the picks, by horizon.
    pub pick_metrics: Vec<PickMetrics>,
    /// The same of picks by the traits alone that a daemon knows.
    pub watched_metrics: Vec<PickMetrics>,
    /// The same of the calmest issues.
    pub low_risk_metrics: Vec<PickMetrics>,
}

/// Forecasts and picks of every session of the window, each from what was known before it.
///
/// # Errors
/// When too few rows can be fitted, or their sums are not finite.
pub fn run(
    panel: &Panel,
    options: &RunOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Run, TrainError> {
    progress(Progress::Features);
    let design = options.reader.design(panel, options.universe.as_ref());
    let rows = design.fitted_rows();
    if rows < LEAST_ROWS {
        let symbols = panel.issues.len();
        return Err(TrainError::TooFew { rows, symbols, needed: LEAST_ROWS });
    }
    let sums = DailySums::new(&design);
    let variants = match options.origin {
        Origin::Open => &Variant::ALL[..],
        Origin::Close => &Variant::ALL[1..],
    };
    let dates = design.sessions.dates().to_vec();
    let from = options.from.map_or(0, |day| dates.partition_point(|date| *date < day.epoch_days()));
    let to = options
        .to
        .map_or(dates.len(), |day| dates.partition_point(|date| *date <= day.epoch_days()));
    let months = |done, of| progress(Progress::Months { done, of });
    let walk = Walk::new(&design, &sums, options.method, variants, 0..to, &months)?;
    progress(Progress::Tails);
    let tails = Tails::new(&design, &walk, &options.method.shapes(), options.origin);
    let window = (from.min(to), to);
    let symbols: Vec<Symbol> = panel.issues.iter().map(|issue| issue.symbol).collect();
    let wanted =
        |issue: usize| options.wanted.as_ref().is_none_or(|known| known.contains(&symbols[issue]));
    let mixing = options.method.mixing();
    let tracking = Tracking::new(&design, &walk, &tails, &mixing, to);
    let forecasts = forecasts(&design, &walk, &tails, (&mixing, &tracking), window, &wanted);
    let scored = scored(&design, &forecasts);
    progress(Progress::Validation);
    let metrics = evaluate_forecasts(&scored, &dates);
    let ranked = |set: TraitSet| -> Result<Vec<Week>, TrainError> {
        let ranking = rank_weeks(panel, &design, set)
            .map_err(|error| TrainError::Solver(error.to_string()))?;
        let within = |week: &Week| (window.0..window.1).contains(&week.session);
        Ok(ranking.weeks.into_iter().filter(within).collect())
    };
    let weeks = ranked(TraitSet::Full)?;
    let picks = weeks.iter().map(|week| week.picks(&wanted)).collect();
    let pick_metrics = evaluate_picks(&weeks, &wanted);
    let watched = ranked(TraitSet::Watched)?;
    let watched_metrics = evaluate_picks(&watched, &wanted);
    let low_risk_metrics = evaluate_picks(&calmest(TraitSet::Watched, &watched), &wanted);
    Ok(Run {
        symbols,
        dates,
        forecasts,
        scored,
        weeks,
        picks,
        metrics,
        pick_metrics,
        watched_metrics,
        low_risk_metrics,
    })
}
