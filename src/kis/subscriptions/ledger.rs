//! The registrations of one session, from wanted to live.
//!
//! One request is under way at a time: KIS's answers do not always say what they answer. What is
//! wanted may change while the session lives; the ledger then leaves what is no longer wanted and
//! asks for what is new.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::time::Instant;

use super::{MuteLimits, Pulse, Refused, Registration};
use crate::kis::Tr;
use crate::kis::control::{Ack, AckCode};

/// Times one registration is asked for when no answer comes or KIS has trouble.
const MAX_ATTEMPTS: u32 = 2;
/// A registration that was given up for trouble at KIS is asked for again after this …
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// … and at most after this.
const RETRY_CAP: Duration = Duration::from_secs(300);

/// Where a registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Not asked for yet.
    Wanted,
    /// Asked for; the answer is to come.
    Requested,
    /// Granted; nothing has come of it yet.
    Acknowledged,
    /// Granted, and data has come.
    Live,
    /// Granted, and shown to be silent while the exchange goes on.
    Mute,
    /// Being given up.
    Leaving,
    /// Not granted.
    Refused {
        /// KIS's code, or `no_answer`.
        code: String,
        /// KIS's text.
        message: String,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `tr_type` 1.
    Subscribe,
    /// `tr_type` 2.
    Unsubscribe,
}

/// What an acknowledgement means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taken down; go on.
    Noted,
    /// About nothing that was asked for.
    Unrelated,
    /// The session cannot go on.
    Over(AckCode),
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    attempts: u32,
    pulse: Pulse,
    /// Times it was found mute in this session.
    muted: u32,
    /// When a refusal that may pass is put to the test again.
    retry_at: Option<Instant>,
    /// Times it was refused so.
    passing: u32,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            standing: Standing::Wanted,
            attempts: 0,
            pulse: Pulse::new(now),
            muted: 0,
            retry_at: None,
            passing: 0,
        }
    }

    /// A refusal that may pass: tried again after a while that doubles.
    fn retry_later(&mut self, now: Instant) {
        let pause = RETRY_FIRST * (1 << self.passing.min(8));
        self.passing = self.passing.saturating_add(1);
        self.retry_at = Some(now + pause.min(RETRY_CAP));
    }

    fn stands(&self) -> bool {
        matches!(self.standing, Standing::Acknowledged | Standing::Live | Standing::Mute)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: IndexMap<Registration, Entry, FxBuildHasher>,
    queue: VecDeque<(Registration, Action)>,
    outstanding: Option<(Registration, Action)>,
    /// The server grants no more than stood when it said so.
    limit: Option<usize>,
}

impl Ledger {
    /// The ledger of a new session: everything is wanted, nothing asked for.
    #[must_use]
    pub fn new(target: &[Registration], now: Instant) -> Self {
        let mut ledger = Self::default();
        ledger.retarget(target, now);
        ledger
    }

    /// Takes note of what is wanted from now on.
    pub fn retarget(&mut self, target: &[Registration], now: Instant) {
        let wanted: std::collections::BTreeSet<Registration> = target.iter().copied().collect();
        self.queue.retain(|(registration, action)| {
            *action == Action::Unsubscribe || wanted.contains(registration)
        });
        let gone: Vec<Registration> =
            self.entries.keys().filter(|known| !wanted.contains(*known)).copied().collect();
        for registration in gone {
            let entry = &mut self.entries[&registration];
            match entry.standing {
                Standing::Leaving => {}
                Standing::Wanted | Standing::Refused { .. } => {
                    self.entries.shift_remove(&registration);
                }
                _ => {
                    entry.standing = Standing::Leaving;
                    entry.attempts = 0;
                    // Leaving comes first: it makes room for what is asked for next.
                    self.queue.push_front((registration, Action::Unsubscribe));
                }
            }
        }
        for registration in target {
            let known = self.entries.get_mut(registration);
            let begins = match known {
                None => {
                    self.entries.insert(*registration, Entry::new(now));
                    true
                }
                Some(entry) if entry.standing == Standing::Leaving => {
                    entry.standing = Standing::Wanted;
                    entry.attempts = 0;
                    true
                }
                Some(_) => false,
            };
            if begins {
                self.queue.push_back((*registration, Action::Subscribe));
            }
        }
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Whether there is nothing left to ask and nothing to wait for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outstanding.is_none() && self.queue.is_empty()
    }

    /// The next request; `None` while one waits or when all are settled.
    pub fn next_request(&mut self) -> Option<(Registration, Action)> {
        if self.outstanding.is_some() {
            return None;
        }
        loop {
            let (registration, action) = self.queue.pop_front()?;
            let Some(entry) = self.entries.get_mut(&registration) else { continue };
            // An answer that came late may have settled it.
            let due = match action {
                Action::Subscribe => entry.standing == Standing::Wanted,
                // A mute one that speaks again is left alone.
                Action::Unsubscribe => {
                    matches!(entry.standing, Standing::Leaving | Standing::Mute)
                }
            };
            if !due {
                continue;
            }
            if action == Action::Subscribe {
                entry.standing = Standing::Requested;
            }
            entry.attempts += 1;
            self.outstanding = Some((registration, action));
            return self.outstanding;
        }
    }

    /// Takes down an answer.
    pub fn acknowledge(&mut self, ack: &Ack, now: Instant) -> Verdict {
        if matches!(
            ack.code,
            AckCode::AppKeyInUse | AckCode::InvalidApproval | AckCode::InvalidAppKey
        ) {
            return Verdict::Over(ack.code);
        }
        let Some(registration) = self.find(ack) else { return Verdict::Unrelated };
        let asked = self.outstanding.filter(|(waiting, _)| *waiting == registration);
        if asked.is_some() {
            self.outstanding = None;
        }
        let leaving = match asked {
            Some((_, action)) => action == Action::Unsubscribe,
            None => matches!(ack.code, AckCode::Unsubscribed | AckCode::NotSubscribed),
        };
        if leaving {
            self.left(registration, now);
        } else {
            self.answered(registration, ack, now);
        }
        Verdict::Noted
    }

    /// A registration is given up: gone, or asked for anew when it is still wanted.
    fn left(&mut self, registration: Registration, now: Instant) {
        let Some(entry) = self.entries.get_mut(&registration) else { return };
        match entry.standing {
            Standing::Leaving => {
                self.entries.shift_remove(&registration);
            }
            Standing::Mute | Standing::Live | Standing::Acknowledged => {
                entry.standing = Standing::Wanted;
                entry.attempts = 0;
                entry.pulse = Pulse::new(now);
                self.queue.push_front((registration, Action::Subscribe));
            }
            // Wanted again in the meantime: its request is queued.
            _ => {}
        }
    }

    fn answered(&mut self, registration: Registration, ack: &Ack, now: Instant) {
        let stands = self.confirmed();
        let Some(entry) = self.entries.get_mut(&registration) else { return };
        if entry.standing == Standing::Leaving {
            // Granted after all; the request to leave is queued.
            return;
        }
        let retry = ack.code.is_retryable() && entry.attempts < MAX_ATTEMPTS;
        if ack.code.is_success() {
            entry.standing = Standing::Acknowledged;
            entry.pulse = Pulse::new(now);
        } else if retry {
            entry.standing = Standing::Wanted;
            self.queue.push_back((registration, Action::Subscribe));
        } else {
            let refused =
                Standing::Refused { code: ack.msg_cd.clone(), message: ack.message.clone() };
            entry.standing = refused.clone();
            if ack.code.is_retryable() {
                entry.retry_later(now);
            }
            if ack.code == AckCode::LimitReached {
                self.limit = Some(stands);
                // The rest would be refused one by one, for the same reason.
                let rest = std::mem::take(&mut self.queue);
                for (registration, action) in rest {
                    if action == Action::Unsubscribe {
                        self.queue.push_back((registration, action));
                    } else if let Some(entry) = self.entries.get_mut(&registration) {
                        entry.standing = refused.clone();
                    }
                }
            }
        }
    }

    /// The registration an answer is about: by feed and key, or the one that waits when the answer
    /// names neither.
    fn find(&self, ack: &Ack) -> Option<Registration> {
        let matches = |registration: &Registration| {
            registration.tr.as_str() == ack.tr_id && registration.key.as_str() == ack.tr_key
        };
        // A wrong HTS id is answered without feed and key.
        let unnamed = ack.tr_id.is_empty();
        self.outstanding
            .map(|(waiting, _)| waiting)
            .filter(|waiting| unnamed || matches(waiting))
            .or_else(|| self.entries.keys().find(|known| matches(known)).copied())
    }

    /// The answer did not come in time: asked again at the end, then given up.
    pub fn no_answer(&mut self, now: Instant) {
        let Some((registration, action)) = self.outstanding.take() else { return };
        let Some(entry) = self.entries.get_mut(&registration) else { return };
        if action == Action::Subscribe && entry.standing != Standing::Requested {
            // No longer wanted: the request to leave is queued.
            return;
        }
        if entry.attempts < MAX_ATTEMPTS {
            if action == Action::Subscribe {
                entry.standing = Standing::Wanted;
            }
            self.queue.push_back((registration, action));
        } else if action == Action::Unsubscribe {
            self.left(registration, now);
        } else {
            let message = "no acknowledgement".to_owned();
            entry.standing = Standing::Refused { code: "no_answer".to_owned(), message };
            entry.retry_later(now);
        }
    }

    /// Asks again for what was given up for trouble that may have passed by `now`.
    pub fn retry_given_up(&mut self, now: Instant) {
        for (registration, entry) in &mut self.entries {
            if entry.retry_at.is_some_and(|at| now >= at) {
                entry.retry_at = None;
                entry.attempts = 0;
                entry.standing = Standing::Wanted;
                self.queue.push_back((*registration, Action::Subscribe));
            }
        }
    }

    /// When [`Self::retry_given_up`] has something to do next.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.retry_at).min()
    }

    /// A message of `registration` came. True when it stands since then only: its acknowledgement was
    /// lost, but data is as good.
    pub fn beat(&mut self, registration: &Registration, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(registration) else { return false };
        entry.pulse.beat(now);
        match &entry.standing {
            Standing::Acknowledged | Standing::Mute => {
                entry.standing = Standing::Live;
                false
            }
            Standing::Refused { code, .. } if code == "no_answer" => {
                entry.standing = Standing::Live;
                entry.retry_at = None;
                true
            }
            _ => false,
        }
    }

    /// Registrations whose silence is suspicious at `now`, each told once until its next suspicion
    /// is due, the busiest first. Silence before `active` does not count. Only feeds that never rest
    /// are looked at.
    pub fn suspects(
        &mut self,
        now: Instant,
        active: Instant,
        limits: &MuteLimits,
    ) -> Vec<Registration> {
        let mut suspects = Vec::new();
        for (registration, entry) in &mut self.entries {
            let watched = matches!(registration.tr, Tr::Trade | Tr::Index);
            if watched && entry.stands() && now >= entry.pulse.suspicious_at(active, limits) {
                entry.pulse.suspected();
                suspects.push((entry.pulse.interval(), *registration));
            }
        }
        // Those that were never heard last.
        suspects.sort_by_key(|(interval, _)| interval.unwrap_or(Duration::MAX));
        suspects.into_iter().map(|(_, registration)| registration).collect()
    }

    /// When [`Self::suspects`] has something to say next.
    #[must_use]
    pub fn next_suspicion(&self, active: Instant, limits: &MuteLimits) -> Option<Instant> {
        let watched = self.entries.iter().filter(|(registration, entry)| {
            matches!(registration.tr, Tr::Trade | Tr::Index) && entry.stands()
        });
        watched.map(|(_, entry)| entry.pulse.suspicious_at(active, limits)).min()
    }

    /// Whether a message of `registration` has come since `since`.
    #[must_use]
    pub fn has_beaten_since(&self, registration: &Registration, since: Instant) -> bool {
        self.entries.get(registration).is_some_and(|entry| entry.pulse.has_beaten_since(since))
    }

    /// A registration is proven mute: it is left and asked for anew. Returns how often that has
    /// happened in this session, 0 when it is not there.
    pub fn mute(&mut self, registration: &Registration) -> u32 {
        let Some(entry) = self.entries.get_mut(registration).filter(|entry| entry.stands()) else {
            return 0;
        };
        entry.standing = Standing::Mute;
        entry.attempts = 0;
        entry.muted += 1;
        self.queue.push_back((*registration, Action::Unsubscribe));
        self.entries[registration].muted
    }

    /// Number of registrations that stand.
    #[must_use]
    pub fn confirmed(&self) -> usize {
        self.entries.values().filter(|entry| entry.stands()).count()
    }

    /// The registrations that stand.
    pub fn standing(&self) -> impl Iterator<Item = Registration> + '_ {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.stands())
            .map(|(registration, _)| *registration)
    }

    /// Registrations that have had data, and those that stand and have not.
    #[must_use]
    pub fn live(&self) -> (usize, usize) {
        let live = self.entries.values().filter(|entry| entry.standing == Standing::Live).count();
        (live, self.confirmed() - live)
    }

    /// Registrations the server has granted at most, once it has refused one for that reason.
    #[must_use]
    pub const fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// What was refused, in the order in which it was wanted.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        let refused = |(registration, entry): (&Registration, &Entry)| match &entry.standing {
            Standing::Refused { code, message } => Some(Refused {
                registration: *registration,
                code: code.clone(),
                message: message.clone(),
            }),
            _ => None,
        };
        self.entries.iter().filter_map(refused).collect()
    }
}

#[cfg(test)]
mod tests;
