//! What a worker has in hand, and what it remembers: messages by tag, revoked ids.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::request::Request;

/// Revoked ids that are remembered, and for how long: as Celery has it.
const REVOKED: usize = 50_000;
const REVOKED_FOR: Duration = Duration::from_secs(3 * 3_600);

/// Where a message in hand stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// It waits for a place, or for its turn by the task's rate.
    Reserved,
    /// It waits for its ETA.
    Scheduled(DateTime<Utc>),
    /// It runs.
    Active(DateTime<Utc>),
    /// It is over; result and acknowledgement are on their way.
    Ending,
}

/// A message in hand.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it asks for.
    pub request: Arc<Request>,
    /// Where it stands.
    pub phase: Phase,
    /// Takes it back.
    pub stop: CancellationToken,
    /// In which order it was taken.
    pub number: u64,
}

/// Messages in hand, by tag.
#[derive(Debug, Default)]
pub struct Hands {
    held: HashMap<String, Held>,
    taken: u64,
    /// Those that count against the prefetch.
    counted: usize,
}

/// Those that wait for their ETA do not count against the prefetch: they must not block the queue.
const fn counts(phase: Phase) -> bool {
    !matches!(phase, Phase::Scheduled(_))
}

impl Hands {
    /// Takes a message in hand; `None` when it is there already.
    pub fn take(&mut self, tag: &str, request: Arc<Request>, phase: Phase) -> Option<Held> {
        if self.held.contains_key(tag) {
            return None;
        }
        self.taken += 1;
        self.counted += usize::from(counts(phase));
        let held = Held { request, phase, stop: CancellationToken::new(), number: self.taken };
        self.held.insert(tag.to_owned(), held.clone());
        Some(held)
    }

    /// Moves a message on; false when it is not in hand any more.
    pub fn step(&mut self, tag: &str, phase: Phase) -> bool {
        let Some(held) = self.held.get_mut(tag) else { return false };
        self.counted += usize::from(counts(phase));
        self.counted -= usize::from(counts(held.phase));
        held.phase = phase;
        true
    }

    /// Lets a message go.
    pub fn release(&mut self, tag: &str) -> Option<Held> {
        let held = self.held.remove(tag)?;
        self.counted -= usize::from(counts(held.phase));
        Some(held)
    }

    /// The message with this tag.
    #[must_use]
    pub fn get(&self, tag: &str) -> Option<&Held> {
        self.held.get(tag)
    }

    /// All of them, in the order in which they were taken.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Held)> {
        let mut all: Vec<_> =
            self.held.iter().map(|(tag, held)| (tag.clone(), held.clone())).collect();
        all.sort_by_key(|(_, held)| held.number);
        all
    }

    /// Tags of all of them.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.held.keys().cloned().collect()
    }

    /// Tags of those whose task is one of `ids`.
    #[must_use]
    pub fn of(&self, ids: &[String]) -> Vec<String> {
        let mine = self.held.iter().filter(|(_, held)| ids.contains(&held.request.id));
        mine.map(|(tag, _)| tag.clone()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many count against the prefetch.
    #[must_use]
    pub const fn counted(&self) -> usize {
        self.counted
    }

    /// How many wait for their ETA.
    #[must_use]
    pub fn scheduled(&self) -> usize {
        self.held.len() - self.counted
    }

    /// How many run.
    #[must_use]
    pub fn active(&self) -> usize {
        self.held.values().filter(|held| matches!(held.phase, Phase::Active(_))).count()
    }
}

/// Ids that were taken back.
#[derive(Debug, Default)]
pub struct Revoked {
    until: HashMap<String, Instant>,
    order: VecDeque<String>,
}

impl Revoked {
    /// Remembers `id`.
    pub fn add(&mut self, id: String, now: Instant) {
        while self.order.len() >= REVOKED
            || self.order.front().is_some_and(|id| self.until.get(id).is_none_or(|&u| u <= now))
        {
            let Some(oldest) = self.order.pop_front() else { break };
            self.until.remove(&oldest);
        }
        if self.until.insert(id.clone(), now + REVOKED_FOR).is_none() {
            self.order.push_back(id);
        }
    }

    /// Whether `id` was taken back.
    #[must_use]
    pub fn contains(&self, id: &str, now: Instant) -> bool {
        self.until.get(id).is_some_and(|&until| until > now)
    }

    /// All ids.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.order.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tasks::celery::envelope::Envelope;
    use crate::tasks::celery::{request, time};

    fn request(id: &str) -> Arc<Request> {
        let headers = json!({"task": "t", "id": id}).as_object().cloned().unwrap();
        let envelope = Envelope::around(&json!([[], {}, {}]), headers, ("", "q"));
        Arc::new(request::read(envelope).unwrap())
    }

    #[test]
    fn what_waits_for_its_eta_does_not_block_the_queue() {
        let mut hands = Hands::default();
        assert!(hands.take("a", request("1"), Phase::Reserved).is_some());
        assert!(hands.take("b", request("2"), Phase::Scheduled(time::now())).is_some());
        assert!(hands.take("a", request("1"), Phase::Reserved).is_none(), "it is there already");
        assert_eq!((hands.len(), hands.counted(), hands.scheduled()), (2, 1, 1));
        assert!(hands.step("b", Phase::Active(time::now())));
        assert_eq!((hands.counted(), hands.active()), (2, 1));
        assert_eq!(hands.of(&["2".to_owned()]), ["b"]);
        assert_eq!(hands.all().iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        hands.release("a");
        hands.release("b");
        assert!(hands.is_empty() && hands.counted() == 0);
        assert!(!hands.step("a", Phase::Reserved));
    }

    #[tokio::test(start_paused = true)]
    async fn revoked_ids_are_forgotten_after_a_while_and_are_bounded() {
        let mut revoked = Revoked::default();
        revoked.add("a".to_owned(), Instant::now());
        assert!(revoked.contains("a", Instant::now()));
        tokio::time::advance(REVOKED_FOR).await;
        assert!(!revoked.contains("a", Instant::now()));
        for id in 0..REVOKED + 10 {
            revoked.add(id.to_string(), Instant::now());
        }
        assert_eq!(revoked.ids().len(), REVOKED);
        assert!(!revoked.contains("5", Instant::now()), "the oldest are forgotten first");
    }
}
