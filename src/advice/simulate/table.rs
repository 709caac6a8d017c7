//! The rows that paths draw: every column's residual and variance news of a day, side by side.
//!
//! A **column** is an exposure, or something a shock is about that is not held. Columns stand in
//! groups of [`LANES`] so that a session is a few vector operations; empty places stay at zero.
//!
//! **Missing days.** A day on which an issue was halted or not yet listed is filled with ρ z_m +
//! √(1 − ρ²) e: its market's residual of the day, and what is its own, drawn once by a hash of code
//! and day from its other days, or with fewer than [`OWN_DAYS`] of them from another issue on the
//! same day. So dependence on the market is kept, and what is filled does not change with the seed.

use super::dynamics::{Dynamics, news};
use super::plan::{Exposure, Instrument};
use super::world::World;

/// Columns in a group.
pub const LANES: usize = 8;
/// Residuals of its own from which an issue's missing days are filled.
pub const OWN_DAYS: usize = 60;
/// A day's factor on the variance is not below this.
const LEAST_FACTOR: f32 = 0.05;

/// Eight columns of one day.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cell {
    /// Residual about its mean.
    pub residual: [f32; LANES],
    /// What the variance is multiplied by: φ and the day's news.
    pub factor: [f32; LANES],
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it moves with.
    pub instrument: Instrument,
    /// Forecast variance of the first session.
    pub variance: f32,
    /// Long-run variance.
    pub long_run: f32,
    /// Mean residual of the days that are drawn; taken off.
    mean: f32,
    /// Mean news of a fall and of a rise.
    news: (f32, f32),
    /// Residuals by day of the world, filled; zero where not even the market has one.
    residuals: Vec<f32>,
}

/// Columns and rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// The exposures first, in their order; then what shocks are about.
    pub columns: Vec<Column>,
    /// Groups of columns.
    pub groups: usize,
    /// Rows that are drawn.
    pub drawn: usize,
    /// Cells by row and group; rows beyond `drawn` are those that shocks name.
    cells: Vec<Cell>,
    dynamics: Dynamics,
}

impl Column {
    fn new(world: &World, instrument: Instrument) -> Self {
        let days = world.days.len();
        let (variance, long_run, residuals) = match instrument {
            Instrument::Issue(place) => {
                let issue = &world.issues[place];
                (issue.variance, issue.long_run, filled(world, place))
            }
            Instrument::Tracker { factor, .. } => {
                let factor = &world.factors[factor];
                let known = |z: &f32| if z.is_finite() { *z } else { 0.0 };
                (factor.variance, factor.long_run, factor.residuals.iter().map(known).collect())
            }
            Instrument::Steady { .. } => (0.0, 0.0, vec![0.0; days]),
        };
        let drawn = &residuals[world.drawn_from..];
        let count = drawn.len().max(1) as f64;
        let mut sums = (0.0, 0.0, 0.0);
        for z in drawn {
            let (fall, rise) = news(f64::from(*z));
            sums = (sums.0 + f64::from(*z), sums.1 + fall, sums.2 + rise);
        }
        let mean = (sums.0 / count) as f32;
        let news = ((sums.1 / count) as f32, (sums.2 / count) as f32);
        let (variance, long_run) = (variance as f32, long_run as f32);
        Self { instrument, variance, long_run, mean, news, residuals }
    }

    /// What the variance is multiplied by after a residual.
    #[must_use]
    pub fn factor(&self, dynamics: &Dynamics, residual: f32) -> f32 {
        let (fall, rise) = news(f64::from(residual));
        let (fall, rise) = (fall as f32 - self.news.0, rise as f32 - self.news.1);
        let factor =
            dynamics.persistence as f32 + dynamics.fall as f32 * fall + dynamics.rise as f32 * rise;
        factor.max(LEAST_FACTOR)
    }

    /// Its residual on a day of the world, about its mean.
    #[must_use]
    pub fn residual(&self, day: usize) -> f32 {
        self.residuals[day] - self.mean
    }
}

impl Table {
    /// Columns of the exposures, and of what else shocks need (`others`).
    #[must_use]
    pub fn new(world: &World, exposures: &[Exposure], others: &[Instrument]) -> Self {
        let held = exposures.iter().map(|exposure| exposure.instrument);
        let columns: Vec<Column> =
            held.chain(others.iter().copied()).map(|one| Column::new(world, one)).collect();
        let drawn = world.days.len() - world.drawn_from;
        let groups = columns.len().div_ceil(LANES);
        let mut table = Self {
            columns,
            groups,
            drawn,
            cells: Vec::with_capacity(drawn * groups),
            dynamics: world.dynamics,
        };
        for day in world.drawn_from..world.days.len() {
            table.push_day(day);
        }
        table
    }

    /// Adds a row with the residuals of a day, and gives its number.
    pub fn push_day(&mut self, day: usize) -> usize {
        let row = self.cells.len() / self.groups.max(1);
        let mut cells = vec![Cell::default(); self.groups];
        for (at, column) in self.columns.iter().enumerate() {
            let cell = &mut cells[at / LANES];
            cell.residual[at % LANES] = column.residual(day);
            // News are of the residual itself: what its mean is taken off for is the return.
            cell.factor[at % LANES] = column.factor(&self.dynamics, column.residuals[day]);
        }
        self.cells.extend(cells);
        row
    }

    /// A row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.groups..(row + 1) * self.groups]
    }

    /// Residual of a column in a row.
    #[must_use]
    pub fn residual(&self, row: usize, column: usize) -> f32 {
        self.row(row)[column / LANES].residual[column % LANES]
    }

    /// What a column's variance is multiplied by after a residual that is none of its rows'.
    #[must_use]
    pub fn factor(&self, column: usize, residual: f32) -> f32 {
        let column = &self.columns[column];
        column.factor(&self.dynamics, residual + column.mean)
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014) of a code and a day: which other day fills this one.
fn mixed(symbol: u64, day: i32) -> u64 {
    let mut x = symbol ^ (day as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A place among `count` by a hash.
fn place(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

/// What is an issue's own of a day: (z − ρ z_m) / √(1 − ρ²); `None` where a part is missing.
fn own_part(world: &World, issue: usize, day: usize) -> Option<f32> {
    let about = &world.issues[issue];
    let (z, market) = (world.residuals_of(issue)[day], world.factors[about.factor].residuals[day]);
    let rho = about.correlation as f32;
    let part = (z - rho * market) / (1.0 - rho * rho).max(0.01).sqrt();
    part.is_finite().then_some(part)
}

/// Residuals of an issue, missing days filled.
fn filled(world: &World, issue: usize) -> Vec<f32> {
    let about = &world.issues[issue];
    let mut residuals = world.residuals_of(issue).to_vec();
    if residuals.iter().all(|z| z.is_finite()) {
        return residuals;
    }
    let own: Vec<f32> = (world.drawn_from..world.days.len())
        .filter_map(|day| own_part(world, issue, day))
        .collect();
    let rho = about.correlation as f32;
    let rest = (1.0 - rho * rho).max(0.0).sqrt();
    for (day, z) in residuals.iter_mut().enumerate().filter(|(_, z)| !z.is_finite()) {
        let market = world.factors[about.factor].residuals[day];
        let hash = mixed(about.symbol.word(), world.days[day].epoch_days());
        let part = if own.len() >= OWN_DAYS {
            own[place(hash, own.len())]
        } else {
            donor(world, day, hash).unwrap_or(0.0)
        };
        *z = if market.is_finite() { rho * market + rest * part } else { part };
    }
    residuals
}

/// What was another issue's own that day.
fn donor(world: &World, day: usize, hash: u64) -> Option<f32> {
    let start = place(hash, world.issues.len());
    let order = (start..world.issues.len()).chain(0..start);
    order.take(64).find_map(|issue| own_part(world, issue, day))
}
