//! The wall clock of the REST client, as a value that tests can replace.
//!
//! Token lives, cooldowns and blocks are counted in wall time because they outlive the process. They
//! read it here and nowhere else, so a test can let days pass.

use std::fmt;
use std::sync::Arc;

use crate::market::EventTime;

/// Tells the present instant. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> EventTime + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(super::now)
    }

    /// The clock that `tell` is.
    #[must_use]
    pub fn new(tell: impl Fn() -> EventTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> EventTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A clock that stands at `start` and goes with tokio's time, paused or not.
    pub(in crate::kis) fn following_tokio(start: EventTime) -> Clock {
        let begin = tokio::time::Instant::now();
        Clock::new(move || {
            start.plus_micros(i64::try_from(begin.elapsed().as_micros()).unwrap_or(i64::MAX))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_what_it_was_given() {
        let clock = following_tokio(EventTime::from_micros(7));
        tokio::time::advance(std::time::Duration::from_micros(5)).await;
        assert_eq!(clock.now().micros(), 12);
    }
}
