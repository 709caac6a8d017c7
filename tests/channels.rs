//! Django Channels: what the daemon raises reaches the consumers of a group, over either layer, and whatever the
//! layer's Redis does is nobody else's trouble.
//!
//! - [`genuine`]: the back end's own packages, in Python, join the group and read;
//! - [`outages`]: a group that nobody reads, full inboxes, a Redis that is away, refuses, comes back.

mod genuine;
mod outages;

use std::time::Duration;

use crate::support::daemon::Setup;
use crate::support::{Daemon, RedisServer, Reply, wait_until};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(90);

const SENT: &str = "bongsu_channels_events_total{outcome=\"sent\"}";
const UNHEARD: &str = "bongsu_channels_events_total{outcome=\"unheard\"}";
const TOO_OLD: &str = "bongsu_channels_events_total{outcome=\"too_old\"}";
const TOO_BIG: &str = "bongsu_channels_events_total{outcome=\"too_big\"}";
const FULL_INBOXES: &str = "bongsu_channels_inboxes_total{outcome=\"full\"}";

/// A daemon that plays a falling market, `speed` times as fast as it fell.
fn falling(layer: &str, hosts: &[&RedisServer], speed: &str) -> Setup {
    let urls: Vec<String> = hosts.iter().map(|host| host.url()).collect();
    Daemon::setup()
        .args(["run", "--market", "crash", "--speed", speed])
        .env("BONGSU_CHANNELS__LAYER", layer)
        .env("BONGSU_CHANNELS__HOSTS", urls.join(","))
}

/// Joins the group by hand, as a process that never reads would.
fn join(redis: &RedisServer, channel: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs().to_string();
    assert_eq!(redis.command(&["ZADD", "asgi:group:alerts", &now, channel]), Reply::Integer(1));
}

/// Messages in an inbox.
fn inbox(redis: &RedisServer, process: &str) -> i64 {
    match redis.command(&["ZCARD", &format!("asgi{process}")]) {
        Reply::Integer(count) => count,
        other => panic!("{other:?}"),
    }
}

/// Keys that begin so.
fn keys(redis: &RedisServer, prefix: &str) -> Vec<Reply> {
    match redis.command(&["KEYS", &format!("{prefix}*")]) {
        Reply::List(keys) => keys,
        other => panic!("{other:?}"),
    }
}

/// The line of `/readyz` about the layer, behind the status.
fn ready_line(daemon: &Daemon) -> (u16, String) {
    let (status, text) = daemon.get("/readyz");
    let line = text.lines().find(|line| line.starts_with("channels"));
    (status, line.unwrap_or_else(|| panic!("no channels in {text}")).to_owned())
}

#[track_caller]
fn wait_line(daemon: &Daemon, words: &str) {
    let said = || {
        let (status, line) = ready_line(daemon);
        status == 200 && line.contains(words)
    };
    wait_until(PATIENCE, said, words);
}
