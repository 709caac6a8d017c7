//! `bongsu bench`.

use super::CliError;
use super::args::BenchArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: BenchArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command bench is not linked into this build"))
}
