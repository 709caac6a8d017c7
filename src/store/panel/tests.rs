use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
};

use super::*;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const HEADER: &str = "date,symbol,open,high,low,close,volume,halted,jump\n";

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bars.csv", text);
    let error = read(&[path], &[], Join::BySymbol).unwrap_err().to_string();
    error.rsplit_once("bars.csv: ").map(|(_, what)| what.to_owned()).unwrap_or(error)
}

#[test]
fn what_is_wrong_is_named() {
    let row =
        |row: &str| refused(&format!("{HEADER}2024-08-02,005930,1,1,1,1,1,false,false\n{row}\n"));
    assert_eq!(
        row("2024-08-05,005930,1,1,1,x,1,false,false"),
        "row 2, column `close` holds \"x\"; expected a number or nothing"
    );
    assert_eq!(
        row("2024-08-05,005930,1,1,1,,1,false,false"),
        "row 2, column `close` holds nothing; expected a price above 0"
    );
    assert_eq!(
        row("2024-08-32,005930,1,1,1,1,1,false,false"),
        "row 2, column `date` holds \"2024-08-32\"; expected a date like 2024-08-05"
    );
    assert!(row("2024-08-05,005930,1,1,1,1,-4,false,false").contains("column `volume` holds -4"));
    assert!(row("2024-08-05,5930.KS,1,1,1,1,1,no,").contains("column `halted` holds \"no\""));
    assert!(row("2024-08-05,5930.KS,1,1,1,1,1,,").contains("column `symbol` holds \"5930.KS\""));
    assert!(
        row("2024-08-02,005930,1,1,1,2,1,false,false")
            .contains("two different rows for 2024-08-02")
    );
    assert_eq!(
        refused("date,symbol,open\n"),
        "column `high` is missing; expected a header line with this name"
    );
    let other = read(&["bars.txt".into()], &[], Join::BySymbol).unwrap_err().to_string();
    assert!(other.contains("ending in .parquet or .csv"), "{other}");
    let absent = read(&["none.parquet".into()], &[], Join::BySymbol).unwrap_err().to_string();
    assert!(absent.contains("cannot read none.parquet"), "{absent}");
}

#[test]
fn files_are_joined_the_first_counts() {
    let folder = tempfile::tempdir().unwrap();
    let first = file(
        &folder,
        "a.csv",
        &format!(
            "{HEADER}2024-08-05,005930,10,11,9,10,5,false,false\n2024-08-02,005930,,,,9,0,true,false\n"
        ),
    );
    let second = file(
        &folder,
        "b.csv",
        "date,symbol,open,high,low,close,volume\n20240805,005930,99,99,99,99,1\n20240806,005930,20,20,20,20,1\n20240806,000660,1,1,1,1,1\n",
    );
    let files = [first, second];
    let panel = read(&files, &[], Join::BySymbol).unwrap();
    assert_eq!(panel.info.symbols, 2);
    let bars = &panel.issues[1].bars;
    assert_eq!(bars.close, [9.0, 10.0, 20.0]);
    assert_eq!(bars.halted, [true, false, false]);
    assert!(bars.open[0].is_nan());
    // 99 to 20 in the second file: beyond the limit, which it does not say itself.
    assert_eq!(bars.jump, [false, false, true]);
    assert_eq!(panel.info.to.to_string(), "2024-08-06");
    let apart = read(&files, &[], Join::Apart).unwrap();
    assert_eq!((apart.info.symbols, apart.info.rows), (3, 5));
}

#[test]
fn the_fingerprint_is_of_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let row = "2024-08-05,005930,10,11,9,10,5,false,false\n";
    let a = file(&folder, "a.csv", &format!("{HEADER}{row}"));
    let b = file(&folder, "b.csv", &format!("{HEADER}{row}{row}"));
    let c = file(&folder, "c.csv", &format!("{HEADER}{}", row.replace(",5,", ",6,")));
    let hash =
        |path: &PathBuf| read(std::slice::from_ref(path), &[], Join::BySymbol).unwrap().info.sha256;
    assert_eq!(hash(&a), hash(&b), "the same row twice is one");
    assert_ne!(hash(&a), hash(&c));
    let with = read(
        std::slice::from_ref(&a),
        &[file(&folder, "i.csv", "date,series,close\n2024-08-05,VIX,20\n")],
        Join::BySymbol,
    )
    .unwrap();
    assert_ne!(with.info.sha256, hash(&a));
    assert!(with.indices["VIX"].open[0].is_nan());
    assert_eq!(read_universe(&a).unwrap().len(), 1);
    assert!(has_bars(&a).unwrap());
    assert!(!has_bars(&file(&folder, "codes.csv", "symbol\n005930\n")).unwrap());
}

/// What pandas writes: snappy, nanoseconds, floating-point prices with gaps, several row groups.
#[test]
fn parquet_of_other_writers_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pandas.parquet");
    let day = |at: i64| (19_940 + at) * 86_400_000_000_000;
    let codes: DictionaryArray<Int32Type> =
        vec!["000660", "005930", "005930"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("date", Arc::new(TimestampNanosecondArray::from(vec![day(0), day(1), day(0)]))),
        ("symbol", Arc::new(codes)),
        ("open", Arc::new(Float64Array::from(vec![Some(9.5), None, Some(20.0)]))),
        ("high", Arc::new(Float64Array::from(vec![Some(10.5), Some(0.0), Some(21.0)]))),
        ("low", Arc::new(Float64Array::from(vec![9.0, 0.0, 19.0]))),
        ("close", Arc::new(Int64Array::from(vec![10, 20, 20]))),
        ("volume", Arc::new(Int64Array::from(vec![7, 0, 5]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(2))
        .build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let panel = read(std::slice::from_ref(&path), &[], Join::BySymbol).unwrap();
    let bars = &panel.issues[1].bars;
    assert_eq!(
        (bars.date.as_slice(), bars.close.as_slice()),
        (&[19_940, 19_941][..], &[20.0, 20.0][..])
    );
    assert!(bars.halted[1] && bars.open[1].is_nan() && bars.high[1].is_nan() && !bars.halted[0]);
    let error = read(&[], &[path], Join::BySymbol).unwrap_err().to_string();
    assert!(error.contains("column `series` is missing"), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bars.parquet", "bars.csv"] {
        let path = folder.path().join(name);
        let price = |value: f64| Column::Numbers(vec![value, value / 3.0]);
        let columns = [
            ("date", Column::Days(vec![19_940, 19_941])),
            ("symbol", Column::Texts(vec!["00088K".into(); 2])),
            ("open", price(10.0)),
            ("high", price(11.0)),
            ("low", price(9.0)),
            ("close", price(10.0)),
            ("volume", Column::Integers(vec![3, 4])),
        ];
        write_table(&path, &columns).unwrap();
        let bars = read(&[path], &[], Join::BySymbol).unwrap().issues.remove(0).bars;
        assert_eq!(bars.close, [10.0, 10.0 / 3.0], "{name}");
        assert_eq!((bars.volume, bars.jump), (vec![3.0, 4.0], vec![false, true]), "{name}");
    }
    assert!(write_table(Path::new("x.txt"), &[]).is_err());
}
