//! The world as it stood at a moment, from the database: scores, daily bars, names, events.
//!
//! Nothing that is later than the moment asked for is looked at. Every list has a limit.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Statement,
};

use super::entity::{market_price, risk_score, threat_event};
use super::{Database, StoreError, Table};
use crate::market::{EventTime, Reference, SessionBar, SessionDay, Symbol};

/// Issues looked at, at most.
pub const MOST_ISSUES: usize = 8_192;
/// Issues in one statement.
const CHUNK: usize = 200;
/// Calendar days in which [`Reference::MAX_CLOSES`] sessions lie, holidays and all.
const CALENDAR_DAYS: i32 = 140;

/// Event time of the newest score; `None` while there is none. Within its minute, another issue's may
/// be some seconds newer.
///
/// # Errors
/// When the database fails.
pub async fn newest_score(db: &Database) -> Result<Option<EventTime>, StoreError> {
    // By the minute, which has an index.
    let newest = risk_score::Entity::find()
        .order_by_desc(risk_score::Column::Ts)
        .limit(1)
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))?;
    Ok(newest.map(|row| row.event_time))
}

/// The last score of each issue at `at`, not older than `since`; of `symbols`, or of all when there are none.
///
/// # Errors
/// When the database fails.
pub async fn scores_at(
    db: &Database,
    since: EventTime,
    at: EventTime,
    symbols: &[Symbol],
) -> Result<Vec<risk_score::Model>, StoreError> {
    if !symbols.is_empty() {
        let mut rows = Vec::new();
        for symbol in symbols.iter().take(MOST_ISSUES) {
            let row = risk_score::Entity::find()
                .filter(risk_score::Column::Symbol.eq(symbol.as_str()))
                .filter(risk_score::Column::Ts.lte(at))
                .filter(risk_score::Column::Ts.gt(since))
                .filter(risk_score::Column::EventTime.lte(at))
                .order_by_desc(risk_score::Column::Ts)
                .limit(1)
                .one(db.connection())
                .await
                .map_err(StoreError::statement("read risk_scores"))?;
            rows.extend(row);
        }
        return Ok(rows);
    }
    let sql = "SELECT r.* FROM risk_scores r JOIN \
               (SELECT symbol, MAX(ts) AS ts FROM risk_scores \
                WHERE ts <= ? AND ts > ? AND event_time <= ? GROUP BY symbol) newest \
               ON newest.symbol = r.symbol AND newest.ts = r.ts ORDER BY r.symbol LIMIT 8192";
    let values = [at.into(), since.into(), at.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    risk_score::Entity::find()
        .from_raw_sql(statement)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))
}

/// Each issue with its sessions before `day`, from the finished daily bars; of `symbols`, or of all when there
/// are none. One without a bar is left out.
///
/// # Errors
/// When the database fails, or holds a code that is none.
pub async fn references_at(
    db: &Database,
    day: SessionDay,
    symbols: &[Symbol],
) -> Result<Vec<Reference>, StoreError> {
    let start = |day: SessionDay| EventTime::from_kst(day, crate::market::TimeOfDay::default());
    let (before, since) =
        (start(day), start(SessionDay::from_epoch_days(day.epoch_days() - CALENDAR_DAYS)));
    let daily = || {
        market_price::Entity::find()
            .filter(market_price::Column::Interval.eq("1d"))
            .filter(market_price::Column::IsFinal.eq(true))
            .filter(market_price::Column::Ts.lt(before))
            .filter(market_price::Column::Ts.gte(since))
    };
    let failed = || StoreError::statement("read daily market_prices");
    let codes: Vec<String> = match symbols {
        [] => daily()
            .select_only()
            .column(market_price::Column::Symbol)
            .distinct()
            .order_by_asc(market_price::Column::Symbol)
            .limit(MOST_ISSUES as u64)
            .into_tuple()
            .all(db.connection())
            .await
            .map_err(failed())?,
        some => some.iter().take(MOST_ISSUES).map(|symbol| symbol.as_str().to_owned()).collect(),
    };
    let mut references: BTreeMap<String, Reference> = BTreeMap::new();
    for codes in codes.chunks(CHUNK) {
        let rows = daily()
            .filter(market_price::Column::Symbol.is_in(codes.iter().map(String::as_str)))
            .order_by_asc(market_price::Column::Symbol)
            .order_by_asc(market_price::Column::Ts)
            .all(db.connection())
            .await
            .map_err(failed())?;
        for row in rows {
            // Index series stand under codes of four digits.
            if row.symbol.len() <= 4 {
                continue;
            }
            let symbol = parse(Table::MarketPrices, &row.symbol)?;
            let reference = references.entry(row.symbol).or_insert_with(|| Reference::bare(symbol));
            let bar = SessionBar {
                open: row.open,
                high: row.high,
                low: row.low,
                close: row.close,
                volume: row.volume,
            };
            reference.push_session(row.ts.session_day(), bar);
            reference.base_price = Some(row.close);
            reference.previous_volume = Some(row.volume);
        }
    }
    Ok(references.into_values().collect())
}

fn parse(table: Table, text: &str) -> Result<Symbol, StoreError> {
    text.parse().map_err(|_| StoreError::Content {
        table: table.as_str(),
        column: "symbol",
        value: text.to_owned(),
        expected: "an issue code",
    })
}

#[derive(FromQueryResult)]
struct Named {
    symbol: String,
    name: String,
}

/// Korean names of `symbols`, as picks and events have them; issues that never were in one are left out.
///
/// # Errors
/// When the database fails.
pub async fn names(
    db: &Database,
    symbols: &BTreeSet<Symbol>,
) -> Result<BTreeMap<Symbol, String>, StoreError> {
    let all: Vec<Symbol> = symbols.iter().copied().take(MOST_ISSUES).collect();
    let mut names = BTreeMap::new();
    for chunk in all.chunks(CHUNK) {
        let marks = vec!["?"; chunk.len()].join(", ");
        for table in ["recommendation_items", "threat_events"] {
            let sql = format!(
                "SELECT symbol, MAX(name) AS name FROM {table} WHERE symbol IN ({marks}) AND name <> '' GROUP BY symbol"
            );
            let values = chunk.iter().map(|symbol| symbol.as_str().into());
            let statement = Statement::from_sql_and_values(db.backend(), sql, values);
            let rows = Named::find_by_statement(statement)
                .all(db.connection())
                .await
                .map_err(StoreError::statement("read names"))?;
            names.extend(
                rows.into_iter().filter_map(|row| Some((row.symbol.parse().ok()?, row.name))),
            );
        }
    }
    Ok(names)
}

/// The crash or threat event `id`.
///
/// # Errors
/// When the database fails.
pub async fn event(db: &Database, id: &str) -> Result<Option<threat_event::Model>, StoreError> {
    threat_event::Entity::find_by_id(id)
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read threat_events"))
}

/// Crash and threat events within `since` and `at`, newest first; of one issue when `symbol` is given.
///
/// # Errors
/// When the database fails.
pub async fn events_until(
    db: &Database,
    since: EventTime,
    at: EventTime,
    symbol: Option<Symbol>,
    limit: u64,
) -> Result<Vec<threat_event::Model>, StoreError> {
    let mut query = threat_event::Entity::find()
        .filter(threat_event::Column::EventTime.gte(since))
        .filter(threat_event::Column::EventTime.lte(at));
    if let Some(symbol) = symbol {
        query = query.filter(threat_event::Column::Symbol.eq(symbol.as_str()));
    }
    query
        .order_by_desc(threat_event::Column::EventTime)
        .order_by_asc(threat_event::Column::Id)
        .limit(limit)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read threat_events"))
}
