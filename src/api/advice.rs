//! Picks, defence plans and reports, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::{Id, Query};
use crate::market::EventTime;
use crate::messages::advice::outward_json;

const MAX_ITEMS: usize = 200;
const DEFAULT_ITEMS: usize = 20;
const GONE: &str = "only the newest 200 are held here; older ones are in the database";

fn list<T: Serialize>(
    name: &str,
    query: &Query,
    newest: impl FnOnce(usize) -> Vec<Arc<T>>,
    as_of: impl Fn(&T) -> EventTime,
) -> Result<Json<Value>, Problem> {
    query.allow(&["limit"])?;
    let items = newest(query.count("limit", DEFAULT_ITEMS, MAX_ITEMS)?);
    let items: Vec<Value> =
        items.iter().map(|item| outward_json(item.as_ref(), as_of(item))).collect();
    let mut body = json!({ "count": items.len() });
    body[name] = items.into();
    Ok(Json(body))
}

fn one<T: Serialize>(
    what: &'static str,
    id: &str,
    query: &Query,
    item: Option<Arc<T>>,
    as_of: impl Fn(&T) -> EventTime,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let item = item.ok_or_else(|| Problem::not_found(what, id, GONE))?;
    Ok(Json(outward_json(item.as_ref(), as_of(&item))))
}

/// `GET /v1/recommendations?limit=`.
pub(super) async fn recommendations(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    list("recommendations", &query, |limit| state.advice.recommendations(limit), |set| set.as_of)
}

/// `GET /v1/recommendations/{id}`.
pub(super) async fn recommendation(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("recommendation", &id, &query, state.advice.recommendation(&id), |item| item.as_of)
}

/// `GET /v1/mitigations?limit=`.
pub(super) async fn mitigations(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    list("mitigations", &query, |limit| state.advice.mitigations(limit), |plan| plan.as_of)
}

/// `GET /v1/mitigations/{id}`.
pub(super) async fn mitigation(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("mitigation", &id, &query, state.advice.mitigation(&id), |item| item.as_of)
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
    Ok(Json(outward_json(report.as_ref(), report.as_of)))
}

/// `GET /v1/reports/{id}`.
pub(super) async fn report(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    one("report", &id, &query, state.advice.report(&id), |item| item.as_of)
}
