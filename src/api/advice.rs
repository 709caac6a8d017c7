//! Picks, defence plans and reports, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::Query;

const MAX_ITEMS: usize = 200;
const DEFAULT_ITEMS: usize = 20;
const GONE: &str = "only the newest 200 are held here; older ones are in the database";

/// An item as JSON. Times inside are RFC 3339, as everywhere outward.
fn item_json<T: Serialize>(item: &T) -> Value {
    // Plain structs with text keys: always serialises.
    let mut value = serde_json::to_value(item).unwrap_or_default();
    if let Some(as_of) = value.get_mut("as_of")
        && let Some(micros) = as_of.as_i64()
    {
        *as_of = crate::market::EventTime::from_micros(micros).rfc3339().into();
    }
    value
}

fn list<T: Serialize>(
    name: &str,
    query: &Query,
    newest: impl FnOnce(usize) -> Vec<Arc<T>>,
) -> Result<Json<Value>, Problem> {
    query.allow(&["limit"])?;
    let items = newest(query.count("limit", DEFAULT_ITEMS, MAX_ITEMS)?);
    let items: Vec<Value> = items.iter().map(|item| item_json(item.as_ref())).collect();
    let mut body = json!({ "count": items.len() });
    body[name] = items.into();
    Ok(Json(body))
}

fn one<T: Serialize>(
    what: &'static str,
    id: &str,
    query: &Query,
    item: Option<Arc<T>>,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let item = item.ok_or_else(|| Problem::not_found(what, id, GONE))?;
    Ok(Json(item_json(item.as_ref())))
}

/// `GET /v1/recommendations?limit=`.
pub(super) async fn recommendations(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    list("recommendations", &query, |limit| state.advice.recommendations(limit))
}

/// `GET /v1/recommendations/{id}`.
pub(super) async fn recommendation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("recommendation", &id, &query, state.advice.recommendation(&id))
}

/// `GET /v1/mitigations?limit=`.
pub(super) async fn mitigations(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    list("mitigations", &query, |limit| state.advice.mitigations(limit))
}

/// `GET /v1/mitigations/{id}`.
pub(super) async fn mitigation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("mitigation", &id, &query, state.advice.mitigation(&id))
}

/// `GET /v1/reports/latest?kind=`.
pub(super) async fn latest_report(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["kind"])?;
    let kind = query.text("kind");
    let report = state.advice.latest_report(kind).ok_or_else(|| {
        Problem::not_found("report", kind.unwrap_or("latest"), "none has been written yet")
    })?;
    Ok(Json(item_json(report.as_ref())))
}

/// `GET /v1/reports/{id}`.
pub(super) async fn report(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("report", &id, &query, state.advice.report(&id))
}
