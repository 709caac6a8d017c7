//! Rates of tasks, whatever queue they come by.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{RateLimit, Registry};

/// Rates of tasks: each call has its place in time, no two nearer than the rate allows.
#[derive(Debug, Default)]
pub struct Rates {
    limits: HashMap<String, RateLimit>,
    next: HashMap<String, Instant>,
}

impl Rates {
    /// The rates that the tasks of `registry` have.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        let mut rates = Self::default();
        for spec in registry.specs() {
            rates.set(spec.name, spec.rate_limit);
        }
        rates
    }

    /// Sets the rate of `task`; `None` lifts it.
    pub fn set(&mut self, task: &str, limit: Option<RateLimit>) {
        self.next.remove(task);
        match limit {
            Some(limit) => self.limits.insert(task.to_owned(), limit),
            None => self.limits.remove(task),
        };
    }

    /// When a call of `task` that comes now may begin.
    pub fn slot(&mut self, task: &str, now: Instant) -> Instant {
        let Some(limit) = self.limits.get(task) else { return now };
        let slot = self.next.get(task).copied().unwrap_or(now).max(now);
        self.next.insert(task.to_owned(), slot + limit.spacing());
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_of_a_rate_are_spaced() {
        let mut rates = Rates::default();
        let now = Instant::now();
        assert_eq!(rates.slot("t", now), now);
        rates.set("t", "10/s".parse().ok());
        let slots: Vec<_> = (0..3).map(|_| rates.slot("t", now) - now).collect();
        assert_eq!(slots, [0, 100, 200].map(Duration::from_millis));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(
            rates.slot("t", Instant::now()),
            Instant::now(),
            "time that passed is no credit"
        );
        rates.set("t", None);
        assert_eq!(rates.slot("t", now), now);
    }
}
