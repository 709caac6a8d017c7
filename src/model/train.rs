//! From a panel to a document.

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentError};
use super::features::Origin;
use super::panel::Panel;
use crate::market::{SessionDay, Symbol};

/// How the tail of the residuals is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Half the issue's own residuals, half the pooled ones.
    #[default]
    Har25,
}

/// What to train on and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Sessions after this day are not looked at; `None`: all.
    pub until: Option<SessionDay>,
    /// How the tail is forecast.
    pub method: Method,
    /// Which issues to fit on; `None`: all.
    pub fit_universe: Option<FxHashSet<Symbol>>,
    /// Months of walk-forward validation at the end of the data.
    pub validation_months: u32,
    /// Version of the program, kept in the document.
    pub code_version: String,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            until: None,
            method: Method::default(),
            fit_universe: None,
            validation_months: 12,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Clean rows and terms are made.
    Features,
    /// Month `done` of `of` is fitted.
    Months {
        /// Months done.
        done: usize,
        /// Months in all.
        of: usize,
    },
    /// Residual tails.
    Tails,
    /// The forecasts of the last months are scored.
    Validation,
}

/// Metrics of forecasts over a window, each month's parameters fitted on the rows before it.
/// Definitions: [`losses`](super::losses); returns in per cent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Origin of the forecasts.
    pub origin: Origin,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
    /// Rows scored.
    pub rows: u64,
    /// Issues scored.
    pub symbols: u64,
    /// Mean quasi-likelihood against squared returns.
    pub qlike_r2: f64,
    /// Mean quasi-likelihood against range variances.
    pub qlike_range: f64,
    /// Mean FZ0 loss at 2.5 %.
    pub fz0_025: f64,
    /// Mean FZ0 loss at 5 %.
    pub fz0_05: f64,
    /// Share of rows below the 1 % quantile.
    pub exceed_99: f64,
    /// Share of rows below the 2.5 % quantile.
    pub exceed_975: f64,
    /// Share of rows below the 5 % quantile.
    pub exceed_95: f64,
    /// Realised over forecast loss in the worst 2.5 %; 1 is right.
    pub es_ratio_975: f64,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// As it is stored, validation included.
    pub document: Document,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Too few rows.
    #[error(
        "{rows} rows of {symbols} issues can be fitted, at least {needed} are needed: an issue counts from its 67th clean day on while the median of its daily value traded is 200 million won or more; give more history or more issues"
    )]
    TooFew {
        /// Rows that can be fitted.
        rows: usize,
        /// Issues in the panel.
        symbols: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The sums of a fit are not finite.
    #[error(
        "the sums of the least-squares fit are not finite (term `{term}`): a price or volume in the data is beyond what can be computed with"
    )]
    NotFinite {
        /// The term.
        term: String,
    },
    /// The solver failed.
    #[error("the least-squares solver failed: {0}")]
    Solver(String),
    /// The data end before the window begins.
    #[error(
        "no session between {from} and {to} can be scored; the data cover {first} to {last}, and a row is scored after 500 clean days of its issue"
    )]
    NoSessions {
        /// First day wanted.
        from: SessionDay,
        /// Last day wanted.
        to: SessionDay,
        /// First session of the data.
        first: SessionDay,
        /// Last session of the data.
        last: SessionDay,
    },
    /// The result does not pass its own check.
    #[error("the fitted model {0}")]
    Document(#[from] DocumentError),
}

/// Fits a model to everything up to `options.until` and validates it walk-forward.
///
/// # Errors
/// When the data are too few or not finite.
pub fn train(
    panel: &Panel,
    options: &TrainOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Trained, TrainError> {
    progress(Progress::Features);
    let needed = options.validation_months as usize;
    Err(TrainError::TooFew { rows: 0, symbols: panel.issues.len(), needed })
}

/// Scores the forecasts of a finished `document` (nothing refitted, own residuals moving on) over
/// the sessions from `from` to `to`.
///
/// # Errors
/// When no row of the window can be scored.
pub fn validate(
    panel: &Panel,
    document: &Document,
    origin: Origin,
    from: SessionDay,
    to: SessionDay,
) -> Result<Validation, TrainError> {
    let _ = (panel, document, origin);
    Err(TrainError::NoSessions { from, to, first: from, last: to })
}
