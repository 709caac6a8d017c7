//! The bytes of a segment: headers, records, and what makes a record a true one.

use crc32fast::Hasher;

use super::MAX_PAYLOAD;
use crate::messages::FrameKind;

/// First bytes of a segment of this version.
pub(super) const MAGIC: &[u8; 8] = b"BONGSUJ2";
/// What the first bytes of every version have in common.
const FAMILY: &[u8] = b"BONGSUJ";
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 32;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 24;
/// First bytes of a record. The first and the last occur in no UTF-8 text, so that text is passed
/// over quickly when the next record is looked for.
pub(super) const MARKER: [u8; 4] = [0xFB, b'B', b'S', 0xFE];

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its number.
    pub(super) segment: u32,
    /// First segment of the run that wrote it.
    pub(super) run: u32,
    /// Bytes of the segment before it; 0 for the first of a run.
    pub(super) before: u32,
    /// When it was begun, microseconds since the Unix epoch.
    pub(super) created_us: u64,
}

/// What stands where a header should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderState {
    /// A header.
    Whole(SegmentHeader),
    /// Fewer bytes than a header has.
    Short,
    /// Bytes that are none, or no longer.
    Damaged,
    /// A sound header of another version of the format: its first bytes.
    OtherVersion(String),
    /// A sound header that carries this number, which is not the one in the file's name.
    OtherNumber(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.segment.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.run.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.created_us.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.before.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment whose name says `named`.
    pub(super) fn parse(bytes: &[u8], named: u32) -> HeaderState {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER>() else { return HeaderState::Short };
        if word(bytes, 28) != crc32fast::hash(&bytes[..28]) || !bytes.starts_with(FAMILY) {
            return HeaderState::Damaged;
        }
        if !bytes.starts_with(MAGIC) {
            return HeaderState::OtherVersion(String::from_utf8_lossy(&bytes[..8]).into_owned());
        }
        let header = Self {
            segment: word(bytes, 8),
            run: word(bytes, 12),
            before: word(bytes, 24),
            created_us: u64::from(word(bytes, 16)) | u64::from(word(bytes, 20)) << 32,
        };
        if header.segment == named {
            HeaderState::Whole(header)
        } else {
            HeaderState::OtherNumber(header.segment)
        }
    }
}

/// The little-endian number at `at`, which must be within `bytes`.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The checksum of a segment's number: where the checksums of its records begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    pub(super) fn of(segment: u32) -> Self {
        Self(crc32fast::hash(&segment.to_le_bytes()))
    }

    /// CRC-32 of segment number, `offset` and `bytes`.
    fn checksum(self, offset: u32, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }

    /// The three bytes by which a header is known without its payload: of length, kind and time.
    fn check(self, offset: u32, header: &[u8; RECORD_HEADER]) -> [u8; 3] {
        let mut said = [0; 13];
        said[..5].copy_from_slice(&header[8..13]);
        said[5..].copy_from_slice(&header[16..24]);
        let [a, b, c, _] = self.checksum(offset, &said).to_le_bytes();
        [a, b, c]
    }
}

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) length: usize,
    /// Number of the kind, known or not.
    pub(super) kind: u8,
    /// Microseconds since the Unix epoch.
    pub(super) received_us: i64,
}

impl Head {
    /// Reads a header; `None` when a record can not begin so.
    pub(super) fn parse(bytes: &[u8; RECORD_HEADER]) -> Option<Self> {
        let length = word(bytes, 8) as usize;
        let low = u64::from(word(bytes, 16));
        let high = u64::from(word(bytes, 20));
        (bytes[..4] == MARKER && length <= MAX_PAYLOAD).then_some(Self {
            length,
            kind: bytes[12],
            received_us: (low | high << 32).cast_signed(),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn size(&self) -> usize {
        RECORD_HEADER + self.length
    }
}

/// Whether `bytes` can be the header of a record at `offset`: looked at before a payload of up to
/// [`MAX_PAYLOAD`] bytes is read and summed, so that looking for a record stays cheap whatever the
/// bytes are.
pub(super) fn header_is_true(seed: Seed, offset: u32, bytes: &[u8; RECORD_HEADER]) -> bool {
    bytes[13..16] == seed.check(offset, bytes)
}

/// Whether `record`, header and payload, is the record that was written at `offset`.
pub(super) fn record_is_true(seed: Seed, offset: u32, record: &[u8]) -> bool {
    word(record, 4) == seed.checksum(offset, &record[8..])
}

/// Appends a record that will stand at `offset`. The payload has at most [`MAX_PAYLOAD`] bytes.
pub(super) fn encode_record(
    out: &mut Vec<u8>,
    seed: Seed,
    offset: u32,
    kind: FrameKind,
    received_us: i64,
    payload: &[u8],
) {
    let mut header = [0; RECORD_HEADER];
    header[..4].copy_from_slice(&MARKER);
    header[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[12] = kind as u8;
    header[16..].copy_from_slice(&received_us.to_le_bytes());
    let check = seed.check(offset, &header);
    header[13..16].copy_from_slice(&check);
    let start = out.len();
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    let checksum = seed.checksum(offset, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(segment: u32, offset: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, Seed::of(segment), offset, FrameKind::Data, -5, b"payload");
        bytes
    }

    #[test]
    fn a_record_is_true_in_its_own_place_only() {
        let bytes = record(3, 32);
        let header = bytes.first_chunk().unwrap();
        let head = Head::parse(header).unwrap();
        assert_eq!((head.length, head.kind, head.received_us), (7, 1, -5));
        assert!(header_is_true(Seed::of(3), 32, header) && record_is_true(Seed::of(3), 32, &bytes));
        for (segment, offset) in [(3, 33), (3, 0), (4, 32), (0, 32)] {
            assert!(!header_is_true(Seed::of(segment), offset, header));
            assert!(!record_is_true(Seed::of(segment), offset, &bytes));
        }
    }

    #[test]
    fn every_bit_counts() {
        let whole = record(1, 99);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let sound = bytes
                .first_chunk()
                .and_then(Head::parse)
                .is_some_and(|head| head.size() <= bytes.len());
            assert!(!(sound && record_is_true(Seed::of(1), 99, &bytes)), "bit {bit}");
        }
    }

    #[test]
    fn headers_tell_what_is_wrong_with_them() {
        let header = SegmentHeader { segment: 7, run: 5, before: 99, created_us: 1 << 40 };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::parse(&bytes, 7), HeaderState::Whole(header));
        assert_eq!(SegmentHeader::parse(&bytes, 8), HeaderState::OtherNumber(7));
        assert_eq!(SegmentHeader::parse(&bytes[..31], 7), HeaderState::Short);
        let mut other = bytes;
        other[7] = b'1';
        assert_eq!(SegmentHeader::parse(&other, 7), HeaderState::Damaged, "a flipped digit");
        let checksum = crc32fast::hash(&other[..28]);
        other[28..].copy_from_slice(&checksum.to_le_bytes());
        let version = HeaderState::OtherVersion("BONGSUJ1".into());
        assert_eq!(SegmentHeader::parse(&other, 7), version);
    }
}
