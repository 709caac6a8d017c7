//! `bongsu run`.

use super::CliError;
use super::args::RunArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: RunArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command run is not linked into this build"))
}
