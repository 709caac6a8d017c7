//! From the feed to Ingest, and from Ingest to the Normalizer: raw frames in one buffer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Flag;

use crate::market::{EventTime, RecordRef, Symbol, Won};

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
    /// What the feed covers has changed: a [`Coverage`] as JSON. In journals of before: `1` for a
    /// session that began, `0` and the cause as text for one that ended.
    Connection = 4,
    /// Bars that were asked for by REST, because trades were missed: [`FetchedBars`] as JSON.
    Bars = 5,
    /// The state of an issue that has no registration, asked for by REST: a [`Sample`] as JSON.
    Sample = 6,
    /// The model that scores are made with from here on: a [`ModelRecord`](super::ModelRecord) as JSON.
    Model = 7,
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
            5 => Some(Self::Bars),
            6 => Some(Self::Sample),
            7 => Some(Self::Model),
            _ => None,
        }
    }
}

/// Minute bars of one issue as the exchange has them, all of minutes that were over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedBars {
    /// Issue.
    pub symbol: Symbol,
    /// Oldest first.
    pub bars: Vec<FetchedBar>,
}

/// One of [`FetchedBars`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedBar {
    /// Start of the minute.
    pub start: EventTime,
    /// First price, won.
    pub open: Won,
    /// Highest price, won.
    pub high: Won,
    /// Lowest price, won.
    pub low: Won,
    /// Last price, won.
    pub close: Won,
    /// Shares.
    pub volume: i64,
    /// Value, won.
    pub amount: Won,
}

/// The state of an issue at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Issue.
    pub symbol: Symbol,
    /// When it was asked for, in market time.
    pub time: EventTime,
    /// Last price, won.
    pub price: Won,
    /// Base price of the day, won; 0 when not told.
    pub base_price: Won,
    /// Volume of the day, shares.
    pub cum_volume: i64,
    /// Value of the day, won; 0 when not told.
    pub cum_value: Won,
}

/// How the feed's coverage changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A session began.
    Began,
    /// A session ended; what it carried is not watched until another session carries it.
    Ended,
    /// The session goes on, but these issues are not watched: found mute, or moved.
    Uncovered,
}

/// A change of what the feed covers, in the order of the session's own frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// What changed.
    pub change: Change,
    /// Number of the session, from 0: one an app key.
    pub session: usize,
    /// Why; empty when a session began.
    #[serde(default)]
    pub cause: String,
    /// Whether trades missing from now on are due to a silent feed and not to a lost line.
    #[serde(default)]
    pub mute: bool,
    /// Whether no issue at all is watched from here on: in journals of before, which do not say more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Issues whose trades are not watched from here on.
    #[serde(default)]
    pub issues: Vec<Symbol>,
}

impl Coverage {
    /// The change in the payload of a [`FrameKind::Connection`] frame; `None` when it is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let of = |change, cause: &[u8]| Self {
            change,
            session: 0,
            cause: String::from_utf8_lossy(cause).into_owned(),
            mute: false,
            all: change == Change::Ended,
            issues: Vec::new(),
        };
        match payload {
            [b'1', ..] => Some(of(Change::Began, b"")),
            [b'0', cause @ ..] => Some(of(Change::Ended, cause)),
            _ => serde_json::from_slice(payload).ok(),
        }
    }

    /// As the payload of a frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        // Texts and numbers in a struct: there is nothing that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
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
    /// Set when the frames are in the journal; `None` where nobody asks.
    receipt: Option<Flag>,
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
        Self { bytes: Vec::with_capacity(bytes), slots: Vec::with_capacity(frames), receipt: None }
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

    /// Something to wait on until the frames are in the journal.
    #[must_use]
    pub fn receipt(&mut self) -> Flag {
        self.receipt.get_or_insert_with(Flag::pending).clone()
    }

    /// The frames are in the journal.
    pub fn is_journaled(&self) {
        if let Some(receipt) = &self.receipt {
            receipt.set();
        }
    }

    /// The frames whose place `keep` says yes to, with the same receipt.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut kept = Self { receipt: self.receipt.clone(), ..Self::new() };
        for (index, frame) in self.iter().enumerate() {
            if keep(index) {
                kept.push(frame.kind, frame.received_us, frame.payload);
            }
        }
        kept
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
        self.receipt = None;
    }
}

/// Frames that are in the journal, each with its position there.
#[derive(Debug, Clone, Default)]
pub struct JournaledBatch {
    /// The frames.
    pub frames: Arc<FrameBatch>,
    /// Position of each frame, parallel to `frames`.
    pub positions: Vec<RecordRef>,
    /// Number of the checkpoint that stands for the place behind it.
    pub checkpoint: Option<u64>,
    /// Read again from the journal to bring back the state; its effects were had before.
    pub muted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_of_today_and_of_older_journals() {
        let lost = Coverage {
            change: Change::Ended,
            session: 2,
            cause: "no message for 30s".into(),
            mute: false,
            all: false,
            issues: vec!["005930".parse().unwrap()],
        };
        assert_eq!(Coverage::parse(&lost.payload()), Some(lost));
        assert_eq!(Coverage::parse(b"1").unwrap().change, Change::Began);
        let ended = Coverage::parse(b"0stopped").unwrap();
        assert_eq!((ended.change, ended.cause.as_str()), (Change::Ended, "stopped"));
        assert_eq!(Coverage::parse(b"{}"), None);
        assert_eq!(Coverage::parse(b""), None);
    }
}
