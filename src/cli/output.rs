//! Printing that survives a reader who goes away.

use std::io::{self, ErrorKind, Write as _};

use super::CliError;

/// Writes `text` to stdout and flushes it, so that a pipe sees whole lines.
///
/// # Errors
/// [`CliError::OutputClosed`] when the reader is gone, as after `| head`; [`CliError::Runtime`]
/// when stdout cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            CliError::OutputClosed
        } else {
            CliError::Runtime(anyhow::Error::new(error).context("cannot write to stdout"))
        }
    })
}
