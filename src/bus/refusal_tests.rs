//! A Redis that answers and refuses: named, waited out, and nothing half done.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use fred::types::CustomCommand;

use super::redis::{RedisOptions, RedisPublisher, STREAM};
use super::redis_tests::{Server, client, event, options, stream_ids, until};
use crate::messages::{Component, EventKind, HealthRegistry, OutwardEvent};

fn crash(number: usize) -> Arc<OutwardEvent> {
    event(EventKind::Crash, &format!("c{number:04}"), "005930")
}

fn crashes(range: std::ops::Range<usize>) -> Vec<Arc<OutwardEvent>> {
    range.map(crash).collect()
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("c{number:04}")).collect()
}

async fn command(client: &Client, name: &'static str, words: &[&str]) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    client.custom::<Value, _>(CustomCommand::new_static(name, None, false), words).await.unwrap();
}

fn publisher(url: &str, health: &HealthRegistry) -> RedisPublisher {
    let options = RedisOptions { health: Some(health.clone()), ..options(url) };
    RedisPublisher::start(options).unwrap()
}

/// What health says of Redis.
fn reason(health: &HealthRegistry) -> String {
    let line = health.get(Component::Redis).unwrap();
    line.state.reason().unwrap_or_default().to_owned()
}

/// Publishes while `refuse` is in force, and after `heal`.
async fn refused(code: &str, refuse: [&[&str]; 2], heal: [&[&str]; 2]) {
    let Some(server) = Server::start() else {
        return eprintln!("skipped a refusal ({code}): no redis-server");
    };
    let health = HealthRegistry::new();
    let redis = publisher(&server.url(), &health);
    until("redis is not up", || redis.up()).await;
    assert_eq!(redis.publish(crashes(0..3)).await.acknowledged, 3);
    let admin = client(&server.url()).await;
    let name = |word: &str| -> &'static str {
        ["CONFIG", "REPLICAOF", "ACL"].into_iter().find(|own| *own == word).unwrap()
    };
    command(&admin, name(refuse[0][0]), refuse[1]).await;
    let outcome = redis.publish(crashes(3..6)).await;
    assert_eq!((outcome.acknowledged, outcome.pending), (0, 3), "{code}");
    assert!(reason(&health).contains(&format!("{code}: ")), "{}", reason(&health));
    redis.publish(crashes(6..8)).await;
    // Refused again and again in between: nothing of it may stay.
    until("no further try", || redis.pending() == 5 && !redis.up()).await;
    assert_eq!(stream_ids(&admin).await, ids(0..3), "{code}");
    command(&admin, name(heal[0][0]), heal[1]).await;
    until("nothing was sent late", || redis.pending() == 0).await;
    until("health stays down", || reason(&health).is_empty()).await;
    assert_eq!(stream_ids(&admin).await, ids(0..8), "{code}");
}

#[tokio::test]
async fn out_of_memory() {
    let [set, unset]: [&[&str]; 2] = [&["SET", "maxmemory", "1"], &["SET", "maxmemory", "0"]];
    refused("OOM", [&["CONFIG"], set], [&["CONFIG"], unset]).await;
}

#[tokio::test]
async fn a_replica_that_takes_no_writes() {
    // Its master is not there: it keeps its data and serves reads.
    let [set, unset]: [&[&str]; 2] = [&["127.0.0.1", "1"], &["NO", "ONE"]];
    refused("READONLY", [&["REPLICAOF"], set], [&["REPLICAOF"], unset]).await;
}

#[tokio::test]
async fn a_channel_without_the_right_to_it() {
    let [set, unset]: [&[&str]; 2] =
        [&["SETUSER", "default", "resetchannels"], &["SETUSER", "default", "allchannels"]];
    refused("NOPERM", [&["ACL"], set], [&["ACL"], unset]).await;
}

#[tokio::test]
async fn a_password_that_nobody_gave() {
    let Some(server) = Server::start() else {
        return eprintln!("skipped a_password_that_nobody_gave: no redis-server");
    };
    let admin = client(&server.url()).await;
    command(&admin, "CONFIG", &["SET", "requirepass", "secret"]).await;
    let health = HealthRegistry::new();
    let redis = publisher(&server.url(), &health);
    redis.publish(crashes(0..2)).await;
    until("the refusal is not told", || reason(&health).contains("NOAUTH: it asks for")).await;
    command(&admin, "CONFIG", &["SET", "requirepass", ""]).await;
    until("it does not heal", || redis.pending() == 0).await;
    assert_eq!(stream_ids(&admin).await, ids(0..2));
}

#[tokio::test]
async fn a_server_that_comes_back_without_its_data() {
    let Some(mut server) = Server::start() else {
        return eprintln!("skipped a_server_that_comes_back_without_its_data: no redis-server");
    };
    let health = HealthRegistry::new();
    let redis = publisher(&server.url(), &health);
    until("redis is not up", || redis.up()).await;
    assert_eq!(redis.publish(crashes(0..5)).await.acknowledged, 5);
    server.kill_without_data();
    assert_eq!(redis.publish(crashes(5..10)).await.acknowledged, 0);
    server.restart();
    until("nothing was sent late", || redis.pending() == 0).await;
    let reader = client(&server.url()).await;
    assert_eq!(stream_ids(&reader).await, ids(5..10));
    // What is sent again is new to it, and known to nobody.
    assert_eq!(redis.publish(crashes(0..5)).await.acknowledged, 5);
    let length: usize = reader.xlen(STREAM).await.unwrap();
    assert_eq!(length, 10);
}

/// The reply is lost after Redis has done its work: the batch goes out again and is known.
#[tokio::test]
async fn a_lost_reply_doubles_nothing() {
    let Some(server) = Server::start() else {
        return eprintln!("skipped a_lost_reply_doubles_nothing: no redis-server");
    };
    let health = HealthRegistry::new();
    let options = RedisOptions {
        health: Some(health.clone()),
        command_timeout: Duration::from_millis(60),
        ..options(&server.url())
    };
    let redis = RedisPublisher::start(options).unwrap();
    until("redis is not up", || redis.up()).await;
    let admin = client(&server.url()).await;
    // Writes wait, so the script runs late: after its caller has given up.
    command(&admin, "CLIENT", &["PAUSE", "400", "WRITE"]).await;
    assert_eq!(redis.publish(crashes(0..3)).await.acknowledged, 0);
    assert!(!redis.up());
    until("nothing was sent late", || redis.pending() == 0).await;
    assert_eq!(stream_ids(&admin).await, ids(0..3));
}
