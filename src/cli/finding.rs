//! What a check found: a line of `doctor` and `check`, and the report of all of them.

use std::borrow::Cow;

use serde::Serialize;

use super::{CliError, print};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but not as one may think.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: Cow<'static, str>,
    /// How it ended.
    pub state: State,
    /// What was found; without secrets.
    pub found: String,
    /// What to do about it; empty when nothing has to be done.
    pub advice: String,
}

impl Check {
    pub(super) fn ok(name: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, found: found.into(), advice: String::new() }
    }

    pub(super) fn warn(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { state: State::Warn, advice: advice.into(), ..Self::ok(name, found) }
    }

    pub(super) fn fail(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { state: State::Fail, advice: advice.into(), ..Self::ok(name, found) }
    }
}

/// Prints the checks of `command`, a line each or as one JSON object.
///
/// # Errors
/// [`CliError::Runtime`] when a check failed, after all of them have been printed.
pub(super) fn report(command: &str, checks: &[Check], json: bool) -> Result<(), CliError> {
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if json {
        let report = serde_json::json!({ "ok": failed == 0, "checks": checks });
        print(&format!("{report:#}\n"))?;
    } else {
        print(&as_text(checks))?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(CliError::runtime(format!("{command}: 1 check failed"))),
        count => Err(CliError::runtime(format!("{command}: {count} checks failed"))),
    }
}

pub(super) fn as_text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        text.push_str(&format!("{:width$}  {state:4}  {}", check.name, check.found));
        if !check.advice.is_empty() {
            text.push_str(&format!(" -> {}", check.advice));
        }
        text.push('\n');
    }
    text
}
