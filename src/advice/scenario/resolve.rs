//! A scenario's holdings in the terms of a world: which issues, worth how much.

use super::{FieldProblem, Scenario};
use crate::advice::costs::whole_won;
use crate::advice::korean::grouped;
use crate::advice::simulate::{Exposure, World};
use crate::market::Symbol;

/// Most that holdings may be worth, won.
const MOST_WORTH: f64 = 1e15;
/// Most cash beside holdings, as a multiple of them.
const MOST_CASH: f64 = 10_000.0;

/// A holding that the world knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldIssue {
    /// Place in the world.
    pub issue: usize,
    /// Code.
    pub symbol: Symbol,
    /// Whole shares; `None` where only a value or weight was given: it is divisible.
    pub quantity: Option<i64>,
    /// Value at the world's prices, won.
    pub value: f64,
}

/// What cannot be held as it was written.
pub type HoldingProblem = FieldProblem;

/// A scenario's holdings and cash.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Portfolio {
    /// What is held, in the scenario's order.
    pub held: Vec<HeldIssue>,
    /// The rest of the capital, won.
    pub cash: f64,
}

impl Portfolio {
    /// Value of everything, won.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.held.iter().map(|held| held.value).sum::<f64>() + self.cash
    }

    /// What is simulated: the holdings in their order, and cash behind them.
    #[must_use]
    pub fn exposures(&self) -> Vec<Exposure> {
        let held = self.held.iter().map(|held| Exposure::issue(held.issue, held.value));
        let cash = (self.cash > 0.0).then(|| Exposure::cash(self.cash));
        held.chain(cash).collect()
    }
}

impl Scenario {
    /// The holdings at the prices of `world`.
    ///
    /// # Errors
    /// Every holding and shock of a code that the world does not know, and holdings worth more than
    /// the capital.
    pub fn portfolio(&self, world: &World) -> Result<Portfolio, Vec<HoldingProblem>> {
        let mut problems = Vec::new();
        let mut held = Vec::new();
        for (at, line) in self.holdings.iter().enumerate() {
            match world.find(line.symbol) {
                Some(issue) => {
                    let price = world.issues[issue].price;
                    let capital = self.capital.unwrap_or(0) as f64;
                    let value = match (line.quantity, line.value, line.weight) {
                        (Some(quantity), ..) => quantity as f64 * price,
                        (_, Some(value), _) => value as f64,
                        (.., weight) => weight.unwrap_or(0.0) * capital,
                    };
                    let (symbol, quantity) = (line.symbol, line.quantity);
                    held.push(HeldIssue { issue, symbol, quantity, value });
                }
                None => {
                    problems.push(unknown(world, format!("holdings[{at}].symbol"), line.symbol))
                }
            }
        }
        for (at, shock) in self.shocks.iter().enumerate() {
            if let super::ShockLine::Stock(one) = shock
                && world.find(one.symbol).is_none()
            {
                problems.push(unknown(world, format!("shocks[{at}].stock.symbol"), one.symbol));
            }
        }
        let worth: f64 = held.iter().map(|held| held.value).sum();
        let cash = self.capital.map_or(0.0, |capital| capital as f64 - worth);
        // A won of slack for rounding; more is a mistake of the user's that changes every figure.
        if cash < -1.0 && problems.is_empty() {
            problems.push(FieldProblem {
                field: "capital".to_owned(),
                problem: format!(
                    "is {}, expected at least what the holdings are worth on {}, {} won",
                    grouped(self.capital.unwrap_or(0)),
                    world.as_of,
                    grouped(whole_won(worth))
                ),
            });
        }
        if problems.is_empty() && worth > MOST_WORTH {
            problems.push(FieldProblem {
                field: "holdings".to_owned(),
                problem: format!(
                    "are worth {worth:.3e} won on {}, expected at most {}",
                    world.as_of,
                    grouped(whole_won(MOST_WORTH))
                ),
            });
        }
        // Paths are computed in single precision: a share of the whole that is smaller is lost in it.
        if problems.is_empty() && worth > 0.0 && cash > MOST_CASH * worth {
            problems.push(FieldProblem {
                field: "capital".to_owned(),
                problem: format!(
                    "is {}, expected at most {MOST_CASH} times what the holdings are worth on {}, {} won: give capital that belongs to them, or leave it out",
                    grouped(self.capital.unwrap_or(0)),
                    world.as_of,
                    grouped(whole_won(worth))
                ),
            });
        }
        if problems.is_empty() {
            Ok(Portfolio { held, cash: cash.max(0.0) })
        } else {
            Err(problems)
        }
    }
}

fn unknown(world: &World, field: String, symbol: Symbol) -> FieldProblem {
    let young = world.unforecast.binary_search(&symbol).is_ok();
    let problem = if young {
        format!(
            "is {symbol}, which has too few trading days before {} for a forecast: at least 67 are needed",
            world.as_of
        )
    } else {
        format!(
            "is {symbol}, expected one of the {} issues with daily bars up to {}",
            world.issues.len(),
            world.as_of
        )
    };
    FieldProblem { field, problem }
}
