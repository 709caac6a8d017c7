//! Nobody listens, an inbox is full, the layer's Redis is away, slow, refuses, comes back.

use std::time::Duration;

use super::{
    FULL_INBOXES, PATIENCE, SENT, TOO_BIG, TOO_OLD, UNHEARD, falling, inbox, join, keys, wait_line,
};
use crate::effects::{alarms_of, alarms_of_stream, assert_distinct};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Daemon, RedisServer, Reply, skip, wait_until};

const PROCESS: &str = "specific.00000000000000000000000000000001!";

fn member() -> String {
    format!("{PROCESS}b1808e209f244be3ad7f45ed1ab74c0d")
}

/// The events' own Redis is up, and nothing waits for it but what is under way.
#[track_caller]
fn wait_for_none_pending(daemon: &Daemon) {
    let ready = daemon.get("/readyz").1;
    assert!(ready.lines().any(|line| line.starts_with("redis: up")), "{ready}");
    let none = || daemon.metric("bongsu_events_pending") == 0.0;
    wait_until(PATIENCE, none, "the stream not to wait for the layer");
}

#[test]
fn an_empty_group_is_no_error_and_leaves_nothing() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    for layer in ["core", "pubsub"] {
        let mut daemon = falling(layer, &[&redis], "300").start();
        daemon.wait_ready(PATIENCE);
        wait_line(&daemon, "channels: up");
        daemon.wait_metric(UNHEARD, 3.0, PATIENCE);
        assert_eq!(daemon.metric("bongsu_channels_errors_total"), 0.0);
        assert_eq!(daemon.metric(SENT), 0.0);
        assert_eq!(keys(&redis, ""), [], "{layer}");
        daemon.stop();
    }
}

#[test]
fn an_inbox_takes_its_capacity_and_no_more() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    join(&redis, &member());
    join(&redis, "specific.00000000000000000000000000000002!1");
    let mut daemon = falling("core", &[&redis], "300")
        .env("BONGSU_CHANNELS__CAPACITY", "3")
        .env("BONGSU_CHANNELS__EXPIRY_SECONDS", "300")
        .env("BONGSU_CHANNELS__MAX_EVENT_KIB", "1")
        .start();
    daemon.wait_ready(PATIENCE);
    daemon.wait_metric(FULL_INBOXES, 4.0, PATIENCE);
    assert_eq!(inbox(&redis, PROCESS), 3);
    assert_eq!(daemon.metric("bongsu_channels_inboxes_total{outcome=\"written\"}"), 6.0);
    assert_eq!(daemon.metric(SENT), 3.0);
    assert!(matches!(redis.command(&["TTL", &format!("asgi{PROCESS}")]), Reply::Integer(1..=300)));
    // Reports are longer than alarms: with this limit they stay out.
    daemon.wait_metric(TOO_BIG, 1.0, PATIENCE);
    daemon.stop();
}

#[test]
fn an_outage_of_the_layer_is_nobody_elses_trouble() {
    let Some(events) = RedisServer::start() else { skip!("redis-server is not installed") };
    let mut layer = RedisServer::require();
    join(&layer, &member());
    let mut daemon = falling("core", &[&layer], "60")
        .env("REDIS_URL", events.url())
        .env("BONGSU_CHANNELS__EXPIRY_SECONDS", "300")
        .env("BONGSU_CHANNELS__CAPACITY", "100000")
        .start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || inbox(&layer, PROCESS) > 0, "a first event in the inbox");
    layer.kill9();
    wait_line(&daemon, "channels: degraded");
    let before = alarms_of_stream(&events).len();
    wait_until(PATIENCE, || alarms_of_stream(&events).len() > before + 2, "alarms meanwhile");
    daemon.wait_metric("bongsu_channels_pending", 3.0, PATIENCE);
    wait_for_none_pending(&daemon);
    let raised = alarms_of(&daemon).len() as i64;
    layer.restart();
    wait_line(&daemon, "channels: up");
    wait_until(PATIENCE, || inbox(&layer, PROCESS) >= raised, "the events of the outage");
    assert!(daemon.metric("bongsu_dependency_losses_total{dependency=\"channels\"}") >= 1.0);
    assert_distinct(&alarms_of_stream(&events));
    daemon.stop();
}

#[test]
fn what_is_too_old_is_dropped_and_a_silent_redis_holds_nobody_up() {
    let Some(events) = RedisServer::start() else { skip!("redis-server is not installed") };
    let layer = RedisServer::require();
    join(&layer, &member());
    let proxy = Proxy::start(layer.port());
    let mut daemon = falling("core", &[], "60")
        .env("BONGSU_CHANNELS__HOSTS", format!("redis://127.0.0.1:{}", proxy.port()))
        .env("BONGSU_CHANNELS__EXPIRY_SECONDS", "1")
        .env("REDIS_URL", events.url())
        .start();
    daemon.wait_ready(PATIENCE);
    daemon.wait_metric(SENT, 1.0, PATIENCE);
    for mode in [Mode::Swallow, Mode::Refuse, Mode::Slow(Duration::from_millis(1_500))] {
        proxy.set(mode);
        wait_line(&daemon, "channels: degraded");
        let (old, before) = (daemon.metric(TOO_OLD), alarms_of_stream(&events).len());
        daemon.wait_metric(TOO_OLD, old + 1.0, PATIENCE);
        wait_until(PATIENCE, || alarms_of_stream(&events).len() > before, "alarms meanwhile");
        wait_for_none_pending(&daemon);
        let sent = daemon.metric(SENT);
        proxy.set(Mode::Pass);
        daemon.wait_metric(SENT, sent + 1.0, PATIENCE);
        wait_line(&daemon, "channels: up");
    }
    daemon.stop();
}

#[test]
fn a_redis_that_is_away_at_the_start_is_waited_for() {
    let Some(mut layer) = RedisServer::start() else { skip!("redis-server is not installed") };
    join(&layer, &member());
    layer.stop();
    let mut daemon = falling("core", &[&layer], "60").start();
    daemon.wait_ready(PATIENCE);
    wait_line(&daemon, "channels: degraded");
    layer.restart();
    wait_line(&daemon, "channels: up");
    wait_until(PATIENCE, || inbox(&layer, PROCESS) > 0, "an event in the inbox");
    daemon.stop();
}

#[test]
fn the_documented_rights_are_enough_and_less_is_said() {
    const CORE: &[&str] =
        &["~asgi*", "+eval", "+zremrangebyscore", "+zrange", "+zcard", "+zadd", "+expire"];
    const PUBSUB: &[&str] = &["&asgi__group__alerts", "+publish"];
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    join(&redis, &member());
    let url = format!("redis://chan:canary@127.0.0.1:{}", redis.port());
    let grant = |rights: &[&str]| {
        let base = ["ACL", "SETUSER", "chan", "reset", "on", ">canary", "+hello", "+auth"];
        let more = ["+select", "+ping", "+client|setname", "+client|id", "+info"];
        let done = redis.command(&[&base[..], &more[..], rights].concat());
        assert_eq!(done, Reply::Status("OK".into()));
    };
    for (layer, rights) in [("core", CORE), ("pubsub", PUBSUB)] {
        grant(&[]);
        let mut daemon = falling(layer, &[], "60").env("BONGSU_CHANNELS__HOSTS", &url).start();
        daemon.wait_ready(PATIENCE);
        wait_line(&daemon, "NOPERM");
        grant(rights);
        let outcome = if layer == "core" { SENT } else { UNHEARD };
        daemon.wait_metric(outcome, 1.0, PATIENCE);
        wait_line(&daemon, "channels: up");
        let (log, ready) = (daemon.process().log(), daemon.get("/readyz").1);
        assert!(!log.contains("canary") && !ready.contains("canary"), "{ready}");
        daemon.stop();
    }
}
