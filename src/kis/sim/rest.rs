//! The REST side: routes, envelope, checks in KIS's order, refusals with KIS's codes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::market::{SessionDay, TimeOfDay};

use super::auth::AuthError;
use super::calls;
use super::day::ms;
use super::options::SimEnv;
use super::server::Shared;
use super::view;

/// A quotation call.
struct Call {
    path: &'static str,
    tr_id: &'static str,
    /// Parameters that must be present, though maybe empty.
    required: &'static [&'static str],
    /// Whether paper trading has it.
    in_mock: bool,
    answer: fn(&Shared, &Query) -> Result<Value, Refusal>,
}

const ISSUE: &[&str] = &["FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD"];

const CALLS: [Call; 8] = [
    Call {
        path: "inquire-price",
        tr_id: "FHKST01010100",
        required: ISSUE,
        in_mock: true,
        answer: |shared, query| Ok(calls::price(&query.issue(shared)?)),
    },
    Call {
        path: "inquire-ccnl",
        tr_id: "FHKST01010300",
        required: ISSUE,
        in_mock: true,
        answer: |shared, query| Ok(calls::latest_trades(&query.issue(shared)?)),
    },
    Call {
        path: "inquire-daily-price",
        tr_id: "FHKST01010400",
        required: &[
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_PERIOD_DIV_CODE",
            "FID_ORG_ADJ_PRC",
        ],
        in_mock: true,
        answer: |shared, query| {
            query.only_days()?;
            Ok(calls::daily_price(&query.issue(shared)?))
        },
    },
    Call {
        path: "inquire-daily-itemchartprice",
        tr_id: "FHKST03010100",
        required: &[
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_INPUT_DATE_1",
            "FID_INPUT_DATE_2",
            "FID_PERIOD_DIV_CODE",
            "FID_ORG_ADJ_PRC",
        ],
        in_mock: true,
        answer: |shared, query| {
            query.only_days()?;
            let (from, to) = (query.day("FID_INPUT_DATE_1")?, query.day("FID_INPUT_DATE_2")?);
            Ok(calls::period_chart(&query.issue(shared)?, from, to))
        },
    },
    Call {
        path: "inquire-time-itemchartprice",
        tr_id: "FHKST03010200",
        required: &[
            "FID_ETC_CLS_CODE",
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_INPUT_HOUR_1",
            "FID_PW_DATA_INCU_YN",
        ],
        in_mock: true,
        answer: |shared, query| {
            let name = "FID_INPUT_HOUR_1";
            let value = query.get(name);
            let until: TimeOfDay = value.parse().map_err(|_| Refusal::size(name, value))?;
            Ok(calls::minute_chart(&query.issue(shared)?, ms(until)))
        },
    },
    Call {
        path: "inquire-asking-price-exp-ccn",
        tr_id: "FHKST01010200",
        required: ISSUE,
        in_mock: true,
        answer: |shared, query| Ok(calls::order_book(&query.issue(shared)?)),
    },
    Call {
        path: "inquire-index-price",
        tr_id: "FHPUP02100000",
        required: ISSUE,
        in_mock: false,
        answer: |shared, query| {
            query.market(&["U"])?;
            let code = query.get("FID_INPUT_ISCD");
            view::index(&shared.playback, code)
                .map(|index| calls::index_price(&index))
                .ok_or_else(|| Refusal::size("FID_INPUT_ISCD", code))
        },
    },
    Call {
        path: "chk-holiday",
        tr_id: "CTCA0903R",
        required: &["BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"],
        in_mock: false,
        answer: |_, query| Ok(calls::calendar(query.day("BASS_DT")?)),
    },
];

/// A business refusal: `rt_cd`, `msg_cd`, `msg1`, and the status it travels with.
struct Refusal {
    status: StatusCode,
    rt_cd: &'static str,
    msg_cd: &'static str,
    msg1: String,
}

impl Refusal {
    fn input(msg_cd: &'static str, msg1: String) -> Self {
        Self { status: StatusCode::OK, rt_cd: "2", msg_cd, msg1 }
    }

    fn gateway(msg_cd: &'static str, msg1: &str) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, rt_cd: "1", msg_cd, msg1: msg1.into() }
    }

    /// A value that cannot be used. The spelling is KIS's.
    fn size(name: &str, value: &str) -> Self {
        let text = format!("ERROR INVALID INPUT_FILED_SIZE [{name}] [{}]", value.len());
        Self::input("OPSQ2002", text)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let (code, text) = error.code();
        Self::gateway(code, text)
    }
}

/// Query parameters, their names in upper case.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.to_uppercase(), value.into_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn market(&self, allowed: &[&str]) -> Result<(), Refusal> {
        if allowed.contains(&self.get("FID_COND_MRKT_DIV_CODE")) {
            return Ok(());
        }
        Err(Refusal::input("OPSQ2001", "ERROR INVALID_CHECK_MRKT_DIV_CODE".into()))
    }

    /// The issue asked for. `UN` (unified) is played as KRX; NXT is not played.
    fn issue(&self, shared: &Shared) -> Result<view::IssueView, Refusal> {
        self.market(&["J", "UN"])?;
        view::issue(&shared.playback, self.get("FID_INPUT_ISCD")).ok_or_else(|| Refusal {
            status: StatusCode::OK,
            rt_cd: "1",
            msg_cd: "APBK0656",
            msg1: "해당종목정보가 없습니다".into(),
        })
    }

    fn day(&self, name: &str) -> Result<SessionDay, Refusal> {
        let value = self.get(name);
        value.parse().map_err(|_| Refusal::size(name, value))
    }

    /// Weeks, months and years are not simulated.
    fn only_days(&self) -> Result<(), Refusal> {
        match self.get("FID_PERIOD_DIV_CODE") {
            "D" => Ok(()),
            other => Err(Refusal::size("FID_PERIOD_DIV_CODE", other)),
        }
    }
}

/// The routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/oauth2/tokenP", post(token))
        .route("/oauth2/revokeP", post(revoke))
        .route("/oauth2/Approval", post(approval))
        .route("/uapi/hashkey", post(hash_key))
        .route("/uapi/domestic-stock/v1/quotations/{call}", get(quotation))
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

async fn quotation(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let Some(call) = CALLS.iter().find(|call| call.path == name) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let tr_id = text(&headers, "tr_id");
    match answer(&shared, call, tr_id, query.as_deref(), &headers) {
        Ok(mut body) => {
            let more = call.tr_id == "CTCA0903R";
            let (code, message) = if more {
                ("KIOK0500", "조회가 계속됩니다..다음버튼을 Click 하십시오.")
            } else {
                ("MCA00000", "정상처리 되었습니다.")
            };
            body["rt_cd"] = "0".into();
            body["msg_cd"] = code.into();
            body["msg1"] = message.into();
            let mut response = respond(StatusCode::OK, Some(tr_id), &body);
            if more {
                response.headers_mut().insert("tr_cont", HeaderValue::from_static("M"));
            }
            response
        }
        Err(refusal) => {
            let Refusal { status, rt_cd, msg_cd, msg1 } = refusal;
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
    tr_id: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Value, Refusal> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    shared.auth.call(bearer, text(headers, "appkey"), text(headers, "appsecret"))?;
    if tr_id != call.tr_id {
        return Err(Refusal {
            status: StatusCode::OK,
            rt_cd: "1",
            msg_cd: "OPSQ0002",
            msg1: "없는 서비스 코드 입니다.".into(),
        });
    }
    if shared.options.env == SimEnv::Mock && !call.in_mock {
        return Err(Refusal::gateway("EGW02004", "모의투자 TR 이 아닙니다."));
    }
    let query = Query::parse(query);
    if let Some(missing) = call.required.iter().find(|name| !query.0.contains_key(**name)) {
        let text = format!("ERROR INPUT FIELD NOT FOUND [{missing}]");
        return Err(Refusal::input("OPSQ2001", text));
    }
    (call.answer)(shared, &query)
}

/// The fields of an authentication body, or the answer to a body that is none.
fn fields<'a>(body: &'a Value, names: [&str; 2]) -> Option<[&'a str; 2]> {
    let [first, second] = names.map(|name| body.get(name).and_then(Value::as_str));
    Some([first?, second?])
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

async fn token(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "appsecret"]) else { return malformed() };
    match shared.auth.token(key, secret) {
        Ok(token) => respond(
            StatusCode::OK,
            None,
            &json!({
                "access_token": token.text,
                "access_token_token_expired": token.expires,
                "token_type": "Bearer",
                "expires_in": token.seconds,
            }),
        ),
        Err(error) => refused(error),
    }
}

async fn revoke(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "appsecret"]) else { return malformed() };
    let token = body.get("token").and_then(Value::as_str).unwrap_or_default();
    match shared.auth.revoke(key, secret, token) {
        Ok(()) => {
            let done = json!({ "code": 200, "message": "접근토큰 폐기에 성공하였습니다" });
            respond(StatusCode::OK, None, &done)
        }
        Err(error) => refused(error),
    }
}

async fn approval(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    let body = parse(&body);
    let Some([key, secret]) = fields(&body, ["appkey", "secretkey"]) else { return malformed() };
    match shared.auth.approval(key, secret) {
        Ok(key) => respond(StatusCode::OK, None, &json!({ "approval_key": key })),
        Err(error) => refused(error),
    }
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
