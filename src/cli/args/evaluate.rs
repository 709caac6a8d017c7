//! What can be typed after `bongsu evaluate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::market::SessionDay;
use crate::model::Origin;
use crate::model::train::Method;

const HELP: &str = "\
Examples:
  bongsu evaluate --data krx-daily.parquet --indices indices.parquet
  bongsu evaluate --data daily.csv --from 2024-07-01 --to 2025-06-30 --origin open --json
  bongsu evaluate --data others.parquet --fit-universe krx-daily.parquet --indices indices.parquet
  bongsu evaluate --data krx-daily.parquet --leak-check

Files are Parquet or CSV. Bars: date, symbol, open, high, low, close, volume (halted, jump). Index \
series: date, series, open, high, low, close, of which KOSPI, VIX and SP500 are used, and KOSPI and \
KOSDAQ to play the crash days of the window (Parquet only; bars with name, market, halted). A row is \
scored once its issue has 500 days of history and enough value traded.";

/// When forecasts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OriginWord {
    /// At the KRX close of the session before
    Close,
    /// Before the open, knowing the US session of the night
    Open,
}

impl From<OriginWord> for Origin {
    fn from(word: OriginWord) -> Self {
        match word {
            OriginWord::Close => Self::Close,
            OriginWord::Open => Self::Open,
        }
    }
}

/// How it is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodWord {
    /// Tails that follow the market
    Adaptive,
    /// The classical model, to compare with
    Har25,
}

impl From<MethodWord> for Method {
    fn from(word: MethodWord) -> Self {
        match word {
            MethodWord::Adaptive => Self::Adaptive,
            MethodWord::Har25 => Self::Har25,
        }
    }
}

/// `bongsu evaluate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct EvaluateArgs {
    /// Daily bars; several files of one adjustment are joined, the first counts
    #[arg(long, value_name = "F", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Index series
    #[arg(long, value_name = "F", num_args = 1..)]
    pub indices: Vec<PathBuf>,
    /// Fit on the issues of this file only (bars, or a column `symbol`); default: all of --data
    #[arg(long, value_name = "F")]
    pub fit_universe: Option<PathBuf>,
    /// First session; default: the first that can be scored
    #[arg(long, value_name = "DATE")]
    pub from: Option<SessionDay>,
    /// Last session; default: the last of the data
    #[arg(long, value_name = "DATE")]
    pub to: Option<SessionDay>,
    /// When forecasts are made
    #[arg(long, value_enum, value_name = "WORD", default_value_t = OriginWord::Close)]
    pub origin: OriginWord,
    /// How it is forecast
    #[arg(long, value_enum, value_name = "WORD", default_value_t = MethodWord::Adaptive)]
    pub method: MethodWord,
    /// Write the forecasts (.parquet or .csv)
    #[arg(long, value_name = "OUT")]
    pub forecasts: Option<PathBuf>,
    /// Write the weekly picks (.parquet or .csv)
    #[arg(long, value_name = "OUT")]
    pub picks: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Do it again on data that end earlier, and compare bit by bit; exit code 1 on a difference
    #[arg(long)]
    pub leak_check: bool,
}
