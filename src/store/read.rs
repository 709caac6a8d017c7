//! What the HTTP interface and checks ask of the database.
//!
//! Every list has a limit.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Statement,
};
use serde::de::DeserializeOwned;

use super::entity::{
    etl_failure, etl_run, evaluation_metric, job_run, llm_usage, market_price, mitigation_plan,
    model_version, recommendation, recommendation_item, report, risk_score, task_run, threat_event,
    trade_log,
};
use super::{Database, RowCounts, StoreError, Table};
use crate::market::bar_source::{BarSource, StoredBar};
use crate::market::bars::{Bar, BarKey, Interval};
use crate::market::{EventTime, Symbol};
use crate::messages::advice::{
    Basis, MitigationPlan, Pick, RecommendationSet, Report, ReportOrigin, Rung,
};

fn symbol_of(table: &'static str, text: &str) -> Result<Symbol, StoreError> {
    text.parse().map_err(|_| StoreError::Content {
        table,
        column: "symbol",
        value: text.to_owned(),
        expected: "an issue code",
    })
}

fn json_of<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Content {
        table,
        column,
        value: text.to_owned(),
        expected: "the JSON that was written",
    })
}

/// A value that stands as text; `None` in rows that were written before there was such a column.
fn parsed<T: std::str::FromStr>(
    table: &'static str,
    column: &'static str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(StoreError::Content {
            table,
            column,
            value: text,
            expected: "the text that was written",
        }),
    }
}

/// A count that may be missing in rows of earlier versions.
fn number(value: Option<i64>) -> u32 {
    u32::try_from(value.unwrap_or_default()).unwrap_or_default()
}

/// The bar in a row.
pub(crate) fn bar_of(row: &market_price::Model) -> Result<Bar, StoreError> {
    let table = Table::MarketPrices.as_str();
    let interval = Interval::parse(&row.interval).ok_or_else(|| StoreError::Content {
        table,
        column: "interval",
        value: row.interval.clone(),
        expected: "1m or 1d",
    })?;
    let symbol = symbol_of(table, &row.symbol)?;
    Ok(Bar {
        key: BarKey { start: row.ts, interval, symbol },
        open: row.open,
        high: row.high,
        low: row.low,
        close: row.close,
        volume: row.volume,
        amount: row.amount,
        is_final: row.is_final,
    })
}

/// The bar in a row, and its source.
pub(crate) fn stored_bar_of(row: &market_price::Model) -> Result<StoredBar, StoreError> {
    let source = BarSource::parse(&row.source).ok_or_else(|| StoreError::Content {
        table: Table::MarketPrices.as_str(),
        column: "source",
        value: row.source.clone(),
        expected: "trades or kis",
    })?;
    Ok(StoredBar { bar: bar_of(row)?, source })
}

/// Bars of one issue that start within `from` (included) and `to` (not included), oldest first.
/// When there are more than `limit`, the newest ones.
///
/// # Errors
/// When the database fails or holds a row that Bongsu did not write.
pub async fn bars(
    db: &Database,
    symbol: Symbol,
    interval: Interval,
    from: Option<EventTime>,
    to: Option<EventTime>,
    limit: u64,
) -> Result<Vec<Bar>, StoreError> {
    let mut query = market_price::Entity::find()
        .filter(market_price::Column::Symbol.eq(symbol.as_str()))
        .filter(market_price::Column::Interval.eq(interval.as_str()));
    if let Some(from) = from {
        query = query.filter(market_price::Column::Ts.gte(from));
    }
    if let Some(to) = to {
        query = query.filter(market_price::Column::Ts.lt(to));
    }
    let mut rows = query
        .order_by_desc(market_price::Column::Ts)
        .limit(limit)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read market_prices"))?;
    rows.reverse();
    rows.iter().map(bar_of).collect()
}

/// Which of the stored advice is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer<'a> {
    /// The one with this id.
    Id(&'a str),
    /// The one with the newest event time.
    Latest,
}

fn pointed<E: EntityTrait>(
    query: Select<E>,
    pointer: Pointer<'_>,
    id: E::Column,
    as_of: E::Column,
) -> Select<E> {
    match pointer {
        Pointer::Id(wanted) => query.filter(id.eq(wanted)),
        // The id makes the order total.
        Pointer::Latest => query.order_by_desc(as_of).order_by_desc(id),
    }
}

/// A recommendation with its picks.
///
/// # Errors
/// When the database fails or holds a row that Bongsu did not write.
pub async fn recommendation(
    db: &Database,
    pointer: Pointer<'_>,
) -> Result<Option<RecommendationSet>, StoreError> {
    use recommendation::Column;
    let Some(set) = pointed(recommendation::Entity::find(), pointer, Column::Id, Column::AsOf)
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read recommendations"))?
    else {
        return Ok(None);
    };
    // A set written again with fewer picks leaves the old ones behind its count.
    let items = recommendation_item::Entity::find()
        .filter(recommendation_item::Column::RecommendationId.eq(set.id.as_str()))
        .order_by_asc(recommendation_item::Column::Rank)
        .limit(u64::try_from(set.picks).unwrap_or_default())
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read recommendation_items"))?;
    let table = Table::Recommendations.as_str();
    Ok(Some(RecommendationSet {
        basis: match set.basis.as_deref() {
            Some("ranked") => Basis::Ranked,
            // A set without a stated basis is of a version whose ranking was never measured.
            Some("low_risk") => Basis::LowRisk,
            None if set.picks > 0 => Basis::LowRisk,
            _ => Basis::None,
        },
        horizon_sessions: number(set.horizon_sessions),
        cash: set.cash.unwrap_or_default(),
        var_pct: set.var_pct.unwrap_or_default(),
        model: parsed(table, "model", set.model)?,
        data_cut: parsed(table, "data_cut", set.data_cut)?,
        evidence: match &set.evidence {
            Some(text) => Some(json_of(table, "evidence", text)?),
            None => None,
        },
        id: set.id,
        scenario: set.scenario,
        as_of: set.as_of,
        universe: u32::try_from(set.universe).unwrap_or_default(),
        eligible: u32::try_from(set.eligible).unwrap_or_default(),
        picks: items.into_iter().map(pick_of).collect::<Result<_, _>>()?,
        note: set.note,
    }))
}

fn pick_of(item: recommendation_item::Model) -> Result<Pick, StoreError> {
    let table = Table::RecommendationItems.as_str();
    Ok(Pick {
        rank: u32::try_from(item.rank).unwrap_or_default(),
        symbol: symbol_of(table, &item.symbol)?,
        name: item.name,
        weight: item.weight,
        value: item.value,
        score: item.score,
        price: item.price,
        daily_volatility_pct: item.daily_volatility_pct,
        reasons: json_of(table, "reasons", &item.reasons)?,
        factors: json_of(table, "factors", &item.factors)?,
        expected_return_pct: item.expected_return_pct.unwrap_or_default(),
        downside_pct: item.downside_pct.unwrap_or_default(),
    })
}

/// A defence plan.
///
/// # Errors
/// When the database fails or holds a row that Bongsu did not write.
pub async fn mitigation(
    db: &Database,
    pointer: Pointer<'_>,
) -> Result<Option<MitigationPlan>, StoreError> {
    use mitigation_plan::Column;
    let row = pointed(mitigation_plan::Entity::find(), pointer, Column::Id, Column::AsOf)
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read mitigation_plans"))?;
    row.map(|row| {
        let table = Table::MitigationPlans.as_str();
        Ok(MitigationPlan {
            options: json_of(table, "options", &row.options)?,
            model: parsed(table, "model", row.model)?,
            data_cut: parsed(table, "data_cut", row.data_cut)?,
            horizon_sessions: number(row.horizon_sessions),
            paths: u64::from(number(row.paths)),
            seed: row.seed.unwrap_or_default().cast_unsigned(),
            risk_error: row.risk_error.unwrap_or_default(),
            id: row.id,
            subject: row.subject,
            name: row.name,
            event_id: row.event_id,
            as_of: row.as_of,
            position_value: row.position_value,
            assumed_position: row.assumed_position,
        })
    })
    .transpose()
}

/// A report.
///
/// # Errors
/// When the database fails or holds a row that Bongsu did not write.
pub async fn report(db: &Database, pointer: Pointer<'_>) -> Result<Option<Report>, StoreError> {
    use report::Column;
    let row = pointed(report::Entity::find(), pointer, Column::Id, Column::AsOf)
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read reports"))?;
    row.map(report_of).transpose()
}

/// Reports looked at for one subject: to MySQL `A` and `a` are the same.
const ALIKE: u64 = 16;

/// The newest report of this kind on this subject that a language model wrote (not one that stood in
/// for a newer one), written since `since`, and when that was.
///
/// # Errors
/// When the database fails or holds a row that Bongsu did not write.
pub async fn newest_of_model(
    db: &Database,
    kind: &str,
    subject: &str,
    since: EventTime,
) -> Result<Option<(Report, EventTime)>, StoreError> {
    use report::Column;
    let own = [Rung::Model, Rung::Cached, Rung::Repaired].map(Rung::as_str);
    let rows = report::Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::Subject.eq(subject))
        .filter(Column::Rung.is_in(own))
        .filter(Column::CreatedAt.gte(since))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::AsOf)
        .order_by_desc(Column::Id)
        .limit(ALIKE)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read reports"))?;
    let row = rows.into_iter().find(|row| row.subject == subject);
    row.map(|row| {
        let written_at = row.created_at;
        Ok((report_of(row)?, written_at))
    })
    .transpose()
}

/// The report in a row.
fn report_of(row: report::Model) -> Result<Report, StoreError> {
    Ok(Report {
        sources: json_of(Table::Reports.as_str(), "sources", &row.sources)?,
        id: row.id,
        kind: row.kind,
        title: row.title,
        body: row.body,
        as_of: row.as_of,
        origin: match row.origin.as_str() {
            "model" => ReportOrigin::Model,
            _ => ReportOrigin::Template,
        },
        fallback_reason: row.fallback_reason,
        model: row.model,
        subject: row.subject,
        rung: Rung::named(&row.rung),
        retry_in_s: None,
    })
}

/// Crash and threat events since `since`, oldest first; of one issue when `symbol` is given.
///
/// # Errors
/// When the database fails.
pub async fn threats(
    db: &Database,
    since: Option<EventTime>,
    symbol: Option<Symbol>,
    limit: u64,
) -> Result<Vec<threat_event::Model>, StoreError> {
    let mut query = threat_event::Entity::find();
    if let Some(since) = since {
        query = query.filter(threat_event::Column::EventTime.gte(since));
    }
    if let Some(symbol) = symbol {
        query = query.filter(threat_event::Column::Symbol.eq(symbol.as_str()));
    }
    query
        .order_by_asc(threat_event::Column::EventTime)
        .order_by_asc(threat_event::Column::Id)
        .limit(limit)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read threat_events"))
}

/// Tables that the database lacks: all of them before the first start, some before a newer version's.
///
/// # Errors
/// When the database fails.
pub async fn missing_tables(db: &Database) -> Result<Vec<Table>, StoreError> {
    let list = match db.backend() {
        DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        _ => {
            "SELECT CAST(table_name AS CHAR) AS name FROM information_schema.tables \
             WHERE table_schema = DATABASE()"
        }
    };
    let failed = || StoreError::statement("list the tables");
    let rows = db
        .connection()
        .query_all_raw(Statement::from_string(db.backend(), list))
        .await
        .map_err(failed())?;
    let names = rows.iter().map(|row| row.try_get_by_index::<String>(0));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(failed())?;
    let there = |table: &Table| names.iter().any(|name| name == table.as_str());
    Ok(Table::ALL.into_iter().filter(|table| !there(table)).collect())
}

/// Rows of every table.
///
/// # Errors
/// When the database fails.
pub async fn counts(db: &Database) -> Result<RowCounts, StoreError> {
    let mut counts = RowCounts::default();
    macro_rules! count {
        ($($table:ident: $entity:ident),+ $(,)?) => {$(
            let rows = $entity::Entity::find()
                .count(db.connection())
                .await
                .map_err(StoreError::statement(format!("count {}", Table::$table.as_str())))?;
            counts.add(Table::$table, rows);
        )+};
    }
    count! {
        MarketPrices: market_price, TradeLogs: trade_log, ThreatEvents: threat_event,
        RiskScores: risk_score, Recommendations: recommendation,
        RecommendationItems: recommendation_item, MitigationPlans: mitigation_plan,
        Reports: report, LlmUsage: llm_usage, EtlFailures: etl_failure, EtlRuns: etl_run,
        TaskRuns: task_run, JobRuns: job_run, ModelVersions: model_version,
        EvaluationMetrics: evaluation_metric,
    }
    Ok(counts)
}
