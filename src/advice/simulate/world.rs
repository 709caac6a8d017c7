//! What is known at a day: the issues, the markets, and their past in standardised form.

use serde::{Deserialize, Serialize};

use super::dynamics::Dynamics;
use super::factor::MarketFactor;
use crate::market::{Market, ModelId, SessionDay, Symbol};

/// Where the numbers of a world come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldSource {
    /// Version of the model; `None` for one that was never registered.
    pub model: Option<ModelId>,
    /// SHA-256 of the model's document, hexadecimal; empty for one that was never stored.
    pub model_sha256: String,
    /// Last session the model was fitted to. Later than the world's day means that the variances
    /// were forecast with coefficients that saw what came.
    pub model_trained_until: SessionDay,
    /// SHA-256 over the rows that were read, hexadecimal.
    pub data_sha256: String,
    /// First session of the rows.
    pub data_from: SessionDay,
    /// Last session of the rows that was used.
    pub data_to: SessionDay,
}

/// What is known of an issue besides its prices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Known {
    /// Korean name; empty when it is not known.
    pub name: String,
    /// Board.
    pub market: Market,
    /// Sector; `None` when it is not known.
    pub sector: Option<String>,
}

/// An issue of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldIssue {
    /// Code.
    pub symbol: Symbol,
    /// Name, board, sector.
    pub known: Known,
    /// Last close, won.
    pub price: f64,
    /// Session of its last bar.
    pub last_day: SessionDay,
    /// No trading on the world's last session.
    pub halted: bool,
    /// Forecast variance of the next session's return, fraction²; above 0.
    pub variance: f64,
    /// Mean of its forecast variances of the last three years.
    pub long_run: f64,
    /// Mean value traded a day over the last 20 days with a bar, won.
    pub average_value: Option<f64>,
    /// Relative spread, per cent; 0 when it is not known (daily bars do not tell).
    pub spread_pct: f64,
    /// Slope of its returns on those of its market, at today's volatilities.
    pub beta: f64,
    /// The same on the market's worst tenth of days.
    pub tail_beta: f64,
    /// Correlation with its market.
    pub correlation: f64,
    /// Which of the world's factors its market is.
    pub factor: usize,
    /// How many days have a residual.
    pub residuals: usize,
}

/// What is known at the close of a session. Made by [`World::build`](super::build).
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The session.
    pub as_of: SessionDay,
    /// Where it comes from.
    pub source: WorldSource,
    /// Sessions that are known, ascending.
    pub days: Vec<SessionDay>,
    /// The first of `days` that is drawn; those before can only be repeated by name.
    pub drawn_from: usize,
    /// Issues with a forecast, ascending by code.
    pub issues: Vec<WorldIssue>,
    /// Codes that have bars but too few days for a forecast, ascending.
    pub unforecast: Vec<Symbol>,
    /// The markets; the first is the main one.
    pub factors: Vec<MarketFactor>,
    /// How variances follow.
    pub dynamics: Dynamics,
    /// Residuals by issue and day; NaN where a day is missing.
    pub(super) residuals: Vec<f32>,
    /// Simple returns by issue and day; NaN where a day is missing.
    pub(super) returns: Vec<f32>,
}

impl World {
    /// Place of the issue with this code.
    #[must_use]
    pub fn find(&self, symbol: Symbol) -> Option<usize> {
        self.issues.binary_search_by_key(&symbol, |issue| issue.symbol).ok()
    }

    /// Place of the factor that stands for `market`; the main one for a market without its own.
    #[must_use]
    pub fn factor_of(&self, market: Market) -> usize {
        self.factors.iter().position(|factor| factor.market == market).unwrap_or(0)
    }

    /// Residuals of an issue, one a day; NaN where a day is missing. The simple return of the day
    /// over the root of the variance that was forecast for it, negative ones brought from the
    /// downside scale of then to that of now.
    #[must_use]
    pub fn residuals_of(&self, issue: usize) -> &[f32] {
        &self.residuals[issue * self.days.len()..(issue + 1) * self.days.len()]
    }

    /// Simple returns of an issue, one a day; NaN where a day is missing.
    #[must_use]
    pub fn returns_of(&self, issue: usize) -> &[f32] {
        &self.returns[issue * self.days.len()..(issue + 1) * self.days.len()]
    }

    /// A world of given parts: for tests and measurements. `residuals` and `returns` are by issue
    /// and day.
    ///
    /// # Errors
    /// Says which part does not fit.
    #[allow(clippy::too_many_arguments, reason = "the parts of a world, each its own")]
    pub fn of_parts(
        as_of: SessionDay,
        source: WorldSource,
        days: Vec<SessionDay>,
        issues: Vec<WorldIssue>,
        factors: Vec<MarketFactor>,
        dynamics: Dynamics,
        residuals: Vec<f32>,
        returns: Vec<f32>,
    ) -> Result<Self, String> {
        let cells = days.len() * issues.len();
        if residuals.len() != cells || returns.len() != cells {
            return Err(format!(
                "{} residuals and {} returns for {cells} issue days",
                residuals.len(),
                returns.len()
            ));
        }
        if days.is_empty() || factors.is_empty() {
            return Err("a world needs a day and a factor".to_owned());
        }
        if !issues.windows(2).all(|pair| pair[0].symbol < pair[1].symbol) {
            return Err("issues must ascend by code".to_owned());
        }
        let lengths = |factor: &MarketFactor| {
            factor.residuals.len() == days.len() && factor.returns.len() == days.len()
        };
        if !factors.iter().all(lengths) {
            return Err("a factor needs a residual and a return a day".to_owned());
        }
        Ok(Self {
            as_of,
            source,
            days,
            drawn_from: 0,
            issues,
            unforecast: Vec::new(),
            factors,
            dynamics,
            residuals,
            returns,
        })
    }
}
