//! Whatever comes over the wire: good trades are stored once, bad frames are kept by name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::kis_peer::{Record, frame, trade};
use crate::support::stored::{journaled, stored};
use crate::support::{Daemon, KisPeer, temp_dir, wait_until};

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const SAMSUNG: &str = "005930";
const HYNIX: &str = "000660";

/// A frame that must be refused.
struct Bad {
    payload: Vec<u8>,
    binary: bool,
    reason: &'static str,
    source: &'static str,
    /// Part of what the row says about it.
    detail: &'static str,
}

fn bad(payload: impl Into<Vec<u8>>, reason: &'static str, detail: &'static str) -> Bad {
    Bad { payload: payload.into(), binary: false, reason, source: "H0STCNT0", detail }
}

/// What a row keeps of a payload: at most 4 KiB, and how long it was.
fn excerpt(payload: &[u8]) -> String {
    const KEPT: usize = 4_096;
    let text = String::from_utf8_lossy(payload).into_owned();
    if text.len() <= KEPT {
        return text;
    }
    let mark = format!("…[cut: {} bytes in all]", payload.len());
    format!("{}{mark}", &text[..KEPT - mark.len()])
}

fn bad_frames() -> Vec<Bad> {
    let good = || trade(SAMSUNG, "090100", 70_000, 10, 1_000_000);
    let whole = good().frame();
    let announces = |count: &str| whole.replacen("|001|", count, 1);
    let over_long = format!("0|H0STCNT0|001|{}", "7".repeat(70_000));
    vec![
        Bad { source: "feed", ..bad("what is this", "bad_head", "three \"|\"") },
        bad(&whole.as_bytes()[..whole.len() / 2], "too_narrow", "expected at least 46"),
        bad(over_long, "too_long", "the frame has 70015 bytes: expected at most 65536"),
        bad(announces("|003|"), "count_mismatch", "announces 3 records and has 46 fields"),
        bad(
            frame(&[good(), good()]).replacen("|002|", "|001|", 1),
            "count_mismatch",
            "announces 1 records and has 92 fields",
        ),
        bad(announces("|abc|"), "bad_head", "a count of 1 to 4 digits above zero"),
        Bad {
            binary: true,
            ..bad(
                [whole.as_bytes(), b"^\xff\xfe"].concat(),
                "not_utf8",
                "the frame is not UTF-8 text",
            )
        },
        Bad { binary: true, source: "feed", ..bad(*b"\x00\x01\x80\xff", "not_utf8", "byte 2") },
        Bad { source: "H0ZZZZZ0", ..bad("0|H0ZZZZZ0|001|a^b", "unknown_tr", "\"H0ZZZZZ0\"") },
        Bad { source: "H0STCNI0", ..bad("1|H0STCNI0|001|c2VjcmV0", "encrypted", "encrypted") },
        bad("0|H0STCNT0|001|", "empty", "no payload"),
        bad(good().with(2, "7x000").frame(), "bad_price", "STCK_PRPR"),
        bad(good().with(2, "0").frame(), "bad_price", "STCK_PRPR"),
        bad(good().with(1, "246060").frame(), "bad_time", "STCK_CNTG_HOUR"),
        bad(good().with(33, "20261345").frame(), "bad_date", "BSOP_DATE"),
        bad(good().with(12, "-5").frame(), "bad_quantity", "CNTG_VOL"),
        bad(good().with(13, "3").frame(), "bad_cum_volume", "ACML_VOL"),
        bad(good().with(0, "00 5930").frame(), "bad_symbol", "MKSC_SHRN_ISCD"),
        bad(good().with(35, "Z").frame(), "bad_code", "TRHT_YN"),
        bad(good().with(4, "70000").frame(), "inconsistent", "PRDY_VRSS"),
    ]
}

/// `KRX:<code>:<day>:<cumulative volume>` of trades number `1..=count`, ten shares each.
fn keys(symbol: &str, count: i64) -> Vec<String> {
    (1..=count).map(|number| format!("KRX:{symbol}:20260915:{}", number * 10)).collect()
}

/// Trade number `number` of `symbol`: ten shares each, one a second.
fn nth(symbol: &str, number: i64) -> Record {
    let time = format!("09{:02}{:02}", number / 60, number % 60);
    trade(symbol, &time, 70_000 + number % 7 * 100, 10, number * 10)
}

fn wait_trades(daemon: &Daemon, count: i64) {
    daemon.wait_metric(r#"bongsu_ticks_total{kind="trade"}"#, count as f64, SOON);
}

/// The `feed_gap` events: symbol, missing volume, cause.
fn gaps(daemon: &Daemon) -> Vec<(String, f64, f64)> {
    let events = daemon.json("/v1/events?type=threat&pattern=bongsu.threat.feed_gap&limit=1000");
    let events = events["events"].as_array().expect("a list");
    events
        .iter()
        .map(|published| {
            assert_eq!(published["channel"], "bongsu.threat.feed_gap");
            let data = &published["event"]["data"];
            let number = |name: &str| data["evidence"][name].as_f64().expect("a number");
            let symbol = data["symbol"].as_str().expect("a code").to_owned();
            (symbol, number("missing_volume"), number("cause"))
        })
        .collect()
}

#[test]
fn bad_frames_are_kept_by_name_and_good_trades_are_stored_once() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let mut daemon = peer.daemon(&[SAMSUNG, HYNIX]).dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);

    // An index print has no date: it waits for the first trade, and is judged then.
    let index = format!("0|H0UPCNT0|001|0001^090000^high{}", "^".repeat(27));
    peer.send(&index);
    let waited = Bad { source: "H0UPCNT0", ..bad(index, "bad_price", "prpr_nmix is \"high\"") };
    // Between the others, good trades of two issues, those of one sent twice.
    let mut bad_frames = bad_frames();
    let mut number = 0;
    for bad in &bad_frames {
        number += 1;
        for symbol in [SAMSUNG, HYNIX] {
            peer.send(&nth(symbol, number).frame());
        }
        if bad.binary {
            peer.send_binary(&bad.payload);
        } else {
            peer.send(std::str::from_utf8(&bad.payload).expect("a text message"));
        }
        peer.send(&nth(SAMSUNG, number).frame());
    }
    // A frame of three records, the middle one bad: one row, and the good ones are used.
    let mixed =
        frame(&[nth(SAMSUNG, number + 1), nth(HYNIX, 999).with(2, ""), nth(SAMSUNG, number + 2)]);
    peer.send(&mixed);
    bad_frames.push(bad(mixed, "bad_price", "record 1: "));
    // A message without a byte.
    peer.send("");
    bad_frames.push(Bad { source: "feed", ..bad("", "empty", "no payload") });
    bad_frames.insert(0, waited);
    // The last word: when it is counted, everything before it is.
    peer.send(&nth(SAMSUNG, number + 3).frame());
    let (samsung, hynix) = (number + 3, number);
    wait_trades(&daemon, samsung + hynix);

    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(gaps(&daemon), [], "nothing is missing");
    let metrics = daemon.metrics();
    assert_eq!(metrics[r#"bongsu_ticks_total{kind="duplicate"}"#], hynix as f64);
    assert_eq!(metrics[r#"bongsu_ticks_total{kind="trade"}"#], (samsung + hynix) as f64);
    daemon.stop();

    let stored = stored(dir.path());
    let mut found: Vec<&str> = stored.trades.iter().map(|row| row.source_key.as_str()).collect();
    found.sort_unstable();
    let mut expected = [keys(SAMSUNG, samsung), keys(HYNIX, hynix)].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);

    let mut by_reason = BTreeMap::<&str, f64>::new();
    for (row, bad) in stored.failures.iter().zip(&bad_frames) {
        *by_reason.entry(bad.reason).or_default() += 1.0;
        let place = (row.stage.as_str(), row.source.as_str(), row.reason.as_str());
        assert_eq!(place, ("normalizer", bad.source, bad.reason), "{row:?}");
        assert!(row.detail.contains(bad.detail), "{row:?}");
        assert_eq!(row.payload, excerpt(&bad.payload));
        let (segment, offset) = (row.journal_segment.unwrap(), row.journal_offset.unwrap());
        assert_eq!(journaled(dir.path(), segment, offset).as_ref(), Some(&bad.payload));
        assert_eq!(row.payload_ref, format!("journal:{segment}:{offset}:0"));
    }
    assert_eq!(stored.failures.len(), bad_frames.len(), "{:#?}", stored.failures);
    for (reason, count) in &by_reason {
        let series = format!(r#"bongsu_rejects_total{{reason="{reason}"}}"#);
        assert_eq!(metrics[&series], *count, "{series}");
    }
    let rejects = metrics.iter().filter(|(series, _)| series.starts_with("bongsu_rejects_total"));
    assert_eq!(rejects.map(|(_, value)| value).sum::<f64>(), bad_frames.len() as f64);
}

#[test]
fn a_gap_is_told_to_the_share_also_over_a_lost_connection() {
    let (dir, peer) = (temp_dir(), KisPeer::start());
    let mut daemon = peer.daemon(&[SAMSUNG, HYNIX]).dir(dir.path()).start();
    peer.wait_subscribed(1, 2);
    daemon.wait_ready(READY);
    // A first trade with a past is a late start, no gap.
    peer.send(&trade(HYNIX, "090001", 70_000, 10, 5_000).frame());
    peer.send(&trade(SAMSUNG, "090001", 70_000, 10, 10).frame());
    // 1,230 shares were traded in between, unseen.
    peer.send(&trade(SAMSUNG, "090004", 70_100, 10, 1_250).frame());
    let skipped = (SAMSUNG.to_owned(), 1_230.0, 2.0);
    wait_until(SOON, || !gaps(&daemon).is_empty(), "a gap");
    assert_eq!(gaps(&daemon), std::slice::from_ref(&skipped));

    peer.disconnect();
    peer.wait_subscribed(2, 2);
    daemon.wait_ready(READY);
    // One issue lost 77 shares while the line was down, the other none.
    peer.send(&trade(SAMSUNG, "090010", 70_000, 3, 1_330).frame());
    peer.send(&trade(HYNIX, "090010", 70_000, 10, 5_010).frame());
    wait_trades(&daemon, 5);
    let lost = (SAMSUNG.to_owned(), 77.0, 1.0);
    wait_until(SOON, || gaps(&daemon).len() >= 2, "a second gap");
    assert_eq!(gaps(&daemon), [skipped, lost]);
    assert_eq!(daemon.metric(r#"bongsu_feed_losses_total{cause="closed"}"#), 1.0);
    daemon.stop();
    let stored = stored(dir.path());
    assert_eq!((stored.trades.len(), stored.failures.len()), (5, 0));
}
