//! The commands that start a feed: `run` and `kis-sim`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Flag, flag};
use crate::kis::sim::{SimAccountNumber, fault_help};

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
    pub(super) fn flags(&self) -> Vec<Flag> {
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
    /// The whole HTTP interface; the others answer /healthz, /readyz and /metrics alone.
    Api,
}

impl Role {
    /// Whether a process with `roles` has this one.
    #[must_use]
    pub fn is_in(self, roles: &[Self]) -> bool {
        roles.contains(&Self::All) || roles.contains(&self)
    }
}

const RUN_HELP: &str = "\
Examples:
  bongsu run --market calm --speed 10
  bongsu run --data ticks.parquet --day 2020-06-04 --speed max --duration 60
  BONGSU_FEED__SYMBOLS=005930,000660 bongsu run --source kis

SIGTERM and SIGINT drain what is in flight and exit within 10 seconds.";

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
    pub(super) fn flags(&self) -> Vec<Flag> {
        let mut flags = self.play.flags();
        flag(&mut flags, "feed.source", self.source.as_ref());
        flag(&mut flags, "feed.symbols", self.symbols.as_ref());
        flags
    }
}

/// A span of wall time on the command line; above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub Duration);

fn seconds(text: &str) -> Result<Seconds, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Seconds)
        .ok_or_else(|| "expected seconds above 0, for example 60 or 2.5".into())
}

const KIS_SIM_HELP: &str = "\
Examples:
  bongsu kis-sim
  bongsu kis-sim --listen 127.0.0.1:9443 --ws-listen 127.0.0.1:21000 --market crash --hold
  KIS_BASE_URL=http://127.0.0.1:9443 KIS_WS_URL=ws://127.0.0.1:21000 bongsu run --source kis

  bongsu kis-sim --fault 'cut:at=09:30:00;refuse-connect:for=5s' --fault lose:p=0.001

It takes the keys in KIS_APP_KEY and KIS_APP_SECRET, or any keys when none are set. Every app key has
an account with 100,000,000 won, whose orders trade against the market that is played.

";

fn kis_sim_help() -> String {
    format!("{KIS_SIM_HELP}{}", fault_help())
}

/// `bongsu kis-sim`. Its play and the form of its frames are settings (`sim.…`).
#[derive(Debug, Args)]
#[command(after_help = kis_sim_help())]
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
    /// HTS id that order notices are subscribed with [default: any]
    #[arg(long, value_name = "ID")]
    pub hts_id: Option<String>,
    /// The only account number [default: the first that each app key names]
    #[arg(long, value_name = "8-2 DIGITS")]
    pub account: Option<SimAccountNumber>,
    /// Seconds by which the clock of REST answers (the header Date) is ahead; negative: behind
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-31_536_000..=31_536_000))]
    pub clock_offset: i64,
    /// Serve calls beyond KIS's rate limits as well
    #[arg(long)]
    pub no_rate_limits: bool,
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
    /// What goes wrong, KIND[:KEY=VALUE,…]; may be repeated
    #[arg(long, value_name = "SPEC", help_heading = "Simulator")]
    pub fault: Vec<String>,
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
    pub(super) fn flags(&self) -> Vec<Flag> {
        let mut flags = self.play.flags();
        flag(&mut flags, "kis.env", self.env.as_ref());
        flag(&mut flags, "sim.symbols", self.symbols.as_ref());
        flag(&mut flags, "sim.seed", self.seed.as_ref());
        let faults = (!self.fault.is_empty()).then(|| self.fault.join(";"));
        flag(&mut flags, "sim.fault", faults.as_ref());
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
