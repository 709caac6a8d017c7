//! KIS WebSocket data frames: `flag|TR id|count|payload`, fields joined by `^`.
//!
//! The hot path's parser. [`FrameParser::split`] finds all separators in one pass, eight bytes at
//! a time, into a buffer that is reused; the typed decoders then read the fields they need by
//! index. Width is whatever the frame has: KIS appends fields without a new TR id, so a record may
//! be wider than this build knows, never narrower.
//!
//! # Limits
//! A frame has at most [`MAX_FRAME`] bytes and [`MAX_RECORDS`] records.
//!
//! # Failure modes
//! Whatever the bytes, the answer is records or an error with a bounded [`reason`]
//! (`FrameError::reason`) for metrics and a text that names the field, the value and what was
//! expected. Nothing panics.

mod decode;
mod number;

use std::cell::Cell;

pub use decode::FieldError;

use crate::market::{SessionDay, Symbol};

/// Longest frame: 20 records of 260 bytes are about 5 KiB; nothing seen comes near this.
pub const MAX_FRAME: usize = 64 << 10;
/// Most records of a frame: the count has three digits.
pub const MAX_RECORDS: usize = 999;

/// The feeds understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tr {
    /// Trades, KRX (`H0STCNT0`).
    Trade,
    /// Order book, KRX (`H0STASP0`).
    Book,
    /// Index (`H0UPCNT0`).
    Index,
    /// Market operation, KRX (`H0STMKO0`).
    Operation,
}

impl Tr {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Trade, Self::Book, Self::Index, Self::Operation];

    /// The TR id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Trade => "H0STCNT0",
            Self::Book => "H0STASP0",
            Self::Index => "H0UPCNT0",
            Self::Operation => "H0STMKO0",
        }
    }

    /// Fields a record has at least.
    #[must_use]
    pub const fn min_width(self) -> usize {
        match self {
            Self::Trade => 46,
            Self::Book => 59,
            Self::Index => 30,
            Self::Operation => 10,
        }
    }

    fn from_bytes(id: &[u8]) -> Option<Self> {
        match id {
            b"H0STCNT0" => Some(Self::Trade),
            b"H0STASP0" => Some(Self::Book),
            b"H0UPCNT0" => Some(Self::Index),
            b"H0STMKO0" => Some(Self::Operation),
            _ => None,
        }
    }
}

/// Why a frame as a whole cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No bytes, or no payload.
    #[error("the frame is empty")]
    Empty,
    /// Longer than any frame is.
    #[error("the frame has {0} bytes, expected at most {MAX_FRAME}")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("byte {0} of the frame is not UTF-8")]
    NotUtf8(usize),
    /// Not three `|` after a flag, a TR id and a count.
    #[error("the frame does not begin with flag|TR id|count|, for example 0|H0STCNT0|001|")]
    BadHead,
    /// Encrypted: only account notices are, and they are not expected here.
    #[error("the frame is encrypted (flag 1), expected a plain one (flag 0)")]
    Encrypted,
    /// A feed this build does not know.
    #[error("unknown TR id \"{0}\", expected H0STCNT0, H0STASP0, H0UPCNT0 or H0STMKO0")]
    UnknownTr(String),
    /// The count is no number from 1 to 999, or does not divide the fields.
    #[error(
        "the frame announces {count} records but has {fields} fields, which do not divide evenly"
    )]
    CountMismatch {
        /// As announced; 0 when it is no number.
        count: usize,
        /// As found.
        fields: usize,
    },
    /// Records have too few fields.
    #[error("records of {tr} have {width} fields, expected at least {min}", min = tr.min_width(), tr = tr.id())]
    TooNarrow {
        /// The feed.
        tr: Tr,
        /// Fields of a record.
        width: usize,
    },
}

impl Tr {
    /// Adds the error's own bounded code.
    const fn narrow(self, width: usize) -> FrameError {
        FrameError::TooNarrow { tr: self, width }
    }
}

impl FrameError {
    /// Bounded code for metrics and rows.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong(_) => "too_long",
            Self::NotUtf8(_) => "not_utf8",
            Self::BadHead => "bad_head",
            Self::Encrypted => "encrypted",
            Self::UnknownTr(_) => "unknown_tr",
            Self::CountMismatch { .. } => "count_mismatch",
            Self::TooNarrow { .. } => "too_narrow",
        }
    }
}

/// Whether a message is a control message (acknowledgement, PINGPONG) and not a data frame.
#[must_use]
pub fn is_control(message: &[u8]) -> bool {
    message.first() == Some(&b'{')
}

/// Splits frames into records. Keeps its buffer from frame to frame.
#[derive(Debug, Default)]
pub struct FrameParser {
    /// Position of each separator, one before the first field (wrapping) and one after the last.
    bounds: Vec<u32>,
    /// Date text of the last record and its day: all trades of a session share it.
    last_day: Cell<(u64, SessionDay)>,
}

impl FrameParser {
    /// A parser with an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Splits a frame.
    ///
    /// # Errors
    /// [`FrameError`] when it is not a frame of a known feed with whole records.
    pub fn split<'a>(&'a mut self, frame: &'a [u8]) -> Result<Records<'a>, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        if frame.len() > MAX_FRAME {
            return Err(FrameError::TooLong(frame.len()));
        }
        if let Err(error) = std::str::from_utf8(frame) {
            return Err(FrameError::NotUtf8(error.valid_up_to()));
        }
        let (flag, rest) = cut(frame)?;
        let (id, rest) = cut(rest)?;
        let (count, payload) = cut(rest)?;
        match flag {
            b"0" => {}
            b"1" => return Err(FrameError::Encrypted),
            _ => return Err(FrameError::BadHead),
        }
        let tr = Tr::from_bytes(id)
            .ok_or_else(|| FrameError::UnknownTr(String::from_utf8_lossy(id).into_owned()))?;
        if payload.is_empty() {
            return Err(FrameError::Empty);
        }
        self.find_separators(payload);
        let fields = self.bounds.len() - 1;
        let count = number::unsigned(count)
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| (1..=MAX_RECORDS).contains(count))
            .unwrap_or(0);
        if count == 0 || !fields.is_multiple_of(count) {
            return Err(FrameError::CountMismatch { count, fields });
        }
        let width = fields / count;
        if width < tr.min_width() {
            return Err(tr.narrow(width));
        }
        Ok(Records { tr, count, width, payload, bounds: &self.bounds, last_day: &self.last_day })
    }

    fn find_separators(&mut self, payload: &[u8]) {
        const SEPARATOR: u8 = b'^';
        const SEPARATORS: u64 = u64::from_ne_bytes([SEPARATOR; 8]);
        const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
        self.bounds.clear();
        self.bounds.push(u32::MAX);
        let (words, tail) = payload.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let differs = u64::from_le_bytes(*word) ^ SEPARATORS;
            // The high bit of each byte that equals the separator, and no other: adding 0x7F to
            // the low seven bits carries into the high bit unless they are all zero.
            let mut found = !(((differs & LOW) + LOW) | differs | LOW);
            let base = (index * 8) as u32;
            while found != 0 {
                self.bounds.push(base + found.trailing_zeros() / 8);
                found &= found - 1;
            }
        }
        let base = words.len() * 8;
        for (index, byte) in tail.iter().enumerate() {
            if *byte == SEPARATOR {
                self.bounds.push((base + index) as u32);
            }
        }
        self.bounds.push(payload.len() as u32);
    }
}

fn cut(bytes: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    // The head is short: what has no separator in its first bytes is no frame.
    let end = bytes.iter().take(16).position(|byte| *byte == b'|').ok_or(FrameError::BadHead)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

/// The records of one frame.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    tr: Tr,
    count: usize,
    width: usize,
    payload: &'a [u8],
    bounds: &'a [u32],
    last_day: &'a Cell<(u64, SessionDay)>,
}

impl<'a> Records<'a> {
    /// The feed.
    #[must_use]
    pub const fn tr(&self) -> Tr {
        self.tr
    }

    /// Number of records, at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always a record")]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Fields of a record.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Field `field` of record `record`. Panics when there is none.
    #[must_use]
    pub fn field(&self, record: usize, field: usize) -> &'a [u8] {
        debug_assert!(field < self.width);
        let index = record * self.width + field;
        let start = self.bounds[index].wrapping_add(1) as usize;
        &self.payload[start..self.bounds[index + 1] as usize]
    }

    /// The code a record is about.
    ///
    /// # Errors
    /// [`FieldError`] when it is not a code.
    pub fn symbol(&self, record: usize) -> Result<Symbol, FieldError> {
        let text = self.field(record, 0);
        Symbol::from_bytes(text).ok_or_else(|| {
            FieldError::new("bad_symbol", "issue code", text, "1 to 8 letters or digits")
        })
    }
}

#[cfg(test)]
mod tests;
