//! What was asked and answered, as it is kept: masked JSON, one object a call.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::call::Message;
use super::mask::Masker;
use crate::market::EventTime;
use crate::messages::advice::LlmUsage;

/// Most characters of an answer that are kept.
const MAX_ANSWER_CHARS: usize = 40_000;

/// A call to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptRecord {
    /// Where it belongs: `2024/08/05/<id>.json`, by the Korean date.
    pub key: String,
    /// The call, masked.
    pub json: Value,
}

/// The wall clock.
pub(super) fn wall_clock() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The record of a call.
pub(super) fn record(
    masker: &Masker,
    at: EventTime,
    kind: &str,
    usage: &LlmUsage,
    messages: &[Message],
    answer: Option<&str>,
    error: &str,
) -> PromptRecord {
    let (year, month, day) = at.session_day().ymd();
    let answer = answer.map(|answer| answer.chars().take(MAX_ANSWER_CHARS).collect::<String>());
    let said: Vec<Value> = messages
        .iter()
        .map(|message| json!({ "role": message.role, "content": masker.mask(&message.text) }))
        .collect();
    let json = json!({
        "id": usage.id,
        "at": at.rfc3339(),
        "task": usage.task,
        "kind": kind,
        "report_id": usage.report_id,
        "model": masker.mask(&usage.model),
        "prompt_version": usage.prompt_version,
        "messages": said,
        "answer": answer.map(|answer| masker.mask(&answer)),
        "outcome": usage.outcome.as_str(),
        "detail": usage.detail,
        "error": masker.mask(error),
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_micros": usage.cost_micros,
        "latency_ms": usage.latency_ms,
    });
    PromptRecord { key: format!("{year:04}/{month:02}/{day:02}/{}.json", usage.id), json }
}
