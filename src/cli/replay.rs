//! `bongsu replay`.

use super::CliError;
use super::args::ReplayArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: ReplayArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command replay is not linked into this build"))
}
