//! `/v1/jobs`. Body: `docs/schemas/jobs.schema.json`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::Query;

/// `GET /v1/jobs`: the schedule in force, the coming runs of each job and its newest one.
pub(super) async fn jobs(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    let jobs = state.jobs.state();
    Ok(Json(json!({
        "leader": jobs.leader,
        "problem": jobs.problem,
        "count": jobs.jobs.len(),
        "jobs": jobs.jobs,
    })))
}
