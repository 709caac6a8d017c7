//! What is held, as the operator tells it: the holdings that an alarm of the daemon is answered for.
//!
//! In: a scenario ([`Scenario::holdings`], its capital and budget), or nothing. Out: the value of a
//! position at a price, and whether it is told or assumed. A daemon that is told of none plans for an
//! assumed position and says so. Values follow the price where shares are told; a value or a weight
//! is what it was told to be.
//!
//! **Limits.** One portfolio a daemon; it is read at the start. Portfolios of single users come with
//! their own call (`plan_mitigation`, scenarios).

use super::mitigate::PlanSettings;
use super::risk_limit::Measure;
use super::scenario::{HoldingLine, Scenario};
use crate::market::{Symbol, Won};

/// What is held, or what to assume.
#[derive(Debug, Clone, PartialEq)]
pub struct Holdings {
    assumed: Won,
    capital: Option<Won>,
    lines: Vec<HoldingLine>,
    /// How a bearable loss is measured, and the one of a day, per cent of the whole; `None`: those of
    /// [`PlanSettings`].
    budget: Option<(Measure, f64)>,
}

/// A position and where its size comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Value, won.
    pub value: Won,
    /// Nobody told of it.
    pub assumed: bool,
}

impl Holdings {
    /// Nothing is told; every position is taken to be worth `value` won.
    #[must_use]
    pub const fn assumed(value: Won) -> Self {
        Self { assumed: value, capital: None, lines: Vec::new(), budget: None }
    }

    /// The holdings of `scenario`; what is not among them is assumed to be worth `assumed` won.
    ///
    /// A budget over the scenario's horizon becomes one of a day by the root of its sessions, as plans
    /// take it.
    #[must_use]
    pub fn of(scenario: &Scenario, assumed: Won) -> Self {
        let root = f64::from(scenario.horizon_sessions.max(1)).sqrt();
        let budget =
            scenario.budget.map(|budget| (budget.measure(), budget.loss().loss_pct / root));
        let lines = scenario.holdings.clone();
        Self { assumed, capital: scenario.capital, lines, budget }
    }

    /// What is assumed of an issue that nobody told of, won.
    #[must_use]
    pub const fn assumed_value(&self) -> Won {
        self.assumed
    }

    /// The issues told, in their order; empty: none.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.lines.iter().map(|line| line.symbol)
    }

    /// The position in `symbol` at `price` won.
    #[must_use]
    pub fn position(&self, symbol: Symbol, price: Won) -> Position {
        let told = self.lines.iter().find(|line| line.symbol == symbol);
        told.and_then(|line| self.value(line, price)).map_or(
            Position { value: self.assumed, assumed: true },
            |value| Position { value, assumed: false },
        )
    }

    /// `None`: it is told, but as a share of a capital that is not.
    fn value(&self, line: &HoldingLine, price: Won) -> Option<Won> {
        match (line.quantity, line.value, line.weight) {
            (Some(quantity), ..) => Some(quantity.saturating_mul(price)),
            (_, Some(value), _) => Some(value),
            (.., weight) => Some((weight? * self.capital? as f64).round() as Won),
        }
    }

    /// Cash beside holdings that are worth `held` won: the rest of the capital; 0 where none is told.
    #[must_use]
    pub fn cash(&self, held: Won) -> Won {
        self.capital.map_or(0, |capital| capital.saturating_sub(held).max(0))
    }

    /// `settings` with the budget that is told.
    #[must_use]
    pub fn budgeted(&self, settings: PlanSettings) -> PlanSettings {
        match self.budget {
            Some((measure, risk_budget_pct)) => {
                PlanSettings { risk_budget_pct, measure, ..settings }
            }
            None => settings,
        }
    }
}

/// What the holdings are called together; those of which nothing is known are named as left out.
#[must_use]
pub fn portfolio_name(left_out: &[Symbol]) -> String {
    let codes: Vec<&str> = left_out.iter().map(Symbol::as_str).collect();
    if codes.is_empty() {
        "보유 종목".to_owned()
    } else {
        format!("보유 종목 (시세를 모르는 {} 제외)", codes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> Holdings {
        Holdings::of(&Scenario::parse(text).unwrap(), 5_000_000)
    }

    fn code(text: &str) -> Symbol {
        text.parse().unwrap()
    }

    #[test]
    fn shares_follow_the_price_and_the_rest_is_as_told() {
        let held = told(
            "capital: 10000000\nhorizon_sessions: 4\nbudget: {value_at_risk: {loss_pct: 8}}\n\
             holdings: [{symbol: \"005930\", quantity: 10}, {symbol: \"000660\", value: 2000000}, {symbol: \"035420\", weight: 0.1}]",
        );
        let value = |symbol, price| held.position(code(symbol), price);
        let told = |value| Position { value, assumed: false };
        assert_eq!(value("005930", 70_000), told(700_000));
        assert_eq!(value("005930", 60_000), told(600_000));
        assert_eq!(value("000660", 1), told(2_000_000));
        assert_eq!(value("035420", 1), told(1_000_000));
        assert_eq!(value("000020", 70_000), Position { value: 5_000_000, assumed: true });
        assert_eq!((held.cash(3_700_000), held.cash(20_000_000)), (6_300_000, 0));
        // 8 % over four sessions are 4 % over one.
        assert_eq!(held.budgeted(PlanSettings::default()).risk_budget_pct, 4.0);
        assert_eq!(held.symbols().count(), 3);
    }

    #[test]
    fn a_budget_keeps_its_kind_and_level() {
        for (budget, measure) in [
            ("{drawdown: {loss_pct: 8}}", Measure::Drawdown { level: 0.95 }),
            ("{value_at_risk: {loss_pct: 8, level: 0.99}}", Measure::ValueAtRisk { level: 0.99 }),
        ] {
            let held = told(&format!("capital: 10000000\nhorizon_sessions: 4\nbudget: {budget}"));
            let settings = held.budgeted(PlanSettings::default());
            assert_eq!((settings.measure, settings.risk_budget_pct), (measure, 4.0));
        }
        let held = Holdings::assumed(7);
        assert_eq!((held.cash(0), held.position(code("005930"), 1).value), (0, 7));
    }

    proptest! {
        #[test]
        fn a_value_is_never_negative(quantity in 1_i64..1_000_000_000_000, price in 0..i64::MAX) {
            let mut held = told("holdings: [{symbol: \"005930\", quantity: 1}]");
            held.lines[0].quantity = Some(quantity);
            let value = held.position(code("005930"), price).value;
            prop_assert!(value >= 0 && held.cash(value) == 0);
        }
    }
}
