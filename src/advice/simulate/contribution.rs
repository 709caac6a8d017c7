//! Who carries the risk: contributions of exposures that add up to the whole.
//!
//! The Euler allocation of value at risk and of expected shortfall is a conditional expectation
//! (Tasche 1999): the mean loss of an exposure over the paths in which the portfolio loses the value
//! at risk, or more. Both are estimated linearly in the ranked losses of the portfolio, so applying
//! the same weights to an exposure's losses gives parts whose sum is the whole, exactly (Mausser
//! 2003, for value at risk by L-estimators). The paths of those ranks are computed anew, some at a
//! time, and their losses are added in the order of ranks.

use rayon::prelude::*;

use super::kernel::Kernel;
use super::outcome::{Component, LEVELS, rank_weights};
use super::plan::{Control, SimulateError};

/// Ranks that are replayed at a time: bounds the memory.
const AT_ONCE: usize = 4_096;

/// Weights of the ranks, the worst first, at one level.
#[derive(Debug, Clone)]
pub struct Tail {
    /// First rank of the quantile's weights.
    first: usize,
    /// Weights of the quantile from there on.
    quantile: Vec<f64>,
    /// Weights of the worst share: 1 each, the last what is left.
    pub shortfall: Vec<f64>,
    /// Their sum.
    mass: f64,
}

impl Tail {
    /// Of `paths` paths, for the worst `share`.
    #[must_use]
    pub fn new(paths: usize, share: f64) -> Self {
        let (first, quantile) = rank_weights(paths, share);
        let mass = paths as f64 * share;
        let whole = mass.floor() as usize;
        let mut shortfall = vec![1.0; whole];
        if mass > whole as f64 && whole < paths {
            shortfall.push(mass - whole as f64);
        }
        Self { first, quantile, shortfall, mass }
    }

    fn ranks(&self) -> usize {
        (self.first + self.quantile.len()).max(self.shortfall.len())
    }

    /// Weight of a rank in the quantile, and in the mean of the worst.
    fn weights(&self, rank: usize) -> (f64, f64) {
        let quantile = rank.checked_sub(self.first).and_then(|at| self.quantile.get(at));
        let shortfall = self.shortfall.get(rank).copied().unwrap_or(0.0);
        (quantile.copied().unwrap_or(0.0), shortfall / self.mass)
    }
}

/// Contributions by exposure, and of the initial cost, won. `order` are the paths, the worst first.
///
/// # Errors
/// When it is cancelled.
pub fn contributions(
    kernel: &Kernel,
    order: &[u32],
    tails: &[Tail],
    value: f64,
    control: &Control<'_>,
) -> Result<(Vec<Component>, f64), SimulateError> {
    let start: Vec<f32> = kernel.starts().collect();
    let nothing = Component { value_at_risk: [0.0; 3], expected_shortfall: [0.0; 3] };
    let mut components = vec![nothing; start.len()];
    let ranks = tails.iter().map(Tail::ranks).max().unwrap_or(0).min(order.len());
    for (chunk, paths) in order[..ranks].chunks(AT_ONCE).enumerate() {
        if (control.cancelled)() {
            return Err(SimulateError::Cancelled);
        }
        let ends: Vec<Vec<f32>> = paths
            .par_iter()
            .map_init(
                || kernel.state(),
                |state, path| {
                    let mut values = vec![0.0; start.len()];
                    kernel.replay(*path as usize, state, &mut values);
                    values
                },
            )
            .collect();
        for (place, ends) in ends.iter().enumerate() {
            let rank = chunk * AT_ONCE + place;
            let weights: [(f64, f64); LEVELS.len()] =
                std::array::from_fn(|level| tails[level].weights(rank));
            for ((component, start), end) in components.iter_mut().zip(&start).zip(ends) {
                let loss = (f64::from(*start) - f64::from(*end)) * value;
                for (level, (quantile, shortfall)) in weights.iter().enumerate() {
                    component.value_at_risk[level] += quantile * loss;
                    component.expected_shortfall[level] += shortfall * loss;
                }
            }
        }
    }
    Ok((components, f64::from(kernel.cost()) * value))
}
