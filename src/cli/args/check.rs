//! Flags of `check crash` and `check hedge`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::cli::evaluate::crash::CrashDays;
use crate::market::SessionDay;

/// What `check crash` plays and `check hedge` reads.
#[derive(Debug, Default, Args)]
pub struct CheckCrashArgs {
    /// crash, hedge: Parquet file of daily bars: date, symbol, name, market, open, high, low, close,
    /// volume, halted (shares); hedge: several, each going on where the one before ends
    #[arg(long, value_name = "F.parquet", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// crash, hedge: Parquet file of daily index bars: date, series (KOSPI and KOSDAQ), open, high,
    /// low, close
    #[arg(long, value_name = "F.parquet")]
    pub indices: Option<PathBuf>,
    /// crash: days to play, separated by commas; known: three crash days and three calm ones; all:
    /// every crash day of the files and the calmest day of each year
    #[arg(long, value_name = "YYYY-MM-DD,…|known|all", default_value = "known")]
    pub days: DayList,
    /// crash: only the so many most traded issues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub symbols: Option<u32>,
    /// crash: mean trades of an issue [default: some 800,000 in all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trades: Option<u32>,
}

/// Days to play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayList(pub CrashDays);

impl Default for DayList {
    fn default() -> Self {
        Self(CrashDays::Known)
    }
}

impl FromStr for DayList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "known" => return Ok(Self(CrashDays::Known)),
            "all" => return Ok(Self(CrashDays::All)),
            _ => {}
        }
        let days = text.split(',').map(|day| {
            day.trim().parse::<SessionDay>().map_err(|_| {
                format!("\"{day}\": expected days as 2024-08-05,2025-04-07, known or all")
            })
        });
        Ok(Self(CrashDays::Given(days.collect::<Result<_, _>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_words() {
        assert_eq!("all".parse(), Ok(DayList(CrashDays::All)));
        let day = "2024-08-05".parse().unwrap();
        assert_eq!("2024-08-05".parse(), Ok(DayList(CrashDays::Given(vec![day]))));
        assert!("2024-08-05,monday".parse::<DayList>().unwrap_err().contains("\"monday\""));
    }
}
