//! The file of the token cache: tokens, and the last attempts that failed, by key.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::AccessToken;
use crate::kis::KisError;
use crate::market::EventTime;

/// Wrong keys are not sent again for so long: after the first time, the second, and from then on.
const HOLD_SECONDS: [i64; 3] = [60, 600, 3_600];

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CacheFile {
    #[serde(default)]
    pub tokens: BTreeMap<String, CacheEntry>,
    #[serde(default)]
    pub attempts: BTreeMap<String, Attempt>,
}

/// The last attempt at a token that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Microseconds since the Unix epoch.
    pub at: EventTime,
    /// Hash of the secret that was sent.
    pub proof: String,
    /// Refusals of the keys in a row.
    pub refusals: u32,
    pub code: Option<String>,
    pub message: String,
    pub status: u16,
}

impl Attempt {
    /// What KIS said about the keys, while they are not sent again.
    pub fn held(&self, proof: &str, now: EventTime) -> Option<KisError> {
        let code = self.code.as_ref().filter(|_| self.refusals > 0 && self.proof == proof)?;
        let step = (self.refusals as usize).min(HOLD_SECONDS.len()) - 1;
        let until = self.at.plus_micros(HOLD_SECONDS[step] * 1_000_000);
        // An attempt in the future is another clock's; it says nothing.
        (self.at <= now && now < until).then(|| KisError::Refused {
            endpoint: "token",
            code: code.clone(),
            message: format!(
                "{} (refused at {}, not asked again before {until})",
                self.message, self.at
            ),
            status: self.status,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct CacheEntry {
    token: String,
    issued_at: String,
    expires_at: String,
}

impl std::fmt::Debug for CacheEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheEntry").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl CacheEntry {
    pub fn of(token: &AccessToken) -> Self {
        Self {
            token: token.secret.expose_secret().to_owned(),
            issued_at: token.issued_at.rfc3339(),
            expires_at: token.expires_at.rfc3339(),
        }
    }

    pub fn token(&self) -> Option<AccessToken> {
        let instant = |text: &str| {
            let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            Some(EventTime::from_micros(time.timestamp_micros()))
        };
        Some(AccessToken {
            secret: self.token.as_str().into(),
            issued_at: instant(&self.issued_at)?,
            expires_at: instant(&self.expires_at)?,
        })
    }
}
