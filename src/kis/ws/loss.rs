//! Why a session ends, and how long to wait before the next one.

use std::collections::HashMap;
use std::time::Duration;

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::FeedConfig;
use crate::kis::backoff::Backoff;

/// Why a session ended or could not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossCause {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// KIS answers, but not us: an HTTP refusal where a WebSocket should begin.
    #[error("kis refuses the connection: {0}: wait, and ask KIS if it lasts")]
    Blocked(String),
    /// The server said good-bye and why: it is going away, or restarts.
    #[error("close announced by the server: {0}")]
    Announced(String),
    /// The server closed without announcing it.
    #[error("closed by the server: {0}")]
    Closed(String),
    /// The line broke.
    #[error("connection broke: {0}")]
    Broken(String),
    /// Something that is not WebSocket, not UTF-8, or too long.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// No application message for the idle time-out.
    #[error("no message for {0:?}")]
    Idle(Duration),
    /// The session answered but brought no data while issues traded.
    #[error("the session is mute: {0} traded and nothing came")]
    Mute(String),
    /// Another session uses the app key.
    #[error("the app key is in use by another session (OPSP8996)")]
    InUse,
    /// The approval key was refused, or none could be had.
    #[error("approval: {0}")]
    Approval(String),
    /// The feed was told to stop.
    #[error("stopped")]
    Stopped,
}

impl LossCause {
    /// Short name, a metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Blocked(_) => "blocked",
            Self::Announced(_) => "announced",
            Self::Closed(_) => "closed",
            Self::Broken(_) => "broken",
            Self::Protocol(_) => "protocol",
            Self::Idle(_) => "idle",
            Self::Mute(_) => "mute",
            Self::InUse => "in_use",
            Self::Approval(_) => "approval",
            Self::Stopped => "stopped",
        }
    }

    /// From a close frame: 1001 (going away) and 1012 (restart) announce a hand-over, and so does
    /// any close that gives a reason in words with the normal code.
    pub(super) fn of_close(frame: Option<&CloseFrame>) -> Self {
        let Some(frame) = frame else { return Self::Closed("no reason given".to_owned()) };
        let text = format!("{} {}", u16::from(frame.code), frame.reason).trim_end().to_owned();
        match frame.code {
            CloseCode::Away | CloseCode::Restart => Self::Announced(text),
            CloseCode::Normal if !frame.reason.is_empty() => Self::Announced(text),
            _ => Self::Closed(text),
        }
    }

    /// From an error of an open session.
    pub(super) fn of_error(error: &tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Closed(error.to_string()),
            Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Broken("the line went down without a good-bye (1006)".to_owned())
            }
            Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) => {
                Self::Protocol(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }

    /// From an error while connecting to `url`.
    pub(super) fn of_handshake(url: &str, error: &tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(answer) if matches!(answer.status().as_u16(), 403 | 429) => {
                Self::Blocked(format!("{url}: http {}", answer.status()))
            }
            _ => Self::Connect(format!("{url}: {error}")),
        }
    }
}

/// Pauses between the sessions of one key: each kind of loss grows by itself.
#[derive(Debug)]
pub(super) struct Pauses {
    by_cause: HashMap<&'static str, Backoff>,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { by_cause: HashMap::new() }
    }

    /// The pause after `cause`.
    pub(super) fn after(&mut self, cause: &LossCause, config: &FeedConfig) -> Duration {
        let (floor, cap) = match cause {
            LossCause::InUse => (config.in_use_floor, config.reconnect_cap),
            LossCause::Approval(_) => (config.refused_floor, config.reconnect_cap * 2),
            LossCause::Blocked(_) => (config.refused_floor * 20, config.reconnect_cap * 20),
            _ => (config.reconnect_floor, config.reconnect_cap),
        };
        let known = self.by_cause.contains_key(cause.as_str());
        let backoff =
            self.by_cause.entry(cause.as_str()).or_insert_with(|| Backoff::new(floor, cap));
        // The first announced close is a hand-over; one after the other is a fault like any.
        if matches!(cause, LossCause::Announced(_)) && !known {
            return Duration::ZERO;
        }
        backoff.pause()
    }

    /// A session lasted: everything starts over.
    pub(super) fn reset(&mut self) {
        self.by_cause.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kis::Environment;
    use crate::kis::subscriptions::Watch;

    #[test]
    fn each_cause_has_a_pause_of_its_own_and_an_announced_close_none() {
        let config = FeedConfig::new("ws://x", Environment::Real, Watch::default());
        let mut pauses = Pauses::new();
        let announced = LossCause::Announced("1001".into());
        assert_eq!(pauses.after(&announced, &config), Duration::ZERO);
        assert!(pauses.after(&announced, &config) >= config.reconnect_floor);
        for _ in 0..20 {
            let pause = pauses.after(&LossCause::Closed(String::new()), &config);
            assert!((config.reconnect_floor..=config.reconnect_cap).contains(&pause));
        }
        assert!(pauses.after(&LossCause::InUse, &config) >= config.in_use_floor);
        let blocked = pauses.after(&LossCause::Blocked(String::new()), &config);
        assert!(blocked >= Duration::from_secs(60), "{blocked:?}");
        pauses.reset();
        assert_eq!(pauses.after(&announced, &config), Duration::ZERO);
    }

    #[test]
    fn closes() {
        let frame = |code: u16, reason: &str| CloseFrame {
            code: CloseCode::from(code),
            reason: reason.to_owned().into(),
        };
        for (code, reason, name) in [
            (1001, "", "announced"),
            (1012, "deploy", "announced"),
            (1000, "maintenance", "announced"),
            (1000, "", "closed"),
            (1011, "error", "closed"),
        ] {
            assert_eq!(LossCause::of_close(Some(&frame(code, reason))).as_str(), name, "{code}");
        }
        assert_eq!(LossCause::of_close(None).as_str(), "closed");
    }
}
