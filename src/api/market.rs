//! `/v1/symbols` and `/v1/risk`. Bodies: `docs/schemas/symbols.schema.json`,
//! `docs/schemas/risk-list.schema.json`.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::{Id, Query};
use crate::market::{Market, Reference, Symbol};
use crate::messages::RiskRow;

/// More than there are issues on KRX.
const MAX_ROWS: usize = 10_000;

/// Index series stand in the directory too, under four-digit sector codes.
fn is_issue(symbol: Symbol) -> bool {
    symbol.as_str().len() > 4
}

fn market_name(market: Market) -> Option<&'static str> {
    match market {
        Market::Unknown => None,
        Market::Kospi => Some("KOSPI"),
        Market::Kosdaq => Some("KOSDAQ"),
        Market::Other => Some("OTHER"),
    }
}

/// `GET /v1/symbols`: every issue and index series known, in order of first appearance.
pub(super) async fn symbols(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let symbols: Vec<Value> = state
        .board
        .directory
        .all()
        .iter()
        .map(|reference| {
            json!({
                "symbol": reference.symbol.as_str(),
                "name": reference.name,
                "kind": if is_issue(reference.symbol) { "issue" } else { "index" },
                "market": market_name(reference.market),
                "base_price": reference.base_price,
                "listed_shares": reference.listed_shares,
            })
        })
        .collect();
    Ok(Json(json!({ "count": symbols.len(), "symbols": symbols })))
}

/// A number that JSON can hold, to `digits` places.
fn number(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    // Adding zero turns -0 into 0.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

fn row_json(row: &RiskRow, reference: &Reference) -> Value {
    let point = &row.point;
    json!({
        "symbol": point.code.as_str(),
        "name": reference.name,
        "market": market_name(reference.market),
        "score": number(point.score, 2),
        "price": point.price,
        "change_pct": number(point.change_pct, 4),
        "high": row.high,
        "low": row.low,
        "daily_volatility_pct": number(row.daily_volatility_pct, 4),
        "rest_of_day_var_pct": number(row.rest_of_day_var_pct, 4),
        "spread_pct": number(row.spread_pct, 4),
        "cum_volume": point.cum_volume,
        "cum_value": row.cum_value,
        "over_gap": point.over_gap,
        "parts": {
            "volatility": number(point.parts.volatility, 4),
            "drawdown": number(point.parts.drawdown, 4),
            "liquidity": number(point.parts.liquidity, 4),
            "volume": number(point.parts.volume, 4),
        },
        "model": point.model,
        "event_time": point.time.rfc3339(),
        "journal": { "segment": point.at.segment, "offset": point.at.offset },
    })
}

/// The order that `sort` names; `-` before a name turns it round. Equal rows stand by code.
fn order(text: &str) -> Result<impl Fn(&RiskRow, &RiskRow) -> Ordering, Problem> {
    let (descending, name) = match text.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let compare: fn(&RiskRow, &RiskRow) -> Ordering = match name {
        "score" => |a, b| a.point.score.total_cmp(&b.point.score),
        "change_pct" => |a, b| a.point.change_pct.total_cmp(&b.point.change_pct),
        "price" => |a, b| a.point.price.cmp(&b.point.price),
        "value" => |a, b| a.cum_value.cmp(&b.cum_value),
        "volatility" => |a, b| a.daily_volatility_pct.total_cmp(&b.daily_volatility_pct),
        "symbol" => |a, b| a.point.code.cmp(&b.point.code),
        _ => {
            let expected = "score, change_pct, price, value, volatility or symbol, with - before it for descending order";
            return Err(Problem::bad_parameter("sort", text, expected));
        }
    };
    Ok(move |a: &RiskRow, b: &RiskRow| {
        let ordering = compare(a, b);
        let ordering = if descending { ordering.reverse() } else { ordering };
        ordering.then_with(|| a.point.code.cmp(&b.point.code))
    })
}

/// `GET /v1/risk?sort=&limit=`: the latest score of every issue, highest first.
pub(super) async fn risk(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["sort", "limit"])?;
    let limit = query.count("limit", MAX_ROWS, MAX_ROWS)?;
    let order = order(query.text("sort").unwrap_or("-score"))?;
    let mut rows = state.board.rows();
    rows.sort_by(order);
    let as_of = rows.iter().map(|row| row.point.time).max();
    let total = rows.len();
    let directory = &state.board.directory;
    let scores: Vec<Value> = rows
        .iter()
        .take(limit)
        .map(|row| row_json(row, &directory.reference(row.point.symbol)))
        .collect();
    Ok(Json(json!({
        "as_of": as_of.map(|time| time.rfc3339()),
        "total": total,
        "count": scores.len(),
        "scores": scores,
    })))
}

/// The issue code of a path.
pub(super) fn parse_symbol(text: &str) -> Result<Symbol, Problem> {
    text.parse().map_err(|_| {
        let expected = "1 to 8 ASCII letters or digits, for example 005930";
        Problem::bad_parameter("symbol", text, expected)
    })
}

/// `GET /v1/risk/{symbol}`: the latest score of one issue.
pub(super) async fn risk_of(
    State(state): State<ApiState>,
    Id(text): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let symbol = parse_symbol(&text)?;
    let directory = &state.board.directory;
    let Some(id) = directory.find(symbol) else {
        return Err(Problem::not_found(
            "symbol",
            &text,
            "/v1/symbols lists those that are watched",
        ));
    };
    let Some(row) = state.board.get(id) else {
        let hint = "it is known but has not traded yet, so it has no score";
        return Err(Problem::not_found("score of symbol", &text, hint));
    };
    Ok(Json(row_json(&row, &directory.reference(id))))
}
