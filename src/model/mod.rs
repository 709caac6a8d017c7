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
//! - [`panel`]: bars in columns
//! - [`features`]: the terms
//! - [`tails`]: quantiles of residuals
//! - [`document`]: the fitted model as it is stored; [`train`](mod@train): from a panel to it
//! - [`version`]: a document with its name, as scoring uses it
//! - [`losses`]: how good a forecast was

pub mod document;
pub mod features;
pub mod losses;
pub mod panel;
pub mod tails;
pub mod train;
pub mod version;

pub use document::{Document, DocumentError, Forecast};
pub use features::{MarketTerms, OwnTerms, Variant};
pub use panel::{DataInfo, Panel};
pub use train::{Method, Progress, TrainError, TrainOptions, Trained, Validation, train, validate};
pub use version::FittedModel;
