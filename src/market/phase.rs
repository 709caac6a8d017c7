//! What the market is doing at an instant: the phases of a KRX day, and those of NXT.
//!
//! Input: the [`Calendar`] and an instant. Output: the phase by timetable, and when it changes
//! next. Late openings move the phases before and at the opening by an hour; on the day of the
//! university entrance test those around the close move as well, while the end of the evening
//! (18:00, 20:00) stays. NXT has no pre-market on such days.
//!
//! Where two markets of one exchange run side by side, the phase names the one that matters more
//! to who watches prices, as told at each.
//!
//! Limits: the timetable is nominal. Auctions print up to 30 seconds late at random, and halts,
//! volatility interruptions and circuit breakers are no phases. Before 2019-04-29 closing-price
//! trading already ran from 07:30, before orders for the opening auction were taken: that half
//! hour is `Closed` here. After-hours trading before 2016 is told as it was in 2016. That the
//! after-market begins late on the day of the entrance test is by analogy, as none has been yet.
//! A day that the calendar does not know has no phase: `None`, and never `Closed`, lest a watch
//! on the feed fall asleep when the calendar ends.

use super::calendar::{AFTER_MARKET, Hours, Session, date, minute_of_day};
use super::{Calendar, EventTime, SessionDay, TimeOfDay};

/// NXT's first day, 2025-03-04.
pub const NXT_BEGAN: SessionDay = date(20_250_304);
/// First day on which closing-price trading before the opening takes ten minutes, 2019-04-29.
const SHORT_CLOSING_PRICE: SessionDay = date(20_190_429);

/// What KRX is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No session, or before and after all trading of one.
    Closed,
    /// Orders for the opening auction (장전 동시호가) are taken.
    OpeningAuction,
    /// Trading at the previous close (장전 시간외종가), while orders for the opening auction are
    /// taken: 08:30–08:40.
    ClosingPriceBefore,
    /// Continuous trading (접속매매).
    Continuous,
    /// Orders for the closing auction (장마감 동시호가) are taken: 15:20–15:30.
    ClosingAuction,
    /// After the close, orders at the closing price are taken and nothing trades: 15:30–15:40.
    AfterClose,
    /// Trading at the close of the day (장후 시간외종가): 15:40–16:00.
    ClosingPriceAfter,
    /// An auction every ten minutes (시간외 단일가): 16:00–18:00, last on 2026-09-11.
    SinglePrice,
    /// Continuous trading after hours, without ETF and ETN: 16:00–20:00, since 2026-09-14.
    AfterMarket,
}

impl Phase {
    /// Whether orders are matched as they come, so that silence of a liquid issue means something.
    #[must_use]
    pub const fn trades_continuously(self) -> bool {
        matches!(self, Self::Continuous | Self::AfterMarket)
    }

    /// Whether orders are collected for a single price.
    #[must_use]
    pub const fn is_auction(self) -> bool {
        matches!(
            self,
            Self::OpeningAuction
                | Self::ClosingPriceBefore
                | Self::ClosingAuction
                | Self::SinglePrice
        )
    }
}

/// What the alternative trading system NXT (넥스트레이드) is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NxtPhase {
    /// No session, before and after all trading of one, or before 2025-03-04.
    Closed,
    /// 08:00–08:50.
    PreMarket,
    /// While KRX runs its auctions: 08:50–09:00:30 and 15:20–15:30.
    Pause,
    /// 09:00:30–15:20.
    Main,
    /// Trading at the close of KRX, and orders for the opening of the after-market: 15:30–15:40.
    /// Closing-price trading goes on until 16:00 beside the after-market.
    ClosingPrice,
    /// 15:40–20:00.
    AfterMarket,
}

impl NxtPhase {
    /// Whether orders are matched as they come, so that silence of a liquid issue means something.
    #[must_use]
    pub const fn trades_continuously(self) -> bool {
        matches!(self, Self::PreMarket | Self::Main | Self::AfterMarket)
    }
}

/// When phases begin, in order. One that begins together with the next is empty.
type Timetable<P, const N: usize> = [(TimeOfDay, P); N];

/// The phase of KRX at `time`; `None` when the calendar does not know the day.
#[must_use]
pub fn phase_at(calendar: &Calendar, time: EventTime) -> Option<Phase> {
    now(calendar, time, Phase::Closed, krx)
}

/// The first instant after `time` at which the phase of KRX is another; `None` when it lies beyond
/// what the calendar knows.
#[must_use]
pub fn next_change(calendar: &Calendar, time: EventTime) -> Option<EventTime> {
    change_after(calendar, time, Phase::Closed, krx)
}

/// The phase of NXT at `time`; `None` when the calendar does not know the day.
#[must_use]
pub fn nxt_phase_at(calendar: &Calendar, time: EventTime) -> Option<NxtPhase> {
    now(calendar, time, NxtPhase::Closed, nxt)
}

/// The first instant after `time` at which the phase of NXT is another; `None` when it lies beyond
/// what the calendar knows.
#[must_use]
pub fn next_nxt_change(calendar: &Calendar, time: EventTime) -> Option<EventTime> {
    // Before its first day NXT is closed all the time: no need to walk through those years.
    let eve = EventTime::from_kst(NXT_BEGAN, TimeOfDay::default());
    change_after(calendar, time.max(eve), NxtPhase::Closed, nxt)
}

fn now<P: Copy, const N: usize>(
    calendar: &Calendar,
    time: EventTime,
    closed: P,
    table: fn(&Session) -> Timetable<P, N>,
) -> Option<P> {
    let day = time.session_day();
    if !calendar.is_session(day)? {
        return Some(closed);
    }
    let session = calendar.session(day)?;
    Some(running(&table(&session), time.time_of_day(), closed))
}

fn running<P: Copy>(table: &[(TimeOfDay, P)], time: TimeOfDay, closed: P) -> P {
    table.iter().rev().find(|(from, _)| *from <= time).map_or(closed, |(_, phase)| *phase)
}

fn change_after<P: Copy + PartialEq, const N: usize>(
    calendar: &Calendar,
    time: EventTime,
    closed: P,
    table: fn(&Session) -> Timetable<P, N>,
) -> Option<EventTime> {
    let mut day = time.session_day();
    let mut phase = now(calendar, time, closed, table)?;
    loop {
        if let Some(session) = calendar.session(day) {
            let table = table(&session);
            for (from, _) in &table {
                let at = EventTime::from_kst(day, *from);
                if at > time && running(&table, *from, closed) != phase {
                    return Some(at);
                }
            }
        }
        // Every day ends closed.
        phase = closed;
        day = calendar.next_session(day)?;
    }
}

/// The timetable of KRX.
fn krx(session: &Session) -> Timetable<Phase, 9> {
    let open = session.open.seconds() / 60;
    let close = session.close.seconds() / 60;
    let before = if session.day >= SHORT_CLOSING_PRICE {
        (open - 30, open - 20)
    } else {
        (open - 60, open - 30)
    };
    let (evening, end) = if session.day >= AFTER_MARKET {
        (Phase::AfterMarket, 20 * 60)
    } else {
        (Phase::SinglePrice, 18 * 60)
    };
    [
        (session.pre_open, Phase::OpeningAuction),
        (minute_of_day(before.0), Phase::ClosingPriceBefore),
        (minute_of_day(before.1), Phase::OpeningAuction),
        (session.open, Phase::Continuous),
        (session.closing_auction, Phase::ClosingAuction),
        (session.close, Phase::AfterClose),
        (minute_of_day(close + 10), Phase::ClosingPriceAfter),
        (minute_of_day(close + 30), evening),
        (minute_of_day(end), Phase::Closed),
    ]
}

/// The timetable of NXT.
fn nxt(session: &Session) -> Timetable<NxtPhase, 7> {
    let exists = session.day >= NXT_BEGAN;
    let morning = exists && session.hours == Hours::Regular;
    let when = |is: bool, phase| if is { phase } else { NxtPhase::Closed };
    let close = session.close.seconds() / 60;
    let main = TimeOfDay::from_seconds(session.open.seconds() + 30)
        .expect("invariant: KRX opens before noon");
    [
        (minute_of_day(8 * 60), when(morning, NxtPhase::PreMarket)),
        (minute_of_day(8 * 60 + 50), when(morning, NxtPhase::Pause)),
        (main, when(exists, NxtPhase::Main)),
        (session.closing_auction, when(exists, NxtPhase::Pause)),
        (session.close, when(exists, NxtPhase::ClosingPrice)),
        (minute_of_day(close + 10), when(exists, NxtPhase::AfterMarket)),
        (minute_of_day(20 * 60), NxtPhase::Closed),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instant(text: &str) -> EventTime {
        let (day, time) = text.split_once(' ').unwrap();
        EventTime::from_kst(day.parse().unwrap(), time.parse().unwrap())
    }

    /// The day's changes, `HH:MM:SS phase`, found by following `next`.
    fn day<P: std::fmt::Debug>(
        text: &str,
        next: fn(&Calendar, EventTime) -> Option<EventTime>,
        phase: fn(&Calendar, EventTime) -> Option<P>,
    ) -> Vec<String> {
        let calendar = Calendar::krx();
        let mut at = instant(&format!("{text} 00:00"));
        let today = at.session_day();
        let mut seen = Vec::new();
        while let Some(change) = next(&calendar, at).filter(|at| at.session_day() == today) {
            let phase = phase(&calendar, change).unwrap();
            seen.push(format!("{} {phase:?}", change.time_of_day()));
            at = change;
        }
        seen
    }

    fn krx_day(text: &str) -> Vec<String> {
        day(text, next_change, phase_at)
    }

    fn nxt_day(text: &str) -> Vec<String> {
        day(text, next_nxt_change, nxt_phase_at)
    }

    #[test]
    fn the_last_day_of_single_price_trading() {
        let seen = krx_day("2026-09-11");
        let expected = [
            "08:30:00 ClosingPriceBefore",
            "08:40:00 OpeningAuction",
            "09:00:00 Continuous",
            "15:20:00 ClosingAuction",
            "15:30:00 AfterClose",
            "15:40:00 ClosingPriceAfter",
            "16:00:00 SinglePrice",
            "18:00:00 Closed",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_first_day_of_the_after_market() {
        let seen = krx_day("2026-09-14");
        assert_eq!(seen[..2], ["08:20:00 OpeningAuction", "08:30:00 ClosingPriceBefore"]);
        assert_eq!(seen[seen.len() - 2..], ["16:00:00 AfterMarket", "20:00:00 Closed"]);
    }

    #[test]
    fn late_days() {
        let seen = krx_day("2025-11-13");
        assert!(seen.contains(&"09:30:00 ClosingPriceBefore".into()), "{seen:?}");
        assert!(seen.contains(&"10:00:00 Continuous".into()), "{seen:?}");
        assert!(seen.contains(&"16:40:00 ClosingPriceAfter".into()), "{seen:?}");
        assert_eq!(seen[seen.len() - 2..], ["17:00:00 SinglePrice", "18:00:00 Closed"]);
        let expected = [
            "10:00:30 Main",
            "16:20:00 Pause",
            "16:30:00 ClosingPrice",
            "16:40:00 AfterMarket",
            "20:00:00 Closed",
        ];
        assert_eq!(nxt_day("2025-11-13"), expected);
        assert_eq!(nxt_day("2026-01-02")[..2], ["10:00:30 Main", "15:20:00 Pause"]);
        assert!(krx_day("2026-01-02").contains(&"16:00:00 SinglePrice".into()));
    }

    #[test]
    fn an_old_day() {
        let seen = krx_day("2010-06-15");
        let expected = [
            "08:00:00 ClosingPriceBefore",
            "08:30:00 OpeningAuction",
            "09:00:00 Continuous",
            "14:50:00 ClosingAuction",
            "15:00:00 AfterClose",
            "15:10:00 ClosingPriceAfter",
            "15:30:00 SinglePrice",
            "18:00:00 Closed",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_day_of_nxt() {
        let expected = [
            "08:00:00 PreMarket",
            "08:50:00 Pause",
            "09:00:30 Main",
            "15:20:00 Pause",
            "15:30:00 ClosingPrice",
            "15:40:00 AfterMarket",
            "20:00:00 Closed",
        ];
        assert_eq!(nxt_day("2025-03-04"), expected);
        let calendar = Calendar::krx();
        let before = instant("2025-02-28 10:00");
        assert_eq!(nxt_phase_at(&calendar, before), Some(NxtPhase::Closed));
        let first = Some(instant("2025-03-04 08:00"));
        assert_eq!(next_nxt_change(&calendar, before), first);
        assert_eq!(next_nxt_change(&calendar, instant("2010-06-15 10:00")), first);
    }

    #[test]
    fn boundaries_belong_to_what_begins() {
        let calendar = Calendar::krx();
        let open = instant("2026-09-15 09:00");
        assert_eq!(phase_at(&calendar, open.plus_micros(-1)), Some(Phase::OpeningAuction));
        assert_eq!(phase_at(&calendar, open), Some(Phase::Continuous));
        assert_eq!(next_change(&calendar, open.plus_micros(-1)), Some(open));
    }

    #[test]
    fn holidays_are_closed_and_unknown_days_have_no_phase() {
        let calendar = Calendar::krx();
        // The evening before Chuseok 2025, over a week without trading.
        let evening = instant("2025-10-02 20:00");
        assert_eq!(next_change(&calendar, evening), Some(instant("2025-10-10 08:30")));
        let holiday = instant("2025-10-06 10:00");
        assert_eq!(phase_at(&calendar, holiday), Some(Phase::Closed));
        assert_eq!(next_change(&calendar, holiday), Some(instant("2025-10-10 08:30")));
        assert_eq!(phase_at(&calendar, instant("2028-01-03 10:00")), None);
        assert_eq!(nxt_phase_at(&calendar, instant("2028-01-03 10:00")), None);
        assert_eq!(next_change(&calendar, instant("2027-12-30 21:00")), None);
    }

    #[test]
    fn a_correction_closes_the_day() {
        let mut calendar = Calendar::krx();
        let morning = instant("2026-12-24 10:00");
        assert_eq!(phase_at(&calendar, morning), Some(Phase::Continuous));
        calendar.correct(morning.session_day(), false).unwrap();
        assert_eq!(phase_at(&calendar, morning), Some(Phase::Closed));
        assert_eq!(next_change(&calendar, morning), Some(instant("2026-12-28 08:20")));
    }

    #[test]
    fn what_phases_mean() {
        assert!(Phase::Continuous.trades_continuously() && !Phase::Continuous.is_auction());
        assert!(Phase::ClosingAuction.is_auction() && Phase::ClosingPriceBefore.is_auction());
        assert!(!Phase::ClosingPriceAfter.is_auction() && !Phase::Closed.trades_continuously());
        assert!(Phase::SinglePrice.is_auction() && Phase::AfterMarket.trades_continuously());
        assert!(NxtPhase::PreMarket.trades_continuously());
        assert!(!NxtPhase::ClosingPrice.trades_continuously());
    }

    proptest! {
        /// Between an instant and the next change nothing changes, and then something does.
        #[test]
        fn the_next_change_is_the_next(days in 10_960i32..21_100, seconds in 0u32..86_400, part in 0.0..1.0f64) {
            let calendar = Calendar::krx();
            let time = TimeOfDay::from_seconds(seconds).unwrap();
            let at = EventTime::from_kst(SessionDay::from_epoch_days(days), time);
            let change = next_change(&calendar, at).unwrap();
            prop_assert!(change > at);
            let within = at.plus_micros((change.micros_since(at) as f64 * part) as i64);
            let phase = phase_at(&calendar, at);
            prop_assert_eq!(phase_at(&calendar, within.min(change.plus_micros(-1))), phase);
            prop_assert_ne!(phase_at(&calendar, change), phase);
            let nxt_change = next_nxt_change(&calendar, at).unwrap();
            prop_assert_ne!(nxt_phase_at(&calendar, nxt_change), nxt_phase_at(&calendar, at));
        }
    }
}
