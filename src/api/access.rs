//! Who may ask for what.
//!
//! `/healthz`, `/readyz` and `/metrics` are open to all. On a loopback address reading is, too; everything
//! else needs `Authorization: Bearer TOKEN` with a token of the scope: `read` for reading, `operate` for
//! all. No token, or one that is not known, is 401; one of too small a scope 403. A browser trades a token
//! for a cookie at `/v1/session`.
//!
//! Only digests of tokens are held, and compared without regard to where they differ; a setting may
//! hold the digest itself (`operate:sha256:…`).
//!
//! **Limits.** 256 sessions, twelve hours each; the oldest goes when there are more. A client that shows wrong
//! tokens 20 times within a minute is refused (429) for the rest of it; 1,024 such clients are
//! remembered.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::problem::Problem;
use super::stall::Peer;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Reading.
    Read,
    /// Everything.
    Operate,
}

impl Scope {
    /// As in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

const SESSIONS: usize = 256;
const SESSION: Duration = Duration::from_secs(12 * 3_600);
const COOKIE: &str = "bongsu_session";
const MOST_WRONG: u32 = 20;
const WRONG_WITHIN: Duration = Duration::from_secs(60);
const WRONG_CLIENTS: usize = 1_024;

type Sha = [u8; 32];

struct Session {
    digest: Sha,
    scope: Scope,
    began: Instant,
}

#[derive(Default)]
struct Memory {
    sessions: VecDeque<Session>,
    /// Clients with wrong tokens: since when, how many.
    wrong: VecDeque<(IpAddr, Instant, u32)>,
}

/// The rule of access. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    open_reading: bool,
    tokens: Arc<[(Scope, Sha)]>,
    memory: Arc<Mutex<Memory>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access(open reading: {}, {} tokens)", self.open_reading, self.tokens.len())
    }
}

impl Default for Access {
    /// A loopback address without tokens: reading is open, nothing else.
    fn default() -> Self {
        Self { open_reading: true, tokens: Arc::default(), memory: Arc::default() }
    }
}

fn sha(text: &str) -> Sha {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether both are the same, in a time that does not depend on where they differ.
fn same(a: &Sha, b: &Sha) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

impl Access {
    /// The rule of a server at `listen` with the tokens of `api.tokens`: `scope:token` or
    /// `scope:sha256:DIGEST`, separated by commas or white space.
    ///
    /// # Errors
    /// When a part is none; the text is not repeated.
    pub fn new(listen: SocketAddr, tokens: &str) -> Result<Self, String> {
        let parts = tokens.split(|c: char| c == ',' || c.is_whitespace()).filter(|p| !p.is_empty());
        let tokens: Result<Vec<_>, String> = parts
            .enumerate()
            .map(|(index, part)| {
                let wrong = |what: &str| format!("token {}: {what}", index + 1);
                let (scope, token) = part
                    .split_once(':')
                    .ok_or_else(|| wrong("expected scope:token, the scope read or operate"))?;
                let scope = match scope {
                    "read" => Scope::Read,
                    "operate" => Scope::Operate,
                    _ => return Err(wrong("its scope is neither read nor operate")),
                };
                let digest = match token.strip_prefix("sha256:") {
                    None => sha(token),
                    Some(digits) => hex::decode(digits)
                        .ok()
                        .and_then(|bytes| bytes.try_into().ok())
                        .ok_or_else(|| wrong("expected 64 hexadecimal digits after sha256:"))?,
                };
                Ok((scope, digest))
            })
            .collect();
        let open_reading = listen.ip().is_loopback();
        Ok(Self { open_reading, tokens: tokens?.into(), memory: Arc::default() })
    }

    /// The scope of a token; `None` when it is not known. Every token is looked at.
    fn scope_of(&self, token: &str) -> Option<Scope> {
        let digest = sha(token);
        let matching = self.tokens.iter().filter(|(_, known)| same(known, &digest));
        matching.map(|(scope, _)| *scope).max()
    }

    fn session_scope(&self, headers: &HeaderMap) -> Option<Scope> {
        let digest = sha(cookie(headers)?);
        let memory = self.memory.lock();
        let live = memory.sessions.iter().filter(|session| session.began.elapsed() < SESSION);
        live.filter(|session| same(&session.digest, &digest)).map(|session| session.scope).max()
    }

    fn begin_session(&self, scope: Scope) -> String {
        // 244 bits of the system's chance.
        let chance = || uuid::Uuid::new_v4().simple().to_string();
        let secret = chance() + &chance();
        let mut memory = self.memory.lock();
        memory.sessions.retain(|session| session.began.elapsed() < SESSION);
        if memory.sessions.len() >= SESSIONS {
            memory.sessions.pop_front();
        }
        let session = Session { digest: sha(&secret), scope, began: Instant::now() };
        memory.sessions.push_back(session);
        secret
    }

    fn end_session(&self, headers: &HeaderMap) {
        if let Some(secret) = cookie(headers) {
            let digest = sha(secret);
            self.memory.lock().sessions.retain(|session| !same(&session.digest, &digest));
        }
    }

    /// Notes a wrong token; whether the client has shown too many.
    fn wrong_token(&self, client: Option<IpAddr>) -> bool {
        let Some(client) = client else { return false };
        let mut memory = self.memory.lock();
        memory.wrong.retain(|(_, since, _)| since.elapsed() < WRONG_WITHIN);
        if let Some((_, _, count)) = memory.wrong.iter_mut().find(|(known, _, _)| *known == client)
        {
            *count += 1;
            return *count > MOST_WRONG;
        }
        if memory.wrong.len() >= WRONG_CLIENTS {
            memory.wrong.pop_front();
        }
        memory.wrong.push_back((client, Instant::now(), 1));
        false
    }

    /// Whether a request of `needed` scope may pass.
    fn admit(
        &self,
        headers: &HeaderMap,
        needed: Scope,
        client: Option<IpAddr>,
    ) -> Result<Option<Scope>, Problem> {
        let scope = match bearer(headers) {
            Some(token) => match self.scope_of(token) {
                Some(scope) => Some(scope),
                None if self.wrong_token(client) => return Err(Problem::too_many_tokens()),
                None => return Err(Problem::unauthorized("this token is not known")),
            },
            None => self.session_scope(headers),
        };
        match scope {
            _ if needed == Scope::Read && self.open_reading => Ok(scope),
            Some(scope) if scope >= needed => Ok(Some(scope)),
            Some(scope) => Err(Problem::forbidden(scope.as_str(), needed.as_str())),
            None if self.tokens.is_empty() => Err(Problem::unauthorized(
                "no tokens are set: BONGSU_API__TOKENS=operate:SECRET sets one",
            )),
            None => Err(Problem::unauthorized("it needs Authorization: Bearer TOKEN")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|one| one.split_once('='));
    pairs.find_map(|(name, value)| (name.trim() == COOKIE).then(|| value.trim()))
}

/// The scope that a request needs.
fn needed(method: &Method, path: &str) -> Scope {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    // A scenario computes and changes nothing; a session is of the token's own scope.
    let computes = *method == Method::POST && path == "/v1/scenarios";
    if reads || computes || path == "/v1/session" { Scope::Read } else { Scope::Operate }
}

/// Lets a request pass, or answers it.
pub(super) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ConnectInfo<Peer>>().map(|from| from.0.0.ip());
    let needed = needed(request.method(), request.uri().path());
    match access.admit(request.headers(), needed, client) {
        Ok(_) => next.run(request).await,
        Err(problem) => {
            metrics::counter!("bongsu_http_refused_total", "status" => problem.status_word())
                .increment(1);
            problem.into_response()
        }
    }
}

/// `POST /v1/session`: a token in the header becomes a cookie of its scope.
pub(super) async fn begin(
    State(access): State<Access>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let scope = bearer(&headers).and_then(|token| access.scope_of(token));
    let scope =
        scope.ok_or_else(|| Problem::unauthorized("it needs Authorization: Bearer TOKEN"))?;
    let secret = access.begin_session(scope);
    let seconds = SESSION.as_secs();
    let cookie = format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    let body = axum::Json(serde_json::json!({ "scope": scope.as_str(), "seconds": seconds }));
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}

/// `DELETE /v1/session`.
pub(super) async fn end(State(access): State<Access>, headers: HeaderMap) -> Response {
    access.end_session(&headers);
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str) -> Access {
        let hashed = hex::encode(sha("hashed"));
        let tokens = format!("read:reader, operate:operator operate:sha256:{hashed}");
        Access::new(listen.parse().unwrap(), &tokens).unwrap()
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn status(access: &Access, token: Option<&str>, needed: Scope) -> u16 {
        let headers = token.map_or_else(HeaderMap::new, |token| {
            with(header::AUTHORIZATION, &format!("Bearer {token}"))
        });
        match access.admit(&headers, needed, None) {
            Ok(_) => 200,
            Err(problem) => problem.details().status,
        }
    }

    #[test]
    fn scopes_are_kept_apart() {
        let wide = access("0.0.0.0:8700");
        let local = access("127.0.0.1:8700");
        for (token, read, operate) in [
            (None, 401, 401),
            (Some("reader"), 200, 403),
            (Some("operator"), 200, 200),
            (Some("hashed"), 200, 200),
            (Some("wrong"), 401, 401),
            (Some(""), 401, 401),
        ] {
            assert_eq!(status(&wide, token, Scope::Read), read, "{token:?}");
            assert_eq!(status(&wide, token, Scope::Operate), operate, "{token:?}");
            assert_eq!(status(&local, token, Scope::Operate), operate, "{token:?}");
        }
        assert_eq!(status(&local, None, Scope::Read), 200);
        assert_eq!(status(&Access::default(), None, Scope::Operate), 401);
        // The digest of a token is no token.
        let digest = hex::encode(sha("operator"));
        assert_eq!(status(&wide, Some(&digest), Scope::Read), 401);
        assert_eq!(needed(&Method::POST, "/v1/scenarios"), Scope::Read);
        assert_eq!(needed(&Method::POST, "/v1/tasks/debug_ping"), Scope::Operate);
        assert!(!format!("{wide:?}").contains("operator"));
    }

    #[test]
    fn what_is_no_token_is_told_without_it() {
        for wrong in ["secret", "write:secret", "read:sha256:12"] {
            let told = Access::new("127.0.0.1:1".parse().unwrap(), wrong).unwrap_err();
            assert!(told.starts_with("token 1") && !told.contains("secret"), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_has_its_scope_and_its_end() {
        let access = access("0.0.0.0:1");
        let cookie = |secret: &str| with(header::COOKIE, &format!("a=b; {COOKIE}={secret}"));
        let reader = access.begin_session(Scope::Read);
        assert!(access.admit(&cookie(&reader), Scope::Read, None).is_ok());
        let refused = access.admit(&cookie(&reader), Scope::Operate, None).unwrap_err();
        assert_eq!(refused.details().status, 403);
        assert!(access.admit(&cookie("00"), Scope::Read, None).is_err());
        let second = access.begin_session(Scope::Operate);
        access.end_session(&cookie(&second));
        assert!(access.admit(&cookie(&second), Scope::Read, None).is_err());
        for _ in 0..SESSIONS {
            access.begin_session(Scope::Read);
        }
        assert_eq!(access.memory.lock().sessions.len(), SESSIONS);
        assert!(access.admit(&cookie(&reader), Scope::Read, None).is_err(), "the oldest is gone");
        let late = access.begin_session(Scope::Read);
        tokio::time::advance(SESSION).await;
        assert!(access.admit(&cookie(&late), Scope::Read, None).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down() {
        let access = access("0.0.0.0:1");
        let wrong = with(header::AUTHORIZATION, "Bearer guess");
        let client = Some("192.0.2.1".parse().unwrap());
        let status = |access: &Access| {
            access.admit(&wrong, Scope::Read, client).unwrap_err().details().status
        };
        assert!((0..MOST_WRONG).all(|_| status(&access) == 401));
        assert_eq!(status(&access), 429);
        tokio::time::advance(WRONG_WITHIN).await;
        assert_eq!(status(&access), 401);
    }
}
