//! From a record's fields to the market's types.
//!
//! What an empty field means: the fields a decision rests on (code, time, price, size, cumulative
//! volume) must be there; any other field that is empty is zero, as [`Trade`] says. A field that is
//! neither empty nor what it should be refuses the record: half a record is worse than none.
//!
//! **Auction marks.** `H0STCNT0` carries trades; expected prices of an auction have a feed of their
//! own. So a record whose time class (시간구분코드) is `A` to `D` is a trade like any other when it
//! has a size, and is flagged [`TradeFlags::EXPECTED`] only when its size is zero. A record of the
//! continuous session without a size is refused.

use super::number::{digits, hundredths, signed, unsigned};
use super::{FieldError, Records, Tr};
use crate::market::{
    EventTime, IndexTick, Mark, Quote, SessionDay, Side, SymbolId, TimeOfDay, Trade, TradeFlags,
    Won,
};

/// No Korean share has come near a billion won; a larger number is two fields run together.
const MAX_PRICE: i64 = 1_000_000_000;
/// 10^15: about a hundred times the shares of the whole market, and its value of a month in won.
const MAX_AMOUNT: i64 = 1_000_000_000_000_000;
/// Hundredths of a point.
const MAX_LEVEL: i64 = 100_000_000;
const MAX_ISSUES: i64 = 100_000;

/// The first `N - 1` fields of one record, addressed without further checks of the width.
struct Row<'a, const N: usize> {
    payload: &'a [u8],
    starts: &'a [u32; N],
}

impl<'a, const N: usize> Row<'a, N> {
    fn of(records: &Records<'a>, record: usize, tr: Tr) -> Result<Self, FieldError> {
        let row = if records.tr == tr && record < records.count {
            records.starts[record * records.width..].first_chunk::<N>()
        } else {
            None
        };
        match row {
            Some(starts) => Ok(Self { payload: records.payload, starts }),
            None => Err(FieldError::new(
                "inconsistent",
                0,
                "record",
                records.tr.as_str().as_bytes(),
                "a record of the feed that is decoded",
            )),
        }
    }

    #[inline]
    fn field(&self, index: usize) -> &'a [u8] {
        &self.payload[self.starts[index] as usize..self.starts[index + 1] as usize - 1]
    }

    /// A number from `least` to `most`; an empty field is refused.
    #[inline]
    fn needed(&self, field: &Field, least: i64, most: i64) -> Result<i64, FieldError> {
        let bytes = self.field(field.index);
        match unsigned(bytes) {
            Some(value) if value >= least && value <= most => Ok(value),
            _ => Err(field.refuse(bytes)),
        }
    }

    /// A number from 0 to `most`; an empty field is 0.
    #[inline]
    fn optional(&self, field: &Field, most: i64) -> Result<i64, FieldError> {
        let bytes = self.field(field.index);
        if bytes.is_empty() {
            return Ok(0);
        }
        match unsigned(bytes) {
            Some(value) if value <= most => Ok(value),
            _ => Err(field.refuse(bytes)),
        }
    }

    fn time(&self, field: &Field) -> Result<TimeOfDay, FieldError> {
        let bytes = self.field(field.index);
        digits::<6>(bytes).and_then(TimeOfDay::from_hhmmss).ok_or_else(|| field.refuse(bytes))
    }

    fn yes(&self, field: &Field) -> Result<bool, FieldError> {
        match self.field(field.index) {
            b"Y" => Ok(true),
            b"N" | b"" => Ok(false),
            other => Err(field.refuse(other)),
        }
    }

    /// A one-character class; `default` when empty.
    fn class(&self, field: &Field, default: u8) -> Result<u8, FieldError> {
        match self.field(field.index) {
            [] => Ok(default),
            [byte] if byte.is_ascii_alphanumeric() => Ok(*byte),
            other => Err(field.refuse(other)),
        }
    }
}

/// A field, and what is said when it is wrong.
struct Field {
    index: usize,
    name: &'static str,
    reason: &'static str,
    expected: &'static str,
}

impl Field {
    #[cold]
    #[inline(never)]
    fn refuse(&self, value: &[u8]) -> FieldError {
        FieldError::new(self.reason, self.index, self.name, value, self.expected)
    }
}

macro_rules! fields {
    ($module:ident: $($constant:ident = $index:literal $name:literal $reason:literal $expected:literal;)+) => {
        mod $module {
            use super::Field;
            $(pub(super) const $constant: Field =
                Field { index: $index, name: $name, reason: $reason, expected: $expected };)+
        }
    };
}

fields! { trade:
    TIME = 1 "STCK_CNTG_HOUR" "bad_time" "a time HHMMSS";
    PRICE = 2 "STCK_PRPR" "bad_price" "a price from 1 to 999999999 won";
    CHANGE = 4 "PRDY_VRSS" "bad_price" "a change in won with its own minus sign, or nothing";
    ASK = 10 "ASKP1" "bad_price" "a price below 1000000000 won, or nothing";
    BID = 11 "BIDP1" "bad_price" "a price below 1000000000 won, or nothing";
    QUANTITY = 12 "CNTG_VOL" "bad_quantity" "a number of shares above zero";
    CUM_VOLUME = 13 "ACML_VOL" "bad_cum_volume" "the volume of the day, at least this trade's size";
    CUM_VALUE = 14 "ACML_TR_PBMN" "bad_value" "the value of the day in won, or nothing";
    SIDE = 21 "CCLD_DVSN" "bad_code" "1 buy, 3 auction, 5 sell, or nothing";
    DATE = 33 "BSOP_DATE" "bad_date" "a date YYYYMMDD";
    HALTED = 35 "TRHT_YN" "bad_code" "Y, N or nothing";
    ASK_DEPTH = 38 "TOTAL_ASKP_RSQN" "bad_quantity" "a number of shares, or nothing";
    BID_DEPTH = 39 "TOTAL_BIDP_RSQN" "bad_quantity" "a number of shares, or nothing";
    PREVIOUS = 41 "PRDY_SMNS_HOUR_ACML_VOL" "bad_quantity" "a number of shares, or nothing";
    CLASS = 43 "HOUR_CLS_CODE" "bad_code" "one letter or digit, or nothing";
    VI_REFERENCE = 45 "VI_STND_PRC" "bad_price" "a price below 1000000000 won, or nothing";
}

/// The trade in record `record`, all fields of [`Trade`] but `symbol`, which the caller has looked
/// up for [`Records::symbol`]. The base price is the price minus its change against the previous
/// close, which carries its own sign; zero when the change is missing.
///
/// # Errors
/// When a field is not what it should be; `inconsistent` when the fields contradict each other or
/// the record is of another feed.
pub fn decode_trade(
    records: &Records<'_>,
    record: usize,
    symbol: SymbolId,
) -> Result<Trade, FieldError> {
    let row = Row::<47>::of(records, record, Tr::Trade)?;
    let price = row.needed(&trade::PRICE, 1, MAX_PRICE - 1)?;
    let class = row.class(&trade::CLASS, b'0')?;
    let in_auction = matches!(class, b'A'..=b'D');
    let quantity = row.needed(&trade::QUANTITY, i64::from(!in_auction), MAX_AMOUNT)?;
    let mut flags = TradeFlags::default();
    if quantity == 0 {
        flags.0 |= TradeFlags::EXPECTED;
    }
    if row.yes(&trade::HALTED)? {
        flags.0 |= TradeFlags::HALTED;
    }
    let side = match row.class(&trade::SIDE, b'3')? {
        b'1' => Side::Buy,
        b'5' => Side::Sell,
        _ => Side::Auction,
    };
    Ok(Trade {
        symbol,
        time: trade_time(&row)?,
        price,
        quantity,
        cum_volume: row.needed(&trade::CUM_VOLUME, quantity, MAX_AMOUNT)?,
        cum_value: row.optional(&trade::CUM_VALUE, MAX_AMOUNT)?,
        side,
        ask: row.optional(&trade::ASK, MAX_PRICE - 1)?,
        bid: row.optional(&trade::BID, MAX_PRICE - 1)?,
        ask_depth: row.optional(&trade::ASK_DEPTH, MAX_AMOUNT)?,
        bid_depth: row.optional(&trade::BID_DEPTH, MAX_AMOUNT)?,
        base_price: base_price(&row, price)?,
        previous_volume_at_time: row.optional(&trade::PREVIOUS, MAX_AMOUNT)?,
        vi_reference: row.optional(&trade::VI_REFERENCE, MAX_PRICE - 1)?,
        flags,
    })
}

#[inline]
fn trade_time(row: &Row<'_, 47>) -> Result<EventTime, FieldError> {
    let date = row.field(trade::DATE.index);
    let day = digits::<8>(date)
        .and_then(SessionDay::from_yyyymmdd)
        .ok_or_else(|| trade::DATE.refuse(date))?;
    Ok(EventTime::from_kst(day, row.time(&trade::TIME)?))
}

#[inline]
fn base_price(row: &Row<'_, 47>, price: Won) -> Result<Won, FieldError> {
    let bytes = row.field(trade::CHANGE.index);
    if bytes.is_empty() {
        return Ok(0);
    }
    let change = signed(bytes).ok_or_else(|| trade::CHANGE.refuse(bytes))?;
    // Both are below 10^18 in size, so the difference fits.
    let base = price - change;
    if base <= 0 || base >= MAX_PRICE {
        let expected = "a change that leaves a base price from 1 to 999999999 won";
        return Err(FieldError::new(
            "inconsistent",
            trade::CHANGE.index,
            trade::CHANGE.name,
            bytes,
            expected,
        ));
    }
    Ok(base)
}

fields! { quote:
    TIME = 1 "BSOP_HOUR" "bad_time" "a time HHMMSS";
    CLASS = 2 "HOUR_CLS_CODE" "bad_code" "one letter or digit, or nothing";
    ASK = 3 "ASKP1" "bad_price" "a price below 1000000000 won, 0 for an empty level";
    BID = 13 "BIDP1" "bad_price" "a price below 1000000000 won, 0 for an empty level";
    ASK_SIZE = 23 "ASKP_RSQN1" "bad_quantity" "a number of shares, or nothing";
    BID_SIZE = 33 "BIDP_RSQN1" "bad_quantity" "a number of shares, or nothing";
    ASK_DEPTH = 43 "TOTAL_ASKP_RSQN" "bad_quantity" "a number of shares, or nothing";
    BID_DEPTH = 44 "TOTAL_BIDP_RSQN" "bad_quantity" "a number of shares, or nothing";
}

/// The best quotes and the depth in record `record`. The frame has no date: `day` is the session
/// day it belongs to. The phase is the time class as received, `b'0'` when it is empty; a level
/// that is empty has price 0.
///
/// # Errors
/// When a field is not what it should be; `inconsistent` when the book of the continuous session
/// is crossed or the record is of another feed.
pub fn decode_quote(
    records: &Records<'_>,
    record: usize,
    symbol: SymbolId,
    day: SessionDay,
) -> Result<Quote, FieldError> {
    let row = Row::<60>::of(records, record, Tr::Quote)?;
    let phase = row.class(&quote::CLASS, b'0')?;
    let ask = row.optional(&quote::ASK, MAX_PRICE - 1)?;
    let bid = row.optional(&quote::BID, MAX_PRICE - 1)?;
    // Orders of an auction may overlap; in continuous trading they would have met.
    if phase == b'0' && ask != 0 && bid > ask {
        return Err(FieldError::new(
            "inconsistent",
            quote::BID.index,
            quote::BID.name,
            row.field(quote::BID.index),
            "a best bid not above the best ask",
        ));
    }
    Ok(Quote {
        symbol,
        time: EventTime::from_kst(day, row.time(&quote::TIME)?),
        ask,
        bid,
        ask_size: row.optional(&quote::ASK_SIZE, MAX_AMOUNT)?,
        bid_size: row.optional(&quote::BID_SIZE, MAX_AMOUNT)?,
        ask_depth: row.optional(&quote::ASK_DEPTH, MAX_AMOUNT)?,
        bid_depth: row.optional(&quote::BID_DEPTH, MAX_AMOUNT)?,
        phase,
    })
}

fields! { index:
    TIME = 1 "bsop_hour" "bad_time" "a time HHMMSS";
    LEVEL = 2 "prpr_nmix" "bad_price" "an index level with at most two decimals";
    CHANGE = 4 "bstp_nmix_prdy_vrss" "bad_price" "a change of the index with its own minus sign";
    UPPER = 22 "uplm_issu_cnt" "bad_quantity" "a number of issues, or nothing";
    RISING = 23 "ascn_issu_cnt" "bad_quantity" "a number of issues, or nothing";
    UNCHANGED = 24 "stnr_issu_cnt" "bad_quantity" "a number of issues, or nothing";
    FALLING = 25 "down_issu_cnt" "bad_quantity" "a number of issues, or nothing";
    LOWER = 26 "lslm_issu_cnt" "bad_quantity" "a number of issues, or nothing";
}

/// The index print in record `record`. The frame has no date: `day` is the session day it belongs
/// to. Issues at a limit are counted by KIS in fields of their own and added here.
///
/// # Errors
/// When a field is not what it should be; `inconsistent` when level and change leave no previous
/// close or the record is of another feed.
pub fn decode_index(
    records: &Records<'_>,
    record: usize,
    symbol: SymbolId,
    day: SessionDay,
) -> Result<IndexTick, FieldError> {
    let row = Row::<31>::of(records, record, Tr::Index)?;
    let decimal = |field: &Field| {
        let bytes = row.field(field.index);
        hundredths(bytes).ok_or_else(|| field.refuse(bytes))
    };
    let level = decimal(&index::LEVEL)?;
    if level <= 0 || level >= MAX_LEVEL {
        return Err(index::LEVEL.refuse(row.field(index::LEVEL.index)));
    }
    let previous_close = level - decimal(&index::CHANGE)?;
    if previous_close <= 0 || previous_close >= MAX_LEVEL {
        return Err(FieldError::new(
            "inconsistent",
            index::CHANGE.index,
            index::CHANGE.name,
            row.field(index::CHANGE.index),
            "a change that leaves a previous close above zero",
        ));
    }
    // At most 200,000, so the sums fit an i32.
    let issues = |field: &Field| row.optional(field, MAX_ISSUES).map(|count| count as i32);
    Ok(IndexTick {
        symbol,
        time: EventTime::from_kst(day, row.time(&index::TIME)?),
        level,
        previous_close,
        rising: issues(&index::UPPER)? + issues(&index::RISING)?,
        unchanged: issues(&index::UNCHANGED)?,
        falling: issues(&index::FALLING)? + issues(&index::LOWER)?,
    })
}

fields! { operation:
    HALTED = 1 "TRHT_YN" "bad_code" "Y, N or nothing";
    CODE = 3 "MKOP_CLS_CODE" "bad_code" "three letters or digits, or nothing";
    VI = 8 "VI_CLS_CODE" "bad_code" "Y, N or nothing";
}

/// The [`Mark::Operation`] in record `record`. The message carries no time: `time` is the event
/// time of the last tick before it. The countdown codes (`F01`, `P16` and the like: so many minutes
/// before the opening or the close) say nothing that the clock does not; their code is 0.
///
/// # Errors
/// When a field is not what it should be, or the record is of another feed.
pub fn decode_operation(
    records: &Records<'_>,
    record: usize,
    symbol: SymbolId,
    time: EventTime,
) -> Result<Mark, FieldError> {
    let row = Row::<11>::of(records, record, Tr::Operation)?;
    let code = match row.field(operation::CODE.index) {
        b"" => 0,
        [b'F' | b'P', rest @ ..] if digits::<2>(rest).is_some() => 0,
        bytes => digits::<3>(bytes).ok_or_else(|| operation::CODE.refuse(bytes))? as u16,
    };
    Ok(Mark::Operation {
        symbol,
        time,
        code,
        halted: row.yes(&operation::HALTED)?,
        vi_active: row.yes(&operation::VI)?,
    })
}

fields! { interruption:
    DATE = 0 "BSOP_DATE" "bad_date" "a date YYYYMMDD";
    ACTIVE = 4 "VI_CLS_CODE" "bad_code" "Y, N or nothing";
    ENDED = 5 "VI_CNCL_HOUR" "bad_time" "a time HHMMSS";
    BEGAN = 6 "CNTG_VI_HOUR" "bad_time" "a time HHMMSS";
    EXCHANGE = 14 "EXCH_CLS_CODE" "bad_code" "1 or 2, or nothing";
}

/// The [`Mark::Operation`] in record `record`: an interruption of the issue has begun or ended on
/// KRX. `None` for one on NXT.
///
/// # Errors
/// When a field is not what it should be, or the record is of another feed.
pub fn decode_interruption(
    records: &Records<'_>,
    record: usize,
    symbol: SymbolId,
) -> Result<Option<Mark>, FieldError> {
    let row = Row::<16>::of(records, record, Tr::Interruption)?;
    match row.field(interruption::EXCHANGE.index) {
        b"" | b"1" => {}
        b"2" => return Ok(None),
        other => return Err(interruption::EXCHANGE.refuse(other)),
    }
    let date = row.field(interruption::DATE.index);
    let day = digits::<8>(date).and_then(SessionDay::from_yyyymmdd);
    let day = day.ok_or_else(|| interruption::DATE.refuse(date))?;
    let vi_active = row.yes(&interruption::ACTIVE)?;
    let at = row.time(if vi_active { &interruption::BEGAN } else { &interruption::ENDED })?;
    let time = EventTime::from_kst(day, at);
    Ok(Some(Mark::Operation { symbol, time, code: 0, halted: false, vi_active }))
}
