//! What is registered with the feed, in which order, and what came of it.
//!
//! KIS grants 41 registrations a session, all feeds together. The contract: trades of every chosen
//! issue first; free slots go to the indices, then to the market state (one issue is enough, its
//! messages are about the whole market), then to order books. What finds no slot is listed by name,
//! never dropped in silence.

use std::collections::VecDeque;

use super::control::{Ack, AckCode};
use super::{Environment, Tr};
use crate::market::Symbol;

/// Registrations of one session at KIS.
pub const KIS_MAX_REGISTRATIONS: usize = 41;

/// Times one registration is asked for when no answer comes or KIS has trouble.
const MAX_ATTEMPTS: u32 = 2;

/// One feed of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registration {
    /// Feed.
    pub tr: Tr,
    /// Issue code, or sector code of an index.
    pub key: Symbol,
}

/// Why something wanted is not in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftOut {
    /// No free slot.
    Limit,
    /// Paper trading does not carry the feed.
    NotInPaperTrading,
}

/// What a session asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which it is asked for; no registration twice.
    pub wanted: Vec<Registration>,
    /// What is not asked for, and why.
    pub left_out: Vec<(Registration, LeftOut)>,
}

/// What is to be watched.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Issues whose trades are wanted, the most important first.
    pub symbols: Vec<Symbol>,
    /// Sector codes of indices, the most important first.
    pub indices: Vec<Symbol>,
    /// Whether order books of the issues are wanted.
    pub books: bool,
    /// Issue whose market-state messages are wanted.
    pub operation_key: Option<Symbol>,
}

impl Plan {
    /// The plan for `watch` within `max_registrations` (`None`: no limit).
    #[must_use]
    pub fn new(watch: &Watch, environment: Environment, max_registrations: Option<usize>) -> Self {
        let of = |tr, keys: &[Symbol]| -> Vec<Registration> {
            keys.iter().map(|key| Registration { tr, key: *key }).collect()
        };
        let books: &[Symbol] = if watch.books { &watch.symbols } else { &[] };
        let candidates = [
            of(Tr::Trade, &watch.symbols),
            of(Tr::Index, &watch.indices),
            of(Tr::Operation, watch.operation_key.as_slice()),
            of(Tr::Quote, books),
        ];
        let mut seen = std::collections::BTreeSet::new();
        let mut plan = Self::default();
        for registration in candidates.into_iter().flatten() {
            if !seen.insert(registration) {
                continue;
            }
            let paper = matches!(registration.tr, Tr::Trade | Tr::Quote);
            if environment == Environment::Mock && !paper {
                plan.left_out.push((registration, LeftOut::NotInPaperTrading));
            } else if max_registrations.is_some_and(|max| plan.wanted.len() >= max) {
                plan.left_out.push((registration, LeftOut::Limit));
            } else {
                plan.wanted.push(registration);
            }
        }
        plan
    }
}

/// A registration that the server did not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for.
    pub registration: Registration,
    /// KIS's code, or `no_answer`.
    pub code: String,
    /// KIS's text.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Wanted,
    Requested,
    Acknowledged,
    Refused { code: String, message: String },
}

#[derive(Debug)]
struct Entry {
    registration: Registration,
    state: State,
    attempts: u32,
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

/// The registrations of one session: wanted, requested, acknowledged, refused.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    queue: VecDeque<usize>,
    outstanding: Option<usize>,
}

impl Ledger {
    /// The ledger of a new session: everything is wanted, nothing asked for.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let entry = |registration: &Registration| Entry {
            registration: *registration,
            state: State::Wanted,
            attempts: 0,
        };
        let entries: Vec<Entry> = plan.wanted.iter().map(entry).collect();
        Self { queue: (0..entries.len()).collect(), entries, outstanding: None }
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

    /// The next registration to ask for; `None` while one waits or when all are settled.
    pub fn next_request(&mut self) -> Option<Registration> {
        if self.outstanding.is_some() {
            return None;
        }
        loop {
            let index = self.queue.pop_front()?;
            let entry = &mut self.entries[index];
            // An answer that came late may have settled it.
            if entry.state == State::Wanted {
                entry.state = State::Requested;
                entry.attempts += 1;
                self.outstanding = Some(index);
                return Some(entry.registration);
            }
        }
    }

    /// Takes down an answer.
    pub fn acknowledge(&mut self, ack: &Ack) -> Verdict {
        if matches!(
            ack.code,
            AckCode::AppKeyInUse | AckCode::InvalidApproval | AckCode::InvalidAppKey
        ) {
            return Verdict::Over(ack.code);
        }
        let Some(index) = self.find(ack) else { return Verdict::Unrelated };
        if self.outstanding == Some(index) {
            self.outstanding = None;
        }
        let entry = &mut self.entries[index];
        let retry = ack.code.is_retryable() && entry.attempts < MAX_ATTEMPTS;
        if ack.code.is_success() {
            entry.state = State::Acknowledged;
        } else if retry {
            entry.state = State::Wanted;
            self.queue.push_back(index);
        } else {
            let refused = State::Refused { code: ack.msg_cd.clone(), message: ack.message.clone() };
            if ack.code == AckCode::LimitReached {
                // The rest would be refused one by one, for the same reason.
                for rest in self.queue.drain(..) {
                    self.entries[rest].state = refused.clone();
                }
            }
            self.entries[index].state = refused;
        }
        Verdict::Noted
    }

    /// The entry an answer is about: by feed and key, or the one that waits when the answer names
    /// neither.
    fn find(&self, ack: &Ack) -> Option<usize> {
        let matches = |index: &usize| {
            let Registration { tr, key } = self.entries[*index].registration;
            tr.as_str() == ack.tr_id && key.as_str() == ack.tr_key
        };
        let unnamed = ack.tr_id.is_empty() && ack.tr_key.is_empty();
        self.outstanding
            .filter(|index| unnamed || matches(index))
            .or_else(|| (0..self.entries.len()).find(matches))
    }

    /// The answer did not come in time: asked again at the end, then given up.
    pub fn no_answer(&mut self) {
        let Some(index) = self.outstanding.take() else { return };
        let entry = &mut self.entries[index];
        if entry.attempts < MAX_ATTEMPTS {
            entry.state = State::Wanted;
            self.queue.push_back(index);
        } else {
            let message = "no acknowledgement".to_owned();
            entry.state = State::Refused { code: "no_answer".to_owned(), message };
        }
    }

    /// Number of registrations that stand.
    #[must_use]
    pub fn confirmed(&self) -> usize {
        self.entries.iter().filter(|entry| entry.state == State::Acknowledged).count()
    }

    /// What was refused, in the order of the plan.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        let refused = |entry: &Entry| match &entry.state {
            State::Refused { code, message } => Some(Refused {
                registration: entry.registration,
                code: code.clone(),
                message: message.clone(),
            }),
            _ => None,
        };
        self.entries.iter().filter_map(refused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(number: usize) -> Symbol {
        format!("{number:06}").parse().unwrap()
    }

    fn watch(symbols: usize) -> Watch {
        Watch {
            symbols: (1..=symbols).map(code).collect(),
            indices: vec!["0001".parse().unwrap(), "1001".parse().unwrap()],
            books: true,
            operation_key: Some(code(1)),
        }
    }

    fn feeds(plan: &Plan) -> Vec<Tr> {
        let mut feeds: Vec<Tr> = plan.wanted.iter().map(|wanted| wanted.tr).collect();
        feeds.dedup();
        feeds
    }

    fn ack(registration: Registration, code: &str) -> Ack {
        Ack {
            tr_id: registration.tr.as_str().into(),
            tr_key: registration.key.as_str().into(),
            code: AckCode::from_msg_cd(code),
            msg_cd: code.into(),
            message: "text".into(),
            key: None,
            iv: None,
        }
    }

    #[test]
    fn trades_then_indices_then_state_then_books() {
        let plan = Plan::new(&watch(20), Environment::Real, Some(KIS_MAX_REGISTRATIONS));
        assert_eq!(plan.wanted.len(), 41);
        assert_eq!(feeds(&plan), [Tr::Trade, Tr::Index, Tr::Operation, Tr::Quote]);
        assert_eq!(
            plan.left_out,
            [
                (Registration { tr: Tr::Quote, key: code(19) }, LeftOut::Limit),
                (Registration { tr: Tr::Quote, key: code(20) }, LeftOut::Limit),
            ]
        );
        let full = Plan::new(&watch(50), Environment::Real, Some(41));
        assert_eq!((feeds(&full), full.left_out.len()), (vec![Tr::Trade], 9 + 2 + 1 + 50));
        assert_eq!(Plan::new(&watch(50), Environment::Real, None).wanted.len(), 103);
    }

    #[test]
    fn paper_trading_has_no_index_and_an_issue_named_twice_takes_one_slot() {
        let mut doubled = watch(2);
        doubled.symbols.push(code(1));
        let plan = Plan::new(&doubled, Environment::Mock, None);
        assert_eq!(feeds(&plan), [Tr::Trade, Tr::Quote]);
        assert_eq!(plan.wanted.len(), 4);
        assert!(plan.left_out.iter().all(|(_, why)| *why == LeftOut::NotInPaperTrading));
        assert_eq!(plan.left_out.len(), 3);
    }

    #[test]
    fn one_by_one_until_settled() {
        let plan = Plan::new(&Watch { books: false, ..watch(3) }, Environment::Mock, None);
        let mut ledger = Ledger::new(&plan);
        let first = ledger.next_request().unwrap();
        assert_eq!(ledger.next_request(), None);
        assert_eq!(ledger.acknowledge(&ack(first, "OPSP0000")), Verdict::Noted);
        let second = ledger.next_request().unwrap();
        ledger.no_answer();
        let third = ledger.next_request().unwrap();
        assert_eq!(ledger.acknowledge(&ack(third, "OPSP8992")), Verdict::Noted);
        assert_eq!(ledger.next_request(), Some(second));
        ledger.no_answer();
        assert!(ledger.is_settled());
        assert_eq!(ledger.confirmed(), 1);
        let refused: Vec<String> = ledger.refused().into_iter().map(|one| one.code).collect();
        assert_eq!(refused, ["no_answer", "OPSP8992"]);
        // Late, but the registration stands.
        ledger.acknowledge(&ack(second, "OPSP0002"));
        assert_eq!(ledger.confirmed(), 2);
    }

    #[test]
    fn at_the_limit_the_rest_is_refused_by_name() {
        let plan = Plan::new(&Watch { books: false, ..watch(5) }, Environment::Mock, None);
        let mut ledger = Ledger::new(&plan);
        let first = ledger.next_request().unwrap();
        ledger.acknowledge(&ack(first, "OPSP0000"));
        let second = ledger.next_request().unwrap();
        ledger.acknowledge(&ack(second, "OPSP0008"));
        assert!(ledger.is_settled());
        assert_eq!((ledger.confirmed(), ledger.refused().len()), (1, 4));
    }

    #[test]
    fn answers_about_the_session_end_it() {
        let plan = Plan::new(&watch(1), Environment::Mock, None);
        let mut ledger = Ledger::new(&plan);
        let first = ledger.next_request().unwrap();
        for (code, over) in
            [("OPSP8996", AckCode::AppKeyInUse), ("OPSP0011", AckCode::InvalidApproval)]
        {
            assert_eq!(ledger.acknowledge(&ack(first, code)), Verdict::Over(over));
        }
        let stranger = Registration { tr: Tr::Trade, key: code(99) };
        assert_eq!(ledger.acknowledge(&ack(stranger, "OPSP0000")), Verdict::Unrelated);
    }
}
