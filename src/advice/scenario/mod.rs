//! A user's scenario: what is held, what is feared, what is allowed.
//!
//! In: YAML or JSON, the same document. Out: a [`Scenario`] whose every number is within its range,
//! or a [`ScenarioError`] that names each field at fault, its value and what was expected, all at
//! once. What depends on the market (an unknown code, a stock that is halted, holdings worth more
//! than the capital) is told by who knows it: [`resolve`].
//!
//! Every field has a default, so a file states only what it changes. One scenario drives
//! everything: the simulation ([`Scenario::shocks`], [`Scenario::simulation`]), the picks
//! ([`Scenario::limits`]) and the defences. `docs/schemas/scenario.schema.json` is
//! [`schema::schema`] written down.

pub mod advise;
pub mod answer;
pub mod parts;
pub mod resolve;
pub mod rules;
pub mod schema;
#[cfg(test)]
mod tests;

use garde::Validate;
use serde::{Deserialize, Serialize};

pub use answer::{AnswerError, ScenarioAnswer};
pub use parts::{
    Budget, HoldingLine, LossBudget, MOST_LISTED, MarketShock, PickRules, RepeatShock, ShockLine,
    Simulation, StockShock, Universe, VolatilityShock,
};
pub use resolve::{HeldIssue, HoldingProblem, Portfolio};
use rules::{
    CAPITAL, HORIZON, fitting_name, some_within, unique_holdings, weights_need_capital, within,
};

use super::costs::TradingCosts;
use super::limits::ScenarioLimits;
use super::simulate::{Driver, Loss, Shock, World};
use super::weights::RiskBudget;
use crate::market::{Market, Won};

/// Most holdings of a scenario.
pub const MOST_HOLDINGS: usize = 500;
/// Most shocks of a scenario.
pub const MOST_SHOCKS: usize = 20;
/// Longest text that is read, bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// What a user asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Name: letters, digits, `-` and `_`, for a channel and a file.
    #[garde(custom(fitting_name))]
    pub name: String,
    /// Capital, won: what is not in holdings is cash. `None`: the holdings are all there is.
    #[garde(custom(some_within(CAPITAL)))]
    pub capital: Option<Won>,
    /// Sessions looked ahead.
    #[garde(custom(within(HORIZON)))]
    pub horizon_sessions: u32,
    /// What is held.
    #[garde(
        length(max = MOST_HOLDINGS),
        custom(unique_holdings),
        custom(weights_need_capital(self.capital)),
        dive
    )]
    pub holdings: Vec<HoldingLine>,
    /// The loss that is bearable.
    #[garde(dive)]
    pub budget: Option<Budget>,
    /// Which issues may be picked.
    #[garde(dive)]
    pub universe: Universe,
    /// How many, how much, how calm.
    #[garde(dive)]
    pub picks: PickRules,
    /// What is supposed to happen.
    #[garde(length(max = MOST_SHOCKS), dive)]
    pub shocks: Vec<ShockLine>,
    /// Costs of trading; `None` for those of the year.
    #[garde(dive)]
    pub costs: Option<TradingCosts>,
    /// How it is computed.
    #[garde(dive)]
    pub simulation: Simulation,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            capital: None,
            horizon_sessions: 20,
            holdings: Vec::new(),
            budget: None,
            universe: Universe::default(),
            picks: PickRules::default(),
            shocks: Vec::new(),
            costs: None,
            simulation: Simulation::default(),
        }
    }
}

/// A field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Its path, as `holdings[3].weight`; empty: the document as a whole.
    pub field: String,
    /// Its value, and what was expected.
    pub problem: String,
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            write!(f, "the scenario {}", self.problem)
        } else {
            write!(f, "{} {}", self.field, self.problem)
        }
    }
}

/// Why a text is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Too long to be read.
    #[error("is {bytes} bytes long, expected at most {MOST_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not YAML or JSON, an unknown field, or a value of another type.
    #[error("is no scenario: {0}")]
    Shape(String),
    /// Fields at fault.
    #[error("{}", listed(.0))]
    Fields(Vec<FieldProblem>),
}

fn listed(problems: &[FieldProblem]) -> String {
    problems.iter().map(FieldProblem::to_string).collect::<Vec<_>>().join("; ")
}

impl Scenario {
    /// Reads and checks a scenario in YAML or JSON.
    ///
    /// # Errors
    /// [`ScenarioError`], with the line where it has one.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        if text.len() > MOST_BYTES {
            return Err(ScenarioError::TooLong { bytes: text.len() });
        }
        if text
            .lines()
            .all(|line| matches!(line.trim(), "" | "---") || line.trim().starts_with('#'))
        {
            return Err(ScenarioError::Fields(vec![nothing()]));
        }
        let scenario: Self = serde_saphyr::from_str(text)
            .map_err(|error| ScenarioError::Shape(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether every field is within its range and there is something to simulate.
    ///
    /// # Errors
    /// Every field at fault.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let mut problems = Vec::new();
        if let Err(report) = self.validate() {
            problems.extend(report.iter().map(|(path, error)| FieldProblem {
                field: rules::written(&path.to_string(), self),
                problem: rules::plain(&path.to_string(), error.message(), self),
            }));
        }
        if self.capital.is_none() && self.holdings.is_empty() {
            problems.push(nothing());
        }
        problems.extend(self.late_shocks());
        problems.extend(self.contradictions());
        if problems.is_empty() { Ok(()) } else { Err(ScenarioError::Fields(problems)) }
    }

    /// Shocks that begin or end behind the horizon.
    fn late_shocks(&self) -> impl Iterator<Item = FieldProblem> + '_ {
        let horizon = self.horizon_sessions;
        let last = |shock: &ShockLine| match shock {
            ShockLine::Market(one) => one.at_session.saturating_add(one.sessions.saturating_sub(1)),
            ShockLine::Stock(one) => one.at_session,
            ShockLine::Repeat(one) => one.at_session,
            ShockLine::Volatility(_) => 1,
        };
        let late = self.shocks.iter().enumerate().filter(move |(_, shock)| last(shock) > horizon);
        late.map(move |(at, shock)| FieldProblem {
            field: format!("shocks[{at}]"),
            problem: format!(
                "reaches to session {}, expected within horizon_sessions, {horizon}",
                last(shock)
            ),
        })
    }

    /// Two moves of one stock in one session.
    fn contradictions(&self) -> impl Iterator<Item = FieldProblem> + '_ {
        let stock = |at: usize| match self.shocks[at] {
            ShockLine::Stock(one) => Some((one.symbol, one.at_session)),
            _ => None,
        };
        (0..self.shocks.len()).filter_map(move |at| {
            let (symbol, session) = stock(at)?;
            let before = (0..at).find(|other| stock(*other) == stock(at))?;
            Some(FieldProblem {
                field: format!("shocks[{at}].stock"),
                problem: format!(
                    "moves {symbol} in session {session}, expected one move of it there; shocks[{before}] is another"
                ),
            })
        })
    }

    /// The limits it sets on picks.
    #[must_use]
    pub fn limits(&self) -> ScenarioLimits {
        let (universe, picks) = (&self.universe, &self.picks);
        let allowed = |market: &Market| {
            (universe.markets.is_empty() || universe.markets.contains(market))
                && !universe.markets_out.contains(market)
        };
        let all = [Market::Kospi, Market::Kosdaq, Market::Other, Market::Unknown];
        let markets: Vec<Market> = all.into_iter().filter(allowed).collect();
        ScenarioLimits {
            name: self.name.clone(),
            max_picks: picks.max_picks as usize,
            max_weight: picks.max_weight,
            max_market_share: picks.max_market_share,
            max_sector_share: ScenarioLimits::default().max_sector_share,
            risk_budget: self.budget.map(|budget| match budget {
                Budget::ValueAtRisk(one) => RiskBudget::value_at_risk(one.loss_pct, one.level),
                Budget::Drawdown(one) => RiskBudget::drawdown(one.loss_pct, one.level),
            }),
            max_correlation: picks.max_correlation,
            max_score: picks.max_score,
            max_fall_pct: picks.max_fall_pct,
            max_volatility_pct: picks.max_volatility_pct,
            max_spread_pct: picks.max_spread_pct,
            min_history: picks.min_history as usize,
            min_daily_value: universe.min_daily_value,
            min_value: picks.min_value,
            horizon_sessions: self.horizon_sessions,
            capital: self.capital,
            // An empty list stands for all.
            markets: if markets.len() == all.len() { Vec::new() } else { markets },
            excluded: universe.excluded.clone(),
            costs: self.costs,
        }
    }

    /// What the simulation is to tell the probability of.
    #[must_use]
    pub fn loss(&self) -> Option<Loss> {
        self.budget.map(|budget| match budget {
            Budget::ValueAtRisk(one) => Loss::AtHorizon(one.loss_pct / 100.0),
            Budget::Drawdown(one) => Loss::Drawdown(one.loss_pct / 100.0),
        })
    }

    /// Its shocks, in the terms of `world`.
    #[must_use]
    pub fn shocks_in(&self, world: &World) -> Vec<Shock> {
        let of = |line: &ShockLine| match *line {
            ShockLine::Market(one) => Shock::Move {
                driver: Driver::Factor(world.factor_of(one.index)),
                each: (1.0 + one.change_pct / 100.0).powf(1.0 / f64::from(one.sessions)) - 1.0,
                at: one.at_session,
                sessions: one.sessions,
            },
            ShockLine::Stock(one) => Shock::Move {
                driver: Driver::Issue(one.symbol),
                each: one.change_pct / 100.0,
                at: one.at_session,
                sessions: 1,
            },
            ShockLine::Volatility(one) => Shock::Volatility { factor: one.factor },
            ShockLine::Repeat(one) => {
                Shock::Repeat { from: one.from, to: one.to, at: one.at_session, mode: one.mode }
            }
        };
        self.shocks.iter().map(of).collect()
    }
}

fn nothing() -> FieldProblem {
    FieldProblem {
        field: String::new(),
        problem: "is empty: expected capital (won), or holdings with a quantity or value each"
            .to_owned(),
    }
}
