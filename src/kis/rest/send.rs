//! From a request to an answer: token, budget, circuit, transport, judgement, retry.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::super::answer::Answer;
use super::super::backoff::Backoff;
use super::super::circuit::{Block, BlockCause, Pass};
use super::super::error::{Refusal, TransportFault};
use super::super::{Environment, KisError, Lane};
use super::{KisClient, Raw, Request, secret_header};
use crate::market::EventTime;

const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Pages of one answer; at the smallest page (15 rows) more than any account has orders.
const MAX_PAGES: usize = 500;
/// A difference of clocks that is worth a warning, ms.
const SKEW_MS: i64 = 5_000;
/// A server may ask for a longer pause; more than this is not waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Why an attempt failed, and whether another one may help.
pub(super) struct Failure {
    pub error: KisError,
    again: bool,
    retry_after: Duration,
}

impl Failure {
    fn last(error: KisError) -> Self {
        Self { error, again: false, retry_after: Duration::ZERO }
    }

    /// The same failure, repeated only if `allowed` says so as well.
    pub(super) fn only_if(self, allowed: impl Fn(&KisError) -> bool) -> Self {
        Self { again: self.again && allowed(&self.error), ..self }
    }
}

/// What came over the wire.
struct Reply {
    status: u16,
    body: Bytes,
    more: bool,
    retry_after: Duration,
    received_at: EventTime,
}

/// An answer that was not refused, read and as it came.
pub(super) struct Served {
    pub answer: Answer,
    reply: Reply,
}

impl KisClient {
    /// Makes one call.
    ///
    /// # Errors
    /// See [`KisError`]: a refusal by KIS is one.
    pub async fn fetch(&self, request: &Request) -> Result<Raw, KisError> {
        let tr_id = request.endpoint.tr_id(self.environment())?;
        let attempt = || self.attempt(request, tr_id);
        let another = self.inner.options.issue_tokens;
        let refused = match self.repeat(attempt).await {
            Err(error) if another && error.refusal() == Some(Refusal::Token) => error,
            result => return result,
        };
        tracing::info!(error = %refused, "kis refused the token: one more try with another one");
        // The refused one is out of the cache.
        match self.repeat(attempt).await {
            Err(KisError::Refused { endpoint, code, message, .. })
                if Refusal::of(&code) == Refusal::Token =>
            {
                Err(KisError::TokenRefusedAgain { endpoint, code, message })
            }
            result => result,
        }
    }

    /// Makes a call and those for the further pages of its answer, in order.
    ///
    /// # Errors
    /// See [`KisError`]: all pages come, or none.
    pub async fn fetch_pages(&self, request: Request) -> Result<Vec<Raw>, KisError> {
        let mut pages = Vec::new();
        let mut next = Some(request);
        while let Some(request) = next {
            let raw = self.fetch(&request).await?;
            if pages.len() == MAX_PAGES {
                return Err(KisError::Malformed {
                    endpoint: raw.endpoint.name(),
                    status: raw.status,
                    detail: format!("more than {MAX_PAGES} pages"),
                });
            }
            next = request.next_page(&raw)?;
            pages.push(raw);
        }
        Ok(pages)
    }

    /// How far KIS's clock is ahead of ours, by an answer that needs no key: what KIS answers does
    /// not matter, only when. Not called while KIS shuts us out.
    ///
    /// # Errors
    /// [`KisError::Blocked`], or no answer.
    pub async fn ask_clock(&self) -> Result<Option<TimeDelta>, KisError> {
        const ENDPOINT: &str = "clock";
        self.inner.circuit.look().await.map_err(|block| blocked(ENDPOINT, block))?;
        let http = self.inner.http.get(&self.inner.options.base_url);
        self.transfer(ENDPOINT, http).await?;
        Ok(self.clock_skew())
    }

    async fn attempt(&self, request: &Request, tr_id: &'static str) -> Result<Raw, Failure> {
        let endpoint = request.endpoint;
        // A token has retries of its own.
        let token = self.token().await.map_err(Failure::last)?;
        let headers = self.headers(&token, tr_id, request.continued).map_err(Failure::last)?;
        let url = format!("{}{}", self.inner.options.base_url, endpoint.path());
        let http = self.inner.http.get(url).query(&request.query).headers(headers);
        let served = self.send(endpoint.name(), self.lane, http).await;
        if let Err(failure) = &served
            && failure.error.refusal() == Some(Refusal::Token)
        {
            self.inner.tokens.reject(&token);
        }
        let Reply { status, body, more, received_at, .. } = served?.reply;
        Ok(Raw { endpoint, tr_id, status, body, received_at, more })
    }

    fn headers(
        &self,
        token: &SecretString,
        tr_id: &'static str,
        continued: bool,
    ) -> Result<HeaderMap, KisError> {
        let mut headers = self.key_headers()?;
        let bearer = format!("Bearer {}", token.expose_secret());
        headers.insert("authorization", secret_header("access token", &bearer)?);
        headers.insert(HeaderName::from_static("tr_id"), HeaderValue::from_static(tr_id));
        headers.insert(HeaderName::from_static("custtype"), HeaderValue::from_static("P"));
        if continued {
            headers.insert(HeaderName::from_static("tr_cont"), HeaderValue::from_static("N"));
        }
        headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
        Ok(headers)
    }

    fn key_headers(&self) -> Result<HeaderMap, KisError> {
        let options = &self.inner.options;
        let mut headers = HeaderMap::new();
        headers.insert("appkey", secret_header("app key", options.app_key.expose_secret())?);
        headers
            .insert("appsecret", secret_header("app secret", options.app_secret.expose_secret())?);
        Ok(headers)
    }

    /// Posts a body to one of the calls without a token.
    pub(super) async fn post(
        &self,
        name: &'static str,
        path: &str,
        body: &Value,
        with_keys: bool,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.inner.options.base_url);
        let mut http = self.inner.http.post(url).json(body);
        if with_keys {
            http = http.headers(self.key_headers().map_err(Failure::last)?);
        }
        Ok(self.send(name, Lane::Control, http).await?.answer)
    }

    /// Runs `attempt` until it succeeds, fails for good, or was tried as often or as long as
    /// allowed.
    pub(super) async fn repeat<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, KisError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let options = &self.inner.options;
        let floor = match options.environment {
            Environment::Real => Duration::from_millis(100),
            Environment::Mock => Duration::from_secs(1),
        };
        let mut backoff = Backoff::new(floor, Duration::from_secs(5));
        let mut begun = None;
        for tried in 1.. {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            // Counted from the first failure: the wait for a token or a slot is not the call's.
            let begun = *begun.get_or_insert_with(Instant::now);
            let pause = backoff.pause().max(failure.retry_after);
            let late = begun.elapsed() + pause > options.deadline;
            if !failure.again || tried >= options.attempts || late {
                return Err(failure.error);
            }
            tracing::debug!(error = %failure.error, ?pause, "kis call is repeated");
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop above ends by returning")
    }

    /// One exchange, within budget and circuit, judged and counted.
    async fn send(
        &self,
        endpoint: &'static str,
        lane: Lane,
        request: reqwest::RequestBuilder,
    ) -> Result<Served, Failure> {
        let result = self.exchange(endpoint, lane, request).await;
        let outcome = result.as_ref().map_or_else(|failure| failure.error.outcome(), |_| "ok");
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
        lane: Lane,
        request: reqwest::RequestBuilder,
    ) -> Result<Served, Failure> {
        let inner = &*self.inner;
        let shut = |block: Block| Failure::last(blocked(endpoint, block));
        // Nobody waits for a slot to hear that nothing is sent.
        inner.circuit.look().await.map_err(shut)?;
        inner.budget.take(lane).await.map_err(|crowded| {
            Failure::last(KisError::Crowded { endpoint, waiting: crowded.waiting })
        })?;
        let pass = inner.circuit.pass().await.map_err(shut)?;
        let reply = match self.transfer(endpoint, request).await {
            Ok(reply) => reply,
            Err(error) => return Err(self.judge_silence(endpoint, pass, error).await),
        };
        let judged = Answer::read(endpoint, reply.status, &reply.body);
        let busy = busy_page(&judged);
        // One page of a busy gateway is a hiccup; nothing but such pages is a block.
        let struck = busy.filter(|_| inner.circuit.strike() || pass == Pass::Probe);
        if let Some(cause) = block_cause(&judged).or(struck.map(BlockCause::Page)) {
            let block = inner.circuit.blocked(pass, cause, reply.retry_after).await;
            return Err(shut(block));
        }
        if busy.is_none() {
            inner.circuit.answered(pass).await;
        }
        let error = match judged {
            Ok(answer) => {
                inner.budget.served();
                return Ok(Served { answer, reply });
            }
            Err(error) => self.redacted(error),
        };
        if error.refusal() == Some(Refusal::TooFast) || busy == Some(429) {
            inner.budget.refused();
        } else {
            inner.budget.served();
        }
        let again = error.is_retryable() && error.refusal() != Some(Refusal::TokenTooSoon);
        Err(Failure { error, again, retry_after: reply.retry_after })
    }

    async fn judge_silence(&self, endpoint: &'static str, pass: Pass, error: KisError) -> Failure {
        let reset = matches!(error, KisError::Transport { fault: TransportFault::Reset, .. });
        let circuit = &self.inner.circuit;
        if reset && (circuit.strike() || pass == Pass::Probe) {
            let block = circuit.blocked(pass, BlockCause::Resets, Duration::ZERO).await;
            return Failure::last(blocked(endpoint, block));
        }
        let again = error.is_retryable();
        Failure { error, again, retry_after: Duration::ZERO }
    }

    async fn transfer(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<Reply, KisError> {
        let options = &self.inner.options;
        let transport = |error: reqwest::Error| KisError::Transport {
            endpoint,
            base_url: options.base_url.clone(),
            fault: fault(&error),
            detail: chain(&error.without_url()),
        };
        let sent_at = options.clock.now();
        let mut response = request.send().await.map_err(transport)?;
        let headers = response.headers().clone();
        self.compare_clocks(&headers, sent_at);
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                let detail = format!("more than {MAX_ANSWER_BYTES} bytes");
                return Err(KisError::Malformed { endpoint, status, detail });
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Reply {
            status,
            body: bytes.into(),
            more: matches!(text("tr_cont").map(str::trim), Some("F" | "M")),
            retry_after: retry_after(text("retry-after"), options.clock.now()),
            received_at: options.clock.now(),
        })
    }

    /// Notes how far the server's clock is from ours. Its `Date` names a second, so half of one is
    /// added; the answer was written somewhere between the two times of ours.
    fn compare_clocks(&self, headers: &HeaderMap, sent_at: EventTime) {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        let Some(date) = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok()) else {
            return;
        };
        let now = self.inner.options.clock.now();
        let ours = sent_at.micros() / 2 + now.micros() / 2;
        let skew = TimeDelta::microseconds(date.timestamp_micros() + 500_000 - ours);
        let far = |skew: TimeDelta| skew.num_milliseconds().abs() > SKEW_MS;
        let before = self.inner.skew.lock().replace(skew);
        if far(skew) && !before.is_some_and(far) {
            tracing::warn!(
                seconds = skew.num_seconds(),
                "kis's clock is ahead of this machine's by so much (behind, when negative): check that its time is synchronised"
            );
        }
    }

    /// `error` with no key of ours in KIS's text.
    fn redacted(&self, error: KisError) -> KisError {
        let KisError::Refused { endpoint, code, mut message, status } = error else { return error };
        let options = &self.inner.options;
        for secret in [&options.app_key, &options.app_secret] {
            let secret = secret.expose_secret();
            if !secret.is_empty() {
                message = message.replace(secret, "[redacted]");
            }
        }
        KisError::Refused { endpoint, code, message, status }
    }
}

fn blocked(endpoint: &'static str, block: Block) -> KisError {
    let Block { since, until, cause, .. } = block;
    KisError::Blocked { endpoint, since, until, cause }
}

/// Whether this is no answer of the API but of what shuts us out.
fn block_cause(judged: &Result<Answer, KisError>) -> Option<BlockCause> {
    match judged {
        Err(KisError::Malformed { status: status @ 403, .. }) => Some(BlockCause::Page(*status)),
        Err(KisError::Refused { code, .. }) if Refusal::of(code) == Refusal::Address => {
            Some(BlockCause::Refusal(code.clone()))
        }
        _ => None,
    }
}

/// The status of a page that a gateway in front of KIS sends when it is busy or being mended.
fn busy_page(judged: &Result<Answer, KisError>) -> Option<u16> {
    match judged {
        Err(KisError::Malformed { status: status @ (429 | 503), .. }) => Some(*status),
        _ => None,
    }
}

/// The pause that a `Retry-After` asks for: seconds, or a date.
fn retry_after(text: Option<&str>, now: EventTime) -> Duration {
    let Some(text) = text.map(str::trim) else { return Duration::ZERO };
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => DateTime::parse_from_rfc2822(text)
            .ok()
            .and_then(|date| u64::try_from(date.timestamp_micros() - now.micros()).ok())
            .map_or(Duration::ZERO, Duration::from_micros),
    };
    pause.min(MAX_RETRY_AFTER)
}

fn fault(error: &reqwest::Error) -> TransportFault {
    if error.is_connect() {
        return TransportFault::Connect;
    }
    if error.is_timeout() {
        return TransportFault::Timeout;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let cut =
            error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
        if cut
            || matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof))
        {
            return TransportFault::Reset;
        }
        cause = error.source();
    }
    TransportFault::Other
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
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = EventTime::from_micros(784_887_151_000_000);
        for (text, seconds) in [
            ("7", 7),
            (" 7 ", 7),
            ("Tue, 15 Nov 1994 08:12:41 GMT", 10),
            ("Tue, 15 Nov 1994 08:12:01 GMT", 0),
            ("999999", 3_600),
            ("-1", 0),
            ("soon", 0),
        ] {
            assert_eq!(retry_after(Some(text), now), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(retry_after(None, now), Duration::ZERO);
    }
}
