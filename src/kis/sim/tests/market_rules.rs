//! What the market rules do to a day, as a subscriber sees it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::client::{call, options, start, token};
use super::*;
use crate::kis::sim::{Feed, SimEnv, SimOptions};
use crate::market::rules::vi::ViKind;
use crate::market::{EventTime, Market};

/// A frame and its records.
type Frame = (FrameInfo, Vec<Vec<String>>);

/// Every frame until the time `hhmmss`.
fn frames_until(hhmmss: u32, mut playback: Playback) -> (Vec<Frame>, Playback) {
    let (mut all, mut bytes) = (Vec::new(), Vec::new());
    while let Some(info) = playback.next_frame(&mut bytes) {
        if info.at.time_of_day().hhmmss() >= hhmmss {
            break;
        }
        all.push((info, records(&bytes)));
        bytes.clear();
    }
    (all, playback)
}

#[test]
fn interruptions_are_told_on_every_feed() {
    let (frames, playback) = frames_until(110_000, load(&market("crash"), FrameShape::default()));
    let list = playback.interruptions();
    let stopped: HashSet<&str> = list.iter().map(|vi| vi.symbol.as_str()).collect();
    assert!(stopped.contains("247540"), "the issue that crashes by itself: {stopped:?}");
    assert!(list.iter().all(|vi| vi.ended.is_some()), "the crash is over");

    let mut active: HashMap<String, EventTime> = HashMap::new();
    let mut just_ended: HashMap<String, String> = HashMap::new();
    let mut last: HashMap<String, Vec<String>> = HashMap::new();
    let (mut begun, mut ended, mut books, mut kinds) = (0, 0, 0, HashSet::new());
    let mut halted: HashSet<String> = HashSet::new();
    for (info, records) in &frames {
        let record = &records[0];
        let code = &record[0];
        match info.feed {
            Feed::Vi => {
                let code = &record[1];
                kinds.insert(record[7].clone());
                let vi = &list
                    .iter()
                    .find(|vi| vi.symbol.as_str() == code && vi.count.to_string() == record[13]);
                let vi = vi.unwrap();
                assert_eq!(record[2], vi.name);
                assert_eq!(record[3], if vi.market == Market::Kospi { "KSP" } else { "KSQ" });
                assert_eq!(record[6], format!("{:06}", vi.began.time_of_day().hhmmss()));
                assert_eq!(number(&record[8]), vi.breach.price);
                if record[4] == "Y" {
                    begun += 1;
                    assert_eq!(record[5], "000000");
                    assert_eq!(info.at, vi.began);
                    let dynamic = vi.breach.kind == ViKind::Dynamic;
                    let reference = if dynamic { "0" } else { &last[code][45] };
                    assert_eq!(record[9], reference);
                    assert!(active.insert(code.clone(), info.at).is_none());
                } else {
                    ended += 1;
                    let lasted = info.at.micros_since(active.remove(code).unwrap()) / 1_000_000;
                    assert!(lasted >= 120, "{lasted}");
                    // The auction print came just before, with the new reference.
                    let print = &last[code];
                    assert_eq!((print[21].as_str(), &print[45]), ("3", &print[2]));
                    assert_eq!(print[1], record[5]);
                    just_ended.insert(code.clone(), print[45].clone());
                }
            }
            Feed::Operation => match record[3].as_str() {
                "174" => drop(halted.insert(code.clone())),
                "182" => drop(halted.remove(code)),
                _ => {}
            },
            Feed::Book if record[2] == "C" => {
                books += 1;
                assert!(active.contains_key(code) || halted.contains(code), "{record:?}");
            }
            Feed::Trade => {
                if let Some(since) = active.get(code) {
                    assert!(record[21] == "3" && info.at > *since, "{record:?}");
                }
                if let Some(reference) = just_ended.remove(code) {
                    assert_eq!(record[45], reference);
                }
                last.insert(code.clone(), record.clone());
            }
            _ => {}
        }
    }
    assert_eq!((begun, ended), (list.len(), list.len()));
    assert!(books > 10 * begun, "{books} books for {begun} interruptions");
    assert!(kinds.contains("1"), "{kinds:?}");

    // The market operation feed says the same.
    let mut state: BTreeMap<String, String> = BTreeMap::new();
    let mut changes = 0;
    for (_, records) in frames.iter().filter(|(info, _)| info.feed == Feed::Operation) {
        let (code, vi) = (&records[0][0], &records[0][8]);
        let before = state.insert(code.clone(), vi.clone()).unwrap_or_else(|| "N".into());
        changes += usize::from(before != *vi);
    }
    assert_eq!(changes, 2 * list.len());
}

#[test]
fn a_circuit_breaker_is_acted_out() {
    let (frames, _) = frames_until(160_000, load(&market("crash"), FrameShape::default()));
    let kospi: HashSet<&str> = ["005930", "000660"].into();
    let told = |code: &str| {
        let mut frames = frames.iter();
        let found = frames.find(|(info, records)| {
            info.feed == Feed::Operation && records[0][0] == "005930" && records[0][3] == code
        });
        found.map(|(info, _)| info.at)
    };
    let [halt, auction, open] = ["174", "184", "182"].map(|code| told(code).unwrap());
    assert_eq!(auction.micros_since(halt), 1_200_000_000);
    assert!((600..=630).contains(&(open.micros_since(auction) / 1_000_000)));
    let (mut traded, mut levels) = (0, HashSet::new());
    for (info, records) in &frames {
        let inside = info.at > halt && info.at < open;
        match info.feed {
            Feed::Trade if kospi.contains(records[0][0].as_str()) && inside => traded += 1,
            Feed::Index if records[0][0] == "0001" && inside => {
                levels.insert(records[0][2].clone());
            }
            _ => {}
        }
    }
    assert_eq!((traded, levels.len()), (0, 1), "no trade, and the index stands still");
    let at = |class: &str| {
        let books = frames.iter().filter(|(info, records)| {
            info.feed == Feed::Book && records[0][0] == "005930" && records[0][2] == class
        });
        books.map(|(info, _)| info.at.time_of_day().hhmmss()).collect::<Vec<_>>()
    };
    assert!(at("A").iter().all(|time| (152_000..153_030).contains(time)) && at("A").len() >= 19);
    assert!(at("B").iter().all(|time| (90_000..90_030).contains(time)) && at("B").len() == 1);
    assert!(told("121").unwrap() < told("129").unwrap());
}

#[test]
fn a_real_day_stops_where_it_did() {
    let test = "a_real_day_stops_where_it_did";
    let Some(path) = shared_data(test, "krx-daily-kospi-2020-2025.parquet") else { return };
    let Some(indices) = shared_data(test, "indices-1995-2025.parquet") else { return };
    let source = data(path, "2024-08-05", Some(indices), Some(40));
    let playback = Playback::load(&source, 7, Some(200), FrameShape::default()).unwrap();
    let (frames, _) = frames_until(160_000, playback);
    let codes: Vec<&str> = frames
        .iter()
        .filter(|(info, records)| info.feed == Feed::Operation && records[0][0] == "005930")
        .map(|(_, records)| records[0][3].as_str())
        .filter(|code| !code.is_empty())
        .collect();
    assert_eq!(codes, ["112", "174", "175", "184", "182", "185", "121", "129"]);
    let last_index = frames.iter().rev().find(|(_, records)| records[0][0] == "0001").unwrap();
    assert_eq!(last_index.1[0][9], "-8.77");
}

/// The built-in calm market with a halt written into its script.
fn with_halt(folder: &std::path::Path, halt: &str) -> SimSource {
    let text = include_str!("../../../../config/markets/calm.yaml");
    let path = folder.join("halted.yaml");
    std::fs::write(&path, format!("{text}\nhalts:\n  - {halt}\n")).unwrap();
    market(path.to_str().unwrap())
}

#[test]
fn a_script_can_halt_an_issue() {
    let folder = tempfile::tempdir().unwrap();
    let source = with_halt(folder.path(), r#"{code: "035420", from: "09:20", to: "10:05"}"#);
    let (frames, _) = frames_until(101_500, load(&source, FrameShape::default()));
    let mut halted = None;
    let mut told = Vec::new();
    for (info, records) in &frames {
        let record = &records[0];
        if record[0] != "035420" {
            continue;
        }
        match info.feed {
            Feed::Operation if halted != Some(record[1].clone()) => {
                told.push((info.at.time_of_day().hhmmss(), record[1].clone(), record[7].clone()));
                halted = Some(record[1].clone());
            }
            Feed::Trade => assert_ne!(halted.as_deref(), Some("Y"), "{record:?}"),
            _ => {}
        }
    }
    let expected = [(92_000, "Y", "58"), (100_500, "N", "00")];
    let told: Vec<_> = told.iter().map(|(at, a, b)| (*at, a.as_str(), b.as_str())).collect();
    assert_eq!(told[1..], expected);
}

#[test]
fn halts_of_a_script_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    for (halt, expected) in [
        (r#"{code: "999999", from: "09:20"}"#, "999999 is of an issue that is not in issues"),
        (r#"{code: "035420", from: "08:20"}"#, "035420 begins at 08:20:00; expected 09:00:00"),
        (r#"{code: "035420", from: "10:00", to: "09:30"}"#, "ends at 09:30:00; expected after 10"),
    ] {
        let source = with_halt(folder.path(), halt);
        let error = Playback::load(&source, 1, None, FrameShape::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn prices_stay_within_the_limits() {
    let playback = load(&market("crash"), FrameShape::default());
    for print in &playback.day.prints {
        let (lower, upper) = playback.day.issues[print.issue as usize].limits;
        assert!((lower..=upper).contains(&print.price.into()));
    }
}

#[tokio::test]
async fn rest_knows_of_an_interruption() {
    let sim = start(SimOptions { source: market("crash"), ..options() }).await;
    let token = token(&sim).await;
    let query = "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=247540";
    let state = async || {
        let (_, answer) = call(&sim, &token, "FHKST01010100", query).await;
        answer["output"]["vi_cls_code"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "N");
    let until = |wanted: bool| {
        let mut playback = sim.playback();
        while let Some(event) = playback.next() {
            let vi = playback.interruptions();
            let active = vi.iter().any(|vi| vi.symbol.as_str() == "247540" && vi.ended.is_none());
            if event.feed == Feed::Vi && active == wanted {
                return;
            }
        }
        panic!("no interruption");
    };
    until(true);
    assert_eq!(state().await, "Y");
    until(false);
    assert_eq!(state().await, "N");
    sim.stop().await;
}

#[tokio::test]
async fn paper_trading_has_no_vi_feed() {
    let sim = start(SimOptions { env: SimEnv::Mock, ..options() }).await;
    let approval = client::approval(&sim).await;
    let mut socket = client::connect(&sim).await;
    client::ask(&mut socket, &approval, "1", "H0UNVIC0", "005930").await;
    assert_eq!(client::answer(&mut socket).await["body"]["msg_cd"], "OPSP8991");
    sim.stop().await;
    let sim = start(options()).await;
    let approval = client::approval(&sim).await;
    let mut socket = client::connect(&sim).await;
    client::ask(&mut socket, &approval, "1", "H0UNVIC0", "005930").await;
    assert_eq!(client::answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
    sim.stop().await;
}
