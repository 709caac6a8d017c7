//! The command line: one file a subcommand.

pub mod assembly;
pub mod bench;
pub mod journal;
pub mod tail;
