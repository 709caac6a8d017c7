//! `bongsu kis-sim`.

use super::CliError;
use super::args::KisSimArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: KisSimArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command kis-sim is not linked into this build"))
}
