//! Ranges of a scenario's numbers, and the checks that need more than a range.
//!
//! A message says the value and what was expected; the path of the field is put before it.

use std::collections::BTreeSet;
use std::fmt::Display;

use garde::Error;

use super::{HoldingLine, RepeatShock, Scenario};
use crate::advice::simulate::outcome::LEVELS;
use crate::market::{Market, Won};

/// A closed range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

const fn range(low: f64, high: f64) -> Range {
    Range { low, high }
}

/// Capital, won.
pub const CAPITAL: Range = range(10_000.0, 1e15);
/// Shares, or won, of a holding.
pub const VALUE: Range = range(1.0, 1e15);
/// Sessions looked ahead: a year at most.
pub const HORIZON: Range = range(1.0, 250.0);
/// Number of a session.
pub const SESSION: Range = range(1.0, 250.0);
/// Paths.
pub const PATHS: Range = range(1_000.0, 1_000_000.0);
/// A loss, per cent.
pub const LOSS: Range = range(0.1, 100.0);
/// A share.
pub const WEIGHT: Range = range(0.001, 1.0);
/// A correlation.
pub const CORRELATION: Range = range(-1.0, 1.0);
/// A risk score.
pub const SCORE: Range = range(0.0, 100.0);
/// A fall, per cent.
pub const FALL: Range = range(0.0, 30.0);
/// A daily volatility, per cent.
pub const VOLATILITY: Range = range(0.01, 30.0);
/// A spread, per cent.
pub const SPREAD: Range = range(0.0, 30.0);
/// Daily returns.
pub const HISTORY: Range = range(2.0, 2_500.0);
/// A ranking value.
pub const RANKING: Range = range(-1_000.0, 1_000.0);
/// Number of picks.
pub const PICKS: Range = range(1.0, 100.0);
/// Value traded a day, won.
pub const DAILY_VALUE: Range = range(0.0, 1e15);
/// Move of a market, per cent.
pub const MOVE: Range = range(-60.0, 60.0);
/// Factor on volatility.
pub const VOLATILITY_FACTOR: Range = range(0.1, 10.0);
/// Move of one session, per cent: the price limit.
pub const DAY: Range = range(-30.0, 30.0);
/// Fees and taxes, per cent.
pub const RATE: Range = range(0.0, 10.0);
/// Daily deviations of slippage.
pub const IMPACT: Range = range(0.0, 10.0);
/// Years of a tax.
pub const TAX_YEAR: Range = range(1_979.0, 2_100.0);

/// Numbers that a range can hold.
pub trait Number: Copy + Display {
    /// As a floating-point number.
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for u32 {
    fn number(self) -> f64 {
        f64::from(self)
    }
}

impl Number for i64 {
    fn number(self) -> f64 {
        self as f64
    }
}

fn expected(value: impl Display, range: Range) -> Error {
    Error::new(format!("is {value}, expected {} to {}", plainly(range.low), plainly(range.high)))
}

/// A bound as people write it.
fn plainly(bound: f64) -> String {
    if bound.abs() >= 1e6 && bound % 1e6 == 0.0 {
        super::super::korean::grouped(bound as i64)
    } else {
        format!("{bound}")
    }
}

/// Whether a number lies in a range; one that is none does not.
pub fn within<T: Number>(range: Range) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| {
        let inside = (range.low..=range.high).contains(&value.number());
        if inside { Ok(()) } else { Err(expected(value, range)) }
    }
}

/// The same of a number that may be missing.
pub fn some_within<T: Number>(range: Range) -> impl FnOnce(&Option<T>, &()) -> garde::Result {
    move |value, ()| value.map_or(Ok(()), |value| within(range)(&value, &()))
}

/// Above 0, at most 1.
pub fn positive_weight(value: &Option<f64>, _: &()) -> garde::Result {
    match value {
        Some(weight) if !(*weight > 0.0 && *weight <= 1.0) => {
            Err(Error::new(format!("is {weight}, expected above 0, at most 1")))
        }
        _ => Ok(()),
    }
}

/// A market that has an index.
pub fn with_index(market: &Market, _: &()) -> garde::Result {
    match market {
        Market::Kospi | Market::Kosdaq => Ok(()),
        other => Err(Error::new(format!("is {other:?}, expected KOSPI or KOSDAQ"))),
    }
}

/// A name that fits a channel and a file.
pub fn fitting_name(text: &str, _: &()) -> garde::Result {
    let fits = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(());
    }
    let shown: String = text.chars().take(40).collect();
    Err(Error::new(format!("is \"{shown}\", expected 1 to 40 letters a-z, digits, - or _")))
}

/// Names of sectors.
pub fn sector_names(list: &[String], _: &()) -> garde::Result {
    match list.iter().find(|name| name.trim().is_empty() || name.chars().count() > 40) {
        Some(name) => {
            let shown: String = name.chars().take(40).collect();
            Err(Error::new(format!("has \"{shown}\", expected names of 1 to 40 letters")))
        }
        None => Ok(()),
    }
}

/// A level that the simulation tells.
pub fn budget_level(level: &f64, _: &()) -> garde::Result {
    if LEVELS.contains(level) {
        return Ok(());
    }
    Err(Error::new(format!("is {level}, expected 0.95, 0.975 or 0.99")))
}

/// Whether a move can be spread over so many sessions within the price limit.
pub fn reachable(sessions: u32) -> impl FnOnce(&f64, &()) -> garde::Result {
    move |change, ()| {
        let each = ((1.0 + change / 100.0).powf(1.0 / f64::from(sessions.max(1))) - 1.0) * 100.0;
        if (DAY.low - 1e-9..=DAY.high + 1e-9).contains(&each) {
            return Ok(());
        }
        Err(Error::new(format!(
            "is {change} over {sessions} session(s), expected {} to {} in one session (the price limit)",
            DAY.low, DAY.high
        )))
    }
}

/// Exactly one amount.
pub fn one_amount(line: &HoldingLine, _: &()) -> garde::Result {
    let given = [line.quantity.is_some(), line.value.is_some(), line.weight.is_some()];
    if given.iter().filter(|given| **given).count() == 1 {
        return Ok(());
    }
    Err(Error::new(format!(
        "of {}: expected exactly one of quantity, value and weight",
        line.symbol
    )))
}

/// A window in order.
pub fn in_order(window: &RepeatShock, _: &()) -> garde::Result {
    if window.from <= window.to {
        return Ok(());
    }
    Err(Error::new(format!(
        "is from {} to {}, expected from at or before to",
        window.from, window.to
    )))
}

/// Every code once.
pub fn unique_holdings(lines: &[HoldingLine], _: &()) -> garde::Result {
    let mut seen = BTreeSet::new();
    match lines.iter().find(|line| !seen.insert(line.symbol)) {
        Some(twice) => {
            Err(Error::new(format!("has {} twice, expected each code once", twice.symbol)))
        }
        None => Ok(()),
    }
}

/// Weights are of a capital, and together at most all of it.
pub fn weights_need_capital(
    capital: Option<Won>,
) -> impl FnOnce(&Vec<HoldingLine>, &()) -> garde::Result {
    move |lines, ()| {
        let weights: Vec<f64> = lines.iter().filter_map(|line| line.weight).collect();
        if !weights.is_empty() && capital.is_none() {
            return Err(Error::new("has weights, expected capital (won) with them".to_owned()));
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 1.0 + 1e-9 {
            return Ok(());
        }
        Err(Error::new(format!("has weights that add up to {sum:.4}, expected at most 1")))
    }
}

/// A field's path as it is written: what a variant holds stands under its name.
pub fn written(path: &str, scenario: &Scenario) -> String {
    let (head, rest) = match path.split_once("[0].") {
        Some(("budget", rest)) => ("budget".to_owned(), rest),
        Some((shock, rest)) if shock.starts_with("shocks[") => (shock.to_owned(), rest),
        _ => match path.strip_suffix("[0]").filter(|head| head.starts_with("shocks[")) {
            Some(head) => (head.to_owned(), ""),
            None => return path.to_owned(),
        },
    };
    let variant = match scenario.budget {
        Some(super::Budget::ValueAtRisk(_)) if head == "budget" => "value_at_risk",
        Some(super::Budget::Drawdown(_)) if head == "budget" => "drawdown",
        _ => {
            let place = head.trim_start_matches("shocks[").trim_end_matches(']').parse::<usize>();
            place.ok().and_then(|at| scenario.shocks.get(at)).map_or("", super::ShockLine::name)
        }
    };
    let dot = if rest.is_empty() { "" } else { "." };
    format!("{head}.{variant}{dot}{rest}")
}

/// A message in this module's form; those of the library about lengths are told with the length.
pub fn plain(path: &str, message: &str, scenario: &Scenario) -> String {
    let length = match path {
        "holdings" => Some((scenario.holdings.len(), super::MOST_HOLDINGS)),
        "shocks" => Some((scenario.shocks.len(), super::MOST_SHOCKS)),
        _ => None,
    };
    match length {
        Some((found, most)) if message.starts_with("length") => {
            format!("has {found} entries, expected at most {most}")
        }
        _ => message.to_owned(),
    }
}
