//! `bongsu tail`.

use super::CliError;
use super::args::TailArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: TailArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command tail is not linked into this build"))
}
