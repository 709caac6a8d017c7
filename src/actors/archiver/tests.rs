//! The Archiver over a journal and a folder of objects. The integration tests do the same over S3.

use std::path::Path;

use super::*;
use crate::journal::{Journal, JournalOptions};
use crate::market::RecordRef;
use crate::messages::{FrameBatch, FrameKind};
use crate::store::archive::{ArchiveReader, ArchiveSource, Dataset};
use crate::store::objects::Key;
use crate::store::{Bucket, LocalObjects};

fn journal(folder: &Path) -> Journal {
    let options =
        JournalOptions { segment_bytes: 1 << 20, ..JournalOptions::new(folder.to_owned()) };
    Journal::open(options).unwrap()
}

/// A trade frame of 46 fields.
fn trade(symbol: &str, day: &str, quantity: i64) -> Vec<u8> {
    let mut fields = vec!["0".to_owned(); 46];
    fields[0] = symbol.to_owned();
    fields[1] = "093000".to_owned();
    fields[2] = "71300".to_owned();
    fields[4] = "-200".to_owned();
    fields[12] = quantity.to_string();
    fields[13] = "1000".to_owned();
    fields[21] = "1".to_owned();
    fields[33] = day.to_owned();
    fields[35] = "N".to_owned();
    fields[43] = if quantity == 0 { "A".to_owned() } else { "0".to_owned() };
    format!("0|H0STCNT0|001|{}", fields.join("^")).into_bytes()
}

/// A sealed segment with everything that can be in one, and one behind it that is written.
fn recorded(folder: &Path) -> Vec<(FrameKind, Vec<u8>)> {
    let records = vec![
        (FrameKind::Connection, b"1".to_vec()),
        (FrameKind::Data, trade("005930", "20240805", 3)),
        (FrameKind::Data, b"garbage".to_vec()),
        (FrameKind::Data, trade("005930", "20240805", 0)),
        (FrameKind::Data, trade("000660", "20240806", 4)),
        (FrameKind::Silence, 5_000_000i64.to_le_bytes().to_vec()),
    ];
    let mut writer = journal(folder);
    let mut batch = FrameBatch::new();
    for (number, (kind, payload)) in records.iter().enumerate() {
        batch.push(*kind, 1_722_900_000_000_000 + number as i64, payload);
    }
    writer.append(&batch).unwrap();
    drop(writer);
    begin_segment(folder);
    records
}

/// A run that has journaled that it began.
fn begin_segment(folder: &Path) {
    let mut batch = FrameBatch::new();
    batch.push(FrameKind::Connection, 1_722_900_100_000_000, b"1");
    journal(folder).append(&batch).unwrap();
}

fn parts(folder: &Path) -> ArchiverParts {
    ArchiverParts::new(
        folder.join("journal"),
        Objects::Local(LocalObjects::new(folder.join("objects"))),
        SegmentUse::new(true),
        HealthRegistry::new(),
    )
}

#[tokio::test]
async fn a_sealed_segment_is_archived_by_session_day_and_only_then_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let records = recorded(&parts.journal);
    parts.segments.note_needed_from(9);
    assert!(!parts.segments.may_go(1));
    let mut done = BTreeSet::new();
    round(&parts, &mut done).await.unwrap();
    assert!(parts.segments.may_go(1), "it is archived");
    assert!(!parts.segments.may_go(2), "the newest is still written to");

    let keys = parts.objects.list(Bucket::RawData, "", None, 100).await.unwrap();
    let keys: Vec<&str> = keys.iter().map(Key::as_str).collect();
    let id = "00000001-1722900000000000";
    let expected = [
        format!("kis/segments/{id}.json"),
        format!("kis/ticks/dt=2024-08-05/{id}-000.parquet"),
        format!("kis/ticks/dt=2024-08-06/{id}-000.parquet"),
        format!("kis/ws/dt=2024-08-05/{id}-000.parquet"),
        format!("kis/ws/dt=2024-08-06/{id}-000.parquet"),
    ];
    assert_eq!(keys, expected);
    let key: Key = expected[0].parse().unwrap();
    let found = parts.objects.get(Bucket::RawData, &key, None).await.unwrap();
    let manifest = Manifest::parse("m", &found.bytes).unwrap();
    assert_eq!((manifest.records, manifest.ticks, manifest.sums.quantity), (6, 2, 7));
    let rows = |dataset: Dataset, day: &str| {
        let of =
            |file: &&crate::store::archive::ArchiveFile| file.dataset == dataset && file.day == day;
        manifest.files.iter().filter(of).map(|file| file.rows).sum::<u64>()
    };
    // What stands before the first trade is of its day, what follows the last one of that one's.
    assert_eq!(rows(Dataset::Frames, "2024-08-05"), 4);
    assert_eq!(rows(Dataset::Frames, "2024-08-06"), 2);
    assert_eq!(rows(Dataset::Ticks, "2024-08-05"), 1);

    let source = ArchiveSource::Objects(parts.objects.clone());
    let mut reader = ArchiveReader::open(source, None).await.unwrap();
    let mut read = Vec::new();
    while let Some(frame) = reader.next().await.unwrap() {
        assert_ne!(frame.at, RecordRef::default());
        read.push((frame.kind, frame.payload));
    }
    assert_eq!(read, records);
}

#[tokio::test]
async fn archiving_again_from_any_point_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    recorded(&parts.journal);
    round(&parts, &mut BTreeSet::new()).await.unwrap();
    let bucket = folder.path().join("objects/raw-data");
    let state = || {
        let content = |path: &PathBuf| crc32fast::hash(&std::fs::read(path).unwrap());
        let mut files: Vec<_> =
            walk(&bucket).into_iter().map(|path| (content(&path), path)).collect();
        files.sort();
        files
    };
    let whole = state();
    // A start that finds the manifest does nothing; one that does not, as after a crash before it,
    // finds the files; one without the files too makes them again.
    round(&parts, &mut BTreeSet::new()).await.unwrap();
    assert_eq!(state(), whole);
    for gone in ["kis/segments", "kis/ticks", "kis"] {
        std::fs::remove_dir_all(bucket.join("kis/segments")).unwrap();
        if gone != "kis/segments" {
            std::fs::remove_dir_all(bucket.join(gone)).unwrap();
        }
        round(&parts, &mut BTreeSet::new()).await.unwrap();
        assert_eq!(state(), whole, "without {gone}");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_damaged_segment_is_archived_as_far_as_it_goes_and_kept_beside() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    recorded(&parts.journal);
    let path = parts.journal.join("00000001.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(7).position(|window| window == b"garbage").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // And one that is none at all.
    std::fs::write(parts.journal.join("00000002.journal"), b"this is not a segment of any journal")
        .unwrap();
    std::fs::write(parts.journal.join("00000003.journal"), b"newest").unwrap();
    parts.segments.note_needed_from(9);
    round(&parts, &mut BTreeSet::new()).await.unwrap();
    assert!(parts.segments.may_go(2));

    let key: Key = "kis/segments/00000001-1722900000000000.json".parse().unwrap();
    let found = parts.objects.get(Bucket::RawData, &key, None).await.unwrap();
    let manifest = Manifest::parse("m", &found.bytes).unwrap();
    assert_eq!((manifest.records, manifest.faults.len(), manifest.pieces.len()), (5, 1, 1));
    let key: Key = manifest.pieces[0].key.parse().unwrap();
    let piece = parts.objects.get(Bucket::RawData, &key, None).await.unwrap();
    assert_eq!(zstd::stream::decode_all(&piece.bytes[..]).unwrap(), bytes);
    let key: Key = "kis/segments/00000002-0000000000000000.json".parse().unwrap();
    let found = parts.objects.get(Bucket::RawData, &key, None).await.unwrap();
    let manifest = Manifest::parse("m", &found.bytes).unwrap();
    assert_eq!((manifest.records, manifest.pieces.len()), (0, 1));
    assert!(manifest.faults[0].contains("not a segment"), "{:?}", manifest.faults);
}

#[tokio::test]
async fn a_segment_without_records_may_go_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    // Runs that ended before their segments had a header.
    std::fs::create_dir_all(&parts.journal).unwrap();
    for number in 1..=2 {
        std::fs::write(parts.journal.join(format!("0000000{number}.journal")), b"").unwrap();
    }
    begin_segment(&parts.journal);
    parts.segments.note_needed_from(9);
    round(&parts, &mut BTreeSet::new()).await.unwrap();
    assert!(parts.segments.may_go(2) && !parts.segments.may_go(3));
    assert!(parts.objects.list(Bucket::RawData, "", None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_cannot_be_written_holds_the_segment_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = parts(folder.path());
    parts.every = Duration::from_millis(5);
    parts.patience = (Duration::from_millis(5), Duration::from_millis(10));
    parts.segments.note_needed_from(9);
    recorded(&parts.journal);
    // A file where the folder of the objects should be.
    let blocked = folder.path().join("objects");
    std::fs::write(&blocked, b"").unwrap();
    let (parts, stop) = (Arc::new(parts), CancellationToken::new());
    let archiver = tokio::spawn(run_archiver(Arc::clone(&parts), stop.clone()));
    let state = |name: &'static str| {
        let parts = Arc::clone(&parts);
        async move {
            while parts
                .health
                .get(Component::Archive)
                .is_none_or(|line| line.state.as_str() != name)
            {
                tokio::task::yield_now().await;
            }
        }
    };
    state("degraded").await;
    let line = parts.health.get(Component::Archive).unwrap();
    let reason = line.state.reason().unwrap_or_default().to_owned();
    assert!(reason.starts_with("1 segments wait") && reason.contains("objects"), "{reason}");
    assert!(!parts.segments.may_go(1));
    std::fs::remove_file(&blocked).unwrap();
    state("up").await;
    assert!(parts.segments.may_go(1));
    stop.cancel();
    archiver.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = parts(folder.path());
    // Under the paused clock nothing but the word of the store's return ends this pause in time.
    parts.patience = (Duration::from_secs(86_400), Duration::from_secs(86_400));
    recorded(&parts.journal);
    let blocked = folder.path().join("objects");
    std::fs::write(&blocked, b"").unwrap();
    let (parts, stop) = (Arc::new(parts), CancellationToken::new());
    parts.health.set(Component::Objects, HealthState::down("away"));
    let mut changes = parts.health.changes();
    let archiver = tokio::spawn(run_archiver(Arc::clone(&parts), stop.clone()));
    let mut until = async |component: Component, state: &str| {
        let seen = |line: &crate::messages::ComponentHealth| {
            line.component == component && line.state.as_str() == state
        };
        while !seen(&changes.recv().await.unwrap()) {}
    };
    until(Component::Archive, "degraded").await;
    std::fs::remove_file(&blocked).unwrap();
    let began = tokio::time::Instant::now();
    tokio::task::yield_now().await;
    parts.health.set(Component::Objects, HealthState::Up);
    until(Component::Archive, "up").await;
    assert!(began.elapsed() < Duration::from_secs(3_600), "{:?}", began.elapsed());
    stop.cancel();
    archiver.await.unwrap().unwrap();
}
