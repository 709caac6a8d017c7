//! The journal and its disk: a disk that fills up and gets room again, a cap, damage, and what the
//! commands say of it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use bongsu::journal::{Journal, JournalOptions};
use bongsu::messages::{FrameBatch, FrameKind};
use serde_json::Value;

use crate::support::kis_peer::trade;
use crate::support::stored::stored;
use crate::support::{Daemon, KisPeer, skip, temp_dir, wait_until};

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);
const SAMSUNG: &str = "005930";
const HYNIX: &str = "000660";
const TRADES: &str = r#"bongsu_ticks_total{kind="trade"}"#;
const REFUSED: &str = "bongsu_journal_write_errors_total";
const RESTARTS: &str = r#"bongsu_actor_restarts_total{actor="ingest"}"#;

/// A disk of some MiB of memory at a folder; unmounted when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: &Path, mib: u64) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder can be made");
        let size = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "bongsu-test"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self { at: at.to_owned() })
    }

    /// Takes so many MiB, or all there is.
    fn take(&self, mib: usize) -> PathBuf {
        let path = self.at.join("ballast");
        let mut file = File::create(&path).expect("a file can be made");
        let chunk = vec![b'x'; 4_096];
        for _ in 0..mib * 256 {
            if file.write_all(&chunk).is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.at).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.at.display());
        }
    }
}

/// Trade `number` of an issue: ten shares, one a second.
fn nth(symbol: &str, number: i64) -> String {
    let time = format!("09{:02}{:02}", number / 60, number % 60);
    trade(symbol, &time, 70_000, 10, number * 10).frame()
}

fn send(peer: &KisPeer, numbers: std::ops::RangeInclusive<i64>) {
    for number in numbers {
        peer.send(&nth(SAMSUNG, number));
        peer.send(&nth(HYNIX, number));
    }
}

/// Waits for `/readyz` to answer `status` with all of `words` in the journal's line.
#[track_caller]
fn wait_said(daemon: &Daemon, status: u16, words: &[&str]) {
    let said = || {
        let (answer, text) = daemon.get("/readyz");
        let line = text.lines().find(|line| line.starts_with("journal:")).unwrap_or_default();
        answer == status && words.iter().all(|word| line.contains(word))
    };
    wait_until(SOON, said, &format!("/readyz {status} with {words:?}"));
}

fn bongsu(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .args(["journal"])
        .args(arguments)
        .arg("--journal")
        .arg(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(folder)
        .output()
        .expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Everything that was sent is stored, in the journal, and the journal is whole.
#[track_caller]
fn assert_nothing_lost(dir: &Path, count: i64) {
    let mut found: Vec<_> =
        stored(dir).trades.iter().map(|row| (row.symbol.clone(), row.cum_volume)).collect();
    found.sort_unstable();
    let all = [HYNIX, SAMSUNG]
        .into_iter()
        .flat_map(|symbol| (1..=count).map(move |number| (symbol.to_owned(), number * 10)));
    assert_eq!(found, all.collect::<Vec<_>>());
    let folder = dir.join("var/journal");
    let verified = bongsu(&["verify"], &folder);
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    let dumped = bongsu(&["dump", "--kind", "data", "--json"], &folder);
    let payloads: Vec<String> = text(&dumped.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["payload"].to_string())
        .collect();
    for (symbol, number) in [SAMSUNG, HYNIX].iter().flat_map(|s| (1..=count).map(move |n| (s, n))) {
        let frame = Value::from(nth(symbol, number)).to_string();
        assert_eq!(payloads.iter().filter(|payload| **payload == frame).count(), 1, "{frame}");
    }
}

#[test]
fn a_full_disk_is_waited_for_and_costs_nothing() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let Some(disk) = SmallDisk::mount(&dir.path().join("var"), 48) else {
        skip!("this user may not mount a tmpfs");
    };
    let setup = peer.daemon(&[SAMSUNG, HYNIX]).env("BONGSU_JOURNAL__MIN_FREE_MIB", "16");
    let mut daemon = setup.dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    send(&peer, 1..=10);
    daemon.wait_metric(TRADES, 20.0, SOON);

    let ballast = disk.take(36);
    wait_said(&daemon, 503, &["down", "nearly full", "journal.min_free_mib", "is all there is"]);
    send(&peer, 11..=30);
    daemon.wait_metric(REFUSED, 3.0, SOON);
    // Nothing is passed on that is not journaled, and nobody is restarted for it.
    assert_eq!(daemon.metric(TRADES), 20.0);
    assert_eq!(daemon.metric(RESTARTS), 0.0);

    std::fs::remove_file(ballast).expect("the ballast can be deleted");
    daemon.wait_metric(TRADES, 60.0, SOON);
    wait_said(&daemon, 200, &["up"]);
    assert_eq!(daemon.metric(RESTARTS), 0.0);
    send(&peer, 31..=40);
    daemon.wait_metric(TRADES, 80.0, SOON);
    daemon.stop();
    assert_nothing_lost(dir.path(), 40);
}

#[test]
fn not_one_byte_left_is_no_reason_to_end_or_to_litter() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let folder = dir.path().join("var/journal");
    let Some(disk) = SmallDisk::mount(&folder, 4) else {
        skip!("this user may not mount a tmpfs");
    };
    // Full before the start: there is not even room for a segment's header.
    let ballast = disk.take(8);
    let setup = peer.daemon(&[SAMSUNG, HYNIX]).env("BONGSU_JOURNAL__MIN_FREE_MIB", "0");
    let mut daemon = setup.env("BONGSU_JOURNAL__DURABILITY", "power").dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    wait_said(&daemon, 503, &["down", "No space left"]);
    send(&peer, 1..=5);
    daemon.wait_metric(REFUSED, 3.0, SOON);
    std::fs::remove_file(ballast).expect("the ballast can be deleted");
    daemon.wait_metric(TRADES, 10.0, SOON);
    wait_said(&daemon, 200, &["up"]);

    // Full in the middle of writing.
    let ballast = disk.take(8);
    let before = daemon.metric(REFUSED);
    // More than a page of the file may still hold.
    send(&peer, 6..=40);
    daemon.wait_metric(REFUSED, before + 4.0, SOON);
    assert!(daemon.metric(TRADES) < 80.0);
    wait_said(&daemon, 503, &["down", "No space left"]);
    assert_eq!(daemon.metric(RESTARTS), 0.0);
    std::fs::remove_file(ballast).expect("the ballast can be deleted");
    daemon.wait_metric(TRADES, 80.0, SOON);
    daemon.stop();
    assert_nothing_lost(dir.path(), 40);
    let listed = bongsu(&["ls", "--json"], &folder);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed["segments"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn a_stop_while_the_disk_is_full_says_what_it_could_not_do() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let folder = dir.path().join("var/journal");
    let Some(disk) = SmallDisk::mount(&folder, 4) else {
        skip!("this user may not mount a tmpfs");
    };
    let setup = peer.daemon(&[SAMSUNG, HYNIX]).env("BONGSU_JOURNAL__MIN_FREE_MIB", "1");
    let mut daemon = setup.dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    send(&peer, 1..=5);
    daemon.wait_metric(TRADES, 10.0, SOON);
    let ballast = disk.take(8);
    wait_said(&daemon, 503, &["down", "nearly full"]);
    send(&peer, 6..=10);
    daemon.wait_metric(REFUSED, 2.0, SOON);
    daemon.process().signal("TERM");
    let status = daemon.wait_exit(Duration::from_secs(12));
    assert_eq!(status.code(), Some(1), "frames were left");
    assert!(daemon.process().log().contains("did not stop when asked"));
    std::fs::remove_file(ballast).expect("the ballast can be deleted");
    let verified = bongsu(&["verify"], &folder);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let dumped = bongsu(&["dump", "--symbol", SAMSUNG, "--kind", "data"], &folder);
    assert_eq!(text(&dumped.stdout).lines().count(), 5);
}

#[test]
fn a_cap_lets_go_what_nobody_needs_and_says_what_it_cannot() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    // 4 MiB, in segments of one.
    let setup = peer.daemon(&[SAMSUNG, HYNIX]).env("BONGSU_JOURNAL__MAX_GIB", "0.00390625");
    let mut daemon = setup.dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    send(&peer, 1..=5);
    // Refused downstream, but journaled: 8 MiB.
    let long = format!("0|H0STCNT0|001|{}", "x".repeat(60_000));
    for _ in 0..140 {
        peer.send(&long);
    }
    send(&peer, 6..=10);
    daemon.wait_metric(TRADES, 20.0, SOON);
    let deleted = || daemon.metric("bongsu_journal_segments_deleted_total") > 0.0;
    let said = || {
        let (status, text) = daemon.get("/readyz");
        let words = ["degraded", "more than journal.max_gib (4 MiB)", "segment 1 is kept because"];
        status == 200 && words.iter().all(|word| text.contains(word))
    };
    wait_until(SOON, || deleted() || said(), "the cap is kept, or it is said why not");
    daemon.stop();
    let rows = stored(dir.path()).trades.len();
    assert_eq!(rows, 20);
}

/// A journal of two runs, the first of three segments.
fn journal(folder: &Path) -> Vec<bongsu::market::RecordRef> {
    let mut places = Vec::new();
    for run in 0..2i64 {
        let options = JournalOptions { segment_bytes: 150, ..JournalOptions::new(folder.into()) };
        let mut journal = Journal::open(options).expect("a journal");
        for number in 0..6 - 4 * run {
            let mut frames = FrameBatch::new();
            let micros = 1_700_000_000_000_000 + (run * 10 + number) * 1_000_000;
            let symbol = if number % 2 == 0 { SAMSUNG } else { HYNIX };
            frames.push(FrameKind::Data, micros, nth(symbol, 1).as_bytes());
            places.extend(journal.append(&frames).expect("room"));
        }
    }
    places
}

#[test]
fn verify_names_the_damage_and_exits_with_1() {
    let dir = temp_dir();
    let places = journal(dir.path());
    let sound = bongsu(&["verify"], dir.path());
    assert!(sound.status.success(), "{}", text(&sound.stderr));
    assert!(text(&sound.stdout).contains("8 records"), "{}", text(&sound.stdout));

    // A torn tail at the end of a run is normal and said.
    let last = places[7];
    let path = dir.path().join(format!("{:08}.journal", last.segment));
    let mut bytes = std::fs::read(&path).expect("a segment");
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&path, bytes).expect("it can be written");
    let torn = bongsu(&["verify"], dir.path());
    assert!(torn.status.success());
    assert!(text(&torn.stdout).contains(&format!("ends at byte {}", last.offset)));

    let (segment, offset) = (places[1].segment, places[1].offset);
    let path = dir.path().join(format!("{segment:08}.journal"));
    let mut bytes = std::fs::read(&path).expect("a segment");
    let end = bytes.len();
    bytes[offset as usize + 40] ^= 8;
    std::fs::write(&path, bytes).expect("it can be written");
    let damaged = bongsu(&["verify"], dir.path());
    assert_eq!(damaged.status.code(), Some(1));
    let said = text(&damaged.stdout);
    let range = format!("segment {segment} is damaged from byte {offset} to byte {end}");
    assert!(said.contains(&range), "{said}");
    let damaged = bongsu(&["verify", "--json"], dir.path());
    assert_eq!(damaged.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&damaged.stdout).expect("JSON");
    assert_eq!(report["damage"][0]["from"], offset);
    assert_eq!((&report["damage"][0]["to"], &report["records"]), (&end.into(), &6.into()));
    assert_eq!(report["torn"][0]["segment"], last.segment);
}

#[test]
fn ls_and_dump_show_what_was_asked_for() {
    let dir = temp_dir();
    let places = journal(dir.path());
    let listed = bongsu(&["ls", "--json"], dir.path());
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let segments = listed["segments"].as_array().expect("a list");
    assert!(segments.len() > 3, "{listed}");
    assert_eq!(segments[0]["first_received"], "2023-11-15T07:13:20+09:00");
    assert_eq!((&segments[0]["run"], &segments[0]["state"]), (&1.into(), &"whole".into()));
    assert!(text(&bongsu(&["ls"], dir.path()).stdout).contains("whole"));

    let lines = |arguments: &[&str]| {
        let output = bongsu(&[&["dump"], arguments].concat(), dir.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&[]).len(), 8);
    assert_eq!(lines(&["--symbol", HYNIX]).len(), 4);
    assert_eq!(lines(&["--kind", "silence"]).len(), 0);
    assert_eq!(lines(&["--from", "2023-11-15T07:13:21", "--to", "2023-11-15T07:13:24"]).len(), 3);
    let place = format!("{}:{}", places[3].segment, places[3].offset);
    let one = lines(&["--position", &place, "--limit", "1"]);
    assert!(one.len() == 1 && one[0].starts_with(&place), "{one:?}");
    let second = lines(&["--segment", "2"]);
    assert!(!second.is_empty() && second.iter().all(|line| line.starts_with("2:")), "{second:?}");
    let wrong = bongsu(&["dump", "--position", "1:33"], dir.path());
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("1:33 is not between two records"));
}
