//! The REST side: routes, envelope, checks in KIS's order, refusals with KIS's codes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::auth::AuthError;
use super::request::{Answer, Refusal, Request};
use super::routes::Call;
use super::server::Shared;

/// `response` with the `Date` of a clock that is `offset` seconds ahead.
pub(crate) fn dated(mut response: Response, offset: i64) -> Response {
    let now = std::time::SystemTime::now();
    let date = chrono::DateTime::<chrono::Utc>::from(now) + chrono::TimeDelta::seconds(offset);
    let text = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::DATE, value);
    }
    response
}

/// The routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/oauth2/tokenP", post(token))
        .route("/oauth2/revokeP", post(revoke))
        .route("/oauth2/Approval", post(approval))
        .route("/uapi/hashkey", post(hash_key))
        .fallback(call)
        .with_state(shared)
}

fn respond(status: StatusCode, tr_id: Option<&str>, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(tr_id) = tr_id {
        let value = HeaderValue::from_str(tr_id).unwrap_or(HeaderValue::from_static(""));
        headers.insert("tr_id", value);
        headers.insert("tr_cont", HeaderValue::from_static(""));
        headers.insert("gt_uid", HeaderValue::from_static(""));
    }
    response
}

/// Every path that is no authentication.
async fn call(
    State(shared): State<Arc<Shared>>,
    (method, uri): (Method, Uri),
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let (app_key, tr_id) = (text(&headers, "appkey"), text(&headers, "tr_id"));
    let Some(call) = Call::find(&method, uri.path()) else {
        shared.log.record(app_key, "unknown", tr_id, "404");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    match answer(&shared, call, &headers, query.as_deref(), &body) {
        Ok(answer) => {
            shared.log.record(app_key, call.path, tr_id, answer.msg_cd);
            let tr_cont = HeaderValue::from_static(answer.tr_cont);
            let mut response = respond(StatusCode::OK, Some(tr_id), &answer.into_body());
            response.headers_mut().insert("tr_cont", tr_cont);
            response
        }
        Err(refusal) => {
            let Refusal { status, rt_cd, msg_cd, msg1 } = refusal;
            shared.log.record(app_key, call.path, tr_id, msg_cd);
            let body = json!({ "rt_cd": rt_cd, "msg_cd": msg_cd, "msg1": msg1 });
            respond(status, Some(tr_id), &body)
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn answer(
    shared: &Shared,
    call: &Call,
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (app_key, tr_id) = (text(headers, "appkey"), text(headers, "tr_id"));
    shared.auth.call(bearer, app_key, text(headers, "appsecret"))?;
    call.check(tr_id, shared.options.env)?;
    let who = (app_key, tr_id);
    let mut request = if call.method == Method::POST {
        let request = Request::body(shared, who, body);
        request.ok_or_else(|| Refusal::gateway("EGW00002", "서버 에러가 발생했습니다."))?
    } else {
        Request::query(shared, who, query.unwrap_or_default())
    };
    request.require(call.required)?;
    request.continues = text(headers, "tr_cont") == "N";
    (call.answer)(&request)
}

/// The fields of an authentication body, or the answer to a body that is none.
fn fields<'a>(body: &'a Value, names: [&str; 2]) -> Option<[&'a str; 2]> {
    let [first, second] = names.map(|name| body.get(name).and_then(Value::as_str));
    Some([first?, second?])
}

/// Tokens and approval keys are given for one kind of grant.
fn granted(body: &Value) -> Result<(), AuthError> {
    match body.get("grant_type").and_then(Value::as_str) {
        None | Some("") => Err(AuthError::NoGrant),
        Some("client_credentials") => Ok(()),
        Some(_) => Err(AuthError::OtherGrant),
    }
}

fn auth_refusal(code: &str, description: &str) -> Response {
    let body = json!({ "error_description": description, "error_code": code });
    respond(StatusCode::FORBIDDEN, None, &body)
}

fn refused(error: AuthError) -> Response {
    let (code, text) = error.code();
    auth_refusal(code, text)
}

fn malformed() -> Response {
    auth_refusal("EGW00002", "서버 에러가 발생했습니다.")
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// Takes note of an authentication call and gives its answer.
fn told(
    shared: &Shared,
    endpoint: &'static str,
    app_key: &str,
    answer: Result<Value, AuthError>,
) -> Response {
    let outcome = answer.as_ref().map_or_else(|error| error.code().0, |_| "200");
    shared.log.record(app_key, endpoint, "", outcome);
    match answer {
        Ok(body) => respond(StatusCode::OK, None, &body),
        Err(error) => refused(error),
    }
}

async fn token(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "appsecret"]) else { return malformed() };
    let issued = granted(&body).and_then(|()| shared.auth.token(key, secret));
    let answer = issued.map(|token| {
        json!({
            "access_token": token.text,
            "access_token_token_expired": token.expires,
            "token_type": "Bearer",
            "expires_in": token.seconds,
        })
    });
    told(&shared, "/oauth2/tokenP", key, answer)
}

async fn revoke(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "appsecret"]) else { return malformed() };
    let token = body.get("token").and_then(Value::as_str).unwrap_or_default();
    let done = json!({ "code": 200, "message": "접근토큰 폐기에 성공하였습니다" });
    told(&shared, "/oauth2/revokeP", key, shared.auth.revoke(key, secret, token).map(|()| done))
}

async fn approval(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "secretkey"]) else { return malformed() };
    let issued = granted(&body).and_then(|()| shared.auth.approval(key, secret));
    let answer = issued.map(|key| json!({ "approval_key": key }));
    told(&shared, "/oauth2/Approval", key, answer)
}

async fn hash_key(body: axum::body::Bytes) -> Response {
    match serde_json::from_slice::<Value>(&body) {
        Ok(order) => {
            let hash = hex::encode(Sha256::digest(&body));
            respond(StatusCode::OK, None, &json!({ "BODY": order, "HASH": hash }))
        }
        Err(_) => malformed(),
    }
}
