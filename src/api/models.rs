//! `/v1/models` and `/v1/evaluation`. Bodies: `docs/schemas/models.schema.json`,
//! `docs/schemas/evaluation.schema.json`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::Query;

const MAX_MODELS: usize = 1_000;

/// `GET /v1/models?limit=`: the registered versions, newest first, and the one that scores are made with.
pub(super) async fn models(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["limit"])?;
    let limit = query.count("limit", MAX_MODELS, MAX_MODELS)?;
    let versions = state.models.versions();
    let active = versions.iter().find(|version| version.active).map(|version| version.id);
    let live = state.models.live();
    let models: Vec<Value> = versions.iter().take(limit).map(|version| json!(version)).collect();
    Ok(Json(json!({
        "active": active,
        "live": live.map(|live| json!({ "id": live.id, "origin": live.origin })),
        "problem": state.models.problem(),
        "total": versions.len(),
        "count": models.len(),
        "models": models,
    })))
}

/// `GET /v1/evaluation`: the measures of the newest evaluation.
pub(super) async fn evaluation(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let evaluation = state.models.evaluation().ok_or_else(|| {
        let hint = "none has been made yet: the job evaluate_models of jobs.yaml makes one, bongsu \
                    jobs run makes it now";
        Problem::not_found("evaluation", "newest", hint)
    })?;
    Ok(Json(json!({
        "run_id": evaluation.run_id,
        "at": evaluation.at.rfc3339(),
        "count": evaluation.measures.len(),
        "measures": evaluation.measures,
    })))
}
