//! `bongsu train` and `bongsu models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::market::{ModelId, SessionDay};

const TRAIN_HELP: &str = "\
Examples:
  bongsu train --data krx-daily.parquet --indices indices.parquet
  bongsu train --data a.parquet --data b.parquet --until 2024-12-31 --no-activate
  bongsu train                       from the daily bars in the database

A model that forecasts worse than the one in use is registered, but not put to use; --force does it
all the same. Running daemons load the active version without a restart.";

/// `bongsu train`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = TRAIN_HELP)]
pub struct TrainArgs {
    /// Daily bars, Parquet or CSV; several may be given, a day that two files give is taken from the
    /// first. Without it: the database's
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Index series, Parquet or CSV
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub indices: Vec<PathBuf>,
    /// Leave out what is after this day
    #[arg(long, value_name = "DATE")]
    pub until: Option<SessionDay>,
    /// Put it to use; the default, unless it is worse than the one in use
    #[arg(long, conflicts_with = "no_activate")]
    pub activate: bool,
    /// Register it only
    #[arg(long)]
    pub no_activate: bool,
    /// Put it to use although it is worse
    #[arg(long, conflicts_with = "no_activate")]
    pub force: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// What can be asked about the registry.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Print the versions, newest first
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print what is known of a version, and check its document
    Show {
        /// Version, as `models list` prints it
        #[arg(value_name = "ID")]
        id: ModelId,
        /// One JSON object, the document included
        #[arg(long)]
        json: bool,
    },
    /// Put a version to use; an older one: roll back
    Activate {
        /// Version, as `models list` prints it
        #[arg(value_name = "ID")]
        id: ModelId,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}
