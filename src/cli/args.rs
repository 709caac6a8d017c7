//! What can be typed after `bongsu`.
//!
//! An argument that is a setting (`--source`, `--data`, `--speed`, …) is only kept as text here and
//! handed on as a dotted key by `flags()`: it is checked with all other settings, so that it has
//! the same form everywhere and its mistakes are reported together with theirs.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Speed;
use crate::market::{EventTime, SessionDay, TimeOfDay};

const ABOUT: &str = "A real-time market-risk daemon for the Korean stock market";
const LONG_ABOUT: &str = "\
Bongsu watches the Korean stock market through the KIS Open API, scores risk tick by tick, and sends
crash and threat events outward; then it explains them, recommends, and proposes a defence.

Without a command it does what `bongsu run` does; without KIS keys that is a whole market played by
the built-in simulator.";
const EXAMPLES: &str = "\
Examples:
  bongsu                                     the daemon, over the built-in simulator
  bongsu run --source kis                    the daemon, over KIS (KIS_APP_KEY, KIS_APP_SECRET)
  bongsu replay --journal var/journal --sandbox /tmp/again
  bongsu tail 'bongsu.crash.*'               follow the crash events
  bongsu doctor                              what is set, what is reachable, what to do

Settings come from flags, environment, .env, config/bongsu.toml and built-in defaults, in this order;
`bongsu config show` prints what is in force. Exit codes: 0 done, 1 failed at run time, 2 wrong usage
or settings.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "bongsu",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    disable_help_subcommand = true
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
    KisSim(KisSimArgs),
    /// Play recorded input through the same tree, into a sandbox
    Replay(ReplayArgs),
    /// Measure this machine
    Bench(BenchArgs),
    /// Follow outward events
    Tail(TailArgs),
    /// Look into the journal
    Journal(JournalArgs),
    /// Check every dependency and setting, and say what to do
    Doctor(DoctorArgs),
    /// Settings
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
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

/// What the simulator plays.
#[derive(Debug, Default, Args)]
pub struct PlayArgs {
    /// Parquet file of daily bars or single trades to play instead of a script
    #[arg(long, value_name = "F.parquet", help_heading = "Simulator")]
    pub data: Option<String>,
    /// Day to play [default: the script's own, or the last one of the file]
    #[arg(long, value_name = "YYYY-MM-DD", help_heading = "Simulator")]
    pub day: Option<String>,
    /// Parquet file of daily index bars, beside --data
    #[arg(long, value_name = "F.parquet", help_heading = "Simulator")]
    pub indices: Option<String>,
    /// Script to play: crash, calm, or the path of a YAML file [default: crash]
    #[arg(long, value_name = "NAME", help_heading = "Simulator", conflicts_with = "data")]
    pub market: Option<String>,
    /// Event seconds played in a second, or max [default: what the script or file calls for]
    #[arg(long, value_name = "X|max", help_heading = "Simulator", allow_negative_numbers = true)]
    pub speed: Option<String>,
}

impl PlayArgs {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        flag(&mut flags, "sim.data", self.data.as_ref());
        flag(&mut flags, "sim.day", self.day.as_ref());
        flag(&mut flags, "sim.indices", self.indices.as_ref());
        flag(&mut flags, "sim.market", self.market.as_ref());
        flag(&mut flags, "sim.speed", self.speed.as_ref());
        flags
    }
}

/// A part of the daemon that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// All of them.
    All,
    /// The pipeline; owns the journal and locks the data folder.
    Ingest,
    /// Tasks.
    Worker,
    /// The schedule.
    Beat,
    /// The HTTP server.
    Api,
}

const RUN_HELP: &str = "\
Examples:
  bongsu run --market calm --speed 10
  bongsu run --data ticks.parquet --day 2020-06-04 --speed max --duration 60
  BONGSU_FEED__SYMBOLS=005930,000660 bongsu run --source kis

SIGTERM and SIGINT drain what is in flight, write a checkpoint and exit 0 within 10 seconds.";

/// `bongsu run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// Parts to run in this process
    #[arg(long, value_name = "ROLE,…", value_enum, value_delimiter = ',', default_value = "all")]
    pub roles: Vec<Role>,
    /// Where the feed comes from: sim or kis [default: kis when KIS keys are set, otherwise sim]
    #[arg(long, value_name = "sim|kis")]
    pub source: Option<String>,
    /// Issue codes to watch, separated by commas [default: all the simulator plays]
    #[arg(long, value_name = "CODE,…")]
    pub symbols: Option<String>,
    /// Stop after so many seconds, as SIGTERM would
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub duration: Option<Seconds>,
    /// What the simulator plays.
    #[command(flatten)]
    pub play: PlayArgs,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            roles: vec![Role::All],
            source: None,
            symbols: None,
            duration: None,
            play: PlayArgs::default(),
        }
    }
}

impl RunArgs {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = self.play.flags();
        flag(&mut flags, "feed.source", self.source.as_ref());
        flag(&mut flags, "feed.symbols", self.symbols.as_ref());
        flags
    }
}

/// A span of wall time on the command line; above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub std::time::Duration);

fn seconds(text: &str) -> Result<Seconds, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .map(Seconds)
        .ok_or_else(|| "expected seconds above 0, for example 60 or 2.5".into())
}

const KIS_SIM_HELP: &str = "\
Examples:
  bongsu kis-sim
  bongsu kis-sim --listen 127.0.0.1:9443 --ws-listen 127.0.0.1:21000 --market crash --hold
  KIS_BASE_URL=http://127.0.0.1:9443 KIS_WS_URL=ws://127.0.0.1:21000 bongsu run --source kis

It takes the keys in KIS_APP_KEY and KIS_APP_SECRET, or any keys when none are set.";

/// `bongsu kis-sim`. Its play and the form of its frames are settings (`sim.…`).
#[derive(Debug, Args)]
#[command(after_help = KIS_SIM_HELP)]
pub struct KisSimArgs {
    /// Where REST is served; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9443")]
    pub listen: SocketAddr,
    /// Where the WebSocket is served; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:21000")]
    pub ws_listen: SocketAddr,
    /// The market's clock stands still while a feed has no subscriber
    #[arg(long)]
    pub hold: bool,
    /// Registrations in one WebSocket session, or none for no limit
    #[arg(long, value_name = "N|none", default_value = "41")]
    pub max_registrations: RegistrationLimit,
    /// Environment that is played: real or mock [default: real]
    #[arg(long, value_name = "real|mock")]
    pub env: Option<String>,
    /// What is played.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Only the N most traded issues [default: all]
    #[arg(long, value_name = "N", help_heading = "Simulator")]
    pub symbols: Option<String>,
    /// Seed of everything invented [default: 20240805]
    #[arg(long, value_name = "N", help_heading = "Simulator")]
    pub seed: Option<String>,
    /// Fields of a trade, 46 or 47 [default: 47]
    #[arg(long, value_name = "N", help_heading = "Frames")]
    pub trade_fields: Option<String>,
    /// Fields of an order book, 59, 62 or 63 [default: 63]
    #[arg(long, value_name = "N", help_heading = "Frames")]
    pub book_fields: Option<String>,
    /// Trades of one issue that share a frame, at most [default: 20]
    #[arg(long, value_name = "N", help_heading = "Frames")]
    pub records_per_frame: Option<String>,
}

impl KisSimArgs {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = self.play.flags();
        flag(&mut flags, "kis.env", self.env.as_ref());
        flag(&mut flags, "sim.symbols", self.symbols.as_ref());
        flag(&mut flags, "sim.seed", self.seed.as_ref());
        flag(&mut flags, "sim.trade_fields", self.trade_fields.as_ref());
        flag(&mut flags, "sim.book_fields", self.book_fields.as_ref());
        flag(&mut flags, "sim.records_per_frame", self.records_per_frame.as_ref());
        flags
    }
}

/// How many registrations a session may hold; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationLimit(pub Option<usize>);

impl FromStr for RegistrationLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(Self(Some(limit))),
            _ => Err("expected a number above 0, or none".into()),
        }
    }
}

impl fmt::Display for RegistrationLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => write!(f, "{limit}"),
            None => f.write_str("none"),
        }
    }
}

const REPLAY_HELP: &str = "\
Examples:
  bongsu replay --journal var/journal --sandbox /tmp/again
  bongsu replay --data ticks.parquet --from 09:00 --to 09:30 --speed 60 --sandbox /tmp/half-hour

The last line of stdout is one JSON object with counts and `digest`: two replays of the same input
have the same digest, at any speed and on any machine.";

/// `bongsu replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["journal", "data"]))]
pub struct ReplayArgs {
    /// Journal to replay
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Parquet file of daily bars or single trades to replay
    #[arg(long, value_name = "F.parquet")]
    pub data: Option<PathBuf>,
    /// Day to replay from --data [default: the last one of the file]
    #[arg(long, value_name = "YYYY-MM-DD", requires = "data")]
    pub day: Option<String>,
    /// Parquet file of daily index bars, beside --data
    #[arg(long, value_name = "F.parquet", requires = "data")]
    pub indices: Option<String>,
    /// Folder of the sandbox: its database and objects; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub sandbox: PathBuf,
    /// Event seconds played in a second, or max
    #[arg(long, value_name = "X|max", default_value = "max", allow_negative_numbers = true)]
    pub speed: Speed,
    /// Leave out what is before this time
    #[arg(long, value_name = "T")]
    pub from: Option<ReplayTime>,
    /// Leave out what is from this time on
    #[arg(long, value_name = "T")]
    pub to: Option<ReplayTime>,
    /// Issue codes to keep, separated by commas [default: feed.symbols, or all]
    #[arg(long, value_name = "CODE,…")]
    pub symbols: Option<String>,
    /// Frames in one batch, at most [default: pipeline.batch_frames]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Option<u32>,
}

impl ReplayArgs {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        flag(&mut flags, "feed.symbols", self.symbols.as_ref());
        flags
    }
}

/// A bound of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayTime {
    /// An instant.
    Instant(EventTime),
    /// Korean wall time on every session day of the input.
    Daily(TimeOfDay),
}

impl FromStr for ReplayTime {
    type Err = String;

    /// `09:30[:00]`, `2024-08-05`, `2024-08-05T09:30:00` in Korean time, or RFC 3339.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected Korean time as 09:30 (on every day), 2024-08-05 or 2024-08-05T09:30:00, or \
             RFC 3339"
                .to_owned()
        };
        if let Ok(time) = text.parse::<TimeOfDay>() {
            return Ok(Self::Daily(time));
        }
        if let Ok(instant) = chrono::DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Instant(EventTime::from_micros(instant.timestamp_micros())));
        }
        let (day, time) = text.split_once('T').unwrap_or((text, "00:00"));
        let day: SessionDay = day.parse().map_err(|_| wrong())?;
        let time: TimeOfDay = time.parse().map_err(|_| wrong())?;
        Ok(Self::Instant(EventTime::from_kst(day, time)))
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
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// JSON lines in a terminal too
    #[arg(long)]
    pub json: bool,
}

/// `bongsu journal`.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// The journal [default: the folder journal in the data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What can be done with a journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the segments
    Ls,
    /// Check every record; exit 1 when one is damaged
    Verify,
    /// Print the records, one a line
    Dump {
        /// Only this segment
        #[arg(long, value_name = "N")]
        segment: Option<u64>,
        /// Stop after so many records
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
}

/// `bongsu doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
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
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::keys::find;

    fn parse(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(format!("bongsu {arguments}").split_whitespace())
    }

    fn flags(arguments: &str) -> Vec<Flag> {
        parse(arguments).unwrap().command.unwrap().flags()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_a_setting_that_names_it() {
        let all = [
            "run --source sim --symbols 005930 --data d --day 1 --indices i --speed 1",
            "run --market calm",
            "kis-sim --env mock --symbols 3 --seed 1 --trade-fields 46 --book-fields 59 \
             --records-per-frame 1",
        ];
        for arguments in all {
            for (key, _) in flags(arguments) {
                let key = find(&key).unwrap_or_else(|| panic!("{key} is no setting"));
                let flag = key.flag.unwrap_or_else(|| panic!("{} names no flag", key.path));
                assert!(arguments.contains(flag), "{flag}");
            }
        }
        let global = parse("--data-dir x --kis-devlp y").unwrap().global.flags();
        assert!(global.iter().all(|(key, _)| find(key).unwrap().flag.is_some()));
    }

    #[test]
    fn nothing_means_run() {
        let cli = parse("--config f.toml").unwrap();
        assert!(cli.command.is_none());
        let Command::Run(args) = cli.command.unwrap_or_default() else { panic!("not run") };
        assert_eq!(args.roles, [Role::All]);
        assert!(args.flags().is_empty());
    }

    #[test]
    fn replay_takes_exactly_one_input() {
        assert!(parse("replay --journal j --sandbox s").is_ok());
        assert!(parse("replay --data d --sandbox s --batch 7").is_ok());
        assert!(parse("replay --sandbox s").is_err());
        assert!(parse("replay --journal j --data d --sandbox s").is_err());
        assert!(parse("replay --journal j").is_err());
        assert!(parse("replay --journal j --sandbox s --batch 0").is_err());
        assert!(parse("replay --journal j --sandbox s --speed -1").is_err());
    }

    #[test]
    fn replay_times() {
        let instant = |text: &str| match text.parse() {
            Ok(ReplayTime::Instant(time)) => time.rfc3339(),
            other => panic!("{other:?}"),
        };
        assert_eq!(instant("2024-08-05"), "2024-08-05T00:00:00+09:00");
        assert_eq!(instant("2024-08-05T09:30:00"), "2024-08-05T09:30:00+09:00");
        assert_eq!(instant("2024-08-05T00:30:00Z"), "2024-08-05T09:30:00+09:00");
        let daily = "09:30".parse::<ReplayTime>().unwrap();
        assert_eq!(daily, ReplayTime::Daily(TimeOfDay::from_hms(9, 30, 0).unwrap()));
        for wrong in ["", "noon", "2024-02-30", "2024-08-05T25:00"] {
            assert!(wrong.parse::<ReplayTime>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_and_durations() {
        assert_eq!("none".parse(), Ok(RegistrationLimit(None)));
        assert!("0".parse::<RegistrationLimit>().is_err());
        assert!(parse("run --duration 0").is_err());
        assert!(parse("run --duration nan").is_err());
        assert!(parse("run --duration 1e300").is_err());
        assert!(parse("run --duration 2.5").is_ok());
        assert!(parse("run --roles ingest,api").is_ok());
        assert!(parse("run --roles cook").is_err());
        assert!(parse("run --data d --market calm").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bound_of_a_replay_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<ReplayTime>();
        }
    }
}
