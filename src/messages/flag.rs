//! Something that happens once and can be waited for.

use std::sync::Arc;

use tokio::sync::watch;

/// Set once, by anybody; clones share it.
#[derive(Debug, Clone)]
pub struct Flag(Arc<watch::Sender<bool>>);

impl Flag {
    /// One that is still to be set.
    #[must_use]
    pub fn pending() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// One that is set already.
    #[must_use]
    pub fn already() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }

    /// Sets it.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is set.
    pub async fn wait(&self) {
        // The sender lives as long as `self`: there is no error to be had.
        let _ = self.0.subscribe().wait_for(|set| *set).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_before_and_after() {
        let flag = Flag::pending();
        let waiting = tokio::spawn({
            let flag = flag.clone();
            async move { flag.wait().await }
        });
        assert!(!flag.is_set());
        flag.set();
        waiting.await.unwrap();
        flag.wait().await;
        assert!(flag.is_set() && Flag::already().is_set());
    }
}
