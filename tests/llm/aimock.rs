//! Against a second server that others wrote: `aimock` of npm, as `tests/llm/aimock` names it. It
//! scripts its answers by the model that is asked for, so each case is a model; to a schema it gives
//! what is scripted, fitting or not.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bongsu::llm::ModelOptions;
use bongsu::llm::document::DISCLAIMER;
use bongsu::messages::advice::Rung;
use serde_json::{Value, json};

use super::outcomes::{self, Outcome};
use super::servers::good;
use super::{DEADLINE, crash, options, writer};
use crate::support::{Process, TempDir, find_program, free_port, http, skip, temp_dir};

const SOON: Duration = Duration::from_secs(60);

struct Server {
    port: u16,
    _process: Process,
    _dir: TempDir,
}

impl Server {
    /// Starts one with these fixtures; `None` when it or node is not there.
    fn start(fixtures: &Value) -> Option<Self> {
        let node = find_program("node")?;
        let packages = PathBuf::from(std::env::var_os("BONGSU_TEST_NODE")?);
        let program = packages.join("node_modules/@copilotkit/aimock/dist/cli.js");
        let program = program.is_file().then_some(program)?;
        let (port, dir) = (free_port(), temp_dir());
        let file = dir.path().join("fixtures.json");
        std::fs::write(&file, fixtures.to_string()).expect("the fixtures are written");
        let mut command = Command::new(node);
        command.arg(program).args(["--port", &port.to_string(), "--log-level", "warn"]);
        command.args(["--strict", "--validate-on-load", "--fixtures"]).arg(&file);
        let mut process = Process::spawn("aimock", &mut command, &dir.path().join("log"));
        process.wait_ready(SOON, || {
            let address = ([127, 0, 0, 1], port).into();
            http::http_get(address, "/health").is_ok_and(|(status, _)| status == 200)
        });
        Some(Self { port, _process: process, _dir: dir })
    }
}

/// A case: what it is, what the server gives to its model, what comes out.
type Case = (&'static str, Vec<Value>, Rung);

/// A fixture: the response with what changes its delivery.
fn gives(response: Value, delivery: Value) -> Value {
    let mut fixture = json!({ "response": response });
    if let (Some(fixture), Some(delivery)) = (fixture.as_object_mut(), delivery.as_object()) {
        fixture.extend(delivery.clone());
    }
    fixture
}

fn cases() -> Vec<Case> {
    let good = good();
    let text = |text: &str| json!({ "content": text });
    let says = |answer: &str| gives(text(answer), json!({}));
    let error = |status: u16, kind: &str| {
        let error = json!({ "message": "no", "type": kind });
        gives(json!({ "error": error, "status": status }), json!({}))
    };
    let good_but = |delivery: Value| gives(text(&good), delivery);
    vec![
        ("good", vec![says(&good)], Rung::Model),
        ("in a fence after prose", vec![says(&format!("네.\n```json\n{good}\n```"))], Rung::Model),
        ("slow chunks", vec![good_but(json!({ "latency": 5, "chunkSize": 40 }))], Rung::Model),
        ("429 once", vec![error(429, "rate_limit_error"), says(&good)], Rung::Model),
        ("500 once", vec![error(500, "server_error"), says(&good)], Rung::Model),
        ("429", vec![error(429, "rate_limit_error")], Rung::Template),
        ("500", vec![error(500, "server_error")], Rung::Template),
        ("401", vec![error(401, "authentication_error")], Rung::Template),
        ("truncated", vec![good_but(json!({ "truncateAfterChunks": 3 }))], Rung::Template),
        (
            "connection cut mid-stream",
            vec![good_but(json!({ "disconnectAfterMs": 30, "latency": 10 }))],
            Rung::Template,
        ),
        (
            "connection cut before a word",
            vec![good_but(json!({ "chaos": { "disconnectRate": 1.0 } }))],
            Rung::Template,
        ),
        (
            "malformed body",
            vec![good_but(json!({ "chaos": { "malformedRate": 1.0 } }))],
            Rung::Template,
        ),
        (
            "a fitting schema, other words",
            vec![says(r#"{"statements": ["시장은 조용했습니다."]}"#)],
            Rung::Template,
        ),
        ("wrong schema", vec![says(r#"{"summary": "하락"}"#)], Rung::Template),
        ("not JSON", vec![says("{\"statements\" oops")], Rung::Template),
        ("wrong figure", vec![says(&good.replace("71,000", "17,000"))], Rung::Template),
        (
            "wrong figure once",
            vec![says(&good.replace("71,000", "17,000")), says(&good)],
            Rung::Repaired,
        ),
        (
            "cut by its length",
            vec![gives(json!({ "content": good, "finishReason": "length" }), json!({}))],
            Rung::Template,
        ),
        (
            "counts of its own",
            vec![gives(
                json!({ "content": good, "usage": { "prompt_tokens": 1_200, "completion_tokens": 80, "total_tokens": 1_280 } }),
                json!({}),
            )],
            Rung::Model,
        ),
    ]
}

/// The fixtures of all cases; the last answer of a case is given again and again.
fn fixtures(cases: &[Case]) -> Value {
    let mut fixtures = Vec::new();
    for (number, (_, answers, _)) in cases.iter().enumerate() {
        for (turn, answer) in answers.iter().enumerate() {
            let mut fixture = answer.clone();
            fixture["match"] = json!({ "model": model(number) });
            if turn + 1 < answers.len() {
                fixture["match"]["sequenceIndex"] = turn.into();
            }
            fixtures.push(fixture);
        }
    }
    json!({ "fixtures": fixtures })
}

/// The model of a case. None is the beginning of another.
fn model(number: usize) -> String {
    format!("case-{number:02}")
}

#[tokio::test]
async fn another_server_that_others_wrote() {
    // Another test may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cases = cases();
    let Some(server) = Server::start(&fixtures(&cases)) else {
        skip!("no aimock: scripts/test installs it where there is npm");
    };
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for (number, (name, _, rung)) in cases.iter().enumerate() {
        let url = format!("http://127.0.0.1:{}/v1", server.port);
        let writer = writer(ModelOptions { model: model(number), ..options(&url) });
        let began = Instant::now();
        let written = writer.write(&crash()).await;
        seen.push(Outcome::of(name, &written, began.elapsed(), DEADLINE));
        let report = &written.report;
        assert!(report.body.contains(DISCLAIMER) && !report.body.contains("17,000"), "{name}");
        if report.rung != *rung {
            wrong.push(format!("{name}: {:?} {}", report.rung, report.fallback_reason));
        }
    }
    outcomes::compare("aimock", &seen);
    assert!(wrong.is_empty(), "{wrong:?}");
}
