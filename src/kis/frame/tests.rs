use super::*;
use crate::market::{Side, SymbolId, TradeFlags};
use proptest::prelude::*;

const SYMBOL: SymbolId = SymbolId(3);

/// Two records of one issue in the form of 2026, made for this test.
const TRADES: &str = "0|H0STCNT0|002|\
005930^101530^74600^2^3400^4.78^72589.89^71500^74600^70900^74600^74500^3011^3858329^280075686400\
^1178^1221^43^100.12^1721981^1723971^1^0.45^28.62^090021^2^3100^101431^3^0^091059^2^3700^20260915\
^20^N^89022^3900^741191^252322^0.07^4161998^92.70^0^^71500^2^\
005930^101531^74500^2^3300^4.63^72591.52^71500^74600^70900^74600^74500^3284^3861613^280320344400\
^1179^1221^42^99.92^1725265^1723971^5^0.45^28.64^090021^2^3000^101431^5^-100^091059^2^3600^20260915\
^20^Y^65348^42862^717517^291284^0.07^4161998^92.78^0^^71500^2";

const INDEX: &str = "0|H0UPCNT0|001|0001^101530^3412.80^5^-14.68^215398^6232660^512^14220^0.43^\
3405.44^3421.07^3395.30^7.32^2^22.95^2^-2.82^5^0.22^0.68^-0.08^2^502^71^361^1^0^0^25";

#[test]
fn trades_are_read() {
    let mut parser = FrameParser::new();
    let records = parser.split(TRADES.as_bytes()).unwrap();
    assert_eq!((records.tr(), records.len(), records.width()), (Tr::Trade, 2, 47));
    let first = records.trade(0, SYMBOL).unwrap();
    assert_eq!(first.time.rfc3339(), "2026-09-15T10:15:30+09:00");
    assert_eq!((first.price, first.quantity, first.side), (74_600, 3_011, Side::Buy));
    assert_eq!((first.cum_volume, first.cum_value), (3_858_329, 280_075_686_400));
    assert_eq!((first.ask, first.bid, first.base_price), (74_600, 74_500, 71_200));
    assert_eq!((first.ask_depth, first.bid_depth), (741_191, 252_322));
    assert_eq!((first.previous_volume_at_time, first.vi_reference), (4_161_998, 71_500));
    let second = records.trade(1, SYMBOL).unwrap();
    assert_eq!(second.side, Side::Sell);
    assert!(second.flags.has(TradeFlags::HALTED) && !first.flags.has(TradeFlags::HALTED));
}

#[test]
fn index_ticks_are_read() {
    let mut parser = FrameParser::new();
    let records = parser.split(INDEX.as_bytes()).unwrap();
    let day = SessionDay::from_yyyymmdd(20_260_915).unwrap();
    let tick = records.index(0, SYMBOL, day).unwrap();
    assert_eq!((tick.level, tick.previous_close), (341_280, 342_748));
    assert_eq!((tick.rising, tick.unchanged, tick.falling), (504, 71, 362));
}

fn reason(frame: &[u8]) -> &'static str {
    FrameParser::new().split(frame).map_or_else(|error| error.reason(), |_| "none")
}

#[test]
fn broken_frames_are_named() {
    assert_eq!(reason(b""), "empty");
    assert_eq!(reason(b"0|H0STCNT0|001|"), "empty");
    assert_eq!(reason(b"garbage"), "bad_head");
    assert_eq!(reason(b"0|H0STCNT0"), "bad_head");
    assert_eq!(reason(b"2|H0STCNT0|001|x"), "bad_head");
    assert_eq!(reason(b"1|H0STCNI0|001|abc"), "encrypted");
    assert_eq!(reason(b"0|H0XXXXX0|001|x"), "unknown_tr");
    assert_eq!(reason(b"0|H0STCNT0|abc|x^y"), "count_mismatch");
    assert_eq!(reason(b"0|H0STCNT0|000|x^y"), "count_mismatch");
    assert_eq!(reason(b"0|H0STCNT0|001|x^y"), "too_narrow");
    assert_eq!(reason(b"0|H0STCNT0|001|\xff\xfe"), "not_utf8");
    assert_eq!(reason(&vec![b'x'; MAX_FRAME + 1]), "too_long");
    assert_eq!(reason(TRADES.replace("|002|", "|004|").as_bytes()), "count_mismatch");
}

#[test]
fn broken_fields_are_named() {
    for (from, to, reason) in [
        ("^74600^2^3400", "^0^2^3400", "bad_price"),
        ("^74600^2^3400", "^x^2^3400", "bad_price"),
        ("^101530^", "^251530^", "bad_time"),
        ("^20260915^20^N^89022", "^20261315^20^N^89022", "bad_date"),
        ("^3011^3858329^", "^0^3858329^", "bad_quantity"),
        ("^3011^3858329^", "^3011^3010^", "bad_cum_volume"),
        ("|005930^101530", "|005-30^101530", "bad_symbol"),
    ] {
        let frame = TRADES.replacen(from, to, 1);
        let mut parser = FrameParser::new();
        let records = parser.split(frame.as_bytes()).unwrap();
        let result = records.symbol(0).and_then(|_| records.trade(0, SYMBOL));
        let error = result.expect_err(to);
        assert_eq!(error.reason(), reason, "{error}");
        assert!(records.trade(1, SYMBOL).is_ok(), "the other record is not touched");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), tr in 0usize..4) {
        let mut parser = FrameParser::new();
        let mut framed = format!("0|{}|001|", Tr::ALL[tr].id()).into_bytes();
        framed.extend_from_slice(&bytes);
        for frame in [&bytes, &framed] {
            if let Ok(records) = parser.split(frame) {
                read_all(&records);
            }
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused_or_read_without_panic(cut in 0usize..600, flip in 0usize..600) {
        let mut bytes = TRADES.as_bytes().to_vec();
        bytes.truncate(cut.min(bytes.len()));
        if let Some(byte) = bytes.get_mut(flip) {
            *byte ^= 0x55;
        }
        if let Ok(records) = FrameParser::new().split(&bytes) {
            read_all(&records);
        }
    }

    /// Any count, any width that is wide enough: joining the fields gives the payload back.
    #[test]
    fn fields_are_those_of_the_frame(
        count in 1usize..30,
        extra in 0usize..5,
        fields in prop::collection::vec("[0-9A-Z.가-힣-]{0,9}", 64),
    ) {
        let width = Tr::Book.min_width() + extra;
        let payload: Vec<&str> =
            (0..count * width).map(|index| fields[index % fields.len()].as_str()).collect();
        let payload = payload.join("^");
        let frame = format!("0|H0STASP0|{count:03}|{payload}");
        let mut parser = FrameParser::new();
        let records = parser.split(frame.as_bytes()).unwrap();
        prop_assert_eq!((records.len(), records.width()), (count, width));
        let again: Vec<_> = (0..count * width)
            .map(|index| records.field(index / width, index % width))
            .collect();
        prop_assert_eq!(again.join(&b"^"[..]), payload.as_bytes());
    }
}

fn read_all(records: &Records<'_>) {
    let day = SessionDay::from_yyyymmdd(20_260_915).unwrap();
    for index in 0..records.len() {
        let _ = records.symbol(index);
        match records.tr() {
            Tr::Trade => drop(records.trade(index, SYMBOL)),
            Tr::Book => drop(records.quote(index, SYMBOL, day)),
            Tr::Index => drop(records.index(index, SYMBOL, day)),
            Tr::Operation => drop(records.operation(index, SYMBOL, day_start(day))),
        }
    }
}

fn day_start(day: SessionDay) -> crate::market::EventTime {
    crate::market::EventTime::from_kst(day, crate::market::TimeOfDay::default())
}
