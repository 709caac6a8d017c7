//! Data frames of the KIS feed: `flag|TR id|count|payload`, the payload's fields joined by `^`.
//!
//! In: the bytes of one WebSocket message, as journaled. Out: [`Records`], a view that addresses
//! fields by index, and from it the market's own types ([`decode_trade`], [`decode_quote`],
//! [`decode_index`], [`decode_operation`], [`decode_interruption`]). Nothing is copied, and nothing is allocated once the
//! parser has met its longest frame; a refusal allocates its text.
//!
//! KIS appends fields to a record without a new TR id, so the width is `fields / count` and wider
//! records are accepted. Three things bound that trust: the count must divide the number of fields,
//! the width must reach the documented minimum, and a width of twice the minimum is refused, because
//! then the count lies (two records would silently pass for one).
//!
//! Failure modes: every refusal has a machine-readable [`FrameError::reason`] or
//! [`FieldError::reason`] out of a bounded set, for metrics and for the table of failures, and a
//! text that names the field, its value and what was expected. No input makes the parser panic.

mod decode;
mod error;
mod number;
mod scan;
#[cfg(test)]
mod tests;

pub use decode::{decode_index, decode_interruption, decode_operation, decode_quote, decode_trade};
pub use error::{FieldError, FrameError};

use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay};

/// Longest frame that is parsed. A frame of 20 trades has about 5 KiB.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// The feeds that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tr {
    /// Trades of an issue on KRX (실시간체결가).
    Trade,
    /// Order book of an issue on KRX (실시간호가).
    Quote,
    /// Prints of a sector index (국내지수 실시간체결).
    Index,
    /// Market operation: phases, halts, circuit breaker (장운영정보).
    Operation,
    /// Begins and ends of an issue's volatility interruptions (변동성완화장치).
    Interruption,
    /// Notices of the account's own orders (체결통보), decrypted and masked by the session.
    Notice,
    /// The same in paper trading.
    PaperNotice,
}

impl Tr {
    /// All feeds.
    pub const ALL: [Self; 7] = [
        Self::Trade,
        Self::Quote,
        Self::Index,
        Self::Operation,
        Self::Interruption,
        Self::Notice,
        Self::PaperNotice,
    ];

    /// The TR id on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "H0STCNT0",
            Self::Quote => "H0STASP0",
            Self::Index => "H0UPCNT0",
            Self::Operation => "H0STMKO0",
            Self::Interruption => "H0UNVIC0",
            Self::Notice => "H0STCNI0",
            Self::PaperNotice => "H0STCNI9",
        }
    }

    /// The feed with this TR id.
    #[must_use]
    pub const fn from_bytes(id: &[u8]) -> Option<Self> {
        match id {
            b"H0STCNT0" => Some(Self::Trade),
            b"H0STASP0" => Some(Self::Quote),
            b"H0UPCNT0" => Some(Self::Index),
            b"H0STMKO0" => Some(Self::Operation),
            b"H0UNVIC0" => Some(Self::Interruption),
            b"H0STCNI0" => Some(Self::Notice),
            b"H0STCNI9" => Some(Self::PaperNotice),
            _ => None,
        }
    }

    /// Fewest fields of a record.
    #[must_use]
    pub const fn min_width(self) -> usize {
        match self {
            Self::Trade => 46,
            Self::Quote => 59,
            Self::Index => 30,
            Self::Operation => 10,
            Self::Interruption => 16,
            Self::Notice | Self::PaperNotice => 26,
        }
    }

    /// Which field has the code it came for.
    const fn code_field(self) -> usize {
        // A date stands before it.
        if matches!(self, Self::Interruption) { 1 } else { 0 }
    }
}

/// Whether a message is JSON (an acknowledgement or PINGPONG) and not a data frame.
#[must_use]
pub fn is_control(message: &[u8]) -> bool {
    message.first() == Some(&b'{')
}

/// What can be read of a frame without splitting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The feed.
    pub tr: Tr,
    /// The code in the first record: the key of the subscription it came for.
    pub key: &'a [u8],
    /// Time of the first record, where a trade tells date and time.
    pub time: Option<EventTime>,
}

/// Reads the feed, key and time of a plain data frame; `None` when it is none. Costs the length of
/// the head and of the first record.
#[must_use]
pub fn peek(payload: &[u8]) -> Option<Peek<'_>> {
    let head = Head::parse(payload).ok()?;
    let mut fields = payload[head.body..].split(|byte| *byte == b'^');
    let key = fields.nth(head.tr.code_field())?;
    let time = (head.tr == Tr::Trade).then(|| {
        let time = number::digits::<6>(fields.next()?).and_then(TimeOfDay::from_hhmmss)?;
        // The date is field 33; 31 lie in between.
        let day = number::digits::<8>(fields.nth(31)?).and_then(SessionDay::from_yyyymmdd)?;
        Some(EventTime::from_kst(day, time))
    });
    Some(Peek { tr: head.tr, key, time: time.flatten() })
}

/// Splits frames into fields; owns the memory for their positions. One a thread, reused.
#[derive(Debug, Default, Clone)]
pub struct FrameParser {
    /// Start of each field, and past the last one the start a further field would have.
    starts: Vec<u32>,
}

impl FrameParser {
    /// A parser that has met no frame yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of one frame.
    ///
    /// # Errors
    /// When the frame is no data frame of a known feed with records of equal, sufficient width.
    pub fn split<'a>(&'a mut self, payload: &'a [u8]) -> Result<Records<'a>, FrameError> {
        if payload.is_empty() {
            return Err(FrameError::Empty { tr: None });
        }
        if payload.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong { length: payload.len() });
        }
        // Real frames are ASCII, and that is seen much faster.
        if !payload.is_ascii()
            && let Err(error) = std::str::from_utf8(payload)
        {
            return Err(FrameError::NotUtf8 { at: error.valid_up_to() });
        }
        let head = Head::parse(payload)?;
        let tr = head.tr;
        if head.body == payload.len() {
            return Err(FrameError::Empty { tr: Some(tr) });
        }
        let fields = scan::field_starts(payload, head.body, &mut self.starts);
        let count = head.count;
        if !fields.is_multiple_of(count) {
            return Err(FrameError::CountMismatch { tr, count, fields });
        }
        let width = fields / count;
        if width < tr.min_width() {
            return Err(FrameError::TooNarrow { tr, count, width });
        }
        if width >= 2 * tr.min_width() {
            return Err(FrameError::CountMismatch { tr, count, fields });
        }
        Ok(Records { tr, count, width, payload, starts: &self.starts[..=fields] })
    }
}

struct Head {
    tr: Tr,
    count: usize,
    /// Where the payload's first field begins.
    body: usize,
}

impl Head {
    /// Longest head that can be right: `0|H0STCNT0|001|` has 15 bytes.
    const MAX_BYTES: usize = 48;

    fn parse(payload: &[u8]) -> Result<Self, FrameError> {
        let mut bars = [0usize; 3];
        let mut found = 0;
        for (at, byte) in payload.iter().take(Self::MAX_BYTES).enumerate() {
            if *byte == b'|' {
                bars[found] = at;
                found += 1;
                if found == bars.len() {
                    break;
                }
            }
        }
        if found < bars.len() {
            return Err(FrameError::bad_head(payload, "three \"|\" near the beginning"));
        }
        let flag = &payload[..bars[0]];
        let id = &payload[bars[0] + 1..bars[1]];
        let count = &payload[bars[1] + 1..bars[2]];
        if flag != b"0" && flag != b"1" {
            return Err(FrameError::bad_head(payload, "the flag 0 or 1"));
        }
        if id.is_empty() || !id.iter().all(u8::is_ascii_alphanumeric) {
            return Err(FrameError::bad_head(payload, "a TR id of ASCII letters and digits"));
        }
        if flag == b"1" {
            return Err(FrameError::Encrypted { tr: error::lossy(id) });
        }
        let tr =
            Tr::from_bytes(id).ok_or_else(|| FrameError::UnknownTr { tr: error::lossy(id) })?;
        let count = match number::unsigned(count) {
            Some(number) if count.len() <= 4 && number > 0 => number as usize,
            _ => {
                return Err(FrameError::bad_head(payload, "a count of 1 to 4 digits above zero"));
            }
        };
        Ok(Self { tr, count, body: bars[2] + 1 })
    }
}

/// The records of one frame, their fields addressed by index.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    tr: Tr,
    count: usize,
    width: usize,
    payload: &'a [u8],
    starts: &'a [u32],
}

impl<'a> Records<'a> {
    /// The feed.
    #[must_use]
    pub const fn tr(&self) -> Tr {
        self.tr
    }

    /// Number of records, at least one.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Fields a record, at least [`Tr::min_width`].
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Field `index` of record `record`, as received.
    ///
    /// # Panics
    /// When `record >= count` or `index >= width`.
    #[must_use]
    pub fn field(&self, record: usize, index: usize) -> &'a [u8] {
        assert!(
            record < self.count && index < self.width,
            "record {record} of {}, field {index} of {}",
            self.count,
            self.width
        );
        let at = record * self.width + index;
        &self.payload[self.starts[at] as usize..self.starts[at + 1] as usize - 1]
    }

    /// The code in record `record`: issue, or sector of an index.
    ///
    /// # Errors
    /// `bad_symbol` unless it has one to eight ASCII letters or digits.
    ///
    /// # Panics
    /// When `record >= count`.
    pub fn symbol(&self, record: usize) -> Result<Symbol, FieldError> {
        let at = self.tr.code_field();
        let code = self.field(record, at);
        Symbol::from_bytes(code).ok_or_else(|| {
            let expected = "1 to 8 ASCII letters or digits, for example 005930";
            FieldError::new("bad_symbol", at, "MKSC_SHRN_ISCD", code, expected)
        })
    }
}
