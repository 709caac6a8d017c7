//! What the reader makes of bytes that were changed after they had been written.

use std::path::Path;

use proptest::prelude::*;

use super::format::{MARKER, RECORD_HEADER, SEGMENT_HEADER};
use super::tests::{read_all, write};
use super::*;
use crate::market::RecordRef;

/// A change to the bytes of a segment.
#[derive(Debug, Clone)]
enum Change {
    /// Flips a bit.
    Flip { at: usize, bit: u8 },
    /// Overwrites bytes.
    Overwrite { at: usize, with: Vec<u8> },
    /// Takes bytes out.
    Cut { at: usize, bytes: usize },
    /// Puts bytes in.
    Insert { at: usize, with: Vec<u8> },
}

impl Change {
    /// Applies it; the first byte it touches and, where nothing was moved, the first byte behind.
    fn apply(&self, bytes: &mut Vec<u8>) -> (usize, Option<usize>) {
        let length = bytes.len();
        match self {
            Self::Flip { at, bit } => {
                let at = at % length;
                bytes[at] ^= 1 << (bit % 8);
                (at, Some(at + 1))
            }
            Self::Overwrite { at, with } => {
                let at = at % length;
                let end = (at + with.len()).min(length);
                bytes[at..end].copy_from_slice(&with[..end - at]);
                (at, Some(end))
            }
            Self::Cut { at, bytes: count } => {
                let at = at % length;
                bytes.drain(at..(at + count).min(length));
                (at, None)
            }
            Self::Insert { at, with } => {
                let at = at % (length + 1);
                bytes.splice(at..at, with.iter().copied());
                (at, None)
            }
        }
    }
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..80),
        prop::collection::vec(prop::sample::select(MARKER.to_vec()), 1..80),
        prop::collection::vec(Just(0u8), 1..200),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0usize..5_000;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, bit)| Change::Flip { at, bit }),
        (at.clone(), noise()).prop_map(|(at, with)| Change::Overwrite { at, with }),
        (at.clone(), 1usize..200).prop_map(|(at, bytes)| Change::Cut { at, bytes }),
        (at, noise()).prop_map(|(at, with)| Change::Insert { at, with }),
    ]
}

/// Payloads, some of which hold pieces of the journal that is being written.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let plain = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..120),
        prop::collection::vec(prop::sample::select(MARKER.to_vec()), 0..40),
    ];
    let piece = (any::<bool>(), 0usize..400);
    prop::collection::vec((plain, piece), 1..16).prop_map(|list| {
        let folder = tempfile::tempdir().unwrap();
        let mut written: Vec<Vec<u8>> = Vec::new();
        for (payload, (copies, skip)) in list {
            let mut payload = payload;
            if copies && !written.is_empty() {
                let name = format!("copy-{}", written.len());
                let folder = folder.path().join(name);
                write(&folder, 1 << 20, &written, 3);
                let bytes = std::fs::read(segment_path(&folder, 1)).unwrap();
                payload.extend(bytes.iter().skip(skip).take(600));
            }
            written.push(payload);
        }
        written
    })
}

/// Ranges that the faults name.
fn ranges(faults: &[Fault]) -> Vec<(u64, u64)> {
    let range = |fault: &Fault| match fault {
        Fault::Damaged { from, to, .. } | Fault::Torn { from, to, .. } => (*from, *to),
        Fault::NotASegment { bytes, .. } => (0, *bytes),
        Fault::Io(error) => panic!("{error}"),
    };
    faults.iter().map(range).collect()
}

fn damage(folder: &Path, change: &Change) -> (usize, Option<usize>, usize) {
    let path = segment_path(folder, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let (from, to) = change.apply(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    (from, to, bytes.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn damage_costs_what_it_touches(payloads in payloads(), change in change()) {
        let folder = tempfile::tempdir().unwrap();
        let places = write(folder.path(), 1 << 20, &payloads, 4);
        let end_of = |index: usize| {
            places[index].offset as usize + RECORD_HEADER + payloads[index].len()
        };
        let before = std::fs::read(segment_path(folder.path(), 1)).unwrap();
        let (from, to, length) = damage(folder.path(), &change);
        let after = std::fs::read(segment_path(folder.path(), 1)).unwrap();
        let reading = read_all(folder.path());

        // Every record read is one that was written, in its own place, and in order.
        let mut read = reading.records.iter();
        let mut found = vec![false; payloads.len()];
        for (at, payload) in read.by_ref() {
            let index = places.iter().position(|place| place == at);
            prop_assert!(index.is_some(), "{at:?} was never written");
            let index = index.unwrap();
            prop_assert_eq!(payload, &payloads[index]);
            found[index] = true;
        }
        prop_assert!(reading.records.is_sorted_by_key(|(at, _)| at.offset));

        // What the change did not touch or move is read.
        for (index, place) in places.iter().enumerate() {
            let (start, end) = (place.offset as usize, end_of(index));
            let untouched = end <= from || to.is_some_and(|to| start >= to);
            let same = after.get(start..end) == before.get(start..end);
            prop_assert!(found[index] == same, "record {index}: {} {same}", found[index]);
            prop_assert!(!untouched || found[index], "record {index} at {start} to {end}");
        }

        // Records and faults cover the file from front to back, without overlap.
        let mut parts = ranges(&reading.faults);
        parts.extend(reading.records.iter().map(|(at, payload)| {
            let start = u64::from(at.offset);
            (start, start + (RECORD_HEADER + payload.len()) as u64)
        }));
        parts.sort_unstable();
        let header = SEGMENT_HEADER.min(length) as u64;
        let mut at = if parts.first().is_some_and(|part| part.0 == 0) { 0 } else { header };
        for (from, to) in parts {
            prop_assert_eq!(from, at);
            at = to;
        }
        prop_assert_eq!(at, length as u64);
    }

    #[test]
    fn a_torn_tail_costs_only_what_was_torn(payloads in payloads(), cut in 0usize..9_000) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1 << 20, &payloads, 4);
        let path = segment_path(folder.path(), 1);
        let bytes = std::fs::read(&path).unwrap();
        let keep = SEGMENT_HEADER + cut % (bytes.len() - SEGMENT_HEADER + 1);
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let reading = read_all(folder.path());
        let read = reading.payloads();
        prop_assert_eq!(&read[..], &payloads[..read.len()]);
        let whole: usize =
            SEGMENT_HEADER + read.iter().map(|p| RECORD_HEADER + p.len()).sum::<usize>();
        prop_assert_eq!(reading.faults.len(), usize::from(whole != keep));
        prop_assert!(reading.faults.iter().all(Fault::is_normal));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn recovery_reads_all_that_is_sound_in_any_segment(
        payloads in payloads(),
        changes in prop::collection::vec((0usize..9, 0usize..3_000, noise()), 1..6),
        begin in 0usize..16,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let places = write(folder.path(), 700, &payloads, 2);
        let files = segments(folder.path()).unwrap();
        let read = |info: &SegmentInfo| std::fs::read(&info.path).unwrap();
        let before: Vec<Vec<u8>> = files.iter().map(read).collect();
        for (file, at, with) in changes {
            let info = &files[file % files.len()];
            let mut bytes = read(info);
            Change::Overwrite { at, with }.apply(&mut bytes);
            std::fs::write(&info.path, bytes).unwrap();
        }
        let after: Vec<Vec<u8>> = files.iter().map(read).collect();
        let is_sound = |index: usize| {
            let (place, length) = (places[index], RECORD_HEADER + payloads[index].len());
            let file = place.segment as usize - 1;
            let range = place.offset as usize..place.offset as usize + length;
            before[file].get(range.clone()) == after[file].get(range)
        };
        let sound: Vec<usize> = (0..payloads.len()).filter(|index| is_sound(*index)).collect();
        // From a record that is sound, or from the front.
        let first = sound.get(begin).copied();
        let from = first.map(|index| Position {
            segment: places[index].segment,
            offset: places[index].offset,
        });
        let mut reader = RecoveryReader::open(folder.path(), from).unwrap();
        let mut found = Vec::new();
        while let Some(item) = reader.next() {
            match item.unwrap() {
                Item::Record(record) => found.push((record.at, record.payload.to_vec())),
                Item::Skipped(skipped) => {
                    let file = &after[skipped.at.segment as usize - 1];
                    let start = skipped.at.offset as usize;
                    let bytes = &file[start..start + skipped.bytes as usize];
                    if let Some(kept) = skipped.kept {
                        prop_assert_eq!(std::fs::read(kept).unwrap(), bytes);
                    } else {
                        let lost = matches!(skipped.why, Why::Damaged(_));
                        prop_assert!(!lost, "not kept: {:?}", skipped.why);
                    }
                }
            }
        }
        let expected: Vec<_> = sound
            .iter()
            .filter(|index| first.is_none_or(|first| **index >= first))
            .map(|index| (places[*index], payloads[*index].clone()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// Three records of which the middle one holds a whole journal.
fn with_a_journal_inside(folder: &Path) -> (Vec<Vec<u8>>, Vec<RecordRef>) {
    let inner = folder.join("inner");
    let small: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; 40]).collect();
    write(&inner, 1 << 20, &small, 5);
    let copy = std::fs::read(segment_path(&inner, 1)).unwrap();
    let payloads = vec![b"first".to_vec(), copy, b"last".to_vec()];
    let places = write(folder, 1 << 20, &payloads, 3);
    (payloads, places)
}

#[test]
fn a_journal_in_a_payload_is_never_taken_for_records() {
    let folder = tempfile::tempdir().unwrap();
    let (payloads, places) = with_a_journal_inside(folder.path());
    let path = segment_path(folder.path(), 1);
    let sound = std::fs::read(&path).unwrap();
    let middle = places[1].offset as usize;
    // In the header, the length among it, and in the payload.
    for at in [middle, middle + 4, middle + 8, middle + 12, middle + 20, middle + 500] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
        let reading = read_all(folder.path());
        assert_eq!(reading.payloads(), [payloads[0].clone(), payloads[2].clone()], "byte {at}");
        let expected = (middle as u64, u64::from(places[2].offset));
        assert_eq!(ranges(&reading.faults), [expected], "byte {at}");
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let (payloads, _) = with_a_journal_inside(folder.path());
    let path = segment_path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..SEGMENT_HEADER].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let reading = read_all(folder.path());
    assert_eq!(reading.payloads(), payloads);
    assert!(
        matches!(
            reading.faults[..],
            [Fault::Damaged { segment: 1, from: 0, to: 32, why: Damage::Header }]
        ),
        "{:?}",
        reading.faults
    );
}

#[test]
fn a_record_of_an_unknown_kind_costs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let places = write(folder.path(), 1 << 20, &[vec![1; 9], vec![2; 9], vec![3; 9]], 3);
    let path = segment_path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = places[1].offset;
    let mut record = Vec::new();
    format::encode_record(
        &mut record,
        format::Seed::of(1),
        at,
        crate::messages::FrameKind::Data,
        42,
        &[2; 9],
    );
    // The kind of a later version, with checksums that are right.
    record[12] = 200;
    let said: Vec<u8> = [&1u32.to_le_bytes()[..], &at.to_le_bytes(), &record[8..]].concat();
    record[4..8].copy_from_slice(&crc32fast::hash(&said).to_le_bytes());
    bytes[at as usize..at as usize + record.len()].copy_from_slice(&record);
    std::fs::write(&path, bytes).unwrap();
    let reading = read_all(folder.path());
    assert_eq!(reading.records.len(), 2);
    assert!(
        matches!(reading.faults[..], [Fault::Damaged { why: Damage::UnknownKind(200), from, to, .. }] if (from, to) == (at.into(), places[2].offset.into())),
        "{:?}",
        reading.faults
    );
}

#[test]
fn damage_of_every_sort_is_passed_quickly() {
    // Markers with lengths of megabytes, as far as the eye can see.
    let folder = tempfile::tempdir().unwrap();
    let mut header = MARKER.to_vec();
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&(1u32 << 20).to_le_bytes());
    header.extend_from_slice(&[1, 0, 0, 0]);
    let payloads = vec![header.repeat(MAX_PAYLOAD / 16), b"behind".to_vec()];
    let places = write(folder.path(), u32::MAX, &payloads, 1);
    let path = segment_path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[places[0].offset as usize + 5] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(read_all(folder.path()).payloads(), [b"behind"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn what_is_skipped_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let payloads: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; 60]).collect();
    let places = write(folder.path(), 1 << 20, &payloads, 5);
    let path = segment_path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let (from, to) = (places[1].offset as usize, places[3].offset as usize);
    bytes[from + 30] ^= 1;
    bytes[to - 5] ^= 1;
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, &bytes).unwrap();
    let mut kept_at = None;
    for _ in 0..2 {
        let mut reader = RecoveryReader::open(folder.path(), None).unwrap();
        let (mut read, mut skipped) = (Vec::new(), Vec::new());
        while let Some(item) = reader.next() {
            match item.unwrap() {
                Item::Record(record) => read.push(record.payload.to_vec()),
                Item::Skipped(found) => skipped.push(found),
            }
        }
        assert_eq!(reader.position(), Position { segment: 1, offset: bytes.len() as u32 });
        assert_eq!(read, [payloads[0].clone(), payloads[3].clone()]);
        assert_eq!(skipped.len(), 2, "{skipped:?}");
        assert_eq!((skipped[0].at, skipped[0].bytes), (places[1], (to - from) as u64));
        assert_eq!(skipped[0].why, Why::Damaged(Damage::Checksum));
        let kept = skipped[0].kept.clone().expect("a copy");
        assert_eq!(std::fs::read(&kept).unwrap(), &bytes[from..to]);
        let written = std::fs::metadata(&kept).unwrap().modified().unwrap();
        assert!(kept_at.replace(written).is_none_or(|before| before == written), "copied again");
        assert_eq!((skipped[1].at, skipped[1].bytes), (places[4], 81));
        assert!(skipped[1].why.is_normal() && skipped[1].kept.is_none());
    }
    let files = std::fs::read_dir(folder.path().join("quarantine")).unwrap().count();
    assert_eq!(files, 1);
}

#[test]
fn the_quarantine_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &[vec![1; 60], vec![2; 60]], 2);
    let path = segment_path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let quarantine = folder.path().join("quarantine");
    std::fs::create_dir(&quarantine).unwrap();
    let full = std::fs::File::create(quarantine.join("00000000-0000000032.bytes")).unwrap();
    full.set_len(QUARANTINE_BYTES - 50).unwrap();
    let mut reader = RecoveryReader::open(folder.path(), None).unwrap();
    let Some(Ok(Item::Skipped(skipped))) = reader.next() else { panic!("no damage found") };
    assert_eq!((skipped.bytes, skipped.kept), (84, None));
    assert!(matches!(reader.next(), Some(Ok(Item::Record(_)))));
}
