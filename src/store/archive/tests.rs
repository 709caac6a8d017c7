use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;
use crate::market::{Side, Symbol, SymbolId, TimeOfDay, Trade, TradeFlags};
use crate::messages::FrameKind;
use crate::store::objects::{About, Bucket, LocalObjects, Objects};

const ID: SegmentId = SegmentId { segment: 7, first_received_us: 1_722_816_000_000_000 };

fn day(number: i32) -> SessionDay {
    SessionDay::from_epoch_days(19_940 + number)
}

fn at(offset: u32) -> RecordRef {
    RecordRef { segment: ID.segment, offset, record: 0 }
}

fn trade(second: u32) -> Trade {
    Trade {
        symbol: SymbolId(0),
        time: EventTime::from_kst(day(0), TimeOfDay::from_seconds(32_400 + second).unwrap()),
        price: 71_300,
        quantity: 3,
        cum_volume: 3 * i64::from(second),
        side: Side::Sell,
        flags: TradeFlags(TradeFlags::HALTED),
        ..Trade::default()
    }
}

/// Records: day, offset step, payload.
type Records = Vec<(i32, u32, Vec<u8>)>;

fn write(records: &Records, limits: ArchiveLimits) -> (Vec<FinishedFile>, Manifest) {
    let mut writer = SegmentWriter::new(ID, limits);
    let (mut files, mut offset) = (Vec::new(), 32);
    for (number, step, payload) in records {
        let row = FrameRow {
            at: at(offset),
            kind: FrameKind::Data,
            received_us: ID.first_received_us + i64::from(offset),
            payload,
        };
        writer.frame(day(*number), &row, &mut files).unwrap();
        offset += step;
    }
    let manifest = writer.finish(&mut files).unwrap();
    (files, manifest)
}

async fn put(objects: &Objects, key: &Key, bytes: bytes::Bytes) {
    objects.put(Bucket::RawData, key, bytes, About::default()).await.unwrap();
}

/// What a reader gives back of `files`.
async fn read(
    files: &[FinishedFile],
    manifest: &Manifest,
    only: Option<SessionDay>,
) -> Vec<ArchivedFrame> {
    let folder = tempfile::tempdir().unwrap();
    let write = |key: &Key, bytes: &[u8]| {
        let path = folder.path().join(key.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    files.iter().for_each(|file| write(&file.key, &file.bytes));
    write(&ID.manifest_key().unwrap(), &serde_json::to_vec(manifest).unwrap());
    let source = ArchiveSource::Folder(folder.path().to_owned());
    let mut reader = ArchiveReader::open(source, only).await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().await.unwrap() {
        frames.push(frame);
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However days are mixed and files are cut: the same records in the same order, the same bytes
    /// at the second time, files within their size, and a manifest that adds up.
    #[test]
    fn what_is_written_is_read(
        records in prop::collection::vec(
            (0..6i32, 24..400u32, prop::collection::vec(any::<u8>(), 0..100)), 1..300),
        open_days in 1..5usize,
        file_bytes in 200..40_000usize,
        group_rows in 1..300usize,
    ) {
        let limits = ArchiveLimits { file_bytes, group_rows, open_days, ..ArchiveLimits::default() };
        let (files, manifest) = write(&records, limits);
        let (again, same) = write(&records, limits);
        prop_assert_eq!(&same, &manifest);
        let bytes = |files: &[FinishedFile]| -> BTreeMap<Key, bytes::Bytes> {
            files.iter().map(|file| (file.key.clone(), file.bytes.clone())).collect()
        };
        prop_assert_eq!(bytes(&again), bytes(&files));
        prop_assert_eq!(bytes(&files).len(), files.len(), "no key comes twice");

        let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
        let sum: u64 = manifest.files.iter().map(|file| file.sums.payload_bytes).sum();
        prop_assert_eq!((rows, manifest.records), (records.len() as u64, records.len() as u64));
        prop_assert_eq!(sum, records.iter().map(|record| record.2.len() as u64).sum::<u64>());

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let frames = runtime.block_on(read(&files, &manifest, None));
        let payloads: Vec<_> = frames.iter().map(|frame| &frame.payload).collect();
        prop_assert_eq!(payloads, records.iter().map(|record| &record.2).collect::<Vec<_>>());
        prop_assert!(frames.is_sorted_by_key(|frame| frame.at.offset));

        let one = runtime.block_on(read(&files, &manifest, Some(day(2))));
        prop_assert_eq!(one.len(), records.iter().filter(|record| record.0 == 2).count());
    }
}

#[test]
fn a_file_is_closed_near_its_size() {
    // Payloads that do not compress.
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let records: Records =
        (0..4_000).map(|_| (0, 600, (0..500).map(|_| noise()).collect())).collect();
    let limits =
        ArchiveLimits { file_bytes: 400_000, group_bytes: 100_000, ..ArchiveLimits::default() };
    let (files, manifest) = write(&records, limits);
    assert!(files.len() > 2, "{}", files.len());
    // A batch of 1,024 rows, half a mebibyte, is the grain.
    assert!(files.iter().all(|file| file.bytes.len() < 1_000_000));
    let parts: Vec<_> = manifest.files.iter().map(|file| file.key.as_str()).collect();
    assert_eq!(parts[1], "kis/ws/dt=2024-08-05/00000007-1722816000000000-001.parquet");
    for file in &files {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
        let groups = builder.metadata().row_groups();
        assert!(groups.iter().all(|group| group.total_byte_size() < 600_000), "{groups:?}");
    }
}

#[test]
fn ticks_have_typed_columns() {
    let mut writer = SegmentWriter::new(ID, ArchiveLimits::default());
    let mut files = Vec::new();
    let symbol: Symbol = "005930".parse().unwrap();
    for second in 1..=3 {
        let row = TickRow {
            at: RecordRef { record: 5, ..at(100 * second) },
            received_us: ID.first_received_us,
            symbol,
            trade: trade(second),
        };
        writer.tick(&row, &mut files).unwrap();
    }
    let manifest = writer.finish(&mut files).unwrap();
    assert_eq!((manifest.ticks, manifest.records, files.len()), (3, 0, 1));
    assert_eq!(manifest.sums, Sums { payload_bytes: 0, quantity: 9, value: 9 * 71_300 });
    assert_eq!(
        files[0].key.as_str(),
        "kis/ticks/dt=2024-08-05/00000007-1722816000000000-000.parquet"
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(files[0].bytes.clone()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.schema().fields(), ticks_schema().fields());
    assert_eq!(batch["symbol"].as_string::<i32>().value(2), "005930");
    assert_eq!(batch["side"].as_string::<i32>().value(0), "S");
    let integer = |name: &str, row| batch[name].as_primitive::<Int64Type>().value(row);
    assert_eq!((integer("price", 0), integer("cum_volume", 2)), (71_300, 9));
    assert_eq!((integer("cum_value", 0), integer("ask", 0), integer("vi_reference", 0)), (0, 0, 0));
    assert!(batch["halted"].as_boolean().value(0));
    let time = batch["time"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(time.value(0), trade(1).time.micros());
    assert_eq!(batch["offset"].as_primitive::<UInt32Type>().value(1), 200);
}

#[tokio::test]
async fn a_file_that_is_not_what_the_manifest_says_is_refused() {
    let (mut files, manifest) = write(&vec![(0, 50, b"frame".to_vec())], ArchiveLimits::default());
    let (bytes, key) = (files[0].bytes.to_vec(), files[0].file.key.clone());
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    files[0].bytes = changed.into();
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::Local(LocalObjects::new(folder.path()));
    let empty = ArchiveReader::open(ArchiveSource::Objects(objects.clone()), None).await;
    assert!(empty.unwrap_err().to_string().contains("no segment is in this archive yet"));
    put(&objects, &files[0].key, files[0].bytes.clone()).await;
    let text = serde_json::to_vec(&manifest).unwrap();
    put(&objects, &ID.manifest_key().unwrap(), text.into()).await;
    let mut reader = ArchiveReader::open(ArchiveSource::Objects(objects), None).await.unwrap();
    let error = reader.next().await.unwrap_err().to_string();
    assert!(error.contains(&key) && error.contains("checksum"), "{error}");

    let text = serde_json::to_string(&manifest).unwrap().replace("\"format\":1", "\"format\":2");
    let error = Manifest::parse("m", text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("format 2, expected 1"), "{error}");
}
