//! Tokens and approval keys.
//!
//! They live by the wall clock, like the client's own: a client compares the expiry it is told
//! with its watch, so the simulated clock cannot be used here.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::market::EventTime;

use super::options::SimEnv;

const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Asking again within this time gives the same token.
const TOKEN_KEPT: Duration = Duration::from_secs(6 * 3_600);
const TOKEN_PAUSE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Tokens and approval keys remembered; beyond it the oldest is forgotten.
const MOST_KEYS: usize = 10_000;

/// A refusal, as KIS numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// EGW00103
    AppKey,
    /// EGW00105
    AppSecret,
    /// EGW00115
    NoGrant,
    /// EGW00116
    OtherGrant,
    /// EGW00133
    TooSoon,
    /// EGW00122
    NoToken,
    /// EGW00121
    UnknownToken,
    /// EGW00123
    ExpiredToken,
    /// EGW00304
    CustomerKey,
    /// EGW00201
    TooMany,
}

impl AuthError {
    /// `msg_cd` and text.
    pub const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::AppKey => ("EGW00103", "유효하지 않은 AppKey입니다."),
            Self::AppSecret => ("EGW00105", "유효하지 않은 AppSecret입니다."),
            Self::NoGrant => ("EGW00115", "grant_type은 필수입니다."),
            Self::OtherGrant => ("EGW00116", "지원하지 않는 grant_type 입니다."),
            Self::TooSoon => ("EGW00133", "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)"),
            Self::NoToken => ("EGW00122", "token not found"),
            Self::UnknownToken => ("EGW00121", "유효하지 않은 token 입니다."),
            Self::ExpiredToken => ("EGW00123", "기간이 만료된 token 입니다."),
            Self::CustomerKey => ("EGW00304", "고객식별키가 유효하지 않습니다."),
            Self::TooMany => ("EGW00201", "초당 거래건수를 초과하였습니다."),
        }
    }
}

/// An issued token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub text: String,
    /// `YYYY-MM-DD HH:MM:SS`, Korean time.
    pub expires: String,
    /// Seconds left.
    pub seconds: u64,
}

struct Issued {
    app_key: String,
    /// Why it is worth nothing before its time.
    spoilt: Option<AuthError>,
    at: Instant,
    expires: String,
}

#[derive(Default)]
struct Keys {
    tokens: HashMap<String, Issued>,
    token_order: VecDeque<String>,
    /// The newest token of each app key.
    newest: HashMap<String, String>,
    approvals: HashMap<String, (String, Instant)>,
    approval_order: VecDeque<String>,
    /// When each app key last asked for a token or an approval key.
    asked: HashMap<(&'static str, String), Instant>,
    /// Calls of the last second, for each app key.
    calls: HashMap<String, VecDeque<Instant>>,
    counter: u64,
    /// App keys in the order of their first request.
    app_keys: Vec<String>,
}

/// Who may call.
pub(crate) struct Auth {
    app_key: Option<SecretString>,
    app_secret: Option<SecretString>,
    /// Further pairs, used beside an `app_key`.
    extra: Vec<(SecretString, SecretString)>,
    enforce: bool,
    calls_a_second: usize,
    keys: Mutex<Keys>,
}

impl Auth {
    pub fn new(
        app_key: Option<SecretString>,
        app_secret: Option<SecretString>,
        enforce: bool,
        env: SimEnv,
    ) -> Self {
        let calls_a_second = if env == SimEnv::Real { 18 } else { 1 };
        let extra = Vec::new();
        Self { app_key, app_secret, extra, enforce, calls_a_second, keys: Mutex::default() }
    }

    /// The same with further pairs of app key and secret.
    pub fn with_extra(self, extra: Vec<(SecretString, SecretString)>) -> Self {
        Self { extra, ..self }
    }

    fn check_keys(
        &self,
        app_key: &str,
        secret: &str,
        wrong_secret: AuthError,
    ) -> Result<(), AuthError> {
        let is = |expected: &Option<SecretString>, given: &str| {
            !given.is_empty() && expected.as_ref().is_none_or(|key| key.expose_secret() == given)
        };
        let extra = self.extra.iter().find(|(key, _)| key.expose_secret() == app_key);
        if let Some((_, expected)) = extra {
            let right = expected.expose_secret() == secret;
            return if right { Ok(()) } else { Err(wrong_secret) };
        }
        if !is(&self.app_key, app_key) {
            return Err(AuthError::AppKey);
        }
        if !is(&self.app_secret, secret) {
            return Err(wrong_secret);
        }
        Ok(())
    }

    /// Refuses the second request of its kind within a second.
    fn pace(&self, keys: &mut Keys, kind: &'static str, app_key: &str) -> Result<(), AuthError> {
        if !self.enforce {
            return Ok(());
        }
        let before = keys.asked.insert((kind, app_key.to_owned()), Instant::now());
        if before.is_some_and(|before| before.elapsed() < SECOND) {
            return Err(AuthError::TooMany);
        }
        Ok(())
    }

    /// Issues a token, or gives the one of the last six hours again.
    pub fn token(&self, app_key: &str, secret: &str) -> Result<Token, AuthError> {
        self.check_keys(app_key, secret, AuthError::AppSecret)?;
        let mut keys = self.keys.lock();
        keys.meet(app_key);
        let newest = keys.newest.get(app_key).and_then(|text| {
            let issued = keys.tokens.get(text).filter(|issued| issued.spoilt.is_none())?;
            Some((text.clone(), issued.at.elapsed(), issued.expires.clone()))
        });
        if let Some((text, age, expires)) = newest {
            if self.enforce && age < TOKEN_PAUSE {
                return Err(AuthError::TooSoon);
            }
            self.pace(&mut keys, "token", app_key)?;
            if age < TOKEN_KEPT {
                return Ok(Token { text, expires, seconds: (TOKEN_LIFE - age).as_secs() });
            }
        }
        let text = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9.{}.{}", keys.word(), keys.word());
        let expires = korean_time(SystemTime::now() + TOKEN_LIFE);
        let issued = Issued {
            app_key: app_key.into(),
            spoilt: None,
            at: Instant::now(),
            expires: expires.clone(),
        };
        keys.tokens.insert(text.clone(), issued);
        keys.newest.insert(app_key.into(), text.clone());
        keys.token_order.push_back(text.clone());
        if keys.token_order.len() > MOST_KEYS
            && let Some(oldest) = keys.token_order.pop_front()
            && let Some(issued) = keys.tokens.remove(&oldest)
        {
            keys.newest.remove(&issued.app_key);
            keys.calls.remove(&issued.app_key);
            keys.asked.remove(&("token", issued.app_key));
        }
        Ok(Token { text, expires, seconds: TOKEN_LIFE.as_secs() })
    }

    /// Revokes a token.
    pub fn revoke(&self, app_key: &str, secret: &str, token: &str) -> Result<(), AuthError> {
        self.check_keys(app_key, secret, AuthError::AppSecret)?;
        let mut keys = self.keys.lock();
        if keys.tokens.remove(token).is_none() {
            return Err(AuthError::UnknownToken);
        }
        keys.token_order.retain(|known| known != token);
        keys.newest.retain(|_, newest| newest != token);
        Ok(())
    }

    /// Issues a WebSocket approval key.
    pub fn approval(&self, app_key: &str, secret: &str) -> Result<String, AuthError> {
        self.check_keys(app_key, secret, AuthError::AppSecret)?;
        let mut keys = self.keys.lock();
        self.pace(&mut keys, "approval", app_key)?;
        keys.meet(app_key);
        let word = keys.word();
        let parts = [&word[..8], &word[8..12], &word[12..16], &word[16..20], &word[20..32]];
        let key = parts.join("-");
        keys.approvals.insert(key.clone(), (app_key.into(), Instant::now()));
        keys.approval_order.push_back(key.clone());
        if keys.approval_order.len() > MOST_KEYS
            && let Some(oldest) = keys.approval_order.pop_front()
            && let Some((app_key, _)) = keys.approvals.remove(&oldest)
        {
            keys.asked.remove(&("approval", app_key));
        }
        Ok(key)
    }

    /// The app key behind an approval key; `None` when it is unknown or older than a day.
    pub fn approved(&self, approval: &str) -> Option<String> {
        let keys = self.keys.lock();
        let (app_key, at) = keys.approvals.get(approval)?;
        (at.elapsed() < TOKEN_LIFE).then(|| app_key.clone())
    }

    /// Makes a token worth nothing: calls with it fail with `error`, and the next request for one
    /// gets another.
    pub fn spoil_token(&self, token: &str, error: AuthError) {
        if let Some(issued) = self.keys.lock().tokens.get_mut(token) {
            issued.spoilt = Some(error);
        }
    }

    /// Makes an approval key unknown.
    pub fn forget_approval(&self, approval: &str) {
        let mut keys = self.keys.lock();
        keys.approvals.remove(approval);
        keys.approval_order.retain(|known| known != approval);
    }

    /// Place of an app key in the order of first requests, from 1.
    pub fn ordinal(&self, app_key: &str) -> Option<u64> {
        let keys = self.keys.lock();
        keys.app_keys.iter().position(|known| known == app_key).map(|at| at as u64 + 1)
    }

    /// Checks the headers of a call: token, app key, app secret, calls a second.
    pub fn call(&self, bearer: Option<&str>, app_key: &str, secret: &str) -> Result<(), AuthError> {
        let token = bearer
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .ok_or(AuthError::NoToken)?;
        self.check_keys(app_key, secret, AuthError::CustomerKey)?;
        let mut keys = self.keys.lock();
        let issued = keys.tokens.get(token).ok_or(AuthError::UnknownToken)?;
        if issued.app_key != app_key {
            return Err(AuthError::UnknownToken);
        }
        if let Some(error) = issued.spoilt {
            return Err(error);
        }
        if issued.at.elapsed() >= TOKEN_LIFE {
            return Err(AuthError::ExpiredToken);
        }
        if self.enforce {
            let calls = keys.calls.entry(app_key.into()).or_default();
            while calls.front().is_some_and(|at| at.elapsed() >= SECOND) {
                calls.pop_front();
            }
            if calls.len() >= self.calls_a_second {
                return Err(AuthError::TooMany);
            }
            calls.push_back(Instant::now());
        }
        Ok(())
    }
}

impl Keys {
    /// Numbers an app key; those beyond [`MOST_KEYS`] have no number.
    fn meet(&mut self, app_key: &str) {
        if self.app_keys.len() < MOST_KEYS && !self.app_keys.iter().any(|known| known == app_key) {
            self.app_keys.push(app_key.to_owned());
        }
    }

    /// A word that no other run gives again: 64 hex digits.
    fn word(&mut self) -> String {
        self.counter += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(now.as_nanos().to_le_bytes());
        hash.update(std::process::id().to_le_bytes());
        hash.update(self.counter.to_le_bytes());
        hex::encode(hash.finalize())
    }
}

/// `YYYY-MM-DD HH:MM:SS` in Korea.
fn korean_time(time: SystemTime) -> String {
    let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let instant = EventTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    format!("{} {}", instant.session_day(), instant.time_of_day())
}

/// The wall clock as `YYYYMMDDHHMMSS` in Korea.
pub(crate) fn korean_stamp() -> String {
    korean_time(SystemTime::now()).chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(enforce: bool) -> Auth {
        Auth::new(Some("key".into()), Some("secret".into()), enforce, SimEnv::Mock)
    }

    #[test]
    fn the_same_token_within_six_hours() {
        let auth = auth(false);
        let first = auth.token("key", "secret").unwrap();
        assert_eq!(auth.token("key", "secret").unwrap().text, first.text);
        assert_eq!(auth.token("other", "secret"), Err(AuthError::AppKey));
        assert_eq!(auth.token("key", "other"), Err(AuthError::AppSecret));
        assert_eq!(first.expires.len(), 19);
        assert!(first.text.len() <= 350);
    }

    #[test]
    fn one_token_a_minute_when_enforced() {
        let auth = auth(true);
        auth.token("key", "secret").unwrap();
        assert_eq!(auth.token("key", "secret"), Err(AuthError::TooSoon));
    }

    #[test]
    fn calls() {
        let auth = auth(true);
        let token = format!("Bearer {}", auth.token("key", "secret").unwrap().text);
        assert_eq!(auth.call(None, "key", "secret"), Err(AuthError::NoToken));
        assert_eq!(auth.call(Some("Bearer x"), "key", "secret"), Err(AuthError::UnknownToken));
        assert_eq!(auth.call(Some(&token), "key", "other"), Err(AuthError::CustomerKey));
        assert_eq!(auth.call(Some(&token), "key", "secret"), Ok(()));
        assert_eq!(auth.call(Some(&token), "key", "secret"), Err(AuthError::TooMany));
        auth.revoke("key", "secret", &token[7..]).unwrap();
        assert_eq!(auth.call(Some(&token), "key", "secret"), Err(AuthError::UnknownToken));
    }

    #[test]
    fn further_pairs_are_pairs() {
        let auth = auth(false).with_extra(vec![("other".into(), "hidden".into())]);
        assert!(auth.token("other", "hidden").is_ok());
        assert!(auth.token("key", "secret").is_ok());
        assert_eq!(auth.token("other", "secret"), Err(AuthError::AppSecret));
        assert_eq!(auth.token("key", "hidden"), Err(AuthError::AppSecret));
        assert_eq!(auth.token("third", "hidden"), Err(AuthError::AppKey));
    }

    #[test]
    fn one_approval_a_second_when_enforced() {
        let auth = auth(true).with_extra(vec![("other".into(), "hidden".into())]);
        assert!(auth.approval("key", "secret").is_ok());
        assert_eq!(auth.approval("key", "secret"), Err(AuthError::TooMany));
        assert!(auth.approval("other", "hidden").is_ok(), "each app key has limits of its own");
    }

    #[test]
    fn approvals() {
        let auth = auth(false);
        let key = auth.approval("key", "secret").unwrap();
        assert_eq!(key.len(), 36);
        assert_eq!(auth.approved(&key).as_deref(), Some("key"));
        assert_eq!(auth.approved("x"), None);
    }
}
