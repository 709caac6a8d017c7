//! Answers that were accepted before, so that equal facts are asked about once.
//!
//! The key holds everything that decides an answer: facts, prompts, model. What is kept are the
//! statements as the model cited them; they go through the guard again when they are taken out, so
//! that nothing in a shared cache can reach a reader unchecked. Kept in this process, and beside it
//! where all processes look ([`SharedCache`]), when there is such a place; one that is away is
//! passed over.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::facts::Facts;

/// Answers kept in this process.
const MAX_ANSWERS: usize = 512;
/// Longest answer that is kept, bytes.
const MAX_BYTES: usize = 64 << 10;
/// A shared cache is waited for no longer than this.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a shared cache gives.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A cache that several processes share.
pub trait SharedCache: Send + Sync + std::fmt::Debug {
    /// The text under `key`; `None` also when the cache is away.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>>;
    /// Keeps `text` under `key` for `ttl`, if it can.
    fn put<'a>(&'a self, key: &'a str, text: String, ttl: Duration) -> Answer<'a, ()>;
}

/// Digest of what an answer depends on.
#[must_use]
pub fn key(facts: &Facts, system: &str, user: &str, model: &str) -> String {
    let mut digest = Sha256::new();
    for part in [facts.kind, &facts.subject, system, user, model] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(&digest.finalize()[..16])
}

/// The cache of a writer.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    own: Mutex<HashMap<String, (Instant, Vec<String>)>>,
    shared: Option<Arc<dyn SharedCache>>,
    /// One at a time for each key: who comes second finds the first one's answer.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    pub(super) fn new(ttl: Duration, shared: Option<Arc<dyn SharedCache>>) -> Self {
        Self { ttl, own: Mutex::default(), shared, turns: Mutex::default() }
    }

    /// Waits until nobody else asks about the same; `None` when that takes until `deadline`.
    pub(super) async fn turn(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.turns.lock();
            // Nobody holds those that only the map knows.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.to_owned()).or_default())
        };
        tokio::time::timeout_at(deadline, turn.lock_owned()).await.ok()
    }

    pub(super) async fn get(&self, key: &str) -> Option<Vec<String>> {
        if self.ttl.is_zero() {
            return None;
        }
        if let Some((at, statements)) = self.own.lock().get(key)
            && at.elapsed() < self.ttl
        {
            return Some(statements.clone());
        }
        let shared = self.shared.as_ref()?;
        let text = tokio::time::timeout(PATIENCE, shared.get(key)).await.ok()??;
        serde_json::from_str(&text).ok()
    }

    pub(super) async fn put(&self, key: &str, statements: &[String]) {
        let size: usize = statements.iter().map(String::len).sum();
        if self.ttl.is_zero() || size > MAX_BYTES {
            return;
        }
        {
            let mut own = self.own.lock();
            own.retain(|_, (at, _)| at.elapsed() < self.ttl);
            if own.len() >= MAX_ANSWERS
                && let Some(oldest) =
                    own.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
            {
                own.remove(&oldest);
            }
            own.insert(key.to_owned(), (Instant::now(), statements.to_vec()));
        }
        if let (Some(shared), Ok(text)) = (&self.shared, serde_json::to_string(statements)) {
            // It is a help, not a duty: one that does not answer is left alone.
            let _ = tokio::time::timeout(PATIENCE, shared.put(key, text, self.ttl)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn answers_grow_old_and_are_bounded() {
        let cache = Cache::new(Duration::from_secs(60), None);
        for number in 0..MAX_ANSWERS + 10 {
            cache.put(&number.to_string(), &["가".to_owned()]).await;
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(cache.own.lock().len(), MAX_ANSWERS);
        assert_eq!(cache.get("0").await, None);
        let last = (MAX_ANSWERS + 9).to_string();
        assert_eq!(cache.get(&last).await, Some(vec!["가".to_owned()]));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(cache.get(&last).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first() {
        let cache = Cache::new(Duration::from_secs(60), None);
        let first = cache.turn("a", later()).await.unwrap();
        assert!(cache.turn("a", Instant::now() + Duration::from_millis(10)).await.is_none());
        assert!(cache.turn("b", later()).await.is_some());
        drop(first);
        assert!(cache.turn("a", later()).await.is_some());
        let _third = cache.turn("c", later()).await;
        assert_eq!(cache.turns.lock().len(), 1, "turns that are over are forgotten");
    }

    #[derive(Debug, Default)]
    struct Shared(Mutex<HashMap<String, String>>);

    impl SharedCache for Shared {
        fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>> {
            Box::pin(async move { self.0.lock().get(key).cloned() })
        }
        fn put<'a>(&'a self, key: &'a str, text: String, _: Duration) -> Answer<'a, ()> {
            Box::pin(async move {
                self.0.lock().insert(key.to_owned(), text);
            })
        }
    }

    #[tokio::test]
    async fn processes_share() {
        let shared: Arc<Shared> = Arc::default();
        let ttl = Duration::from_secs(60);
        Cache::new(ttl, Some(shared.clone())).put("a", &["가".to_owned()]).await;
        let other = Cache::new(ttl, Some(shared.clone()));
        assert_eq!(other.get("a").await, Some(vec!["가".to_owned()]));
        shared.0.lock().insert("b".to_owned(), "not json".to_owned());
        assert_eq!(other.get("b").await, None);
    }
}
