//! Advice: which issues to hold, and what to do when one of them is threatened.
//!
//! Pure arithmetic over what is handed in: candidates or a threat, limits, event time. Equal input
//! gives equal output, ids included. Nothing here promises a return: what the model's ranking was
//! worth in the past decides whether it is used at all, and every set of picks says so.
//!
//! - [`recommend`](recommend::recommend): candidates and a scenario's limits to ranked picks, with
//!   [`expected`] returns, [`weights`] and [`statistics`] below it
//! - [`mitigate`](mitigate::plan): what is held under a threat to ranked defences, each simulated, with
//!   [`catalogue`], [`positions`] and [`costs`] below it
//! - [`alarm`](alarm::respond): the same from what a running daemon knows, in a [`live_world`]
//! - [`holdings`]: what the operator holds, for alarms
//! - [`risk_limit`]: a bearable loss and its measure
//! - [`scenario`]: what a user asks, checked, and the answer to it
//! - [`simulate`](simulate::simulate): a world and exposures to the distribution of what could become
//!   of them
//! - [`types`]: what comes out, as it travels and is stored

pub mod alarm;
pub mod catalogue;
pub mod costs;
pub mod expected;
pub mod holdings;
pub mod korean;
pub mod limits;
pub mod live_world;
pub mod mitigate;
pub mod positions;
mod reasons;
pub mod recommend;
pub mod risk_limit;
pub mod scenario;
pub mod simulate;
pub mod statistics;
pub mod types;
pub mod weights;

pub use costs::TradingCosts;
pub use mitigate::PlanSettings;
pub use recommend::{Candidate, RankingModel, ScenarioLimits};
pub use weights::RiskBudget;
