//! Secrets in every input, and where they are not.

use std::path::Path;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use bongsu::llm::{ModelOptions, mask};

use super::peer::{Peer, Reply};
use super::{KEY, crash_of, options, writer};
use crate::support::{Daemon, http, wait_until};
use bongsu::store::{Database, DatabaseOptions};

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

/// A token of the HTTP interface.
const TOKEN: &str = "token-canary-7c1e55aa";
/// What the settings hold besides: by their variable.
const SETTINGS: [(&str, &str); 6] = [
    ("KIS_ACCOUNT", "50917263-01"),
    ("SLACK_WEBHOOK_URL", "https://hooks.invalid/services/canary-slack-1"),
    ("SMTP_URL", "smtp://mailer:canary-smtp-2@mail.invalid:25"),
    ("ALERT_EMAIL_TO", "canary.reader@example.com"),
    ("VAULT_TOKEN", "canary-vault-3"),
    ("BONGSU_LLM__PRIVATE_NAMES", "홍길동임,김가람슬"),
];
/// What of them is secret.
const SECRETS: [&str; 7] = [
    "50917263-01",
    "canary-slack-1",
    "canary-smtp-2",
    "canary.reader",
    "canary-vault-3",
    "홍길동임",
    "김가람슬",
];

/// Picks as the daemon made them, with a canary wherever a caller can write.
fn picks_with_canaries(daemon: &Daemon) -> Value {
    let found = || daemon.json("/v1/recommendations")["recommendations"][0].clone();
    let has_picks = || found()["picks"].as_array().is_some_and(|picks| !picks.is_empty());
    wait_until(Duration::from_secs(90), has_picks, "picks");
    let mut set = found();
    set["id"] = json!("set 010-9876-5432");
    set["scenario"] = json!("홍길동임의 계좌 12345678-01");
    set["note"] = json!(format!("예금주: 김가람슬, {}, api_key={KEY}", CANARIES[3]));
    set["picks"][0]["name"] = json!("전자 900101-1234567");
    set["picks"][0]["reasons"] = json!([format!("담당 {} {KEY} {TOKEN}", CANARIES[2])]);
    set
}

/// A canary in every input that a report can be made of: names, notes, scenarios, arguments of
/// tasks, settings. They are in no prompt that is sent or kept, no report, page, row, log, metric,
/// error or answer. What a caller gave as arguments stands in `task_runs.args`, to be run again, and
/// nowhere else.
#[test]
fn canaries_of_every_input_are_nowhere() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // First it repeats what it was asked, then it recites, then it refuses with the key in its words.
    let echo = Reply::Text(format!("{} {KEY} {TOKEN}", CANARIES.join(" ")));
    let (peer, url) = runtime.block_on(Peer::start([Reply::Recite(str::to_owned)]));
    let tokens = format!("operate:{TOKEN}");
    let setup = Daemon::setup()
        .args(["run", "--speed", "60", "--symbols", "005930,000660,373220,247540,086520,277810"])
        .env("OPENAI_BASE_URL", &url)
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_MODEL", "test-model")
        .env("BONGSU_API__TOKENS", &tokens);
    let setup = SETTINGS.into_iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    let mut daemon = setup.start();
    daemon.wait_ready(Duration::from_secs(60));
    let set = picks_with_canaries(&daemon);
    let mut answers = String::new();
    let mut ask = |daemon: &Daemon, task: &str, body: &Value| {
        let path = format!("/v1/tasks/{task}?wait=60");
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = http::request(daemon.address(), "POST", &path, &headers, &body.to_string())
            .expect(task);
        answers.push_str(&answer.body);
        serde_json::from_str::<Value>(&answer.body).expect("JSON")
    };
    let done = ask(&daemon, "summarize_recommendation", &json!({ "recommendation": set }));
    assert_eq!(done["state"], "SUCCESS", "{done}");
    peer.set([echo]);
    let done = ask(&daemon, "summarize_recommendation", &json!({ "recommendation": set }));
    assert_eq!(done["state"], "SUCCESS", "{done}");
    let refusal = r#"{"error":{"message":"bad key sk-canary-4f1d9a of 010-9876-5432"}}"#;
    peer.set([Reply::Status(401, "x-a", "b", refusal)]);
    let mut other = set.clone();
    other["as_of"] = json!("2024-08-05T10:00:00+09:00");
    let done = ask(&daemon, "summarize_recommendation", &json!({ "recommendation": other }));
    assert_eq!(done["state"], "SUCCESS", "{done}");
    assert!(peer.calls() >= 3, "{}", peer.calls());
    let sent = peer.look(|asked| asked.iter().map(|one| one.body.to_string()).collect::<String>());
    assert!(sent.contains("[가림]"), "the names were in the prompts");
    let (_, metrics) = daemon.get("/metrics");
    let (_, latest) = daemon.get("/v1/reports/latest");
    let (_, ready) = daemon.get("/readyz");
    daemon.stop();

    // The arguments as they were given go, with the pages of the file that they stood on.
    let file = format!("sqlite://{}", daemon.dir().join("var/bongsu.db").display());
    runtime.block_on(async {
        let database = Database::connect(&file, &DatabaseOptions::default()).await.expect("it");
        for sql in ["UPDATE task_runs SET args = ''", "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"] {
            database.connection().execute_unprepared(sql).await.expect(sql);
        }
        database.close().await.expect("it is closed");
    });
    let log = daemon.process().log();
    let secrets = || CANARIES.into_iter().chain(SECRETS).chain([KEY, TOKEN]);
    let mut leaks = Vec::new();
    for secret in secrets() {
        let texts = [("a prompt that was sent", &sent), ("a metric", &metrics), ("the log", &log)];
        let texts = texts.into_iter().chain([("an answer", &answers), ("a report", &latest)]);
        let texts = texts.chain([("the readiness", &ready)]);
        leaks.extend(
            texts
                .filter(|(_, text)| text.contains(secret))
                .map(|(place, _)| format!("{secret} in {place}")),
        );
        let mut files = Vec::new();
        holders(daemon.dir(), secret, &mut files);
        leaks.extend(files.into_iter().map(|file| format!("{secret} in {file}")));
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    // What was looked through is there at all.
    let objects = daemon.dir().join("var/objects");
    assert!(count(&objects.join("prompts"), ".json") > 0);
    assert!(count(&objects.join("reports"), ".html") > 0);
}
