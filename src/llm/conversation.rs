//! Asking a model about facts: one answer, one repair, with a few more tries where the endpoint
//! fails in passing.
//!
//! Before a call: does the prompt fit the context, does the gate let it pass. After it: did the
//! endpoint read the whole prompt, does the answer hold. Each call, and each that was forbidden, is
//! an [`LlmUsage`]; each that was made, a [`PromptRecord`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::messages::advice::{LlmOutcome, LlmUsage, Report};

use super::archive::{self, PromptRecord};
use super::call::{self, Ask, CallError, Message, Reply};
use super::document::Document;
use super::endpoint::Endpoint;
use super::facts::Facts;
use super::guard::{self, Refusal, Rules};
use super::limits::{Denied, Gate, random_unit};
use super::prompt::Prompts;
use super::tokens::{Calibration, estimate};
use super::writer::ModelOptions;
use super::{Written, answer};

/// Most characters of a refused answer that are sent back.
const MAX_QUOTED_CHARS: usize = 4_000;
/// First pause before a call is made again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A repair is not begun with less time left than this.
const LEAST_TIME: Duration = Duration::from_millis(500);

/// Why there is no text of the model.
#[derive(Debug)]
pub(super) enum Failure {
    Denied(Denied),
    Endpoint(CallError),
    Refused {
        refusal: Refusal,
        repaired: bool,
    },
    /// The prompt does not fit.
    Context {
        estimated: u32,
        limit: u32,
    },
    /// The endpoint did not read all of it.
    Unread {
        estimated: u32,
        counted: u32,
    },
    Deadline,
    Request(String),
}

impl Failure {
    /// What exactly went wrong, for the log.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Endpoint(error) => error.to_string(),
            Self::Refused { refusal, .. } => refusal.to_string(),
            other => other.reason(Duration::ZERO),
        }
    }

    /// Korean, for the report: no word of the model or the endpoint stands in it.
    pub(super) fn reason(&self, deadline: Duration) -> String {
        match self {
            Self::Denied(denied) => denied.to_string(),
            Self::Endpoint(error) => format!("언어 모델 호출 실패: {}", error.reason()),
            Self::Refused { refusal, repaired: true } => {
                format!("언어 모델의 답을 두 번 모두 받아들일 수 없음: {}", refusal.reason())
            }
            Self::Refused { refusal, .. } => {
                format!("언어 모델의 답을 받아들일 수 없음: {}", refusal.reason())
            }
            Self::Context { estimated, limit } => {
                format!("사실표가 언어 모델의 문맥보다 김 (약 {estimated}토큰, 한도 {limit}토큰)")
            }
            Self::Unread { estimated, counted } => format!(
                "언어 모델이 사실표를 끝까지 읽지 않음 (약 {estimated}토큰 가운데 {counted}토큰)"
            ),
            Self::Deadline => {
                format!("언어 모델이 {:.1}초 안에 답하지 않음", deadline.as_secs_f64())
            }
            Self::Request(cause) => format!("언어 모델에 보낼 요청을 만들 수 없음: {cause}"),
        }
    }

    /// When it may go better; `None` when repeating does not help.
    pub(super) fn retry_in(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Denied(denied) => denied.retry_in(),
            Self::Endpoint(error) if error.is_passing() => {
                Some(error.retry_after().unwrap_or(usual))
            }
            Self::Deadline => Some(usual),
            _ => None,
        }
    }
}

/// An answer that passed.
#[derive(Debug)]
pub(super) struct Accepted {
    /// As the model cited them.
    pub(super) statements: Vec<String>,
    /// As they are shown.
    pub(super) shown: Vec<String>,
    pub(super) repaired: bool,
}

/// A call that is being made.
struct Pending {
    id: String,
    began: Instant,
    messages: Vec<Message>,
    estimated: u32,
}

/// What a report is made of.
pub(super) struct About<'a> {
    pub(super) facts: &'a Facts,
    pub(super) rules: Arc<Rules>,
    pub(super) task: &'static str,
    /// Of the prompt.
    pub(super) version: String,
}

/// What is said about one report, and what it cost.
pub(super) struct Talk<'a> {
    options: &'a ModelOptions,
    facts: &'a Facts,
    rules: Arc<Rules>,
    task: &'static str,
    version: String,
    prompts: Prompts,
    usage: Vec<LlmUsage>,
    records: Vec<PromptRecord>,
    pending: Option<Pending>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(options: &'a ModelOptions, about: About<'a>, prompts: Prompts) -> Self {
        let About { facts, rules, task, version } = about;
        let (usage, records) = (Vec::new(), Vec::new());
        Self { options, facts, rules, task, version, prompts, usage, records, pending: None }
    }

    /// The cache answered.
    pub(super) fn spared(&mut self) {
        let id = unique_id();
        self.account(id, (0, 0), Duration::ZERO, LlmOutcome::Cached, String::new());
    }

    /// The deadline passed in the middle of a call.
    pub(super) fn cut_short(&mut self, gate: &Gate) {
        if let Some(pending) = self.pending.take() {
            gate.failed();
            gate.spend(pending.estimated, self.cost(pending.estimated, 0), today());
            self.end(pending, None, LlmOutcome::Timeout, "deadline".to_owned(), "");
        }
    }

    pub(super) fn written(
        self,
        report: Report,
        document: Document,
        retry_in: Option<Duration>,
    ) -> Written {
        let asked = self.usage.iter().any(|usage| usage.outcome != LlmOutcome::Cached);
        let fell_back = asked && report.model.is_empty();
        if fell_back {
            count(self.task, "fallback");
        }
        let Self { usage, records: prompts, .. } = self;
        Written { report, document, usage, prompts, stands_in: None, retry_in }
    }

    fn cost(&self, prompt: u32, completion: u32) -> i64 {
        self.options.prices.cost_micros(&self.options.model, prompt, completion)
    }

    fn account(
        &mut self,
        id: String,
        (prompt_tokens, completion_tokens): (u32, u32),
        latency: Duration,
        outcome: LlmOutcome,
        detail: String,
    ) {
        count(self.task, outcome.as_str());
        self.usage.push(LlmUsage {
            id,
            report_id: self.facts.report_id(),
            task: self.task.to_owned(),
            model: self.options.model.clone(),
            prompt_version: self.version.clone(),
            prompt_tokens,
            completion_tokens,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            outcome,
            detail,
            cost_micros: self.cost(prompt_tokens, completion_tokens),
        });
    }

    fn begin(&mut self, messages: &[Message], estimated: u32) {
        self.pending = Some(Pending {
            id: unique_id(),
            began: Instant::now(),
            messages: messages.to_vec(),
            estimated,
        });
    }

    /// Accounts for a call that ended, with what the endpoint counted or else our estimate.
    fn end(
        &mut self,
        pending: Pending,
        reply: Option<&Reply>,
        outcome: LlmOutcome,
        detail: String,
        error: &str,
    ) {
        let latency = pending.began.elapsed();
        metrics::histogram!("bongsu_llm_seconds").record(latency.as_secs_f64());
        let tokens = reply.map_or((0, 0), |reply| tokens_of(reply, pending.estimated));
        for (kind, count) in [("prompt", tokens.0), ("completion", tokens.1)] {
            metrics::counter!("bongsu_llm_tokens_total", "kind" => kind).increment(count.into());
        }
        self.account(pending.id, tokens, latency, outcome, detail);
        if let Some(usage) = self.usage.last() {
            let text = reply.map(|reply| reply.text.as_str());
            self.records.push(archive::record(
                &self.options.masker,
                archive::wall_clock(),
                self.facts.kind,
                usage,
                &pending.messages,
                text,
                error,
            ));
        }
    }
}

fn tokens_of(reply: &Reply, estimated: u32) -> (u32, u32) {
    let prompt = reply.prompt_tokens.unwrap_or(estimated);
    (prompt, reply.completion_tokens.unwrap_or_else(|| estimate(&reply.text)))
}

fn count(task: &'static str, outcome: &'static str) {
    metrics::counter!("bongsu_llm_requests_total", "task" => task, "outcome" => outcome)
        .increment(1);
}

fn unique_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The Korean day, counted from the epoch.
pub(super) fn today() -> i64 {
    archive::wall_clock().session_day().epoch_days().into()
}

/// Who talks to the endpoint. Shared by all reports.
#[derive(Debug)]
pub(super) struct Conversation {
    endpoint: Endpoint,
    pub(super) gate: Gate,
    calibration: Mutex<Calibration>,
    /// The endpoint does not know schemas or streams with usage.
    is_plain: AtomicBool,
    judged: Mutex<(u64, u64)>,
}

impl Conversation {
    pub(super) fn new(endpoint: Endpoint, gate: Gate) -> Self {
        Self {
            endpoint,
            gate,
            calibration: Mutex::default(),
            is_plain: AtomicBool::new(false),
            judged: Mutex::default(),
        }
    }

    /// Asks, and asks once more when the answer is refused.
    pub(super) async fn talk(
        &self,
        talk: &mut Talk<'_>,
        user: String,
        deadline: Instant,
    ) -> Result<Accepted, Failure> {
        let system = talk.prompts.system().to_owned();
        let mut messages =
            vec![Message { role: "system", text: system }, Message { role: "user", text: user }];
        let mut repaired = false;
        loop {
            let began = Instant::now();
            let reply = self.reach(talk, &messages, deadline).await?;
            let (refusal, text) = match self.judge(talk, reply)? {
                Ok((statements, shown)) => return Ok(Accepted { statements, shown, repaired }),
                Err(refused) => refused,
            };
            // A repair takes as long as the answer did.
            let least = began.elapsed().max(LEAST_TIME);
            if repaired || Instant::now() + least > deadline {
                return Err(Failure::Refused { refusal, repaired });
            }
            tracing::info!(
                kind = talk.facts.kind,
                class = refusal.class(),
                "model asked to repair its answer"
            );
            // An empty message is a bad request at some endpoints.
            if !text.trim().is_empty() {
                let quoted: String = text.chars().take(MAX_QUOTED_CHARS).collect();
                // It may have made up what looks like a secret, or had one from elsewhere.
                let text = talk.options.masker.mask(&quoted);
                messages.push(Message { role: "assistant", text });
            }
            let text = talk.prompts.repair(&refusal.to_string());
            messages.push(Message { role: "user", text });
            repaired = true;
        }
    }

    /// Whether an answer holds: its statements as cited and as shown, or why not with its text.
    #[allow(clippy::type_complexity)] // Two outcomes and a failure, told apart where it is called.
    fn judge(
        &self,
        talk: &mut Talk<'_>,
        (pending, reply): (Pending, Reply),
    ) -> Result<Result<(Vec<String>, Vec<String>), (Refusal, String)>, Failure> {
        if let Some(counted) = reply.prompt_tokens
            && !self.calibration.lock().is_whole(pending.estimated, counted)
        {
            let failure = Failure::Unread { estimated: pending.estimated, counted };
            talk.end(pending, Some(&reply), LlmOutcome::Invalid, "context_cut".to_owned(), "");
            self.judged(false);
            return Err(failure);
        }
        let judged = match reply.cut_off {
            true => Err(Refusal::CutOff),
            false => answer::statements(&reply.text).and_then(|statements| {
                let shown = guard::check(&statements, talk.facts, &talk.rules)?;
                // What a model writes may hold what it was not told: names of people, numbers of accounts.
                let masker = &talk.options.masker;
                let masked = |texts: Vec<String>| -> Vec<String> {
                    texts.into_iter().map(|text| masker.mask(&text)).collect()
                };
                Ok((masked(statements), masked(shown)))
            }),
        };
        self.judged(judged.is_ok());
        Ok(match judged {
            Ok(passed) => {
                talk.end(pending, Some(&reply), LlmOutcome::Ok, String::new(), "");
                Ok(passed)
            }
            Err(refusal) => {
                let (class, words) = (refusal.class().to_owned(), refusal.to_string());
                talk.end(pending, Some(&reply), LlmOutcome::Invalid, class, &words);
                Err((refusal, reply.text))
            }
        })
    }

    fn judged(&self, valid: bool) {
        let mut judged = self.judged.lock();
        judged.0 += u64::from(valid);
        judged.1 += 1;
        metrics::gauge!("bongsu_llm_valid_ratio").set(judged.0 as f64 / judged.1 as f64);
    }

    /// An answer of the endpoint, with a few more tries when it fails in passing.
    async fn reach(
        &self,
        talk: &mut Talk<'_>,
        messages: &[Message],
        deadline: Instant,
    ) -> Result<(Pending, Reply), Failure> {
        let estimated: u32 = messages.iter().map(|message| estimate(&message.text)).sum();
        let whole = estimated.saturating_add(talk.options.max_tokens);
        if whole > talk.options.context_tokens {
            let limit = talk.options.context_tokens;
            talk.account(
                unique_id(),
                (0, 0),
                Duration::ZERO,
                LlmOutcome::Refused,
                "context".to_owned(),
            );
            return Err(Failure::Context { estimated: whole, limit });
        }
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            let slot = match self.gate.enter(whole, today(), deadline).await {
                Ok(slot) => slot,
                Err(denied) => {
                    let word = denied.word().to_owned();
                    talk.account(unique_id(), (0, 0), Duration::ZERO, LlmOutcome::Refused, word);
                    return Err(Failure::Denied(denied));
                }
            };
            let error = match self.once(talk, messages, estimated).await? {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            drop(slot);
            let is_form = error.is_about_the_form() && !self.is_plain.load(Ordering::Relaxed);
            if is_form {
                // Perhaps it stumbled over the schema: the next try goes without.
                self.is_plain.store(true, Ordering::Relaxed);
                continue;
            }
            let wait = error.retry_after().unwrap_or_else(|| jittered(pause));
            if let Some(rest) = error.retry_after() {
                self.gate.rest(rest);
            }
            tries += 1;
            let in_time = Instant::now() + wait + LEAST_TIME < deadline;
            if !error.is_passing() || tries > talk.options.retries || !in_time {
                return Err(Failure::Endpoint(error));
            }
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// One call.
    async fn once(
        &self,
        talk: &mut Talk<'_>,
        messages: &[Message],
        estimated: u32,
    ) -> Result<Result<(Pending, Reply), CallError>, Failure> {
        let is_rich = !self.is_plain.load(Ordering::Relaxed);
        let ask = Ask {
            model: &talk.options.model,
            max_tokens: talk.options.max_tokens,
            temperature: talk.options.temperature,
            stream: is_rich,
            structured: is_rich,
            official: self.endpoint.is_official(),
        };
        let body =
            call::body(ask, messages).map_err(|error| Failure::Request(error.to_string()))?;
        talk.begin(messages, estimated);
        let answered = call::call(&self.endpoint, &body, talk.options.idle).await;
        // `begin` put it there.
        let Some(pending) = talk.pending.take() else { return Err(Failure::Deadline) };
        Ok(match answered {
            Ok(reply) => {
                self.gate.answered();
                let (prompt, completion) = tokens_of(&reply, estimated);
                let cost = talk.cost(prompt, completion);
                self.gate.spend(prompt.saturating_add(completion), cost, today());
                Ok((pending, reply))
            }
            Err(error) => {
                if !error.is_about_the_form() || !is_rich {
                    self.gate.failed();
                }
                let outcome = match error {
                    CallError::Silent(_) => LlmOutcome::Timeout,
                    _ => LlmOutcome::Error,
                };
                talk.end(pending, None, outcome, error.word(), &error.to_string());
                Err(error)
            }
        })
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * random_unit())
}
