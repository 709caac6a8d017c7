//! What could become of a portfolio: joint filtered historical simulation.
//!
//! In: a [`World`] (what is known at a day: forecast variances, standardised residuals by day,
//! market factors), [`Exposure`]s, a [`Plan`] (paths, horizon, seed, shocks). Out: an [`Outcome`]:
//! the distribution of return and drawdown, value at risk and expected shortfall with their
//! sampling error, and what each exposure contributes to them.
//!
//! **Method.** Filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999) of all
//! exposures jointly: a session of a path is one past day, drawn with equal chance, and every
//! exposure takes its own residual of that day. So dependence, that of the tails included, is what
//! it was. The return is R = σ z, with z the residual about its mean: the expected return is zero
//! (no premium is claimed). The variance follows along the path, see [`Dynamics`]. A return is cut
//! at the price limit of ±30 %.
//!
//! **Shocks** make a session conditional, see [`shocks`].
//!
//! **Deterministic.** Draw `t` of path `p` is word `p · horizon + t` of the ChaCha8 stream of the
//! seed, whatever thread computes it; sums are taken in the order of paths. Equal world, exposures
//! and plan give equal bytes. Portfolios simulated with one plan see the same days: their outcomes
//! can be compared path by path.
//!
//! **Cost.** Eight bytes a path are kept, and a row of two numbers a day and exposure; a path's
//! values exist only while it is computed. The contributions replay the worst paths alone.
//!
//! **Limits.** Nothing worse than the worst day seen is drawn without a shock. Positions are not
//! rebalanced. Closes only: a stop acts at the close of the day that crosses it. Independent days:
//! a run of bad days comes from the variance alone.
//!
//! - [`world`]: what is known; [`build`]: made of daily bars and a model; [`sessions`]: as of which day
//! - [`dynamics`]: how the variance follows; [`factor`]: the markets themselves
//! - [`table`]: the rows that are drawn; [`shocks`]: conditional sessions; [`kernel`]: the paths, with
//!   [`vectors`] below it
//! - [`outcome`]: from paths to figures; [`contribution`]: who carries the risk

pub mod build;
pub mod contribution;
pub mod dynamics;
pub mod factor;
pub mod kernel;
pub mod outcome;
pub mod plan;
pub mod sessions;
pub mod shocks;
pub mod table;
pub mod vectors;
pub mod world;

use rayon::prelude::*;

pub use dynamics::Dynamics;
pub use factor::MarketFactor;
pub use outcome::{Component, Distribution, Histogram, Outcome, QuantilePoint, RiskAtLevel};
pub use plan::{Control, Exit, Exposure, Instrument, Loss, Plan, SimulateError};
pub use shocks::{Driver, RepeatMode, Shock};
pub use world::{Known, World, WorldIssue, WorldSource};

use kernel::{Kernel, PathEnd};

/// Paths that one thread computes at a stretch.
const BLOCK: usize = 512;

/// Simulates `exposures` in `world` as `plan` says.
///
/// # Errors
/// When the plan or an exposure cannot be, or `control` cancels it.
pub fn simulate(
    world: &World,
    exposures: &[Exposure],
    plan: &Plan,
    control: &Control<'_>,
) -> Result<Outcome, SimulateError> {
    plan.check(world, exposures)?;
    let kernel = Kernel::new(world, exposures, plan)?;
    let ends = run(&kernel, plan, control)?;
    outcome::outcome(world, exposures, plan, &kernel, &ends, control)
}

/// The ends of all paths, in their order.
fn run(kernel: &Kernel, plan: &Plan, control: &Control<'_>) -> Result<Vec<PathEnd>, SimulateError> {
    let blocks = plan.paths.div_ceil(BLOCK);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let of_block = |block: usize| {
        if (control.cancelled)() {
            return Err(SimulateError::Cancelled);
        }
        let first = block * BLOCK;
        let ends = kernel.block(first, BLOCK.min(plan.paths - first));
        let before = done.fetch_add(ends.len(), std::sync::atomic::Ordering::Relaxed);
        (control.progress)(before + ends.len(), plan.paths);
        Ok(ends)
    };
    let ends: Result<Vec<Vec<PathEnd>>, SimulateError> =
        (0..blocks).into_par_iter().map(of_block).collect();
    Ok(ends?.concat())
}

#[cfg(test)]
pub(crate) mod tests;
