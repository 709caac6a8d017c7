//! `channels_redis` itself joins the group and reads what `bongsu run` sends.
//!
//! The outside check (`shared/celery/channels_check.py`) is two members of one process. Its packages are in
//! `requirements.txt`; without them, or without the check, the tests are skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{PATIENCE, falling};
use crate::effects::is_alarm;
use crate::support::{Daemon, Process, RedisServer, TempDir, shared_dir, skip, temp_dir};

const NO_PYTHON: &str = "BONGSU_TEST_PYTHON is not set: no Python with channels_redis";
/// Events that each member waits for.
const COUNT: usize = 5;

fn python() -> Option<PathBuf> {
    std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from)
}

fn check_file() -> Option<PathBuf> {
    Some(shared_dir()?.join("celery/channels_check.py")).filter(|file| file.is_file())
}

/// What a test needs, or why it is skipped.
fn parts() -> Result<(RedisServer, PathBuf, PathBuf), &'static str> {
    let redis = RedisServer::start().ok_or("redis-server is not installed")?;
    let check = check_file().ok_or("no shared/celery/channels_check.py")?;
    Ok((redis, python().ok_or(NO_PYTHON)?, check))
}

fn spawn(python: &Path, dir: &TempDir, arguments: &[&str]) -> Process {
    let mut command = Command::new(python);
    command
        .args(arguments)
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8");
    Process::spawn("reader", &mut command, &dir.path().join("reader.log"))
}

/// The outside check, once it has joined the group.
fn reader(python: &Path, check: &Path, dir: &TempDir, more: &[&str]) -> Process {
    let ready = dir.path().join("ready");
    let (check, ready_file, count) =
        (check.to_str().expect("text"), ready.to_str().expect("text"), COUNT.to_string());
    let arguments =
        [check, "--type", "bongsu.event", "--count", &count, "--timeout", "90", "--ready-file"];
    let mut process = spawn(python, dir, &[&arguments[..], &[ready_file], more].concat());
    process.wait_ready(PATIENCE, || fs::read_to_string(&ready).is_ok_and(|text| !text.is_empty()));
    process
}

/// The messages that the check has printed.
fn messages(reader: &Process) -> Vec<Value> {
    let log = reader.log();
    let lines = log.lines().filter_map(|line| line.strip_prefix("EVENT "));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn ids<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let id = |event: &'a Value| event["id"].as_str().expect("an id").to_owned();
    events.into_iter().map(id).collect()
}

/// What the daemon itself says it raised, of the kinds that go to the layer.
fn raised(daemon: &Daemon) -> Vec<Value> {
    let list = daemon.json("/v1/events?type=crash,threat,report&limit=10000");
    let events = list["events"].as_array().expect("a list");
    events.iter().map(|published| published["event"].clone()).collect()
}

/// Both members got the same events as the daemon raised, in its order.
#[track_caller]
fn assert_received(reader: &mut Process, daemon: &Daemon) {
    let status = reader.wait_exit(PATIENCE);
    let log = reader.log();
    assert!(status.success() && log.contains("2 passed, 0 failed"), "{}", reader.tail());
    let messages = messages(reader);
    let raised = raised(daemon);
    for message in &messages {
        assert_eq!(message["type"], "bongsu.event", "{message}");
        assert!(message.get("__asgi_channel__").is_none(), "{message}");
        let event = raised.iter().find(|event| event["id"] == message["event"]["id"]);
        assert_eq!(event, Some(&message["event"]), "as it was raised");
        let channel = message["channel"].as_str().expect("a channel");
        assert!(channel.starts_with("bongsu."), "{message}");
    }
    let heard = ids(messages.iter().map(|message| &message["event"]));
    let distinct: BTreeSet<&String> = heard.iter().collect();
    assert_eq!((heard.len(), distinct.len()), (2 * COUNT, COUNT), "each to both members once");
    let expected: Vec<String> =
        ids(&raised).into_iter().filter(|id| distinct.contains(id)).collect();
    // Both print into one log: each event's first line is in the order of arrival.
    let mut seen = BTreeSet::new();
    let first: Vec<String> = heard.iter().filter(|id| seen.insert(*id)).cloned().collect();
    assert_eq!(first, expected, "in order");
}

/// The address for a reader that may have to wait for a first event: its Redis client gives up after 5 s
/// otherwise, as long as the layer asks Redis to wait, so that the two race.
fn patient(redis: &RedisServer) -> String {
    format!("{}?socket_timeout=60", redis.url())
}

/// One run: the check reads what a daemon sends.
fn run(layer: &str, hosts: usize, more: &[&str], settings: &[(&str, &str)]) {
    let (redis, python, check) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let further: Vec<RedisServer> = (1..hosts).map(|_| RedisServer::require()).collect();
    let all: Vec<&RedisServer> = std::iter::once(&redis).chain(&further).collect();
    let urls: Vec<String> = all.iter().map(|redis| patient(redis)).collect();
    let mut arguments = vec!["--layer", layer];
    urls.iter().for_each(|url| arguments.extend(["--url", url]));
    arguments.extend(more);
    let dir = temp_dir();
    let mut reader = reader(&python, &check, &dir, &arguments);
    let mut setup = falling(layer, &all, "300");
    for (name, value) in settings {
        setup = setup.env(name, value);
    }
    let mut daemon = setup.start();
    daemon.wait_ready(PATIENCE);
    assert_received(&mut reader, &daemon);
    assert_eq!(daemon.metric("bongsu_channels_errors_total"), 0.0);
    daemon.stop();
}

#[test]
fn core() {
    run("core", 1, &[], &[]);
}

#[test]
fn core_on_two_hosts() {
    run("core", 2, &[], &[]);
}

#[test]
fn core_encrypted() {
    let settings = [("BONGSU_CHANNELS__ENCRYPTION_KEY", "the first secret")];
    run("core", 1, &["--key", "the first secret", "--key", "an older one"], &settings);
}

#[test]
fn core_with_json_and_names_of_its_own() {
    let settings = [
        ("BONGSU_CHANNELS__SERIALIZER", "json"),
        ("BONGSU_CHANNELS__PREFIX", "site2"),
        ("BONGSU_CHANNELS__GROUP", "desk.risk"),
    ];
    run(
        "core",
        1,
        &["--serializer", "json", "--prefix", "site2", "--group", "desk.risk"],
        &settings,
    );
}

#[test]
fn pubsub() {
    run("pubsub", 1, &[], &[]);
}

#[test]
fn pubsub_on_two_hosts_encrypted() {
    let settings = [("BONGSU_CHANNELS__ENCRYPTION_KEY", "s")];
    run("pubsub", 2, &["--key", "s"], &settings);
}

fn consumer_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/channels/consumer.py")
}

/// The consumer of the documentation sends what it gets to its browsers.
#[test]
fn a_consumer_in_django() {
    for layer in ["core", "pubsub"] {
        let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
        let Some(python) = python() else { skip!("{NO_PYTHON}") };
        let (dir, file, url) = (temp_dir(), consumer_file(), patient(&redis));
        let ready = dir.path().join("ready");
        let arguments =
            [file.to_str().expect("text"), layer, &url, ready.to_str().expect("text"), "4"];
        let mut backend = spawn(&python, &dir, &arguments);
        backend.wait_ready(PATIENCE, || ready.is_file());
        let mut daemon = falling(layer, &[&redis], "300").start();
        daemon.wait_ready(PATIENCE);
        let status = backend.wait_exit(PATIENCE);
        assert!(status.success(), "{}", backend.tail());
        let log = backend.log();
        let sent_to = |number: &str| -> Vec<Value> {
            let lines = log.lines().filter_map(|line| line.strip_prefix(number));
            lines.map(|json| serde_json::from_str(json).expect("JSON")).collect()
        };
        let events = sent_to("1 ");
        assert_eq!(events, sent_to("2 "), "both browsers are sent the same");
        let alarms = |events: &[Value]| -> Vec<Value> {
            events.iter().filter(|event| is_alarm(event)).cloned().collect()
        };
        let told = alarms(&events);
        assert_eq!(told.len(), 4, "{log}");
        assert_eq!(told, alarms(&raised(&daemon))[..4], "the first, as they were raised");
        daemon.wait_metric(super::SENT, events.len() as f64, PATIENCE);
        daemon.stop();
    }
}

/// The documentation shows the consumer that is tested.
#[test]
fn the_documented_consumer_is_the_tested_one() {
    let tested = fs::read_to_string(consumer_file()).expect("the consumer");
    let begin = tested.find("class AlertConsumer").expect("a consumer");
    let end = tested.find("\n\nasync def main").expect("its end");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/channels.md");
    let docs = fs::read_to_string(docs).expect("docs/channels.md");
    assert!(docs.contains(tested[begin..end].trim_end()), "docs/channels.md shows another one");
}
