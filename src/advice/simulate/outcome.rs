//! From the ends of paths to figures, each with its sampling error.
//!
//! Losses are fractions of the portfolio's value at the start, positive when something is lost. Of n
//! paths, with q the share of the worst (5 %, 2.5 %, 1 %):
//!
//! - **Value at risk** is the Gaussian-kernel estimate of the quantile: the mean of the losses by
//!   rank k with weights Φ((k − nq)/s) − Φ((k − 1 − nq)/s), s = √(n q (1 − q)). That is what the
//!   estimator of Harrell & Davis (1982) comes to for large n (Sheather & Marron 1990); being linear
//!   in the losses it can be told apart by exposure ([`contribution`](super::contribution)).
//! - Its **error** is that of the order statistic: the losses of ranks nq ∓ 1.96 s enclose the
//!   quantile in 95 of 100 runs whatever the distribution (Conover 1999, 3.2), and the standard error
//!   is their distance over 2 · 1.96.
//! - **Expected shortfall** is the mean of the worst nq losses, its variance
//!   (Var(L | tail) + (1 − q)(ES − VaR)²) / (n q) (Manistre & Hancock 2005).
//! - A **probability** p has the error √(p (1 − p) / n).
//!
//! These are errors of simulation alone: of another seed, not of the model.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::contribution::{Tail, contributions};
use super::kernel::{Kernel, PathEnd};
use super::plan::{Control, Exposure, Loss, Plan, SimulateError};
use super::world::World;
use crate::advice::statistics::normal_cdf;

/// The levels of value at risk and expected shortfall.
pub const LEVELS: [f64; 3] = [0.95, 0.975, 0.99];
/// The quantiles that a distribution is told by.
pub const QUANTILES: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99];
/// Bars of a histogram.
pub const BARS: usize = 40;
/// The 97.5 % quantile of the standard normal distribution.
const TWO_SIDED_95: f64 = 1.96;

/// A quantile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantilePoint {
    /// Probability of a lower value.
    pub probability: f64,
    /// The value, fraction.
    pub value: f64,
}

/// Equal bars from the lowest to the highest value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower edge of the first bar, fraction.
    pub from: f64,
    /// Width of a bar, fraction; 0 when all values are equal.
    pub width: f64,
    /// Paths in each bar.
    pub counts: Vec<u32>,
}

/// A distribution over paths, in fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean.
    pub mean_error: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Lowest.
    pub lowest: f64,
    /// Highest.
    pub highest: f64,
    /// Quantiles (type 6), ascending.
    pub quantiles: Vec<QuantilePoint>,
    /// Bars.
    pub histogram: Histogram,
}

/// Risk at one level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskAtLevel {
    /// Level, as 0.95.
    pub level: f64,
    /// Value at risk, won: the loss at the horizon that is exceeded in the share 1 − level of paths.
    pub value_at_risk: f64,
    /// Its standard error, won.
    pub value_at_risk_error: f64,
    /// Its interval of 95 %, won.
    pub value_at_risk_interval: (f64, f64),
    /// Expected shortfall, won: mean loss of those paths.
    pub expected_shortfall: f64,
    /// Its standard error, won.
    pub expected_shortfall_error: f64,
}

/// What one exposure contributes, won; at the three levels in their order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// To value at risk. The exposures' and the initial cost add up to the whole.
    pub value_at_risk: [f64; 3],
    /// To expected shortfall, likewise.
    pub expected_shortfall: [f64; 3],
}

/// Probability of a loss beyond the budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BudgetProbability {
    /// Which loss.
    pub loss: Loss,
    /// Its probability.
    pub probability: f64,
    /// Its standard error.
    pub error: f64,
}

/// What could become of a portfolio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Value at the start, won; initial cost included.
    pub value: f64,
    /// Paths.
    pub paths: u64,
    /// Sessions.
    pub horizon: u32,
    /// Seed.
    pub seed: u64,
    /// Past days that were drawn from.
    pub days: u64,
    /// Simple return at the horizon, fraction of `value`.
    pub returns: Distribution,
    /// Largest fall from a high on the way, fraction of the high; closes only.
    pub drawdown: Distribution,
    /// Value at risk and expected shortfall at 95, 97.5 and 99 %.
    pub risk: Vec<RiskAtLevel>,
    /// By exposure, in their order.
    pub components: Vec<Component>,
    /// Part of the initial cost in every value at risk and expected shortfall, won.
    pub initial_cost: f64,
    /// Probability of a loss beyond the plan's budget.
    pub budget: Option<BudgetProbability>,
}

impl Outcome {
    /// Risk at a level of [`LEVELS`].
    #[must_use]
    pub fn at(&self, level: f64) -> Option<&RiskAtLevel> {
        self.risk.iter().find(|risk| (risk.level - level).abs() < 1e-9)
    }
}

/// Weights of the ranks from which a quantile is taken, the worst being rank 0: the first rank and
/// the weights from it on, which add up to 1.
#[must_use]
pub fn rank_weights(paths: usize, share: f64) -> (usize, Vec<f64>) {
    let n = paths as f64;
    let spread = (n * share * (1.0 - share)).sqrt().max(0.5);
    let centre = n * share;
    let first = (centre - 4.0 * spread).floor().max(0.0) as usize;
    let last = ((centre + 4.0 * spread).ceil() as usize).min(paths);
    let cdf = |rank: usize| normal_cdf((rank as f64 - centre) / spread);
    let mut weights: Vec<f64> = (first..last).map(|rank| cdf(rank + 1) - cdf(rank)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (first, weights)
}

/// A number that is ordered as the value is (`f32::total_cmp`): whole numbers sort several times as fast.
const fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The figures of a simulation.
///
/// # Errors
/// When it is cancelled.
pub fn outcome(
    world: &World,
    exposures: &[Exposure],
    plan: &Plan,
    kernel: &Kernel,
    ends: &[PathEnd],
    control: &Control<'_>,
) -> Result<Outcome, SimulateError> {
    let value: f64 = exposures.iter().map(|exposure| exposure.value).sum();
    // Ascending by value at the end, equals by number.
    let keyed = ends.iter().zip(0_u64..).map(|(end, at)| u64::from(ordered(end.value)) << 32 | at);
    let mut order: Vec<u64> = keyed.collect();
    order.par_sort_unstable();
    let order: Vec<u32> = order.into_iter().map(|key| key as u32).collect();
    let end = |path: u32| ends[path as usize].value;
    let returns: Vec<f64> = order.iter().map(|path| f64::from(end(*path)) - 1.0).collect();
    let mut falls: Vec<(u32, f32)> =
        ends.iter().map(|end| (ordered(end.drawdown), end.drawdown)).collect();
    falls.par_sort_unstable_by_key(|(key, _)| *key);
    let falls: Vec<f64> = falls.into_iter().map(|(_, fall)| f64::from(fall)).collect();
    let tails: Vec<Tail> = LEVELS.iter().map(|level| Tail::new(ends.len(), 1.0 - level)).collect();
    let (components, cost) = contributions(kernel, &order, &tails, value, control)?;
    let risk = LEVELS.iter().zip(&tails).enumerate();
    let risk = risk.map(|(at, (level, tail))| {
        let var = components.iter().map(|one| one.value_at_risk[at]).sum::<f64>() + cost;
        let es = components.iter().map(|one| one.expected_shortfall[at]).sum::<f64>() + cost;
        at_level(*level, tail, &returns, value, (var, es))
    });
    Ok(Outcome {
        value,
        paths: ends.len() as u64,
        horizon: plan.horizon,
        seed: plan.seed,
        days: (world.days.len() - world.drawn_from) as u64,
        risk: risk.collect(),
        budget: plan.budget.map(|loss| beyond(loss, ends)),
        returns: distribution(&returns),
        drawdown: distribution(&falls),
        components,
        initial_cost: cost,
    })
}

fn at_level(
    level: f64,
    tail: &Tail,
    returns: &[f64],
    value: f64,
    (var, es): (f64, f64),
) -> RiskAtLevel {
    let (n, q) = (returns.len() as f64, 1.0 - level);
    let spread = (n * q * (1.0 - q)).sqrt();
    let loss = |rank: f64| {
        // `as` saturates: below the first rank it is the first.
        let rank = (rank as usize).min(returns.len() - 1);
        -returns[rank] * value
    };
    let upper = loss((n * q - TWO_SIDED_95 * spread).floor().max(0.0));
    let lower = loss((n * q + TWO_SIDED_95 * spread).ceil());
    let (mut sum, mut squares, mut mass) = (0.0, 0.0, 0.0);
    for (weight, r) in tail.shortfall.iter().zip(returns) {
        let l = -r * value;
        (sum, squares, mass) = (sum + weight * l, squares + weight * l * l, mass + weight);
    }
    let variance = (squares / mass - (sum / mass).powi(2)).max(0.0);
    let error = ((variance + (1.0 - q) * (es - var).powi(2)) / (n * q)).sqrt();
    RiskAtLevel {
        level,
        value_at_risk: var,
        value_at_risk_error: (upper - lower) / (2.0 * TWO_SIDED_95),
        value_at_risk_interval: (lower, upper),
        expected_shortfall: es,
        expected_shortfall_error: error,
    }
}

fn beyond(loss: Loss, ends: &[PathEnd]) -> BudgetProbability {
    let is_beyond = |end: &&PathEnd| match loss {
        Loss::AtHorizon(most) => 1.0 - f64::from(end.value) > most,
        Loss::Drawdown(most) => f64::from(end.drawdown) > most,
    };
    let n = ends.len() as f64;
    let probability = ends.iter().filter(is_beyond).count() as f64 / n;
    BudgetProbability { loss, probability, error: (probability * (1.0 - probability) / n).sqrt() }
}

/// Of values in ascending order.
fn distribution(sorted: &[f64]) -> Distribution {
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
    let point = |probability: f64| QuantilePoint {
        probability,
        value: crate::model::tails::quantile(sorted, sorted.len(), probability),
    };
    let (lowest, highest) = (sorted[0], sorted[sorted.len() - 1]);
    Distribution {
        mean,
        mean_error: deviation / n.sqrt(),
        deviation,
        lowest,
        highest,
        quantiles: QUANTILES.map(point).to_vec(),
        histogram: histogram(sorted, lowest, highest),
    }
}

fn histogram(sorted: &[f64], lowest: f64, highest: f64) -> Histogram {
    let width = (highest - lowest) / BARS as f64;
    let mut counts = vec![0_u32; BARS];
    for value in sorted {
        let bar = if width > 0.0 { ((value - lowest) / width) as usize } else { 0 };
        counts[bar.min(BARS - 1)] += 1;
    }
    Histogram { from: lowest, width, counts }
}
