//! What waits for Redis: bounded, in order, with scores conflated.
//!
//! Kept kinds (crash, threat, advice, health) come first: they are dropped, oldest first, only
//! when [`BacklogLimits::kept`] of them wait. Of the scores only the newest for each channel
//! waits, and of these at most [`BacklogLimits::scores`]. What is left leaves in the order in
//! which it came, so the order of one issue's events is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::messages::OutwardEvent;

/// How much waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Events of the kept kinds. At some 2 KiB each, the default 20,000 take about 40 MiB: days
    /// of crashes and threats.
    pub kept: usize,
    /// Scores, one a channel. The default 4,096 is more than the issues on KRX.
    pub scores: usize,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self { kept: 20_000, scores: 4_096 }
    }
}

/// What [`Backlog::push`] had to let go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Kept kinds beyond the limit. A real loss for Redis subscribers.
    pub kept: usize,
    /// Scores replaced by a newer one of the same channel.
    pub conflated: usize,
    /// Scores beyond the limit.
    pub scores: usize,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.kept += other.kept;
        self.conflated += other.conflated;
        self.scores += other.scores;
    }
}

/// The events that wait, by arrival number.
#[derive(Debug, Default)]
pub struct Backlog {
    limits: BacklogLimits,
    events: BTreeMap<u64, Arc<OutwardEvent>>,
    /// Arrival number of the waiting score of each channel.
    scores: HashMap<String, u64>,
    kept: usize,
    next: u64,
    /// Everything below this number is being sent and must stay as it is.
    sending: u64,
}

impl Backlog {
    /// An empty backlog.
    #[must_use]
    pub fn new(limits: BacklogLimits) -> Self {
        let limits = BacklogLimits { kept: limits.kept.max(1), scores: limits.scores.max(1) };
        Self { limits, ..Self::default() }
    }

    /// Number of waiting events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The waiting events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<OutwardEvent>> {
        self.events.values()
    }

    /// Appends an event. What is being sent is neither replaced nor dropped.
    pub fn push(&mut self, event: Arc<OutwardEvent>) -> Lost {
        let mut lost = Lost::default();
        let number = self.next;
        self.next += 1;
        if event.kind.is_kept() {
            self.kept += 1;
        } else if let Some(older) = self.scores.insert(event.channel.clone(), number)
            && older >= self.sending
            && self.events.remove(&older).is_some()
        {
            lost.conflated = 1;
        }
        self.events.insert(number, event);
        if self.kept > self.limits.kept && self.drop_oldest(true) {
            lost.kept = 1;
        }
        if self.events.len() - self.kept > self.limits.scores && self.drop_oldest(false) {
            lost.scores = 1;
        }
        lost
    }

    /// Appends an event that is to be sent at once: nothing is conflated or dropped. Whoever then
    /// cannot send it calls [`Backlog::settle`].
    pub fn append(&mut self, event: Arc<OutwardEvent>) {
        if event.kind.is_kept() {
            self.kept += 1;
        } else {
            self.scores.insert(event.channel.clone(), self.next);
        }
        self.events.insert(self.next, event);
        self.next += 1;
    }

    /// Brings what was appended within the limits again.
    pub fn settle(&mut self) -> Lost {
        let mut lost = Lost::default();
        let waiting: Vec<u64> = self.events.range(self.sending..).map(|(n, _)| *n).collect();
        let events: Vec<_> = waiting.into_iter().filter_map(|number| self.take(number)).collect();
        for event in events {
            lost += self.push(event);
        }
        lost
    }

    fn drop_oldest(&mut self, kept: bool) -> bool {
        let mut waiting = self.events.range(self.sending..);
        let oldest = waiting.find(|(_, e)| e.kind.is_kept() == kept).map(|(number, _)| *number);
        oldest.is_some_and(|number| self.take(number).is_some())
    }

    fn take(&mut self, number: u64) -> Option<Arc<OutwardEvent>> {
        let event = self.events.remove(&number)?;
        if event.kind.is_kept() {
            self.kept -= 1;
        } else if self.scores.get(&event.channel) == Some(&number) {
            self.scores.remove(&event.channel);
        }
        Some(event)
    }

    /// The oldest `limit` events. They count as being sent until [`Backlog::give_up`] or the next
    /// call; of what is then gone nothing is left to protect.
    pub fn begin(&mut self, limit: usize) -> Vec<Arc<OutwardEvent>> {
        let chunk: Vec<(u64, Arc<OutwardEvent>)> =
            self.events.iter().take(limit).map(|(n, e)| (*n, Arc::clone(e))).collect();
        self.sending = chunk.last().map_or(self.sending, |(number, _)| number + 1);
        chunk.into_iter().map(|(_, event)| event).collect()
    }

    /// Sending failed: what [`Backlog::begin`] gave waits again like the rest.
    pub fn give_up(&mut self) {
        self.sending = 0;
    }

    /// Takes the first `count` of the events given by [`Backlog::begin`] out.
    pub fn acknowledge(&mut self, count: usize) {
        let sent: Vec<u64> =
            self.events.range(..self.sending).take(count).map(|(n, _)| *n).collect();
        for number in sent {
            self.take(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::EventTime;
    use crate::messages::EventKind;
    use proptest::prelude::*;

    fn event(kind: EventKind, id: usize, subject: &str) -> Arc<OutwardEvent> {
        let data = serde_json::Value::Null;
        let time = EventTime::from_micros(1);
        Arc::new(OutwardEvent::new(kind, id.to_string(), subject, subject, time, &data))
    }

    fn drain(backlog: &mut Backlog) -> Vec<usize> {
        let events = backlog.begin(usize::MAX);
        backlog.acknowledge(events.len());
        events.iter().map(|e| e.id.parse().unwrap()).collect()
    }

    #[test]
    fn scores_are_conflated_and_kept_kinds_survive() {
        let mut backlog = Backlog::new(BacklogLimits { kept: 2, scores: 2 });
        backlog.push(event(EventKind::Risk, 0, "A"));
        backlog.push(event(EventKind::Crash, 1, "A"));
        assert_eq!(backlog.push(event(EventKind::Risk, 2, "A")).conflated, 1);
        backlog.push(event(EventKind::Risk, 3, "B"));
        assert_eq!(backlog.push(event(EventKind::Risk, 4, "C")).scores, 1);
        backlog.push(event(EventKind::Threat, 5, "A"));
        assert_eq!(backlog.push(event(EventKind::Crash, 6, "B")).kept, 1);
        assert_eq!(drain(&mut backlog), [3, 4, 5, 6]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_is_being_sent_stays() {
        let mut backlog = Backlog::new(BacklogLimits { kept: 1, scores: 1 });
        backlog.push(event(EventKind::Risk, 0, "A"));
        backlog.push(event(EventKind::Crash, 1, "A"));
        assert_eq!(backlog.begin(2).len(), 2);
        assert_eq!(
            backlog.push(event(EventKind::Risk, 2, "A")),
            Lost { scores: 1, ..Lost::default() }
        );
        backlog.acknowledge(1);
        assert_eq!(drain(&mut backlog), [1]);
    }

    #[test]
    fn what_was_to_go_at_once_is_conflated_when_it_could_not() {
        let mut backlog = Backlog::new(BacklogLimits { kept: 5, scores: 5 });
        for id in 0..6 {
            backlog.append(event(EventKind::Risk, id, if id % 2 == 0 { "A" } else { "B" }));
        }
        assert_eq!(backlog.begin(1).len(), 1);
        assert_eq!(backlog.settle().conflated, 3);
        assert_eq!(drain(&mut backlog), [0, 4, 5]);
    }

    proptest! {
        #[test]
        fn bounded_in_order_and_newest(kinds in prop::collection::vec((any::<bool>(), 0usize..4), 0..60)) {
            let mut backlog = Backlog::new(BacklogLimits { kept: 5, scores: 3 });
            let mut newest = HashMap::new();
            for (id, (kept, subject)) in kinds.iter().enumerate() {
                let kind = if *kept { EventKind::Crash } else { EventKind::Risk };
                if !kept {
                    newest.insert(*subject, id);
                }
                backlog.push(event(kind, id, &subject.to_string()));
                prop_assert!(backlog.len() <= 8);
            }
            let left = drain(&mut backlog);
            prop_assert!(left.is_sorted());
            let kept_in: Vec<usize> = (0..kinds.len()).filter(|i| kinds[*i].0).collect();
            let kept_out: Vec<usize> = left.iter().copied().filter(|i| kinds[*i].0).collect();
            prop_assert_eq!(&kept_out[..], &kept_in[kept_in.len().saturating_sub(5)..]);
            for id in left.iter().filter(|i| !kinds[**i].0) {
                prop_assert_eq!(newest[&kinds[*id].1], *id);
            }
        }
    }
}
