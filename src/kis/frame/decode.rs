//! Typed records. Field numbers and meanings are those of the KIS documentation of each feed.

use super::{Records, number};
use crate::market::{
    EventTime, IndexLevel, IndexTick, Mark, Quote, SessionDay, Side, SymbolId, TimeOfDay, Trade,
    TradeFlags, Won,
};

/// Dearest price taken for real, won. The dearest share ever listed traded below 5 million.
const MAX_PRICE: Won = 1_000_000_000;
/// Largest quantity taken for real, shares: above the shares listed of any issue.
const MAX_QUANTITY: i64 = 1_000_000_000_000;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is \"{value}\", expected {expected}")]
pub struct FieldError {
    reason: &'static str,
    field: &'static str,
    value: String,
    expected: &'static str,
}

impl FieldError {
    pub(super) fn new(
        reason: &'static str,
        field: &'static str,
        value: &[u8],
        expected: &'static str,
    ) -> Self {
        let shown = &value[..value.len().min(60)];
        let value = String::from_utf8_lossy(shown).into_owned();
        Self { reason, field, value, expected }
    }

    /// Bounded code for metrics and rows.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Records<'_> {
    /// Record `record` of `H0STCNT0` as a trade of `symbol`.
    ///
    /// Every record of this feed is a trade that happened; expected auction prices have a feed of
    /// their own. An empty optional field reads as zero.
    ///
    /// # Errors
    /// [`FieldError`] names the first field that cannot be right.
    pub fn trade(&self, record: usize, symbol: SymbolId) -> Result<Trade, FieldError> {
        let price = self.price(record, 2, "price")?;
        let quantity = self.quantity(record, 12, "trade size")?;
        let cum_volume = self.optional(record, 13, "cumulative volume", "bad_cum_volume")?;
        if cum_volume < quantity {
            return Err(FieldError::new(
                "bad_cum_volume",
                "cumulative volume",
                self.field(record, 13),
                "at least the size of the trade",
            ));
        }
        let change = number::signed(self.field(record, 4)).unwrap_or(0);
        let day = self.day(record, 33)?;
        let side = match self.field(record, 21) {
            b"1" => Side::Buy,
            b"5" => Side::Sell,
            _ => Side::Auction,
        };
        let flags = if self.field(record, 35) == b"Y" { TradeFlags::HALTED } else { 0 };
        Ok(Trade {
            symbol,
            time: EventTime::from_kst(day, self.time(record, 1)?),
            price,
            quantity,
            cum_volume,
            cum_value: self.optional(record, 14, "cumulative value", "bad_value")?,
            side,
            ask: self.optional(record, 10, "best ask", "bad_price")?,
            bid: self.optional(record, 11, "best bid", "bad_price")?,
            ask_depth: self.optional(record, 38, "total ask size", "bad_quantity")?,
            bid_depth: self.optional(record, 39, "total bid size", "bad_quantity")?,
            base_price: (price - change).max(0),
            previous_volume_at_time: number::unsigned(self.field(record, 41)).unwrap_or(0),
            vi_reference: number::unsigned(self.field(record, 45)).unwrap_or(0),
            flags: TradeFlags(flags),
        })
    }

    /// Record `record` of `H0STASP0` as a quote of `symbol`. The frame carries no date: `day` is
    /// the session day.
    ///
    /// # Errors
    /// As for [`Records::trade`].
    pub fn quote(
        &self,
        record: usize,
        symbol: SymbolId,
        day: SessionDay,
    ) -> Result<Quote, FieldError> {
        let size = |field, name| self.optional(record, field, name, "bad_quantity");
        Ok(Quote {
            symbol,
            time: EventTime::from_kst(day, self.time(record, 1)?),
            ask: self.optional(record, 3, "best ask", "bad_price")?,
            bid: self.optional(record, 13, "best bid", "bad_price")?,
            ask_size: size(23, "size at the best ask")?,
            bid_size: size(33, "size at the best bid")?,
            ask_depth: size(43, "total ask size")?,
            bid_depth: size(44, "total bid size")?,
            phase: self.field(record, 2).first().copied().unwrap_or(b'0'),
        })
    }

    /// Record `record` of `H0UPCNT0` as a print of the index `symbol`. The frame carries no date:
    /// `day` is the session day.
    ///
    /// # Errors
    /// As for [`Records::trade`].
    pub fn index(
        &self,
        record: usize,
        symbol: SymbolId,
        day: SessionDay,
    ) -> Result<IndexTick, FieldError> {
        let level: IndexLevel = number::hundredths(self.field(record, 2))
            .filter(|level| *level > 0)
            .ok_or_else(|| {
                let expected = "a positive number with two decimals";
                FieldError::new("bad_level", "index level", self.field(record, 2), expected)
            })?;
        let change = number::hundredths(self.field(record, 4)).ok_or_else(|| {
            let expected = "a signed number with two decimals";
            FieldError::new("bad_level", "index change", self.field(record, 4), expected)
        })?;
        let issues = |field| {
            number::unsigned(self.field(record, field))
                .and_then(|count| i32::try_from(count).ok())
                .unwrap_or(0)
        };
        Ok(IndexTick {
            symbol,
            time: EventTime::from_kst(day, self.time(record, 1)?),
            level,
            previous_close: level - change,
            rising: issues(22).saturating_add(issues(23)),
            unchanged: issues(24),
            falling: issues(25).saturating_add(issues(26)),
        })
    }

    /// Record `record` of `H0STMKO0` as a mark. It carries no time: `time` is the last event time
    /// before it.
    ///
    /// # Errors
    /// None so far: unknown codes read as 0.
    pub fn operation(
        &self,
        record: usize,
        symbol: SymbolId,
        time: EventTime,
    ) -> Result<Mark, FieldError> {
        let code = number::unsigned(self.field(record, 3))
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(0);
        let halted = self.field(record, 1) == b"Y";
        let vi_active = self.field(record, 8) == b"Y";
        Ok(Mark::Operation { symbol, time, code, halted, vi_active })
    }

    fn price(&self, record: usize, field: usize, name: &'static str) -> Result<Won, FieldError> {
        let text = self.field(record, field);
        number::unsigned(text).filter(|price| (1..MAX_PRICE).contains(price)).ok_or_else(|| {
            FieldError::new("bad_price", name, text, "a whole number of won above zero")
        })
    }

    fn quantity(&self, record: usize, field: usize, name: &'static str) -> Result<i64, FieldError> {
        let text = self.field(record, field);
        number::unsigned(text).filter(|quantity| (1..MAX_QUANTITY).contains(quantity)).ok_or_else(
            || FieldError::new("bad_quantity", name, text, "a whole number of shares above zero"),
        )
    }

    fn optional(
        &self,
        record: usize,
        field: usize,
        name: &'static str,
        reason: &'static str,
    ) -> Result<i64, FieldError> {
        let text = self.field(record, field);
        if text.is_empty() {
            return Ok(0);
        }
        number::unsigned(text)
            .ok_or_else(|| FieldError::new(reason, name, text, "a whole number, or nothing"))
    }

    /// The time of day in `field` of `record`.
    ///
    /// # Errors
    /// [`FieldError`] when it is not HHMMSS.
    pub fn time(&self, record: usize, field: usize) -> Result<TimeOfDay, FieldError> {
        let text = self.field(record, field);
        (text.len() == 6)
            .then(|| number::unsigned(text))
            .flatten()
            .and_then(|hhmmss| TimeOfDay::from_hhmmss(hhmmss as u32))
            .ok_or_else(|| FieldError::new("bad_time", "time", text, "HHMMSS"))
    }

    fn day(&self, record: usize, field: usize) -> Result<SessionDay, FieldError> {
        let text = self.field(record, field);
        let error = || FieldError::new("bad_date", "business day", text, "YYYYMMDD");
        let word = u64::from_le_bytes(text.try_into().map_err(|_| error())?);
        let (known, day) = self.last_day.get();
        if word == known {
            return Ok(day);
        }
        let day = number::unsigned(text)
            .and_then(|yyyymmdd| SessionDay::from_yyyymmdd(yyyymmdd as u32))
            .ok_or_else(error)?;
        self.last_day.set((word, day));
        Ok(day)
    }
}
