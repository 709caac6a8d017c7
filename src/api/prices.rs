//! `/v1/prices/{symbol}`: stored bars and technical indicators over them. Body:
//! `docs/schemas/prices.schema.json`.
//!
//! The bars come from whoever keeps them, through [`ReadBars`]. Indicators are computed here, each
//! warmed up on the bars before the first shown, as far as there are any. Failure modes: no
//! database (a dry run), or one that does not answer: 503.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::{Id, Query};
use crate::market::bars::{Bar, Interval, day_start};
use crate::market::indicators::Indicator;
use crate::market::{EventTime, SessionDay, Symbol};

/// Bars in an answer when the client does not say.
const DEFAULT_BARS: usize = 1_000;
const MAX_BARS: usize = 10_000;
const MAX_INDICATORS: usize = 20;

/// Which bars are wanted: those that start within `from` (included) and `to` (not included). When
/// there are more than `limit`, the newest ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarQuery {
    /// Issue.
    pub symbol: Symbol,
    /// Length of the bars.
    pub interval: Interval,
    /// Earliest start; `None` for no bound.
    pub from: Option<EventTime>,
    /// Start from which on there are none; `None` for no bound.
    pub to: Option<EventTime>,
    /// Most bars.
    pub limit: usize,
}

/// Reads stored bars, oldest first; the error says why it cannot. It has to come to an end by itself.
pub type ReadBars =
    Arc<dyn Fn(BarQuery) -> BoxFuture<'static, Result<Vec<Bar>, String>> + Send + Sync>;

/// `GET /v1/prices/{symbol}?interval=&from=&to=&limit=&indicators=`: bars, oldest first.
pub(super) async fn prices(
    State(state): State<ApiState>,
    Id(text): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["interval", "from", "to", "limit", "indicators"])?;
    let symbol = super::market::parse_symbol(&text)?;
    let wanted = BarQuery {
        symbol,
        interval: interval(&query)?,
        from: bound(&query, "from")?,
        to: bound(&query, "to")?,
        limit: query.count("limit", DEFAULT_BARS, MAX_BARS)?,
    };
    let indicators = indicators(&query)?;
    let Some(read) = &state.bars else {
        return Err(Problem::no_prices("no database is used, as in a dry run"));
    };
    let bars = read(wanted).await.map_err(|why| Problem::no_prices(&why))?;
    if bars.is_empty() && state.board.directory.find(symbol).is_none() {
        return Err(Problem::not_found(
            "symbol",
            &text,
            "it is not watched and has no stored bars",
        ));
    }
    let earlier = earlier(read, &wanted, &bars, &indicators).await?;
    Ok(Json(body(&wanted, &bars, &earlier, &indicators)))
}

/// What the indicators need before the first bar.
async fn earlier(
    read: &ReadBars,
    wanted: &BarQuery,
    bars: &[Bar],
    indicators: &[Indicator],
) -> Result<Vec<Bar>, Problem> {
    let limit = indicators.iter().map(|indicator| indicator.lead()).max().unwrap_or(0);
    match bars.first() {
        Some(first) if limit > 0 => {
            let before = BarQuery { from: None, to: Some(first.key.start), limit, ..*wanted };
            read(before).await.map_err(|why| Problem::no_prices(&why))
        }
        _ => Ok(Vec::new()),
    }
}

fn interval(query: &Query) -> Result<Interval, Problem> {
    let Some(text) = query.text("interval") else { return Ok(Interval::Day) };
    Interval::parse(text).ok_or_else(|| Problem::bad_parameter("interval", text, "1m or 1d"))
}

/// A day, by its midnight in Korea, or an instant.
fn bound(query: &Query, name: &'static str) -> Result<Option<EventTime>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    if let Ok(day) = text.parse::<SessionDay>() {
        return Ok(Some(day_start(day)));
    }
    // A + that was not written %2B has become a space.
    let instant = chrono::DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let instant = instant.map_err(|_| {
        let expected = "a day (2024-08-05) or a time with its zone (2024-08-05T09:00:00%2B09:00)";
        Problem::bad_parameter(name, text, expected)
    })?;
    Ok(Some(EventTime::from_micros(instant.timestamp_micros())))
}

/// Each once, in the order given.
fn indicators(query: &Query) -> Result<Vec<Indicator>, Problem> {
    let mut indicators = Vec::new();
    let Some(text) = query.text("indicators") else { return Ok(indicators) };
    for name in text.split(',') {
        let indicator = Indicator::parse(name).map_err(|error| {
            Problem::bad_parameter("indicators", &error.name, Indicator::known())
        })?;
        if !indicators.contains(&indicator) {
            indicators.push(indicator);
        }
    }
    if indicators.len() > MAX_INDICATORS {
        let expected = format!("at most {MAX_INDICATORS} indicators");
        return Err(Problem::bad_parameter("indicators", text, expected));
    }
    Ok(indicators)
}

fn body(wanted: &BarQuery, bars: &[Bar], earlier: &[Bar], indicators: &[Indicator]) -> Value {
    let columns: Vec<(String, Vec<Option<f64>>)> = indicators
        .iter()
        .flat_map(|one| one.columns().into_iter().zip(one.over(earlier, bars)))
        .collect();
    let rows: Vec<Value> = bars
        .iter()
        .enumerate()
        .map(|(index, bar)| {
            let mut row = bar_json(bar);
            row.extend(columns.iter().map(|(name, values)| (name.clone(), json!(values[index]))));
            Value::Object(row)
        })
        .collect();
    json!({
        "symbol": wanted.symbol.as_str(),
        "interval": wanted.interval.as_str(),
        "indicators": columns.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "count": rows.len(),
        "bars": rows,
    })
}

fn bar_json(bar: &Bar) -> Map<String, Value> {
    let members = [
        ("start", json!(bar.key.start.rfc3339())),
        ("open", json!(bar.open)),
        ("high", json!(bar.high)),
        ("low", json!(bar.low)),
        ("close", json!(bar.close)),
        ("volume", json!(bar.volume)),
        ("amount", json!(bar.amount)),
        ("final", json!(bar.is_final)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
