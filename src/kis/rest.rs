//! The REST client: token and approval key, prices, daily bars, index levels.
//!
//! In: options and codes. Out: the types of [`super::answer`], or a [`KisError`] that says what to
//! do. Bodies are parsed whatever the HTTP status. One [`Budget`] spaces the calls; a refusal that
//! a pause can cure is repeated a bounded number of times with growing, jittered pauses; a refused
//! token is renewed once. Nothing else is retried. Secrets travel in headers marked sensitive and
//! are taken out of any text that KIS sends back.
//!
//! Limits: answers of at most 4 MiB; a time-out a call. The process must have installed a rustls
//! crypto provider before [`KisClient::new`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use asked::Notes;
pub use asked::{Account, Asked, LatestTrade, MinuteBar, OrderLine, Ranking, RawAnswer};

use super::answer::Answer;
use super::backoff::Backoff;
use super::budget::Budget;
use super::error::Refusal;
use super::token::{AccessToken, TokenCache};
use super::{DailyChart, Environment, IndexPrice, KisError, Price, now};
use crate::market::{Reference, SessionDay, Symbol};

mod asked;

const MAX_ANSWER_BYTES: usize = 4 << 20;
const QUOTATIONS: &str = "/uapi/domestic-stock/v1/quotations";
const RANKING: &str = "/uapi/domestic-stock/v1/ranking";
const TRADING: &str = "/uapi/domestic-stock/v1/trading";
/// Calendar days that hold [`Reference::MAX_CLOSES`] sessions, the longest holidays included, and
/// fewer than the 100 sessions that one answer carries.
const REFERENCE_DAYS: i32 = 112;

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
    /// File that keeps the token for all processes; `None` keeps it in memory.
    pub token_cache: Option<PathBuf>,
    /// Calls a second, evenly spaced; `None` is unlimited, for the simulator.
    pub calls_per_second: Option<f64>,
    /// Time-out of one call.
    pub timeout: Duration,
    /// Attempts of one call, at least one.
    pub attempts: u32,
    /// Least time between two issues of a token: a minute at KIS.
    pub token_cooldown: Duration,
}

impl KisOptions {
    /// Options with KIS's own limits for `environment`: 8 calls a second (paper: one), ten seconds
    /// a call, four attempts, a minute between tokens, no token file.
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
            token_cache: None,
            calls_per_second: Some(match environment {
                Environment::Real => 8.0,
                Environment::Mock => 0.9,
            }),
            timeout: Duration::from_secs(10),
            attempts: 4,
            token_cooldown: Duration::from_secs(60),
        }
    }
}

/// One call that reads.
#[derive(Clone, Copy)]
struct Call {
    /// Path without its last part.
    base: &'static str,
    /// Short name: errors, metric label.
    name: &'static str,
    /// Last part of the path.
    path: &'static str,
    tr_id: &'static str,
}

const INQUIRE_PRICE: Call =
    Call { base: QUOTATIONS, name: "inquire_price", path: "inquire-price", tr_id: "FHKST01010100" };
const DAILY_BARS: Call = Call {
    base: QUOTATIONS,
    name: "daily_bars",
    path: "inquire-daily-itemchartprice",
    tr_id: "FHKST03010100",
};
const INDEX_PRICE: Call = Call {
    base: QUOTATIONS,
    name: "index_price",
    path: "inquire-index-price",
    tr_id: "FHPUP02100000",
};

/// A client of the KIS REST API. Cheap to clone; clones share connections, token and budget.
#[derive(Debug, Clone)]
pub struct KisClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    options: KisOptions,
    tokens: TokenCache,
    budget: Budget,
}

impl KisClient {
    /// A client. No request is made.
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
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bongsu/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.timeout)
            .timeout(options.timeout);
        // A proxy of the environment is for the outside world.
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| KisError::Options(error.to_string()))?;
        let tokens = TokenCache::new(
            options.token_cache.clone(),
            &options.app_key,
            &options.base_url,
            options.token_cooldown,
        );
        let budget = Budget::new(options.calls_per_second);
        Ok(Self { inner: Arc::new(Inner { http, options, tokens, budget }) })
    }

    /// The environment the client talks to.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.inner.options.environment
    }

    /// Calls that could still go within the next second; `None` when unlimited.
    #[must_use]
    pub fn budget_remaining(&self) -> Option<f64> {
        self.inner.budget.remaining()
    }

    /// The access token: from memory, from disk, or newly issued.
    ///
    /// # Errors
    /// When KIS issues none, or another process holds the token's lock too long.
    pub async fn token(&self) -> Result<SecretString, KisError> {
        self.inner.tokens.get(|| self.issue_token()).await
    }

    /// A new key for a WebSocket session; valid 24 hours, checked when the session subscribes.
    ///
    /// # Errors
    /// When KIS gives none.
    pub async fn approval_key(&self) -> Result<SecretString, KisError> {
        let options = &self.inner.options;
        let body = json!({
            "grant_type": "client_credentials",
            "appkey": options.app_key.expose_secret(),
            // The same value as the app secret, under another name.
            "secretkey": options.app_secret.expose_secret(),
        });
        let answer = self.repeat(|| self.post("approval_key", "/oauth2/Approval", &body)).await?;
        match answer.top().text("approval_key") {
            Some(key) => Ok(key.into()),
            None => Err(answer.malformed("no \"approval_key\"".into())),
        }
    }

    /// The current price of an issue on KRX.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn inquire_price(&self, symbol: Symbol) -> Result<Price, KisError> {
        let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", symbol.as_str())];
        Price::of(symbol, &self.get(INQUIRE_PRICE, &query).await?)
    }

    /// Daily bars from `from` to `to`, adjusted for splits, oldest first: the newest 100 of them.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn daily_bars(
        &self,
        symbol: Symbol,
        from: SessionDay,
        to: SessionDay,
    ) -> Result<DailyChart, KisError> {
        let (from, to) = (from.yyyymmdd().to_string(), to.yyyymmdd().to_string());
        let query = [
            ("FID_COND_MRKT_DIV_CODE", "J"),
            ("FID_INPUT_ISCD", symbol.as_str()),
            ("FID_INPUT_DATE_1", &from),
            ("FID_INPUT_DATE_2", &to),
            ("FID_PERIOD_DIV_CODE", "D"),
            ("FID_ORG_ADJ_PRC", "0"),
        ];
        DailyChart::of(symbol, &self.get(DAILY_BARS, &query).await?)
    }

    /// The current level of a sector index (`0001` KOSPI, `1001` KOSDAQ). Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn index_price(&self, code: Symbol) -> Result<IndexPrice, KisError> {
        let query = [("FID_COND_MRKT_DIV_CODE", "U"), ("FID_INPUT_ISCD", code.as_str())];
        IndexPrice::of(code, &self.get(INDEX_PRICE, &query).await?)
    }

    /// What is known about an issue before its first tick on `day`: two calls.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn fetch_reference(
        &self,
        symbol: Symbol,
        day: SessionDay,
    ) -> Result<Reference, KisError> {
        let price = self.inquire_price(symbol).await?;
        let from = SessionDay::from_epoch_days(day.epoch_days() - REFERENCE_DAYS);
        let chart = self.daily_bars(symbol, from, day).await?;
        Ok(reference(day, &price, &chart))
    }

    async fn issue_token(&self) -> Result<AccessToken, KisError> {
        let options = &self.inner.options;
        let body = json!({
            "grant_type": "client_credentials",
            "appkey": options.app_key.expose_secret(),
            "appsecret": options.app_secret.expose_secret(),
        });
        let issued_at = now();
        let answer = self.post("token", "/oauth2/tokenP", &body).await?;
        let top = answer.top();
        let token = top
            .text("access_token")
            .ok_or_else(|| answer.malformed("no \"access_token\"".into()))?;
        secret_header("access token", token)?;
        Ok(AccessToken::issued(
            token.into(),
            issued_at,
            top.text("access_token_token_expired"),
            top.integer("expires_in")?,
        ))
    }

    async fn get(&self, call: Call, query: &[(&str, &str)]) -> Result<Answer, KisError> {
        self.get_noted(call, query, false, None).await
    }

    /// As [`Self::get`]. `next_page`: the query carries on where the page before ended. Every body
    /// that comes is put into `notes`.
    async fn get_noted(
        &self,
        call: Call,
        query: &[(&str, &str)],
        next_page: bool,
        notes: Option<&Notes>,
    ) -> Result<Answer, KisError> {
        let attempt = || self.get_with_token(call, query, next_page, notes);
        match self.repeat(attempt).await {
            // The token that was refused is out of the cache now: once more, with another one.
            Err(error) if error.refusal() == Some(Refusal::Token) => self.repeat(attempt).await,
            result => result,
        }
    }

    async fn get_with_token(
        &self,
        call: Call,
        query: &[(&str, &str)],
        next_page: bool,
        notes: Option<&Notes>,
    ) -> Result<Answer, KisError> {
        let inner = &*self.inner;
        let token = self.token().await?;
        inner.budget.take().await;
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", token.expose_secret());
        headers.insert("authorization", secret_header("access token", &bearer)?);
        let options = &inner.options;
        headers.insert("appkey", secret_header("app key", options.app_key.expose_secret())?);
        headers
            .insert("appsecret", secret_header("app secret", options.app_secret.expose_secret())?);
        headers.insert(HeaderName::from_static("tr_id"), HeaderValue::from_static(call.tr_id));
        headers.insert(HeaderName::from_static("custtype"), HeaderValue::from_static("P"));
        headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
        if next_page {
            headers.insert(HeaderName::from_static("tr_cont"), HeaderValue::from_static("N"));
        }
        let url = format!("{}{}/{}", options.base_url, call.base, call.path);
        let request = inner.http.get(url).query(query).headers(headers);
        let result = self.send(call.name, request, notes).await;
        match result.as_ref().err().and_then(KisError::refusal) {
            Some(Refusal::TooFast) => inner.budget.refused(),
            Some(Refusal::Token) => inner.tokens.reject(&token).await,
            _ => inner.budget.served(),
        }
        result
    }

    async fn post(&self, name: &'static str, path: &str, body: &Value) -> Result<Answer, KisError> {
        let url = format!("{}{path}", self.inner.options.base_url);
        self.send(name, self.inner.http.post(url).json(body), None).await
    }

    /// Runs `attempt` until it succeeds, fails for good, or was tried as often as allowed.
    async fn repeat<F>(&self, attempt: impl Fn() -> F) -> Result<Answer, KisError>
    where
        F: Future<Output = Result<Answer, KisError>>,
    {
        let floor = match self.inner.options.environment {
            Environment::Real => Duration::from_millis(100),
            Environment::Mock => Duration::from_secs(1),
        };
        let mut backoff = Backoff::new(floor, Duration::from_secs(5));
        for tried in 1.. {
            match attempt().await {
                Err(error) if error.is_retryable() && tried < self.inner.options.attempts => {
                    let pause = backoff.pause();
                    tracing::debug!(%error, ?pause, "kis call is repeated");
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
        unreachable!("the loop above ends by returning")
    }

    async fn send(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
        notes: Option<&Notes>,
    ) -> Result<Answer, KisError> {
        let result = self.exchange(endpoint, request, notes).await;
        let outcome = result.as_ref().map_or_else(KisError::outcome, |_| "ok");
        metrics::counter!("bongsu_kis_requests_total", "endpoint" => endpoint, "outcome" => outcome)
            .increment(1);
        if let Some(remaining) = self.budget_remaining() {
            metrics::gauge!("bongsu_kis_budget_remaining").set(remaining);
        }
        result
    }

    async fn exchange(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
        notes: Option<&Notes>,
    ) -> Result<Answer, KisError> {
        let transport = |error: reqwest::Error| KisError::Transport {
            endpoint,
            base_url: self.inner.options.base_url.clone(),
            detail: chain(&error.without_url()),
        };
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status().as_u16();
        let malformed = |detail: String| KisError::Malformed { endpoint, status, detail };
        let has_next = response
            .headers()
            .get("tr_cont")
            .is_some_and(|value| matches!(value.as_bytes(), b"F" | b"M"));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(malformed(format!("more than {MAX_ANSWER_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let parsed = serde_json::from_slice(&bytes);
        if let Some(notes) = notes {
            notes.push(RawAnswer { endpoint, status, body: bytes.clone().into() });
        }
        let body = match parsed {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Err(malformed("json that is no object".into())),
            Err(_) => return Err(malformed(format!("{} bytes that are no json", bytes.len()))),
        };
        self.judge(Answer { endpoint, status, has_next, body })
    }

    /// Decides by the codes in the body, never by the status alone.
    fn judge(&self, answer: Answer) -> Result<Answer, KisError> {
        let top = answer.top();
        let refused = |code: &str, message: Option<&str>| KisError::Refused {
            endpoint: answer.endpoint,
            code: code.chars().take(16).collect(),
            message: self.without_secrets(message.unwrap_or_default()),
            status: answer.status,
        };
        // The calls of /oauth2 have a shape of their own.
        if let Some(code) = top.text("error_code") {
            return Err(refused(code, top.text("error_description")));
        }
        match top.integer("rt_cd")? {
            Some(0) => Ok(answer),
            Some(_) => Err(refused(top.text("msg_cd").unwrap_or("?"), top.text("msg1"))),
            None if (200..300).contains(&answer.status) => Ok(answer),
            None => Err(answer.malformed("no code".into())),
        }
    }

    /// `text` cut to a sane length, with no key of ours in it.
    fn without_secrets(&self, text: &str) -> String {
        let options = &self.inner.options;
        let mut text: String = text.to_owned();
        for secret in [&options.app_key, &options.app_secret] {
            let secret = secret.expose_secret();
            if !secret.is_empty() {
                text = text.replace(secret, "[redacted]");
            }
        }
        text.chars().take(160).collect()
    }
}

fn reference(day: SessionDay, price: &Price, chart: &DailyChart) -> Reference {
    let earlier: Vec<_> = chart.bars.iter().filter(|bar| bar.day < day).collect();
    let kept = &earlier[earlier.len().saturating_sub(Reference::MAX_CLOSES)..];
    Reference {
        symbol: price.symbol,
        name: chart.name.clone().unwrap_or_default(),
        market: price.market,
        base_price: price.base_price.or(chart.previous_close),
        previous_volume: kept.last().map(|bar| bar.volume).or(chart.previous_volume),
        listed_shares: price.listed_shares.or(chart.listed_shares),
        closes: kept.iter().map(|bar| bar.close).collect(),
        volumes: kept.iter().map(|bar| bar.volume).collect(),
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

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
