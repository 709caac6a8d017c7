//! The publisher against a real Redis. Uses `redis-server` from the path, or only
//! `BONGSU_TEST_REDIS_URL` where killing it is not needed; skips, saying so, without either.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::prelude::*;

use super::redis::{RedisOptions, RedisPublisher, STREAM, redis_client, redis_config};
use super::{EventBus, Publisher};
use crate::market::EventTime;
use crate::messages::{EventKind, OutwardEvent};

pub(super) fn event(kind: EventKind, id: &str, subject: &str) -> Arc<OutwardEvent> {
    let data = serde_json::json!({ "name": "삼성전자" });
    let time = EventTime::from_micros(1_722_816_021_000_000);
    Arc::new(OutwardEvent::new(kind, id.into(), subject, subject, time, &data))
}

/// A redis-server of this test alone; killed when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("redis-server")).find(|file| file.is_file())
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let directory = tempfile::tempdir().unwrap();
        let child = Self::spawn(port, &directory)?;
        Some(Self { child, port, directory })
    }

    fn spawn(port: u16, directory: &tempfile::TempDir) -> Option<Child> {
        let child = Command::new(binary()?)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server did not listen on port {port}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Some(child)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it and takes its data away.
    pub(crate) fn kill_without_data(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.directory).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) async fn client(url: &str) -> Client {
    let delay = (Duration::from_millis(10), Duration::from_millis(100));
    let config = redis_config(url).unwrap();
    let client = redis_client(config, Duration::from_secs(3), delay).unwrap();
    client.init().await.unwrap();
    client
}

pub(super) fn options(url: &str) -> RedisOptions {
    let delay = (Duration::from_millis(10), Duration::from_millis(100));
    RedisOptions { reconnect_delay: delay, ..RedisOptions::new(url) }
}

pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

pub(super) async fn stream_ids(client: &Client) -> Vec<String> {
    let entries: Vec<(String, std::collections::HashMap<String, String>)> =
        client.xrange_values(STREAM, "-", "+", None).await.unwrap();
    let id = |fields: &std::collections::HashMap<String, String>| {
        let json: serde_json::Value = serde_json::from_str(&fields["event"]).unwrap();
        json["id"].as_str().unwrap().to_owned()
    };
    entries.iter().map(|(_, fields)| id(fields)).collect()
}

#[tokio::test]
async fn published_appended_and_never_twice() {
    let (url, _server) = match (std::env::var("BONGSU_TEST_REDIS_URL"), Server::start()) {
        (Ok(url), server) => (url, server),
        (Err(_), Some(server)) => (server.url(), Some(server)),
        _ => return eprintln!("skipped published_appended_and_never_twice: no redis-server"),
    };
    // Ids of this run, so that a shared server can be used.
    let run = format!("{}-{:?}", std::process::id(), Instant::now());
    let id = |name: &str| format!("{run}-{name}");
    let listener = client(&url).await;
    let mut messages = listener.message_rx();
    listener.psubscribe("bongsu.*").await.unwrap();

    let publisher =
        Publisher::new(EventBus::default(), Some(RedisPublisher::start(options(&url)).unwrap()));
    until("redis is not up", || publisher.redis_up() == Some(true)).await;
    let batch = vec![
        event(EventKind::Crash, &id("c1"), "005930"),
        event(EventKind::Risk, &id("r1"), "005930"),
        event(EventKind::Threat, &id("t1"), "volatility"),
    ];
    let outcome = publisher.publish(batch.clone()).await;
    assert_eq!((outcome.acknowledged, outcome.pending, outcome.fresh), (3, 0, 3));
    let again = publisher.publish(batch).await;
    assert_eq!((again.acknowledged, again.fresh), (3, 1));

    let mut heard = Vec::new();
    while heard.len() < 4 {
        let message = messages.recv().await.unwrap();
        let text = message.value.as_string().unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let got = json["id"].as_str().unwrap().to_owned();
        if got.starts_with(&run) {
            heard.push((message.channel.to_string(), got));
        }
    }
    let crash = "bongsu.crash.005930".to_owned();
    let (risk, threat) = ("bongsu.risk.005930".to_owned(), "bongsu.threat.volatility".to_owned());
    assert_eq!(
        heard,
        [(crash, id("c1")), (risk.clone(), id("r1")), (threat, id("t1")), (risk, id("r1"))]
    );
    let reader = client(&url).await;
    let mine: Vec<_> =
        stream_ids(&reader).await.into_iter().filter(|i| i.starts_with(&run)).collect();
    assert_eq!(mine, [id("c1"), id("t1")]);
    assert_eq!(publisher.close(Duration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn an_outage_delays_but_keeps_order_and_identity() {
    let Some(mut server) = Server::start() else {
        return eprintln!("skipped an_outage_delays_but_keeps_order: no redis-server");
    };
    let health = crate::messages::HealthRegistry::new();
    let options = RedisOptions { health: Some(health.clone()), ..options(&server.url()) };
    let redis = RedisPublisher::start(options).unwrap();
    until("redis is not up", || redis.up()).await;
    let crash = |n: usize| event(EventKind::Crash, &format!("c{n:04}"), "005930");
    assert_eq!(redis.publish((0..10).map(crash).collect()).await.acknowledged, 10);

    server.kill();
    // More than two chunks, half of it scores of one issue.
    for n in 10..160 {
        let batch = vec![crash(n), event(EventKind::Risk, &format!("r{n}"), "005930")];
        let outcome = redis.publish(batch).await;
        assert_eq!(outcome.acknowledged, 0);
    }
    until("the loss is not noticed", || !redis.up()).await;
    let down = health.get(crate::messages::Component::Redis).unwrap();
    assert_eq!(down.state.as_str(), "down");
    assert_eq!(redis.pending(), 151);
    // What was acknowledged before is sent again, as after a restart of the daemon.
    redis.publish((0..10).map(crash).collect()).await;

    server.restart();
    until("nothing was sent late", || redis.pending() == 0).await;
    assert!(redis.up());
    assert_eq!(health.get(crate::messages::Component::Redis).unwrap().state.as_str(), "up");
    assert_eq!(redis.publish(vec![crash(160)]).await.acknowledged, 1);
    let reader = client(&server.url()).await;
    let expected: Vec<String> = (0..=160).map(|n| format!("c{n:04}")).collect();
    assert_eq!(stream_ids(&reader).await, expected);
}

#[tokio::test]
async fn the_stream_and_the_ids_are_capped() {
    let Some(server) = Server::start() else {
        return eprintln!("skipped the_stream_and_the_ids_are_capped: no redis-server");
    };
    let redis =
        RedisPublisher::start(RedisOptions { stream_cap: 200, ..options(&server.url()) }).unwrap();
    until("redis is not up", || redis.up()).await;
    let crash = |n: usize| event(EventKind::Crash, &format!("c{n:04}"), "005930");
    assert_eq!(redis.publish((0..2_000).map(crash).collect()).await.acknowledged, 2_000);
    let reader = client(&server.url()).await;
    let length: usize = reader.xlen(STREAM).await.unwrap();
    let ids: usize = reader.zcard("{bongsu:events}:ids").await.unwrap();
    // About: whole nodes of 100 entries are cut off.
    assert!((200..=400).contains(&length), "{length}");
    // A thousand more than the stream's cap.
    assert_eq!(ids, 1_200);
}

#[tokio::test]
async fn without_redis_nothing_blocks() {
    let redis = RedisPublisher::start(options("redis://127.0.0.1:1")).unwrap();
    let started = Instant::now();
    let outcome = redis.publish(vec![event(EventKind::Crash, "c", "005930")]).await;
    assert_eq!((outcome.acknowledged, outcome.pending), (0, 1));
    assert!(started.elapsed() < Duration::from_millis(500));
    assert_eq!(redis.close(Duration::from_millis(10)).await, 1);
}

#[tokio::test]
async fn a_hung_server_counts_as_away_and_heals() {
    let Some(server) = Server::start() else {
        return eprintln!("skipped a_hung_server_counts_as_away_and_heals: no redis-server");
    };
    let options =
        RedisOptions { command_timeout: Duration::from_millis(100), ..options(&server.url()) };
    let redis = RedisPublisher::start(options).unwrap();
    until("redis is not up", || redis.up()).await;
    let signal = |name: &str| {
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let outcome = redis.publish(vec![event(EventKind::Crash, "c1", "005930")]).await;
    assert_eq!((outcome.acknowledged, outcome.pending), (0, 1));
    let started = Instant::now();
    let outcome = redis.publish(vec![event(EventKind::Crash, "c2", "005930")]).await;
    assert_eq!(outcome.pending, 1);
    assert!(started.elapsed() < Duration::from_millis(50), "the second batch waited");
    signal("-CONT");
    until("nothing was sent late", || redis.pending() == 0).await;
    let reader = client(&server.url()).await;
    // The first attempt may have arrived after all: still once.
    assert_eq!(stream_ids(&reader).await, ["c1", "c2"]);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_heals() {
    let Some(server) = Server::start() else {
        return eprintln!("skipped a_wrong_password_is_told_and_heals: no redis-server");
    };
    let admin = client(&server.url()).await;
    let set_password = |password: &'static str| {
        let command = fred::types::CustomCommand::new_static("CONFIG", None, false);
        admin.custom::<(), _>(command, vec!["SET", "requirepass", password])
    };
    set_password("other").await.unwrap();
    let health = crate::messages::HealthRegistry::new();
    let url = format!("redis://:hunter2@127.0.0.1:{}/0", server.port);
    let redis =
        RedisPublisher::start(RedisOptions { health: Some(health.clone()), ..options(&url) })
            .unwrap();
    redis.publish(vec![event(EventKind::Crash, "c1", "005930")]).await;
    let line = || health.get(crate::messages::Component::Redis).unwrap();
    until("the refusal is not told", || {
        line().state.reason().is_some_and(|r| r.contains("WRONGPASS"))
    })
    .await;
    let reason = line().state.reason().unwrap().to_owned();
    assert!(!reason.contains("hunter2") && !format!("{redis:?}").contains("hunter2"), "{reason}");
    set_password("hunter2").await.unwrap();
    until("the right password does not heal", || redis.pending() == 0).await;
}
