//! One file of the spill: the form of an entry, and finding entries in bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::memmem;

/// What a file begins with; the last character is the version.
pub(super) const HEADER: &[u8] = b"BONGSPL1";
/// What an entry begins with.
const MARKER: [u8; 4] = *b"\xF5ent";
/// Marker, length, checksum.
const HEAD: usize = 12;

/// An entry as it stands in a file.
pub(super) fn entry(payload: &[u8]) -> Vec<u8> {
    // A payload is a few thousand rows; 4 GiB of them do not fit into memory.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend(MARKER);
    bytes.extend(length);
    bytes.extend(checksum(length, payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// Makes a file that is not there yet.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// A true entry; where its payload is.
    Entry(Range<usize>),
    /// Bytes that are none, up to the next true entry or the end.
    Damaged { why: String, is_torn: bool },
    /// The end of the file.
    End,
}

/// An item and the place behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) item: Scanned,
    pub(super) end: usize,
}

enum Faulty {
    NoEntry,
    Short,
    Checksum,
}

fn entry_at(bytes: &[u8], at: usize) -> Result<Range<usize>, Faulty> {
    let rest = bytes.get(at..).unwrap_or_default();
    if !rest.starts_with(&MARKER) {
        let is_short = rest.len() < MARKER.len() && MARKER.starts_with(rest);
        return Err(if is_short { Faulty::Short } else { Faulty::NoEntry });
    }
    let word = |from: usize| rest.get(from..from + 4).and_then(|word| word.try_into().ok());
    let (Some(length), Some(sum)) = (word(4), word(8)) else { return Err(Faulty::Short) };
    let (length, sum): ([u8; 4], [u8; 4]) = (length, sum);
    let size = u32::from_le_bytes(length) as usize;
    let Some(payload) = rest.get(HEAD..HEAD.saturating_add(size)) else {
        return Err(Faulty::Short);
    };
    if checksum(length, payload) != u32::from_le_bytes(sum) {
        return Err(Faulty::Checksum);
    }
    Ok(at + HEAD..at + HEAD + size)
}

/// What stands at `at`.
pub(super) fn scan(bytes: &[u8], at: usize) -> Scan {
    if at >= bytes.len() {
        return Scan { item: Scanned::End, end: at };
    }
    let fault = match entry_at(bytes, at) {
        Ok(payload) => return Scan { end: payload.end, item: Scanned::Entry(payload) },
        Err(fault) => fault,
    };
    let finder = memmem::Finder::new(&MARKER);
    let next = finder
        .find_iter(&bytes[at + 1..])
        .map(|place| at + 1 + place)
        .find(|place| entry_at(bytes, *place).is_ok());
    let is_torn = matches!(fault, Faulty::Short) && next.is_none();
    let why = match fault {
        Faulty::NoEntry => "no entry begins here",
        Faulty::Short if is_torn => "the file ends within an entry",
        Faulty::Short => "an entry longer than the file",
        Faulty::Checksum => "wrong checksum",
    };
    let item = Scanned::Damaged { why: why.to_owned(), is_torn };
    Scan { item, end: next.unwrap_or(bytes.len()) }
}
