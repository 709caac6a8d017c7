//! What came of the defences that were tried, or why nothing did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::advice::simulate::SimulateError;
use crate::advice::simulate::build::WorldError;
use crate::market::{SessionDay, Won};
use crate::model::TrainError;

/// An option of a plan, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedOption {
    /// Catalogue name.
    pub action: String,
    /// Rank in the plan.
    pub rank: u32,
    /// Gain (above 0) or loss over the window after all costs, won; `None` when it could not be done.
    pub result: Option<Won>,
    /// What doing nothing lost more, won: below 0 the option cost that much.
    pub saved: Option<Won>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HedgeWindow {
    /// Close at which the plan was made.
    pub from: SessionDay,
    /// Close at which it is judged.
    pub to: SessionDay,
    /// Sessions between.
    pub sessions: usize,
    /// Whether it is a calm one.
    pub calm: bool,
    /// Value held, won.
    pub value: Won,
    /// Return of the index, per cent.
    pub index_pct: f64,
    /// Value at risk (95 %) over the window as forecast, won.
    pub risk_before: Won,
    /// The same under the first-ranked option.
    pub risk_after: Won,
    /// Result of doing nothing, won.
    pub waiting: Won,
    /// The option ranked first.
    pub first: TriedOption,
    /// Cost of the first as the plan stated it, won.
    pub cost: Won,
    /// All options, in the order of the plan.
    pub options: Vec<TriedOption>,
}

/// Means over windows of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HedgeMeans {
    /// Windows.
    pub windows: usize,
    /// Mean of what the first-ranked plan saved, per cent of the value held.
    pub saved_pct: f64,
    /// Mean result of doing nothing, likewise.
    pub waiting_pct: f64,
    /// Mean saving of each action where it could be done, likewise.
    pub by_action: BTreeMap<String, f64>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HedgeReport {
    /// Windows that ended with a fall, then the calm ones, each by day.
    pub windows: Vec<HedgeWindow>,
    /// Means over the falls.
    pub falls: HedgeMeans,
    /// Means over the calm windows.
    pub calm: HedgeMeans,
}

/// Why nothing came out.
#[derive(Debug, thiserror::Error)]
pub enum HedgeError {
    /// A series is missing.
    #[error("the index series have no KOSPI: hedges and calm windows need it")]
    NoIndex,
    /// A window is not in the data.
    #[error(
        "{day} is no session of the data with {sessions} sessions before it: they cover {first} to {last}"
    )]
    Window {
        /// Day wanted.
        day: SessionDay,
        /// Sessions wanted before it.
        sessions: usize,
        /// First session.
        first: SessionDay,
        /// Last session.
        last: SessionDay,
    },
    /// Too few issues can be held.
    #[error("on {day} only {found} issues with a forecast were traded, {wanted} are to be held")]
    TooFew {
        /// Day.
        day: SessionDay,
        /// Issues found.
        found: usize,
        /// Issues wanted.
        wanted: usize,
    },
    /// No model.
    #[error("no model can be fitted before {year}: {why}")]
    Train {
        /// Year.
        year: u32,
        /// Why.
        why: TrainError,
    },
    /// No world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// No simulation.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}
