//! The access token: in memory, on disk, and asked for as rarely as possible.
//!
//! KIS issues one token a minute, sends the customer a message at each issue, and gives 24 hours of
//! life. So the token is kept in a file that processes share: mode 0600, replaced atomically, found
//! by a hash of app key and base URL so that real and paper tokens live side by side, and written
//! under a lock file so that processes that start together ask once. An expiry is an instant with a
//! zone, never a bare local time.
//!
//! A token near its end is still handed out while a new one is asked for beside it: [`Found::due`]
//! tells when. Attempts that failed are in the file as well. A failed attempt counts for the minute
//! between two issues; wrong keys are not sent again for a minute, then ten, then an hour, by
//! whichever process, so a daemon that is restarted again and again does not ask again and again. A
//! corrected secret is tried at once.
//!
//! Failure modes: a cache file that cannot be read or written is reported and passed over, the
//! token then lives in memory alone; a lock that is held too long is an error. A token the server
//! refused is not used again unless the server issues the very same one anew, which it does within
//! six hours of an issue.

mod file;

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use self::file::{Attempt, CacheEntry, CacheFile};
use super::KisError;
use super::clock::Clock;
use super::error::{Refusal, TransportFault};
use super::private_file::{self, Held, blocking};
use crate::market::{EventTime, SessionDay, TimeOfDay};

/// A token is renewed so long before its end, or a tenth of its life when that is shorter.
const RENEW_BEFORE_US: i64 = 600 * 1_000_000;
/// A token is not used any more so long before its end, or a fortieth of its life.
const LAST_USE_US: i64 = 30 * 1_000_000;
/// Times a token is asked for when KIS says that it is too soon.
const ISSUE_ATTEMPTS: u32 = 3;

/// A token and its life.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub secret: SecretString,
    /// When it was issued, by our clock.
    pub issued_at: EventTime,
    /// When it ends, by our clock.
    pub expires_at: EventTime,
}

impl AccessToken {
    /// A token issued at `issued_at`, with the end that KIS wrote: `access_token_token_expired`
    /// (`YYYY-MM-DD HH:MM:SS`, Korean time of a clock that is `skew_us` microseconds ahead of ours)
    /// and `expires_in` (seconds). The earlier one counts; an end that is past already is passed
    /// over.
    #[must_use]
    pub fn issued(
        secret: SecretString,
        issued_at: EventTime,
        expired_kst: Option<&str>,
        expires_in: Option<i64>,
        skew_us: i64,
    ) -> Self {
        let from_now = expires_in
            .filter(|seconds| *seconds > 0)
            .map(|seconds| issued_at.plus_micros(seconds.saturating_mul(1_000_000)));
        let absolute = expired_kst
            .and_then(parse_kst)
            .map(|end| end.plus_micros(skew_us.saturating_neg()))
            .filter(|end| *end > issued_at);
        let a_day = issued_at.plus_micros(86_400 * 1_000_000);
        let expires_at = from_now.into_iter().chain(absolute).min().unwrap_or(a_day);
        Self { secret, issued_at, expires_at }
    }

    fn ends(&self, now: EventTime, before_us: i64, share: i64) -> bool {
        let life = self.expires_at.micros_since(self.issued_at).max(0);
        now >= self.expires_at.plus_micros(-before_us.min(life / share))
    }

    /// Whether the token needs no renewal at `now`.
    #[must_use]
    pub fn is_fresh(&self, now: EventTime) -> bool {
        !self.ends(now, RENEW_BEFORE_US, 10)
    }

    /// Whether a call made at `now` may still use the token.
    #[must_use]
    pub fn is_usable(&self, now: EventTime) -> bool {
        !self.ends(now, LAST_USE_US, 40)
    }
}

/// `YYYY-MM-DD HH:MM:SS`, Korean time.
fn parse_kst(text: &str) -> Option<EventTime> {
    let (day, time) = text.trim().split_once(' ')?;
    let (day, time): (SessionDay, TimeOfDay) = (day.parse().ok()?, time.trim().parse().ok()?);
    Some(EventTime::from_kst(day, time))
}

/// Whose tokens: hashes, so that nothing that is kept or printed holds a key.
#[derive(Debug, Clone)]
pub struct KeyId {
    /// Of app key and base URL: names entries in the files.
    pub id: String,
    /// Of the secret: tells whether it is still the one that was refused.
    proof: String,
}

impl KeyId {
    /// The identity of these keys at `base_url`.
    #[must_use]
    pub fn of(app_key: &SecretString, app_secret: &SecretString, base_url: &str) -> Self {
        let hash = |first: &str, second: &str| {
            let mut hash = Sha256::new();
            hash.update(first.as_bytes());
            hash.update([0]);
            hash.update(second.as_bytes());
            hex::encode(&hash.finalize()[..16])
        };
        let key = app_key.expose_secret();
        Self { id: hash(key, base_url), proof: hash(key, app_secret.expose_secret()) }
    }
}

/// The tokens of one app key at one base URL.
#[derive(Debug)]
pub struct TokenCache {
    path: Option<PathBuf>,
    key: KeyId,
    cooldown: Duration,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a token is asked for.
    issuing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<AccessToken>,
    rejected: Option<SecretString>,
    /// Without a file, the last attempt that failed.
    attempt: Option<Attempt>,
    /// A renewal beside the use is not begun before.
    next_renewal: Option<EventTime>,
}

impl State {
    fn accepts(&self, token: &AccessToken) -> bool {
        let rejected = self.rejected.as_ref().map(ExposeSecret::expose_secret);
        rejected != Some(token.secret.expose_secret())
    }

    /// The token, when a call may use it and it was not refused.
    fn usable(&self, now: EventTime) -> Option<&AccessToken> {
        self.current.as_ref().filter(|token| token.is_usable(now) && self.accepts(token))
    }
}

/// What is kept about a key.
#[derive(Debug)]
pub enum KeptToken {
    /// Nothing that tells whether the key is good.
    None,
    /// A token that a call may use.
    Usable {
        /// When it ends, by our clock.
        expires_at: EventTime,
    },
    /// KIS refused these very keys when a token was asked for the last time.
    Refused {
        /// When.
        at: EventTime,
        /// What KIS said.
        error: KisError,
    },
}

/// A token that may be used.
#[derive(Debug, Clone)]
pub struct Found {
    /// The token.
    pub secret: SecretString,
    /// It is time to ask for another one, and nobody does so yet: [`TokenCache::renew`].
    pub due: bool,
}

impl TokenCache {
    /// The cache in the file `path` (`None`: in memory only) for these keys. `cooldown` is the
    /// least time between two issues; KIS's is a minute.
    #[must_use]
    pub fn new(path: Option<PathBuf>, key: KeyId, cooldown: Duration, clock: Clock) -> Self {
        Self {
            path,
            key,
            cooldown,
            clock,
            state: Mutex::default(),
            issuing: tokio::sync::Mutex::default(),
        }
    }

    /// The present token, without waiting for anything; `None` when one must be found or issued.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let token = state.usable(now)?;
        let (secret, fresh) = (token.secret.clone(), token.is_fresh(now));
        let due = !fresh && state.next_renewal.is_none_or(|at| now >= at);
        if due {
            // One at a time, and one that fails is not followed by the next at once.
            state.next_renewal = Some(now.plus_micros(self.cooldown_us().max(1_000_000)));
        }
        Some(Found { secret, due })
    }

    /// The present token; `issue` asks KIS for one when neither memory nor disk has one to use.
    ///
    /// # Errors
    /// Those of `issue`, a refusal that is remembered, and [`KisError::TokenLock`].
    pub async fn get<F>(
        &self,
        issue: impl Fn() -> F + Send + Sync,
    ) -> Result<SecretString, KisError>
    where
        F: Future<Output = Result<AccessToken, KisError>> + Send,
    {
        self.obtain(issue, AccessToken::is_usable).await
    }

    /// Replaces a token that nears its end, unless another process has done so.
    ///
    /// # Errors
    /// As [`TokenCache::get`].
    pub async fn renew<F>(&self, issue: impl Fn() -> F + Send + Sync) -> Result<(), KisError>
    where
        F: Future<Output = Result<AccessToken, KisError>> + Send,
    {
        self.obtain(issue, AccessToken::is_fresh).await.map(drop)
    }

    async fn obtain<F>(
        &self,
        issue: impl Fn() -> F + Send + Sync,
        good: fn(&AccessToken, EventTime) -> bool,
    ) -> Result<SecretString, KisError>
    where
        F: Future<Output = Result<AccessToken, KisError>> + Send,
    {
        let _issuing = self.issuing.lock().await;
        if let Some(secret) = self.known(good).await {
            return Ok(secret);
        }
        // Held until the end: whoever waits for it finds the new token on disk.
        let _lock = self.lock().await?;
        for attempt in 1.. {
            if let Some(secret) = self.known(good).await {
                return Ok(secret);
            }
            let failed = self.last_attempt().await;
            if let Some(error) =
                failed.as_ref().and_then(|failed| failed.held(&self.key.proof, self.clock.now()))
            {
                return Err(error);
            }
            let issued = self.state.lock().current.as_ref().map(|token| token.issued_at);
            let failed = failed.filter(|failed| failed.proof == self.key.proof);
            let last = issued.max(failed.as_ref().map(|failed| failed.at));
            tokio::time::sleep(self.cooldown_left(last)).await;
            match issue().await {
                Ok(token) => {
                    self.store(token.clone()).await;
                    let mut state = self.state.lock();
                    state.rejected = None;
                    state.attempt = None;
                    return Ok(state.current.insert(token).secret.clone());
                }
                Err(error) => {
                    self.remember(&error, failed.as_ref()).await;
                    let too_soon = error.refusal() == Some(Refusal::TokenTooSoon);
                    if !too_soon || attempt >= ISSUE_ATTEMPTS {
                        return Err(error);
                    }
                    tracing::info!(wait = ?self.cooldown, "kis issues one token a minute; waiting");
                }
            }
        }
        unreachable!("the loop above ends by returning")
    }

    /// A token of memory or disk that is `good`; the one of the disk is taken into memory, even
    /// when it is not, for its time of issue.
    async fn known(&self, good: fn(&AccessToken, EventTime) -> bool) -> Option<SecretString> {
        let now = self.clock.now();
        let pick = |state: &State| {
            let token = state.usable(now).filter(|token| good(token, now))?;
            Some(token.secret.clone())
        };
        if let Some(secret) = pick(&self.state.lock()) {
            return Some(secret);
        }
        let token = self.load().await?;
        let mut state = self.state.lock();
        let newer =
            state.current.as_ref().is_none_or(|current| token.issued_at > current.issued_at);
        if newer {
            state.current = Some(token);
        }
        pick(&state)
    }

    /// Tells that the server did not accept `token`, so that the next [`Self::get`] finds another.
    pub fn reject(&self, token: &SecretString) {
        self.state.lock().rejected = Some(token.clone());
    }

    /// The token that memory or disk has, whether it is to be used or not.
    pub async fn any(&self) -> Option<SecretString> {
        let known = self.state.lock().current.as_ref().map(|token| token.secret.clone());
        match known {
            Some(secret) => Some(secret),
            None => self.load().await.map(|token| token.secret),
        }
    }

    /// The token of memory or disk, if a call may use it. None is asked for.
    pub async fn only_kept(&self) -> Option<SecretString> {
        self.known(AccessToken::is_usable).await
    }

    /// What memory and disk know about the key. A refusal is told until a token is issued, or the
    /// secret changes.
    pub async fn kept(&self) -> KeptToken {
        let now = self.clock.now();
        if self.known(AccessToken::is_usable).await.is_some()
            && let Some(token) = self.state.lock().usable(now)
        {
            return KeptToken::Usable { expires_at: token.expires_at };
        }
        match self.last_attempt().await {
            Some(Attempt { at, proof, refusals: 1.., code: Some(code), message, status })
                if proof == self.key.proof =>
            {
                let error = KisError::Refused { endpoint: "token", code, message, status };
                KeptToken::Refused { at, error }
            }
            _ => KeptToken::None,
        }
    }

    /// Forgets the token, on disk too.
    ///
    /// # Errors
    /// [`KisError::TokenLock`].
    pub async fn forget(&self) -> Result<(), KisError> {
        let _issuing = self.issuing.lock().await;
        let _lock = self.lock().await?;
        self.state.lock().current = None;
        let id = self.key.id.clone();
        self.change(move |file| {
            file.tokens.remove(&id);
        })
        .await;
        Ok(())
    }

    fn cooldown_us(&self) -> i64 {
        i64::try_from(self.cooldown.as_micros()).unwrap_or(i64::MAX)
    }

    fn cooldown_left(&self, last_issue: Option<EventTime>) -> Duration {
        let Some(last) = last_issue else { return Duration::ZERO };
        // An issue in the future is another clock's; it says nothing.
        let since = u64::try_from(self.clock.now().micros_since(last)).unwrap_or(u64::MAX);
        self.cooldown.saturating_sub(Duration::from_micros(since))
    }

    /// This key's token on disk.
    async fn load(&self) -> Option<AccessToken> {
        let path = self.path.clone()?;
        let file: CacheFile = blocking(move || private_file::read(&path)).await;
        file.tokens.get(&self.key.id).and_then(CacheEntry::token)
    }

    async fn last_attempt(&self) -> Option<Attempt> {
        let Some(path) = self.path.clone() else { return self.state.lock().attempt.clone() };
        let mut file: CacheFile = blocking(move || private_file::read(&path)).await;
        file.attempts.remove(&self.key.id)
    }

    /// Keeps a failed attempt, if KIS has seen it.
    async fn remember(&self, error: &KisError, before: Option<&Attempt>) {
        let (code, message, status) = match error {
            KisError::Refused { code, message, status, .. } => {
                (Some(code.clone()), message.clone(), *status)
            }
            KisError::Transport { fault: TransportFault::Connect, .. }
            | KisError::Blocked { .. }
            | KisError::Crowded { .. }
            | KisError::Options(_) => return,
            _ => (None, String::new(), 0),
        };
        let refusals = if error.refusal() == Some(Refusal::Credentials) {
            before.map_or(0, |attempt| attempt.refusals).saturating_add(1)
        } else {
            0
        };
        let (at, proof) = (self.clock.now(), self.key.proof.clone());
        let attempt = Attempt { at, proof, refusals, code, message, status };
        self.state.lock().attempt = Some(attempt.clone());
        let id = self.key.id.clone();
        self.change(move |file| {
            file.attempts.insert(id, attempt);
        })
        .await;
    }

    async fn store(&self, token: AccessToken) {
        let (id, now) = (self.key.id.clone(), self.clock.now());
        self.change(move |file| {
            file.tokens.retain(|_, entry| entry.token().is_some_and(|old| old.expires_at > now));
            file.attempts.remove(&id);
            file.tokens.insert(id, CacheEntry::of(&token));
        })
        .await;
    }

    /// Changes the file; the caller holds the lock.
    async fn change(&self, change: impl FnOnce(&mut CacheFile) + Send + 'static) {
        let Some(path) = self.path.clone() else { return };
        blocking(move || {
            let mut file: CacheFile = private_file::read(&path);
            change(&mut file);
            if let Err(error) = private_file::write(&path, &file) {
                tracing::warn!(path = %path.display(), %error, "the kis token is kept in memory only: check that its folder can be written");
            }
        })
        .await;
    }

    /// The lock between processes; `None` when there is no file to protect.
    async fn lock(&self) -> Result<Option<File>, KisError> {
        let Some(path) = &self.path else { return Ok(None) };
        // The holder may itself wait out the cooldown, more than once.
        let patience = self.cooldown * ISSUE_ATTEMPTS + Duration::from_secs(30);
        private_file::lock(path, patience)
            .await
            .map_err(|Held { path, waited }| KisError::TokenLock { path, waited })
    }
}

#[cfg(test)]
mod tests;
