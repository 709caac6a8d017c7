//! How a command ends when it does not end well.

use std::fmt;

use crate::config::SettingsErrors;

/// Why a command failed, and with that its exit code.
#[derive(Debug)]
pub enum CliError {
    /// Wrong usage or settings: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1. The whole chain of causes is printed.
    Runtime(anyhow::Error),
    /// Nobody reads stdout any more: a quiet end, exit code 0.
    OutputClosed,
}

impl CliError {
    /// A failure at run time that says all in one text.
    #[must_use]
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::Runtime(anyhow::Error::msg(message.into()))
    }

    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Runtime(_) => 1,
            Self::Usage(_) => 2,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::OutputClosed => f.write_str("nobody reads the output"),
            Self::Runtime(error) => {
                let mut said = error.to_string();
                f.write_str(&said)?;
                for cause in error.chain().skip(1) {
                    let cause = cause.to_string();
                    // Some errors repeat their cause in their own text.
                    if !said.contains(&cause) {
                        write!(f, ": {cause}")?;
                        said = cause;
                    }
                }
                Ok(())
            }
        }
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<SettingsErrors> for CliError {
    fn from(errors: SettingsErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_causes_is_printed_once() {
        let error = anyhow::anyhow!("connection refused").context("cannot reach redis");
        let error = CliError::from(error.context("cannot start"));
        assert_eq!(error.to_string(), "cannot start: cannot reach redis: connection refused");
        let repeated = anyhow::anyhow!("no such file").context("cannot open x: no such file");
        assert_eq!(CliError::from(repeated).to_string(), "cannot open x: no such file");
    }

    #[test]
    fn exit_codes() {
        assert_eq!(CliError::runtime("x").exit_code(), 1);
        assert_eq!(CliError::Usage("x".into()).exit_code(), 2);
        assert_eq!(CliError::OutputClosed.exit_code(), 0);
    }
}
