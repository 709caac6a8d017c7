//! What the feed says of itself: log, metrics, health, and the list of issues to be polled.
//!
//! The feed is *up* when every wanted registration with a slot stands, *degraded* when something of
//! it is missing, refused or polled, or when one of several sessions is away, and *down* while no
//! session is there.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::poll::PolledIssues;
use crate::kis::subscriptions::{Refused, Registration};
use crate::kis::{FeedEvent, Tr};
use crate::market::Symbol;
use crate::messages::health::{Component, HealthRegistry, HealthState};

/// Names listed in a line of text; the rest is counted.
const NAMED: usize = 8;

#[derive(Debug, Default)]
struct State {
    /// Sessions that are away, and why.
    lost: BTreeMap<usize, String>,
    refused: Vec<Refused>,
    unplaced: Vec<Registration>,
    missing: Vec<Registration>,
    notices_unreadable: bool,
    /// Issues of which reference data has not come yet.
    without_reference: usize,
    complete: bool,
}

/// Takes in the feed's events.
#[derive(Debug)]
pub(super) struct Watcher {
    health: HealthRegistry,
    polled: PolledIssues,
    sessions: usize,
    state: Mutex<State>,
}

impl Watcher {
    pub(super) fn new(health: HealthRegistry, polled: PolledIssues, sessions: usize) -> Self {
        Self { health, polled, sessions, state: Mutex::default() }
    }

    pub(super) fn take(&self, event: FeedEvent) {
        let mut state = self.state.lock();
        match event {
            FeedEvent::Connected { session } => {
                tracing::info!(session, "the feed is connected");
                state.lost.remove(&session);
                state.notices_unreadable = false;
                state.complete = false;
            }
            FeedEvent::Subscribed { confirmed, slots, refused, left_out } => {
                tracing::info!(
                    confirmed,
                    slots,
                    refused = refused.len(),
                    unplaced = state.unplaced.len(),
                    left_out = left_out.len(),
                    "the feed is subscribed"
                );
                for refusal in refused.iter().filter(|refusal| !state.refused.contains(refusal)) {
                    tracing::warn!(
                        registration = %refusal.registration,
                        code = refusal.code,
                        message = refusal.message,
                        "a registration was refused"
                    );
                }
                registrations("confirmed", confirmed);
                registrations("refused", refused.len());
                registrations("missing", 0);
                state.refused = refused;
                state.missing.clear();
                state.complete = true;
            }
            FeedEvent::Unplaced(unplaced) => {
                let (trades, others): (Vec<Registration>, Vec<Registration>) =
                    unplaced.iter().partition(|registration| registration.tr == Tr::Trade);
                if !trades.is_empty() {
                    tracing::warn!(
                        count = trades.len(),
                        which = named(&trades),
                        "no registration is left for these trades: they are polled"
                    );
                }
                if !others.is_empty() {
                    tracing::info!(
                        count = others.len(),
                        which = named(&others),
                        "no registration is left for these; order books take turns"
                    );
                }
                registrations("unplaced", unplaced.len());
                state.unplaced = unplaced;
            }
            FeedEvent::Incomplete { missing } => {
                tracing::error!(
                    count = missing.len(),
                    which = named(&missing),
                    "registrations are not confirmed in time"
                );
                registrations("missing", missing.len());
                state.missing = missing;
            }
            FeedEvent::Mute { session, registration } => {
                tracing::warn!(session, %registration, "a registration was mute and is asked for anew");
                metrics::counter!("bongsu_feed_mute_total").increment(1);
            }
            FeedEvent::Lost { session, cause, retry_in } => {
                tracing::warn!(session, %cause, ?retry_in, "a session of the feed was lost");
                metrics::counter!("bongsu_feed_losses_total", "cause" => cause.as_str())
                    .increment(1);
                state.lost.insert(session, cause.to_string());
                state.complete = false;
            }
            FeedEvent::GivenUp { session, why } => {
                tracing::error!(session, why, "a session of the feed is given up");
                state.lost.insert(session, why);
            }
            FeedEvent::UnreadableNotice { session, why } => {
                tracing::warn!(session, %why, "an account notice cannot be read");
                state.notices_unreadable = true;
            }
        }
        self.polled.set(state.polled());
        self.health.set(Component::Feed, state.health(self.sessions));
    }

    /// Reference data of so many issues has not come yet.
    pub(super) fn without_reference(&self, issues: usize) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.without_reference, issues);
        // Before a session is there, the feed has nothing to say of itself yet.
        if before != issues && (state.complete || !state.lost.is_empty()) {
            self.health.set(Component::Feed, state.health(self.sessions));
        }
    }
}

impl State {
    /// Issues without a standing registration of their trades.
    fn polled(&self) -> Vec<Symbol> {
        let refused = self.refused.iter().map(|refused| refused.registration);
        let mut issues: Vec<Symbol> = (self.unplaced.iter().copied().chain(refused))
            .filter(|registration| registration.tr == Tr::Trade)
            .filter_map(|registration| registration.key.symbol())
            .collect();
        issues.dedup();
        issues
    }

    fn health(&self, sessions: usize) -> HealthState {
        let causes: Vec<&str> = self.lost.values().map(String::as_str).collect();
        if self.lost.len() >= sessions {
            return HealthState::down(causes.join("; "));
        }
        let mut reasons = Vec::new();
        if !self.lost.is_empty() {
            reasons.push(format!(
                "{} of {sessions} sessions are away: {}",
                self.lost.len(),
                causes.join("; ")
            ));
        }
        if !self.missing.is_empty() {
            reasons.push(format!("not confirmed: {}", named(&self.missing)));
        }
        if !self.refused.is_empty() {
            let refused: Vec<Registration> =
                self.refused.iter().map(|refused| refused.registration).collect();
            reasons.push(format!("refused ({}): {}", self.refused[0].code, named(&refused)));
        }
        let polled = self.polled();
        if !polled.is_empty() {
            reasons.push(format!("{} issues have no registration and are polled", polled.len()));
        }
        if self.without_reference > 0 {
            reasons.push(format!(
                "{} issues without reference data of the day (name, base price, daily closes): asked for again",
                self.without_reference
            ));
        }
        if self.notices_unreadable {
            reasons.push("account notices cannot be decrypted".to_owned());
        }
        match (reasons.is_empty(), self.complete) {
            (false, _) => HealthState::degraded(reasons.join("; ")),
            (true, true) => HealthState::Up,
            (true, false) => HealthState::degraded("subscribing".to_owned()),
        }
    }
}

fn registrations(state: &'static str, count: usize) {
    metrics::gauge!("bongsu_feed_registrations", "state" => state).set(count as f64);
}

/// The first few by name.
fn named(registrations: &[Registration]) -> String {
    let mut names: Vec<String> =
        registrations.iter().take(NAMED).map(ToString::to_string).collect();
    if registrations.len() > NAMED {
        names.push(format!("and {} more", registrations.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kis::LossCause;

    fn trade(number: usize) -> Registration {
        Registration::of(Tr::Trade, format!("{number:06}").parse().unwrap())
    }

    fn subscribed(refused: Vec<Refused>) -> FeedEvent {
        FeedEvent::Subscribed { confirmed: 2, slots: Some(41), refused, left_out: Vec::new() }
    }

    #[test]
    fn health_names_what_is_not_whole() {
        let (health, polled) = (HealthRegistry::new(), PolledIssues::default());
        health.declare(Component::Feed, true);
        let watcher = Watcher::new(health.clone(), polled.clone(), 2);
        let reason =
            || match health.snapshot().into_iter().find(|one| one.component == Component::Feed) {
                Some(one) => format!("{:?}", one.state),
                None => String::new(),
            };
        watcher.take(FeedEvent::Connected { session: 0 });
        watcher.take(FeedEvent::Unplaced(vec![trade(7), trade(8)]));
        let refused =
            Refused { registration: trade(9), code: "OPSP8992".into(), message: "".into() };
        watcher.take(subscribed(vec![refused]));
        assert_eq!(polled.get().len(), 3, "what is refused is polled too");
        assert!(reason().contains("OPSP8992") && reason().contains("3 issues"), "{}", reason());
        watcher.take(FeedEvent::Unplaced(Vec::new()));
        watcher.take(subscribed(Vec::new()));
        assert_eq!(reason(), "Up");
        watcher.without_reference(3);
        assert!(reason().contains("3 issues without reference data"), "{}", reason());
        watcher.without_reference(0);
        assert_eq!(reason(), "Up");
        let lost = |session| FeedEvent::Lost {
            session,
            cause: LossCause::InUse,
            retry_in: Duration::from_secs(1),
        };
        watcher.take(lost(0));
        assert!(reason().contains("1 of 2 sessions"), "{}", reason());
        watcher.take(lost(1));
        assert!(reason().starts_with("Down"), "{}", reason());
    }

    #[test]
    fn long_lists_are_counted() {
        let many: Vec<_> = (1..=20).map(trade).collect();
        assert!(named(&many).ends_with("and 12 more"));
    }
}
