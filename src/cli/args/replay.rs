//! `replay`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{Flag, flag};
use crate::config::Speed;
use crate::market::{EventTime, SessionDay, TimeOfDay};

const REPLAY_HELP: &str = "\
Examples:
  bongsu replay --journal var/journal --sandbox /tmp/again
  bongsu replay --archive var/objects --day 2024-08-05 --sandbox /tmp/that-day
  bongsu replay --data ticks.parquet --from 09:00 --to 09:30 --speed 60 --sandbox /tmp/half-hour
  bongsu replay --tasks --sandbox /tmp/calls --against /tmp/before/results.jsonl

The last line of stdout is one JSON object with counts and `digest`: two replays of the same input \
have the same digest, at any speed and on any machine.";

/// `bongsu replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["journal", "data", "market", "archive", "tasks"]))]
pub struct ReplayArgs {
    /// Journal to replay
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Parquet file of daily bars or single trades to replay
    #[arg(long, value_name = "F.parquet")]
    pub data: Option<PathBuf>,
    /// Market of the simulator to replay: the name of a shipped one, or the path of a script
    #[arg(long, value_name = "NAME")]
    pub market: Option<String>,
    /// Archive to replay: a folder with objects or a copy of the bucket raw-data, or s3 for the
    /// service of the settings
    #[arg(long, value_name = "DIR|s3")]
    pub archive: Option<PathBuf>,
    /// Calls of tasks that the settings' database recorded (task_runs): made again over a copy of its
    /// rows, each as of its moment
    #[arg(long, conflicts_with_all = ["batch", "symbols"])]
    pub tasks: bool,
    /// results.jsonl of an earlier replay of tasks; a result that differs is a failure
    #[arg(long, value_name = "FILE", requires = "tasks")]
    pub against: Option<PathBuf>,
    /// Day to replay from --data [default: the last one of the file] or --archive [default: all]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["journal", "market", "tasks"])]
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
    pub(super) fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        flag(&mut flags, "feed.symbols", self.symbols.as_ref());
        flag(&mut flags, "sim.market", self.market.as_ref());
        flag(&mut flags, "sim.day", self.day.as_ref());
        flag(&mut flags, "sim.indices", self.indices.as_ref());
        let data = self.data.as_ref().map(|path| path.display().to_string());
        flag(&mut flags, "sim.data", data.as_ref());
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
