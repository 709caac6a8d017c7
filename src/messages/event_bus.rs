//! The in-process event bus: a bounded memory of what went outward, and live streams of it.
//!
//! Stands beside the pipeline like the [`super::RiskBoard`]: the publisher writes, the HTTP
//! interface reads. Input: [`OutwardEvent`]s in the order in which they are to be seen. Output:
//! [`Subscription`]s and [`EventBus::since`].
//!
//! Limits and policy:
//! - The ring keeps the newest [`BusLimits::kept`] events of the kept kinds; scores are live only.
//! - An event whose id is still in the ring is a repetition: it is neither kept nor sent again.
//! - A publisher never waits. A subscriber further behind than [`BusLimits::live`] events catches
//!   up on the kept kinds from the ring and gets a [`GapNotice`] for whatever is lost to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use metrics::Counter;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{EventKind, Level, OutwardEvent};

/// How much the bus holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusLimits {
    /// Kept events. At some 2 KiB each, the default 10,000 take about 20 MiB.
    pub kept: usize,
    /// Events of any kind that a subscriber may lag behind; rounded up to a power of two. The
    /// default 4,096 is more than one second's scores of every KRX issue.
    pub live: usize,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self { kept: 10_000, live: 4_096 }
    }
}

/// An event with its place in this process's order. Numbers start at 1, grow by one with every
/// event, scores included, and start again with the process.
#[derive(Debug, Clone)]
pub struct Published {
    /// Place in the order.
    pub sequence: u64,
    /// The event.
    pub event: Arc<OutwardEvent>,
}

/// Why a subscriber lost events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// It did not read fast enough.
    Slow,
    /// The event it wants to go on from is no longer (or not yet) in the ring.
    Unknown,
}

impl GapReason {
    /// As in gap events and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Unknown => "unknown_id",
        }
    }
}

/// Tells a subscriber that events are missing at this point of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapNotice {
    /// Why.
    pub reason: GapReason,
    /// Last sequence number seen before the gap; 0 when nothing was.
    pub after: u64,
    /// How many events were skipped, whatever their kind, without those caught up on; `None` when
    /// it cannot be told.
    pub missed: Option<u64>,
}

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum StreamItem {
    /// An event.
    Event(Published),
    /// Events are missing here.
    Gap(GapNotice),
}

/// Where a subscriber or reader wants to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// With what comes from now on.
    Now,
    /// From the oldest kept event.
    Oldest,
    /// After this sequence number of this process.
    Sequence(u64),
    /// After the event with this id.
    Id(String),
}

/// Why a text is not a channel pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a channel pattern: expected 1 to 128 printable ASCII characters where * stands for any text and ? for one character, for example bongsu.crash.*"
)]
pub struct PatternError(pub String);

/// A channel pattern, Redis style, of which `*` and `?` are understood (no `[…]`, no escapes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'[' | b']' | b'\\');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(plain) {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Pattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `channel` matches. Linear in memory, at most pattern × channel steps.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), channel.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Where to go on when what follows the last star does not fit.
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p + 1, t));
                    p += 1;
                }
                Some(&b) if b == b'?' || b == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match retry {
                    Some((after_star, from)) => {
                        p = after_star;
                        t = from + 1;
                        retry = Some((after_star, from + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

/// Which events a reader wants; the default is all.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of these kinds; empty for all.
    pub kinds: Vec<EventKind>,
    /// With this subject, or this `symbol` in their data.
    pub symbol: Option<String>,
    /// On a channel that matches.
    pub pattern: Option<Pattern>,
}

impl EventFilter {
    /// Whether `event` is wanted.
    #[must_use]
    pub fn matches(&self, event: &OutwardEvent) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&event.kind);
        let symbol = self.symbol.as_deref().is_none_or(|symbol| {
            event.subject == symbol
                || event.data().get("symbol").and_then(|v| v.as_str()) == Some(symbol)
        });
        kind && symbol && self.pattern.as_ref().is_none_or(|p| p.matches(&event.channel))
    }

    /// Whether an event that is not kept could be wanted.
    fn may_want_live_only(&self) -> bool {
        let wanted = |kind: &EventKind| !kind.is_kept();
        self.kinds.is_empty() || self.kinds.iter().any(wanted)
    }
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Published>,
    by_id: HashMap<String, u64>,
    /// Sequence number of the newest event of any kind.
    last: u64,
    /// Sequence number of the newest event that fell out of the ring.
    evicted: u64,
}

impl Ring {
    /// The kept events after `sequence`, in order.
    fn after(&self, sequence: u64) -> impl Iterator<Item = &Published> {
        let start = self.events.partition_point(|kept| kept.sequence <= sequence);
        self.events.range(start..)
    }

    /// The sequence number to go on after, and the gap there is.
    fn resolve(&self, resume: &Resume) -> (u64, Option<GapNotice>) {
        let lost = |after| GapNotice { reason: GapReason::Unknown, after, missed: None };
        match resume {
            Resume::Now => (self.last, None),
            Resume::Oldest => (0, None),
            // A number from the future was given by an earlier process.
            Resume::Sequence(number) if *number > self.last => (0, Some(lost(*number))),
            Resume::Sequence(number) if *number < self.evicted => (*number, Some(lost(*number))),
            Resume::Sequence(number) => (*number, None),
            Resume::Id(id) => match self.by_id.get(id) {
                Some(sequence) => (*sequence, None),
                None => (0, Some(lost(0))),
            },
        }
    }
}

struct Inner {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Published>,
    limits: BusLimits,
    counters: EventCounters,
}

/// `bongsu_events_total`, one handle a (type, level).
struct EventCounters(Vec<[Counter; 4]>);

impl EventCounters {
    fn new() -> Self {
        let levels = [None, Some(Level::Watch), Some(Level::Warning), Some(Level::Critical)];
        let handle = |kind: EventKind, level: Option<Level>| {
            let level = level.map_or("none", Level::as_str);
            metrics::counter!("bongsu_events_total", "type" => kind.as_str(), "level" => level)
        };
        Self(EventKind::ALL.map(|kind| levels.map(|level| handle(kind, level))).into())
    }

    fn count(&self, event: &OutwardEvent) {
        let level = match event.level {
            None => 0,
            Some(Level::Watch) => 1,
            Some(Level::Warning) => 2,
            Some(Level::Critical) => 3,
        };
        if let Some(kind) = EventKind::ALL.iter().position(|kind| *kind == event.kind) {
            self.0[kind][level].increment(1);
        }
    }
}

/// Shared, cheap to clone.
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for EventBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ring = self.inner.ring.lock();
        f.debug_struct("EventBus")
            .field("kept", &ring.events.len())
            .field("last", &ring.last)
            .finish_non_exhaustive()
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new(BusLimits::default())
    }
}

impl EventBus {
    /// An empty bus. Metric handles are taken now, so the recorder must be installed before.
    #[must_use]
    pub fn new(limits: BusLimits) -> Self {
        let limits = BusLimits { kept: limits.kept.max(1), live: limits.live.max(1) };
        let (live, _) = broadcast::channel(limits.live);
        Self {
            inner: Arc::new(Inner {
                ring: Mutex::default(),
                live,
                limits,
                counters: EventCounters::new(),
            }),
        }
    }

    /// Takes in events in order; returns how many were new.
    pub fn publish(&self, events: &[Arc<OutwardEvent>]) -> usize {
        let mut fresh = 0;
        let ring = &mut *self.inner.ring.lock();
        for event in events {
            if event.kind.is_kept() && ring.by_id.contains_key(&event.id) {
                continue;
            }
            ring.last += 1;
            fresh += 1;
            let published = Published { sequence: ring.last, event: Arc::clone(event) };
            if event.kind.is_kept() {
                ring.by_id.insert(event.id.clone(), ring.last);
                ring.events.push_back(published.clone());
                if ring.events.len() > self.inner.limits.kept
                    && let Some(oldest) = ring.events.pop_front()
                {
                    ring.by_id.remove(&oldest.event.id);
                    ring.evicted = oldest.sequence;
                }
            }
            self.inner.counters.count(event);
            // Nobody listening is fine. Sent under the lock, so that a new subscriber sees each
            // event once: in its backlog or live.
            let _ = self.inner.live.send(published);
        }
        fresh
    }

    /// Up to `limit` kept events after `resume` that `filter` wants, oldest first, and the gap
    /// before them, if there is one.
    #[must_use]
    pub fn since(
        &self,
        resume: &Resume,
        filter: &EventFilter,
        limit: usize,
    ) -> (Vec<Published>, Option<GapNotice>) {
        let ring = self.inner.ring.lock();
        let (after, gap) = ring.resolve(resume);
        let wanted = ring.after(after).filter(|kept| filter.matches(&kept.event));
        (wanted.take(limit).cloned().collect(), gap)
    }

    /// The newest `limit` kept events that `filter` wants, oldest first.
    #[must_use]
    pub fn latest(&self, filter: &EventFilter, limit: usize) -> Vec<Published> {
        let ring = self.inner.ring.lock();
        let wanted = ring.events.iter().rev().filter(|kept| filter.matches(&kept.event));
        let mut newest: Vec<Published> = wanted.take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// A stream of the events that `filter` wants, beginning where `resume` says.
    #[must_use]
    pub fn subscribe(&self, filter: EventFilter, resume: &Resume) -> Subscription {
        let ring = self.inner.ring.lock();
        let (after, gap) = ring.resolve(resume);
        let mut backlog: VecDeque<StreamItem> = gap.map(StreamItem::Gap).into_iter().collect();
        let wanted = ring.after(after).filter(|kept| filter.matches(&kept.event));
        backlog.extend(wanted.cloned().map(StreamItem::Event));
        Subscription {
            live: self.inner.live.subscribe(),
            bus: self.clone(),
            filter,
            backlog,
            last: ring.last,
        }
    }

    /// Sequence number of the newest event of any kind; 0 when there was none.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.inner.ring.lock().last
    }
}

/// A live stream of events for one reader. Memory is bounded by the ring.
pub struct Subscription {
    live: broadcast::Receiver<Published>,
    bus: EventBus,
    filter: EventFilter,
    backlog: VecDeque<StreamItem>,
    /// Everything up to this number has been looked at.
    last: u64,
}

impl Subscription {
    /// The next item; `None` when the bus is gone. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<StreamItem> {
        loop {
            if let Some(item) = self.backlog.pop_front() {
                return Some(item);
            }
            match self.live.recv().await {
                // Already caught up on from the ring.
                Ok(published) if published.sequence <= self.last => {}
                Ok(published) => {
                    self.last = published.sequence;
                    if self.filter.matches(&published.event) {
                        return Some(StreamItem::Event(published));
                    }
                }
                Err(RecvError::Lagged(skipped)) => self.catch_up(skipped),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// After `skipped` events were overwritten unread: takes the kept ones from the ring, and
    /// tells of the rest.
    fn catch_up(&mut self, skipped: u64) {
        let ring = self.bus.inner.ring.lock();
        // The overwritten ones are `last + 1 ..= last + skipped`; what follows comes live.
        let through = self.last + skipped;
        let kept: Vec<&Published> =
            ring.after(self.last).take_while(|kept| kept.sequence <= through).collect();
        let missed = skipped - kept.len() as u64;
        if ring.evicted > self.last || (missed > 0 && self.filter.may_want_live_only()) {
            let gap = GapNotice { reason: GapReason::Slow, after: self.last, missed: Some(missed) };
            self.backlog.push_back(StreamItem::Gap(gap));
        }
        let wanted = kept.into_iter().filter(|kept| self.filter.matches(&kept.event));
        self.backlog.extend(wanted.cloned().map(StreamItem::Event));
        self.last = through;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::EventTime;
    use proptest::prelude::*;

    pub(crate) fn event(kind: EventKind, id: &str, subject: &str) -> Arc<OutwardEvent> {
        let data = serde_json::json!({ "symbol": subject });
        let time = EventTime::from_micros(1_722_816_021_000_000);
        Arc::new(OutwardEvent::new(kind, id.into(), subject, subject, time, &data))
    }

    fn crash(number: usize) -> Arc<OutwardEvent> {
        event(EventKind::Crash, &format!("c{number}"), "005930")
    }

    fn score(number: usize) -> Arc<OutwardEvent> {
        event(EventKind::Risk, &format!("r{number}"), "005930")
    }

    fn ids(events: &[Published]) -> Vec<&str> {
        events.iter().map(|p| p.event.id.as_str()).collect()
    }

    #[test]
    fn kept_once_and_bounded() {
        let bus = EventBus::new(BusLimits { kept: 3, live: 16 });
        assert_eq!(bus.publish(&[crash(1), score(1), crash(1), crash(2)]), 3);
        assert_eq!(bus.publish(&[crash(2), crash(3), crash(4)]), 2);
        let all = EventFilter::default();
        assert_eq!(ids(&bus.latest(&all, 10)), ["c2", "c3", "c4"]);
        assert_eq!(ids(&bus.latest(&all, 2)), ["c3", "c4"]);
        let (after, gap) = bus.since(&Resume::Id("c3".into()), &all, 10);
        assert_eq!((ids(&after), gap), (vec!["c4"], None));
        // c1 fell out: a gap, then everything there is.
        let (after, gap) = bus.since(&Resume::Id("c1".into()), &all, 10);
        assert_eq!(ids(&after), ["c2", "c3", "c4"]);
        assert_eq!(gap.unwrap().reason, GapReason::Unknown);
        assert!(bus.since(&Resume::Sequence(0), &all, 10).1.is_some());
        assert!(bus.since(&Resume::Sequence(99), &all, 10).1.is_some());
        assert!(bus.since(&Resume::Sequence(3), &all, 10).1.is_none());
    }

    #[test]
    fn filters() {
        let filter = EventFilter {
            kinds: vec![EventKind::Crash],
            symbol: Some("005930".into()),
            pattern: Some("bongsu.*.00593?".parse().unwrap()),
        };
        assert!(filter.matches(&crash(1)));
        assert!(!filter.matches(&score(1)));
        assert!(!filter.matches(&event(EventKind::Crash, "x", "000660")));
        assert!("bongsu.[ab]".parse::<Pattern>().is_err());
        assert!("".parse::<Pattern>().is_err());
    }

    #[tokio::test]
    async fn a_subscriber_gets_backlog_then_live_once_each() {
        let bus = EventBus::default();
        bus.publish(&[crash(1), crash(2)]);
        let mut stream = bus.subscribe(EventFilter::default(), &Resume::Id("c1".into()));
        bus.publish(&[crash(2), score(1), crash(3)]);
        for expected in ["c2", "r1", "c3"] {
            let Some(StreamItem::Event(got)) = stream.next().await else { panic!("no event") };
            assert_eq!(got.event.id, expected);
        }
    }

    #[tokio::test]
    async fn a_slow_subscriber_keeps_the_kept_and_is_told_of_the_rest() {
        let bus = EventBus::new(BusLimits { kept: 100, live: 4 });
        let mut all = bus.subscribe(EventFilter::default(), &Resume::Now);
        let only = EventFilter { kinds: vec![EventKind::Crash], ..EventFilter::default() };
        let mut crashes = bus.subscribe(only, &Resume::Now);
        bus.publish(&[crash(1)]);
        bus.publish(&(0..10).map(score).collect::<Vec<_>>());
        bus.publish(&[crash(2)]);
        let Some(StreamItem::Gap(gap)) = all.next().await else { panic!("no gap") };
        // 12 published, 4 still live, crash 1 caught up on: 7 scores lost.
        assert_eq!(gap, GapNotice { reason: GapReason::Slow, after: 0, missed: Some(7) });
        for expected in ["c1", "r7", "r8", "r9", "c2"] {
            let Some(StreamItem::Event(got)) = all.next().await else { panic!("no event") };
            assert_eq!(got.event.id, expected);
        }
        // Who wants no scores lost nothing.
        for expected in ["c1", "c2"] {
            let Some(StreamItem::Event(got)) = crashes.next().await else { panic!("no event") };
            assert_eq!(got.event.id, expected);
        }
    }

    fn slow_glob(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                slow_glob(&pattern[1..], text)
                    || (!text.is_empty() && slow_glob(pattern, &text[1..]))
            }
            (Some(p), Some(t)) => (*p == b'?' || p == t) && slow_glob(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_defined(pattern in "[ab*?]{1,7}", text in "[ab]{0,7}") {
            let parsed: Pattern = pattern.parse().unwrap();
            prop_assert_eq!(parsed.matches(&text), slow_glob(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
