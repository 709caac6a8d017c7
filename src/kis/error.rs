//! What can go wrong with a REST call, and whether trying again can help.
//!
//! KIS answers business refusals with status 200 and gateway errors with 500 or 403, so the status
//! decides nothing: the code in the body does ([`Refusal::of`]). A body that is no JSON is a
//! transport error. No variant holds a key, a secret or a token.
//!
//! A third state stands beside "try again" and "change something": **blocked**. KIS (or a firewall
//! before it) has shut out this address or key for a while, and every further request prolongs it.
//! It shows as a page that is no JSON with status 403, 429 or 503, as connections that are reset
//! right away again and again, or as EGW00207 (address not allowed). See [`super::circuit`].
//! EGW00206 (no permission for the API) is not one: it is about one API of the key, the others go on.

use std::path::PathBuf;
use std::time::Duration;

use super::circuit::BlockCause;
use crate::market::EventTime;

/// Why a call to KIS failed.
#[derive(Debug, thiserror::Error)]
pub enum KisError {
    /// KIS answered and refused.
    #[error("kis refused {endpoint}: {code} \"{message}\" (http {status}): {}", Refusal::of(.code).remedy())]
    Refused {
        /// Short name of the call.
        endpoint: &'static str,
        /// `msg_cd` or `error_code`.
        code: String,
        /// KIS's text.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// No answer: connection refused or lost, time-out.
    #[error(
        "kis {endpoint} got no answer: {detail}: check the network and the base url {base_url}"
    )]
    Transport {
        /// Short name of the call.
        endpoint: &'static str,
        /// Base URL of the client.
        base_url: String,
        /// How far it got.
        fault: TransportFault,
        /// What the HTTP client says.
        detail: String,
    },
    /// An answer that is not what KIS documents.
    #[error(
        "kis {endpoint} answered http {status} with {detail}: expected the documented json body"
    )]
    Malformed {
        /// Short name of the call.
        endpoint: &'static str,
        /// HTTP status.
        status: u16,
        /// What is wrong.
        detail: String,
    },
    /// KIS has shut this key or address out. Nothing was sent, or nothing more will be.
    #[error(
        "kis {endpoint} is not called: blocked since {since} by {cause}, next try after {until}: \
         retries and restarts prolong a block; see the notices of the KIS Developers portal, check \
         there that the service of this app key is active and that this machine's address is \
         allowed, or ask KIS's support"
    )]
    Blocked {
        /// Short name of the call.
        endpoint: &'static str,
        /// When the block was first seen.
        since: EventTime,
        /// No call is made before.
        until: EventTime,
        /// How it showed.
        cause: BlockCause,
    },
    /// Paper trading lacks this call. Nothing was sent.
    #[error("kis {endpoint} does not exist in paper trading: set KIS_ENV=real for it")]
    NotInPaperTrading {
        /// Short name of the call.
        endpoint: &'static str,
    },
    /// A token was refused, and so was the one that replaced it.
    #[error(
        "kis {endpoint} refused a renewed token as well: {code} \"{message}\": it was revoked, or \
         the key and KIS_ENV do not belong together"
    )]
    TokenRefusedAgain {
        /// Short name of the call.
        endpoint: &'static str,
        /// `msg_cd`.
        code: String,
        /// KIS's text.
        message: String,
    },
    /// Too many calls wait for the budget. Nothing was sent.
    #[error(
        "kis {endpoint} is not called: {waiting} calls wait for the budget already: ask for less at once"
    )]
    Crowded {
        /// Short name of the call.
        endpoint: &'static str,
        /// Calls that wait.
        waiting: usize,
    },
    /// No token is kept that could be used, and the client asks for none. Nothing was sent.
    #[error("kis {endpoint} is not called: no access token is kept, and none is asked for")]
    NoToken {
        /// Short name of the call.
        endpoint: &'static str,
    },
    /// Another process holds the token's lock too long.
    #[error("the lock {} was held for {waited:?}: end the process that hangs in it, or remove the file", .path.display())]
    TokenLock {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The client cannot be built from these options.
    #[error("kis client: {0}")]
    Options(String),
}

impl KisError {
    /// Whether the same call may succeed when it is repeated after a pause.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(
                    Refusal::of(code),
                    Refusal::TooFast | Refusal::TokenTooSoon | Refusal::Trouble
                )
            }
            Self::Transport { .. } => true,
            Self::Malformed { status, .. } => *status >= 500 || *status == 429,
            Self::Blocked { .. }
            | Self::NotInPaperTrading { .. }
            | Self::TokenRefusedAgain { .. }
            | Self::Crowded { .. }
            | Self::NoToken { .. }
            | Self::TokenLock { .. }
            | Self::Options(_) => false,
        }
    }

    /// Whether no repetition will help until the user changes something.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(
                Refusal::of(code),
                Refusal::Credentials
                    | Refusal::Permission
                    | Refusal::WrongEnvironment
                    | Refusal::Request
            ),
            // An expired token may be KIS's slip, an invalid one twice is not.
            Self::TokenRefusedAgain { code, .. } => code == "EGW00121",
            Self::NotInPaperTrading { .. } | Self::Options(_) => true,
            _ => false,
        }
    }

    /// Whether KIS has shut us out: neither repeating nor changing a setting helps now; the call may
    /// be made again after the time the error names.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked { .. })
    }

    /// What the refusal means, when KIS refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { code, .. } | Self::TokenRefusedAgain { code, .. } => {
                Some(Refusal::of(code))
            }
            _ => None,
        }
    }

    /// Short outcome for a metric label: bounded set.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => Refusal::of(code).as_str(),
            Self::Transport { .. } => "transport",
            Self::Malformed { .. } => "malformed",
            Self::Blocked { .. } => "blocked",
            Self::NotInPaperTrading { .. } => "not_in_paper_trading",
            Self::TokenRefusedAgain { .. } => "token",
            Self::Crowded { .. } => "crowded",
            Self::NoToken { .. } => "no_token",
            Self::TokenLock { .. } => "token_lock",
            Self::Options(_) => "options",
        }
    }
}

/// How far a call got that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportFault {
    /// No connection: KIS has not seen the request.
    Connect,
    /// The connection was cut before an answer.
    Reset,
    /// Time-out after the connection stood.
    Timeout,
    /// Anything else.
    Other,
}

/// What a refusal of KIS means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too many calls a second.
    TooFast,
    /// A token was issued less than a minute ago.
    TokenTooSoon,
    /// The access token is expired, revoked or of the other environment.
    Token,
    /// App key or secret is wrong.
    Credentials,
    /// The key may not use this API, or not from here.
    Permission,
    /// The address may not use this key: a block, see [`KisError::Blocked`].
    Address,
    /// The TR belongs to the other environment.
    WrongEnvironment,
    /// A parameter is missing or wrong, or the TR is unknown.
    Request,
    /// Trouble inside KIS.
    Trouble,
    /// Any other refusal, for example of the trading back end.
    Other,
}

impl Refusal {
    /// The meaning of a `msg_cd` or `error_code`.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            "EGW00201" | "EGW00215" => Self::TooFast,
            "EGW00133" => Self::TokenTooSoon,
            "EGW00121" | "EGW00122" | "EGW00123" | "EGW00205" => Self::Token,
            "EGW00102" | "EGW00103" | "EGW00104" | "EGW00105" | "EGW00304" => Self::Credentials,
            "EGW00003" | "EGW00004" | "EGW00206" => Self::Permission,
            "EGW00207" => Self::Address,
            "EGW02004" | "EGW02006" | "EGW00213" | "EGW00210" => Self::WrongEnvironment,
            "EGW00001" | "EGW00002" | "EGW00202" | "EGW00203" | "EGW00300" | "EGW00301"
            | "EGW00302" | "EGW00303" | "EGW00316" => Self::Trouble,
            "OPSQ0002" | "OPSQ2000" | "OPSQ2001" | "OPSQ2002" | "EGW00101" | "EGW00132" => {
                Self::Request
            }
            _ if code.starts_with("OPSQ00") => Self::Trouble,
            _ => Self::Other,
        }
    }

    /// Short name, a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooFast => "too_fast",
            Self::TokenTooSoon => "token_too_soon",
            Self::Token => "token",
            Self::Credentials => "credentials",
            Self::Permission => "permission",
            Self::Address => "address",
            Self::WrongEnvironment => "wrong_environment",
            Self::Request => "request",
            Self::Trouble => "trouble",
            Self::Other => "refused",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TooFast => "lower the calls per second of this app key",
            Self::TokenTooSoon => {
                "kis issues one token a minute; wait, and let processes share one token cache"
            }
            Self::Token => {
                "a new token is needed; if it repeats, the token was revoked or is of the other environment"
            }
            Self::Credentials => {
                "check KIS_APP_KEY and KIS_APP_SECRET, and that they belong to KIS_ENV"
            }
            Self::Permission => "apply for the API at KIS for this key",
            Self::Address => "allow this machine's address for the key at KIS",
            Self::WrongEnvironment => "this call does not exist in the chosen KIS_ENV",
            Self::Request => "check the issue code and the dates of the call",
            Self::Trouble => "trouble inside kis; try again later",
            Self::Other => "see the text of kis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> KisError {
        KisError::Refused {
            endpoint: "inquire_price",
            code: code.into(),
            message: "…".into(),
            status: 500,
        }
    }

    #[test]
    fn retry_only_where_it_helps() {
        for code in ["EGW00201", "EGW00133", "EGW00316", "OPSQ0005", "EGW00302"] {
            assert!(refused(code).is_retryable() && !refused(code).is_terminal(), "{code}");
        }
        for code in
            ["EGW00103", "EGW00105", "EGW00304", "EGW00206", "EGW02004", "OPSQ2001", "OPSQ0002"]
        {
            assert!(refused(code).is_terminal() && !refused(code).is_retryable(), "{code}");
        }
        for code in ["EGW00123", "APBK0918"] {
            assert!(!refused(code).is_terminal() && !refused(code).is_retryable(), "{code}");
        }
    }

    #[test]
    fn a_text_names_call_code_and_remedy() {
        let text = refused("EGW00201").to_string();
        assert!(
            text.contains("inquire_price")
                && text.contains("EGW00201")
                && text.contains("calls per second")
        );
    }
}
