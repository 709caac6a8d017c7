//! `/v1/tasks`: what can be asked for, asking for it, and how it stands. Bodies:
//! `docs/schemas/tasks.schema.json`, `docs/schemas/task-status.schema.json`.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ApiState;
use super::problem::Problem;
use super::query::{Id, Query};
use crate::market::EventTime;
use crate::messages::task_desk::{TaskDesk, TaskRefusal, TaskRequest};

/// What a request may say besides the arguments.
const ENVELOPE: [&str; 7] = ["args", "kwargs", "as_of", "priority", "eta", "expires", "id"];
/// Longest time an answer is waited for, seconds.
const MOST_WAIT: usize = 60;

fn desk(state: &ApiState) -> Result<&dyn TaskDesk, Problem> {
    state.tasks.as_deref().ok_or_else(|| {
        Problem::unavailable(
            "/problems/no-tasks",
            "No tasks",
            "this process has neither the role worker nor a queue on Redis (redis.url, REDIS_URL)",
        )
    })
}

impl From<TaskRefusal> for Problem {
    fn from(refusal: TaskRefusal) -> Self {
        match &refusal {
            TaskRefusal::Unknown { name, known } => {
                Self::not_found("task", name, &format!("there are: {known}"))
            }
            TaskRefusal::Arguments(what) => Self::bad_arguments(what.clone()),
            TaskRefusal::Full(why) | TaskRefusal::Away(why) => {
                Self::unavailable("/problems/queue", "The queue takes no calls", why)
            }
        }
    }
}

/// `GET /v1/tasks`: every task with its help, parameters and limits.
pub(super) async fn specs(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&[])?;
    Ok(Json(json!({ "tasks": desk(&state)?.specs() })))
}

/// `GET /v1/tasks/{id}?wait=`: how a call stands; with `wait`, once it has ended or so many seconds have passed.
pub(super) async fn status(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["wait"])?;
    let desk = desk(&state)?;
    let status = desk.status(&id).await?;
    let unknown = || {
        Problem::not_found("call", &id, "its result may be forgotten; task_runs has what was done")
    };
    let status = status.ok_or_else(unknown)?;
    Ok(Json(waited(desk, &id, &query).await?.unwrap_or(status)))
}

/// The end of the call `id`, when the query waits for it and it comes in time.
async fn waited(desk: &dyn TaskDesk, id: &str, query: &Query) -> Result<Option<Value>, Problem> {
    if query.text("wait").is_none() {
        return Ok(None);
    }
    let seconds = query.count("wait", 1, MOST_WAIT)?;
    let within = Duration::from_secs(seconds as u64);
    match tokio::time::timeout(within, desk.finished(id)).await {
        Ok(status) => Ok(Some(status?)),
        Err(_) => Ok(desk.status(id).await?),
    }
}

/// `POST /v1/tasks/{name}?wait=`: asks for a task. The body holds the arguments by name, or an object with
/// `kwargs`, `args`, `as_of`, `priority`, `eta`, `expires`, `id`.
pub(super) async fn submit(
    State(state): State<ApiState>,
    Id(name): Id,
    query: Query,
    body: Bytes,
) -> Result<Response, Problem> {
    query.allow(&["wait"])?;
    let desk = desk(&state)?;
    let request = request(name.clone(), &body)?;
    let id = desk.submit(request).await?;
    let href = format!("/v1/tasks/{id}");
    if let Some(status) = waited(desk, &id, &query).await? {
        return Ok(([(header::LOCATION, href)], Json(status)).into_response());
    }
    let answer = json!({ "id": id, "name": name, "state": "PENDING", "href": href });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, href)], Json(answer)).into_response())
}

/// What a body asks for.
fn request(name: String, body: &[u8]) -> Result<TaskRequest, Problem> {
    let empty = body.iter().all(u8::is_ascii_whitespace);
    let fields: Map<String, Value> = match empty {
        true => Map::new(),
        false => serde_json::from_slice(body).map_err(|error| {
            Problem::bad_arguments(format!(
                "the body is not a JSON object with the task's arguments: {error}"
            ))
        })?,
    };
    let base = TaskRequest { name, origin: "http", ..TaskRequest::default() };
    if !fields.keys().all(|name| ENVELOPE.contains(&name.as_str())) {
        return Ok(TaskRequest { kwargs: fields, ..base });
    }
    let mut request = base;
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("args", Value::Array(args)) => request.args = args,
            ("kwargs", Value::Object(kwargs)) => request.kwargs = kwargs,
            ("id", Value::String(id)) if is_id(&id) => request.id = Some(id),
            ("priority", Value::Number(number)) if number.as_u64().is_some_and(|n| n <= 9) => {
                request.priority = number.as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
            }
            ("as_of", value) => request.as_of = Some(moment("as_of", &value)?),
            ("eta", value) => request.eta = Some(moment("eta", &value)?),
            ("expires", value) => request.expires = Some(moment("expires", &value)?),
            (field, value) => {
                let expected = match field {
                    "args" => "a list",
                    "kwargs" => "an object",
                    "id" => "1 to 64 letters, digits, - _ . or :",
                    _ => "0 to 9",
                };
                let value: String = value.to_string().chars().take(80).collect();
                return Err(Problem::bad_arguments(format!(
                    "{field} is {value}: expected {expected}"
                )));
            }
        }
    }
    Ok(request)
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn moment(field: &'static str, value: &Value) -> Result<EventTime, Problem> {
    let parsed = value.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    parsed.map(|time| EventTime::from_micros(time.timestamp_micros())).ok_or_else(|| {
        Problem::bad_arguments(format!("{field}: expected a time as 2024-08-05T15:30:00+09:00"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<TaskRequest, String> {
        request("x".to_owned(), body.as_bytes()).map_err(|problem| problem.details().detail.clone())
    }

    #[test]
    fn a_body_is_the_arguments_or_an_envelope() {
        assert_eq!(of("").unwrap().kwargs, Map::new());
        assert_eq!(of(r#"{"symbol": "005930", "as_of": "x"}"#).unwrap().kwargs.len(), 2);
        let whole = of(
            r#"{"args": [1], "kwargs": {"a": 2}, "as_of": "2024-08-05T06:30:00Z", "priority": 3, "id": "a-1"}"#,
        )
        .unwrap();
        assert_eq!((whole.args.len(), whole.kwargs.len(), whole.priority), (1, 1, 3));
        assert_eq!(whole.as_of, Some(EventTime::from_micros(1_722_839_400_000_000)));
        assert_eq!((whole.id.as_deref(), whole.origin), (Some("a-1"), "http"));
        for (body, told) in [
            ("[]", "not a JSON object"),
            ("{", "not a JSON object"),
            (r#"{"args": {}}"#, "args is {}: expected a list"),
            (r#"{"priority": 10}"#, "priority is 10: expected 0 to 9"),
            (r#"{"id": "a b"}"#, "expected 1 to 64 letters"),
            (r#"{"eta": 5}"#, "eta: expected a time"),
        ] {
            let error = of(body).unwrap_err();
            assert!(error.contains(told), "{body}: {error}");
        }
    }
}
