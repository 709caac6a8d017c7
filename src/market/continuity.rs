//! Whether anything is missing between two trades, to the share.
//!
//! A KIS trade carries the day's cumulative volume, so the trade after another one must carry the
//! other's cumulative volume plus its own size. Everything else is a repeated trade, a late one, or
//! a gap. A trade is identified by (issue, session day, cumulative volume); connection and arrival
//! play no part. Where the issue was not watched for a while, the gap's cause says so.

use serde::{Deserialize, Serialize};

use super::{EventTime, GapCause, SessionDay, SymbolId};

/// Open gaps remembered for one issue; further ones are still reported, but a late trade that
/// falls into a forgotten gap counts as a repetition.
const MAX_OPEN_GAPS: usize = 16;

/// What a trade is in the light of the trades before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It follows directly on the trade before it, or is the first of its day.
    Next,
    /// The first that was seen of its day, but not the first there was: what was before it is not
    /// known to have been wanted, so it is no gap.
    LateStart,
    /// Seen before: no row, no volume, no event.
    Duplicate,
    /// It fills (a part of) a gap that was reported: to be stored, not to be scored.
    Late,
    /// Trades are missing before it.
    Gap {
        /// Time of the last trade before the gap.
        from: EventTime,
        /// Shares traded in the gap.
        missing_volume: i64,
        /// Why they are missing.
        cause: GapCause,
    },
}

/// What a state of an issue tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Shares traded since what was seen last: all of the day's when nothing was seen today.
    pub quantity: i64,
    /// Trades that were missed before it: since when, shares, why.
    pub missed: Option<(EventTime, i64, GapCause)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Last {
    day: SessionDay,
    time: EventTime,
    cum_volume: i64,
    /// Why the issue has not been watched at some time since the last trade.
    unwatched: Option<GapCause>,
    /// What was seen last is a state and not a trade.
    sampled: bool,
    /// Ranges of cumulative volume not seen: after the first, up to the second.
    gaps: Vec<(i64, i64)>,
    seen: bool,
}

/// Watches over the continuity of all issues.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Continuity {
    issues: Vec<Last>,
}

impl Continuity {
    /// An issue is not watched from here on: a gap found next is due to that.
    pub fn interrupted(&mut self, symbol: SymbolId, cause: GapCause) {
        if let Some(last) = self.issues.get_mut(symbol.index()) {
            last.unwatched.get_or_insert(cause);
        }
    }

    /// None of the issues is watched from here on.
    pub fn all_interrupted(&mut self, cause: GapCause) {
        for last in &mut self.issues {
            last.unwatched.get_or_insert(cause);
        }
    }

    /// Takes in the state of an issue asked for at `time` (not a trade), which is remembered in the
    /// place of the last trade; `None` when nothing has traded since. Trades that were missed
    /// between the last trade and the first state are told as a gap; what trades between one state
    /// and the next is sampled, and not told. A trade of either that comes after all is late.
    pub fn observe_sample(
        &mut self,
        symbol: SymbolId,
        time: EventTime,
        cum_volume: i64,
    ) -> Option<Sampled> {
        let last = self.last_of(symbol);
        let is_today = last.seen && last.day == time.session_day();
        let before = if is_today { last.cum_volume } else { 0 };
        if cum_volume <= before {
            return None;
        }
        let quantity = cum_volume - before;
        let missed = (is_today && !last.sampled)
            .then(|| (last.time, quantity, last.unwatched.unwrap_or(GapCause::Feed)));
        let mut gaps = std::mem::take(&mut last.gaps);
        if is_today && gaps.len() < MAX_OPEN_GAPS {
            gaps.push((before, cum_volume));
        }
        *last = Last { gaps, sampled: true, ..Last::at(time, cum_volume) };
        Some(Sampled { quantity, missed })
    }

    fn last_of(&mut self, symbol: SymbolId) -> &mut Last {
        if self.issues.len() <= symbol.index() {
            self.issues.resize_with(symbol.index() + 1, Last::default);
        }
        &mut self.issues[symbol.index()]
    }

    /// Judges a trade and remembers it. `cum_volume` includes the trade's own `quantity`.
    pub fn observe(
        &mut self,
        symbol: SymbolId,
        time: EventTime,
        quantity: i64,
        cum_volume: i64,
    ) -> Verdict {
        let last = self.last_of(symbol);
        let day = time.session_day();
        if !last.seen || last.day != day {
            // A first trade whose cumulative volume exceeds its own is a late start: what was
            // before it is not known to have been wanted.
            *last = Last::at(time, cum_volume);
            return if cum_volume > quantity { Verdict::LateStart } else { Verdict::Next };
        }
        if cum_volume <= last.cum_volume {
            return last.judge_earlier(quantity, cum_volume);
        }
        let missing_volume = cum_volume - quantity - last.cum_volume;
        let from = last.time;
        let cause = last.unwatched.take().unwrap_or(GapCause::Feed);
        last.sampled = false;
        if missing_volume > 0 && last.gaps.len() < MAX_OPEN_GAPS {
            last.gaps.push((last.cum_volume, cum_volume - quantity));
        }
        last.time = time;
        last.cum_volume = cum_volume;
        if missing_volume > 0 {
            Verdict::Gap { from, missing_volume, cause }
        } else {
            Verdict::Next
        }
    }

    /// Shares known to be missing for an issue today.
    #[must_use]
    pub fn missing_volume(&self, symbol: SymbolId) -> i64 {
        self.issues
            .get(symbol.index())
            .map_or(0, |last| last.gaps.iter().map(|(after, upto)| upto - after).sum())
    }
}

impl Last {
    /// The first of its day.
    fn at(time: EventTime, cum_volume: i64) -> Self {
        let day = time.session_day();
        Self {
            day,
            time,
            cum_volume,
            unwatched: None,
            sampled: false,
            gaps: Vec::new(),
            seen: true,
        }
    }

    /// A trade with a cumulative volume already passed: late, if it fits into an open gap.
    fn judge_earlier(&mut self, quantity: i64, cum_volume: i64) -> Verdict {
        let after = cum_volume - quantity;
        let Some(found) =
            self.gaps.iter().position(|(low, high)| *low <= after && cum_volume <= *high)
        else {
            return Verdict::Duplicate;
        };
        let (low, high) = self.gaps.swap_remove(found);
        for rest in [(low, after), (cum_volume, high)] {
            if rest.0 < rest.1 && self.gaps.len() < MAX_OPEN_GAPS {
                self.gaps.push(rest);
            }
        }
        Verdict::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::TimeOfDay;
    use proptest::prelude::*;

    const ISSUE: SymbolId = SymbolId(0);

    fn at(second: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_seconds(32_400 + second).unwrap())
    }

    #[test]
    fn a_gap_is_told_to_the_share_and_can_be_filled_late() {
        let mut continuity = Continuity::default();
        assert_eq!(continuity.observe(ISSUE, at(0), 10, 1_000), Verdict::LateStart);
        assert_eq!(continuity.observe(ISSUE, at(1), 5, 1_005), Verdict::Next);
        assert_eq!(continuity.observe(ISSUE, at(1), 5, 1_005), Verdict::Duplicate);
        let gap = Verdict::Gap { from: at(1), missing_volume: 20, cause: GapCause::Feed };
        assert_eq!(continuity.observe(ISSUE, at(9), 3, 1_028), gap);
        assert_eq!(continuity.observe(ISSUE, at(4), 8, 1_013), Verdict::Late);
        assert_eq!(continuity.observe(ISSUE, at(4), 8, 1_013), Verdict::Duplicate);
        assert_eq!(continuity.missing_volume(ISSUE), 12);
        assert_eq!(continuity.observe(ISSUE, at(5), 12, 1_025), Verdict::Late);
        assert_eq!(continuity.missing_volume(ISSUE), 0);
    }

    #[test]
    fn what_was_not_watched_is_named_as_the_cause_once() {
        let mut continuity = Continuity::default();
        let gap =
            |from, missing_volume, cause| Verdict::Gap { from: at(from), missing_volume, cause };
        continuity.observe(ISSUE, at(0), 1, 1);
        continuity.all_interrupted(GapCause::Disconnect);
        continuity.interrupted(ISSUE, GapCause::Mute);
        assert_eq!(continuity.observe(ISSUE, at(5), 1, 5), gap(0, 3, GapCause::Disconnect));
        assert_eq!(continuity.observe(ISSUE, at(6), 1, 7), gap(5, 1, GapCause::Feed));
        continuity.interrupted(ISSUE, GapCause::Mute);
        assert_eq!(continuity.observe(ISSUE, at(7), 1, 9), gap(6, 1, GapCause::Mute));
        continuity.interrupted(ISSUE, GapCause::Mute);
        assert_eq!(continuity.observe(ISSUE, at(8), 1, 10), Verdict::Next, "nothing was missed");
        assert_eq!(continuity.observe(ISSUE, at(9), 1, 12), gap(8, 1, GapCause::Feed));
        // One that has not been seen yet cannot be interrupted.
        continuity.interrupted(SymbolId(7), GapCause::Mute);
    }

    #[test]
    fn samples_tell_what_was_missed_once() {
        let mut continuity = Continuity::default();
        let sampled = |quantity, missed| Some(Sampled { quantity, missed });
        assert_eq!(continuity.observe_sample(ISSUE, at(0), 500), sampled(500, None));
        assert_eq!(continuity.observe_sample(ISSUE, at(5), 500), None);
        assert_eq!(continuity.observe_sample(ISSUE, at(9), 620), sampled(120, None));
        assert_eq!(continuity.observe_sample(ISSUE, at(9), 600), None, "an answer that came late");
        assert_eq!(continuity.observe(ISSUE, at(8), 7, 590), Verdict::Late, "REST was ahead");
        assert_eq!(continuity.observe(ISSUE, at(8), 7, 590), Verdict::Duplicate);
        let gap = Verdict::Gap { from: at(9), missing_volume: 4, cause: GapCause::Feed };
        assert_eq!(continuity.observe(ISSUE, at(10), 5, 629), gap);
        assert_eq!(continuity.observe(ISSUE, at(11), 5, 634), Verdict::Next);
        continuity.interrupted(ISSUE, GapCause::Disconnect);
        let missed = Some((at(11), 66, GapCause::Disconnect));
        assert_eq!(continuity.observe_sample(ISSUE, at(20), 700), sampled(66, missed));
        assert_eq!(continuity.observe_sample(ISSUE, at(25), 710), sampled(10, None));
        assert_eq!(continuity.observe(ISSUE, at(26), 5, 715), Verdict::Next);
    }

    #[test]
    fn a_new_day_starts_over() {
        let mut continuity = Continuity::default();
        continuity.observe(ISSUE, at(0), 1, 5_000);
        assert_eq!(
            continuity.observe(ISSUE, at(0).plus_micros(86_400_000_000), 1, 1),
            Verdict::Next
        );
    }

    proptest! {
        /// Deliver a day's trades with some dropped, some repeated and some late: every share is
        /// either counted once or reported missing.
        #[test]
        fn every_share_is_accounted_for(
            trades in prop::collection::vec((1i64..50, 0u8..4), 1..60),
        ) {
            let mut continuity = Continuity::default();
            let (mut total, mut counted, mut late) = (0, 0, Vec::new());
            let deliver = |continuity: &mut Continuity, quantity: i64, cum: i64| {
                match continuity.observe(ISSUE, at(0), quantity, cum) {
                    Verdict::Duplicate => 0,
                    _ => quantity,
                }
            };
            for (index, (quantity, fate)) in trades.iter().enumerate() {
                total += quantity;
                let fate = if index == 0 || index + 1 == trades.len() { 0 } else { *fate };
                match fate {
                    1 => {}
                    2 => late.push((*quantity, total)),
                    3 => {
                        counted += deliver(&mut continuity, *quantity, total);
                        counted += deliver(&mut continuity, *quantity, total);
                    }
                    _ => counted += deliver(&mut continuity, *quantity, total),
                }
                if late.len() > 4 {
                    for (quantity, cum) in late.drain(..) {
                        counted += deliver(&mut continuity, quantity, cum);
                    }
                }
            }
            let dropped_ranges = trades.iter().filter(|(_, fate)| matches!(fate, 1 | 2)).count();
            prop_assume!(dropped_ranges < MAX_OPEN_GAPS);
            prop_assert_eq!(counted + continuity.missing_volume(ISSUE), total);
        }
    }
}
