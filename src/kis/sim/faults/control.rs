//! Faults of registrations, `PINGPONG` and connections.

use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::super::feed::Feed;
use super::super::server::Shared;
use super::super::session::Session;
use super::frames::delay;
use super::key::Side;
use super::kind::{FaultKind, Place};
use super::schedule::Target;
use super::{Faults, Plan};
use crate::market::EventTime;

/// What becomes of a registration.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The answer instead of the true one.
    pub refused: Option<Refused>,
    /// The answer is not sent.
    pub silent: bool,
    /// The answer carries a wrong key.
    wrong_key: bool,
    /// The answer comes late.
    pub pause: Option<Duration>,
    /// Fault that lets the registration get nothing, and until when.
    dropped: Option<(usize, Option<EventTime>)>,
}

/// A refusal that is a fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// With this code; the session goes on.
    Code(String),
    /// OPSP8996; the session ends.
    InUse,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// The upgrade is answered with this status.
    Refused(u16),
    /// The connection is reset.
    Reset,
}

impl Verdict {
    /// The acknowledgement as it is sent.
    pub fn answer(&self, answer: String) -> String {
        if !self.wrong_key {
            return answer;
        }
        let Ok(mut value) = serde_json::from_str::<Value>(&answer) else { return answer };
        let Some(key) = value.pointer_mut("/body/output/key") else { return answer };
        // Another key of the same form; a key reads the same backwards in one of 2^64 cases.
        let wrong: String = key.as_str().unwrap_or_default().chars().rev().collect();
        *key = wrong.into();
        value.to_string()
    }
}

impl Faults {
    /// What becomes of a message of the client that wants an answer.
    pub fn request(&self, shared: &Shared, session: &Session, request: &Value) -> Verdict {
        if self.idle() {
            return Verdict::default();
        }
        let text = |pointer| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let approval = text("/header/approval_key");
        let (tr_id, tr_key) = (text("/body/input/tr_id"), text("/body/input/tr_key"));
        let app_key = shared.auth.approved(approval).and_then(|key| shared.auth.ordinal(&key));
        let now = shared.playback.lock().now();
        let mut pipe = session.faults.lock();
        pipe.app_key = app_key.or(pipe.app_key);
        let asks = text("/header/tr_type") == "1";
        let first = asks && !pipe.asked;
        pipe.asked |= asks;
        let target = Target {
            session: pipe.number,
            app_key: pipe.app_key,
            symbol: tr_key.parse().ok(),
            name: tr_id,
            now,
        };
        drop(pipe);
        let mut plan = self.plan.lock();
        let mut verdict = Verdict {
            silent: plan.lasts(&target, &[FaultKind::MuteAll]),
            pause: plan.pause(&target),
            ..Verdict::default()
        };
        if asks && plan.registration(&target, first, &mut verdict) {
            shared.auth.forget_approval(approval);
        }
        verdict
    }

    /// A registration is in force (anew) or has ended: an old fault no longer keeps it silent.
    pub fn registered(&self, session: &Session, feed: Feed, key: u32, verdict: Option<&Verdict>) {
        let mut pipe = session.faults.lock();
        pipe.dropped.remove(&(feed, key));
        if let Some(dropped) = verdict.and_then(|verdict| verdict.dropped) {
            pipe.dropped.insert((feed, key), dropped);
        }
    }

    /// Whether a `PINGPONG` is left out.
    pub fn swallows_ping(&self, shared: &Shared, session: &Session) -> bool {
        if self.idle() {
            return false;
        }
        let now = shared.playback.lock().now();
        let pipe = session.faults.lock();
        let target = Target {
            session: pipe.number,
            app_key: pipe.app_key,
            symbol: None,
            name: "PINGPONG",
            now,
        };
        self.plan.lock().lasts(&target, &[FaultKind::MuteAll, FaultKind::NoPing])
    }

    /// What becomes of a new connection.
    pub fn connection(&self, shared: &Shared) -> Door {
        if self.idle() {
            return Door::Open;
        }
        let now = shared.playback.lock().now();
        let target = Target { session: 0, app_key: None, symbol: None, name: "", now };
        let mut plan = self.plan.lock();
        let Plan { armed, log } = &mut *plan;
        for armed in armed.iter_mut().filter(|armed| armed.spec.kind.place() == Place::Connection) {
            let Some(ordinal) = armed.strikes(&target) else { continue };
            let kind = armed.spec.kind;
            let (door, detail) = match kind {
                FaultKind::Blocked => (Door::Reset, "the connection is reset".to_owned()),
                _ => {
                    let code = armed.spec.code.as_deref().and_then(|code| code.parse().ok());
                    let code = code.unwrap_or(503);
                    (Door::Refused(code), format!("the upgrade is refused with {code}"))
                }
            };
            log.add(kind, &target, ordinal, detail, None);
            return door;
        }
        Door::Open
    }
}

impl Plan {
    /// How late an answer to the client is.
    fn pause(&mut self, target: &Target<'_>) -> Option<Duration> {
        if !self.lasts(target, &[FaultKind::Slow]) {
            return None;
        }
        let slow = self
            .armed
            .iter()
            .find(|armed| armed.spec.kind == FaultKind::Slow && armed.spec.side != Side::Rest);
        slow.map(delay)
    }

    /// Fills `verdict` for a registration; `true`: its approval key expires first.
    fn registration(&mut self, target: &Target<'_>, first: bool, verdict: &mut Verdict) -> bool {
        let mut expired = false;
        let Self { armed, log } = self;
        for (index, armed) in armed.iter_mut().enumerate() {
            let kind = armed.spec.kind;
            let due = match kind {
                FaultKind::DropSubscription => armed.spec.from_start,
                FaultKind::InUse => first,
                FaultKind::BadNoticeKey => target.name.starts_with("H0STCNI"),
                _ => kind.place() == Place::Registration,
            };
            if !due || verdict.refused.is_some() {
                continue;
            }
            let Some(ordinal) = armed.strikes(target) else { continue };
            let detail = match kind {
                FaultKind::DropSubscription => {
                    verdict.dropped = Some((index, armed.until(target)));
                    "acknowledged, but gets nothing".to_owned()
                }
                FaultKind::NoAck => {
                    verdict.silent = true;
                    "not acknowledged".to_owned()
                }
                FaultKind::InUse => {
                    verdict.refused = Some(Refused::InUse);
                    "refused with OPSP8996".to_owned()
                }
                FaultKind::BadNoticeKey => {
                    verdict.wrong_key = true;
                    "acknowledged with a wrong key".to_owned()
                }
                FaultKind::ApprovalExpired => {
                    expired = true;
                    "its approval key has expired".to_owned()
                }
                _ => {
                    let code = armed.spec.code.clone().unwrap_or_else(|| "OPSP0007".to_owned());
                    let detail = format!("refused with {code}");
                    verdict.refused = Some(Refused::Code(code));
                    detail
                }
            };
            log.add(kind, target, ordinal, detail, None);
        }
        expired
    }
}

/// A handshake's callback that refuses it with `status`.
#[expect(clippy::result_large_err, reason = "the form is tungstenite's")]
pub(crate) fn refuse_upgrade(
    status: u16,
) -> impl FnOnce(&Request, Response) -> Result<Response, ErrorResponse> {
    move |_, _| {
        let mut refusal = ErrorResponse::new(Some("the server takes no connections now".into()));
        *refusal.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Err(refusal)
    }
}
