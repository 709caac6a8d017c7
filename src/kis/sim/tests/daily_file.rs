//! Days rebuilt from a small file of daily bars, written here: works without real data.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;

use super::client::{call, options, start, token};
use super::*;
use crate::kis::sim::{Feed, SimOptions};
use crate::market::{Market, SessionDay};

type Row = (&'static str, Option<&'static str>, u32, [Option<i32>; 3], i32, i64, bool);

/// Two sessions: an ordinary issue, one whose high lies below its close, a halted one without
/// levels, one that found no trade, one that is not there on the second day.
const ROWS: [Row; 9] = [
    (
        "000001",
        Some("KOSPI"),
        20_240_802,
        [Some(10_000), Some(10_100), Some(9_900)],
        10_050,
        5_000,
        false,
    ),
    (
        "000001",
        Some("KOSPI"),
        20_240_805,
        [Some(9_800), Some(9_807), Some(8_003)],
        8_500,
        90_000,
        false,
    ),
    (
        "000002",
        Some("KOSDAQ"),
        20_240_802,
        [Some(3_000), Some(3_000), Some(2_900)],
        2_950,
        700,
        false,
    ),
    (
        "000002",
        Some("KOSDAQ"),
        20_240_805,
        [Some(2_900), Some(2_890), Some(2_700)],
        2_910,
        800,
        false,
    ),
    ("000003", None, 20_240_802, [None, None, None], 4_000, 0, true),
    ("000003", None, 20_240_805, [None, None, None], 4_000, 0, true),
    ("000004", Some("KOSPI"), 20_240_802, [Some(500), Some(500), Some(500)], 500, 3, false),
    ("000004", Some("KOSPI"), 20_240_805, [Some(500), Some(500), Some(500)], 500, 0, false),
    ("000005", Some("KOSPI"), 20_240_802, [Some(700), Some(700), Some(700)], 700, 1, false),
];

fn write(path: &Path, with_halted: bool) {
    let day = |number| SessionDay::from_yyyymmdd(number).unwrap().epoch_days();
    let level = |which: usize| -> ArrayRef {
        Arc::new(ROWS.iter().map(|row| row.3[which]).collect::<Int32Array>())
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("date", Arc::new(ROWS.iter().map(|row| Some(day(row.2))).collect::<Date32Array>())),
        ("symbol", Arc::new(StringArray::from_iter_values(ROWS.iter().map(|row| row.0)))),
        ("name", Arc::new(StringArray::from_iter_values(ROWS.iter().map(|_| "이름")))),
        ("market", Arc::new(ROWS.iter().map(|row| row.1).collect::<StringArray>())),
        ("open", level(0)),
        ("high", level(1)),
        ("low", level(2)),
        ("close", Arc::new(Int32Array::from_iter_values(ROWS.iter().map(|row| row.4)))),
        ("volume", Arc::new(Int64Array::from_iter_values(ROWS.iter().map(|row| row.5)))),
    ];
    if with_halted {
        columns.push((
            "halted",
            Arc::new(ROWS.iter().map(|row| Some(row.6)).collect::<BooleanArray>()),
        ));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn disorder_is_clamped_and_halted_issues_do_not_trade() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daily.parquet");
    write(&path, true);
    let playback = load(&data(path, "2024-08-05", None, None), FrameShape::default());
    let references = playback.references();
    let codes: Vec<&str> = references.iter().map(|r| r.symbol.as_str()).collect();
    assert_eq!(codes, ["000001", "000002", "000003", "000004"]);
    assert_eq!(references[0].base_price, Some(10_050));
    assert_eq!(references[0].previous_volume, Some(5_000));
    assert_eq!(references[1].market, Market::Kosdaq);
    let mut frames = playback.into_frames();
    let mut audit = TradeAudit::default();
    while let Some((info, frame)) = frames.next() {
        if info.feed == Feed::Trade {
            audit.take(&info, &records(frame)[0], true);
        }
    }
    let played = |issue: usize| {
        let s = frames.playback().issues[issue];
        (s.open, s.high, s.low, s.price, s.volume)
    };
    assert_eq!(played(0), (9_800, 9_807, 8_003, 8_500, 90_000));
    // The file's high of 2,890 lies below open and close.
    assert_eq!(played(1), (2_900, 2_910, 2_700, 2_910, 800));
    assert_eq!((played(2).4, played(3).4), (0, 0));
}

#[test]
fn the_most_traded_issues_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daily.parquet");
    write(&path, true);
    let playback = load(&data(path, "2024-08-05", None, Some(1)), FrameShape::default());
    assert_eq!(playback.references()[0].symbol.as_str(), "000001");
    assert_eq!(playback.references().len(), 1);
}

#[test]
fn errors_name_the_day_and_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daily.parquet");
    write(&path, true);
    let error = |path: &Path, day: &str| {
        let source = data(path.into(), day, None, None);
        Playback::load(&source, 1, None, FrameShape::default()).unwrap_err().to_string()
    };
    let text = error(&path, "2024-08-06");
    assert!(
        text.contains("no session on 2024-08-06") && text.contains("2024-08-02 to 2024-08-05"),
        "{text}"
    );
    let bare = folder.path().join("bare.parquet");
    write(&bare, false);
    let text = error(&bare, "2024-08-05");
    assert!(
        text.contains("column \"halted\" is missing") && text.contains("bare.parquet"),
        "{text}"
    );
}

#[tokio::test]
async fn a_halted_issue_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daily.parquet");
    write(&path, true);
    // Without --day the last day of the file is played.
    let source = SimSource::Data { path, day: None, indices: None, symbols: None };
    let sim = start(SimOptions { source, ..options() }).await;
    let token = token(&sim).await;
    let query = "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=000003";
    let (_, answer) = call(&sim, &token, "FHKST01010100", query).await;
    assert_eq!(answer["output"]["iscd_stat_cls_code"], "58");
    assert_eq!(answer["output"]["temp_stop_yn"], "Y");
    assert_eq!(answer["output"]["stck_prpr"], "4000");
    assert_eq!(answer["output"]["acml_vol"], "0");
    sim.stop().await;
}
