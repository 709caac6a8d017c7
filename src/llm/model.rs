//! Reports by a language model.

use std::time::Duration;

use async_openai::Client;
use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent,
    ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestSystemMessageContent, ChatCompletionRequestUserMessage,
    ChatCompletionRequestUserMessageContent, CreateChatCompletionRequest, FinishReason,
};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::messages::advice::{LlmOutcome, LlmUsage, Report};

use super::clean::clean;
use super::endpoint::{Endpoint, OptionsError};
use super::facts::Facts;
use super::guard::{self, Refusal};
use super::{prompt, template};

/// Failures in a row after which the endpoint is left alone.
const CIRCUIT_FAILURES: u32 = 3;
/// Longest deadline and cool-down; longer ones are cut to it.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Most characters of a refused answer that are sent back.
const MAX_QUOTED_CHARS: usize = 4_000;

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Base address of the API, `https://api.openai.com/v1`.
    pub base_url: String,
    /// Key; `None` for an endpoint that wants none.
    pub api_key: Option<SecretString>,
    /// Model.
    pub model: String,
    /// From the request to the finished report, both tries together.
    pub deadline: Duration,
    /// Most tokens of one answer.
    pub max_tokens: u32,
    /// Sampling temperature; `None` for the model's own (some accept no other).
    pub temperature: Option<f32>,
    /// How long the endpoint is left alone after several failures in a row.
    pub cool_down: Duration,
}

impl ModelOptions {
    /// The usual options for `model` at `base_url`: 20 s, 1,500 tokens, 30 s of rest.
    #[must_use]
    pub fn new(base_url: &str, api_key: Option<SecretString>, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            api_key,
            model: model.to_owned(),
            deadline: Duration::from_secs(20),
            max_tokens: 1_500,
            temperature: None,
            cool_down: Duration::from_secs(30),
        }
    }
}

/// Failures in a row, and until when nothing is asked.
#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
}

/// A language model as a writer.
#[derive(Debug)]
pub struct ModelWriter {
    client: Client<Endpoint>,
    endpoint: Endpoint,
    options: ModelOptions,
    circuit: Mutex<Circuit>,
}

/// Why a conversation gave no text.
enum Failure {
    Endpoint(String),
    Refused(Refusal),
}

/// What the calls of one report took.
#[derive(Default)]
struct Account {
    calls: u32,
    prompt_tokens: u32,
    completion_tokens: u32,
}

impl ModelWriter {
    /// A writer with these options. Makes the HTTP client, so the process's TLS provider must be
    /// installed before.
    ///
    /// # Errors
    /// An address, model name or key that cannot work.
    pub fn new(mut options: ModelOptions) -> Result<Self, OptionsError> {
        options.deadline = options.deadline.min(LONGEST_WAIT);
        options.cool_down = options.cool_down.min(LONGEST_WAIT);
        if options.model.trim().is_empty() {
            return Err(OptionsError::Model);
        }
        let endpoint = Endpoint::new(&options.base_url, options.api_key.clone())?;
        let client = endpoint.clone().client(options.deadline)?;
        Ok(Self { client, endpoint, options, circuit: Mutex::default() })
    }

    /// The report on `facts`, by the model if it can, within the deadline in any case.
    ///
    /// Cancel-safe: dropping the future drops the request.
    pub async fn write(&self, facts: &Facts) -> (Report, Option<LlmUsage>) {
        let started = Instant::now();
        if let Some(reason) = self.resting(started) {
            return (template::fill(facts, &reason), None);
        }
        let mut account = Account::default();
        let deadline = started + self.options.deadline;
        let answer = timeout_at(deadline, self.converse(facts, &mut account)).await;
        let (outcome, report) = match answer {
            Ok(Ok(text)) => {
                let outcome =
                    if account.calls > 1 { LlmOutcome::Repaired } else { LlmOutcome::Accepted };
                (outcome, template::of_model(facts, &text, &self.options.model))
            }
            Ok(Err(Failure::Refused(refusal))) => {
                let reason = format!("언어 모델의 답을 두 번 모두 받아들일 수 없음: {refusal}");
                (LlmOutcome::Refused, template::fill(facts, &reason))
            }
            Ok(Err(Failure::Endpoint(detail))) => {
                let reason = format!("언어 모델 호출 실패: {detail}");
                (LlmOutcome::Failed, template::fill(facts, &reason))
            }
            Err(_) => {
                let limit = self.options.deadline.as_secs_f64();
                let reason = format!("언어 모델이 {limit:.1}초 안에 답하지 않음");
                (LlmOutcome::TimedOut, template::fill(facts, &reason))
            }
        };
        self.note(outcome);
        if !outcome.is_valid() {
            tracing::warn!(kind = facts.kind, reason = %report.fallback_reason, "report by template");
        }
        let usage = LlmUsage {
            report_id: report.id.clone(),
            task: facts.kind.to_owned(),
            model: self.options.model.clone(),
            calls: account.calls,
            prompt_tokens: account.prompt_tokens,
            completion_tokens: account.completion_tokens,
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome,
        };
        (report, Some(usage))
    }

    /// Why nothing is asked now.
    fn resting(&self, now: Instant) -> Option<String> {
        let circuit = self.circuit.lock();
        let left = circuit.open_until?.checked_duration_since(now)?;
        (!left.is_zero()).then(|| {
            format!(
                "언어 모델이 {}번 이어서 실패하여 {}초 뒤에 다시 시도함",
                circuit.failures,
                left.as_secs() + 1
            )
        })
    }

    /// Takes in how a report ended. A refused answer is the model's fault, not the endpoint's.
    fn note(&self, outcome: LlmOutcome) {
        let mut circuit = self.circuit.lock();
        if matches!(outcome, LlmOutcome::Failed | LlmOutcome::TimedOut) {
            circuit.failures = circuit.failures.saturating_add(1);
            if circuit.failures >= CIRCUIT_FAILURES {
                circuit.open_until = Some(Instant::now() + self.options.cool_down);
            }
        } else {
            *circuit = Circuit::default();
        }
    }

    /// Asks, and asks once more when the answer is refused.
    async fn converse(&self, facts: &Facts, account: &mut Account) -> Result<String, Failure> {
        let mut messages = vec![system(prompt::SYSTEM), user(prompt::user(facts))];
        let (refusal, answer) = match self.ask(messages.clone(), facts, account).await? {
            Ok(text) => return Ok(text),
            Err(refused) => refused,
        };
        tracing::info!(kind = facts.kind, %refusal, "model asked to repair its answer");
        // An empty message is a bad request at some endpoints.
        if !answer.trim().is_empty() {
            messages.push(assistant(answer.chars().take(MAX_QUOTED_CHARS).collect::<String>()));
        }
        messages.push(user(prompt::repair(&refusal.to_string())));
        self.ask(messages, facts, account).await?.map_err(|(refusal, _)| Failure::Refused(refusal))
    }

    /// One call: the checked text, or why it is refused with the text as it came.
    async fn ask(
        &self,
        messages: Vec<ChatCompletionRequestMessage>,
        facts: &Facts,
        account: &mut Account,
    ) -> Result<Result<String, (Refusal, String)>, Failure> {
        let limit = Some(self.options.max_tokens);
        let official = self.endpoint.is_official();
        #[allow(deprecated)] // The only limit that compatible servers have always known.
        let request = CreateChatCompletionRequest {
            model: self.options.model.clone(),
            messages,
            max_completion_tokens: if official { limit } else { None },
            max_tokens: if official { None } else { limit },
            temperature: self.options.temperature,
            ..CreateChatCompletionRequest::default()
        };
        account.calls += 1;
        let response = self
            .client
            .chat()
            .create(request)
            .await
            .map_err(|error| Failure::Endpoint(self.endpoint.describe(error)))?;
        if let Some(usage) = &response.usage {
            account.prompt_tokens = account.prompt_tokens.saturating_add(usage.prompt_tokens);
            account.completion_tokens =
                account.completion_tokens.saturating_add(usage.completion_tokens);
        }
        let Some(choice) = response.choices.into_iter().next() else {
            return Err(Failure::Endpoint("answer holds no choice".to_owned()));
        };
        let answer = choice.message.content.unwrap_or_default();
        if choice.finish_reason == Some(FinishReason::Length) {
            return Ok(Err((Refusal::CutOff, answer)));
        }
        let text = clean(&answer);
        Ok(match guard::check(&text, facts) {
            Ok(()) => Ok(text),
            Err(refusal) => Err((refusal, answer)),
        })
    }
}

fn system(text: &str) -> ChatCompletionRequestMessage {
    let content = ChatCompletionRequestSystemMessageContent::from(text);
    ChatCompletionRequestSystemMessage::from(content).into()
}

fn user(text: String) -> ChatCompletionRequestMessage {
    let content = ChatCompletionRequestUserMessageContent::from(text);
    ChatCompletionRequestUserMessage::from(content).into()
}

fn assistant(text: String) -> ChatCompletionRequestMessage {
    ChatCompletionRequestAssistantMessage {
        content: Some(ChatCompletionRequestAssistantMessageContent::Text(text)),
        ..ChatCompletionRequestAssistantMessage::default()
    }
    .into()
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
