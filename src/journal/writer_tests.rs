//! Durability, failures of the disk, and what goes.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::tests::{batch, options, read_all};
use super::*;
use crate::messages::{FrameBatch, FrameKind};

/// A disk that refuses to sync while `fails` is above zero, counting down.
fn failing(fails: &Arc<AtomicU32>) -> sync::SyncCall {
    let fails = Arc::clone(fails);
    Arc::new(move |_: &File| {
        match fails.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
            Ok(_) => Err(std::io::Error::other("the disk is broken")),
            Err(_) => Ok(()),
        }
    })
}

/// The same, but for files with nothing in them but a header.
fn failing_with_records(fails: &Arc<AtomicU32>) -> sync::SyncCall {
    let fails = failing(fails);
    Arc::new(move |file: &File| match file.metadata()?.len() > format::SEGMENT_HEADER as u64 {
        true => fails(file),
        false => Ok(()),
    })
}

fn numbers(folder: &Path) -> Vec<u32> {
    segments(folder).unwrap().iter().map(|info| info.segment).collect()
}

#[test]
fn every_durability_loses_nothing_over_segments() {
    let period = Duration::from_millis(1);
    for durability in
        [Durability::Buffered, Durability::Process, Durability::Group(period), Durability::Power]
    {
        let folder = tempfile::tempdir().unwrap();
        let options = JournalOptions { durability, ..options(folder.path(), 200) };
        let mut journal = Journal::open(options).unwrap();
        for number in 0..50u8 {
            journal.append(&batch(&[vec![number; 40]])).unwrap();
        }
        drop(journal);
        let reading = read_all(folder.path());
        assert_eq!((reading.records.len(), reading.faults.len()), (50, 0), "{durability:?}");
        assert!(segments(folder.path()).unwrap().len() > 5);
    }
}

#[test]
fn power_means_on_the_disk_before_it_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&syncs);
    let sync: sync::SyncCall = Arc::new(move |_: &File| {
        counted.fetch_add(1, Ordering::AcqRel);
        Ok(())
    });
    let options =
        JournalOptions { durability: Durability::Power, ..options(folder.path(), 1 << 20) };
    let mut journal = Journal::open_with(options, sync).unwrap();
    journal.tend().unwrap();
    for number in 0..3u8 {
        let before = syncs.load(Ordering::Acquire);
        journal.append(&batch(&[vec![number; 40]])).unwrap();
        assert_eq!(syncs.load(Ordering::Acquire), before + 1);
    }
}

#[test]
fn a_failed_sync_moves_the_batch_to_a_new_segment_and_leaves_no_trail() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicU32::new(0));
    let options =
        JournalOptions { durability: Durability::Power, ..options(folder.path(), 1 << 20) };
    let mut journal = Journal::open_with(options, failing_with_records(&fails)).unwrap();
    journal.append(&batch(&[b"safe".to_vec()])).unwrap();
    fails.store(6, Ordering::Release);
    let hard = batch(&[b"hard".to_vec()]);
    for _ in 0..6 {
        let error = journal.append(&hard).unwrap_err();
        assert!(error.may_pass() && error.to_string().contains("broken"), "{error}");
        assert!(numbers(folder.path()).len() <= 2, "{:?}", numbers(folder.path()));
    }
    let place = journal.append(&hard).unwrap()[0];
    assert_eq!(place.segment, 2);
    let reading = read_all(folder.path());
    assert_eq!(reading.payloads(), [b"safe", b"hard"]);
    assert!(reading.faults.is_empty(), "{:?}", reading.faults);
    assert_eq!(numbers(folder.path()), [1, 2]);
}

#[test]
fn a_failed_sync_beside_the_writer_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicU32::new(0));
    let options = JournalOptions {
        durability: Durability::Group(Duration::from_millis(1)),
        ..options(folder.path(), 1 << 20)
    };
    let segment_use = options.segment_use.clone();
    let mut journal = Journal::open_with(options, failing(&fails)).unwrap();
    journal.append(&batch(&[b"one".to_vec()])).unwrap();
    fails.store(1, Ordering::Release);
    let mut written = 1;
    while journal.complaint().is_none() {
        journal.append(&batch(&[b"more".to_vec()])).unwrap();
        written += 1;
        std::thread::yield_now();
    }
    assert_eq!(journal.position().segment, 2, "that file is not written again");
    let said = journal.complaint().unwrap();
    assert!(
        said.contains("from 1:")
            && said.contains("could not be forced to the disk (the disk is broken)"),
        "{said}"
    );
    journal.tend().unwrap();
    assert!(journal.complaint().is_some());
    segment_use.note_needed_from(2);
    journal.tend().unwrap();
    assert_eq!(journal.complaint(), None, "nobody needs what was in doubt");
    drop(journal);
    assert_eq!(read_all(folder.path()).records.len(), written);
}

#[test]
fn the_cap_takes_the_oldest_that_nobody_needs() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions { max_bytes: 4_000, ..options(folder.path(), 900) };
    let segment_use = options.segment_use.clone();
    let mut journal = Journal::open(options).unwrap();
    let fill = |journal: &mut Journal| {
        for _ in 0..10 {
            journal.append(&batch(&[vec![1; 476]])).unwrap();
        }
    };
    fill(&mut journal);
    assert_eq!(journal.position().segment, 5);
    assert_eq!(numbers(folder.path()), [1, 2, 3, 4, 5]);
    let said = journal.complaint().expect("over the cap");
    assert!(said.contains("segment 1 is kept because a start after a crash"), "{said}");
    segment_use.note_needed_from(4);
    journal.tend().unwrap();
    assert_eq!(numbers(folder.path()), [3, 4, 5], "down to the cap, no further");
    assert_eq!(journal.complaint(), None);
    segment_use.note_needed_from(100);
    fill(&mut journal);
    let total: u64 = segments(folder.path()).unwrap().iter().map(|info| info.bytes).sum();
    assert!(total <= 4_000 + 1_000, "{total}");
    assert_eq!(journal.complaint(), None);
    // A next start takes over what there is.
    drop(journal);
    let options =
        JournalOptions { max_bytes: 1, segment_use, ..super::tests::options(folder.path(), 900) };
    let mut journal = Journal::open(options).unwrap();
    journal.tend().unwrap();
    journal.tend().unwrap();
    assert_eq!(numbers(folder.path()).len(), 1, "the one that is written stays");
    assert!(journal.complaint().unwrap().contains("all there is"));
}

#[test]
fn what_is_older_than_it_must_be_kept_goes_when_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        JournalOptions { keep: Some(Duration::from_secs(3_600)), ..options(folder.path(), 100) };
    let segment_use = options.segment_use.clone();
    super::tests::write(folder.path(), 100, &[vec![1; 90], vec![2; 90], vec![3; 90]], 1);
    let old = std::time::SystemTime::now() - Duration::from_secs(7_200);
    for segment in [1, 2] {
        let path = segment_path(folder.path(), segment);
        File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let mut journal = Journal::open(options).unwrap();
    journal.tend().unwrap();
    assert_eq!(numbers(folder.path()), [1, 2, 3, 4]);
    segment_use.note_needed_from(2);
    journal.tend().unwrap();
    assert_eq!(numbers(folder.path()), [2, 3, 4]);
    segment_use.note_needed_from(9);
    journal.tend().unwrap();
    assert_eq!(numbers(folder.path()), [3, 4], "the third is young");
}

#[test]
fn a_disk_that_is_nearly_full_takes_what_nobody_needs_and_then_refuses() {
    let folder = tempfile::tempdir().unwrap();
    super::tests::write(folder.path(), 100, &[vec![1; 90], vec![2; 90], vec![3; 90]], 1);
    let options = JournalOptions { min_free_bytes: 1 << 60, ..options(folder.path(), 100) };
    let segment_use = options.segment_use.clone();
    segment_use.note_needed_from(3);
    let mut journal = Journal::open(options).unwrap();
    let error = journal.append(&batch(&[b"more".to_vec()])).unwrap_err();
    assert!(error.may_pass(), "{error}");
    let said = error.to_string();
    assert!(said.contains("segment 3 is kept because a start after a crash"), "{said}");
    assert!(said.contains("journal.min_free_mib"), "{said}");
    assert_eq!(numbers(folder.path()), [3], "no new one, and the first two have gone");
    assert!(journal.tend().is_err());
    assert_eq!(numbers(folder.path()), [3]);
}

#[test]
fn a_segment_that_cannot_be_begun_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicU32::new(4));
    let options = JournalOptions { durability: Durability::Power, ..options(folder.path(), 100) };
    let mut journal = Journal::open_with(options, failing(&fails)).unwrap();
    for _ in 0..4 {
        assert!(journal.append(&batch(&[b"x".to_vec()])).is_err());
        assert_eq!(numbers(folder.path()), [0u32; 0]);
    }
    assert_eq!(journal.append(&batch(&[b"x".to_vec()])).unwrap()[0].segment, 1);
}

#[test]
fn a_segment_that_is_deleted_while_it_is_written_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(options(folder.path(), 1 << 20)).unwrap();
    let mut batch = FrameBatch::new();
    batch.push(FrameKind::Data, 1, b"before");
    journal.append(&batch).unwrap();
    journal.tend().unwrap();
    assert_eq!(journal.complaint(), None);
    std::fs::remove_file(super::segment_path(folder.path(), 1)).unwrap();
    journal.tend().unwrap();
    let complaint = journal.complaint().unwrap();
    assert!(complaint.contains("00000001.journal was deleted"), "{complaint}");
    assert_eq!(journal.append(&batch).unwrap()[0].segment, 2);
    let mut reader = super::JournalReader::open(folder.path()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().payload, b"before");
    assert!(reader.next().is_none());
}
