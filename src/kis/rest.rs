//! The REST client: every call of KIS that Bongsu needs, none of which sends an order.
//!
//! In: options and requests. Out: answers as they came ([`KisClient::fetch`]) or typed (one method a
//! call, which fetches and reads), or a [`KisError`] that says what to do.
//!
//! - [`Request`] says what is asked and has a constructor for each [`Endpoint`]; [`Raw`] is what came;
//!   the types of [`super::answer`] read it. So what is archived is what is parsed.
//! - Bodies are parsed whatever the HTTP status. A [`Budget`], which clients of one key share, spaces
//!   the calls and lets the important ones ([`Lane`]) go first.
//! - A refusal that a pause can cure is repeated a bounded number of times and for a bounded time, with
//!   growing, jittered pauses; a refused token is renewed once. Nothing else is retried.
//! - While KIS shuts us out nothing is sent at all, see [`super::circuit`].
//! - Secrets travel in headers marked sensitive and are taken out of any text that KIS sends back.
//!
//! Limits: answers of at most 4 MiB; a time-out a call. The process must have installed a rustls
//! crypto provider before [`KisClient::new`].

mod account;
mod auth;
mod endpoint;
mod quotations;
mod request;
mod send;

pub use endpoint::Endpoint;
pub use request::{Raw, Request};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::budget::{Budget, Lane};
use super::circuit::{Block, Circuit};
use super::clock::Clock;
use super::token::{KeptToken, KeyId, TokenCache};
use super::{Environment, KisError};

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct KisOptions {
    /// REST base URL, for example `https://openapi.koreainvestment.com:9443`.
    pub base_url: String,
    /// App key.
    pub app_key: SecretString,
    /// App secret.
    pub app_secret: SecretString,
    /// Real or paper.
    pub environment: Environment,
    /// `User-Agent` of all requests; `None` is Bongsu's own.
    pub user_agent: Option<String>,
    /// File that keeps the token for all processes; `None` keeps it in memory. A block by KIS is
    /// kept beside it, in `kis-blocked.json`.
    pub token_cache: Option<PathBuf>,
    /// Calls a second to start with, evenly spaced; `None` is unlimited, for the simulator.
    pub calls_per_second: Option<f64>,
    /// The budget of the key when another client has one already; its rate then counts.
    pub budget: Option<Arc<Budget>>,
    /// Time-out of one call.
    pub timeout: Duration,
    /// Attempts of one call, at least one.
    pub attempts: u32,
    /// No further attempt begins so long after the first.
    pub deadline: Duration,
    /// Least time between two issues of a token: a minute at KIS.
    pub token_cooldown: Duration,
    /// Whether tokens are asked for; otherwise only one that the file keeps is used
    /// ([`KisError::NoToken`]). KIS sends the customer a message at each issue.
    pub issue_tokens: bool,
    /// The wall clock.
    pub clock: Clock,
}

impl KisOptions {
    /// Options with KIS's own limits for `environment`: 8 calls a second (paper: 0.9), ten seconds
    /// a call, four attempts within a minute, a minute between tokens, no token file.
    #[must_use]
    pub fn new(
        environment: Environment,
        base_url: impl Into<String>,
        app_key: SecretString,
        app_secret: SecretString,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            app_key,
            app_secret,
            environment,
            user_agent: None,
            token_cache: None,
            calls_per_second: Some(match environment {
                Environment::Real => 8.0,
                Environment::Mock => 0.9,
            }),
            budget: None,
            timeout: Duration::from_secs(10),
            attempts: 4,
            deadline: Duration::from_secs(60),
            token_cooldown: Duration::from_secs(60),
            issue_tokens: true,
            clock: Clock::system(),
        }
    }

    /// The budget these options describe. It learns, but never above twice the rate it starts with
    /// nor above the ceiling of the environment (15 of KIS's 18, paper 1).
    fn new_budget(&self) -> Arc<Budget> {
        let ceiling: f64 = match self.environment {
            Environment::Real => 15.0,
            Environment::Mock => 1.0,
        };
        let start = self.calls_per_second;
        Arc::new(Budget::new(start, start.map_or(ceiling, |start| ceiling.min(2.0 * start))))
    }
}

/// A client of the KIS REST API. Cheap to clone; clones share connections, token, budget and
/// circuit. A clone has a lane of its own.
#[derive(Debug, Clone)]
pub struct KisClient {
    inner: Arc<Inner>,
    lane: Lane,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    options: KisOptions,
    tokens: TokenCache,
    budget: Arc<Budget>,
    circuit: Circuit,
    skew: Mutex<Option<chrono::TimeDelta>>,
}

impl KisClient {
    /// A client, in the lane of what the daemon needs to start. No request is made.
    ///
    /// # Errors
    /// [`KisError::Options`] when the base URL is no URL or a key cannot be a header value.
    pub fn new(mut options: KisOptions) -> Result<Self, KisError> {
        let url = url::Url::parse(&options.base_url).map_err(|error| {
            KisError::Options(format!(
                "base url \"{}\": {error}: expected for example https://openapi.koreainvestment.com:9443",
                options.base_url
            ))
        })?;
        options.base_url = options.base_url.trim_end_matches('/').to_owned();
        secret_header("app key", options.app_key.expose_secret())?;
        secret_header("app secret", options.app_secret.expose_secret())?;
        let agent = options.user_agent.as_deref();
        let agent = agent.unwrap_or(concat!("bongsu/", env!("CARGO_PKG_VERSION")));
        let agent = HeaderValue::from_str(agent).map_err(|_| {
            let text = "the user agent has characters that a header cannot carry: use ASCII";
            KisError::Options(text.into())
        })?;
        let mut builder = reqwest::Client::builder()
            .user_agent(agent)
            .connect_timeout(options.timeout)
            .timeout(options.timeout);
        // A proxy of the environment is for the outside world.
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| KisError::Options(error.to_string()))?;
        let key = KeyId::of(&options.app_key, &options.app_secret, &options.base_url);
        let blocked =
            options.token_cache.as_ref().map(|path| path.with_file_name("kis-blocked.json"));
        let circuit = Circuit::new(blocked, key.id.clone(), options.clock.clone());
        let tokens = TokenCache::new(
            options.token_cache.clone(),
            key,
            options.token_cooldown,
            options.clock.clone(),
        );
        let budget = options.budget.clone().unwrap_or_else(|| options.new_budget());
        let skew = Mutex::default();
        let inner = Arc::new(Inner { http, options, tokens, budget, circuit, skew });
        Ok(Self { inner, lane: Lane::default() })
    }

    /// The same client with its calls in `lane`.
    #[must_use]
    pub fn with_lane(&self, lane: Lane) -> Self {
        Self { inner: Arc::clone(&self.inner), lane }
    }

    /// The environment the client talks to.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.inner.options.environment
    }

    /// The budget of the key, to share with another client of it.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.inner.budget)
    }

    /// Calls that could still go within the next second; `None` when unlimited.
    #[must_use]
    pub fn budget_remaining(&self) -> Option<f64> {
        self.inner.budget.remaining()
    }

    /// The block of this key that is in force: until it ends no call is made. Nothing is sent.
    pub async fn block(&self) -> Option<Block> {
        self.inner.circuit.look().await.err()
    }

    /// What is kept about this key: a token, or the refusal of the keys. Nothing is sent.
    pub async fn kept_token(&self) -> KeptToken {
        self.inner.tokens.kept().await
    }

    /// How far KIS's clock is ahead of ours, to about a second, by the newest answer; negative when
    /// it is behind; `None` before the first.
    #[must_use]
    pub fn clock_skew(&self) -> Option<chrono::TimeDelta> {
        *self.inner.skew.lock()
    }
}

fn secret_header(what: &str, value: &str) -> Result<HeaderValue, KisError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| {
        KisError::Options(format!("the {what} has characters that a header cannot carry"))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests;
