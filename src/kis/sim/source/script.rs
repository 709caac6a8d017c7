//! The YAML script of an invented market: its schema, its checks, the built-in ones.

use std::collections::BTreeSet;
use std::path::Path;

use garde::Validate;
use serde::Deserialize;

use super::SimError;
use crate::market::{Market, SessionDay, Symbol, TimeOfDay, rules};

/// Name and text of the built-in scripts, the default first.
const BUILTIN: [(&str, &str); 2] = [
    ("crash", include_str!("../../../../config/markets/crash.yaml")),
    ("calm", include_str!("../../../../config/markets/calm.yaml")),
];

/// Names of the built-in market scripts, the default first.
pub fn builtin_markets() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// An invented market.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarketScript {
    /// What it shows; for people.
    #[garde(length(min = 1))]
    pub about: String,
    /// Session day.
    #[garde(custom(weekday))]
    pub day: SessionDay,
    /// Event seconds a second of wall time, unless the user says otherwise.
    #[garde(range(min = 0.01, max = 100_000.0))]
    pub speed: f64,
    #[garde(custom(in_order))]
    pub session: Session,
    /// Daily volatility of the common factor, percent.
    #[garde(range(min = 0.0, max = 10.0))]
    pub market_volatility: f64,
    /// Trades a minute of an ordinary issue on an ordinary day.
    #[garde(range(min = 0.01, max = 600.0))]
    pub trades_per_minute: f64,
    #[garde(dive, length(max = 8))]
    pub indices: Vec<IndexLine>,
    #[garde(dive, length(min = 1, max = 4_000), custom(unique))]
    pub issues: Vec<IssueLine>,
    #[garde(dive, custom(phases_fit(&self.session, &self.issues)))]
    pub phases: Vec<Phase>,
    /// Issues that are halted for a while or from some time on.
    #[garde(custom(halts_fit(&self.session, &self.issues)))]
    #[serde(default)]
    pub halts: Vec<HaltLine>,
}

/// From when to when is traded; within the hours of the regular session.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    pub start: TimeOfDay,
    pub end: TimeOfDay,
}

/// An index, computed from the issues of its market by market value.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexLine {
    /// Sector code.
    #[garde(skip)]
    pub code: Symbol,
    #[garde(skip)]
    pub market: Market,
    #[garde(range(min = 1.0, max = 100_000.0))]
    pub previous_close: f64,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueLine {
    #[garde(skip)]
    pub code: Symbol,
    #[garde(length(min = 1, max = 40))]
    pub name: String,
    #[garde(skip)]
    pub market: Market,
    /// Base price, won; cut to a tick.
    #[garde(range(min = 100, max = 5_000_000))]
    pub price: i64,
    /// Daily volatility of its own, percent.
    #[garde(range(min = 0.0, max = 20.0))]
    pub volatility: f64,
    /// How much it moves with the market.
    #[garde(range(min = -3.0, max = 5.0))]
    pub beta: f64,
    /// Usual daily volume, shares.
    #[garde(range(min = 1_000, max = 5_000_000_000i64))]
    pub volume: i64,
    /// Shares listed.
    #[garde(range(min = 1_000))]
    pub shares: i64,
}

/// A stretch of the session. What no phase covers is an ordinary market without drift.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    #[garde(skip)]
    pub from: TimeOfDay,
    #[garde(skip)]
    pub to: TimeOfDay,
    /// What happens; for people.
    #[garde(skip)]
    #[serde(default)]
    pub note: String,
    /// Change of the common factor over the phase, percent.
    #[garde(range(min = -40.0, max = 40.0))]
    #[serde(default)]
    pub drift_pct: f64,
    /// Multiplies all volatilities.
    #[garde(range(min = 0.0, max = 50.0))]
    #[serde(default = "one")]
    pub volatility: f64,
    /// Multiplies the volume of every issue.
    #[garde(range(min = 0.0, max = 100.0))]
    #[serde(default = "one")]
    pub volume: f64,
    /// What happens to single issues on top.
    #[garde(dive)]
    #[serde(default)]
    pub shocks: Vec<Shock>,
}

/// What happens to one issue in a phase, on top of the market.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shock {
    #[garde(skip)]
    pub code: Symbol,
    /// Its own change over the phase, percent.
    #[garde(range(min = -60.0, max = 60.0))]
    #[serde(default)]
    pub drift_pct: f64,
    /// Multiplies its volume.
    #[garde(range(min = 0.0, max = 1_000.0))]
    #[serde(default = "one")]
    pub volume: f64,
}

/// A halt of one issue (거래정지). Trades that would fall into it do not happen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaltLine {
    pub code: Symbol,
    pub from: TimeOfDay,
    /// When it trades again, with an auction; never today when it is missing.
    #[serde(default)]
    pub to: Option<TimeOfDay>,
}

const fn one() -> f64 {
    1.0
}

fn weekday(day: &SessionDay, _: &()) -> garde::Result {
    if day.is_weekend() {
        return Err(garde::Error::new(format!("{day} is a weekend day; expected a weekday")));
    }
    Ok(())
}

fn in_order(session: &Session, _: &()) -> garde::Result {
    if session.start >= session.end {
        let (start, end) = (session.start, session.end);
        return Err(garde::Error::new(format!("ends at {end}, not after its start at {start}")));
    }
    if session.start < rules::OPEN || session.end > rules::CLOSE {
        let text = format!("is not within {} and {}", rules::OPEN, rules::CLOSE);
        return Err(garde::Error::new(text));
    }
    Ok(())
}

fn unique(issues: &[IssueLine], _: &()) -> garde::Result {
    let mut seen = BTreeSet::new();
    match issues.iter().find(|issue| !seen.insert(issue.code)) {
        Some(twice) => Err(garde::Error::new(format!("issue {} is listed twice", twice.code))),
        None => Ok(()),
    }
}

fn phases_fit<'a>(
    session: &'a Session,
    issues: &'a [IssueLine],
) -> impl FnOnce(&Vec<Phase>, &()) -> garde::Result + 'a {
    move |phases, ()| {
        let error = |text: String| Err(garde::Error::new(text));
        let mut until = session.start;
        for (number, phase) in phases.iter().enumerate() {
            let (number, from, to) = (number + 1, phase.from, phase.to);
            if from >= to {
                return error(format!(
                    "phase {number} ends at {to}, not after its start at {from}"
                ));
            }
            if from < until {
                return error(format!(
                    "phase {number} begins at {from}; expected {until} or later"
                ));
            }
            if to > session.end {
                let end = session.end;
                return error(format!("phase {number} ends at {to}, after the session ({end})"));
            }
            let known = |code: Symbol| issues.iter().any(|issue| issue.code == code);
            if let Some(shock) = phase.shocks.iter().find(|shock| !known(shock.code)) {
                let code = shock.code;
                return error(format!("phase {number} shocks {code}, which is not in issues"));
            }
            until = to;
        }
        Ok(())
    }
}

fn halts_fit<'a>(
    session: &'a Session,
    issues: &'a [IssueLine],
) -> impl FnOnce(&Vec<HaltLine>, &()) -> garde::Result + 'a {
    move |halts, ()| {
        for halt in halts {
            let HaltLine { code, from, to } = *halt;
            let error = |text: String| Err(garde::Error::new(format!("halt of {code} {text}")));
            if !issues.iter().any(|issue| issue.code == code) {
                return error("is of an issue that is not in issues".into());
            }
            if from < session.start || from >= session.end {
                let Session { start, end } = session;
                return error(format!("begins at {from}; expected {start} or later, before {end}"));
            }
            if let Some(to) = to.filter(|to| *to <= from || *to >= session.end) {
                let end = session.end;
                return error(format!("ends at {to}; expected after {from} and before {end}"));
            }
        }
        Ok(())
    }
}

impl MarketScript {
    /// The built-in script of this name, or the one in the YAML file at this path.
    pub fn load(market: &str) -> Result<Self, SimError> {
        if let Some((name, text)) = BUILTIN.iter().find(|(name, _)| *name == market) {
            return Self::parse(name, text);
        }
        let path = Path::new(market);
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if !is_yaml {
            let known = builtin_markets().collect::<Vec<_>>().join(", ");
            return Err(SimError::UnknownMarket { name: market.into(), known });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| SimError::Open { path: path.into(), source })?;
        Self::parse(market, &text)
    }

    /// Reads and checks a script; errors name the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, SimError> {
        serde_saphyr::from_str_valid(text)
            .map_err(|error| SimError::Script { name: name.into(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_scripts_are_valid() {
        for name in builtin_markets() {
            let script = MarketScript::load(name).unwrap();
            assert!(script.issues.len() >= 30, "{name}");
            assert_eq!(script.indices.len(), 2, "{name}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let text = BUILTIN[0].1.replace("speed: ", "speed: -");
        let line = text.lines().position(|line| line.starts_with("speed:")).unwrap() + 1;
        let error = MarketScript::parse("mine.yaml", &text).unwrap_err().to_string();
        assert!(error.contains("mine.yaml") && error.contains(&line.to_string()), "{error}");

        let text = BUILTIN[0].1.replace("day: ", "dya: ");
        let error = MarketScript::parse("mine.yaml", &text).unwrap_err().to_string();
        assert!(error.contains("dya"), "{error}");
    }

    #[test]
    fn phases_must_fit() {
        let bad = BUILTIN[0].1.replacen("  - from: \"09:00\"", "  - from: \"08:00\"", 1);
        let error = MarketScript::parse("x", &bad).unwrap_err().to_string();
        assert!(error.contains("phase 1 begins at 08:00:00"), "{error}");
    }

    #[test]
    fn unknown_markets_are_named() {
        let error = MarketScript::load("boom").unwrap_err().to_string();
        assert!(error.contains("boom") && error.contains("crash, calm"), "{error}");
        let error = MarketScript::load("/nowhere/x.yaml").unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.yaml"), "{error}");
    }
}
