//! Why a frame or a field of it was refused.

use super::{MAX_FRAME_BYTES, Tr};

/// Longest piece of input quoted in an error, bytes.
const QUOTED_BYTES: usize = 48;

/// The beginning of `bytes` as text, for an error or a log.
pub(super) fn lossy(bytes: &[u8]) -> String {
    if bytes.len() <= QUOTED_BYTES {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    format!("{}…", String::from_utf8_lossy(&bytes[..QUOTED_BYTES]))
}

/// Why a frame as a whole was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No byte, or a head without a payload.
    #[error("the frame{} has no payload: expected flag|TR id|count|fields", of(*.tr))]
    Empty {
        /// The feed, when the head was there.
        tr: Option<Tr>,
    },
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("the frame has {length} bytes: expected at most {MAX_FRAME_BYTES}")]
    TooLong {
        /// Bytes of the frame.
        length: usize,
    },
    /// Not UTF-8 text.
    #[error("the frame is not UTF-8 text: byte {at} fits no character")]
    NotUtf8 {
        /// Offset of the first byte that does not fit.
        at: usize,
    },
    /// The head is not `flag|TR id|count|`.
    #[error("the frame begins with \"{begin}\": expected flag|TR id|count|fields with {expected}")]
    BadHead {
        /// Beginning of the frame.
        begin: String,
        /// What is missing.
        expected: &'static str,
    },
    /// A feed that is not understood.
    #[error(
        "the frame is of feed \"{tr}\": expected H0STCNT0, H0STASP0, H0UPCNT0, H0STMKO0 or H0UNVIC0"
    )]
    UnknownTr {
        /// TR id.
        tr: String,
    },
    /// An encrypted payload; only order notices have one, and none is ever subscribed.
    #[error("the frame of feed \"{tr}\" is encrypted: expected a plain one (flag 0)")]
    Encrypted {
        /// TR id.
        tr: String,
    },
    /// The count of the head does not fit the number of fields.
    #[error(
        "the {} frame announces {count} records and has {fields} fields: expected {count} times the same width, {} to {}",
        .tr.as_str(), .tr.min_width(), 2 * .tr.min_width() - 1
    )]
    CountMismatch {
        /// Feed.
        tr: Tr,
        /// Records announced.
        count: usize,
        /// Fields found.
        fields: usize,
    },
    /// Fewer fields a record than documented.
    #[error(
        "the {} frame has {width} fields a record ({count} records): expected at least {}",
        .tr.as_str(), .tr.min_width()
    )]
    TooNarrow {
        /// Feed.
        tr: Tr,
        /// Records announced.
        count: usize,
        /// Fields a record.
        width: usize,
    },
}

fn of(tr: Option<Tr>) -> String {
    tr.map(|tr| format!(" of feed {}", tr.as_str())).unwrap_or_default()
}

impl FrameError {
    /// Every [`Self::reason`] there is, to declare metrics ahead.
    pub const REASONS: [&'static str; 8] = [
        "empty",
        "too_long",
        "not_utf8",
        "bad_head",
        "unknown_tr",
        "encrypted",
        "count_mismatch",
        "too_narrow",
    ];

    pub(super) fn bad_head(frame: &[u8], expected: &'static str) -> Self {
        Self::BadHead { begin: lossy(frame), expected }
    }

    /// Machine-readable reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::TooLong { .. } => "too_long",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::BadHead { .. } => "bad_head",
            Self::UnknownTr { .. } => "unknown_tr",
            Self::Encrypted { .. } => "encrypted",
            Self::CountMismatch { .. } => "count_mismatch",
            Self::TooNarrow { .. } => "too_narrow",
        }
    }
}

/// Why one record of a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {index} {field} is \"{value}\": expected {expected}")]
pub struct FieldError {
    reason: &'static str,
    index: usize,
    field: &'static str,
    value: String,
    expected: &'static str,
}

impl FieldError {
    /// Every [`Self::reason`] there is, to declare metrics ahead.
    pub const REASONS: [&'static str; 9] = [
        "bad_symbol",
        "bad_time",
        "bad_date",
        "bad_price",
        "bad_quantity",
        "bad_cum_volume",
        "bad_value",
        "bad_code",
        "inconsistent",
    ];

    #[cold]
    #[inline(never)]
    pub(super) fn new(
        reason: &'static str,
        index: usize,
        field: &'static str,
        value: &[u8],
        expected: &'static str,
    ) -> Self {
        debug_assert!(Self::REASONS.contains(&reason), "{reason}");
        Self { reason, index, field, value: lossy(value), expected }
    }

    /// Machine-readable reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Index of the field in its record.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// KIS's name of the field.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}
