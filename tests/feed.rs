//! A feed that heals itself: the daemon against a simulator that goes wrong in every way it knows.
//!
//! Each test plays a day over real sockets with KIS's own limits. Afterwards every trade that
//! reached a session whole is stored once and nothing else is; every minute is the exchange's,
//! those of the gaps included, because they were asked for; what was lost is named to the share.
//! Where the daemon itself leaves a session, frames may be under way that nobody reads: these count
//! as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::exchange::{Exchange, Plan, Rows, TradeId};
use crate::support::{Daemon, wait_until};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays the day to its end and waits until everything that can be had is stored. At most `unread`
/// trades may have reached a session that the daemon left.
pub(crate) fn played_out(exchange: &Exchange, daemon: &mut Daemon, unread: usize) -> Rows {
    exchange.wait_played(PATIENCE * 2);
    let truth = exchange.minutes();
    let delivered = delivered(exchange);
    let mut rows = Rows::of(daemon.dir(), exchange.symbols());
    let start = std::time::Instant::now();
    let settled =
        |rows: &Rows| delivered.difference(&rows.trades).count() <= unread && rows.minutes == truth;
    while !settled(&rows) && start.elapsed() < PATIENCE * 2 {
        wait_until(PATIENCE, || daemon.get("/healthz").0 == 200, "the daemon lives");
        rows = Rows::of(daemon.dir(), exchange.symbols());
    }
    let asked: Vec<_> = ["fetched", "empty", "failed", "given_up"]
        .map(|outcome| daemon.metric(&format!("bongsu_backfill_total{{outcome=\"{outcome}\"}}")))
        .into();
    daemon.stop();
    rows = Rows::of(daemon.dir(), exchange.symbols());
    let missing: Vec<&TradeId> = delivered.difference(&rows.trades).collect();
    let invented: Vec<&TradeId> = rows.trades.difference(&delivered).collect();
    assert!(missing.len() <= unread, "delivered and not stored: {missing:?}");
    assert!(invented.is_empty(), "stored and not delivered: {invented:?}");
    for (key, minute) in &truth {
        let stored = rows.minutes.get(key);
        assert_eq!(stored, Some(minute), "{} {}, REST: {asked:?}", key.symbol, key.start);
    }
    assert_eq!(rows.minutes.len(), truth.len());
    let mut volumes = BTreeMap::new();
    for (key, minute) in &truth {
        *volumes.entry(key.symbol).or_insert(0) += minute.4;
    }
    assert_eq!(rows.days, volumes, "the days are the sums of their minutes");
    assert_eq!(named(&rows), lost_shares(exchange, &rows), "what was lost is named to the share");
    limits_kept(exchange);
    rows
}

fn delivered(exchange: &Exchange) -> BTreeSet<TradeId> {
    let lost = exchange.lost();
    let all = exchange.trades().into_iter().map(|trade| (trade.symbol, trade.cum_volume));
    all.filter(|trade| !lost.contains(trade)).collect()
}

/// Shares that the gap events name and that did not come late, by issue.
pub(crate) fn named(rows: &Rows) -> BTreeMap<String, i64> {
    let mut named = BTreeMap::new();
    for (rule, symbol, evidence) in &rows.events {
        if rule == "feed_gap" {
            let evidence: serde_json::Value = serde_json::from_str(evidence).expect("JSON");
            let shares = evidence["missing_volume"].as_f64().expect("a number") as i64;
            *named.entry(symbol.clone().expect("an issue")).or_insert(0) += shares;
        }
    }
    for (symbol, shares) in &rows.late {
        *named.entry(symbol.clone()).or_insert(0) -= shares;
    }
    named.retain(|_, shares| *shares != 0);
    named
}

/// Shares of the lost trades behind which another one of the issue came, by issue: what a gap can
/// tell of. A lost first trade is a late start, a lost last one nobody can know of.
pub(crate) fn lost_shares(exchange: &Exchange, rows: &Rows) -> BTreeMap<String, i64> {
    let trades = exchange.trades();
    let mut shares = BTreeMap::new();
    let mut waiting: BTreeMap<_, i64> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for trade in trades {
        if !rows.trades.contains(&(trade.symbol, trade.cum_volume)) {
            if started.contains(&trade.symbol) {
                *waiting.entry(trade.symbol).or_insert(0) += trade.quantity;
            }
        } else {
            started.insert(trade.symbol);
            if let Some(missed) = waiting.remove(&trade.symbol) {
                *shares.entry(trade.symbol.to_string()).or_insert(0) += missed;
            }
        }
    }
    shares
}

/// The calls kept KIS's limits: no token refused for haste, few calls refused for speed.
fn limits_kept(exchange: &Exchange) {
    let counts = exchange.sim().request_counts();
    let of = |outcome: &str| -> u64 {
        counts.iter().filter(|((_, code), _)| code == outcome).map(|(_, count)| count).sum()
    };
    assert_eq!(of("EGW00133"), 0, "{counts:?}");
    assert!(of("EGW00201") <= 3, "{counts:?}");
}

/// Plays a day with `faults` and checks everything that must hold; the rows and the exchange.
fn survive(faults: &str) -> (Rows, Exchange) {
    survive_leaving(faults, 0)
}

/// The same where the daemon leaves sessions, with up to `unread` trades under way.
fn survive_leaving(faults: &str, unread: usize) -> (Rows, Exchange) {
    let exchange = Exchange::start(&Plan { faults, ..Plan::default() });
    let mut daemon = exchange.daemon().start();
    let rows = played_out(&exchange, &mut daemon, unread);
    let done: u64 = exchange.sim().fault_counts().iter().map(|count| count.struck).sum();
    assert!(faults.is_empty() || done > 0, "no fault was played");
    (rows, exchange)
}

#[test]
fn a_day_without_faults_is_stored_whole() {
    let (rows, exchange) = survive("");
    assert!(exchange.lost().is_empty() && rows.failures.is_empty());
    assert!(exchange.trades().len() > 5_000);
}

#[test]
fn lines_that_end_are_opened_again() {
    let faults = "cut:at=09:20:00;1006:at=09:40:00;close:at=09:55:00,code=1001;cut:at=10:10:00";
    survive(faults);
}

#[test]
fn lost_repeated_and_reordered_frames_cost_what_was_lost() {
    survive("lose:p=0.002;duplicate:p=0.01;reorder:p=0.005");
}

#[test]
fn frames_that_are_wrong_are_kept_and_the_rest_goes_on() {
    let faults = "wrong-count:p=0.001;truncate:p=0.001;garbage:p=0.001";
    let (rows, _) = survive_leaving(faults, 400);
    assert!(!rows.failures.is_empty());
}

#[test]
fn a_registration_that_falls_silent_is_asked_for_anew() {
    let (rows, _) = survive("drop-subscription:at=09:30:00,symbol=000030,tr=H0STCNT0");
    let mute = |(rule, symbol, evidence): &(String, Option<String>, String)| {
        rule == "feed_stale" && symbol.as_deref() == Some("000030") && evidence.contains("mute")
    };
    assert!(rows.events.iter().any(mute), "{:?}", rows.events);
}

#[test]
fn a_session_that_only_says_pingpong_is_left() {
    survive("mute:at=09:30:00");
}

#[test]
fn a_session_without_any_message_is_left() {
    survive("mute-all:at=09:30:00");
}

#[test]
fn a_slow_server_and_bursts_lose_nothing() {
    let (_, exchange) = survive("slow:at=09:10:00,ms=5,for=600s;burst:at=09:40:00,for=300s");
    assert!(exchange.lost().is_empty());
}

#[test]
fn refused_keys_and_connections_are_tried_again() {
    let faults = "in-use:times=2;approval-expired;cut:at=09:30:00;refuse-connect:for=2s,after=2";
    survive(faults);
}

#[test]
fn trouble_of_rest_does_not_reach_the_feed() {
    let faults = "http:code=EGW00316,p=0.1,times=20;http:code=429,p=0.05,times=5;\
                  token-expired:after=12;http-cut:p=0.02,times=4;cut:at=09:45:00";
    survive(faults);
}

#[test]
fn a_day_of_random_faults_ends_with_the_bars_of_the_exchange() {
    let faults = "lose:p=0.0005;duplicate:p=0.002;reorder:p=0.002;wrong-count:p=0.0003;\
                  truncate:p=0.0003;garbage:p=0.0003;cut:p=0.00004;1006:p=0.00004;\
                  close:p=0.00004,code=1001;mute:at=11:00:00;\
                  drop-subscription:at=13:00:00,symbol=000050,tr=H0STCNT0;http:code=EGW00316,p=0.05";
    let exchange =
        Exchange::start(&Plan { faults, until: "15:30", speed: 900.0, ..Plan::default() });
    let mut daemon = exchange.daemon().start();
    played_out(&exchange, &mut daemon, 400);
}

/// Ends the second session; nobody can connect again.
fn a_session_dies(exchange: &Exchange) {
    for fault in ["refuse-connect:for=600s", "cut:session=2"] {
        exchange.sim().inject(fault.parse().expect("a fault"));
    }
}

#[test]
fn three_keys_carry_78_issues_and_two_when_one_dies() {
    let plan = Plan { issues: 78, keys: 3, speed: 60.0, until: "11:00", ..Plan::default() };
    let exchange = Exchange::start(&plan);
    let mut daemon = exchange.daemon().start();
    daemon.wait_ready(PATIENCE);
    let confirmed = "bongsu_feed_registrations{state=\"confirmed\"}";
    let unplaced = "bongsu_feed_registrations{state=\"unplaced\"}";
    // 78 trades, the index, the market's state and 43 books fill 3 × 41 slots.
    daemon.wait_metric(confirmed, 123.0, PATIENCE);
    // The second session dies and cannot come back.
    a_session_dies(&exchange);
    let two = || {
        let metrics = daemon.metrics();
        metrics[confirmed] == 82.0 && metrics["bongsu_feed_registrations{state=\"missing\"}"] == 0.0
    };
    wait_until(Duration::from_secs(20), two, "82 registrations on two sessions");
    assert!(daemon.metric(unplaced) > 0.0, "books gave way");
    let (_, ready) = daemon.get("/readyz");
    assert!(ready.contains("1 of 3 sessions"), "{ready}");
    assert!(!ready.contains("polled"), "every trade has a slot: {ready}");
}

#[test]
fn with_120_issues_and_a_dead_key_what_does_not_fit_is_polled_and_said_so() {
    let plan = Plan { issues: 120, keys: 3, speed: 60.0, until: "11:00", ..Plan::default() };
    let exchange = Exchange::start(&plan);
    let mut daemon = exchange.daemon().env("BONGSU_FEED__BOOKS", "off").start();
    daemon.wait_ready(PATIENCE);
    daemon.wait_metric("bongsu_feed_registrations{state=\"confirmed\"}", 123.0, PATIENCE);
    a_session_dies(&exchange);
    let said = || daemon.get("/readyz").1.contains("38 issues have no registration and are polled");
    wait_until(Duration::from_secs(30), said, "/readyz says that 38 issues are polled");
    daemon.wait_metric("bongsu_ticks_total{kind=\"sample\"}", 38.0, PATIENCE);
    // What is polled is scored like the rest.
    let last = exchange.symbols().last().expect("an issue").to_string();
    wait_until(PATIENCE, || daemon.get(&format!("/v1/risk/{last}")).0 == 200, "a score for it");
}
