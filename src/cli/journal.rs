//! `bongsu journal`.

use super::CliError;
use super::args::JournalArgs;
use crate::config::Settings;

/// Runs the command.
///
/// # Errors
/// Always: the module that does the work is not linked into this build.
pub fn execute(_args: JournalArgs, _settings: Settings) -> Result<(), CliError> {
    Err(CliError::runtime("the module of the command journal is not linked into this build"))
}
