//! Faults of REST, as a layer around the router.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde_json::json;

use super::super::auth::AuthError;
use super::super::server::Shared;
use super::Plan;
use super::frames::delay;
use super::key::Side;
use super::kind::{FaultKind, Place};
use super::schedule::Target;

/// What becomes of a call.
#[derive(Debug, Default)]
struct Verdict {
    pause: Duration,
    /// The token of the call is worth nothing from now on.
    token: Option<AuthError>,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// Answered with a status or a KIS code.
    Error(String),
    Hang,
    Cut,
    Blocked,
}

/// `router` behind the faults.
pub(crate) fn layer(router: Router, shared: Arc<Shared>) -> Router {
    router.layer(from_fn_with_state(shared, apply))
}

async fn apply(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.faults.idle() {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    let verdict = judge(&shared, &path, request.headers());
    if !verdict.pause.is_zero() {
        tokio::time::sleep(verdict.pause).await;
    }
    match verdict.end {
        None => next.run(request).await,
        // Whoever waits is let go when it gives up, or when the simulator stops.
        Some(End::Hang) => std::future::pending().await,
        Some(End::Error(code)) => error(&code, path.starts_with("/oauth2/")),
        Some(End::Blocked) => page(StatusCode::FORBIDDEN, "Access from your address is blocked."),
        Some(End::Cut) => cut(next.run(request).await).await,
    }
}

/// What becomes of a call; its token is spoilt at once.
fn judge(shared: &Shared, path: &str, headers: &HeaderMap) -> Verdict {
    let head = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let token = head("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let target = Target {
        session: 0,
        app_key: head("appkey").and_then(|key| shared.auth.ordinal(key)),
        symbol: None,
        name: path.rsplit('/').next().unwrap_or_default(),
        now: shared.playback.lock().now(),
    };
    let verdict = shared.faults.plan.lock().call(&target, token.is_some());
    if let Some((error, token)) = verdict.token.zip(token) {
        shared.auth.spoil_token(token.trim(), error);
    }
    verdict
}

impl Plan {
    fn call(&mut self, target: &Target<'_>, has_token: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let Self { armed, log } = self;
        for armed in armed {
            let kind = armed.spec.kind;
            let due = match kind {
                FaultKind::Slow => armed.spec.side != Side::Ws,
                FaultKind::Blocked => true,
                FaultKind::TokenExpired | FaultKind::TokenInvalid => has_token,
                _ => kind.place() == Place::Call,
            };
            if !due || verdict.end.is_some() {
                continue;
            }
            let Some(ordinal) = armed.strikes(target) else { continue };
            let detail = match kind {
                FaultKind::Slow => {
                    verdict.pause += delay(armed);
                    format!("answered {} ms late", delay(armed).as_millis())
                }
                FaultKind::TokenExpired => {
                    verdict.token = Some(AuthError::ExpiredToken);
                    "its token has expired".to_owned()
                }
                FaultKind::TokenInvalid => {
                    verdict.token = Some(AuthError::UnknownToken);
                    "its token is unknown".to_owned()
                }
                FaultKind::HttpHang => {
                    verdict.end = Some(End::Hang);
                    "never answered".to_owned()
                }
                FaultKind::HttpCut => {
                    verdict.end = Some(End::Cut);
                    "the answer breaks off".to_owned()
                }
                FaultKind::Blocked => {
                    verdict.end = Some(End::Blocked);
                    "answered with 403 and a page".to_owned()
                }
                _ => {
                    let code = armed.spec.code.clone().unwrap_or_else(|| "500".to_owned());
                    let detail = format!("answered with {code}");
                    verdict.end = Some(End::Error(code));
                    detail
                }
            };
            log.add(kind, target, ordinal, detail, None);
        }
        verdict
    }
}

/// The refusal with `code`: a status, or a KIS code with the status that KIS gives it.
fn error(code: &str, oauth: bool) -> Response {
    let (msg_cd, text) = match code {
        "500" | "EGW00316" => {
            ("EGW00316", "조회 처리 중 오류 발생하였습니다. 재 조회 수행 부탁드립니다.")
        }
        "EGW00201" => AuthError::TooMany.code(),
        other => match other.parse().ok().and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => return page(status, status.canonical_reason().unwrap_or("Error")),
            None => (other, "서버 에러가 발생했습니다."),
        },
    };
    let (status, body) = if oauth {
        let body = json!({ "error_description": text, "error_code": msg_cd });
        (StatusCode::FORBIDDEN, body)
    } else {
        let body = json!({ "rt_cd": "1", "msg_cd": msg_cd, "msg1": text });
        (StatusCode::INTERNAL_SERVER_ERROR, body)
    };
    answer(status, "application/json; charset=utf-8", body.to_string())
}

/// A page for people, as gateways before the service send them.
fn page(status: StatusCode, text: &str) -> Response {
    let number = status.as_u16();
    let body =
        format!("<html><head><title>{number}</title></head><body><h1>{text}</h1></body></html>");
    answer(status, "text/html; charset=utf-8", body)
}

fn answer(status: StatusCode, form: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    response
}

/// The answer's head and half of its body, then the end of the connection.
async fn cut(whole: Response) -> Response {
    /// The simulator's own answers are far smaller.
    const MOST: usize = 16 << 20;
    let (mut parts, body) = whole.into_parts();
    let bytes = axum::body::to_bytes(body, MOST).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len() + 1));
    let half: Result<Bytes, io::Error> = Ok(bytes.slice(..bytes.len() / 2));
    let end = async {
        // The server writes what it has when the body has nothing ready.
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    let body = stream::once(std::future::ready(half)).chain(stream::once(end));
    Response::from_parts(parts, Body::from_stream(body))
}
