//! How good forecasts and picks were.
//!
//! Pure: forecasts and what came of them go in, figures come out. Losses of single rows are in
//! [`model::losses`](crate::model::losses); here are their means, the tests of coverage, the
//! comparison of two methods and the judgement of picks. Returns are in per cent.
//!
//! - [`scored`]: the rows that count, with a stand-in where a forecast is missing
//! - [`coverage`]: Kupiec, Christoffersen, and the test clustered by session
//! - [`series`]: Newey–West errors, Diebold–Mariano
//! - [`forecasts`]: all figures of a window; [`picks`]: hit rate, excess return, rank correlation
//! - [`report`]: the JSON object and the table of `bongsu evaluate`
//! - [`run`](mod@run): all of it over a panel
//! - [`leak`]: whether a forecast knew what came after it

pub mod coverage;
pub mod forecasts;
pub mod leak;
pub mod picks;
pub mod report;
pub mod run;
pub mod scored;
pub mod series;

pub use forecasts::{ForecastMetrics, evaluate_forecasts};
pub use report::Evaluation;
pub use run::{Run, RunOptions, run};
pub use scored::ScoredRow;

#[cfg(test)]
mod tests;
