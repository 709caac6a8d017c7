//! Why bars cannot be read.

use std::path::PathBuf;

/// Why a file of bars or index levels is refused.
#[derive(Debug, thiserror::Error)]
pub enum PanelError {
    /// Neither Parquet nor CSV by its name.
    #[error("{}: cannot tell what it is: expected a name ending in .parquet or .csv", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is no Parquet or no CSV inside.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A column is not there or not of a type that can be used.
    #[error("{}: column `{column}` {problem}; expected {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A value cannot be.
    #[error("{}: row {row}, column `{column}` holds {value}; expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Row, the first behind the header is 1.
        row: usize,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// One day of an issue twice, with different values.
    #[error("{}: {symbol} has two different rows for {day}; expected one row for an issue and day", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The issue.
        symbol: String,
        /// The day.
        day: String,
    },
}
