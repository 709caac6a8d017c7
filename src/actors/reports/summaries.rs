//! A day and a week in a few numbers, read from the database: what the daily market report and the
//! weekly review rest on where no board is at hand.

use crate::llm::request::{IndexWeek, PicksWeek, SummaryRow, WeekSummary, WritingWeek};
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{Directory, EventTime, SessionDay, TimeOfDay};
use crate::store::{Database, StoreError, report_data};

/// Issues named in a review.
const ISSUES: u64 = 8;
/// Picks judged in a review.
const PICKS: u64 = 500;
/// Days that a review covers, its last one included.
const WEEK_DAYS: i32 = 7;

fn midnight(day: SessionDay) -> EventTime {
    EventTime::from_kst(day, TimeOfDay::default())
}

/// Alerts of the day of `until` so far, by level: watch, warning, critical.
///
/// # Errors
/// When the database fails.
pub async fn alerts_of_day(database: &Database, until: EventTime) -> Result<[u32; 3], StoreError> {
    let from = midnight(until.session_day());
    let mut counts = [0; 3];
    for (_, _, level, count) in report_data::event_counts(database, from, until).await? {
        counts[level_index(&level)] += u32::try_from(count).unwrap_or(u32::MAX);
    }
    Ok(counts)
}

fn level_index(level: &str) -> usize {
    match level {
        "critical" => 2,
        "warning" => 1,
        _ => 0,
    }
}

/// The seven days that end with `to`; `None` when nothing was scored in them.
///
/// # Errors
/// When the database fails.
pub async fn week(
    database: &Database,
    directory: &Directory,
    to: SessionDay,
) -> Result<Option<WeekSummary>, StoreError> {
    let first = SessionDay::from_epoch_days(to.epoch_days() + 1 - WEEK_DAYS);
    let (from, until) = (midnight(first), midnight(to.next()));
    let Some(as_of) = report_data::latest_score(database, from, until).await? else {
        return Ok(None);
    };
    let (mut crashes, mut threats) = ([0; 3], Vec::<(String, u32)>::new());
    for (kind, rule, level, count) in report_data::event_counts(database, from, until).await? {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if kind == "crash" {
            crashes[level_index(&level)] += count;
        }
        match threats.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, sum)) => *sum += count,
            None => threats.push((rule, count)),
        }
    }
    threats.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut riskiest = Vec::new();
    for (code, score) in report_data::riskiest(database, from, until, ISSUES).await? {
        let Ok(symbol) = code.parse() else { continue };
        let Some((first, last, _)) = report_data::ends(database, &code, from, until).await? else {
            continue;
        };
        let name = directory.find(symbol).map(|id| directory.reference(id).name.clone());
        riskiest.push(SummaryRow {
            symbol,
            name: name.unwrap_or_default(),
            score,
            price: last,
            change_pct: change(first, last),
            daily_volatility_pct: 0.0,
        });
    }
    let sources = report_data::gravest_events(database, from, until, ISSUES).await?;
    let (sessions, indices) = indices(database, from, until).await?;
    Ok(Some(WeekSummary {
        from: first,
        to,
        as_of,
        sessions,
        indices,
        crashes,
        threats,
        riskiest,
        picks: picks(database, from, until).await?,
        writing: writing(database, from, until).await?,
        sources: sources.into_iter().map(|event| event.id).collect(),
    }))
}

fn change(first: i64, last: i64) -> f64 {
    if first == 0 { 0.0 } else { (last as f64 / first as f64 - 1.0) * 100.0 }
}

/// Sessions with bars of an index, and the indices over the week: from the last close before it
/// when that is stored, else from its first minute.
async fn indices(
    database: &Database,
    from: EventTime,
    until: EventTime,
) -> Result<(u32, Vec<IndexWeek>), StoreError> {
    let (mut days, mut found) = (Vec::new(), Vec::new());
    for (code, name) in [(KOSPI_CODE, "코스피"), (KOSDAQ_CODE, "코스닥")] {
        let mut bars = report_data::closes(database, code, "1m", from, until).await?;
        if bars.is_empty() {
            bars = report_data::closes(database, code, "1d", from, until).await?;
        }
        days.extend(bars.iter().map(|(time, _)| time.session_day()));
        if let (Some((_, first)), Some((_, last))) = (bars.first(), bars.last()) {
            let change_pct = change(*first, *last);
            found.push(IndexWeek { name: name.to_owned(), last: *last, change_pct });
        }
    }
    if days.is_empty() {
        let path = report_data::market_path(database, from, until).await?;
        days.extend(path.iter().map(|(time, _)| time.session_day()));
    }
    days.sort_unstable();
    days.dedup();
    Ok((u32::try_from(days.len()).unwrap_or(u32::MAX), found))
}

/// How the picks of the week stand at its end: each issue once, from its first pick.
async fn picks(
    database: &Database,
    from: EventTime,
    until: EventTime,
) -> Result<Option<PicksWeek>, StoreError> {
    let mut made = report_data::picks(database, from, until, PICKS).await?;
    made.sort();
    made.dedup_by(|a, b| a.0 == b.0);
    let (mut rose, mut changes) = (0, Vec::new());
    for (code, price) in made {
        if let Some((_, last, _)) = report_data::ends(database, &code, from, until).await? {
            rose += u32::from(last > price);
            changes.push(change(price, last));
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let mean_change_pct = changes.iter().sum::<f64>() / changes.len() as f64;
    let judged = u32::try_from(changes.len()).unwrap_or(u32::MAX);
    Ok(Some(PicksWeek { judged, rose, mean_change_pct }))
}

/// How the language model fared.
async fn writing(
    database: &Database,
    from: EventTime,
    until: EventTime,
) -> Result<Option<WritingWeek>, StoreError> {
    let (mut requests, mut valid) = (0, 0);
    for (outcome, calls, ..) in report_data::llm_account(database, from, until).await? {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        requests += calls;
        valid += if matches!(outcome.as_str(), "ok" | "cached") { calls } else { 0 };
    }
    Ok((requests > 0).then_some(WritingWeek { requests, valid }))
}
