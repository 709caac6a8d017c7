//! What can be typed after `bongsu`.
//!
//! An argument that is a setting (`--source`, `--data`, `--speed`, …) is only kept as text here and
//! handed on as a dotted key by `flags()`: it is checked with all other settings, so that it has
//! the same form everywhere and its mistakes are reported together with theirs.

mod check;
mod enqueue;
mod evaluate;
mod feed;
mod journal;
mod models;
mod replay;
mod simulate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use check::{CheckCrashArgs, DayList};
pub use enqueue::EnqueueArgs;
pub use evaluate::{EvaluateArgs, MethodWord, OriginWord};
pub use feed::{KisSimArgs, PlayArgs, RegistrationLimit, Role, RunArgs, Seconds};
pub use journal::{DumpArgs, JournalArgs, JournalCommand, KindWord};
pub use models::{ModelsCommand, TrainArgs};
pub use replay::{ReplayArgs, ReplayTime};
pub use simulate::SimulateArgs;

const ABOUT: &str = "A real-time market-risk daemon for the Korean stock market";
const LONG_ABOUT: &str = "\
Bongsu watches the Korean stock market through the KIS Open API, scores risk tick by tick, and sends \
crash and threat events outward; then it explains them, recommends, and proposes a defence.

Without a command it does what `bongsu run` does; without KIS keys that is a whole market played by \
the built-in simulator.";
const EXAMPLES: &str = "\
Examples:
  bongsu                            the daemon, over the built-in simulator
  bongsu run --source kis           the daemon, over KIS (KIS_APP_KEY, KIS_APP_SECRET)
  bongsu replay --journal var/journal --sandbox /tmp/again
  bongsu tail 'bongsu.crash.*'      follow the crash events
  bongsu doctor                     what is set, what is reachable, what to do

Settings come from flags, environment, .env, config/bongsu.toml and built-in defaults, in this \
order; `bongsu config show` prints what is in force.

Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "bongsu",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do; `run` when it is left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Default, Args)]
pub struct GlobalArgs {
    /// Settings file instead of config/bongsu.toml; it must exist
    #[arg(long, global = true, value_name = "F.toml", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Folder of everything kept on this machine [default: var]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub data_dir: Option<String>,
    /// The vendor's file with keys, account and addresses [default: ~/KIS/config/kis_devlp.yaml]
    #[arg(long, global = true, value_name = "F.yaml", help_heading = "Settings")]
    pub kis_devlp: Option<String>,
}

/// A dotted key and its text.
pub type Flag = (String, String);

fn flag<T: ToString>(flags: &mut Vec<Flag>, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        flags.push((key.into(), value.to_string()));
    }
}

impl GlobalArgs {
    /// The arguments that are settings.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        flag(&mut flags, "data_dir", self.data_dir.as_ref());
        flag(&mut flags, "kis.devlp", self.kis_devlp.as_ref());
        flags
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon (what `bongsu` alone does)
    Run(RunArgs),
    /// Run the KIS simulator alone
    KisSim(Box<KisSimArgs>),
    /// Play recorded input through the same tree, into a sandbox
    Replay(ReplayArgs),
    /// How good forecasts and picks would have been
    Evaluate(Box<EvaluateArgs>),
    /// Answer a user's scenario: what could become of a portfolio, and what to do
    Simulate(SimulateArgs),
    /// Measure this machine
    Bench(BenchArgs),
    /// Follow outward events
    Tail(TailArgs),
    /// Look into the journal
    Journal(JournalArgs),
    /// Ask for a task
    Enqueue(EnqueueArgs),
    /// The schedule of jobs.yaml
    Jobs {
        /// What about it.
        #[command(subcommand)]
        command: JobsCommand,
    },
    /// Fit a model and register it
    Train(TrainArgs),
    /// The registry of fitted models
    Models {
        /// What about it.
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Check every dependency and setting, and say what to do
    Doctor(DoctorArgs),
    /// Try what the daemon does: collection from KIS, scores, reports
    Check(CheckArgs),
    /// Settings
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What can be asked about the schedule.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Print the jobs that are in force
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the coming runs of each job, with zone and reason
    Next {
        /// How many of each job
        #[arg(long, value_name = "N", default_value_t = 3,
              value_parser = clap::value_parser!(u16).range(1..=1_000))]
        count: u16,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Do a job now, whether or not it is on; of the collection it is that of KIS, or of the
    /// simulator's day played to its end
    Run {
        /// Its name, as `jobs list` prints it
        #[arg(value_name = "NAME")]
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Run(RunArgs::default())
    }
}

impl Command {
    /// The arguments that are settings.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        match self {
            Self::Run(args) => args.flags(),
            Self::KisSim(args) => args.flags(),
            Self::Replay(args) => args.flags(),
            _ => Vec::new(),
        }
    }
}

/// What the journal survives while the pipeline is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchDurability {
    /// Nothing: batches are gathered in memory
    Off,
    /// The death of the process
    Process,
    /// A power cut, but for the last 50 ms
    Group,
    /// A power cut
    Power,
    /// Each in turn
    All,
}

impl BenchDurability {
    /// As on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Process => "process",
            Self::Group => "group",
            Self::Power => "power",
            Self::All => "all",
        }
    }
}

/// `bongsu bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Frames a second through the whole pipeline, over a synthetic storm
    Pipeline {
        /// Frames to push through
        #[arg(long, value_name = "N", default_value_t = 1_000_000,
              value_parser = clap::value_parser!(u64).range(1..))]
        frames: u64,
        /// Issues they are spread over
        #[arg(long, value_name = "S", default_value_t = 40,
              value_parser = clap::value_parser!(u32).range(1..=5_000))]
        symbols: u32,
        /// What the journal survives; all: a table of each, in one run
        #[arg(long, value_enum, value_name = "WORD", default_value_t = BenchDurability::Process)]
        durability: BenchDurability,
    },
    /// Time until a start is where the last run ended: with a checkpoint, and without any
    Recovery {
        /// Frames in the journal
        #[arg(long, value_name = "N", default_value_t = 10_000_000,
              value_parser = clap::value_parser!(u64).range(1..))]
        frames: u64,
        /// Frames behind the checkpoint: ten seconds of a storm, unless set otherwise
        #[arg(long, value_name = "N", default_value_t = 200_000)]
        tail: u64,
        /// Issues they are spread over
        #[arg(long, value_name = "S", default_value_t = 2_500,
              value_parser = clap::value_parser!(u32).range(1..=5_000))]
        symbols: u32,
    },
    /// Rows a second into MySQL or MariaDB, beside the server's own LOAD DATA LOCAL INFILE
    Store {
        /// Rows in a round
        #[arg(long, value_name = "N", default_value_t = 100_000,
              value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
        rows: u32,
        /// Rounds; the medians are printed
        #[arg(long, value_name = "N", default_value_t = 5,
              value_parser = clap::value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// An empty database, mysql://…; it is emptied again at the end
        #[arg(long, value_name = "URL")]
        database: Option<String>,
    },
    /// Paths a second of the simulation of scenarios, over an invented world
    Simulate {
        /// Paths
        #[arg(long, value_name = "N", default_value_t = 100_000,
              value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        paths: u32,
        /// Sessions
        #[arg(long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..=250))]
        horizon: u32,
        /// Holdings
        #[arg(long, value_name = "N", default_value_t = 50,
              value_parser = clap::value_parser!(u32).range(1..=1_000))]
        holdings: u32,
        /// Past days that are drawn from
        #[arg(long, value_name = "N", default_value_t = 1_250,
              value_parser = clap::value_parser!(u32).range(100..=2_500))]
        days: u32,
        /// Rounds; the fastest counts
        #[arg(long, value_name = "N", default_value_t = 5,
              value_parser = clap::value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// Folder to write the world into, for the comparison in benches/simulation
        #[arg(long, value_name = "DIR")]
        export: Option<PathBuf>,
    },
    /// Training of the daily model: reading, terms, fits month by month, memory
    Train {
        /// Daily bars; the issues of each file are counted apart
        #[arg(long, value_name = "F", num_args = 1.., required = true)]
        data: Vec<PathBuf>,
        /// Index series
        #[arg(long, value_name = "F", num_args = 1..)]
        indices: Vec<PathBuf>,
        /// Also what is stored: every set of terms, residual tails, validation
        #[arg(long)]
        whole: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Time from a frame received to its event acknowledged by Redis, beside a bare PUBLISH
    Latency {
        /// Ticks a second; several may be given
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2_000, 20_000],
              value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        rate: Vec<u64>,
        /// Seconds for each rate
        #[arg(long, value_name = "S", default_value_t = 10,
              value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Issues they are spread over
        #[arg(long, value_name = "S", default_value_t = 40,
              value_parser = clap::value_parser!(u32).range(1..=5_000))]
        symbols: u32,
    },
}

const TAIL_HELP: &str = "\
Examples:
  bongsu tail                        everything
  bongsu tail 'bongsu.crash.*'       crashes
  bongsu tail | jq .data.symbol      JSON lines in a pipe";

/// `bongsu tail`.
#[derive(Debug, Args)]
#[command(after_help = TAIL_HELP)]
pub struct TailArgs {
    /// Channels to follow; * stands for any text
    #[arg(value_name = "PATTERN", default_value = "bongsu.*")]
    pub pattern: String,
    /// JSON lines in a terminal too
    #[arg(long)]
    pub json: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

const CHECK_HELP: &str = "\
Examples:
  bongsu check etl          KIS (or the simulator): keys, each call of collection, calendar, clock,
                            registrations, account notices; database and object folder
  bongsu check ai           scores over a short simulated stretch
  bongsu check llm          one small report by the language model
  bongsu check all --json   all of it, for a machine
  bongsu check crash --data kospi.parquet --indices indices.parquet
                            the detectors on 2020-03-19, 2024-08-05, 2025-04-07 and three calm days
  bongsu check coverage --data kospi.parquet --indices indices.parquet
                            value at risk of portfolios by chance, 2022 to 2024, against what came

A line a check; exit code 1 when one fails. `check etl` uses the access token that is kept, or asks
KIS for one; it subscribes for a moment only while no daemon runs on the data folder.";

/// `bongsu check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// What to try
    #[arg(value_enum)]
    pub what: CheckWhat,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// What `check crash` plays.
    #[command(flatten)]
    pub crash: CheckCrashArgs,
}

/// What can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckWhat {
    /// Collection: KIS, its answers, the calendar, the database, the objects
    Etl,
    /// The range of the scores
    Ai,
    /// The answer of the language model
    Llm,
    /// The detectors on recorded crash days and calm days (not part of all)
    Crash,
    /// Whether portfolios by chance lost more than the simulation said (not part of all)
    Coverage,
    /// Defence plans before recorded falls and calm weeks (not part of all)
    Hedge,
    /// All of them
    All,
}

/// `bongsu doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Ask KIS for an access token when none is kept (KIS then sends the customer a message)
    #[arg(long)]
    pub online: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `bongsu config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting in force and where it comes from, without secrets
    Show(ConfigShowArgs),
}

/// `bongsu config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// One JSON object by dotted key
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests;
