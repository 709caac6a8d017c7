//! Redis is slow, silent, refuses, and comes back without its data: the events are those of the
//! daemon, in order, each once.

use std::time::Duration;

use super::{PATIENCE, ready_line, wait_until};
use crate::effects::{alarms_of, alarms_of_stream, assert_distinct};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Daemon, RedisServer, skip};

#[test]
fn slow_silent_and_refusing() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let proxy = Proxy::start(redis.port());
    let mut daemon = Daemon::setup()
        .args(["run", "--market", "crash", "--speed", "60"])
        .env("REDIS_URL", format!("redis://127.0.0.1:{}", proxy.port()))
        .start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || !alarms_of_stream(&redis).is_empty(), "a first alarm in the stream");
    for mode in [Mode::Slow(Duration::from_millis(1_500)), Mode::Swallow, Mode::Refuse] {
        proxy.set(mode);
        let missed = || {
            let (status, line) = ready_line(&daemon, "redis");
            status == 200 && line.contains("redis: degraded")
        };
        wait_until(PATIENCE, missed, "Redis to be missed");
        let before = alarms_of(&daemon).len();
        wait_until(PATIENCE, || alarms_of(&daemon).len() > before, "an alarm meanwhile");
        assert!(daemon.metric("bongsu_events_pending") > 0.0, "{mode:?}");
        let raised = alarms_of(&daemon);
        proxy.set(Mode::Pass);
        let last = raised.last().expect("some were raised");
        let arrived = || alarms_of_stream(&redis).contains(last);
        wait_until(PATIENCE, arrived, "the alarms of the outage in the stream");
        let told = alarms_of_stream(&redis);
        assert_distinct(&told);
        assert_eq!(told[..raised.len()], raised[..], "{mode:?}");
        let back = || ready_line(&daemon, "redis").1.contains("redis: up");
        wait_until(PATIENCE, back, "Redis to be back");
    }
    daemon.stop();
}
