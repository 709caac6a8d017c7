//! Which minutes are to be asked for by REST because trades were missed.
//!
//! The Normalizer, which knows to the share what is missing, writes here; the back-fill reads. One
//! range an issue, widened as more is asked for, so the list is bounded by the number of issues. A
//! range is due once its last minute is over by the market's own time, or, when that stands still,
//! after a while by the wall clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::market::{EventTime, Symbol};

/// Behind the end of a minute, so that the exchange's bar is whole.
const SETTLE_US: i64 = 2_000_000;
const MINUTE_US: i64 = 60_000_000;

/// Minutes of one issue to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Issue.
    pub symbol: Symbol,
    /// A moment in the first minute.
    pub from: EventTime,
    /// A moment in the last minute, on the same day.
    pub to: EventTime,
    /// Times it was tried in vain.
    pub tries: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    repair: Repair,
    since: Instant,
    not_before: Instant,
}

/// The list; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Repairs {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wanted: Mutex<BTreeMap<Symbol, Wanted>>,
    /// Taken, and not settled yet.
    in_work: Mutex<BTreeMap<Symbol, Repair>>,
    market: AtomicI64,
    changed: Notify,
}

impl Repairs {
    /// Asks at `now` for the minutes of `repair`, not before `pause` is over. A range of an earlier day
    /// gives way: the exchange has minutes of today only.
    pub fn ask(&self, repair: Repair, now: Instant, pause: Duration) {
        let mut wanted = self.inner.wanted.lock();
        let entry = wanted.entry(repair.symbol).or_insert(Wanted {
            repair,
            since: now,
            not_before: now + pause,
        });
        let known = &mut entry.repair;
        if known.to.session_day() == repair.to.session_day() {
            known.from = known.from.min(repair.from);
            // A later minute waits anew, and a new gap has not been tried.
            if repair.to.minute_start() > known.to.minute_start() {
                entry.since = now;
            }
            known.to = known.to.max(repair.to);
            known.tries = known.tries.min(repair.tries);
            entry.not_before = entry.not_before.max(now + pause);
        } else {
            *entry = Wanted { repair, since: now, not_before: now + pause };
        }
        drop(wanted);
        self.inner.changed.notify_one();
    }

    /// The market's time has come to `time`.
    pub fn advance(&self, time: EventTime) {
        let before = self.inner.market.fetch_max(time.micros(), Ordering::Relaxed);
        // A look a minute is enough: ranges end with minutes.
        if before / MINUTE_US != time.micros() / MINUTE_US {
            self.inner.changed.notify_one();
        }
    }

    /// The market's time: the newest tick's.
    #[must_use]
    pub fn market_time(&self) -> EventTime {
        EventTime::from_micros(self.inner.market.load(Ordering::Relaxed))
    }

    /// Takes a range that is due at `now`: its last minute is over, or it has waited for `patience`.
    #[must_use]
    pub fn take_due(&self, now: Instant, patience: Duration) -> Option<Repair> {
        let market = self.market_time();
        let mut wanted = self.inner.wanted.lock();
        let is_due = |entry: &Wanted| {
            let over = market >= end_of(&entry.repair);
            now >= entry.not_before && (over || now >= entry.since + patience)
        };
        let symbol = *wanted.iter().find(|(_, entry)| is_due(entry))?.0;
        let repair = wanted.remove(&symbol).map(|entry| entry.repair)?;
        self.inner.in_work.lock().insert(symbol, repair);
        Some(repair)
    }

    /// The range that was taken for `symbol` has been fetched, given up, or asked for again.
    pub fn settle(&self, symbol: Symbol) {
        self.inner.in_work.lock().remove(&symbol);
    }

    /// All ranges that are asked for and not settled: to be asked for again after a restart.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Repair> {
        // In this order: what is asked for again while this looks is seen at least once.
        let mut all: Vec<Repair> = self.inner.in_work.lock().values().copied().collect();
        all.extend(self.inner.wanted.lock().values().map(|entry| entry.repair));
        all
    }

    /// Whether the last minute of `repair` is over by the market's time.
    #[must_use]
    pub fn is_over(&self, repair: &Repair) -> bool {
        self.market_time() >= end_of(repair)
    }

    /// Whether the market has come to another day, of which alone the exchange tells minutes.
    #[must_use]
    pub fn is_past(&self, repair: &Repair) -> bool {
        self.market_time().session_day() > repair.to.session_day()
    }

    /// Waits until something may have become due.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Issues with a range that is not taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.wanted.lock().len()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When the exchange's bar of the last minute is whole.
const fn end_of(repair: &Repair) -> EventTime {
    repair.to.minute_start().plus_micros(MINUTE_US + SETTLE_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{SessionDay, TimeOfDay};

    fn at(hhmmss: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
    }

    fn repair(symbol: &str, from: u32, to: u32) -> Repair {
        Repair { symbol: symbol.parse().unwrap(), from: at(from), to: at(to), tries: 0 }
    }

    const PATIENCE: Duration = Duration::from_secs(90);

    #[tokio::test(start_paused = true)]
    async fn ranges_grow_and_are_due_when_their_last_minute_is_over() {
        let repairs = Repairs::default();
        repairs.advance(at(100_010));
        repairs.ask(repair("005930", 95_930, 100_010), Instant::now(), Duration::ZERO);
        repairs.ask(repair("005930", 95_800, 95_810), Instant::now(), Duration::ZERO);
        assert_eq!((repairs.len(), repairs.take_due(Instant::now(), PATIENCE)), (1, None));
        repairs.advance(at(100_101));
        assert_eq!(repairs.take_due(Instant::now(), PATIENCE), None);
        repairs.advance(at(100_102));
        repairs.advance(at(95_000));
        assert_eq!(
            repairs.take_due(Instant::now(), PATIENCE),
            Some(repair("005930", 95_800, 100_010))
        );
        assert!(repairs.is_empty());
        assert_eq!(repairs.unsettled(), [repair("005930", 95_800, 100_010)]);
        repairs.settle("005930".parse().unwrap());
        assert!(repairs.unsettled().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_market_that_stands_still_is_not_waited_for_for_ever() {
        let repairs = Repairs::default();
        repairs.advance(at(153_012));
        repairs.ask(repair("005930", 153_000, 153_012), Instant::now(), Duration::ZERO);
        assert_eq!(repairs.take_due(Instant::now(), PATIENCE), None);
        tokio::time::advance(PATIENCE).await;
        assert!(repairs.take_due(Instant::now(), PATIENCE).is_some());
        // One that failed comes again after its pause.
        repairs.ask(repair("005930", 153_000, 153_012), Instant::now(), PATIENCE * 2);
        tokio::time::advance(PATIENCE).await;
        assert_eq!(repairs.take_due(Instant::now(), PATIENCE), None);
        tokio::time::advance(PATIENCE).await;
        assert!(repairs.take_due(Instant::now(), PATIENCE).is_some());
    }
}
