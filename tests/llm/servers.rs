//! Against a server that others wrote: `llmock` of the Python package index, as
//! `tests/llm/requirements.txt` names it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bongsu::llm::document::DISCLAIMER;
use bongsu::messages::advice::Rung;
use serde_json::{Value, json};

use super::outcomes::{self, Outcome};
use super::peer::recite;
use super::{DEADLINE, crash, options, writer};
use crate::support::{Process, TempDir, find_program, free_port, http, skip, temp_dir};

const SOON: Duration = Duration::from_secs(60);

struct Server {
    process: Process,
    port: u16,
    _dir: TempDir,
}

impl Server {
    fn start() -> Option<Self> {
        let python = std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from);
        let beside = python.and_then(|python| Some(python.parent()?.join("llmock")));
        let program =
            beside.filter(|program| program.is_file()).or_else(|| find_program("llmock"))?;
        let (port, dir) = (free_port(), temp_dir());
        let mut command = Command::new(program);
        command.args(["serve", "--log-level", "warning", "--port", &port.to_string()]);
        let process = Process::spawn("llmock", &mut command, &dir.path().join("log"));
        let mut server = Self { process, port, _dir: dir };
        let address = server.address();
        server.process.wait_ready(SOON, || {
            http::http_get(address, "/health").is_ok_and(|(status, _)| status == 200)
        });
        Some(server)
    }

    fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    async fn plays(&self, behaviors: Value) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let scenario = Some(("scenario", json!({ "behaviors": behaviors })));
        // None at all: it answers in words of its own.
        let has_some = behaviors.as_array().is_some_and(|list| !list.is_empty());
        let scenario = scenario.filter(|_| has_some);
        for (path, body) in [("reset", json!({}))].into_iter().chain(scenario) {
            let url = format!("http://{}/_llmock/{path}", self.address());
            let answer = client.post(url).json(&body).send().await.expect("it answers");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
        }
    }
}

/// A good answer to the crash of these tests.
pub fn good() -> String {
    let request = crash();
    recite(&bongsu::llm::facts::Facts::of(&request).table())
}

#[tokio::test]
async fn a_server_that_others_wrote() {
    // Another test may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(server) = Server::start() else {
        skip!("no llmock: scripts/test installs it");
    };
    // Without `times` a behaviour is played once.
    let answer = |text: &str| json!({ "type": "reply", "text": text, "times": null });
    let fault = |kind: &str| json!([{ "type": "stream_fault", "kind": kind, "times": null }]);
    let good = good();
    let cases = [
        ("good", json!([answer(&good)]), Rung::Model),
        ("in a fence", json!([answer(&format!("```json\n{good}\n```"))]), Rung::Model),
        (
            "429 once",
            json!([{ "type": "fail", "status": 429, "retry_after": 1, "times": 1 }, answer(&good)]),
            Rung::Model,
        ),
        (
            "500 once",
            json!([{ "type": "fail", "status": 500, "times": 1 }, answer(&good)]),
            Rung::Model,
        ),
        ("500", json!([{ "type": "fail", "status": 500, "times": null }]), Rung::Template),
        ("401", json!([{ "type": "fail", "status": 401, "times": null }]), Rung::Template),
        ("wrong figure", json!([answer(&good.replace("71,000", "17,000"))]), Rung::Template),
        ("not JSON", json!([answer("{\"statements\" oops")]), Rung::Template),
        ("disconnect", fault("disconnect"), Rung::Template),
        ("truncate", fault("truncate"), Rung::Template),
        ("malformed", fault("malformed"), Rung::Template),
        ("stall", fault("stall"), Rung::Template),
        ("its own words", json!([]), Rung::Template),
    ];
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for (name, behaviors, rung) in cases {
        server.plays(behaviors).await;
        let writer = writer(options(&format!("http://{}/v1", server.address())));
        let began = Instant::now();
        let written = writer.write(&crash()).await;
        seen.push(Outcome::of(name, &written, began.elapsed(), DEADLINE));
        let report = &written.report;
        assert!(report.body.contains(DISCLAIMER) && !report.body.contains("17,000"), "{name}");
        if report.rung != rung {
            wrong.push(format!("{name}: {:?} {}", report.rung, report.fallback_reason));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    outcomes::compare("llmock", &seen);
}
