//! Inboxes that outlive their actor, and the edges that lead to them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What happens when a message meets a full inbox.
pub enum Policy<M> {
    /// The sender waits. For what must not be lost.
    Block,
    /// A queued message with the same key is replaced by the newer one; if there is none and the
    /// inbox is full, the oldest message goes. For states, where only the newest matters.
    Conflate(fn(&M) -> u64),
    /// The new message is dropped and counted. Only for what is shown and not kept.
    DropNewest,
}

impl<M> fmt::Debug for Policy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "Block",
            Self::Conflate(_) => "Conflate",
            Self::DropNewest => "DropNewest",
        })
    }
}

/// The inbox was closed: its actor will not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the inbox of {0} is closed")]
pub struct Closed(pub &'static str);

/// Counts of an inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboxStats {
    /// Messages waiting.
    pub depth: usize,
    /// Messages it may hold.
    pub capacity: usize,
    /// Messages taken in so far.
    pub accepted: u64,
    /// Messages replaced by a newer one or dropped by policy.
    pub shed: u64,
}

struct Queue<M> {
    messages: VecDeque<M>,
    accepted: u64,
    shed: u64,
    closed: bool,
}

struct Shared<M> {
    owner: &'static str,
    capacity: usize,
    policy: Policy<M>,
    queue: Mutex<Queue<M>>,
    not_empty: Notify,
    not_full: Notify,
}

/// A bounded queue that belongs to a place in the tree. The actor that works there takes messages
/// out; when it dies, its successor goes on where it stopped.
pub struct Inbox<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Inbox<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("owner", &self.shared.owner)
            .field("policy", &self.shared.policy)
            .field("stats", &self.stats())
            .finish()
    }
}

enum Offer<M> {
    Taken,
    Full(M),
    Closed,
}

impl<M> Inbox<M> {
    /// An inbox of `capacity` messages (at least one) for the actor named `owner`.
    #[must_use]
    pub fn new(owner: &'static str, capacity: usize, policy: Policy<M>) -> Self {
        let queue = Queue { messages: VecDeque::new(), accepted: 0, shed: 0, closed: false };
        let shared = Shared {
            owner,
            capacity: capacity.max(1),
            policy,
            queue: Mutex::new(queue),
            not_empty: Notify::new(),
            not_full: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An edge from the actor named `from` to this inbox.
    #[must_use]
    pub fn edge(&self, from: &'static str) -> Edge<M> {
        let edge = format!("{from}>{}", self.shared.owner);
        let blocked = metrics::histogram!("bongsu_edge_blocked_seconds", "edge" => edge);
        Edge { inbox: self.clone(), blocked, blocked_us: Arc::new(AtomicU64::new(0)) }
    }

    /// The next message; `None` once the inbox is closed and empty. Cancel-safe.
    pub async fn recv(&self) -> Option<M> {
        loop {
            let notified = self.shared.not_empty.notified();
            {
                let mut queue = self.shared.queue.lock();
                if let Some(message) = queue.messages.pop_front() {
                    drop(queue);
                    self.shared.not_full.notify_one();
                    return Some(message);
                }
                if queue.closed {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// The next message if one is waiting.
    #[must_use]
    pub fn try_recv(&self) -> Option<M> {
        let message = self.shared.queue.lock().messages.pop_front()?;
        self.shared.not_full.notify_one();
        Some(message)
    }

    /// Puts a message back to the front: it was taken by a generation that may not have it.
    pub(super) fn give_back(&self, message: M) {
        self.shared.queue.lock().messages.push_front(message);
        self.shared.not_empty.notify_one();
    }

    /// Refuses new messages from now on; those that wait can still be taken.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.not_empty.notify_waiters();
        self.shared.not_empty.notify_one();
        self.shared.not_full.notify_waiters();
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> InboxStats {
        let queue = self.shared.queue.lock();
        InboxStats {
            depth: queue.messages.len(),
            capacity: self.shared.capacity,
            accepted: queue.accepted,
            shed: queue.shed,
        }
    }

    fn offer(&self, message: M) -> Offer<M> {
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            return Offer::Closed;
        }
        if let Policy::Conflate(key) = &self.shared.policy {
            let key_of_new = key(&message);
            if let Some(waiting) = queue.messages.iter_mut().find(|m| key(m) == key_of_new) {
                *waiting = message;
                queue.shed += 1;
                return Offer::Taken;
            }
        }
        if queue.messages.len() >= self.shared.capacity {
            match self.shared.policy {
                Policy::Block => return Offer::Full(message),
                Policy::DropNewest => {
                    queue.shed += 1;
                    return Offer::Taken;
                }
                Policy::Conflate(_) => {
                    queue.messages.pop_front();
                    queue.shed += 1;
                }
            }
        }
        queue.messages.push_back(message);
        queue.accepted += 1;
        drop(queue);
        self.shared.not_empty.notify_one();
        Offer::Taken
    }
}

/// The way from one actor to the inbox of another. Stays valid while actors at either end come
/// and go. Sums the time its sender spent waiting.
pub struct Edge<M> {
    inbox: Inbox<M>,
    blocked: metrics::Histogram,
    blocked_us: Arc<AtomicU64>,
}

impl<M> Clone for Edge<M> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            blocked: self.blocked.clone(),
            blocked_us: Arc::clone(&self.blocked_us),
        }
    }
}

impl<M> fmt::Debug for Edge<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Edge").field(&self.inbox).finish()
    }
}

impl<M> Edge<M> {
    /// Sends by the inbox's policy; waits only under [`Policy::Block`].
    ///
    /// # Errors
    /// [`Closed`] when the inbox is closed; the message is lost then.
    pub async fn send(&self, message: M) -> Result<(), Closed> {
        let mut message = match self.inbox.offer(message) {
            Offer::Taken => return Ok(()),
            Offer::Closed => return Err(Closed(self.inbox.shared.owner)),
            Offer::Full(message) => message,
        };
        let since = Instant::now();
        loop {
            let notified = self.inbox.shared.not_full.notified();
            match self.inbox.offer(message) {
                Offer::Taken => {
                    self.note_blocked(since);
                    return Ok(());
                }
                Offer::Closed => return Err(Closed(self.inbox.shared.owner)),
                Offer::Full(back) => message = back,
            }
            notified.await;
        }
    }

    /// Sends if that is possible without waiting; gives the message back otherwise.
    ///
    /// # Errors
    /// The message, when the inbox is full under [`Policy::Block`] or closed.
    pub fn try_send(&self, message: M) -> Result<(), Option<M>> {
        match self.inbox.offer(message) {
            Offer::Taken => Ok(()),
            Offer::Full(message) => Err(Some(message)),
            Offer::Closed => Err(None),
        }
    }

    /// Microseconds that senders have spent waiting on this edge.
    #[must_use]
    pub fn blocked_micros(&self) -> u64 {
        self.blocked_us.load(Ordering::Relaxed)
    }

    fn note_blocked(&self, since: Instant) {
        let waited = since.elapsed();
        self.blocked.record(waited.as_secs_f64());
        self.blocked_us.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_inbox_makes_the_sender_wait_and_counts_the_time() {
        let inbox = Inbox::new("b", 1, Policy::Block);
        let edge = inbox.edge("a");
        edge.send(1).await.unwrap();
        let sender = tokio::spawn({
            let edge = edge.clone();
            async move { edge.send(2).await }
        });
        tokio::task::yield_now().await;
        tokio::time::advance(std::time::Duration::from_millis(30)).await;
        assert!(!sender.is_finished());
        assert_eq!(inbox.recv().await, Some(1));
        sender.await.unwrap().unwrap();
        assert_eq!(inbox.recv().await, Some(2));
        assert!(edge.blocked_micros() >= 30_000, "{}", edge.blocked_micros());
    }

    #[tokio::test]
    async fn closing_wakes_both_ends_and_keeps_what_waits() {
        let inbox = Inbox::new("b", 1, Policy::Block);
        let edge = inbox.edge("a");
        edge.send(1).await.unwrap();
        let blocked = tokio::spawn({
            let edge = edge.clone();
            async move { edge.send(2).await }
        });
        tokio::task::yield_now().await;
        inbox.close();
        assert_eq!(blocked.await.unwrap(), Err(Closed("b")));
        assert_eq!(inbox.recv().await, Some(1));
        assert_eq!(inbox.recv().await, None);
    }

    #[tokio::test]
    async fn conflation_keeps_the_newest_of_each_key() {
        let inbox = Inbox::new("b", 2, Policy::Conflate(|m: &(u64, u32)| m.0));
        let edge = inbox.edge("a");
        for message in [(1, 10), (2, 20), (1, 11), (3, 30)] {
            edge.send(message).await.unwrap();
        }
        assert_eq!(inbox.try_recv(), Some((2, 20)));
        assert_eq!(inbox.try_recv(), Some((3, 30)));
        assert_eq!(inbox.try_recv(), None);
        assert_eq!(inbox.stats().shed, 2);
    }

    #[tokio::test]
    async fn dropping_is_counted() {
        let inbox = Inbox::new("b", 1, Policy::DropNewest);
        let edge = inbox.edge("a");
        edge.send(1).await.unwrap();
        edge.send(2).await.unwrap();
        assert_eq!((inbox.try_recv(), inbox.stats().shed), (Some(1), 1));
    }
}
