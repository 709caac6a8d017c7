//! Paths, session by session.
//!
//! A session of a path is one pass over the columns: R = cut(√h z), v ← v (1 + m R + a), h ← (1 − φ)
//! h̄ + h f, with the row's residual z and factor f. Nothing of it depends on another column, so it
//! is done in vectors ([`vectors`](super::vectors)); single precision is enough, since a value has
//! seven digits and the sampling error of a quantile shows in the third.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::plan::{Exit, Exposure, Instrument, Plan, SimulateError};
use super::shocks::{Law, Schedule, Session, drivers};
use super::table::{Cell, LANES, Table};
use super::vectors::{Fixed, Lane, MOST_VARIANCE, Vectors, Work, widest};
use super::world::World;

/// Where a path ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathEnd {
    /// Value of the portfolio, its start being 1.
    pub value: f32,
    /// Largest fall from a high, fraction of the high.
    pub drawdown: f32,
}

/// What paths are computed of: for others who compute the same.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelArrays {
    /// Residuals about their mean, by drawn day and column.
    pub residuals: Vec<f32>,
    /// What variances are multiplied by, by drawn day and column.
    pub factors: Vec<f32>,
    /// What is added to them, by column.
    pub pull: Vec<f32>,
    /// Variances at the start, by column.
    pub variance: Vec<f32>,
    /// Values at the start, by column.
    pub value: Vec<f32>,
}

/// Where a path stands.
#[derive(Debug, Clone)]
pub struct State {
    lanes: Vec<Lane>,
    /// By exit: the level's high, and the proceeds once it was sold.
    exits: Vec<(f32, Option<f32>)>,
    /// Residuals of a conditional session.
    scratch: Vec<f32>,
}

/// What all paths of a plan share.
#[derive(Debug, Clone)]
pub struct Kernel {
    table: Table,
    schedule: Vec<Session>,
    fixed: Vec<Fixed>,
    start: Vec<Lane>,
    exits: Vec<(usize, Exit)>,
    /// Whether every column is held as it is: no multiple, nothing added.
    plain: bool,
    cost: f32,
    seed: u64,
    exposures: usize,
}

impl Kernel {
    /// Of a plan that was checked.
    ///
    /// # Errors
    /// When its shocks cannot be.
    pub fn new(world: &World, exposures: &[Exposure], plan: &Plan) -> Result<Self, SimulateError> {
        let mut table = Table::new(world, exposures, &drivers(world, plan)?);
        let schedule = Schedule::new(world, exposures, plan, &mut table)?;
        let total: f64 = exposures.iter().map(|exposure| exposure.value).sum();
        let pull = 1.0 - world.dynamics.persistence as f32;
        let mut fixed = vec![Fixed::default(); table.groups];
        let mut start = vec![Lane::default(); table.groups];
        let mut plain = true;
        for (at, column) in table.columns.iter().enumerate() {
            let (group, lane) = (at / LANES, at % LANES);
            let (multiple, carry) = match column.instrument {
                Instrument::Issue(_) => (1.0, 0.0),
                Instrument::Tracker { multiple, daily_fee, .. } => (multiple, -daily_fee),
                Instrument::Steady { daily_return } => (1.0, daily_return),
            };
            let held = at < exposures.len();
            plain &= !held || (multiple == 1.0 && carry == 0.0);
            fixed[group].pull[lane] = pull * column.long_run * schedule.variance_factor;
            fixed[group].multiple[lane] = multiple as f32;
            fixed[group].carry[lane] = carry as f32;
            let variance = column.variance * schedule.variance_factor;
            start[group].variance[lane] = variance.min(MOST_VARIANCE);
            let value = exposures.get(at).map_or(0.0, |exposure| exposure.value / total);
            start[group].value[lane] = value as f32;
        }
        let exits = exposures.iter().enumerate();
        Ok(Self {
            table,
            schedule: schedule.sessions,
            fixed,
            start,
            exits: exits.filter_map(|(at, one)| Some((at, one.exit?))).collect(),
            plain,
            cost: (plan.initial_cost / total) as f32,
            seed: plan.seed,
            exposures: exposures.len(),
        })
    }

    /// Days that are drawn from.
    #[must_use]
    pub const fn drawn(&self) -> usize {
        self.table.drawn
    }

    /// A state to compute paths in.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            lanes: self.start.clone(),
            exits: vec![(0.0, None); self.exits.len()],
            scratch: vec![0.0; self.table.groups * LANES],
        }
    }

    /// The generator, before the first draw of a path.
    fn draws(&self, path: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_word_pos(path as u128 * self.schedule.len() as u128);
        rng
    }

    /// The ends of `count` paths from number `first` on.
    #[must_use]
    pub fn block(&self, first: usize, count: usize) -> Vec<PathEnd> {
        let mut ends = Vec::with_capacity(count);
        let (rng, state) = (&mut self.draws(first), &mut self.state());
        widest(Paths { kernel: self, rng, state, count, ends: &mut ends });
        ends
    }

    /// Values of the exposures at the end of one path, the portfolio's start being 1.
    pub fn replay(&self, path: usize, state: &mut State, values: &mut [f32]) {
        let (rng, ends) = (&mut self.draws(path), &mut Vec::with_capacity(1));
        widest(Paths { kernel: self, rng, state: &mut *state, count: 1, ends });
        for (at, value) in values.iter_mut().enumerate().take(self.exposures) {
            *value = state.lanes[at / LANES].value[at % LANES];
        }
        for ((at, _), (_, sold)) in self.exits.iter().zip(&state.exits) {
            values[*at] += sold.unwrap_or(0.0);
        }
    }

    /// What the paths are computed of, column by column without the empty places.
    #[must_use]
    pub fn arrays(&self) -> KernelArrays {
        let columns = 0..self.table.columns.len();
        let of = |take: fn(&Fixed, &Lane, usize) -> f32| {
            let one =
                |at: usize| take(&self.fixed[at / LANES], &self.start[at / LANES], at % LANES);
            columns.clone().map(one).collect()
        };
        let rows = (0..self.table.drawn).map(|row| self.table.row(row));
        let cells = |take: fn(&Cell, usize) -> f32| {
            let of_row = |row: &[Cell]| -> Vec<f32> {
                columns.clone().map(|at| take(&row[at / LANES], at % LANES)).collect()
            };
            rows.clone().flat_map(of_row).collect()
        };
        KernelArrays {
            residuals: cells(|cell, lane| cell.residual[lane]),
            factors: cells(|cell, lane| cell.factor[lane]),
            pull: of(|fixed, _, lane| fixed.pull[lane]),
            variance: of(|_, start, lane| start.variance[lane]),
            value: of(|_, start, lane| start.value[lane]),
        }
    }

    /// Values of the exposures at the start, the portfolio's being 1.
    pub fn starts(&self) -> impl Iterator<Item = f32> + '_ {
        (0..self.exposures).map(|at| self.start[at / LANES].value[at % LANES])
    }

    /// The share of the start that is paid at once.
    #[must_use]
    pub const fn cost(&self) -> f32 {
        self.cost
    }

    #[inline(always)]
    fn path<V: Vectors>(&self, vectors: V, rng: &mut ChaCha8Rng, state: &mut State) -> PathEnd {
        state.lanes.copy_from_slice(&self.start);
        for (exit, (at, _)) in state.exits.iter_mut().zip(&self.exits) {
            *exit = (self.start[at / LANES].value[at % LANES], None);
        }
        let (mut high, mut drawdown, mut total) = (1.0_f32, 0.0_f32, 1.0 - self.cost);
        for session in &self.schedule {
            // Every session takes its draw, so that plans with and without a shock see the same days.
            let draw = rng.next_u32();
            let held = match &session.law {
                Law::Free if session.sets.is_empty() => {
                    self.step(vectors, chosen(draw, self.table.drawn), state)
                }
                Law::Row(row) if session.sets.is_empty() => self.step(vectors, *row, state),
                _ => self.conditional(vectors, session, draw, state),
            };
            total = held - self.cost;
            if !self.exits.is_empty() {
                total += self.sell(state);
            }
            high = if total > high { total } else { high };
            let fall = 1.0 - total / high;
            drawdown = if fall > drawdown { fall } else { drawdown };
        }
        PathEnd { value: total, drawdown }
    }

    /// One session with the row's residuals; gives the sum of values.
    #[inline(always)]
    fn step<V: Vectors>(&self, vectors: V, row: usize, state: &mut State) -> f32 {
        let row = self.table.row(row);
        if self.plain {
            vectors.advance::<true>(row, &self.fixed, &mut state.lanes)
        } else {
            vectors.advance::<false>(row, &self.fixed, &mut state.lanes)
        }
    }

    /// One conditional session; gives the sum of values.
    #[inline(always)]
    fn conditional<V: Vectors>(
        &self,
        vectors: V,
        session: &Session,
        draw: u32,
        state: &mut State,
    ) -> f32 {
        let columns = self.table.columns.len();
        let deviation =
            |state: &State, at: usize| state.lanes[at / LANES].variance[at % LANES].sqrt();
        let unit = |state: &State, at: usize, by: f32| by / deviation(state, at).max(1e-6);
        let mut scratch = std::mem::take(&mut state.scratch);
        match &session.law {
            Law::Near { rows, driver, by, slopes } => {
                let row = rows[chosen(draw, rows.len())] as usize;
                let gap = unit(state, *driver, *by) - self.table.residual(row, *driver);
                for (at, z) in scratch.iter_mut().enumerate().take(columns) {
                    *z = self.table.residual(row, at) + slopes[at] * gap;
                }
            }
            Law::Returns(returns) => {
                for (at, z) in scratch.iter_mut().enumerate().take(columns) {
                    *z = unit(state, at, returns[at]);
                }
            }
            Law::Free | Law::Row(_) => {
                let row = if let Law::Row(row) = session.law {
                    row
                } else {
                    chosen(draw, self.table.drawn)
                };
                for (at, z) in scratch.iter_mut().enumerate().take(columns) {
                    *z = self.table.residual(row, at);
                }
            }
        }
        for (at, by) in &session.sets {
            scratch[*at] = unit(state, *at, *by);
        }
        let row: Vec<Cell> = (0..self.table.groups)
            .map(|group| {
                let mut cell = Cell::default();
                for lane in 0..LANES.min(columns - group * LANES) {
                    let at = group * LANES + lane;
                    cell.residual[lane] = scratch[at];
                    cell.factor[lane] = self.table.factor(at, scratch[at]);
                }
                cell
            })
            .collect();
        state.scratch = scratch;
        vectors.advance::<false>(&row, &self.fixed, &mut state.lanes)
    }

    /// Sells what has crossed its level; gives all proceeds so far, less what is no longer held.
    fn sell(&self, state: &mut State) -> f32 {
        let mut proceeds = 0.0;
        for ((at, exit), (high, sold)) in self.exits.iter().zip(&mut state.exits) {
            let value = &mut state.lanes[at / LANES].value[at % LANES];
            if let Some(sold) = sold {
                proceeds += *sold;
                continue;
            }
            if exit.trailing && *value > *high {
                *high = *value;
            }
            if *value > 0.0 && *value <= *high * (1.0 - exit.distance as f32) {
                let got = *value * (1.0 - exit.cost as f32);
                proceeds += got - *value;
                *sold = Some(got);
                *value = 0.0;
            }
        }
        proceeds
    }
}

/// The next `count` paths of a generator.
struct Paths<'a> {
    kernel: &'a Kernel,
    rng: &'a mut ChaCha8Rng,
    state: &'a mut State,
    count: usize,
    ends: &'a mut Vec<PathEnd>,
}

impl Work for Paths<'_> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        for _ in 0..self.count {
            self.ends.push(self.kernel.path(vectors, self.rng, self.state));
        }
    }
}

/// A place among `count` by a draw: Lemire's multiplication; its bias is below count / 2³².
fn chosen(draw: u32, count: usize) -> usize {
    ((u64::from(draw) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;
    use super::super::vectors::Portable;
    use super::super::{Dynamics, Shock};
    use super::*;

    #[test]
    fn the_width_of_vectors_changes_no_bit() {
        let world = world(13, 300, 0.4, Dynamics::default());
        let held: Vec<Exposure> =
            (0..13).map(|at| Exposure::issue(at, 1_000.0 + at as f64)).collect();
        let shocks = vec![Shock::Volatility { factor: 1.5 }];
        for shocks in [Vec::new(), shocks] {
            let plan = Plan { paths: 200, horizon: 15, shocks, ..Plan::default() };
            let kernel = Kernel::new(&world, &held, &plan).unwrap();
            let (mut rng, mut state) = (kernel.draws(0), kernel.state());
            let plain: Vec<PathEnd> =
                (0..200).map(|_| kernel.path(Portable, &mut rng, &mut state)).collect();
            let bits = |ends: &[PathEnd]| -> Vec<(u32, u32)> {
                ends.iter().map(|end| (end.value.to_bits(), end.drawdown.to_bits())).collect()
            };
            assert_eq!(bits(&kernel.block(0, 200)), bits(&plain));
        }
    }
}
