//! From the feed to Ingest, and from Ingest to the Normalizer: raw frames in one buffer.

use std::sync::Arc;

use crate::market::RecordRef;

/// What a journal record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A message as it came from the feed's socket, unchanged.
    Data = 1,
    /// A [`crate::market::Reference`] as JSON.
    Reference = 2,
    /// Nothing came for a while: microseconds of silence, little endian `i64`.
    Silence = 3,
    /// A feed session began (payload `1`) or ended (payload `0`, then the cause; both as text).
    Connection = 4,
}

impl FrameKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Data),
            2 => Some(Self::Reference),
            3 => Some(Self::Silence),
            4 => Some(Self::Connection),
            _ => None,
        }
    }
}

/// One frame of a [`FrameBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// Wall-clock receive time, microseconds since the Unix epoch.
    pub received_us: i64,
    /// The bytes as received.
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    kind: FrameKind,
    received_us: i64,
    start: u32,
    end: u32,
}

/// Frames in order of arrival, their bytes in one buffer.
#[derive(Debug, Clone, Default)]
pub struct FrameBatch {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl FrameBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `frames` frames of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), slots: Vec::with_capacity(frames) }
    }

    /// Appends a frame.
    ///
    /// A batch holds less than 4 GiB; the feed's own limits keep it far below.
    pub fn push(&mut self, kind: FrameKind, received_us: i64, payload: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(payload);
        let end = self.bytes.len() as u32;
        self.slots.push(Slot { kind, received_us, start, end });
    }

    /// Sets the receive time of every frame.
    pub fn stamp(&mut self, received_us: i64) {
        for slot in &mut self.slots {
            slot.received_us = received_us;
        }
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of all payloads.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Frame `index`. Panics when there is none.
    #[must_use]
    pub fn frame(&self, index: usize) -> Frame<'_> {
        let slot = self.slots[index];
        Frame {
            kind: slot.kind,
            received_us: slot.received_us,
            payload: &self.bytes[slot.start as usize..slot.end as usize],
        }
    }

    /// All frames in order.
    pub fn iter(&self) -> impl Iterator<Item = Frame<'_>> {
        (0..self.len()).map(|index| self.frame(index))
    }

    /// Appends all frames of `other`.
    pub fn append(&mut self, other: &Self) {
        for frame in other.iter() {
            self.push(frame.kind, frame.received_us, frame.payload);
        }
    }

    /// Forgets all frames and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
    }
}

/// Frames that are in the journal, each with its position there.
#[derive(Debug, Clone)]
pub struct JournaledBatch {
    /// The frames.
    pub frames: Arc<FrameBatch>,
    /// Position of each frame, parallel to `frames`.
    pub positions: Vec<RecordRef>,
}
