//! `POST /v1/scenarios`: a user's scenario, answered. Bodies: `docs/schemas/scenario.schema.json` and
//! `docs/schemas/scenario-answer.schema.json`.
//!
//! The body is JSON or YAML, whatever its content type says: JSON is YAML. It computes and changes
//! nothing. Failure modes: a body that is too long (413), no text (400), or no scenario (422 with every
//! field at fault); too many at once (429), no data yet (503), the time limit (503).

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::problem::Problem;
use crate::advice::scenario::{MOST_BYTES, Scenario, ScenarioError};
use crate::messages::ScenarioRefusal;

/// `POST /v1/scenarios`.
pub(super) async fn answer(State(state): State<ApiState>, body: Body) -> Result<Response, Problem> {
    let Some(ask) = &state.scenarios else {
        return Err(Problem::no_scenarios("this process answers no scenarios"));
    };
    let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| Problem::too_long(MOST_BYTES))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Problem::not_text("a scenario in JSON or YAML, as UTF-8"))?;
    let scenario = Scenario::parse(text).map_err(refused)?;
    let answer = ask(scenario).await.map_err(|refusal| match refusal {
        ScenarioRefusal::Fields(problems) => Problem::bad_scenario(problems),
        ScenarioRefusal::Busy { .. } => Problem::busy(&refusal.to_string()),
        ScenarioRefusal::TooLong { .. } => Problem::took_too_long(&refusal.to_string()),
        ScenarioRefusal::NoData(why) => Problem::no_scenarios(&why),
        ScenarioRefusal::Failed(why) => Problem::failed(&why),
    })?;
    // Finite numbers and texts: always serialises.
    let body = serde_json::to_string(answer.as_ref()).unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn refused(error: ScenarioError) -> Problem {
    match error {
        ScenarioError::TooLong { .. } => Problem::too_long(MOST_BYTES),
        ScenarioError::Shape(what) => Problem::no_scenario(&what),
        ScenarioError::Fields(problems) => Problem::bad_scenario(problems),
    }
}
