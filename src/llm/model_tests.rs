use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::llm::Writer;
use crate::llm::examples::{GOOD_ALERT, alert};
use crate::messages::advice::ReportOrigin;

/// What the stub answers.
#[derive(Clone)]
enum Reply {
    /// A completion with this text and finish reason.
    Text(String, &'static str),
    /// A status with this body.
    Raw(StatusCode, &'static str),
    /// Nothing, ever.
    Never,
}

#[derive(Default)]
struct Stub {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
}

async fn answer(
    State(stub): State<Arc<Stub>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    stub.requests.lock().push((headers, request));
    let reply = {
        let mut replies = stub.replies.lock();
        // The last one is given again and again.
        if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
    };
    match reply {
        Some(Reply::Text(text, finish)) => Json(json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [{ "index": 0, "finish_reason": finish,
                          "message": { "role": "assistant", "content": text } }],
            "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
        }))
        .into_response(),
        Some(Reply::Raw(status, body)) => (status, body).into_response(),
        Some(Reply::Never) | None => std::future::pending().await,
    }
}

async fn serve(replies: impl IntoIterator<Item = Reply>) -> (Arc<Stub>, String) {
    let stub =
        Arc::new(Stub { replies: Mutex::new(replies.into_iter().collect()), ..Stub::default() });
    let app = axum::Router::new()
        .route("/v1/chat/completions", post(answer))
        .with_state(Arc::clone(&stub));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, app).await });
    (stub, format!("http://{address}/v1"))
}

fn writer(base_url: &str, deadline_ms: u64) -> Writer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = ModelOptions {
        deadline: Duration::from_millis(deadline_ms),
        ..ModelOptions::new(
            base_url,
            Some(SecretString::from("sk-geheim".to_owned())),
            "stub-model",
        )
    };
    Writer::Model(Arc::new(ModelWriter::new(options).unwrap()))
}

fn text(text: &str) -> Reply {
    Reply::Text(text.to_owned(), "stop")
}

fn assert_template(report: &Report, reason: &str) {
    assert_eq!(report.origin, ReportOrigin::Template);
    assert!(report.fallback_reason.contains(reason), "{}", report.fallback_reason);
    assert!(!report.fallback_reason.contains("geheim"));
    assert!(report.body.starts_with(template::MARK) && report.body.contains(template::DISCLAIMER));
    assert_eq!(report.model, "");
}

#[tokio::test]
async fn a_good_answer_becomes_the_report() {
    let (stub, url) = serve([text(GOOD_ALERT)]).await;
    let (report, usage) = writer(&url, 5_000).write(alert()).await;
    assert_eq!((report.origin, report.model.as_str()), (ReportOrigin::Model, "stub-model"));
    assert!(report.body.contains(GOOD_ALERT) && report.body.contains(template::DISCLAIMER));
    assert_eq!(report.fallback_reason, "");
    let usage = usage.unwrap();
    assert_eq!((usage.calls, usage.prompt_tokens, usage.completion_tokens), (1, 100, 10));
    assert_eq!((usage.outcome, usage.report_id), (LlmOutcome::Accepted, report.id));

    let requests = stub.requests.lock();
    let (headers, request) = &requests[0];
    assert_eq!(headers["authorization"], "Bearer sk-geheim");
    assert_eq!((&request["model"], &request["max_tokens"]), (&json!("stub-model"), &json!(1_500)));
    let prompt = request["messages"][1]["content"].as_str().unwrap();
    assert!(prompt.contains("F1 | 대상 | 삼성전자(005930)"), "{prompt}");
    assert!(!prompt.contains("{{"), "{prompt}");
}

#[tokio::test]
async fn a_refused_answer_is_repaired_once() {
    let bad = GOOD_ALERT.replace("5.33%", "9.99%");
    let (stub, url) = serve([text(&bad), text(GOOD_ALERT)]).await;
    let (report, usage) = writer(&url, 5_000).write(alert()).await;
    assert_eq!(report.origin, ReportOrigin::Model);
    let usage = usage.unwrap();
    assert_eq!((usage.outcome, usage.calls, usage.prompt_tokens), (LlmOutcome::Repaired, 2, 200));
    let requests = stub.requests.lock();
    let messages = requests[1].1["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[2]["content"].as_str().unwrap(), bad);
    assert!(messages[3]["content"].as_str().unwrap().contains("9.99"), "the error is quoted");
}

#[tokio::test]
async fn two_bad_answers_end_in_the_template() {
    for reply in [
        text(
            "The stock fell sharply today, investors should be careful about what they hold now, ok?",
        ),
        text(""),
        Reply::Text(GOOD_ALERT.to_owned(), "length"),
    ] {
        let (stub, url) = serve([reply]).await;
        let (report, usage) = writer(&url, 5_000).write(alert()).await;
        assert_template(&report, "두 번 모두");
        assert_eq!(usage.unwrap().outcome, LlmOutcome::Refused);
        assert_eq!(stub.requests.lock().len(), 2);
    }
}

#[tokio::test]
async fn a_failing_endpoint_ends_in_the_template() {
    let bad_key = r#"{"error":{"message":"Incorrect API key provided: sk-geheim"}}"#;
    for (reply, reason) in [
        (Reply::Raw(StatusCode::INTERNAL_SERVER_ERROR, "oops"), "호출 실패"),
        (Reply::Raw(StatusCode::UNAUTHORIZED, bad_key), "401"),
        (Reply::Raw(StatusCode::OK, "<html>garbage"), "not a chat completion"),
        (Reply::Raw(StatusCode::FOUND, ""), "호출 실패"),
    ] {
        let (_stub, url) = serve([reply]).await;
        let (report, usage) = writer(&url, 10_000).write(alert()).await;
        assert_template(&report, reason);
        assert_eq!(usage.unwrap().outcome, LlmOutcome::Failed);
    }
    // Nobody listens on a port just given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let (report, _) = writer(&url, 10_000).write(alert()).await;
    assert_template(&report, "cannot be reached");
}

#[tokio::test]
async fn the_deadline_holds_and_the_circuit_opens() {
    let (stub, url) = serve([Reply::Never]).await;
    let writer = writer(&url, 150);
    let started = Instant::now();
    for _ in 0..3 {
        let (report, usage) = writer.write(alert()).await;
        assert_template(&report, "안에 답하지 않음");
        assert_eq!(usage.unwrap().outcome, LlmOutcome::TimedOut);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    let asked = stub.requests.lock().len();
    let (report, usage) = writer.write(alert()).await;
    assert_template(&report, "3번 이어서 실패");
    assert_eq!((usage, stub.requests.lock().len()), (None, asked), "nothing is asked");
}

#[tokio::test]
async fn the_report_has_one_id_whoever_writes_it() {
    let (by_template, usage) = Writer::Template.write(alert()).await;
    assert_eq!((usage, by_template.fallback_reason.as_str()), (None, ""));
    let (_stub, url) = serve([text(GOOD_ALERT)]).await;
    let (by_model, _) = writer(&url, 5_000).write(alert()).await;
    assert_eq!(by_template.id, by_model.id);
    assert_eq!(by_template.title, by_model.title);
}

#[test]
fn bad_options_are_named() {
    let refused = |url: &str, model: &str| {
        ModelWriter::new(ModelOptions::new(url, None, model)).unwrap_err().to_string()
    };
    assert!(refused("http://h/v1", " ").contains("model is empty"));
    assert!(refused("h", "m").contains("base url"));
}
