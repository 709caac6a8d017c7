//! What can be typed after `bongsu simulate`.

use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
Examples:
  bongsu simulate config/scenarios/default.yaml
  bongsu simulate mine.yaml --data krx-daily.parquet --indices indices.parquet --json
  cat mine.json | bongsu simulate -

A scenario says what is held (or the capital), how far to look, what loss is bearable, and what is
supposed to happen: docs/simulation.md. Without --data the bars are those of advice.history, or the
database's. Exit code 2: the scenario has a mistake; every field at fault is named.";

/// `bongsu simulate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub struct SimulateArgs {
    /// The scenario, YAML or JSON; - for standard input
    #[arg(value_name = "SCENARIO.yaml")]
    pub scenario: PathBuf,
    /// Daily bars, Parquet or CSV; several may be given, a day that two files give is taken from the
    /// first
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Index series, Parquet or CSV
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub indices: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
