//! What each component says of itself: the state behind `/readyz`, health events and
//! `bongsu_dependency_up`.
//!
//! Every part that owns a connection or a file reports here; whoever wants to know reads a
//! snapshot or follows the changes. Components are an enum, so that the metric's labels are
//! bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::event::deterministic_id;
use super::{EventKind, OutwardEvent};
use crate::market::EventTime;

/// Something that can fail on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The connection to the exchange feed.
    Feed,
    /// The local journal.
    Journal,
    /// The actors of the hot path.
    Pipeline,
    /// The database.
    Database,
    /// Redis: outward events, tasks.
    Redis,
    /// The channel layer of a Django back end.
    Channels,
    /// The object store.
    Objects,
    /// The language model's endpoint.
    Llm,
    /// The task queue and its workers.
    Tasks,
    /// Slack and mail.
    Notifier,
    /// What is asked of KIS besides the feed.
    Collection,
    /// Sealed segments of the journal, on their way into the object store.
    Archive,
    /// The fitted model that scores are made with.
    Model,
    /// What starts the planned runs of `jobs.yaml`.
    Scheduler,
}

impl Component {
    /// All components, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Feed,
        Self::Journal,
        Self::Pipeline,
        Self::Database,
        Self::Redis,
        Self::Channels,
        Self::Objects,
        Self::Llm,
        Self::Tasks,
        Self::Notifier,
        Self::Collection,
        Self::Archive,
        Self::Model,
        Self::Scheduler,
    ];

    /// As in events, `/readyz` and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Journal => "journal",
            Self::Pipeline => "pipeline",
            Self::Database => "database",
            Self::Redis => "redis",
            Self::Channels => "channels",
            Self::Objects => "objects",
            Self::Llm => "llm",
            Self::Tasks => "tasks",
            Self::Notifier => "notifier",
            Self::Collection => "collection",
            Self::Archive => "archive",
            Self::Model => "model",
            Self::Scheduler => "scheduler",
        }
    }
}

/// How a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthState {
    /// Works.
    Up,
    /// Works with a restriction.
    Degraded {
        /// Which, and what follows from it.
        reason: String,
    },
    /// Does not work.
    Down {
        /// Why; no secrets.
        reason: String,
    },
}

impl HealthState {
    /// Degraded for this reason.
    #[must_use]
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self::Degraded { reason: reason.into() }
    }

    /// Down for this reason.
    #[must_use]
    pub fn down(reason: impl Into<String>) -> Self {
        Self::Down { reason: reason.into() }
    }

    /// `up`, `degraded` or `down`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded { .. } => "degraded",
            Self::Down { .. } => "down",
        }
    }

    /// The reason, when it is not up.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Up => None,
            Self::Degraded { reason } | Self::Down { reason } => Some(reason),
        }
    }
}

/// One component's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentHealth {
    /// Which.
    pub component: Component,
    /// How it is.
    pub state: HealthState,
    /// Whether the daemon is not ready without it.
    pub required: bool,
    /// What else is to be said of it, in any state; empty for nothing.
    pub note: String,
    /// Since when it is `up`, `degraded` or `down`, by the wall clock.
    pub since: EventTime,
}

impl ComponentHealth {
    /// The outward event of the change to this state. The cause of a health change is a moment of
    /// this machine, so that moment is its identity.
    #[must_use]
    pub fn event(&self) -> OutwardEvent {
        let name = self.component.as_str();
        let moment = self.since.micros().to_string();
        let id = deterministic_id(&["health", name, self.state.as_str(), &moment]);
        let data = serde_json::json!({
            "component": name,
            "state": self.state.as_str(),
            "reason": self.state.reason(),
            "required": self.required,
            "event_time": self.since.rfc3339(),
        });
        OutwardEvent::new(EventKind::Health, id, name, name, self.since, &data)
    }
}

/// Changes that a follower may lag behind: each component flapping some 25 times.
const CHANGES: usize = 256;

/// The state of all components. Shared, cheap to clone.
#[derive(Debug, Clone)]
pub struct HealthRegistry {
    lines: Arc<Mutex<BTreeMap<Component, ComponentHealth>>>,
    changes: broadcast::Sender<ComponentHealth>,
}

impl Default for HealthRegistry {
    fn default() -> Self {
        Self { lines: Arc::default(), changes: broadcast::channel(CHANGES).0 }
    }
}

/// The wall clock: when a component changed is a fact about this machine, not about the market.
fn now() -> EventTime {
    // tidy: allow(wall-clock): no decision about the market rests on it.
    EventTime::from_micros(chrono::Utc::now().timestamp_micros())
}

fn show(component: Component, state: &HealthState) {
    let up = if matches!(state, HealthState::Down { .. }) { 0.0 } else { 1.0 };
    metrics::gauge!("bongsu_dependency_up", "dependency" => component.as_str()).set(up);
}

impl HealthRegistry {
    /// A registry without components.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces a component that is in use: down until it reports. What is already known of it
    /// stays.
    pub fn declare(&self, component: Component, required: bool) {
        let mut lines = self.lines.lock();
        let line = lines.entry(component).or_insert_with(|| {
            let state = HealthState::down("not started yet");
            show(component, &state);
            ComponentHealth { component, state, required, note: String::new(), since: now() }
        });
        line.required = required;
    }

    /// Takes in how a component is; an unannounced one counts as not required. Returns whether it
    /// changed between up, degraded and down; only such a change moves `since` and is told to
    /// followers.
    pub fn set(&self, component: Component, state: HealthState) -> bool {
        let mut lines = self.lines.lock();
        show(component, &state);
        let line = match lines.get_mut(&component) {
            Some(line) if line.state.as_str() == state.as_str() => {
                line.state = state;
                return false;
            }
            Some(line) => {
                line.state = state;
                line.since = now();
                line.clone()
            }
            None => {
                let (required, note) = (false, String::new());
                let line = ComponentHealth { component, state, required, note, since: now() };
                lines.insert(component, line.clone());
                line
            }
        };
        // Sent under the lock, so that followers see changes in order. No follower is fine.
        let _ = self.changes.send(line);
        true
    }

    /// Says something of a component that is no matter of up or down; no change that is told to
    /// followers. One that is not announced is not described.
    pub fn describe(&self, component: Component, note: &str) {
        if let Some(line) = self.lines.lock().get_mut(&component) {
            note.clone_into(&mut line.note);
        }
    }

    /// How one component is; `None` when it is not in use.
    #[must_use]
    pub fn get(&self, component: Component) -> Option<ComponentHealth> {
        self.lines.lock().get(&component).cloned()
    }

    /// All components in use, in the order of [`Component::ALL`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<ComponentHealth> {
        self.lines.lock().values().cloned().collect()
    }

    /// Whether every required component is at least degraded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let lines = self.lines.lock();
        lines.values().all(|l| !l.required || !matches!(l.state, HealthState::Down { .. }))
    }

    /// Follows the changes from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<ComponentHealth> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_kind_is_a_change() {
        let health = HealthRegistry::new();
        let mut changes = health.changes();
        health.declare(Component::Redis, false);
        health.declare(Component::Journal, true);
        assert!(!health.is_ready());
        assert!(health.set(Component::Journal, HealthState::Up));
        assert!(health.is_ready());
        assert!(!health.set(Component::Redis, HealthState::down("refused")));
        assert!(health.set(Component::Redis, HealthState::Up));
        assert!(!health.set(Component::Redis, HealthState::Up));
        assert_eq!(changes.try_recv().unwrap().component, Component::Journal);
        let redis = changes.try_recv().unwrap();
        assert_eq!(redis.event().channel, "bongsu.health.redis");
        assert_eq!(redis.event().id, redis.event().id);
        assert!(changes.try_recv().is_err());
        let order: Vec<_> = health.snapshot().iter().map(|l| l.component).collect();
        assert_eq!(order, [Component::Journal, Component::Redis]);
    }
}
