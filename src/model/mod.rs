//! The daily model: tomorrow's variance and tail of each issue from the days before.
//!
//! Input is a [`Panel`] of daily bars and index series; output a [`Document`], the fitted model
//! that a running daemon loads, and forecasts from it. The variance is a pooled log-linear
//! heterogeneous autoregression (Corsi 2009) with leverage, liquidity, market-wide and US terms;
//! the tail comes from the standardised residuals (filtered historical simulation, Barone-Adesi,
//! Giannopoulos & Vosper 1999). Everything is walk-forward: what a session is forecast with was
//! known before it.
//!
//! Pure arithmetic, deterministic on any number of threads. Bars are read by `store::panel`.
//!
//! - [`panel`]: bars in columns; [`clean`]: which of them count, and their return and variance
//! - [`features`]: the terms; [`design`]: the rows that are fitted and forecast
//! - [`gram`], [`fit`] and [`glm`]: least squares and gamma likelihood; [`walk`]: month by month
//! - [`shape`] and [`slopes`]: what moves their tail, and how it changed; [`tails`]: quantiles of residuals;
//!   [`tracking`]: what an issue's exceedances teach about them; [`forecasts`]: those of a session
//! - [`document`]: the fitted model as it is stored; [`train`](mod@train): from a panel to it
//! - [`version`]: a document with its name, as scoring uses it
//! - [`choice`]: whether a new model may take the place of another
//! - [`ranker`]: which issues may do better than others
//! - [`losses`] and [`validation`]: how good forecasts were; [`series`]: Newey–West errors,
//!   Diebold–Mariano; [`moments`]: mean and deviation

pub mod choice;
pub mod clean;
pub mod design;
pub mod document;
pub mod features;
pub mod fit;
pub mod forecasts;
pub mod glm;
pub mod gram;
pub mod live;
pub mod losses;
pub mod moments;
pub mod panel;
pub mod ranker;
pub mod series;
pub mod shape;
pub mod slopes;
pub mod tails;
#[cfg(test)]
pub(crate) mod tests;
pub mod tracking;
pub mod train;
pub mod validation;
pub mod version;
pub mod walk;

pub use choice::{Losses, Worse, worse};
pub use document::{Document, DocumentError, Forecast};
pub use features::{MarketTerms, Origin, OwnTerms, Variant, own_terms};
pub use moments::Moments;
pub use panel::{DataInfo, Panel};
pub use train::{Method, Progress, TrainError, TrainOptions, Trained, train};
pub use validation::{Validation, validate};
pub use version::FittedModel;
