//! How good forecasts and picks were.
//!
//! Pure: forecasts and what came of them go in, figures come out. Losses of single rows are in
//! [`model::losses`](crate::model::losses), errors of dependent means in
//! [`model::series`](crate::model::series), the judgement of picks in
//! [`model::ranker::picks`](crate::model::ranker::picks); here are the means, the tests of coverage and
//! the comparison of two methods. Returns are in per cent.
//!
//! - [`scored`]: the rows that count, with a stand-in where a forecast is missing
//! - [`coverage`]: Kupiec, Christoffersen, and the test clustered by session
//! - [`forecasts`]: all figures of a window
//! - [`hedge`]: what defences would have been worth in real falls and calm weeks
//! - [`report`]: the JSON object and the table of `bongsu evaluate`
//! - [`run`](mod@run): all of it over a panel
//! - [`scenarios`]: whether portfolios lost what the simulation said
//! - [`leak`]: whether a forecast knew what came after it

pub mod coverage;
pub mod forecasts;
pub mod hedge;
pub mod leak;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod scored;

pub use forecasts::{ForecastMetrics, evaluate_forecasts};
pub use report::Evaluation;
pub use run::{Run, RunOptions, run};
pub use scored::ScoredRow;

#[cfg(test)]
mod tests;
