//! A day rebuilt from daily bars.
//!
//! Every issue meets its real open, high, low, close and volume; the issues fall and rise together
//! along the day's index (or, without an index file, along the median issue). Levels out of order
//! are clamped, halted rows are listed but do not trade, the sessions before give base price,
//! previous volume and history. A bar that leaves the day's price limits (a first day, a
//! re-opening, prices adjusted on that day) means that the issue has none. Then the day is made to
//! obey the market rules: see [`interruptions`].

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::market::{Market, Reference, SessionDay, Symbol};

use super::SimError;
use super::columns::{Batch, Table};
use super::indices::{self, Indices};
use super::interruptions::{self, Levels};
use crate::kis::sim::day::{DailyBar, Day, Issue, NO_LIMITS, Print};
use crate::kis::sim::interruption::Rules;
use crate::kis::sim::path::{self, Bar, Course, Plan, log_path};

const COLUMNS: [&str; 11] = [
    "date", "symbol", "name", "market", "open", "high", "low", "close", "volume", "halted",
    "shares",
];

/// Calendar days that hold the history of an issue: its sessions and the longest holidays.
const HISTORY_DAYS: i32 = 150;
/// Rough number of trades in a rebuilt day when nothing is asked for.
const TRADES_IN_ALL: usize = 800_000;

#[derive(Default)]
struct Rows {
    name: String,
    market: Market,
    shares: i64,
    /// Whether the last bar is marked as a day without trading.
    halted: bool,
    bars: Vec<DailyBar>,
}

/// Loads `wanted`, or the last day, of a file of daily bars.
pub(super) fn load(
    table: Table,
    wanted: Option<SessionDay>,
    index_file: Option<&Path>,
    symbols: Option<usize>,
    trades_per_symbol: Option<usize>,
    seed: u64,
) -> Result<Day, SimError> {
    let path = table.path.clone();
    let day = match wanted {
        Some(day) => day,
        None => last_day(Table::open(&path)?)?,
    };
    let mut by_symbol: BTreeMap<Symbol, Rows> = BTreeMap::new();
    let (mut first, mut last) = (i32::MAX, i32::MIN);
    for batch in table.read(&COLUMNS)? {
        read_batch(&batch?, day, &mut by_symbol, &mut first, &mut last)?;
    }
    for rows in by_symbol.values_mut() {
        rows.bars.sort_by_key(|bar| bar.day);
    }
    let mut stocks: Vec<(Symbol, Rows)> = by_symbol
        .into_iter()
        .filter(|(_, rows)| rows.bars.last().is_some_and(|bar| bar.day == day))
        .collect();
    if stocks.is_empty() {
        if first > last {
            return Err(SimError::Empty { path, reason: "it has no rows".into() });
        }
        let [first, last] = [first, last].map(SessionDay::from_epoch_days);
        return Err(SimError::Day { path, day, first, last });
    }
    if let Some(most) = symbols {
        // Ties by code, so that the choice is the same every time.
        stocks.sort_by_key(|(symbol, rows)| {
            (std::cmp::Reverse(rows.bars.last().map_or(0, |bar| bar.close * bar.volume)), *symbol)
        });
        stocks.truncate(most);
        stocks.sort_by_key(|(symbol, _)| *symbol);
    }
    let indices = match index_file {
        Some(file) => Some(indices::load(file, day, seed)?),
        None => None,
    };
    Ok(build(day, stocks, indices, trades_per_symbol, seed))
}

/// The last day of a file.
fn last_day(table: Table) -> Result<SessionDay, SimError> {
    let path = table.path.clone();
    let mut last = None;
    for batch in table.read(&["date"])? {
        last = last.max(batch?.dates("date")?.into_iter().max());
    }
    last.map(SessionDay::from_epoch_days)
        .ok_or_else(|| SimError::Empty { path, reason: "it has no rows".into() })
}

fn read_batch(
    batch: &Batch,
    day: SessionDay,
    by_symbol: &mut BTreeMap<Symbol, Rows>,
    first: &mut i32,
    last: &mut i32,
) -> Result<(), SimError> {
    let (dates, codes) = (batch.dates("date")?, batch.texts("symbol")?);
    let (names, markets) = (batch.texts("name")?, batch.texts("market")?);
    let [opens, highs] = [batch.integers("open")?, batch.integers("high")?];
    let [lows, closes] = [batch.integers("low")?, batch.integers("close")?];
    let volumes = batch.integers("volume")?;
    let halted = batch.flags("halted")?;
    // Only the exchange's own sheets tell the shares listed.
    let shares = batch.integers("shares").ok();
    for (row, date) in dates.iter().enumerate() {
        (*first, *last) = ((*first).min(*date), (*last).max(*date));
        if *date > day.epoch_days() || *date < day.epoch_days() - HISTORY_DAYS {
            continue;
        }
        let code = codes.get(row).ok_or_else(|| batch.missing("symbol", row))?;
        let symbol = Symbol::from_bytes(code.as_bytes())
            .ok_or_else(|| batch.impossible("symbol", code, "1 to 8 letters or digits"))?;
        let Some(close) = closes[row].filter(|close| *close > 0) else { continue };
        let level = |values: &[Option<i64>]| values[row].filter(|v| *v > 0).unwrap_or(close);
        let bar = Bar::clamped(level(&opens), level(&highs), level(&lows), close);
        let rows = by_symbol.entry(symbol).or_insert_with(|| Rows {
            name: names.get(row).unwrap_or_default().to_owned(),
            market: market_of(markets.get(row)),
            ..Rows::default()
        });
        rows.shares = shares.as_ref().and_then(|shares| shares[row]).unwrap_or(rows.shares);
        rows.halted = halted[row];
        rows.bars.push(DailyBar {
            day: SessionDay::from_epoch_days(*date),
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: volumes[row].unwrap_or(0).max(0),
        });
    }
    Ok(())
}

fn market_of(name: Option<&str>) -> Market {
    match name {
        Some("KOSPI") => Market::Kospi,
        Some("KOSDAQ") => Market::Kosdaq,
        Some(_) => Market::Other,
        None => Market::Unknown,
    }
}

fn build(
    day: SessionDay,
    stocks: Vec<(Symbol, Rows)>,
    indices: Option<Indices>,
    trades_per_symbol: Option<usize>,
    seed: u64,
) -> Day {
    let mut today = Vec::with_capacity(stocks.len());
    let mut issues = Vec::with_capacity(stocks.len());
    for (symbol, mut rows) in stocks {
        // `load` keeps only issues whose last bar is today's.
        let Some(bar) = rows.bars.pop() else { continue };
        let base_price = rows.bars.last().map_or(bar.open, |before| before.close);
        let mut issue = Issue::new(day, symbol, rows.market, base_price, seed);
        issue.name = rows.name;
        issue.listed_shares = rows.shares;
        issue.previous_volume = rows.bars.last().map_or(0, |before| before.volume);
        issue.halted = rows.halted;
        let skip = rows.bars.len().saturating_sub(Reference::MAX_CLOSES);
        issue.history = rows.bars.split_off(skip);
        if bar.low < issue.limits.0 || bar.high > issue.limits.1 {
            issue.limits = NO_LIMITS;
        }
        issues.push(issue);
        today.push(bar);
    }
    let unlimited = issues.iter().filter(|issue| issue.limits == NO_LIMITS).count();
    if unlimited > 0 {
        tracing::info!(%day, unlimited, "issues left their price limits that day and have none");
    }
    let mean = trades_per_symbol
        .unwrap_or_else(|| (TRADES_IN_ALL / issues.len().max(1)).clamp(400, 4_000));
    let median = median_course(&issues, &today, seed);
    let mut volumes: Vec<i64> = today.iter().map(|bar| bar.volume).collect();
    volumes.sort_unstable();
    let typical = volumes[volumes.len() / 2].max(1) as f64;

    let mut paths: Vec<(Vec<Print>, i64)> = (0..issues.len())
        .into_par_iter()
        .map(|number| {
            let (issue, bar) = (&issues[number], &today[number]);
            // A thin issue can go a day without a trade and not be halted.
            if issue.halted || bar.volume == 0 {
                return (Vec::new(), 100);
            }
            let factor = (bar.volume as f64 / typical).sqrt().clamp(0.1, 3.0);
            let trades = ((mean as f64 * factor * 0.8) as usize).max(2);
            let course = indices.as_ref().and_then(|indices| indices.course(issue.market));
            let Bar { open, high, low, close } =
                Bar::clamped(bar.open, bar.high, bar.low, bar.close);
            let plan = Plan {
                day,
                market: issue.market,
                bar: Bar { open, high, low, close },
                volume: bar.volume,
                trades,
                course: course.unwrap_or(&median),
                issue: number as u32,
            };
            let mut rng = ChaCha8Rng::seed_from_u64(issue.salt);
            let prints = path::rebuild(&plan, &mut rng);
            let depth = bar.volume / prints.len() as i64 * 3;
            (prints, depth.max(20))
        })
        .collect();
    for (issue, (_, depth)) in issues.iter_mut().zip(&paths) {
        issue.depth_unit = *depth;
    }
    let mut prints = Vec::with_capacity(paths.iter().map(|(prints, _)| prints.len()).sum());
    for (path, _) in &mut paths {
        prints.append(path);
    }
    prints.par_sort_by_key(|print| (print.at_ms, print.issue));
    let mut loaded = Day {
        day,
        issues,
        prints,
        series: Vec::new(),
        index_prints: Vec::new(),
        speed: None,
        rules: Rules::default(),
    };
    if let Some(indices) = indices {
        indices.add_to(&mut loaded);
    }
    interruptions::act_out(&mut loaded, &Levels::Given, seed);
    loaded
}

/// The course of the median issue: its median range and close against the open.
fn median_course(issues: &[Issue], today: &[DailyBar], seed: u64) -> Course {
    const SCALE: f64 = 1_000_000.0;
    let traded = || {
        let pairs = issues.iter().zip(today);
        pairs.filter(|(issue, bar)| !issue.halted && bar.volume > 0).map(|(_, bar)| bar)
    };
    let median = |of: fn(&DailyBar) -> i64| {
        let mut ratios: Vec<f64> =
            traded().map(|bar| of(bar) as f64 / bar.open.max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).map_or(SCALE as i64, |ratio| (ratio * SCALE) as i64)
    };
    let (high, low, close) =
        (median(|bar| bar.high), median(|bar| bar.low), median(|bar| bar.close));
    let bar = Bar::clamped(SCALE as i64, high, low, close);
    let us: Vec<f64> = (1..390).map(|minute| f64::from(minute) / 390.0).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (path, _, _) = log_path(&bar, &us, &Course::flat(), &mut rng);
    let open = SCALE.ln();
    let mut values = vec![0.0];
    values.extend(path.iter().map(|x| x - open));
    values.push((bar.close as f64).ln() - open);
    Course { values }
}
