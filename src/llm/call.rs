//! One call of an endpoint: the request, and its answer read with limits.
//!
//! Asked for as a stream, so that an endpoint that falls silent is noticed long before the
//! deadline; an answer in one piece is taken as well. Read leniently: of the many servers that call
//! themselves compatible, none sends all fields, and some send others.
//!
//! Limits: bytes of a body, silence between two pieces of it, and the caller's deadline.

use std::time::Duration;

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent,
    ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestSystemMessageContent, ChatCompletionRequestUserMessage,
    ChatCompletionRequestUserMessageContent, CreateChatCompletionRequest,
};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::endpoint::Endpoint;

/// Most bytes of an answer's body.
const MAX_BODY: usize = 1 << 20;
/// Most bytes of an error's body.
const MAX_ERROR_BODY: usize = 8 << 10;
/// Longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What is said, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// Its text.
    pub text: String,
}

impl Message {
    fn of_request(&self) -> ChatCompletionRequestMessage {
        let text = self.text.clone();
        match self.role {
            "system" => {
                let content = ChatCompletionRequestSystemMessageContent::Text(text);
                ChatCompletionRequestSystemMessage { content, name: None }.into()
            }
            "assistant" => ChatCompletionRequestAssistantMessage {
                content: Some(ChatCompletionRequestAssistantMessageContent::Text(text)),
                ..ChatCompletionRequestAssistantMessage::default()
            }
            .into(),
            _ => {
                let content = ChatCompletionRequestUserMessageContent::Text(text);
                ChatCompletionRequestUserMessage { content, name: None }.into()
            }
        }
    }
}

/// What a request asks for besides its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    pub(super) max_tokens: u32,
    pub(super) temperature: Option<f32>,
    /// As a stream, with the usage at its end.
    pub(super) stream: bool,
    /// In the form of a schema.
    pub(super) structured: bool,
    /// OpenAI's own wants `max_completion_tokens`; others know `max_tokens`.
    pub(super) official: bool,
}

/// The body of a request.
pub(super) fn body(ask: Ask<'_>, messages: &[Message]) -> Result<Value, serde_json::Error> {
    let limit = Some(ask.max_tokens);
    #[allow(deprecated)] // The only limit that compatible servers have always known.
    let request = CreateChatCompletionRequest {
        model: ask.model.to_owned(),
        messages: messages.iter().map(Message::of_request).collect(),
        max_completion_tokens: limit.filter(|_| ask.official),
        max_tokens: limit.filter(|_| !ask.official),
        temperature: ask.temperature,
        ..CreateChatCompletionRequest::default()
    };
    let mut body = serde_json::to_value(request)?;
    if ask.stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    if ask.structured {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": {
                "name": "report",
                "strict": true,
                "schema": {
                    "type": "object",
                    "properties": {
                        "statements": { "type": "array", "items": { "type": "string" } },
                    },
                    "required": ["statements"],
                    "additionalProperties": false,
                },
            },
        });
    }
    Ok(body)
}

/// What an endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reply {
    pub(super) text: String,
    /// Whether the token limit cut it off.
    pub(super) cut_off: bool,
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
    finished: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("접속할 수 없음: {0}")]
    Unreachable(String),
    #[error("HTTP {status} {detail}")]
    Status { status: u16, retry_after: Option<Duration>, detail: String },
    #[error("{}초 동안 아무것도 오지 않음", .0.as_secs_f64())]
    Silent(Duration),
    #[error("응답이 중간에 끊김: {0}")]
    Broken(String),
    #[error("응답이 너무 큼")]
    TooLarge,
    #[error("채팅 응답이 아님: {0}")]
    NotCompletion(String),
}

impl CallError {
    /// For the reader, without the endpoint's own words.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unreachable(_) => "접속할 수 없음".to_owned(),
            Self::Status { status, .. } => format!("HTTP {status}"),
            Self::Silent(_) => "응답이 없음".to_owned(),
            Self::Broken(_) => "응답이 중간에 끊김".to_owned(),
            Self::TooLarge => "응답이 너무 큼".to_owned(),
            Self::NotCompletion(_) => "채팅 응답이 아님".to_owned(),
        }
    }

    /// In a word, for `llm_usage`: a bounded set but for the status.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Unreachable(_) => "unreachable".to_owned(),
            Self::Status { status, .. } => format!("status_{status}"),
            Self::Silent(_) => "silent".to_owned(),
            Self::Broken(_) => "broken".to_owned(),
            Self::TooLarge => "too_large".to_owned(),
            Self::NotCompletion(_) => "not_completion".to_owned(),
        }
    }

    /// Whether another try may go better.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 429 | 500..=599),
            Self::Unreachable(_) | Self::Silent(_) | Self::Broken(_) => true,
            Self::TooLarge | Self::NotCompletion(_) => false,
        }
    }

    /// Whether the endpoint may have stumbled over something in the request that it does not know.
    pub(super) const fn is_about_the_form(&self) -> bool {
        matches!(self, Self::Status { status: 400 | 404 | 415 | 422 | 501, .. })
    }

    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Sends the request and reads the answer. `idle` is the longest silence. Cancel-safe: dropping
/// the future closes the connection.
pub(super) async fn call(
    endpoint: &Endpoint,
    body: &Value,
    idle: Duration,
) -> Result<Reply, CallError> {
    let sending = endpoint.post("/chat/completions", body).send();
    let response = match tokio::time::timeout(idle, sending).await {
        Err(_) => return Err(CallError::Silent(idle)),
        Ok(Err(error)) if error.is_connect() => {
            return Err(CallError::Unreachable(endpoint.describe(error)));
        }
        Ok(Err(error)) => return Err(CallError::Broken(endpoint.describe(error))),
        Ok(Ok(response)) => response,
    };
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(endpoint, response, idle).await);
    }
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("event-stream"));
    let reply = if is_stream {
        read_stream(endpoint, response, idle).await?
    } else {
        let body = read_all(endpoint, response, idle, MAX_BODY).await?;
        read_whole(&body)?
    };
    Ok(reply)
}

/// The next piece of a body.
async fn piece(
    endpoint: &Endpoint,
    response: &mut Response,
    idle: Duration,
) -> Result<Option<Bytes>, CallError> {
    match tokio::time::timeout(idle, response.chunk()).await {
        Err(_) => Err(CallError::Silent(idle)),
        Ok(Err(error)) => Err(CallError::Broken(endpoint.describe(error))),
        Ok(Ok(piece)) => Ok(piece),
    }
}

async fn read_all(
    endpoint: &Endpoint,
    mut response: Response,
    idle: Duration,
    most: usize,
) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(bytes) = piece(endpoint, &mut response, idle).await? {
        if body.len() + bytes.len() > most {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

async fn refusal(endpoint: &Endpoint, response: Response, idle: Duration) -> CallError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    // What cannot be read adds nothing to the status.
    let body = read_all(endpoint, response, idle, MAX_ERROR_BODY).await.unwrap_or_default();
    let detail = match serde_json::from_slice::<Value>(&body) {
        Ok(value) => error_text(&value).unwrap_or_default(),
        Err(_) => String::new(),
    };
    CallError::Status { status, retry_after, detail: endpoint.redact(&detail) }
}

/// `Retry-After` in seconds; dates are not understood and count as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The words of `{"error": {"message": …}}` and its like.
fn error_text(value: &Value) -> Option<String> {
    let error =
        value.get("error").or_else(|| value.get("detail")).or_else(|| value.get("message"))?;
    let message = error.get("message").unwrap_or(error);
    Some(message.as_str().map_or_else(|| message.to_string(), str::to_owned))
}

/// An answer in one piece.
fn read_whole(body: &[u8]) -> Result<Reply, CallError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| CallError::NotCompletion(format!("{error}")))?;
    let mut reply = Reply::default();
    reply.take(&value)?;
    if value.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(CallError::NotCompletion("choices가 없음".to_owned()));
    }
    Ok(reply)
}

async fn read_stream(
    endpoint: &Endpoint,
    mut response: Response,
    idle: Duration,
) -> Result<Reply, CallError> {
    let mut reply = Reply::default();
    let (mut line, mut read) = (Vec::new(), 0);
    while let Some(bytes) = piece(endpoint, &mut response, idle).await? {
        read += bytes.len();
        if read > MAX_BODY {
            return Err(CallError::TooLarge);
        }
        for byte in bytes {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if reply.take_line(&std::mem::take(&mut line))? {
                return Ok(reply);
            }
        }
    }
    reply.take_line(&line)?;
    match reply.finished {
        true => Ok(reply),
        false => Err(CallError::Broken("끝맺음 없이 끝남".to_owned())),
    }
}

impl Reply {
    /// Takes in a line of a stream; true when it is the last.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, CallError> {
        let text = String::from_utf8_lossy(line);
        let Some(data) = text.trim_end().strip_prefix("data:") else { return Ok(false) };
        let data = data.trim();
        if data == "[DONE]" {
            self.finished = true;
            return Ok(true);
        }
        if data.is_empty() {
            return Ok(false);
        }
        let value: Value = serde_json::from_str(data)
            .map_err(|error| CallError::Broken(format!("깨진 조각: {error}")))?;
        self.take(&value)?;
        Ok(false)
    }

    /// Takes in a completion or a chunk of one.
    fn take(&mut self, value: &Value) -> Result<(), CallError> {
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            let words = error_text(value).unwrap_or_else(|| error.to_string());
            return Err(CallError::Broken(words.chars().take(200).collect()));
        }
        if let Some(choice) = value.pointer("/choices/0") {
            let content = ["/delta/content", "/message/content", "/text"]
                .iter()
                .find_map(|path| choice.pointer(path).and_then(text_of));
            self.text.push_str(&content.unwrap_or_default());
            if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
                self.finished = true;
                self.cut_off |= matches!(reason, "length" | "max_tokens");
            }
        }
        let count = |path: &str| {
            let count = value.pointer(path)?.as_u64()?;
            u32::try_from(count).ok()
        };
        self.prompt_tokens = count("/usage/prompt_tokens").or(self.prompt_tokens);
        self.completion_tokens = count("/usage/completion_tokens").or(self.completion_tokens);
        Ok(())
    }
}

/// A text, or the texts of a list of parts.
fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_lines(lines: &str) -> Result<Reply, CallError> {
        let mut reply = Reply::default();
        for line in lines.lines() {
            if reply.take_line(line.as_bytes())? {
                break;
            }
        }
        Ok(reply)
    }

    #[test]
    fn streams_of_many_servers() {
        let reply = read_lines(
            ": keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\
             data:{\"choices\":[{\"delta\":{\"content\":\"가\"}}]}\n\
             data: {\"choices\":[{\"delta\":{\"content\":\"나\"},\"finish_reason\":\"stop\"}]}\n\
             data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\ndata: [DONE]\n",
        )
        .unwrap();
        assert_eq!((reply.text.as_str(), reply.cut_off, reply.finished), ("가나", false, true));
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(7), Some(2)));
        assert!(matches!(
            read_lines("data: {\"error\":{\"message\":\"no\"}}"),
            Err(CallError::Broken(_))
        ));
        assert!(matches!(read_lines("data: {broken"), Err(CallError::Broken(_))));
    }

    #[test]
    fn answers_in_one_piece() {
        let reply = read_whole(
            br#"{"choices":[{"message":{"content":[{"type":"text","text":"x"}]},"finish_reason":"length"}]}"#,
        )
        .unwrap();
        assert_eq!((reply.text.as_str(), reply.cut_off, reply.prompt_tokens), ("x", true, None));
        for bad in ["{}", "[]", "<html>", r#"{"choices":[]}"#] {
            assert!(
                matches!(read_whole(bad.as_bytes()), Err(CallError::NotCompletion(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn requests() {
        let messages = [Message { role: "user", text: "가".to_owned() }];
        let ask = Ask {
            model: "m",
            max_tokens: 5,
            temperature: None,
            stream: true,
            structured: true,
            official: false,
        };
        let body = body(ask, &messages).unwrap();
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("m"), &json!(5)));
        assert_eq!(body["messages"][0]["content"], json!("가"));
        assert_eq!(body["response_format"]["type"], json!("json_schema"));
        assert_eq!(body["stream_options"]["include_usage"], json!(true));
    }

    proptest! {
        #[test]
        fn any_body_is_read(line in "\\PC{0,60}", json in "data: [{}\\[\\]\",:a-z0-9]{0,60}") {
            let _ = (read_lines(&line), read_lines(&json), read_whole(line.as_bytes()));
        }
    }
}
