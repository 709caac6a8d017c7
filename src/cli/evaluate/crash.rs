//! Crash days and calm days from daily bars, through the detectors.
//!
//! Each day is rebuilt by the simulator from real open, high, low, close and volume, its frames are
//! decoded as the Normalizer decodes them, and every entry goes through a [`crate::risk::RiskEngine`], in
//! this process and as fast as it can.
//!
//! A market crash day is one with KOSPI or KOSDAQ at or below −5 % at any time (a circuit breaker is
//! further down). It is *detected* when a market crash of level critical is told that day, *missed*
//! when not; a critical one on any other day is a *false alarm*. The delay runs from the first print
//! at or below −5 % to the critical event, and is below zero when that comes first; a warning usually
//! does, and has its own column.
//!
//! Limits: open, high, low and close of every index and issue are real, when they were reached is
//! not: the path between is invented from a seed, and issues follow their index more closely than
//! real ones do. So levels at the announcement mean something, clock times of a day do not. Breadth
//! is that of the file's issues.

mod days;
mod watch;

use std::fmt::{Display, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::kis::sim::{FrameShape, Playback, SimError, SimSource};
use crate::market::{EventTime, SessionDay};
use crate::model::panel::Panel;
use crate::risk::RiskParams;

/// Fall of an index at which a day is a market crash day, per cent.
pub const CRASH_PCT: f64 = 5.0;

/// Most traded issues and mean trades of each that show what a day gives about as well as all of it
/// does, in a tenth of a second.
pub const FEWER_SYMBOLS: usize = 120;
/// See [`FEWER_SYMBOLS`].
pub const FEWER_TRADES: usize = 300;

/// Which days are played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrashDays {
    /// These.
    Given(Vec<SessionDay>),
    /// 2020-03-19, 2024-08-05 and 2025-04-07, and the calmest day of 2021, 2022 and 2023: the one with
    /// the smallest product of the size of KOSPI's return and the dispersion of the issues' returns.
    Known,
    /// Every market crash day of both files, and the calmest day of every year in them.
    All,
}

/// How a day is played.
#[derive(Debug, Clone, Default)]
pub struct CrashOptions {
    /// Settings of the detectors.
    pub params: RiskParams,
    /// Only the so many most traded issues.
    pub symbols: Option<usize>,
    /// Mean trades of an issue.
    pub trades_per_symbol: Option<usize>,
    /// Seed of the paths between the daily prices.
    pub seed: u64,
}

/// A level of the market crash, when it was first told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Announced {
    /// Event time.
    #[serde(serialize_with = "shown")]
    pub time: EventTime,
    /// Change of the lower of the two indices against its previous close at that moment, per cent;
    /// `None` before the first print of the day.
    pub index_change_pct: Option<f64>,
    /// What told it: the name of the index, or of the whole market for breadth.
    pub by: String,
}

/// Numbers by level.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ByLevel {
    /// Watch.
    pub watch: usize,
    /// Warning.
    pub warning: usize,
    /// Critical.
    pub critical: usize,
}

/// What a day gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrashDay {
    /// Session.
    #[serde(serialize_with = "shown")]
    pub day: SessionDay,
    /// Whether it is a market crash day.
    pub crash: bool,
    /// Open, lowest and last level of the lower index against its previous close, per cent: each
    /// of the index that stood lowest then.
    pub open_pct: f64,
    /// Lowest.
    pub low_pct: f64,
    /// First print at or below −5 %.
    #[serde(serialize_with = "shown_if_any")]
    pub crossed: Option<EventTime>,
    /// First market crash of each level, `None` where there was none.
    pub watch: Option<Announced>,
    /// Warning.
    pub warning: Option<Announced>,
    /// Critical.
    pub critical: Option<Announced>,
    /// From `crossed` to the first critical, seconds.
    pub delay_s: Option<f64>,
    /// Time of the first crash of an issue.
    #[serde(serialize_with = "shown_if_any")]
    pub first_symbol: Option<EventTime>,
    /// Issues that were played.
    pub issues: usize,
    /// Crash events of issues by level.
    pub symbol_events: ByLevel,
    /// The same events by the view that saw them: window, jump, slide, base.
    pub symbol_views: [usize; 4],
    /// Issues with a crash event of at least this level.
    pub symbols: ByLevel,
    /// Issues that stood 10, 15, 20 % below their base price at some time: the plain rule.
    pub plain_falls: ByLevel,
    /// Threats by rule.
    pub threats: std::collections::BTreeMap<&'static str, usize>,
}

/// What all days gave; the first five fields are those of `bongsu evaluate`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrashReport {
    /// Market crash days.
    pub days: usize,
    /// Of these, those with a critical market crash.
    pub detected: usize,
    /// Those without.
    pub missed: usize,
    /// Other days with one.
    pub false_alarms: usize,
    /// Median delay of the detected, seconds.
    pub median_delay_s: Option<f64>,
    /// Each day.
    pub sessions: Vec<CrashDay>,
}

fn shown<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn shown_if_any<S: Serializer>(value: &Option<impl Display>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// Plays `days` of the daily bars in `data` with the indices in `indices`.
///
/// # Errors
/// A file is missing or not what it should be, or lacks a day.
pub fn run(
    data: &Path,
    indices: &Path,
    days: &CrashDays,
    options: &CrashOptions,
) -> anyhow::Result<CrashReport> {
    let days = match days {
        CrashDays::Given(days) => days.clone(),
        CrashDays::Known => days::known(data, indices)?,
        CrashDays::All => days::all(data, indices)?,
    };
    if days.is_empty() {
        return Err(anyhow!("no day to play: the files have no market crash day in common"));
    }
    run_days(&[data], &[indices], &days, options)
}

/// The market crash days in `panel` from the first to the last day of `window`, and of the calmest days
/// of the years those that lie in it.
#[must_use]
pub fn days_within(panel: &Panel, window: (SessionDay, SessionDay)) -> Vec<SessionDay> {
    days::within(panel, window)
}

/// Plays each of `days` from the first of the files `data` and of the files `indices` that have it. No day
/// at all gives a report of zeros.
///
/// # Errors
/// A file is missing or not what it should be, or no file has a day.
pub fn run_days<P: AsRef<Path> + Sync>(
    data: &[P],
    indices: &[P],
    days: &[SessionDay],
    options: &CrashOptions,
) -> anyhow::Result<CrashReport> {
    let play = |&day: &SessionDay| {
        let playback =
            rebuilt(data, indices, day, options).with_context(|| format!("the day {day}"))?;
        watch::play(playback, &options.params)
    };
    let played: Vec<anyhow::Result<CrashDay>> = days.par_iter().map(play).collect();
    // The first error by day, not by time.
    Ok(CrashReport::of(played.into_iter().collect::<anyhow::Result<_>>()?))
}

fn rebuilt<P: AsRef<Path>>(
    data: &[P],
    indices: &[P],
    day: SessionDay,
    options: &CrashOptions,
) -> anyhow::Result<Playback> {
    let mut lacking = None;
    for (bars, levels) in data.iter().flat_map(|bars| indices.iter().map(move |file| (bars, file)))
    {
        let source = SimSource::Data {
            path: bars.as_ref().to_path_buf(),
            day: Some(day),
            indices: Some(levels.as_ref().to_path_buf()),
            symbols: options.symbols,
        };
        // Books are left out: the trades carry best quotes and depth.
        let shape = FrameShape { records_per_frame: 100, book_every: 0, ..FrameShape::default() };
        match Playback::load(&source, options.seed, options.trades_per_symbol, shape) {
            Err(error @ SimError::Day { .. }) => lacking = Some(error),
            loaded => return Ok(loaded?),
        }
    }
    Err(lacking.map_or_else(|| anyhow!("no file to rebuild it from"), Into::into))
}

impl CrashReport {
    fn of(sessions: Vec<CrashDay>) -> Self {
        let crashes = || sessions.iter().filter(|day| day.crash);
        let detected = crashes().filter(|day| day.critical.is_some()).count();
        let calm = sessions.iter().filter(|day| !day.crash);
        let mut delays: Vec<f64> = crashes().filter_map(|day| day.delay_s).collect();
        delays.sort_by(f64::total_cmp);
        let median = |delays: &[f64]| {
            let (low, high) =
                (delays.get((delays.len().max(1) - 1) / 2)?, delays.get(delays.len() / 2)?);
            Some((low + high) / 2.0)
        };
        Self {
            days: crashes().count(),
            detected,
            missed: crashes().count() - detected,
            false_alarms: calm.filter(|day| day.critical.is_some()).count(),
            median_delay_s: median(&delays),
            sessions,
        }
    }

    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from(
            "day         crash   open    low  watch             warning           critical          \
             delay  first issue  issues with a crash event w/W/C   fell 10/15/20 %\n",
        );
        for day in &self.sessions {
            let told = |announced: &Option<Announced>| match announced {
                Some(told) => match told.index_change_pct {
                    Some(change) => format!("{} {change:>+6.2} %", told.time.time_of_day()),
                    None => format!("{} no print", told.time.time_of_day()),
                },
                None => "–".to_owned(),
            };
            let clock = |time: Option<EventTime>| {
                time.map_or_else(|| "–".to_owned(), |time| time.time_of_day().to_string())
            };
            let delay = day.delay_s.map_or_else(|| "–".to_owned(), |delay| format!("{delay:.0} s"));
            let levels = |n: &ByLevel| format!("{}/{}/{}", n.watch, n.warning, n.critical);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{}  {:<5} {:>+6.2} {:>+6.2}  {:<17} {:<17} {:<17} {:>6} {:>11}  {:<12} of {:<15} {}",
                day.day,
                if day.crash { "yes" } else { "no" },
                day.open_pct,
                day.low_pct,
                told(&day.watch),
                told(&day.warning),
                told(&day.critical),
                delay,
                clock(day.first_symbol),
                levels(&day.symbols),
                day.issues,
                levels(&day.plain_falls),
            );
        }
        let delay = match self.median_delay_s {
            Some(delay) => format!("{delay:.0} s"),
            None => "none".to_owned(),
        };
        let _ = writeln!(
            out,
            "\n{} market crash days: {} detected, {} missed; {} false alarms on {} other days; median delay {delay}",
            self.days,
            self.detected,
            self.missed,
            self.false_alarms,
            self.sessions.len() - self.days,
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(crash: bool, delay_s: Option<f64>) -> CrashDay {
        let time = EventTime::default();
        let critical =
            delay_s
                .map(|_| Announced { time, index_change_pct: Some(-5.1), by: "코스피".into() });
        CrashDay {
            day: SessionDay::default(),
            crash,
            open_pct: 0.0,
            low_pct: -5.2,
            crossed: crash.then_some(time),
            watch: critical.clone(),
            warning: None,
            critical,
            delay_s: delay_s.filter(|_| crash),
            first_symbol: None,
            issues: 10,
            symbol_events: ByLevel::default(),
            symbol_views: [0; 4],
            symbols: ByLevel::default(),
            plain_falls: ByLevel::default(),
            threats: Default::default(),
        }
    }

    #[test]
    fn days_are_counted_once() {
        let report = CrashReport::of(vec![
            day(true, Some(4.0)),
            day(true, Some(-10.0)),
            day(true, None),
            day(false, Some(1.0)),
            day(false, None),
        ]);
        assert_eq!((report.days, report.detected, report.missed), (3, 2, 1));
        assert_eq!((report.false_alarms, report.median_delay_s), (1, Some(-3.0)));
        assert!(
            report
                .table()
                .contains("3 market crash days: 2 detected, 1 missed; 1 false alarms on 2")
        );
        assert_eq!(CrashReport::of(Vec::new()).median_delay_s, None);
    }
}
