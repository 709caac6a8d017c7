//! What reports are made of beside the events: paths of prices and scores, and counts over a time.
//!
//! Every answer is bounded: a path by the minutes asked about, lists by a limit.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{
    llm_usage, market_price, recommendation, recommendation_item, risk_score, threat_event,
};
use super::{Database, StoreError};
use crate::market::{EventTime, Symbol};

/// Most points of a path: five sessions of minutes.
const MAX_POINTS: u64 = 2_000;

/// A minute of an issue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathPoint {
    /// Event time of the score.
    pub time: EventTime,
    /// Price, won.
    pub price: i64,
    /// Score, 0 to 100.
    pub score: f64,
}

/// Prices and scores of an issue within `from` and `to`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn issue_path(
    db: &Database,
    symbol: Symbol,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<PathPoint>, StoreError> {
    let rows: Vec<(EventTime, i64, f64)> = risk_score::Entity::find()
        .select_only()
        .columns([
            risk_score::Column::EventTime,
            risk_score::Column::Price,
            risk_score::Column::Score,
        ])
        .filter(risk_score::Column::Symbol.eq(symbol.as_str()))
        .filter(risk_score::Column::Ts.between(from.minute_start(), to))
        .order_by_asc(risk_score::Column::Ts)
        .limit(MAX_POINTS)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))?;
    Ok(rows.into_iter().map(|(time, price, score)| PathPoint { time, price, score }).collect())
}

/// Mean score of all issues by minute within `from` and `to`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn market_path(
    db: &Database,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<(EventTime, f64)>, StoreError> {
    risk_score::Entity::find()
        .select_only()
        .column(risk_score::Column::Ts)
        .column_as(risk_score::Column::Score.avg(), "mean")
        .filter(risk_score::Column::Ts.between(from, to))
        .group_by(risk_score::Column::Ts)
        .order_by_asc(risk_score::Column::Ts)
        .limit(MAX_POINTS)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))
}

/// Closes of an issue or index by interval within `from` and `to`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn closes(
    db: &Database,
    symbol: &str,
    interval: &str,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<(EventTime, i64)>, StoreError> {
    market_price::Entity::find()
        .select_only()
        .columns([market_price::Column::Ts, market_price::Column::Close])
        .filter(market_price::Column::Symbol.eq(symbol))
        .filter(market_price::Column::Interval.eq(interval))
        .filter(market_price::Column::Ts.between(from, to))
        .order_by_asc(market_price::Column::Ts)
        .limit(MAX_POINTS)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read market_prices"))
}

/// Crash and threat events within `from` and `to`: kind, rule, level and how many.
///
/// # Errors
/// When the database fails.
pub async fn event_counts(
    db: &Database,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<(String, String, String, i64)>, StoreError> {
    threat_event::Entity::find()
        .select_only()
        .columns([
            threat_event::Column::Kind,
            threat_event::Column::Rule,
            threat_event::Column::Level,
        ])
        .column_as(threat_event::Column::Id.count(), "events")
        .filter(threat_event::Column::EventTime.between(from, to))
        .group_by(threat_event::Column::Kind)
        .group_by(threat_event::Column::Rule)
        .group_by(threat_event::Column::Level)
        .order_by_asc(threat_event::Column::Kind)
        .order_by_asc(threat_event::Column::Rule)
        .order_by_asc(threat_event::Column::Level)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("count threat_events"))
}

/// The gravest crash events within `from` and `to`, by score.
///
/// # Errors
/// When the database fails.
pub async fn gravest_events(
    db: &Database,
    from: EventTime,
    to: EventTime,
    limit: u64,
) -> Result<Vec<threat_event::Model>, StoreError> {
    threat_event::Entity::find()
        .filter(threat_event::Column::Kind.eq("crash"))
        .filter(threat_event::Column::EventTime.between(from, to))
        .order_by_desc(threat_event::Column::Score)
        .order_by_asc(threat_event::Column::Id)
        .limit(limit)
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read threat_events"))
}

/// Issues with the highest scores within `from` and `to`, highest first.
///
/// # Errors
/// When the database fails.
pub async fn riskiest(
    db: &Database,
    from: EventTime,
    to: EventTime,
    limit: u64,
) -> Result<Vec<(String, f64)>, StoreError> {
    risk_score::Entity::find()
        .select_only()
        .column(risk_score::Column::Symbol)
        .column_as(risk_score::Column::Score.max(), "highest")
        .filter(risk_score::Column::Ts.between(from, to))
        .group_by(risk_score::Column::Symbol)
        .order_by_desc(Expr::col("highest"))
        .order_by_asc(risk_score::Column::Symbol)
        .limit(limit)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))
}

/// The first and the last price of an issue within `from` and `to`, with the time of the last.
///
/// # Errors
/// When the database fails.
pub async fn ends(
    db: &Database,
    symbol: &str,
    from: EventTime,
    to: EventTime,
) -> Result<Option<(i64, i64, EventTime)>, StoreError> {
    let query = || {
        risk_score::Entity::find()
            .select_only()
            .columns([risk_score::Column::Price, risk_score::Column::EventTime])
            .filter(risk_score::Column::Symbol.eq(symbol))
            .filter(risk_score::Column::Ts.between(from, to))
    };
    let failed = || StoreError::statement("read risk_scores");
    let first: Option<(i64, EventTime)> = query()
        .order_by_asc(risk_score::Column::Ts)
        .into_tuple()
        .one(db.connection())
        .await
        .map_err(failed())?;
    let last: Option<(i64, EventTime)> = query()
        .order_by_desc(risk_score::Column::Ts)
        .into_tuple()
        .one(db.connection())
        .await
        .map_err(failed())?;
    Ok(first.zip(last).map(|((first, _), (last, time))| (first, last, time)))
}

/// The latest event time of a score within `from` and `to`.
///
/// # Errors
/// When the database fails.
pub async fn latest_score(
    db: &Database,
    from: EventTime,
    to: EventTime,
) -> Result<Option<EventTime>, StoreError> {
    risk_score::Entity::find()
        .select_only()
        .column(risk_score::Column::EventTime)
        .filter(risk_score::Column::Ts.between(from, to))
        .order_by_desc(risk_score::Column::Ts)
        .into_tuple()
        .one(db.connection())
        .await
        .map_err(StoreError::statement("read risk_scores"))
}

/// Picks made within `from` and `to`: issue and price at the time; the newest first.
///
/// # Errors
/// When the database fails.
pub async fn picks(
    db: &Database,
    from: EventTime,
    to: EventTime,
    limit: u64,
) -> Result<Vec<(String, i64)>, StoreError> {
    let failed = || StoreError::statement("read recommendations");
    let sets: Vec<String> = recommendation::Entity::find()
        .select_only()
        .column(recommendation::Column::Id)
        .filter(recommendation::Column::AsOf.between(from, to))
        .filter(recommendation::Column::Picks.gt(0))
        .order_by_desc(recommendation::Column::AsOf)
        .limit(limit)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(failed())?;
    recommendation_item::Entity::find()
        .select_only()
        .columns([recommendation_item::Column::Symbol, recommendation_item::Column::Price])
        .filter(recommendation_item::Column::RecommendationId.is_in(sets))
        .order_by_asc(recommendation_item::Column::RecommendationId)
        .order_by_asc(recommendation_item::Column::Rank)
        .limit(limit)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(failed())
}

/// What the language model was asked since `from`: outcome, how many, tokens, millionths of a dollar.
///
/// # Errors
/// When the database fails.
pub async fn llm_account(
    db: &Database,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<(String, i64, i64, i64)>, StoreError> {
    // MySQL's sum of integers is a decimal.
    let sum = |column: llm_usage::Column| Expr::col(column).sum().cast_as("signed");
    let integer = |column: llm_usage::Column| match db.backend() {
        sea_orm::DbBackend::Sqlite => Expr::col(column).sum(),
        _ => sum(column),
    };
    llm_usage::Entity::find()
        .select_only()
        .column(llm_usage::Column::Outcome)
        .column_as(llm_usage::Column::Id.count(), "calls")
        .column_as(integer(llm_usage::Column::TotalTokens), "tokens")
        .column_as(integer(llm_usage::Column::CostMicros), "cost")
        .filter(llm_usage::Column::CreatedAt.between(from, to))
        .group_by(llm_usage::Column::Outcome)
        .order_by_asc(llm_usage::Column::Outcome)
        .into_tuple()
        .all(db.connection())
        .await
        .map_err(StoreError::statement("read llm_usage"))
}
