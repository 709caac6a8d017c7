//! The database is not there at the start, or at the end.

use super::{
    HANDLED, PATIENCE, TRADES, assert_undisturbed, parts, playing, ready_line, spilled_files,
    temp_dir, trades_in, wait_down, wait_healed, wait_until,
};
use crate::support::{Daemon, http_get, skip};

/// The daemon starts without its database, spills, makes the tables when the server comes.
#[test]
fn away_at_the_start() {
    let (ticks, mut database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    database.kill9();
    let mut daemon = playing(&ticks, &database.url()).start();
    let answers = || http_get(daemon.address(), "/healthz").is_ok();
    wait_until(PATIENCE, answers, "the daemon to answer");
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    wait_down(&daemon, &["database: down", "Connection refused", "spill"]);
    assert_eq!(daemon.get("/healthz").0, 200);
    database.restart();
    wait_healed(&daemon, &database);
    daemon.stop();
    assert_undisturbed(&database, &ticks);
}

/// What waiting does not help against ends the start at once, with the reason.
#[test]
fn wrong_at_the_start() {
    let (ticks, database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let wrong = [
        (database.url().replace("beacon", "torch"), "Access denied"),
        (database.url().replace("/bongsu", "/elsewhere"), "elsewhere"),
    ];
    for (url, reason) in wrong {
        let mut daemon = playing(&ticks, &url).start();
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(1));
        let log = daemon.process().log();
        assert!(log.contains(reason) && !log.contains("torch"), "{log}");
    }
}

/// The process dies with rows in the spill; the next one, which plays something else, writes them.
#[test]
fn a_crash_with_rows_in_the_spill() {
    let (ticks, mut database) = match parts() {
        Ok(parts) => parts,
        Err(reason) => skip!("{reason}"),
    };
    let dir = temp_dir();
    let mut daemon = playing(&ticks, &database.url()).dir(dir.path()).start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || trades_in(&database) > 0.0, "the first trades in the database");
    database.kill9();
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    wait_down(&daemon, &["spill"]);
    let settled = || {
        daemon.metric("bongsu_mailbox_depth{actor=\"recorder\"}") == 0.0
            && daemon.metric("bongsu_mailbox_depth{actor=\"alert\"}") == 0.0
    };
    wait_until(PATIENCE, settled, "everything in the spill");
    // The last minute's scores come with the end of the session only; they are no part of this.
    daemon.stop();
    assert!(spilled_files(&daemon) > 0, "a stop keeps the spill");
    // As a crash leaves it: a part of the last entry.
    let spill = dir.path().join("var/spill");
    let torn = spill.join("9999999999.spill");
    std::fs::write(&torn, b"BONGSPL1\xF5ent\x40\0\0\0").expect("a torn file can be made");

    database.restart();
    let mut next = Daemon::setup()
        .args(["run", "--market", "calm"])
        .env("DATABASE_URL", database.url())
        .dir(dir.path())
        .start();
    next.wait_ready(PATIENCE);
    let session = "select count(*) from trade_logs where ts < '2020-06-05'";
    let all = || database.sql(session) == TRADES.to_string();
    wait_until(PATIENCE, all, "the session's trades in the database");
    wait_until(PATIENCE, || spilled_files(&next) == 0, "an empty spill");
    wait_until(PATIENCE, || ready_line(&next, "database").1.contains("up"), "health");
    let torn = "select count(*) from etl_failures where reason = 'damaged_spill'";
    wait_until(PATIENCE, || database.sql(torn) == "1", "the torn entry in etl_failures");
    next.stop();
    assert_undisturbed(&database, &ticks);
}
