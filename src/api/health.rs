//! `/healthz`, `/readyz`, `/metrics`: always open, cheap.

use std::fmt::Write;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ApiState;
use crate::messages::{ComponentHealth, HealthState};

/// 200 while the process lives.
pub(super) async fn healthz(State(state): State<ApiState>) -> Response {
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "started": state.started.rfc3339(),
    }))
    .into_response()
}

/// What a component's line says: a component that is down but not required only degrades.
fn shown(line: &ComponentHealth) -> &'static str {
    match line.state {
        HealthState::Up => "up",
        HealthState::Down { .. } if line.required => "down",
        HealthState::Down { .. } | HealthState::Degraded { .. } => "degraded",
    }
}

/// 503 with the cause when a required component is down; otherwise 200, with a `degraded` line for
/// whatever else does not work. Text, or JSON when `Accept` asks for it.
pub(super) async fn readyz(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    let lines = state.health.snapshot();
    let (status, word) = if lines.iter().any(|line| shown(line) == "down") {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    } else if lines.iter().any(|line| shown(line) == "degraded") {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, "ready")
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("json")) {
        let components: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "component": line.component.as_str(),
                    "state": shown(line),
                    "required": line.required,
                    "reason": line.state.reason(),
                    "note": (!line.note.is_empty()).then_some(&line.note),
                    "since": line.since.rfc3339(),
                })
            })
            .collect();
        return (status, Json(json!({ "status": word, "components": components }))).into_response();
    }
    let mut text = format!("{word}\n");
    for line in &lines {
        // Writing to a String does not fail.
        let _ = write!(text, "{}: {}", line.component.as_str(), shown(line));
        if !line.note.is_empty() && line.state.reason().is_none() {
            let _ = write!(text, " ({})", line.note);
        }
        if let Some(reason) = line.state.reason() {
            let _ = write!(text, " ({})", reason.replace(['\r', '\n'], " "));
        }
        let _ = writeln!(text, " since {}", line.since.rfc3339());
    }
    (status, text).into_response()
}

/// The Prometheus exposition.
pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (state.metrics)()).into_response()
}
