//! Faults of the data stream over real sockets: what the client sees, and what is on record.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Socket, answer, approval, ask, connect, options, start};
use super::market;
use crate::kis::sim::faults::FaultKind;
use crate::kis::sim::{
    Feed, FrameShape, Playback, PlayedTrade, RunningSim, SimOptions, SimSource, SimSpeed,
};

const SCRIPT: &str = r#"
about: five minutes of two issues
day: "2026-09-15"
speed: 300
session: {start: "10:00", end: "10:05"}
market_volatility: 1.0
trades_per_minute: 60
indices: []
issues:
  - {code: "005930", name: 삼성전자, market: KOSPI, price: 71200, volatility: 1.5, beta: 1.0, volume: 14000000, shares: 5919637922}
  - {code: "000660", name: SK하이닉스, market: KOSPI, price: 171200, volatility: 1.5, beta: 1.0, volume: 4000000, shares: 728002365}
phases: []
"#;
pub(super) const SAMSUNG: &str = "005930";
pub(super) const HYNIX: &str = "000660";

/// Five minutes as fast as they go, with these faults.
pub(super) async fn play(faults: &str) -> RunningSim {
    play_with(faults, options()).await
}

pub(super) async fn play_with(faults: &str, options: SimOptions) -> RunningSim {
    let folder = tempfile::tempdir().unwrap();
    let faults = crate::kis::sim::FaultSpec::parse_list(faults).unwrap();
    let source = script(&folder);
    let speed = Some(SimSpeed::Max);
    start(SimOptions { source, speed, faults, audit: true, ..options }).await
}

fn script(folder: &tempfile::TempDir) -> SimSource {
    let path = folder.path().join("short.yaml");
    std::fs::write(&path, SCRIPT).unwrap();
    market(path.to_str().unwrap())
}

/// The trade frames of `codes` as they are without a fault.
fn expected(codes: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let playback =
        Playback::load(&script(&folder), options().seed, None, FrameShape::default()).unwrap();
    let mut frames = playback.into_frames();
    let mut expected = Vec::new();
    while let Some((info, frame)) = frames.next() {
        if info.feed == Feed::Trade && codes.contains(&info.symbol.as_str()) {
            expected.push(String::from_utf8(frame.to_vec()).unwrap());
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    expected
}

/// What a client got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) frames: Vec<String>,
    pub(super) binary: usize,
    pub(super) pings: usize,
    /// Code and reason of a close frame, or how else the connection ended.
    pub(super) end: Option<String>,
}

/// A session that is subscribed to the trades of `codes`.
pub(super) async fn subscribed(sim: &RunningSim, codes: &[&str]) -> Socket {
    let key = approval(sim).await;
    let mut socket = connect(sim).await;
    for code in codes {
        ask(&mut socket, &key, "1", "H0STCNT0", code).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
    }
    socket
}

/// Everything up to the end of the session or of the day. The day's end is told from the answer to
/// a last message, so that this needs no waiting.
pub(super) async fn all(sim: &RunningSim, socket: &mut Socket) -> Got {
    let mut got = Got::default();
    let mut asked = false;
    let work = async {
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                () = sim.finished(), if !asked => {
                    asked = true;
                    socket.send(Message::text("the end")).await.unwrap();
                    continue;
                }
            };
            match message {
                Some(Ok(Message::Text(text))) if text.contains("PINGPONG") => got.pings += 1,
                Some(Ok(Message::Text(text))) if text.contains("OPSP9999") => return,
                Some(Ok(Message::Text(text))) => got.frames.push(text.to_string()),
                Some(Ok(Message::Binary(_))) => got.binary += 1,
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.unwrap();
                    got.end = Some(format!("{} {}", u16::from(frame.code), frame.reason));
                    return;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    got.end = Some(error.to_string());
                    return;
                }
                None => {
                    got.end = Some("nothing".into());
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap();
    got
}

async fn samsung(faults: &str) -> (RunningSim, Got) {
    let sim = play(faults).await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    let got = all(&sim, &mut socket).await;
    (sim, got)
}

/// Cumulative volumes of trade frames of one record.
fn volumes<'a>(frames: impl IntoIterator<Item = &'a String>) -> BTreeSet<i64> {
    frames.into_iter().map(|frame| frame.split('^').nth(13).unwrap().parse().unwrap()).collect()
}

fn missing(sim: &RunningSim, code: &str) -> BTreeSet<i64> {
    sim.undelivered().into_iter().filter(|row| row.0.as_str() == code).map(|row| row.2).collect()
}

#[tokio::test]
async fn without_a_fault_all_is_delivered_and_the_audit_says_so() {
    let (sim, got) = samsung("").await;
    let all = expected(&[SAMSUNG]);
    assert_eq!(got.frames, all);
    assert_eq!(missing(&sim, SAMSUNG), BTreeSet::new());
    let played: Vec<PlayedTrade> = sim.trades_played().collect();
    assert_eq!(played.len(), expected(&[SAMSUNG, HYNIX]).len());
    let mine: Vec<_> = played.iter().filter(|trade| trade.symbol.as_str() == SAMSUNG).collect();
    for (trade, frame) in mine.iter().zip(&all) {
        let fields: Vec<&str> = frame.splitn(4, '|').nth(3).unwrap().split('^').collect();
        assert_eq!(fields[1], format!("{:06}", trade.at.time_of_day().hhmmss()));
        assert_eq!(fields[2], trade.price.to_string());
        assert_eq!(
            (fields[12], fields[13]),
            (&*trade.quantity.to_string(), &*trade.cum_volume.to_string())
        );
    }
    // Nobody asked for the other issue.
    assert_eq!(missing(&sim, HYNIX), volumes(&expected(&[HYNIX])));
    assert!(sim.faults().is_empty());
}

#[tokio::test]
async fn a_lost_frame_is_a_gap_on_record() {
    let (sim, got) = samsung("lose:every=50,times=2").await;
    let mut all = expected(&[SAMSUNG]);
    let lost: Vec<String> = [99, 49].map(|at| all.remove(at)).to_vec();
    assert_eq!(got.frames, all);
    assert_eq!(missing(&sim, SAMSUNG), volumes(&lost));
    let records = sim.faults();
    let recorded: BTreeSet<i64> =
        records.iter().map(|record| record.lost.unwrap().last_cum_volume).collect();
    assert_eq!(recorded, volumes(&lost));
    let first = &records[0];
    assert_eq!((first.kind, first.session, first.ordinal), (FaultKind::Lose, Some(1), 50));
    assert_eq!((first.tr.as_deref(), first.symbol.unwrap().as_str()), (Some("H0STCNT0"), SAMSUNG));
    assert_eq!((sim.fault_counts()[0].fired, sim.fault_counts()[0].struck), (2, 2));
}

#[tokio::test]
async fn frames_come_twice_or_late() {
    let all = expected(&[SAMSUNG]);
    for (fault, order) in [
        ("duplicate:after=5", vec![4, 5, 5, 6, 7, 8, 9]),
        ("duplicate:after=5,frames=2", vec![4, 5, 6, 7, 5, 8, 9]),
        ("reorder:after=5", vec![4, 6, 5, 7, 8, 9]),
        ("reorder:after=5,frames=3,any", vec![4, 6, 7, 8, 5, 9]),
    ] {
        let (sim, got) = samsung(fault).await;
        let order: Vec<&String> = order.into_iter().map(|at| &all[at]).collect();
        assert_eq!(got.frames[4..4 + order.len()].iter().collect::<Vec<_>>(), order, "{fault}");
        assert_eq!(volumes(&got.frames), volumes(&all), "{fault}");
        assert_eq!(missing(&sim, SAMSUNG), BTreeSet::new(), "{fault}");
    }
    // What waits for frames that never come is sent at the end of the day.
    let (_, got) = samsung("reorder:frames=10000").await;
    assert_eq!(got.frames.last(), all.first());
}

#[tokio::test]
async fn frames_are_spoilt() {
    let all = expected(&[SAMSUNG]);
    let (sim, got) = samsung("wrong-count:after=5").await;
    assert_eq!(got.frames[5], all[5].replacen("|001|", "|002|", 1));
    assert_eq!(missing(&sim, SAMSUNG), volumes([&all[5]]));

    let (sim, got) = samsung("truncate:after=5").await;
    assert_eq!(got.frames[5], all[5][..all[5].len() / 2]);
    assert_eq!(got.frames[6], all[6]);
    assert_eq!(missing(&sim, SAMSUNG), volumes([&all[5]]));

    let (sim, got) = samsung("garbage:after=5").await;
    assert!(!got.frames[5].starts_with("0|"), "{}", got.frames[5]);
    assert_eq!(got.frames[6..], all[5..]);
    assert_eq!(missing(&sim, SAMSUNG), BTreeSet::new());

    let (_, got) = samsung("garbage:after=5,times=3,form=binary").await;
    assert_eq!((got.binary, got.frames), (3, all.clone()));

    let (_, got) = samsung("garbage:after=5,form=utf8").await;
    assert_eq!(got.frames, all[..5]);
    assert!(got.end.unwrap().contains("UTF-8"));
}

#[tokio::test]
async fn connections_end_in_three_ways() {
    let all = expected(&[SAMSUNG]);
    let broken = Error::Protocol(
        tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
    )
    .to_string();
    for (fault, end) in [
        ("cut:after=50", broken.as_str()),
        ("1006:after=50", broken.as_str()),
        ("close:after=50", "1001 server maintenance"),
        ("close:after=50,code=4000,reason=점검", "4000 점검"),
    ] {
        let (sim, got) = samsung(fault).await;
        assert_eq!(got.frames, all[..50], "{fault}");
        assert_eq!(got.end.as_deref(), Some(end), "{fault}");
        let lost = sim.faults()[0].lost.unwrap();
        assert_eq!(BTreeSet::from([lost.last_cum_volume]), volumes([&all[50]]), "{fault}");

        // The clock has stopped for want of subscribers; the next session goes on, with a gap.
        let mut socket = subscribed(&sim, &[SAMSUNG]).await;
        let rest = all_frames(&sim, &mut socket).await;
        assert!(all.ends_with(&rest) && !rest.is_empty(), "{fault}: {}", rest.len());
        let gap = &all[50..all.len() - rest.len()];
        assert_eq!(missing(&sim, SAMSUNG), volumes(gap), "{fault}");
    }
}

async fn all_frames(sim: &RunningSim, socket: &mut Socket) -> Vec<String> {
    all(sim, socket).await.frames
}

#[tokio::test]
async fn silence_of_a_session() {
    let options = SimOptions { ping_every: Duration::from_millis(20), ..options() };
    let all_of_it = expected(&[SAMSUNG]);
    let begun = |frames: &[String]| all_of_it.starts_with(frames) && frames.len() == 50;
    let sim = play_with("mute:after=50", options.clone()).await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    let got = all(&sim, &mut socket).await;
    assert!(begun(&got.frames) && got.end.is_none(), "{}", got.frames.len());
    assert_eq!(missing(&sim, SAMSUNG), volumes(&all_of_it[50..]));
    // The session lives: its pings go on.
    assert!(super::client::next_text(&mut socket).await.contains("PINGPONG"));
    assert_eq!(sim.fault_counts()[0].struck as usize, all_of_it.len() - 50);

    // A muted minute ends.
    let sim = play_with("mute:at=10:01:00,for=60s", options.clone()).await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    let got = all(&sim, &mut socket).await;
    let heard = |frame: &&String| {
        let time = frame.splitn(4, '|').nth(3).unwrap().split('^').nth(1).unwrap();
        !("100100".."100200").contains(&time)
    };
    assert_eq!(got.frames, all_of_it.iter().filter(heard).cloned().collect::<Vec<_>>());

    // Not even an answer comes, and no ping.
    let sim = play_with("mute-all:after=50", options.clone()).await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    let mut frames = Vec::new();
    while frames.len() < 50 {
        let text = super::client::next_text(&mut socket).await;
        if text.starts_with("0|") {
            frames.push(text);
        }
    }
    assert!(begun(&frames));
    sim.finished().await;
    socket.send(Message::text("anybody?")).await.unwrap();
    let silence = async {
        while let Some(Ok(message)) = socket.next().await {
            let late_ping = message.to_text().is_ok_and(|text| text.contains("PINGPONG"));
            assert!(late_ping, "{message}");
        }
    };
    // Ten pings would have been due.
    assert!(tokio::time::timeout(Duration::from_millis(200), silence).await.is_err());

    let sim = play_with("no-ping", options).await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    let got = all(&sim, &mut socket).await;
    assert_eq!((got.frames.len(), got.pings), (all_of_it.len(), 0));
    assert!(tokio::time::timeout(Duration::from_millis(200), socket.next()).await.is_err());
}

#[tokio::test]
async fn a_registration_falls_silent_and_is_healed_by_asking_again() {
    let hynix = expected(&[HYNIX]);
    let sim = play("drop-subscription:from-start,symbol=005930").await;
    let mut socket = subscribed(&sim, &[SAMSUNG, HYNIX]).await;
    let got = all(&sim, &mut socket).await;
    assert_eq!(got.frames, hynix, "acknowledged, and never any data");
    assert_eq!(missing(&sim, SAMSUNG), volumes(&expected(&[SAMSUNG])));

    let sim = play("drop-subscription:symbol=005930,after=20").await;
    let mut socket = subscribed(&sim, &[SAMSUNG, HYNIX]).await;
    let got = all(&sim, &mut socket).await;
    let samsung: Vec<_> = got.frames.iter().filter(|frame| frame.contains(SAMSUNG)).collect();
    assert_eq!(samsung.len(), 20);
    assert_eq!(got.frames.len(), 20 + hynix.len());

    // Asked for anew before the clock runs, it is whole again.
    let sim = play("drop-subscription:from-start,symbol=005930").await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for kind in ["1", "2", "1"] {
        ask(&mut socket, &key, kind, "H0STCNT0", SAMSUNG).await;
        assert_eq!(answer(&mut socket).await["body"]["rt_cd"], "0");
    }
    assert_eq!(all(&sim, &mut socket).await.frames, expected(&[SAMSUNG]));
}

#[tokio::test]
async fn slow_and_in_bursts() {
    let all_of_it = expected(&[SAMSUNG]);
    let sim = play("slow:after=10,ms=30").await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    for _ in 0..10 {
        super::client::next_text(&mut socket).await;
    }
    let began = std::time::Instant::now();
    for frame in &all_of_it[10..20] {
        assert_eq!(&super::client::next_text(&mut socket).await, frame);
    }
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());

    let (sim, got) = samsung("burst:at=10:01:00,for=60s").await;
    assert_eq!(got.frames, all_of_it, "late, but in order and whole");
    assert_eq!(missing(&sim, SAMSUNG), BTreeSet::new());
    assert_eq!(sim.faults()[0].kind, FaultKind::Burst);
    let held = volumes(&all_of_it).len() as u64;
    let struck = sim.fault_counts()[0].struck;
    assert!(struck > 10 && struck < held, "{struck} of {held}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let faults = "lose:p=0.05;duplicate:p=0.02,frames=3;garbage:p=0.03,symbol=000660;\
                  wrong-count:p=0.02;1006:after=400";
    let run = |seed| async move {
        let sim = play_with(faults, SimOptions { seed, ..options() }).await;
        let mut socket = subscribed(&sim, &[SAMSUNG, HYNIX]).await;
        let got = all(&sim, &mut socket).await;
        (sim.faults(), got, missing(&sim, SAMSUNG))
    };
    let first = run(1).await;
    assert!(first.0.len() > 20, "{}", first.0.len());
    assert!(first == run(1).await, "another run, the same faults and frames");
    assert!(first.0 != run(2).await.0, "another seed, other faults");
}

#[tokio::test]
async fn a_fault_from_now_on() {
    let sim = play("").await;
    let mut socket = subscribed(&sim, &[SAMSUNG]).await;
    sim.inject("lose:after=5".parse().unwrap());
    let mut all_of_it = expected(&[SAMSUNG]);
    let got = all(&sim, &mut socket).await;
    assert_eq!(sim.faults().len(), 1);
    let lost = sim.faults()[0].lost.unwrap().last_cum_volume;
    all_of_it.retain(|frame| !volumes([frame]).contains(&lost));
    assert_eq!(got.frames, all_of_it);
}
