//! Records of the real-time feeds, field by field, as KIS writes them.
//!
//! Each function appends one record without the frame's head. Field numbers in the comments are
//! those of the KIS documentation; every sum, rate and distance is computed from the running state,
//! so records agree with each other and with the REST answers.

use crate::market::{Market, SessionDay, Side};

use super::book::Book;
use super::day::{Issue, Series, hhmmss};
use super::interruption::Interruption;
use super::options::FrameShape;
use super::profile;
use super::state::{Breadth, IndexState, IssueState, plain_sign, ratio, sign_code};
use super::text::{dec2, int, padded};

/// A record under construction: values with `^` between them.
struct Record<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Record<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b'^');
        }
        self.first = false;
        self.out
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.next().extend_from_slice(text.as_bytes());
        self
    }

    fn int(&mut self, value: i64) -> &mut Self {
        int(self.next(), value);
        self
    }

    fn dec2(&mut self, hundredths: i64) -> &mut Self {
        dec2(self.next(), hundredths);
        self
    }

    fn time(&mut self, at_ms: u32) -> &mut Self {
        padded(self.next(), hhmmss(at_ms), 6);
        self
    }
}

/// Volume of the previous session at the same time of day (field 41); 0 when unknown.
pub(crate) fn previous_volume_at(issue: &Issue, at_ms: u32) -> i64 {
    (issue.previous_volume as f64 * profile::day_share(at_ms)) as i64
}

/// 매수비율 (field 22): bought / whole volume, two digits, rounded up.
fn bought_part(state: &IssueState) -> i64 {
    if state.volume == 0 { 0 } else { (state.buy_volume * 100 + state.volume - 1) / state.volume }
}

/// Appends an `H0STCNT0` record (실시간체결가).
pub(crate) fn trade(
    out: &mut Vec<u8>,
    shape: &FrameShape,
    day: SessionDay,
    issue: &Issue,
    state: &IssueState,
) {
    let s = state;
    let book = Book::of(day, issue, s);
    let change = s.price - issue.base_price;
    let before = previous_volume_at(issue, s.at_ms);
    let side = match s.side {
        Side::Buy => 1,
        Side::Auction => 3,
        Side::Sell => 5,
    };
    let mut record = Record::new(out);
    record
        .text(issue.symbol.as_str()) // 0
        .time(s.at_ms)
        .int(s.price)
        .int(sign_code(s.price, issue.base_price, issue.limits).into())
        .int(change)
        .dec2(ratio(change, issue.base_price, 10_000)) // 5
        .dec2(ratio(s.value, s.volume, 100))
        .int(s.open)
        .int(s.high)
        .int(s.low)
        .int(s.ask) // 10
        .int(s.bid)
        .int(s.quantity)
        .int(s.volume)
        .int(s.value)
        .int(s.sells.into()) // 15
        .int(s.buys.into())
        .int(i64::from(s.buys) - i64::from(s.sells))
        .dec2(s.strength())
        .int(s.sell_volume)
        .int(s.buy_volume) // 20
        .int(side)
        .dec2(bought_part(s))
        .dec2(ratio(s.volume, issue.previous_volume, 10_000))
        .time(s.open_ms)
        .int(plain_sign(s.price - s.open).into()) // 25
        .int(s.price - s.open)
        .time(s.high_ms)
        .int(plain_sign(s.price - s.high).into())
        .int(s.price - s.high)
        .time(s.low_ms) // 30
        .int(plain_sign(s.price - s.low).into())
        .int(s.price - s.low)
        .int(day.yyyymmdd().into())
        .text("20")
        .text("N") // 35
        .int(book.asks.sizes[0])
        .int(book.bids.sizes[0])
        .int(book.asks.total)
        .int(book.bids.total)
        .dec2(ratio(s.volume, issue.listed_shares, 10_000)) // 40
        .int(before)
        .dec2(ratio(s.volume, before, 10_000))
        .text("0")
        .text("")
        .int(s.vi_reference); // 45
    if shape.trade_fields > 46 {
        record.text("2");
    }
}

/// Appends an `H0STASP0` record (실시간호가) and remembers its totals in `state`.
pub(crate) fn book(
    out: &mut Vec<u8>,
    shape: &FrameShape,
    day: SessionDay,
    issue: &Issue,
    state: &mut IssueState,
) {
    let book = Book::of(day, issue, state);
    let mut record = Record::new(out);
    let expected = state.expected;
    let (at_ms, class) = expected.map_or((state.at_ms, "0"), |x| (x.at_ms, x.class.code()));
    record.text(issue.symbol.as_str()).time(at_ms).text(class); // 0 to 2
    for value in book.asks.prices.iter().chain(&book.bids.prices) {
        record.int(*value); // 3 to 22
    }
    for value in book.asks.sizes.iter().chain(&book.bids.sizes) {
        record.int(*value); // 23 to 42
    }
    record.int(book.asks.total).int(book.bids.total).int(0).int(0); // 43 to 46
    // Outside auctions KIS sends an expected price of 0 and its "change" of -100 %.
    let (price, quantity) = expected.map_or((0, 0), |x| (x.price, x.quantity));
    let volume = if expected.is_some() { state.volume + quantity } else { state.auction_volume };
    let change = price - issue.base_price;
    record.int(price).int(quantity).int(volume).int(change); // 47 to 50
    record.int(sign_code(price, issue.base_price, issue.limits).into());
    record.dec2(ratio(change, issue.base_price, 10_000));
    record
        .int(state.volume) // 53
        .int(book.asks.total - state.sent_asks)
        .int(book.bids.total - state.sent_bids)
        .text("0")
        .text("0")
        .text("0"); // 58
    if shape.book_fields > 59 {
        let best = (book.asks.prices[0], book.bids.prices[0]);
        let continuous = expected.is_none() && best.0 > 0 && best.1 > 0;
        let middle = if continuous { (best.0 + best.1) / 2 } else { 0 };
        record.int(middle).text("0").text("0");
    }
    if shape.book_fields > 62 {
        record.text("2");
    }
    (state.sent_asks, state.sent_bids) = (book.asks.total, book.bids.total);
}

/// Appends an `H0UPCNT0` record (지수 실시간체결).
pub(crate) fn index(out: &mut Vec<u8>, series: &Series, state: &IndexState, breadth: &Breadth) {
    let (s, base) = (state, series.previous_close);
    let [upper, up, same, down, lower] = breadth.shown();
    let mut record = Record::new(out);
    record
        .text(series.symbol.as_str()) // 0
        .time(s.at_ms)
        .dec2(s.level)
        .int(plain_sign(s.level - base).into())
        .dec2(s.level - base)
        .int(s.volume) // 5
        .int(s.value)
        .int(s.volume - s.volume_before)
        .int(s.value - s.value_before)
        .dec2(ratio(s.level - base, base, 10_000))
        .dec2(s.open) // 10
        .dec2(s.high)
        .dec2(s.low);
    for extreme in [s.open, s.high, s.low] {
        record.dec2(extreme - base).int(plain_sign(extreme - base).into()); // 13 to 18
    }
    for extreme in [s.open, s.high, s.low] {
        record.dec2(ratio(extreme - base, base, 10_000)); // 19 to 21
    }
    for count in [upper, up, same, down, lower] {
        record.int(count.into()); // 22 to 26
    }
    record.int(0).int(0).int(s.level - s.before); // 27 to 29
}

/// Appends an `H0STMKO0` record (장운영정보); a `code` of 0 leaves the phase empty.
pub(crate) fn operation(out: &mut Vec<u8>, issue: &Issue, state: &IssueState, code: u16) {
    let mut record = Record::new(out);
    record.text(issue.symbol.as_str()).text(yes(state.halted)).text("(null)");
    let announced = !state.halted && code != 0;
    if announced {
        record.int(code.into());
    } else {
        record.text("");
    }
    // Field 4 speaks of auctions: the opening one ended (112), the closing one began (121), ended
    // (129).
    if announced && matches!(code, 112 | 121 | 129) {
        record.int(code.into());
    } else {
        record.text("");
    }
    record.text("").text("").text(if state.halted { "58" } else { "00" });
    record.text(yes(state.interrupted)).text("N");
}

const fn yes(is: bool) -> &'static str {
    if is { "Y" } else { "N" }
}

/// Appends an `H0UNVIC0` record: an interruption begins (`active`) or has ended.
pub(crate) fn vi(
    out: &mut Vec<u8>,
    day: SessionDay,
    issue: &Issue,
    vi: &Interruption,
    active: bool,
) {
    let breach = &vi.breach;
    let market = match issue.market {
        Market::Kospi => "KSP",
        Market::Kosdaq => "KSQ",
        Market::Other | Market::Unknown => "",
    };
    // The reference of the kind that did not trigger is 0, and so is its deviation.
    let away = |applies: bool, reference: i64| {
        if applies {
            (reference, ratio(breach.price - reference, reference, 10_000))
        } else {
            (0, 0)
        }
    };
    let fixed = away(breach.kind.is_static(), breach.static_reference);
    let moving = away(breach.kind.is_dynamic(), breach.dynamic_reference);
    let mut record = Record::new(out);
    record
        .int(day.yyyymmdd().into()) // 0
        .text(issue.symbol.as_str())
        .text(&issue.name)
        .text(market)
        .text(yes(active))
        .time(if active { 0 } else { vi.until_ms }) // 5
        .time(vi.from_ms)
        .int(breach.kind.code().into())
        .int(breach.price)
        .int(fixed.0)
        .dec2(fixed.1) // 10
        .int(moving.0)
        .dec2(moving.1)
        .int(vi.count.into())
        .text("1")
        .text("N"); // 15
}
