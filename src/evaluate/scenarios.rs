//! How often portfolios really lost more than the simulation said.
//!
//! From every session of a window on, portfolios are made by chance out of the issues that trade enough;
//! each is simulated over 1, 5 and 20 sessions with what was known, and held. Variances are those of a
//! walk: coefficients of a month are fitted on what was before it. A portfolio's loss is that of its
//! closes; a day on which an issue does not trade moves nothing.
//!
//! **Exceedances** of one date are one observation: its portfolios fall together. The standard error of
//! a share is that of the mean over dates with the weights of Newey & West (1987) up to the overlap of
//! horizons.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::advice::simulate::build::{ModelInUse, Past};
use crate::advice::simulate::{Control, Exposure, Plan, World, simulate};
use crate::market::SessionDay;
use crate::model::Document;
use crate::model::design::Design;
use crate::model::features::{Origin, Variant};
use crate::model::forecasts::Tails;
use crate::model::gram::DailySums;
use crate::model::panel::Panel;
use crate::model::train::{Method, TrainError};
use crate::model::walk::Walk;

/// Horizons, sessions.
pub const HORIZONS: [u32; 3] = [1, 5, 20];

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoverageOptions {
    /// First session from which is simulated.
    pub from: SessionDay,
    /// Last session that a horizon may reach.
    pub to: SessionDay,
    /// Portfolios of a date.
    pub portfolios: usize,
    /// Most holdings of a portfolio.
    pub most_holdings: usize,
    /// Paths of a simulation.
    pub paths: usize,
    /// Seed of portfolios and paths.
    pub seed: u64,
}

/// Share of the portfolios that lost more than a level's value at risk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// Sessions.
    pub horizon: u32,
    /// Level of the value at risk.
    pub level: f64,
    /// Share that lost more; 1 − level is right.
    pub exceeded: f64,
    /// Its standard error, dates being one observation each.
    pub error: f64,
    /// Mean loss of those over the mean expected shortfall they were told; 1 is right.
    pub shortfall_ratio: Option<f64>,
    /// Portfolios.
    pub portfolios: u64,
    /// Dates.
    pub dates: u64,
}

/// One portfolio over one horizon.
#[derive(Debug, Clone, Copy)]
struct Held {
    loss: f64,
    told: [(f64, f64); 3],
}

/// Simulates and holds.
///
/// # Errors
/// When too few rows can be fitted.
pub fn coverage(
    panel: &Panel,
    document: &Document,
    options: &CoverageOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Coverage>, TrainError> {
    let design = Design::new(panel, None);
    let sums = DailySums::new(&design);
    let method = Method::Adaptive;
    let walk = Walk::new(&design, &sums, method, &Variant::ALL[1..], 0..usize::MAX, &|_, _| ())?;
    let tails = Tails::new(&design, &walk, &method.shapes(), Origin::Close);
    let past = Past { panel, design: &design, walk: &walk, tails: &tails };
    let dates = design.sessions.dates();
    let longest = HORIZONS[HORIZONS.len() - 1] as usize;
    let start = dates.partition_point(|date| *date < options.from.epoch_days());
    let end = dates.partition_point(|date| *date <= options.to.epoch_days());
    let starts: Vec<usize> = (start..end.saturating_sub(longest)).collect();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let of_date = |session: &usize| {
        let held = of_date(past, document, *session, options);
        let before = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        progress(before + 1, starts.len());
        held
    };
    let held: Vec<[Vec<Held>; 3]> = starts.par_iter().filter_map(of_date).collect();
    let figures = HORIZONS.iter().enumerate().flat_map(|(at, horizon)| {
        let dates: Vec<&[Held]> = held.iter().map(|date| date[at].as_slice()).collect();
        let lags = *horizon as usize - 1;
        let levels = crate::advice::simulate::outcome::LEVELS;
        levels
            .into_iter()
            .enumerate()
            .map(move |(number, level)| figure(&dates, (number, level), *horizon, lags))
    });
    Ok(figures.collect())
}

/// The portfolios of one date, by horizon; `None` when too little is known.
fn of_date(
    past: Past<'_>,
    document: &Document,
    session: usize,
    options: &CoverageOptions,
) -> Option<[Vec<Held>; 3]> {
    let model = ModelInUse { document, id: None, sha256: "" };
    let world = World::before_session(past, session, model, &BTreeMap::new()).ok()?;
    let liquid = |place: &usize| {
        let issue = &world.issues[*place];
        issue.residuals >= 250 && issue.average_value.is_some_and(|value| value >= 1e9)
    };
    let places: Vec<usize> = (0..world.issues.len()).filter(liquid).collect();
    if places.len() < options.most_holdings {
        return None;
    }
    let day = u64::from(past.design.day(session).yyyymmdd());
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed ^ day);
    let mut held: [Vec<Held>; 3] = Default::default();
    for _ in 0..options.portfolios {
        let exposures = chosen(&mut rng, &places, options.most_holdings);
        for (at, horizon) in HORIZONS.into_iter().enumerate() {
            let plan =
                Plan { paths: options.paths, horizon, seed: options.seed, ..Plan::default() };
            let outcome = simulate(&world, &exposures, &plan, &Control::none()).ok()?;
            let told = std::array::from_fn(|level| {
                let risk = &outcome.risk[level];
                (risk.value_at_risk / outcome.value, risk.expected_shortfall / outcome.value)
            });
            let loss = -held_return(past, &world, &exposures, session, horizon);
            held[at].push(Held { loss, told });
        }
    }
    Some(held)
}

/// A portfolio by chance: one issue to the most, with weights from 1 to 3.
fn chosen(rng: &mut ChaCha8Rng, places: &[usize], most: usize) -> Vec<Exposure> {
    let count = rng.random_range(1..=most);
    let mut left = places.to_vec();
    (0..count)
        .map(|_| {
            let place = left.swap_remove(rng.random_range(0..left.len()));
            Exposure::issue(place, rng.random_range(1.0..3.0))
        })
        .collect()
}

/// Return of holding `exposures` over the sessions from `session` on.
fn held_return(
    past: Past<'_>,
    world: &World,
    exposures: &[Exposure],
    session: usize,
    horizon: u32,
) -> f64 {
    let sessions = session..session + horizon as usize;
    let (mut before, mut after) = (0.0, 0.0);
    for exposure in exposures {
        let crate::advice::simulate::Instrument::Issue(place) = exposure.instrument else {
            continue;
        };
        let symbol = world.issues[place].symbol;
        let rows = past.design.issues.iter().find(|rows| rows.symbol == symbol);
        let growth: f64 = rows.map_or(0.0, |rows| {
            let days = rows.clean.session.iter().zip(&rows.clean.rows);
            let within = days.filter(|(at, _)| sessions.contains(&(**at as usize)));
            within.map(|(_, day)| day.r).sum()
        });
        before += exposure.value;
        after += exposure.value * growth.exp();
    }
    after / before - 1.0
}

fn figure(dates: &[&[Held]], (number, level): (usize, f64), horizon: u32, lags: usize) -> Coverage {
    let beyond = |held: &&Held| held.loss > held.told[number].0;
    let shares: Vec<f64> = dates
        .iter()
        .map(|date| date.iter().filter(beyond).count() as f64 / date.len().max(1) as f64)
        .collect();
    let n = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / n;
    let covariance = |lag: usize| -> f64 {
        let pairs = shares[lag..].iter().zip(&shares);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
    };
    let weight = |lag: usize| 1.0 - lag as f64 / (lags as f64 + 1.0);
    let sum: f64 = (1..=lags.min(shares.len().saturating_sub(1)))
        .map(|lag| 2.0 * weight(lag) * covariance(lag))
        .sum();
    let worse: Vec<&Held> = dates.iter().flat_map(|date| date.iter()).filter(beyond).collect();
    let lost: f64 = worse.iter().map(|held| held.loss).sum();
    let told: f64 = worse.iter().map(|held| held.told[number].1).sum();
    Coverage {
        horizon,
        level,
        exceeded: mean,
        error: ((covariance(0) + sum).max(0.0) / n).sqrt(),
        shortfall_ratio: (told > 0.0).then(|| lost / told),
        portfolios: dates.iter().map(|date| date.len() as u64).sum(),
        dates: dates.len() as u64,
    }
}
