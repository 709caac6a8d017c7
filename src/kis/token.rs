//! The access token: in memory, on disk, and asked for as rarely as possible.
//!
//! KIS issues one token a minute, sends the customer a message at each issue, and gives 24 hours of
//! life. So the token is kept in a file that processes share: mode 0600, replaced atomically, found
//! by a hash of app key and base URL so that real and paper tokens live side by side, and written
//! under a lock file so that processes that start together ask once. An expiry is an instant with a
//! zone, never a bare local time.
//!
//! Failure modes: a cache file that cannot be read or written is reported and passed over, the
//! token then lives in memory alone; a lock that is held too long is an error. A token the server
//! refused is not used again unless the server issues the very same one anew, which it does within
//! six hours of an issue.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::error::Refusal;
use super::{KisError, now};
use crate::market::{EventTime, SessionDay, TimeOfDay};

/// A token is renewed so long before its end, or a tenth of its life when that is shorter.
const RENEW_BEFORE_US: i64 = 600 * 1_000_000;
/// Times a token is asked for when KIS says that it is too soon.
const ISSUE_ATTEMPTS: u32 = 3;
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A token and its life.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub secret: SecretString,
    /// When it was issued, by our clock.
    pub issued_at: EventTime,
    /// When it ends.
    pub expires_at: EventTime,
}

impl AccessToken {
    /// A token issued at `issued_at`, with the end that KIS wrote: `access_token_token_expired`
    /// (`YYYY-MM-DD HH:MM:SS`, Korean time) and `expires_in` (seconds). The earlier one counts; an
    /// end that is past already comes from a server with another clock and is passed over.
    #[must_use]
    pub fn issued(
        secret: SecretString,
        issued_at: EventTime,
        expired_kst: Option<&str>,
        expires_in: Option<i64>,
    ) -> Self {
        let from_now = expires_in
            .filter(|seconds| *seconds > 0)
            .map(|seconds| issued_at.plus_micros(seconds.saturating_mul(1_000_000)));
        let absolute = expired_kst.and_then(parse_kst).filter(|end| *end > issued_at);
        let a_day = issued_at.plus_micros(86_400 * 1_000_000);
        let expires_at = from_now.into_iter().chain(absolute).min().unwrap_or(a_day);
        Self { secret, issued_at, expires_at }
    }

    /// Whether the token should still be used at `now`.
    #[must_use]
    pub fn is_fresh(&self, now: EventTime) -> bool {
        let life = self.expires_at.micros_since(self.issued_at).max(0);
        let margin = RENEW_BEFORE_US.min(life / 10);
        now < self.expires_at.plus_micros(-margin)
    }
}

/// `YYYY-MM-DD HH:MM:SS`, Korean time.
fn parse_kst(text: &str) -> Option<EventTime> {
    let (day, time) = text.trim().split_once(' ')?;
    let (day, time): (SessionDay, TimeOfDay) = (day.parse().ok()?, time.trim().parse().ok()?);
    Some(EventTime::from_kst(day, time))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct CacheFile {
    #[serde(default)]
    tokens: BTreeMap<String, CacheEntry>,
}

#[derive(Serialize, Deserialize)]
struct CacheEntry {
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
    fn of(token: &AccessToken) -> Self {
        Self {
            token: token.secret.expose_secret().to_owned(),
            issued_at: token.issued_at.rfc3339(),
            expires_at: token.expires_at.rfc3339(),
        }
    }

    fn token(&self) -> Option<AccessToken> {
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

/// The tokens of one app key at one base URL.
#[derive(Debug)]
pub struct TokenCache {
    path: Option<PathBuf>,
    key_id: String,
    cooldown: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<AccessToken>,
    rejected: Option<SecretString>,
}

impl State {
    fn accepts(&self, token: &AccessToken) -> bool {
        let rejected = self.rejected.as_ref().map(ExposeSecret::expose_secret);
        token.is_fresh(now()) && rejected != Some(token.secret.expose_secret())
    }
}

impl TokenCache {
    /// The cache in the file `path` (`None`: in memory only) for this key and URL. `cooldown` is
    /// the least time between two issues; KIS's is a minute.
    #[must_use]
    pub fn new(
        path: Option<PathBuf>,
        app_key: &SecretString,
        base_url: &str,
        cooldown: Duration,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(app_key.expose_secret().as_bytes());
        hash.update([0]);
        hash.update(base_url.as_bytes());
        let key_id = hex::encode(&hash.finalize()[..16]);
        Self { path, key_id, cooldown, state: Mutex::default() }
    }

    /// The present token; `issue` asks KIS for one when neither memory nor disk has a fresh one.
    ///
    /// # Errors
    /// Those of `issue`, and [`KisError::TokenLock`].
    pub async fn get<F>(
        &self,
        issue: impl Fn() -> F + Send + Sync,
    ) -> Result<SecretString, KisError>
    where
        F: Future<Output = Result<AccessToken, KisError>> + Send,
    {
        let mut state = self.state.lock().await;
        if let Some(token) = state.current.as_ref().filter(|token| state.accepts(token)) {
            return Ok(token.secret.clone());
        }
        if let Some(token) = self.load().await.filter(|token| state.accepts(token)) {
            return Ok(state.current.insert(token).secret.clone());
        }
        // Held until the end: whoever waits for it finds the new token on disk.
        let _lock = self.lock().await?;
        for attempt in 1.. {
            let known = self.load().await;
            if let Some(token) = known.as_ref().filter(|token| state.accepts(token)) {
                return Ok(state.current.insert(token.clone()).secret.clone());
            }
            let last = known.or_else(|| state.current.clone()).map(|token| token.issued_at);
            tokio::time::sleep(self.cooldown_left(last)).await;
            match issue().await {
                Ok(token) => {
                    state.rejected = None;
                    self.store(token.clone()).await;
                    return Ok(state.current.insert(token).secret.clone());
                }
                Err(error)
                    if error.refusal() == Some(Refusal::TokenTooSoon)
                        && attempt < ISSUE_ATTEMPTS =>
                {
                    tracing::info!(wait = ?self.cooldown, "kis issues one token a minute; waiting");
                    tokio::time::sleep(self.cooldown).await;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the loop above ends by returning")
    }

    /// Tells that the server did not accept `token`, so that the next [`Self::get`] finds another.
    pub async fn reject(&self, token: &SecretString) {
        self.state.lock().await.rejected = Some(token.clone());
    }

    fn cooldown_left(&self, last_issue: Option<EventTime>) -> Duration {
        let Some(last) = last_issue else { return Duration::ZERO };
        // An issue in the future is another clock's; it says nothing.
        let since = u64::try_from(now().micros_since(last)).unwrap_or(u64::MAX);
        self.cooldown.saturating_sub(Duration::from_micros(since))
    }

    /// This key's token on disk.
    async fn load(&self) -> Option<AccessToken> {
        let path = self.path.clone()?;
        let file = blocking(move || read(&path)).await;
        file.tokens.get(&self.key_id).and_then(CacheEntry::token)
    }

    async fn store(&self, token: AccessToken) {
        let Some(path) = self.path.clone() else { return };
        let key_id = self.key_id.clone();
        blocking(move || {
            let mut file = read(&path);
            let now = now();
            file.tokens.retain(|_, entry| entry.token().is_some_and(|old| old.expires_at > now));
            file.tokens.insert(key_id, CacheEntry::of(&token));
            if let Err(error) = write(&path, &file) {
                tracing::warn!(path = %path.display(), %error, "the kis token is kept in memory only: check that its folder can be written");
            }
        })
        .await;
    }

    /// The lock between processes; `None` when there is no file to protect.
    async fn lock(&self) -> Result<Option<File>, KisError> {
        let Some(path) = self.path.as_ref().map(|path| beside(path, ".lock")) else {
            return Ok(None);
        };
        let file = match private().create(true).truncate(false).open(&path) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the kis token is not shared between processes: check that its folder can be written");
                return Ok(None);
            }
        };
        // The holder may itself wait out the cooldown, more than once.
        let patience = self.cooldown * ISSUE_ATTEMPTS + Duration::from_secs(30);
        let start = tokio::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(KisError::TokenLock { path, waited: patience });
                }
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(path = %path.display(), %error, "the kis token's lock does not work on this file system");
                    return Ok(None);
                }
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Options of a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn read(path: &Path) -> CacheFile {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return CacheFile::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the kis token cache cannot be read");
            return CacheFile::default();
        }
    };
    serde_json::from_str(&text).unwrap_or_else(|error| {
        // The text itself is never shown: it may hold a token.
        tracing::warn!(path = %path.display(), line = error.line(), column = error.column(), "the kis token cache is damaged; it will be written anew");
        CacheFile::default()
    })
}

/// Replaces the file as a whole: a reader sees the old one or the new one.
fn write(path: &Path, file: &CacheFile) -> io::Result<()> {
    let temporary = beside(path, &format!(".{}.tmp", std::process::id()));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = private().create_new(true).open(&temporary)?;
    out.write_all(&serde_json::to_vec_pretty(file)?)?;
    out.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
