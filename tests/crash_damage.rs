//! A journal that was damaged while nobody looked: the start says so, keeps the bytes, and goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::feed::{lost_shares, named};
use crate::support::exchange::{Exchange, Plan, Rows};
use crate::support::{Daemon, temp_dir, wait_until};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The newest segment of the daemon in `dir`.
fn newest_segment(dir: &Path) -> PathBuf {
    let folder = dir.join("var/journal");
    let files = fs::read_dir(&folder).expect("a journal").map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|kind| kind == "journal"));
    segments.max().expect("a segment")
}

/// The checkpoints of the daemon in `dir`, oldest first.
fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("var/checkpoints")).into_iter().flatten();
    let files = files.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "checkpoint")).collect();
    found.sort();
    found
}

/// Kills a daemon in the middle of a day, lets `harm` at its journal, and plays the day to its end:
/// the exchange, the log and the rows.
fn harmed(checkpoint_seconds: &str, harm: impl Fn(&Path)) -> (Exchange, String, Rows, Daemon) {
    let exchange = Exchange::start(&Plan { confirm: true, ..Plan::default() });
    let setup = exchange
        .daemon()
        .env("BONGSU_FEED__MUTE_SECONDS", "3600")
        .env("BONGSU_FEED__SILENCE_SECONDS", "60")
        .env("BONGSU_RISK__STALE_SECONDS", "600")
        .env("BONGSU_JOURNAL__CHECKPOINT_SECONDS", checkpoint_seconds);
    let mut daemon = setup.start();
    let half = || exchange.sim().trades_played().count() >= exchange.trade_count() / 2;
    wait_until(PATIENCE, half, "half of the day");
    let kept = || checkpoint_seconds == "0" || !checkpoints(daemon.dir()).is_empty();
    wait_until(PATIENCE, kept, "a checkpoint");
    daemon.kill9();
    harm(&newest_segment(daemon.dir()));
    daemon.restart();
    exchange.wait_played(PATIENCE * 2);
    let truth = exchange.minutes();
    let mended = || Rows::of(daemon.dir(), exchange.symbols()).minutes == truth;
    wait_until(PATIENCE * 2, mended, "the minutes of the exchange");
    daemon.stop();
    let rows = Rows::of(daemon.dir(), exchange.symbols());
    let log = daemon.process().log();
    (exchange, log, rows, daemon)
}

/// Every share that is missing in the rows is named by a gap.
#[track_caller]
fn what_is_missing_is_named(exchange: &Exchange, rows: &Rows) {
    let named = named(rows);
    for (symbol, shares) in lost_shares(exchange, rows) {
        let told = named.get(&symbol).copied().unwrap_or_default();
        assert!(told >= shares, "{symbol}: {shares} shares are missing, {told} are named");
    }
}

#[test]
fn a_bit_that_flipped_costs_its_record_and_is_kept_apart() {
    let (exchange, log, rows, daemon) = harmed("0", |segment| {
        let mut bytes = fs::read(segment).expect("the segment");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(segment, bytes).expect("the segment can be written");
    });
    assert!(log.contains("a part of the journal cannot be read"), "{log}");
    assert_eq!(rows.failures, ["damaged"]);
    let quarantine = daemon.dir().join("var/journal/quarantine");
    let kept: Vec<_> = fs::read_dir(quarantine).expect("a quarantine").collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    what_is_missing_is_named(&exchange, &rows);
}

#[test]
fn a_journal_cut_off_before_its_checkpoint_is_read_anew() {
    let (exchange, log, rows, _daemon) = harmed("1", |segment| {
        let newest = checkpoints(segment.ancestors().nth(3).expect("the folder")).pop();
        let newest = newest.expect("a checkpoint");
        let name = newest.file_stem().and_then(|name| name.to_str()).expect("a name");
        let (_, offset) = name.split_once('-').expect("segment and offset");
        let file = fs::OpenOptions::new().write(true).open(segment).expect("the segment");
        file.set_len(offset.parse::<u64>().expect("a number") - 7).expect("it can be cut");
    });
    assert!(log.contains("a checkpoint is not used"), "{log}");
    assert!(log.contains("caught up with the journal"), "{log}");
    what_is_missing_is_named(&exchange, &rows);
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used() {
    let dir = temp_dir();
    let exchange = Exchange::start(&Plan { confirm: true, ..Plan::default() });
    let setup = exchange
        .daemon()
        .dir(dir.path())
        .env("BONGSU_FEED__MUTE_SECONDS", "3600")
        .env("BONGSU_RISK__STALE_SECONDS", "600")
        .env("BONGSU_JOURNAL__CHECKPOINT_SECONDS", "1");
    let mut daemon = setup.start();
    exchange.wait_played(PATIENCE * 2);
    wait_until(PATIENCE, || !checkpoints(dir.path()).is_empty(), "a checkpoint");
    // The last one of a stop in good order comes on top.
    daemon.stop();
    let all = checkpoints(dir.path());
    let newest = all.last().expect("a checkpoint");
    let mut bytes = fs::read(newest).expect("the checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(newest, bytes).expect("it can be written");
    daemon.restart();
    daemon.wait_ready(PATIENCE);
    let log = daemon.process().log();
    assert!(
        log.contains("a checkpoint is not used") && log.contains("its checksum is wrong"),
        "{log}"
    );
    assert!(newest.with_extension("refused").exists());
    let caught_up = log.lines().rfind(|line| line.contains("caught up with the journal"));
    let before = if all.len() > 1 { "checkpoint=true" } else { "checkpoint=false" };
    assert!(caught_up.is_some_and(|line| line.contains(before)), "{log}");
    daemon.stop();
    let rows = Rows::of(dir.path(), exchange.symbols());
    assert_eq!(rows.minutes, exchange.minutes());
}
