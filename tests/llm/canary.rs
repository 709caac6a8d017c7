//! Secrets in every input, and where they are not.

use std::path::Path;
use std::time::Duration;

use bongsu::llm::{ModelOptions, mask};

use super::peer::{Peer, Reply};
use super::{KEY, crash_of, options, writer};
use crate::support::{Daemon, wait_until};

/// What is put into names and answers.
const CANARIES: [&str; 6] = [
    "sk-live-9f8e7d6c",
    "12345678-01",
    "010-9876-5432",
    "hong.gildong@example.com",
    "900101-1234567",
    "홍길동임",
];

#[tokio::test]
async fn canaries_in_names_and_answers_are_in_no_output() {
    let (_peer, url) =
        Peer::start([Reply::Text(format!("죄송합니다: {} {KEY}", CANARIES.join(" ")))]).await;
    let masker = mask::Masker::new([KEY.to_owned(), "홍길동임".to_owned()]);
    let writer = writer(ModelOptions { masker, ..options(&url) });
    for canary in CANARIES {
        let written = writer.write(&crash_of(&format!("전자 {canary}"), -5.33)).await;
        let prompts: String =
            written.prompts.iter().map(|prompt| prompt.json.to_string()).collect();
        let outputs = [
            written.report.event().json.to_string(),
            written.report.body.clone(),
            written.document.html(&[]),
            format!("{:?}", written.usage),
            prompts,
        ];
        for output in outputs {
            for canary in CANARIES.into_iter().chain([KEY]) {
                assert!(!output.contains(canary), "{canary} in {output}");
            }
        }
    }
}

/// Every file below `dir` that holds `word`.
fn holders(dir: &Path, word: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holders(&path, word, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            && memchr::memmem::find(&bytes, word.as_bytes()).is_some()
        {
            found.push(path.display().to_string());
        }
    }
}

fn count(dir: &Path, end: &str) -> usize {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let path = entry.path();
            let hit = path.to_string_lossy().contains(end);
            if path.is_dir() { count(&path, end) } else { usize::from(hit) }
        })
        .sum()
}

/// The whole daemon with a model that recites and one that fails: reports by the model, pages,
/// prompts, accounts, and the key nowhere.
#[test]
fn a_daemon_with_a_model() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (peer, url) = runtime.block_on(Peer::start([Reply::Recite(str::to_owned)]));
    let mut daemon = Daemon::setup()
        .args(["run", "--speed", "300", "--symbols", "005930,000660,373220,247540,086520,277810"])
        .env("OPENAI_BASE_URL", &url)
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_MODEL", "test-model")
        .env("BONGSU_LLM__PRIVATE_NAMES", "홍길동임")
        .start();
    daemon.wait_ready(Duration::from_secs(60));
    let patience = Duration::from_secs(60);
    let metric = "bongsu_reports_total{rung=\"model\"}";
    wait_until(patience, || daemon.metric(metric) >= 2.0, "reports by the model");
    assert!(peer.calls() > 0);
    let objects = daemon.dir().join("var/objects");
    wait_until(patience, || count(&objects.join("reports"), ".html") > 0, "a page");
    wait_until(patience, || count(&objects.join("prompts"), ".json") > 0, "a stored prompt");
    let (_, config) = daemon.get("/metrics");
    assert!(!config.contains(KEY));
    daemon.stop();
    let usage =
        crate::support::stored::stored(daemon.dir()).counts.get(bongsu::store::Table::LlmUsage);
    assert!(usage > 0, "{usage}");
    let mut found = Vec::new();
    holders(daemon.dir(), KEY, &mut found);
    assert!(found.is_empty(), "{found:?}");
    assert!(!daemon.process().log().contains(KEY));
}
