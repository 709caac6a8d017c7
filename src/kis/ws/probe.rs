//! Whether an issue trades although nothing comes: the exchange's own count.
//!
//! Two looks at the day's volume over REST. Growing while the registration is silent proves that it
//! is mute; standing still proves nothing and costs two calls. The looks go on for some rounds,
//! because a quiet stock may not trade between the first two.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::KisAccess;
use crate::kis::subscriptions::Registration;

/// Looks after the first one.
const LOOKS: usize = 4;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub session: usize,
    pub registration: Registration,
    /// Since when a message would have had to come, if it traded.
    pub traded_since: Option<Instant>,
}

/// Looks whether `registration` trades. Fails to find out when REST does not answer.
pub(super) async fn look<K: KisAccess>(
    access: K,
    session: usize,
    registration: Registration,
    every: Duration,
) -> Finding {
    let mut finding = Finding { session, registration, traded_since: None };
    let Some(symbol) = registration.key.symbol() else { return finding };
    let volume = || async {
        match access.traded_volume(symbol).await {
            Ok(volume) => volume,
            Err(error) => {
                tracing::debug!(%registration, %error, "cannot ask whether a silent issue trades");
                None
            }
        }
    };
    let Some(before) = volume().await else { return finding };
    let since = Instant::now();
    for _ in 0..LOOKS {
        sleep(every).await;
        let Some(now) = volume().await else { return finding };
        if now > before {
            // The frame of a trade that has just happened may still be under way.
            sleep(every / 2).await;
            finding.traded_since = Some(since);
            return finding;
        }
    }
    finding
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use secrecy::SecretString;

    use super::*;
    use crate::kis::{KisError, Tr};
    use crate::market::Symbol;

    /// Grows by the given step at each look.
    #[derive(Clone)]
    struct Exchange(Arc<AtomicI64>, i64);

    impl KisAccess for Exchange {
        async fn approval_key(&self) -> Result<SecretString, KisError> {
            Ok("key".into())
        }

        async fn blocked(&self) -> Option<String> {
            None
        }

        async fn traded_volume(&self, _: Symbol) -> Result<Option<i64>, KisError> {
            Ok(Some(self.0.fetch_add(self.1, Ordering::SeqCst)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn growing_volume_is_proof_and_standing_volume_is_none() {
        let registration = Registration::of(Tr::Trade, "005930".parse().unwrap());
        let every = Duration::from_secs(2);
        let look_at = |step| look(Exchange(Arc::default(), step), 0, registration, every);
        let start = Instant::now();
        assert_eq!(look_at(5).await.traded_since, Some(start));
        assert_eq!(start.elapsed(), every + every / 2);
        assert_eq!(look_at(0).await.traded_since, None);
    }
}
