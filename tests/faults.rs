//! A frame that kills its handler costs itself; many of them cost the process, which says so.

use std::time::Duration;

use crate::support::kis_peer::trade;
use crate::support::stored::{journaled, stored};
use crate::support::{Daemon, KisPeer, temp_dir, wait_until};

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const SAMSUNG: &str = "005930";
const HYNIX: &str = "000660";

/// Setup of a daemon that panics on frames with `text`, and is quick about its restarts.
fn fragile(peer: &KisPeer, text: &str) -> crate::support::daemon::Setup {
    peer.daemon(&[SAMSUNG, HYNIX])
        .env("BONGSU_TEST_PANIC_ON", text)
        .env("BONGSU_SUPERVISION__BACKOFF_INITIAL_MS", "1")
        .env("BONGSU_SUPERVISION__BACKOFF_MAX_MS", "10")
}

/// Ten shares each, one a second, at `price`.
fn nth(symbol: &str, number: i64, price: i64) -> String {
    let time = format!("09{:02}{:02}", number / 60, number % 60);
    trade(symbol, &time, price, 10, number * 10).frame()
}

fn wait_trades(daemon: &Daemon, count: i64) {
    daemon.wait_metric(r#"bongsu_ticks_total{kind="trade"}"#, count as f64, SOON);
}

#[test]
fn a_poison_frame_costs_itself_and_nothing_else() {
    const POISON: i64 = 77_700;
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let mut daemon = fragile(&peer, "^77700^").dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);

    // Handled, a bad one among them, before the fault: this must be neither lost nor counted
    // again when the state is rebuilt.
    for number in 1..=5 {
        peer.send(&nth(SAMSUNG, number, 70_000));
        peer.send(&nth(HYNIX, number, 70_000));
    }
    peer.send("0|H0STCNT0|001|short");
    wait_trades(&daemon, 10);
    for number in 6..=10 {
        peer.send(&nth(SAMSUNG, number, 70_000 + number * 100));
        peer.send(&nth(HYNIX, number, if number == 8 { POISON } else { 70_000 - number * 100 }));
    }
    wait_trades(&daemon, 19);

    let gaps = daemon.json("/v1/events?pattern=bongsu.threat.feed_gap");
    assert_eq!(gaps["count"], 1, "only the lost trade is missing: {gaps}");
    let gap = &gaps["events"][0]["event"]["data"];
    assert_eq!((&gap["symbol"], &gap["evidence"]["missing_volume"]), (&HYNIX.into(), &10.0.into()));
    for (symbol, price) in [(SAMSUNG, 71_000), (HYNIX, 69_000)] {
        let score = || daemon.json(&format!("/v1/risk/{symbol}"));
        wait_until(SOON, || score()["price"] == price, "scores go on");
        assert_eq!(score()["cum_volume"], 100, "{}", score());
    }
    assert_eq!(daemon.get("/readyz").0, 200);
    let metrics = daemon.metrics();
    let counted = |series: &str| metrics.get(series).copied().unwrap_or_default();
    assert_eq!(counted(r#"bongsu_actor_restarts_total{actor="normalizer"}"#), 1.0);
    assert_eq!(counted(r#"bongsu_actor_restarts_total{actor="risk_scorer"}"#), 0.0);
    assert_eq!(counted(r#"bongsu_rejects_total{reason="poison"}"#), 1.0);
    // Effects of what was handled before the fault are not had twice.
    assert_eq!(counted(r#"bongsu_rejects_total{reason="too_narrow"}"#), 1.0);
    assert_eq!(counted(r#"bongsu_ticks_total{kind="trade"}"#), 19.0);
    assert_eq!(counted(r#"bongsu_ticks_total{kind="duplicate"}"#), 0.0);
    daemon.stop();

    let stored = stored(dir.path());
    let mut found: Vec<_> =
        stored.trades.iter().map(|row| (row.symbol.as_str(), row.cum_volume)).collect();
    found.sort_unstable();
    let hynix = (1..=10).filter(|number| *number != 8).map(|number| (HYNIX, number * 10));
    let expected: Vec<_> = hynix.chain((1..=10).map(|number| (SAMSUNG, number * 10))).collect();
    assert_eq!(found, expected);

    let reasons: Vec<&str> = stored.failures.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons, ["too_narrow", "poison"], "{:#?}", stored.failures);
    let poison = &stored.failures[1];
    assert_eq!((poison.stage.as_str(), poison.source.as_str()), ("normalizer", "H0STCNT0"));
    assert!(poison.detail.contains("a test asked for a panic"), "{}", poison.detail);
    let sent = nth(HYNIX, 8, POISON);
    assert_eq!(poison.payload, sent);
    let (segment, offset) = (poison.journal_segment.unwrap(), poison.journal_offset.unwrap());
    assert_eq!(journaled(dir.path(), segment, offset).as_deref(), Some(sent.as_bytes()));
}

#[test]
fn several_poison_frames_cost_themselves() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let mut daemon = fragile(&peer, "^77700^").dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    let is_poison = |number: i64| [20, 22, 24, 60].contains(&number);
    for number in 1..=80 {
        peer.send(&nth(SAMSUNG, number, 70_000));
        peer.send(&nth(HYNIX, number, if is_poison(number) { 77_700 } else { 70_100 }));
    }
    wait_trades(&daemon, 156);
    let gaps = || daemon.json("/v1/events?pattern=bongsu.threat.feed_gap");
    wait_until(SOON, || gaps()["count"] == 4, "a gap for each lost trade");
    let metrics = daemon.metrics();
    assert_eq!(metrics[r#"bongsu_ticks_total{kind="trade"}"#], 156.0);
    assert_eq!(metrics[r#"bongsu_ticks_total{kind="duplicate"}"#], 0.0);
    assert_eq!(metrics[r#"bongsu_rejects_total{reason="poison"}"#], 4.0);
    assert_eq!(metrics[r#"bongsu_actor_restarts_total{actor="normalizer"}"#], 4.0);
    assert_eq!(daemon.get("/readyz").0, 200);
    daemon.stop();
    let log = daemon.process().log();
    assert!(!log.contains("did not stop when asked"), "{log}");
    let stored = stored(dir.path());
    let mut found: Vec<_> =
        stored.trades.iter().map(|row| (row.symbol.as_str(), row.cum_volume)).collect();
    found.sort_unstable();
    let hynix = (1..=80).filter(|number| !is_poison(*number)).map(|number| (HYNIX, number * 10));
    let expected: Vec<_> = hynix.chain((1..=80).map(|number| (SAMSUNG, number * 10))).collect();
    assert_eq!(found, expected);
    assert!(stored.failures.iter().all(|row| row.reason == "poison"), "{:#?}", stored.failures);
    assert_eq!(stored.failures.len(), 4);
}

#[test]
fn too_many_poison_frames_end_the_process_and_it_says_what_gave_up() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let mut daemon =
        fragile(&peer, HYNIX).env("BONGSU_SUPERVISION__MAX_RESTARTS", "3").dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    peer.send(&nth(SAMSUNG, 1, 70_000));
    wait_trades(&daemon, 1);
    for number in 1..=5 {
        peer.send(&nth(HYNIX, number, 70_000));
    }
    assert_eq!(daemon.wait_exit(SOON).code(), Some(1), "{}", daemon.process().tail());
    let log = daemon.process().log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("bongsu: the supervisor tree gave up: "), "{log}");
    assert!(last.contains("3 failures within 60 s, the limit is 3"), "{last}");
    assert!(last.contains("a test asked for a panic on frames that contain"), "{last}");
    assert!(!log.contains("did not stop when asked"), "{log}");
    for what in [r#"actor="normalizer""#, r#"supervisor="pipeline""#, r#"supervisor="root""#] {
        assert!(log.contains(what), "{what} is not named:\n{log}");
    }
    // What was stored before the end is there.
    assert_eq!(stored(dir.path()).trades.len(), 1);
}
