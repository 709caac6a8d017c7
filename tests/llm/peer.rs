//! An endpoint that does what a test says. As a good model it recites the fact table of the prompt,
//! each figure with its id; everything else it is told to do wrong.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What it answers.
#[derive(Clone)]
pub enum Reply {
    /// A good answer, changed.
    Recite(fn(&str) -> String),
    /// This text.
    Text(String),
    /// A good answer that the token limit cut off.
    CutOff,
    /// A good answer without usage.
    WithoutUsage,
    /// A good answer with this count of prompt tokens.
    Counted(u32),
    /// A status with a header and a body.
    Status(u16, &'static str, &'static str, &'static str),
    /// This body as it stands.
    Body(&'static str, String),
    /// A good answer after a while.
    Late(Duration),
    /// Nothing, ever.
    Never,
    /// A good answer with this as its usage.
    Usage(&'static str),
    /// A good stream, a piece a second, that never ends.
    Drip,
    /// A stream as fast as it goes, that never ends.
    Endless,
    /// Half a stream, then silence.
    Stall,
    /// Half a stream, then the connection is cut.
    Cut,
    /// Half a stream, then garbage.
    Garbage,
    /// 400 to anything that is more than messages.
    PlainOnly,
}

/// A request it got, and when.
pub struct Asked {
    pub at: Instant,
    pub key: String,
    pub body: Value,
}

#[derive(Default)]
pub struct Peer {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
}

impl Peer {
    /// Starts one; it ends with the test's runtime. Its last reply is given again and again.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> (Arc<Self>, String) {
        let peer = Arc::new(Self {
            replies: Mutex::new(replies.into_iter().collect()),
            ..Self::default()
        });
        let app = axum::Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&peer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        (peer, format!("http://{address}/v1"))
    }

    /// What it is to answer from now on.
    pub fn set(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.replies.lock() = replies.into_iter().collect();
    }

    pub fn calls(&self) -> usize {
        self.asked.lock().len()
    }

    pub fn look<T>(&self, look: impl FnOnce(&[Asked]) -> T) -> T {
        look(&self.asked.lock())
    }

    fn next(&self) -> Reply {
        let mut replies = self.replies.lock();
        let next = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
        next.expect("a reply was set")
    }
}

/// What a good model makes of a prompt: a few facts, each as it stands in the table.
pub fn recite(prompt: &str) -> String {
    let mut statements = Vec::new();
    for line in prompt.lines().filter(|line| line.starts_with('F')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [id, about, label, value] = parts[..] else { continue };
        // A label with a figure in it would need an id of its own.
        if label.contains(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let about = if about == "-" { String::new() } else { format!("{about}의 ") };
        let cited = if value.contains("[F") { value.to_owned() } else { format!("{value}[{id}]") };
        statements.push(format!("{about}{label} 항목의 값은 {cited}입니다."));
        if statements.len() == 8 {
            break;
        }
    }
    json!({ "statements": statements }).to_string()
}

fn chunk(text: &str, finish: Value) -> String {
    let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": finish });
    format!(
        "data: {}\n\n",
        json!({ "id": "c", "object": "chat.completion.chunk", "choices": [choice] })
    )
}

/// A completion, in the form that was asked for.
fn completion(streamed: bool, text: &str, finish: &str, usage: Option<u32>) -> Response {
    let usage = usage.map(|prompt| json!({ "prompt_tokens": prompt, "completion_tokens": 90, "total_tokens": prompt + 90 }));
    counted(streamed, text, finish, usage)
}

/// As [`completion`], with this as its usage.
fn counted(streamed: bool, text: &str, finish: &str, usage: Option<Value>) -> Response {
    if !streamed {
        let message = json!({ "role": "assistant", "content": text });
        let mut body = json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "test-model",
            "choices": [{ "index": 0, "finish_reason": finish, "message": message }],
        });
        if let Some(usage) = usage {
            body["usage"] = usage;
        }
        return Json(body).into_response();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut parts: Vec<String> =
        chars.chunks(37).map(|part| chunk(&part.iter().collect::<String>(), Value::Null)).collect();
    parts.push(chunk("", finish.into()));
    if let Some(usage) = usage {
        parts.push(format!("data: {}\n\n", json!({ "choices": [], "usage": usage })));
    }
    parts.push("data: [DONE]\n\n".to_owned());
    events(Body::from_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>))))
}

fn events(body: Body) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}

/// Half of a good stream, and then what `end` gives.
fn half(
    text: &str,
    end: impl stream::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Response {
    let half: String = text.chars().take(60).collect();
    let first = stream::once(async move { Ok(Bytes::from(chunk(&half, Value::Null))) });
    events(Body::from_stream(first.chain(end)))
}

async fn answer(
    State(peer): State<Arc<Peer>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers.get("authorization").map_or("", |value| value.to_str().unwrap_or("?"));
    let prompt = body["messages"][1]["content"].as_str().unwrap_or_default().to_owned();
    let streamed = body["stream"] == json!(true);
    let is_rich = streamed || !body["response_format"].is_null();
    peer.asked.lock().push(Asked { at: Instant::now(), key: key.to_owned(), body });
    let good = recite(&prompt);
    let cut = || Err(std::io::Error::other("cut"));
    match peer.next() {
        Reply::Recite(change) => completion(streamed, &change(&good), "stop", Some(1_200)),
        Reply::Text(text) => completion(streamed, &text, "stop", Some(1_200)),
        Reply::CutOff => {
            let part: String = good.chars().take(120).collect();
            completion(streamed, &part, "length", Some(1_200))
        }
        Reply::WithoutUsage => completion(streamed, &good, "stop", None),
        Reply::Counted(tokens) => completion(streamed, &good, "stop", Some(tokens)),
        Reply::Status(status, name, value, body) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, [(name, value)], body).into_response()
        }
        Reply::Body(kind, body) => ([("content-type", kind)], body).into_response(),
        Reply::Late(wait) => {
            tokio::time::timeout(wait, std::future::pending::<()>()).await.unwrap_err();
            completion(streamed, &good, "stop", Some(1_200))
        }
        Reply::Never => std::future::pending().await,
        Reply::Usage(usage) => {
            let usage = serde_json::from_str(usage).expect("JSON");
            counted(streamed, &good, "stop", Some(usage))
        }
        Reply::Drip => {
            let every = tokio::time::interval(Duration::from_secs(1));
            half(
                &good,
                stream::unfold(every, |mut every| async move {
                    every.tick().await;
                    Some((Ok(Bytes::from(chunk("가", Value::Null))), every))
                }),
            )
        }
        Reply::Endless => {
            let piece = Bytes::from(chunk(&"가".repeat(2_000), Value::Null));
            half(&good, stream::repeat_with(move || Ok(piece.clone())))
        }
        Reply::Stall => half(&good, stream::pending()),
        Reply::Cut => half(&good, stream::once(async move { cut() })),
        Reply::Garbage => {
            half(&good, stream::once(async { Ok(Bytes::from("data: {\"choices\": [{{{\n\n")) }))
        }
        Reply::PlainOnly if is_rich => {
            let error = r#"{"error":{"message":"response_format is not supported"}}"#;
            (StatusCode::BAD_REQUEST, error).into_response()
        }
        Reply::PlainOnly => completion(false, &good, "stop", Some(1_200)),
    }
}
