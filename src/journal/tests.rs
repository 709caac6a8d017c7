//! Reading and positions over sound journals and the ends of runs.

use std::path::Path;

use proptest::prelude::*;

use super::format::{RECORD_HEADER, SEGMENT_HEADER};
use super::*;
use crate::market::RecordRef;
use crate::messages::{FrameBatch, FrameKind};

pub(super) fn options(folder: &Path, segment_bytes: u32) -> JournalOptions {
    JournalOptions { segment_bytes, ..JournalOptions::new(folder.to_owned()) }
}

pub(super) fn batch(payloads: &[Vec<u8>]) -> FrameBatch {
    let mut frames = FrameBatch::new();
    for payload in payloads {
        frames.push(FrameKind::Data, 42, payload);
    }
    frames
}

/// What a reader gives, in order.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) records: Vec<(RecordRef, Vec<u8>)>,
    pub(super) faults: Vec<Fault>,
}

impl Reading {
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.records.iter().map(|(_, payload)| payload.clone()).collect()
    }
}

pub(super) fn rest_of(mut reader: JournalReader) -> Reading {
    let mut reading = Reading::default();
    while let Some(item) = reader.next() {
        match item {
            Ok(record) => reading.records.push((record.at, record.payload.to_vec())),
            Err(fault) => reading.faults.push(fault),
        }
    }
    reading
}

pub(super) fn read_all(folder: &Path) -> Reading {
    rest_of(JournalReader::open(folder).unwrap())
}

/// Writes in one run; the position of each record.
pub(super) fn write(
    folder: &Path,
    segment_bytes: u32,
    payloads: &[Vec<u8>],
    size: usize,
) -> Vec<RecordRef> {
    let mut journal = Journal::open(options(folder, segment_bytes)).unwrap();
    payloads.chunks(size).flat_map(|chunk| journal.append(&batch(chunk)).unwrap()).collect()
}

#[test]
fn every_start_begins_a_segment_and_positions_name_records() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=2u32 {
        let mut journal = Journal::open(options(folder.path(), 1 << 20)).unwrap();
        assert_eq!(journal.position(), start_of(round));
        let mut frames = FrameBatch::new();
        frames.push(FrameKind::Data, 7, b"first");
        frames.push(FrameKind::Connection, 8, b"\x01");
        let positions = journal.append(&frames).unwrap();
        assert_eq!(positions[0].segment, round);
        assert_eq!(positions[1].offset, (SEGMENT_HEADER + RECORD_HEADER + 5) as u32);
        assert_eq!(journal.position().offset, positions[1].offset + RECORD_HEADER as u32 + 1);
    }
    let reading = read_all(folder.path());
    assert_eq!((reading.records.len(), reading.faults.len()), (4, 0));
}

#[test]
fn long_records_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let payloads: Vec<Vec<u8>> =
        [MAX_PAYLOAD, 0, 3 << 20, 1, MAX_PAYLOAD].iter().map(|len| vec![7; *len]).collect();
    write(folder.path(), u32::MAX, &payloads, 2);
    assert!(read_all(folder.path()).payloads() == payloads);
    let mut journal = Journal::open(options(folder.path(), 1 << 20)).unwrap();
    let refused = journal.append(&batch(&[vec![0; MAX_PAYLOAD + 1]]));
    assert!(matches!(refused, Err(JournalError::TooLong(_))), "{refused:?}");
}

#[test]
fn a_foreign_file_and_another_version_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &[b"mine".to_vec()], 1);
    std::fs::write(segment_path(folder.path(), 3), b"something else entirely, and long").unwrap();
    let mut old = b"BONGSUJ1\x04\0\0\0".to_vec();
    old.resize(28, 0);
    old.extend_from_slice(&crc32fast::hash(&old).to_le_bytes());
    old.extend_from_slice(&[9; 100]);
    std::fs::write(segment_path(folder.path(), 4), old).unwrap();
    // Not named like a segment: none of ours.
    std::fs::write(folder.path().join("5.journal"), b"x").unwrap();
    let copy = std::fs::read(segment_path(folder.path(), 1)).unwrap();
    std::fs::write(segment_path(folder.path(), 6), copy).unwrap();

    let reading = read_all(folder.path());
    assert_eq!(reading.payloads(), [b"mine"]);
    let said: Vec<String> = reading.faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for (said, expected) in said.iter().zip(["neither a header", "BONGSUJ1", "number 1"]) {
        assert!(said.contains(expected), "{said}");
    }
    let refused = JournalReader::open_from(folder.path(), Position { segment: 4, offset: 40 });
    assert!(matches!(refused, Err(PositionError::NotASegment { .. })), "{refused:?}");
}

#[test]
fn a_start_that_was_cut_short_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &[b"first".to_vec()], 1);
    for (segment, bytes) in [(2, 0), (3, 17)] {
        std::fs::write(segment_path(folder.path(), segment), vec![b'B'; bytes]).unwrap();
    }
    write(folder.path(), 1 << 20, &[b"second".to_vec()], 1);
    let reading = read_all(folder.path());
    assert_eq!(reading.payloads(), [b"first".to_vec(), b"second".to_vec()]);
    assert_eq!(reading.records[1].0.segment, 4);
    assert!(reading.faults.iter().all(Fault::is_normal), "{:?}", reading.faults);
    assert_eq!(reading.faults.len(), 2);
    let from = JournalReader::open_from(folder.path(), start_of(2)).unwrap();
    assert_eq!(rest_of(from).payloads(), [b"second"], "it may have been noted before the crash");
}

#[test]
fn only_the_end_of_a_run_may_be_torn() {
    let folder = tempfile::tempdir().unwrap();
    let payloads: Vec<Vec<u8>> = (0..6u8).map(|n| vec![n; 50]).collect();
    // Three segments of two records each, then another run.
    let places = write(folder.path(), 150, &payloads, 1);
    assert_eq!(places[5].segment, 3);
    write(folder.path(), 150, &[b"next run".to_vec()], 1);
    let cut = |segment: u32, by: u64| {
        let path = segment_path(folder.path(), segment);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - by).unwrap();
        length
    };
    cut(3, 10);
    let reading = read_all(folder.path());
    assert_eq!(reading.records.len(), 6);
    assert!(
        matches!(reading.faults[..], [Fault::Torn { segment: 3, from, .. }] if from == u64::from(places[5].offset)),
        "{:?}",
        reading.faults
    );
    // Inside a run it is a loss, also when the cut falls between two records.
    let length = cut(2, 74);
    let reading = read_all(folder.path());
    assert!(
        matches!(reading.faults[0], Fault::Damaged { segment: 2, from, to, why: Damage::CutOff } if from == u64::from(places[3].offset) && to == length),
        "{:?}",
        reading.faults
    );
    assert!(!reading.faults[0].is_normal());
}

#[test]
fn positions_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |position| {
        matches!(
            JournalReader::open_from(folder.path(), position),
            Err(PositionError::SegmentMissing { .. })
        )
    };
    assert!(JournalReader::open_from(folder.path(), start_of(1)).is_ok());
    assert!(missing(start_of(2)) && missing(Position { segment: 1, offset: 99 }));
    let payloads: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n; 50]).collect();
    let places = write(folder.path(), 150, &payloads, 1);
    assert!(JournalReader::open_from(folder.path(), start_of(3)).is_ok());
    assert!(missing(start_of(4)) && missing(Position { segment: 3, offset: 33 }));
    std::fs::remove_file(segment_path(folder.path(), 1)).unwrap();
    assert!(missing(start_of(1)));
    let second = places[2].segment;
    let at = |offset| JournalReader::open_from(folder.path(), Position { segment: second, offset });
    assert!(matches!(at(4_000), Err(PositionError::PastTheEnd { bytes: 180, .. })));
    for offset in [0, 31, 33, places[3].offset - 1, places[3].offset + 1, 179] {
        assert!(matches!(at(offset), Err(PositionError::NoBoundary { .. })), "{offset}");
    }
    for (offset, left) in [(32, 2), (places[3].offset, 1), (180, 0)] {
        assert_eq!(rest_of(at(offset).unwrap()).records.len(), left, "{offset}");
    }
}

#[test]
fn a_position_behind_which_the_last_write_tore_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let places = write(folder.path(), 1 << 20, &[vec![1; 50], vec![2; 50], vec![3; 50]], 1);
    let path = segment_path(folder.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..places[2].offset as usize + 30]).unwrap();
    let at = |offset| JournalReader::open_from(folder.path(), Position { segment: 1, offset });
    let reading = rest_of(at(places[2].offset).unwrap());
    assert!(reading.records.is_empty());
    assert!(matches!(reading.faults[..], [Fault::Torn { segment: 1, .. }]), "{reading:?}");
    assert!(matches!(at(places[2].offset + 1), Err(PositionError::NoBoundary { .. })));
}

#[test]
fn segments_are_summed_up_from_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(options(folder.path(), 1 << 30)).unwrap();
    for number in 1..=900i64 {
        let mut frames = FrameBatch::new();
        frames.push(FrameKind::Data, number, &[5; 1_000]);
        journal.append(&frames).unwrap();
    }
    let mut journal = Journal::open(options(folder.path(), 1 << 30)).unwrap();
    journal.tend().unwrap();
    let path = segment_path(folder.path(), 1);
    let whole = summarize(&segments(folder.path()).unwrap()[0]).unwrap();
    assert_eq!((whole.run, whole.first_us, whole.last_us), (Some(1), Some(1), Some(900)));
    assert_eq!(whole.state, SegmentState::Whole);
    let empty = summarize(&segments(folder.path()).unwrap()[1]).unwrap();
    assert_eq!((empty.run, empty.last_us, empty.state), (Some(2), None, SegmentState::Empty));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    std::fs::write(&path, bytes).unwrap();
    let torn = summarize(&segments(folder.path()).unwrap()[0]).unwrap();
    assert_eq!((torn.last_us, torn.state), (Some(899), SegmentState::Torn(1_017)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_from_every_position(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40),
        size in 1usize..8,
        segment_bytes in 64u32..4_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(options(folder.path(), segment_bytes)).unwrap();
        let mut boundaries = vec![(0, journal.position())];
        let mut places = Vec::new();
        for chunk in payloads.chunks(size) {
            places.extend(journal.append(&batch(chunk)).unwrap());
            boundaries.push((places.len(), journal.position()));
        }
        let reading = read_all(folder.path());
        prop_assert_eq!(reading.payloads(), payloads.clone());
        prop_assert!(reading.faults.is_empty());
        prop_assert!(reading.records.iter().map(|(at, _)| *at).eq(places.iter().copied()));
        boundaries.extend(places.iter().enumerate().map(|(index, place)| {
            (index, Position { segment: place.segment, offset: place.offset })
        }));
        for (passed, position) in boundaries {
            let reader = JournalReader::open_from(folder.path(), position).unwrap();
            prop_assert_eq!(rest_of(reader).payloads(), &payloads[passed..]);
        }
    }
}
