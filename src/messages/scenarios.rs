//! Asking for the answer to a scenario, for those who do not know who computes it.
//!
//! The HTTP interface and the task worker ask; whoever holds the data answers. The answer is the same
//! whoever asks.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::advice::scenario::{FieldProblem, Scenario, ScenarioAnswer};

/// Why a scenario has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScenarioRefusal {
    /// Fields at fault: the asker's to mend.
    #[error("{}", .0.iter().map(FieldProblem::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldProblem>),
    /// As many as are allowed are being computed.
    #[error(
        "{at_once} scenarios are being computed, which is the most at once: ask again in some seconds"
    )]
    Busy {
        /// The most at once.
        at_once: usize,
    },
    /// It took too long.
    #[error(
        "not done within {seconds} s (advice.scenario_seconds): ask for fewer paths, or sessions"
    )]
    TooLong {
        /// The limit.
        seconds: u64,
    },
    /// There is nothing to compute it from.
    #[error("{0}")]
    NoData(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// Answers a scenario that was checked; dropping the future cancels it.
pub type AskScenario = Arc<
    dyn Fn(Scenario) -> BoxFuture<'static, Result<Arc<ScenarioAnswer>, ScenarioRefusal>>
        + Send
        + Sync,
>;
