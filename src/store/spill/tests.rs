use proptest::prelude::*;

use super::*;

fn spill(folder: &Path) -> Spill {
    let options = SpillOptions { file_bytes: 64, ..SpillOptions::new(folder, 1 << 20) };
    Spill::open(options).unwrap()
}

fn drain(spill: &mut Spill) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let entries = spill.next(50).unwrap();
        if entries.is_empty() {
            return all;
        }
        all.extend(entries.into_iter().map(|entry| entry.payload));
        spill.acknowledge().unwrap();
    }
}

fn numbered(range: std::ops::Range<u8>) -> Vec<Vec<u8>> {
    range.map(|n| vec![n; 20]).collect()
}

#[test]
fn first_in_first_out_over_files_and_processes() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = spill(folder.path());
    assert!(first.is_empty() && first.next(10).unwrap().is_empty());
    for entry in numbered(0..7) {
        first.append(&entry).unwrap();
    }
    // Given out and not acknowledged: it comes again, here and in another process.
    assert_eq!(first.next(1).unwrap()[0].payload, [0; 20]);
    first.again();
    assert_eq!(first.next(1).unwrap()[0].payload, [0; 20]);
    drop(first);
    let mut second = spill(folder.path());
    assert!(!second.is_empty());
    second.append(&[7; 20]).unwrap();
    assert_eq!(second.next(1).unwrap()[0].payload, [0; 20]);
    second.acknowledge().unwrap();
    // Appended while an older file is read.
    second.append(&[8; 20]).unwrap();
    assert_eq!(drain(&mut second), numbered(1..9));
    assert!(second.is_empty() && second.take_damage().is_empty());
    assert_eq!(second.bytes(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "files that are done are gone");
    second.append(&[9; 20]).unwrap();
    assert_eq!(drain(&mut second), numbered(9..10));
}

#[test]
fn at_the_limit_nothing_more_is_taken_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(SpillOptions::new(folder.path(), 100)).unwrap();
    for entry in numbered(0..2) {
        spill.append(&entry).unwrap();
    }
    let error = spill.append(&[2; 20]).unwrap_err();
    assert!(matches!(error, SpillError::Full { bytes: 72, cap: 100, .. }), "{error}");
    assert!(error.to_string().contains("database.spill_mib"), "{error}");
    assert_eq!(drain(&mut spill), numbered(0..2));
    spill.append(&[2; 20]).unwrap();
    assert_eq!(drain(&mut spill), numbered(2..3));
}

#[test]
fn a_damaged_entry_is_set_aside_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Spill::open(SpillOptions::new(folder.path(), 1 << 20)).unwrap();
    for entry in numbered(0..4) {
        first.append(&entry).unwrap();
    }
    drop(first);
    let path = folder.path().join("0000000001.spill");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8 + 32 + 20] ^= 1;
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut second = spill(folder.path());
    assert_eq!(drain(&mut second), [[0; 20], [2; 20]]);
    let damage = second.take_damage();
    assert_eq!(damage.len(), 2, "{damage:?}");
    let damaged = &damage[0];
    assert_eq!((damaged.from, damaged.to, damaged.is_torn), (40, 72, false));
    assert_eq!(
        (damaged.file.as_str(), damaged.why.as_str()),
        ("0000000001.spill", "wrong checksum")
    );
    assert_eq!(fs::read(damaged.kept.as_ref().unwrap()).unwrap(), bytes[40..72]);
    assert_eq!((damage[1].from, damage[1].to, damage[1].is_torn), (104, 135, true));
    assert!(second.is_empty());
}

#[test]
fn a_disk_that_is_full_takes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(SpillOptions::new(folder.path().join("a"), 1 << 20)).unwrap();
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    let error = spill.append(b"row").unwrap_err();
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(spill.is_empty());
    fs::create_dir(folder.path().join("a")).unwrap();
    spill.append(b"row").unwrap();
    assert_eq!(drain(&mut spill), [b"row".to_vec()]);
}

proptest! {
    /// Whatever is done to a file: the reader ends, gives only what was written, in order, and
    /// all that was not touched.
    #[test]
    fn damage_costs_only_what_it_touches(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
        at in 0usize..600, with in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Spill::open(SpillOptions::new(folder.path(), 1 << 20)).unwrap();
        let mut places = Vec::new();
        for payload in &payloads {
            let from = first.bytes().max(8) as usize;
            first.append(payload).unwrap();
            places.push(from..first.bytes() as usize);
        }
        drop(first);
        let path = folder.path().join("0000000001.spill");
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        let end = (at + with.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&with[..end - at]);
        fs::write(&path, &bytes).unwrap();

        let mut second = spill(folder.path());
        let read = drain(&mut second);
        let mut left = payloads.iter();
        prop_assert!(read.iter().all(|one| left.any(|other| other == one)), "not in order");
        // A file whose beginning is damaged is read from its first true entry.
        let untouched = places.iter().filter(|place| place.end <= at || place.start >= end).count();
        prop_assert!(read.len() >= untouched, "{} of {untouched}", read.len());
        prop_assert!(second.is_empty());
    }
}
