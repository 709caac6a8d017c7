//! The database fails while the daemon runs.

use std::cell::RefCell;
use std::time::Duration;

use super::{
    HANDLED, PATIENCE, TRADES, assert_undisturbed, memory, parts, playing, ready_line, sleeper,
    spilled_files, temp_dir, trades_in, wait_down, wait_healed, wait_until,
};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{http_get, skip};

/// The whole session passes while nobody takes rows: the pipeline does not wait, memory stays
/// flat, the rows lie on disk, and they are all there afterwards.
#[test]
fn away_for_longer_than_any_inbox_holds() {
    let (ticks, mut database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let mut daemon = playing(&ticks, &database.url()).start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || trades_in(&database) > 0.0, "the first trades in the database");
    database.kill9();
    let stored_before = daemon.metric("bongsu_store_rows_total{table=\"trade_logs\"}");
    assert!(stored_before < TRADES, "the outage came when everything was stored");
    wait_down(&daemon, &["database: down", "MiB wait in the spill", "since"]);
    let before = memory(&mut daemon);
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.metric("bongsu_dependency_up{dependency=\"database\"}"), 0.0);
    assert_eq!(daemon.metric("bongsu_dependency_losses_total{dependency=\"database\"}"), 1.0);
    let spilled = || daemon.metric("bongsu_mailbox_depth{actor=\"recorder\"}") == 0.0;
    wait_until(PATIENCE, spilled, "the Recorder to take everything");
    assert!(daemon.metric("bongsu_spill_bytes") > 1e5);
    let grown = memory(&mut daemon).saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes more during the outage");

    database.restart();
    wait_healed(&daemon, &database);
    assert_eq!(spilled_files(&daemon), 0);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// A restart in order, twice, in the middle of the session.
#[test]
fn restarted() {
    let (ticks, mut database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let mut daemon = playing(&ticks, &database.url()).start();
    daemon.wait_ready(PATIENCE);
    for enough in [1.0, 20_000.0] {
        wait_until(PATIENCE, || trades_in(&database) >= enough, "trades in the database");
        database.stop();
        database.restart();
    }
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// Connections are killed again and again, in the middle of transactions.
#[test]
fn connections_killed_in_the_middle_of_a_batch() {
    let (ticks, database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let mut daemon = playing(&ticks, &database.url()).start();
    daemon.wait_ready(PATIENCE);
    let mut killed = 0;
    let work = || {
        killed += database.kill_connections();
        trades_in(&database) >= TRADES
            || daemon.metric("bongsu_store_failures_total{fault=\"away\"}") >= 5.0
    };
    wait_until(PATIENCE, work, "connections to be killed in their work");
    assert!(killed > 0);
    assert!(daemon.metric("bongsu_store_failures_total{fault=\"away\"}") > 0.0);
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// The server answers each piece late, then swallows everything without telling anybody.
#[test]
fn slow_and_then_silent() {
    let (ticks, database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let proxy = Proxy::start(database.port());
    let url = database.url().replace(&database.port().to_string(), &proxy.port().to_string());
    let setup = playing(&ticks, &url).env("BONGSU_DATABASE__TIMEOUT_MS", "1500");
    let mut daemon = setup.start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || trades_in(&database) > 0.0, "the first trades in the database");
    proxy.set(Mode::Slow(Duration::from_millis(700)));
    wait_down(&daemon, &["no answer within", "spill"]);
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    proxy.set(Mode::Swallow);
    let failures = || daemon.metric("bongsu_store_failures_total{fault=\"slow\"}");
    let before = failures();
    // More silent connections than the pool holds.
    wait_until(PATIENCE, || failures() >= before + 5.0, "tries against a silent server");
    assert_eq!(ready_line(&daemon, "database").0, 503);
    proxy.set(Mode::Refuse);
    let away = || daemon.metric("bongsu_store_failures_total{fault=\"away\"}") >= 2.0;
    wait_until(PATIENCE, away, "tries against a server that refuses");
    proxy.set(Mode::Pass);
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// The server has no connection left for us, from the start on; then it takes no writes.
#[test]
fn no_connection_left_and_read_only() {
    let (ticks, database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let dir = temp_dir();
    database.admin("set global max_connections = 10");
    let holders: RefCell<Vec<_>> =
        RefCell::new((0..20).map(|_| sleeper(&database, dir.path())).collect());
    let held = "select count(*) from information_schema.processlist where info like '%sleep(6%' \
                and user = 'bongsu'";
    let all_held = || {
        let count = database.try_admin(held);
        // Who asks may have had the place of one that was refused then: another takes it.
        if count.as_deref().is_some_and(|count| count != "10") {
            holders.borrow_mut().push(sleeper(&database, dir.path()));
        }
        count.as_deref() == Some("10")
    };
    wait_until(PATIENCE, all_held, "all connections to be held");
    let mut daemon = playing(&ticks, &database.url()).start();
    let answers = || http_get(daemon.address(), "/healthz").is_ok();
    wait_until(PATIENCE, answers, "the daemon to answer");
    wait_down(&daemon, &["Too many connections", "spill"]);
    // The server goes on with the statement of a client that has died.
    drop(holders);
    wait_until(PATIENCE, || database.kill_connections() > 0, "the holders to be killed");
    let set = "set global read_only = 1; set global max_connections = 100";
    wait_until(PATIENCE, || database.try_admin(set).is_some(), "a server with room");
    wait_down(&daemon, &["it takes no writes"]);
    database.admin("set global read_only = 0");
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// At the spill's limit the pipeline waits, and says so; nothing is lost.
#[test]
fn a_full_spill_holds_the_pipeline_up() {
    let (ticks, mut database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let setup = playing(&ticks, &database.url()).env("BONGSU_DATABASE__SPILL_MIB", "1");
    let mut daemon = setup.start();
    daemon.wait_ready(PATIENCE);
    database.kill9();
    wait_down(&daemon, &["no more rows find room", "database.spill_mib"]);
    assert!(daemon.metric("bongsu_spill_bytes") <= f64::from(1 << 20));
    database.restart();
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}
