//! What is registered with the feed: what is wanted, where it goes, and what came of it.
//!
//! KIS grants 41 registrations a session and one session an app key. The contract: trades of every
//! chosen issue first; free slots go to the indices, then to the market state (one issue is enough,
//! its messages are about the whole market), then to the account's notices, then to order books in
//! rotation, then to the interruptions of the issues. What finds no slot is listed by name, never dropped in silence: its trades are polled.
//!
//! - [`Plan`] orders what is wanted.
//! - [`Allocation`] spreads it over the sessions of all app keys and moves it when one dies.
//! - [`Ledger`] follows the registrations of one session: wanted, requested, acknowledged, live,
//!   mute, refused. [`Pulse`] is the clock of one of them.
//!
//! All of it is arithmetic on what the caller tells: no socket, no timer.

mod allocate;
mod ledger;
mod pulse;

use std::fmt;

pub use allocate::Allocation;
pub use ledger::{Action, Ledger, Standing, Verdict};
pub use pulse::{MuteLimits, Pulse};

use super::{Environment, Tr};
use crate::market::Symbol;

/// Registrations of one session at KIS.
pub const KIS_MAX_REGISTRATIONS: usize = 41;

/// Key of a registration: an issue code, a sector code or an HTS id; at most 16 bytes, inline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey([u8; 16]);

impl FeedKey {
    /// The key held in `bytes`: 1 to 16 printable ASCII characters, neither `^` nor `|`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let fits = !bytes.is_empty()
            && bytes.len() <= 16
            && bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'^' | b'|'));
        fits.then(|| {
            let mut key = [0; 16];
            key[..bytes.len()].copy_from_slice(bytes);
            Self(key)
        })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        // Only ASCII is ever stored.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }

    /// As an issue or sector code, when it can be one.
    #[must_use]
    pub fn symbol(&self) -> Option<Symbol> {
        Symbol::from_bytes(self.as_str().as_bytes())
    }
}

impl From<Symbol> for FeedKey {
    fn from(symbol: Symbol) -> Self {
        let mut key = [0; 16];
        key[..symbol.as_str().len()].copy_from_slice(symbol.as_str().as_bytes());
        Self(key)
    }
}

impl fmt::Display for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedKey({})", self.as_str())
    }
}

/// One feed of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registration {
    /// Feed.
    pub tr: Tr,
    /// Issue code, sector code of an index, or HTS id.
    pub key: FeedKey,
}

impl Registration {
    /// The registration of `tr` for an issue or index.
    #[must_use]
    pub fn of(tr: Tr, symbol: Symbol) -> Self {
        Self { tr, key: symbol.into() }
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An HTS id is a name of the customer's.
        match self.tr {
            Tr::Notice | Tr::PaperNotice => write!(f, "{} of the account", self.tr.as_str()),
            _ => write!(f, "{} {}", self.tr.as_str(), self.key),
        }
    }
}

/// Why something wanted is not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftOut {
    /// No free slot.
    Limit,
    /// Paper trading does not carry the feed.
    NotInPaperTrading,
}

/// What is wanted, in the order of its importance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// No registration twice.
    pub wanted: Vec<Registration>,
    /// What can never be had, and why.
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
    /// Whether messages of the issues' volatility interruptions are wanted.
    pub interruptions: bool,
    /// Issue whose market-state messages are wanted.
    pub operation_key: Option<Symbol>,
    /// HTS id whose order notices are wanted.
    pub hts_id: Option<FeedKey>,
}

impl Plan {
    /// The plan for `watch`.
    #[must_use]
    pub fn new(watch: &Watch, environment: Environment) -> Self {
        let of = |tr, keys: &[Symbol]| -> Vec<Registration> {
            keys.iter().map(|key| Registration::of(tr, *key)).collect()
        };
        let issues = |wanted: bool| -> &[Symbol] { if wanted { &watch.symbols } else { &[] } };
        let notice = match environment {
            Environment::Real => Tr::Notice,
            Environment::Mock => Tr::PaperNotice,
        };
        let notices = watch.hts_id.map(|key| Registration { tr: notice, key });
        let candidates = [
            of(Tr::Trade, &watch.symbols),
            of(Tr::Index, &watch.indices),
            of(Tr::Operation, watch.operation_key.as_slice()),
            notices.into_iter().collect(),
            of(Tr::Quote, issues(watch.books)),
            of(Tr::Interruption, issues(watch.interruptions)),
        ];
        let mut seen = std::collections::BTreeSet::new();
        let mut plan = Self::default();
        for registration in candidates.into_iter().flatten() {
            if !seen.insert(registration) {
                continue;
            }
            let paper = matches!(registration.tr, Tr::Trade | Tr::Quote | Tr::PaperNotice);
            if environment == Environment::Mock && !paper {
                plan.left_out.push((registration, LeftOut::NotInPaperTrading));
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
            interruptions: true,
            operation_key: Some(code(1)),
            hts_id: FeedKey::from_bytes(b"@trader1"),
        }
    }

    fn feeds(plan: &Plan) -> Vec<Tr> {
        let mut feeds: Vec<Tr> = plan.wanted.iter().map(|wanted| wanted.tr).collect();
        feeds.dedup();
        feeds
    }

    #[test]
    fn trades_then_indices_then_state_then_notices_then_books_then_interruptions() {
        let plan = Plan::new(&watch(20), Environment::Real);
        assert_eq!(plan.wanted.len(), 64);
        let order = [Tr::Trade, Tr::Index, Tr::Operation, Tr::Notice, Tr::Quote, Tr::Interruption];
        assert_eq!(feeds(&plan), order);
        assert!(plan.left_out.is_empty());
    }

    #[test]
    fn paper_trading_has_no_index_and_an_issue_named_twice_takes_one_slot() {
        let mut doubled = watch(2);
        doubled.symbols.push(code(1));
        let plan = Plan::new(&doubled, Environment::Mock);
        assert_eq!(feeds(&plan), [Tr::Trade, Tr::PaperNotice, Tr::Quote]);
        assert_eq!(plan.wanted.len(), 5);
        assert!(plan.left_out.iter().all(|(_, why)| *why == LeftOut::NotInPaperTrading));
        assert_eq!(plan.left_out.len(), 5);
    }

    #[test]
    fn keys() {
        assert_eq!(FeedKey::from_bytes(b"@trader1").unwrap().to_string(), "@trader1");
        assert_eq!(FeedKey::from_bytes(b"@trader1").unwrap().symbol(), None);
        assert_eq!(FeedKey::from(code(5)).symbol(), Some(code(5)));
        for bad in [&b""[..], b"a^b", b"a|b", b"a b", b"12345678901234567", "한".as_bytes()] {
            assert_eq!(FeedKey::from_bytes(bad), None);
        }
        let notice = Registration { tr: Tr::Notice, key: FeedKey::from_bytes(b"secret").unwrap() };
        assert!(!notice.to_string().contains("secret"));
    }
}
