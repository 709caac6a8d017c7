//! Errors as RFC 9457 problem details.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error answer, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Kind of problem; stable.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here and what to do.
    pub detail: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'static str>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail,
            parameter: None,
            value: None,
            expected: None,
        }
    }

    /// 400: a parameter has a bad value.
    #[must_use]
    pub fn bad_parameter(
        parameter: &'static str,
        value: &str,
        expected: impl Into<String>,
    ) -> Self {
        let (value, expected) = (shorten(value), expected.into());
        let detail = format!("{parameter} is \"{value}\"; expected {expected}");
        Self {
            parameter: Some(parameter),
            value: Some(value),
            expected: Some(expected),
            ..Self::new(StatusCode::BAD_REQUEST, "/problems/bad-parameter", "Bad parameter", detail)
        }
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(what: &'static str, value: &str, hint: &str) -> Self {
        let value = shorten(value);
        let detail = format!("there is no {what} \"{value}\"; {hint}");
        Self {
            parameter: Some(what),
            value: Some(value),
            ..Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found", detail)
        }
    }

    /// 503: too many event streams are open.
    #[must_use]
    pub fn too_many_streams() -> Self {
        let detail =
            "all event streams are taken; close one, or read /v1/events instead".to_owned();
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "/problems/too-many-streams",
            "Too many event streams",
            detail,
        )
    }
}

/// A value as it may stand in an answer: of bounded length.
fn shorten(value: &str) -> String {
    if value.chars().count() <= 80 {
        return value.to_owned();
    }
    value.chars().take(79).chain(['…']).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Text fields only: always serialises.
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// Answers what no route takes.
pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found("path", uri.path(), "see the documentation for the routes there are")
}

/// Answers a method that the path does not take.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; use GET", shorten(uri.path()));
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
        "Method not allowed",
        detail,
    )
}
