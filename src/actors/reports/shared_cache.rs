//! The cache of accepted answers on Redis, which all processes of an installation share.
//!
//! Keys are `bongsu:llm:<digest>`, each with its TTL. A Redis that is away, slow or full is passed
//! over: the answer is asked for once more, nothing else.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{ConnectHandle, Expiration};

use crate::bus::{BusError, redis_connection};
use crate::llm::cache::{Answer, SharedCache};

const PREFIX: &str = "bongsu:llm:";
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A connection of its own.
pub struct RedisCache {
    client: Client,
    connection: ConnectHandle,
}

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("connected", &self.client.is_connected()).finish()
    }
}

impl RedisCache {
    /// Starts to connect and returns at once. Must be called on the runtime of the process's I/O.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn start(url: &str) -> Result<Self, BusError> {
        let client = redis_connection(url, CONNECT_WITHIN)?;
        let connection = client.connect();
        Ok(Self { client, connection })
    }
}

impl Drop for RedisCache {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl SharedCache for RedisCache {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            if !self.client.is_connected() {
                return None;
            }
            match self.client.get::<Option<String>, _>(format!("{PREFIX}{key}")).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(error = error.details(), "the cache of answers cannot be read");
                    None
                }
            }
        })
    }

    fn put<'a>(&'a self, key: &'a str, text: String, ttl: Duration) -> Answer<'a, ()> {
        Box::pin(async move {
            if !self.client.is_connected() {
                return;
            }
            let expires = Expiration::EX(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1));
            let key = format!("{PREFIX}{key}");
            let kept = self.client.set::<(), _, _>(key, text, Some(expires), None, false).await;
            if let Err(error) = kept {
                tracing::debug!(error = error.details(), "an answer cannot be put into the cache");
            }
        })
    }
}
