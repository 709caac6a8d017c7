//! What is simulated, and how.

use serde::{Deserialize, Serialize};

use super::shocks::Shock;
use super::world::World;
use crate::market::{SessionDay, Symbol, Won};

/// Fewest and most paths.
pub const PATHS: std::ops::RangeInclusive<usize> = 100..=1_000_000;
/// Shortest and longest horizon, sessions: a year.
pub const HORIZON: std::ops::RangeInclusive<u32> = 1..=250;
/// Most exposures of a portfolio.
pub const MOST_EXPOSURES: usize = 1_000;

/// What an exposure moves with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Instrument {
    /// An issue, by its place in the world.
    Issue(usize),
    /// A fund that moves by a multiple of a market's daily return, less its fee: −1 is an inverse
    /// fund.
    Tracker {
        /// Place of the factor in the world.
        factor: usize,
        /// Multiple of the day's return.
        multiple: f64,
        /// Fee a day, fraction.
        daily_fee: f64,
    },
    /// Something that does not move with the market: cash, a money-market fund.
    Steady {
        /// Return a day, fraction.
        daily_return: f64,
    },
}

/// Selling out of an exposure at the first close at or below a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exit {
    /// Distance of the level below the value at the start, or below the highest close since when
    /// `trailing`; fraction, above 0 and below 1.
    pub distance: f64,
    /// Whether the level follows the highest close.
    pub trailing: bool,
    /// Cost of the sale, fraction of the value sold.
    pub cost: f64,
}

/// Something held over the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposure {
    /// What it moves with.
    pub instrument: Instrument,
    /// Value at the start, won; 0 or more.
    pub value: f64,
    /// Rule by which it is sold.
    pub exit: Option<Exit>,
}

impl Exposure {
    /// An issue held to the horizon.
    #[must_use]
    pub const fn issue(place: usize, value: f64) -> Self {
        Self { instrument: Instrument::Issue(place), value, exit: None }
    }

    /// Cash.
    #[must_use]
    pub const fn cash(value: f64) -> Self {
        Self { instrument: Instrument::Steady { daily_return: 0.0 }, value, exit: None }
    }
}

/// A loss that is to be told the probability of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Loss at the horizon beyond this fraction of the portfolio's value.
    AtHorizon(f64),
    /// Largest fall from a high on the way beyond this fraction.
    Drawdown(f64),
}

/// How to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of paths.
    pub paths: usize,
    /// Sessions.
    pub horizon: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// What is supposed to happen.
    pub shocks: Vec<Shock>,
    /// What is paid at the start, won: it is lost in every path.
    pub initial_cost: f64,
    /// Loss whose probability is told.
    pub budget: Option<Loss>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            paths: 10_000,
            horizon: 20,
            seed: 1,
            shocks: Vec::new(),
            initial_cost: 0.0,
            budget: None,
        }
    }
}

/// Who waits for it.
pub struct Control<'a> {
    /// Whether nobody does any more.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Told how many of how many paths are done, from any thread.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Control<'static> {
    /// Neither cancelled nor watched.
    #[must_use]
    pub const fn none() -> Self {
        Self { cancelled: &|| false, progress: &|_, _| () }
    }
}

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimulateError {
    /// It was cancelled.
    #[error("the simulation was cancelled")]
    Cancelled,
    /// A number of the plan is out of its range.
    #[error("{what} is {value}, expected {expected}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// There is nothing to simulate.
    #[error("the portfolio is worth nothing: give it a holding or capital")]
    Empty,
    /// A shock is about an issue that the world does not have.
    #[error("the shock of {symbol} cannot be simulated: no forecast of that issue on {as_of}")]
    UnknownIssue {
        /// Code.
        symbol: Symbol,
        /// Day of the world.
        as_of: SessionDay,
    },
    /// A shock is about a window without sessions.
    #[error(
        "the window {from} to {to} cannot be repeated: days that can be drawn are {first} to {last}"
    )]
    NoWindow {
        /// First day wanted.
        from: SessionDay,
        /// Last day wanted.
        to: SessionDay,
        /// First day there is.
        first: SessionDay,
        /// Last day there is.
        last: SessionDay,
    },
    /// A shock does not fit into the horizon, or two want the same session.
    #[error("{0}")]
    Sessions(String),
}

fn range(what: &'static str, value: impl ToString, expected: impl Into<String>) -> SimulateError {
    SimulateError::Range { what, value: value.to_string(), expected: expected.into() }
}

impl Plan {
    /// Whether it can be simulated with these exposures.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self, world: &World, exposures: &[Exposure]) -> Result<(), SimulateError> {
        let between = |low: &dyn ToString, high: &dyn ToString| {
            format!("{} to {}", low.to_string(), high.to_string())
        };
        if !PATHS.contains(&self.paths) {
            return Err(range("paths", self.paths, between(PATHS.start(), PATHS.end())));
        }
        if !HORIZON.contains(&self.horizon) {
            return Err(range("horizon", self.horizon, between(HORIZON.start(), HORIZON.end())));
        }
        if exposures.len() > MOST_EXPOSURES {
            let most = format!("at most {MOST_EXPOSURES}");
            return Err(range("number of exposures", exposures.len(), most));
        }
        for exposure in exposures {
            exposure.check(world)?;
        }
        let total: f64 = exposures.iter().map(|exposure| exposure.value).sum();
        if !(total > 0.0 && total < Won::MAX as f64) {
            return Err(SimulateError::Empty);
        }
        if !(self.initial_cost >= 0.0 && self.initial_cost <= total) {
            return Err(range("initial cost", self.initial_cost, between(&0, &total)));
        }
        Ok(())
    }
}

impl Exposure {
    fn check(&self, world: &World) -> Result<(), SimulateError> {
        if !(self.value >= 0.0 && self.value.is_finite()) {
            return Err(range("value of an exposure", self.value, "0 or more won"));
        }
        match self.instrument {
            Instrument::Issue(place) if place >= world.issues.len() => {
                let most = format!("below {}", world.issues.len());
                return Err(range("place of an issue", place, most));
            }
            Instrument::Tracker { factor, .. } if factor >= world.factors.len() => {
                let most = format!("below {}", world.factors.len());
                return Err(range("place of a factor", factor, most));
            }
            Instrument::Tracker { multiple, .. } if !(-3.0..=3.0).contains(&multiple) => {
                return Err(range("multiple of a fund", multiple, "-3 to 3"));
            }
            Instrument::Tracker { daily_fee, .. } if !(0.0..0.01).contains(&daily_fee) => {
                return Err(range("daily fee of a fund", daily_fee, "0 to 0.01"));
            }
            Instrument::Steady { daily_return } if !(-0.01..=0.01).contains(&daily_return) => {
                return Err(range(
                    "daily return of a steady holding",
                    daily_return,
                    "-0.01 to 0.01",
                ));
            }
            _ => {}
        }
        if let Some(exit) = self.exit {
            if !(exit.distance > 0.0 && exit.distance < 1.0) {
                return Err(range("distance of an exit", exit.distance, "above 0, below 1"));
            }
            if !(0.0..1.0).contains(&exit.cost) {
                return Err(range("cost of an exit", exit.cost, "0 to below 1"));
            }
        }
        Ok(())
    }
}
