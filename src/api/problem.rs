//! Errors as RFC 9457 problem details.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::advice::scenario::FieldProblem;

/// Kind of a refusal for the number of scenarios that are being computed.
const BUSY: &str = "/problems/busy";

/// An error answer, `application/problem+json`. Boxed, because handlers return it by value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Details>);

/// The members of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
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
    /// Every field at fault of a body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        let status = status.as_u16();
        let (parameter, value, expected) = (None, None, None);
        let errors = Vec::new();
        Self(Box::new(Details { kind, title, status, detail, parameter, value, expected, errors }))
    }

    /// What the answer says.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.0
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
        let kind = "/problems/bad-parameter";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, kind, "Bad parameter", detail);
        problem.0.parameter = Some(parameter);
        problem.0.value = Some(value);
        problem.0.expected = Some(expected);
        problem
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(what: &'static str, value: &str, hint: &str) -> Self {
        let value = shorten(value);
        let detail = format!("there is no {what} \"{value}\"; {hint}");
        let kind = "/problems/not-found";
        let mut problem = Self::new(StatusCode::NOT_FOUND, kind, "Not found", detail);
        problem.0.parameter = Some(what);
        problem.0.value = Some(value);
        problem
    }

    /// 503: stored prices cannot be read.
    #[must_use]
    pub fn no_prices(why: &str) -> Self {
        let detail =
            format!("stored prices cannot be read: {why}; /readyz tells when that is over");
        let kind = "/problems/no-prices";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Prices not available", detail)
    }

    /// 422: fields of a scenario are at fault.
    #[must_use]
    pub fn bad_scenario(errors: Vec<FieldProblem>) -> Self {
        let said: Vec<String> = errors.iter().map(FieldProblem::to_string).collect();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "/problems/bad-scenario",
            "Bad scenario",
            said.join("; "),
        );
        problem.0.errors = errors;
        problem
    }

    /// 422: a body is no scenario.
    #[must_use]
    pub fn no_scenario(what: &str) -> Self {
        let detail = format!("the body is no scenario: {what}");
        let kind = "/problems/no-scenario";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, "No scenario", detail)
    }

    /// 413: a body is too long.
    #[must_use]
    pub fn too_long(most: usize) -> Self {
        let detail = format!("the body is longer than {most} bytes, which is the most");
        let kind = "/problems/too-long";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind, "Body too long", detail)
    }

    /// 400: a body is no text.
    #[must_use]
    pub fn not_text(expected: &str) -> Self {
        let detail = format!("the body is no text; expected {expected}");
        Self::new(StatusCode::BAD_REQUEST, "/problems/not-text", "Not a text", detail)
    }

    /// 429: as many scenarios as are allowed are being computed.
    #[must_use]
    pub fn busy(why: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, BUSY, "Too many at once", why.to_owned())
    }

    /// 503: it was not done within its time.
    #[must_use]
    pub fn took_too_long(why: &str) -> Self {
        let kind = "/problems/took-too-long";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Took too long", why.to_owned())
    }

    /// 503: scenarios cannot be answered now.
    #[must_use]
    pub fn no_scenarios(why: &str) -> Self {
        let detail = format!("scenarios cannot be answered: {why}");
        let kind = "/problems/no-scenarios";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Scenarios not available", detail)
    }

    /// 500: it failed.
    #[must_use]
    pub fn failed(why: &str) -> Self {
        let kind = "/problems/failed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, kind, "Failed", why.to_owned())
    }

    /// 401: a token is missing or not known.
    #[must_use]
    pub fn unauthorized(why: &str) -> Self {
        let detail = format!("this needs a token: {why}");
        Self::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "Token needed", detail)
    }

    /// 403: the token's scope is too small.
    #[must_use]
    pub fn forbidden(scope: &str, needed: &str) -> Self {
        let detail = format!("the token has the scope {scope}; this needs {needed}");
        Self::new(StatusCode::FORBIDDEN, "/problems/forbidden", "Scope too small", detail)
    }

    /// 429: too many wrong tokens.
    #[must_use]
    pub fn too_many_tokens() -> Self {
        let detail = "too many wrong tokens from this address; wait a minute".to_owned();
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "/problems/too-many-tokens",
            "Too many wrong tokens",
            detail,
        )
    }

    /// 422: what is asked for does not take these arguments.
    #[must_use]
    pub fn bad_arguments(what: String) -> Self {
        let kind = "/problems/bad-arguments";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, "Bad arguments", what)
    }

    /// 503: it cannot be done now.
    #[must_use]
    pub fn unavailable(kind: &'static str, title: &'static str, why: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, why.to_owned())
    }

    /// The status as a metric's label.
    #[must_use]
    pub(super) fn status_word(&self) -> &'static str {
        match self.0.status {
            401 => "401",
            403 => "403",
            _ => "429",
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
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Text fields only: always serialises.
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"bongsu\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            // A scenario takes a second or a few; wrong tokens are forgotten after a minute.
            let seconds = if self.0.kind == BUSY { "2" } else { "60" };
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// Answers what no route takes.
pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found("path", uri.path(), "see the documentation for the routes there are")
}

/// Answers a method that the path does not take.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let takes = if uri.path() == "/v1/scenarios" { "POST" } else { "GET" };
    let detail = format!("{} does not take {method}; use {takes}", shorten(uri.path()));
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
        "Method not allowed",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_the_number_says_when_to_come_again() {
        let after = |problem: Problem| {
            let response = problem.into_response();
            response
                .headers()
                .get(header::RETRY_AFTER)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(after(Problem::busy("two are computed")).as_deref(), Some("2"));
        assert_eq!(after(Problem::no_scenarios("no bars")), None);
    }
}
