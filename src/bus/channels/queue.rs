//! What waits for the channel layer: bounded in number and age, in order, each event once.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::messages::OutwardEvent;

/// Events that wait at most: ten times what an inbox takes by default.
pub(super) const LIMIT: usize = 1_000;
/// Ids remembered, so that an event that a restarted part raises again is not sent again.
const IDS: usize = 4_096;

/// An event, and until when anybody wants it.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) event: Arc<OutwardEvent>,
    until: Instant,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Taken,
    /// It waits; the oldest one does not any more, because there are too many.
    Displaced,
    /// It came before.
    Repeated,
}

/// The events that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    ids: HashSet<String>,
    order: VecDeque<String>,
    next: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Appends `event`, which nobody wants after `until`.
    pub(super) fn push(&mut self, event: Arc<OutwardEvent>, until: Instant) -> Pushed {
        if !self.ids.insert(event.id.clone()) {
            return Pushed::Repeated;
        }
        self.order.push_back(event.id.clone());
        if self.order.len() > IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.waiting.push_back(Waiting { number: self.next, event, until });
        self.next += 1;
        if self.waiting.len() > LIMIT {
            self.waiting.pop_front();
            return Pushed::Displaced;
        }
        Pushed::Taken
    }

    /// Lets go of those that nobody wants any more; returns how many they are.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.until > now);
        before - self.waiting.len()
    }

    /// The oldest. It stays until [`Queue::done`].
    pub(super) fn first(&self) -> Option<Waiting> {
        self.waiting.front().cloned()
    }

    /// The event with this number is done with. It may be gone already.
    pub(super) fn done(&mut self, number: u64) {
        if self.waiting.front().is_some_and(|first| first.number == number) {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::redis_tests::event;
    use super::*;
    use crate::messages::EventKind;

    fn crash(number: usize) -> Arc<OutwardEvent> {
        event(EventKind::Crash, &number.to_string(), "005930")
    }

    fn ids(queue: &mut Queue) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(first) = queue.first() {
            ids.push(first.event.id.clone());
            queue.done(first.number);
        }
        ids
    }

    #[test]
    fn the_newest_wait_in_order_each_once() {
        let (mut queue, until) = (Queue::default(), Instant::now() + Duration::from_secs(60));
        for number in 0..LIMIT {
            assert_eq!(queue.push(crash(number), until), Pushed::Taken);
        }
        assert_eq!(queue.push(crash(7), until), Pushed::Repeated);
        assert_eq!(queue.push(crash(LIMIT), until), Pushed::Displaced);
        let expected: Vec<String> = (1..=LIMIT).map(|number| number.to_string()).collect();
        assert_eq!(ids(&mut queue), expected);
        assert_eq!(queue.push(crash(5), until), Pushed::Repeated, "sent ones are remembered");
        for number in 0..IDS {
            queue.push(crash(10_000 + number), until);
        }
        assert_eq!(queue.push(crash(5), until), Pushed::Displaced, "but not for ever");
    }

    #[test]
    fn what_nobody_wants_any_more_goes() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (number, seconds) in [(1, 10), (2, 5), (3, 20)] {
            queue.push(crash(number), now + Duration::from_secs(seconds));
        }
        assert_eq!(queue.expire(now), 0);
        let sending = queue.first().unwrap();
        assert_eq!(queue.expire(now + Duration::from_secs(10)), 2);
        queue.done(sending.number);
        assert_eq!(ids(&mut queue), ["3"], "what is done with had expired meanwhile");
    }
}
