//! A REST call as it was asked, and what it can be answered.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::market::SessionDay;

use super::auth::AuthError;
use super::options::SimEnv;
use super::server::Shared;
use super::view;

/// Width of the texts that the trading back end pads.
const PADDED: usize = 80;
/// Width of the field that carries the code of an issue.
const CODE: usize = 12;

/// An answer that is no refusal.
pub(crate) struct Answer {
    /// The outputs, an object.
    pub body: Map<String, Value>,
    pub msg_cd: &'static str,
    pub msg1: String,
    /// Paging state, the header `tr_cont`.
    pub tr_cont: &'static str,
    /// Orders have the envelope in front of the output.
    pub envelope_first: bool,
}

impl Answer {
    /// Market data.
    pub fn market(body: Value) -> Self {
        Self::new(body, "MCA00000", "정상처리 되었습니다.")
    }

    pub fn new(body: Value, msg_cd: &'static str, msg1: impl Into<String>) -> Self {
        let body = match body {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        Self { body, msg_cd, msg1: msg1.into(), tr_cont: "", envelope_first: false }
    }

    /// The whole body, envelope included.
    pub fn into_body(self) -> Value {
        let envelope = [("rt_cd", "0".to_owned()), ("msg_cd", self.msg_cd.to_owned())];
        let envelope = envelope.into_iter().chain([("msg1", self.msg1)]);
        let envelope = envelope.map(|(name, text)| (name.to_owned(), Value::String(text)));
        if self.envelope_first {
            Value::Object(envelope.chain(self.body).collect())
        } else {
            Value::Object(self.body.into_iter().chain(envelope).collect())
        }
    }
}

/// A refusal: `rt_cd`, `msg_cd`, `msg1`, and the status it travels with.
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub rt_cd: &'static str,
    pub msg_cd: &'static str,
    pub msg1: String,
}

impl Refusal {
    pub fn input(msg_cd: &'static str, msg1: String) -> Self {
        Self { status: StatusCode::OK, rt_cd: "2", msg_cd, msg1 }
    }

    pub fn gateway(msg_cd: &'static str, msg1: &str) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, rt_cd: "1", msg_cd, msg1: msg1.into() }
    }

    /// A refusal of the trading back end, its text padded.
    pub fn broker(rt_cd: &'static str, msg_cd: &'static str, msg1: &str) -> Self {
        Self { status: StatusCode::OK, rt_cd, msg_cd, msg1: padded(msg1, PADDED) }
    }

    /// A value that cannot be used. The spelling is KIS's.
    pub fn size(name: &str, value: &str) -> Self {
        let text = format!("ERROR INVALID INPUT_FILED_SIZE [{name}] [{}]", value.len());
        Self::input("OPSQ2002", text)
    }

    /// A TR ID that the call does not have.
    pub fn unknown_tr() -> Self {
        let msg1 = "없는 서비스 코드 입니다.".into();
        Self { status: StatusCode::OK, rt_cd: "1", msg_cd: "OPSQ0002", msg1 }
    }

    /// A TR ID of the other environment.
    pub fn other_environment(here: SimEnv) -> Self {
        let text = match here {
            SimEnv::Real => "실전투자 TR 이 아닙니다.",
            SimEnv::Mock => "모의투자 TR 이 아닙니다.",
        };
        Self::gateway("EGW02004", text)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let (code, text) = error.code();
        Self::gateway(code, text)
    }
}

/// `text` with blanks up to `width` columns; Korean letters take two.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let columns: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    format!("{text}{:1$}", "", width.saturating_sub(columns))
}

/// `text` padded as the trading back end pads `msg1`.
pub(crate) fn padded_message(text: &str) -> String {
    padded(text, PADDED)
}

/// A call with its parameters.
pub(crate) struct Request<'a> {
    pub shared: &'a Shared,
    pub app_key: &'a str,
    pub tr_id: &'a str,
    /// Asks for the next page.
    pub continues: bool,
    values: BTreeMap<String, String>,
}

impl<'a> Request<'a> {
    /// A GET: names in either case.
    pub fn query(shared: &'a Shared, (app_key, tr_id): (&'a str, &'a str), query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let values = pairs.map(|(name, value)| (name.to_uppercase(), value.into_owned())).collect();
        Self { shared, app_key, tr_id, continues: false, values }
    }

    /// A POST: names in upper case, all values texts. `None` when the body is no JSON object.
    pub fn body(
        shared: &'a Shared,
        (app_key, tr_id): (&'a str, &'a str),
        body: &[u8],
    ) -> Option<Self> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return None };
        let text = |(name, value): (String, Value)| match value {
            Value::String(value) => Some((name, value)),
            _ => None,
        };
        let values = fields.into_iter().filter_map(text).collect();
        Some(Self { shared, app_key, tr_id, continues: false, values })
    }

    /// Refuses when one of `names` is not there, empty or not.
    pub fn require(&self, names: &[&str]) -> Result<(), Refusal> {
        match names.iter().find(|name| !self.values.contains_key(**name)) {
            None => Ok(()),
            Some(missing) => {
                let text = format!("ERROR INPUT FIELD NOT FOUND [{missing}]");
                Err(Refusal::input("OPSQ2001", text))
            }
        }
    }

    /// A parameter; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    pub fn market(&self, allowed: &[&str]) -> Result<(), Refusal> {
        if allowed.contains(&self.get("FID_COND_MRKT_DIV_CODE")) {
            return Ok(());
        }
        Err(Refusal::input("OPSQ2001", "ERROR INVALID_CHECK_MRKT_DIV_CODE".into()))
    }

    /// The issue asked for. `UN` (unified) is played as KRX; NXT is not played.
    pub fn issue(&self) -> Result<view::IssueView, Refusal> {
        self.market(&["J", "UN"])?;
        let code = self.get("FID_INPUT_ISCD");
        if code.len() > CODE {
            return Err(Refusal::size("FID_INPUT_ISCD", code));
        }
        view::issue(&self.shared.playback, code).ok_or_else(|| Refusal {
            status: StatusCode::OK,
            rt_cd: "1",
            msg_cd: "APBK0656",
            msg1: "해당종목정보가 없습니다".into(),
        })
    }

    pub fn day(&self, name: &str) -> Result<SessionDay, Refusal> {
        self.parsed(name)
    }

    /// A parameter as something else.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, Refusal> {
        let value = self.get(name);
        value.parse().map_err(|_| Refusal::size(name, value))
    }

    /// A parameter that may be empty.
    pub fn optional<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        if self.get(name).is_empty() { Ok(None) } else { self.parsed(name).map(Some) }
    }

    /// A parameter that must be one of `allowed`; gives its place among them.
    pub fn choice(&self, name: &str, allowed: &[&str]) -> Result<usize, Refusal> {
        let value = self.get(name);
        let at = allowed.iter().position(|one| *one == value);
        at.ok_or_else(|| Refusal::size(name, value))
    }

    pub fn env(&self) -> SimEnv {
        self.shared.options.env
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_korean_letter_takes_two_columns() {
        assert_eq!(padded("가나 a", 10), "가나 a    ");
        assert_eq!(padded("가나다", 4), "가나다");
        assert_eq!(padded_message("조회가 완료되었습니다").chars().count(), 70);
    }

    proptest! {
        #[test]
        fn padding_only_adds_blanks(text in "\\PC{0,60}", width in 0usize..120) {
            let out = padded(&text, width);
            prop_assert!(out.starts_with(&text));
            prop_assert!(out[text.len()..].bytes().all(|byte| byte == b' '));
        }
    }
}
