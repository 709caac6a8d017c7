//! What the Alert actor holds: one call that sends a batch to everyone.

use std::sync::Arc;

use super::channels::ChannelsSink;
use super::redis::RedisPublisher;
use crate::messages::{EventBus, KeptEvent, OutwardEvent};

/// What became of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Events the outside has for sure: acknowledged by Redis, or, without Redis, on the
    /// in-process bus.
    pub acknowledged: usize,
    /// Events that wait for Redis; they are sent late, in order.
    pub pending: usize,
    /// Events let go because too many wait: scores replaced by newer ones, or beyond the limits.
    /// May count events of earlier batches.
    pub dropped: usize,
    /// Events seen for the first time by the in-process bus.
    pub fresh: usize,
}

/// Publishes to the in-process bus and, when set, to Redis and a channel layer. Cheap to clone; clones share the
/// connection and what waits for it, so an actor that is replaced goes on with a clone and loses
/// nothing. One at a time should publish: with several, the order between them is arbitrary.
#[derive(Debug, Clone)]
pub struct Publisher {
    bus: EventBus,
    redis: Option<Arc<RedisPublisher>>,
    channels: Option<Arc<ChannelsSink>>,
    latency: Latency,
    tap: Option<Tap>,
}

type Look = dyn Fn(&[Arc<OutwardEvent>]) + Send + Sync;

/// Sees every event that is published, in order.
#[derive(Clone)]
struct Tap(Arc<Look>);

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// Observes `bongsu_tick_to_publish_seconds` of acknowledged events.
#[derive(Clone)]
pub(super) struct Latency {
    seconds: metrics::Histogram,
    observer: Option<LatencyObserver>,
}

/// Where times from reception to acknowledgement are noted besides the metric, microseconds.
pub type LatencyObserver = Arc<parking_lot::Mutex<hdrhistogram::Histogram<u64>>>;

impl std::fmt::Debug for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Latency")
    }
}

impl Latency {
    pub(super) fn new(observer: Option<LatencyObserver>) -> Self {
        Self { seconds: metrics::histogram!("bongsu_tick_to_publish_seconds"), observer }
    }

    /// The acknowledgement of `events` has just come. Events without a frame behind them are
    /// skipped; a clock set back counts as no time.
    pub(super) fn acknowledged<'a>(&self, events: impl IntoIterator<Item = &'a OutwardEvent>) {
        let now_us = chrono::Utc::now().timestamp_micros();
        for event in events {
            if event.received_us > 0 {
                let micros = (now_us - event.received_us).max(0);
                self.seconds.record(micros as f64 / 1e6);
                if let Some(observer) = &self.observer {
                    observer.lock().saturating_record(micros.unsigned_abs());
                }
            }
        }
    }
}

impl Publisher {
    /// A publisher to `bus` and, when given, to Redis.
    #[must_use]
    pub fn new(bus: EventBus, redis: Option<RedisPublisher>) -> Self {
        let (redis, latency) = (redis.map(Arc::new), Latency::new(None));
        Self { bus, redis, channels: None, latency, tap: None }
    }

    /// Sends to a group of a channel layer too.
    #[must_use]
    pub fn with_channels(mut self, channels: Option<ChannelsSink>) -> Self {
        self.channels = channels.map(Arc::new);
        self
    }

    /// Shows every event to `tap` before it is published: for a replay, which needs them all.
    pub fn set_tap(&mut self, tap: impl Fn(&[Arc<OutwardEvent>]) + Send + Sync + 'static) {
        self.tap = Some(Tap(Arc::new(tap)));
    }

    /// Sends `events`, in order. Never fails: what cannot be sent now waits. Dropping the future
    /// loses nothing; a score may then be published twice.
    pub async fn publish(&self, events: Vec<Arc<OutwardEvent>>) -> PublishOutcome {
        if let Some(tap) = &self.tap {
            (tap.0)(&events);
        }
        let fresh = self.bus.publish(&events);
        // Waits for nothing, and Redis does not wait for it.
        if let Some(channels) = &self.channels {
            channels.push(&events);
        }
        match &self.redis {
            Some(redis) => PublishOutcome { fresh, ..redis.publish(events).await },
            None => {
                self.latency.acknowledged(events.iter().map(AsRef::as_ref));
                PublishOutcome { acknowledged: events.len(), fresh, ..PublishOutcome::default() }
            }
        }
    }

    /// The in-process bus.
    #[must_use]
    pub fn bus(&self) -> &EventBus {
        &self.bus
    }

    /// Whether Redis is connected; `None` when it is not used.
    #[must_use]
    pub fn redis_up(&self) -> Option<bool> {
        self.redis.as_ref().map(|redis| redis.up())
    }

    /// Events that wait for Redis.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.redis.as_ref().map_or(0, |redis| redis.pending())
    }

    /// The events that Redis has not acknowledged yet and that are to reach it, oldest first;
    /// without scores.
    #[must_use]
    pub fn unsent(&self) -> Vec<KeptEvent> {
        let waiting = self.redis.as_ref().map(|redis| redis.waiting()).unwrap_or_default();
        let kept = waiting.iter().filter(|event| event.kind.is_kept());
        kept.map(|event| KeptEvent::from(event.as_ref())).collect()
    }

    /// Events that an earlier run could not send: they go before everything else.
    pub fn resume(&self, unsent: Vec<KeptEvent>) {
        if let Some(redis) = &self.redis {
            redis.resume(unsent.into_iter().map(|kept| Arc::new(kept.into())));
        }
    }

    /// Sends what waits, for at most `limit`, and closes the connections. Returns how many events
    /// Redis could not be sent.
    pub async fn close(&self, limit: std::time::Duration) -> usize {
        let redis = async {
            match &self.redis {
                Some(redis) => redis.close(limit).await,
                None => 0,
            }
        };
        let channels = async {
            if let Some(channels) = &self.channels {
                channels.close(limit).await;
            }
        };
        tokio::join!(redis, channels).0
    }
}
