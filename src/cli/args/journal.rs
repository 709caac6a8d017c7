//! `journal`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ReplayTime;
use crate::journal::Position;
use crate::market::Symbol;
use crate::messages::FrameKind;

/// `bongsu journal`.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// The journal [default: the folder journal in the data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// For a machine: ls and verify one JSON object, dump one a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What can be done with a journal. All of it reads only, also while the daemon runs.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the segments, from a look at both ends of each
    Ls,
    /// Read every record; exit 1 when something is damaged
    Verify,
    /// Print the records, one a line
    Dump(DumpArgs),
}

const DUMP_HELP: &str = "\
Examples:
  bongsu journal dump --position 3:1042 --limit 1     the record that an event or a reject names
  bongsu journal dump --from 2024-08-05T09:00:00 --symbol 005930 --kind data";

/// `bongsu journal dump`.
#[derive(Debug, Default, Args)]
#[command(after_help = DUMP_HELP)]
pub struct DumpArgs {
    /// Only this segment
    #[arg(long, value_name = "N")]
    pub segment: Option<u32>,
    /// Begin with the record at this position
    #[arg(long, value_name = "SEGMENT:OFFSET", conflicts_with = "segment")]
    pub position: Option<Position>,
    /// Leave out what was received before this time
    #[arg(long, value_name = "T")]
    pub from: Option<ReplayTime>,
    /// Leave out what was received from this time on
    #[arg(long, value_name = "T")]
    pub to: Option<ReplayTime>,
    /// Only what is about this issue or index
    #[arg(long, value_name = "CODE")]
    pub symbol: Option<Symbol>,
    /// Only records of this kind
    #[arg(long, value_enum, value_name = "WORD")]
    pub kind: Option<KindWord>,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// A kind of record, as on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindWord {
    /// Messages of the feed
    Data,
    /// What is known about issues
    Reference,
    /// Silence of the feed
    Silence,
    /// Changes of what the feed covers
    Connection,
    /// Minute bars asked for by REST
    Bars,
    /// States of issues asked for by REST
    Sample,
    /// Switches to another model
    Model,
}

impl KindWord {
    /// The kind it means.
    #[must_use]
    pub const fn kind(self) -> FrameKind {
        match self {
            Self::Data => FrameKind::Data,
            Self::Reference => FrameKind::Reference,
            Self::Silence => FrameKind::Silence,
            Self::Connection => FrameKind::Connection,
            Self::Bars => FrameKind::Bars,
            Self::Sample => FrameKind::Sample,
            Self::Model => FrameKind::Model,
        }
    }
}
