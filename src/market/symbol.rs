//! Issue codes, their dense index, and what is known about each issue.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{SessionDay, Won};

/// A KRX short code (`005930`, `00088K`, `Q520057`) or a sector code of an index (`0001`):
/// one to eight ASCII letters or digits, kept inline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Symbol([u8; 8]);

/// Why a text is not an issue code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not an issue code: expected 1 to 8 ASCII letters or digits, for example 005930"
)]
pub struct SymbolError(pub String);

impl Symbol {
    /// The code held in `bytes`; `None` unless it has one to eight ASCII letters or digits.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > 8 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut code = [0; 8];
        code[..bytes.len()].copy_from_slice(bytes);
        Some(Self(code))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|b| *b == 0).unwrap_or(8);
        // Only ASCII letters and digits are ever stored.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }

    /// The code packed into a word, for hashing.
    #[must_use]
    pub const fn word(self) -> u64 {
        u64::from_le_bytes(self.0)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.as_str())
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        Self::from_bytes(text.as_bytes()).ok_or_else(|| SymbolError(text.to_owned()))
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> Self {
        symbol.as_str().to_owned()
    }
}

impl TryFrom<String> for Symbol {
    type Error = SymbolError;

    fn try_from(text: String) -> Result<Self, SymbolError> {
        text.parse()
    }
}

/// Dense index of an issue or an index series in the [`Directory`]: state arrays are indexed by it.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// As an array index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The market an issue is listed on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Market {
    /// Not told yet.
    #[default]
    Unknown,
    /// KOSPI, the main board.
    Kospi,
    /// KOSDAQ.
    Kosdaq,
    /// Any other board or product (KONEX, ETF, ETN).
    Other,
}

/// Sector code of the KOSPI index.
pub const KOSPI_CODE: &str = "0001";
/// Sector code of the KOSDAQ index.
pub const KOSDAQ_CODE: &str = "1001";

/// What is known about an issue before its first tick of the day. Journaled as a record of its
/// own, because names and reference levels reach scores, advice and events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Issue code.
    pub symbol: Symbol,
    /// Korean name; empty when unknown.
    #[serde(default)]
    pub name: String,
    /// Board.
    #[serde(default)]
    pub market: Market,
    /// Day it is about: base price and previous volume are those of it, and the sessions told of
    /// are all of those before it. `None` where that is not known: master files, an exchange that
    /// plays a day of its own, journals of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<SessionDay>,
    /// Day of the last session told of. `None` where that is not known: no sessions, journals of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_session: Option<SessionDay>,
    /// Base price of the day (기준가), normally the previous close; won.
    #[serde(default)]
    pub base_price: Option<Won>,
    /// Volume of the previous session; shares.
    #[serde(default)]
    pub previous_volume: Option<i64>,
    /// Shares listed.
    #[serde(default)]
    pub listed_shares: Option<i64>,
    /// Closes of the sessions before today, oldest first; won. At most [`Reference::MAX_CLOSES`].
    #[serde(default)]
    pub closes: Vec<Won>,
    /// Volumes of the same sessions; shares.
    #[serde(default)]
    pub volumes: Vec<i64>,
    /// Opening prices of the same sessions; won, 0 on a day without a trade. Empty, as the next two,
    /// when only closes are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<Won>,
    /// Highest prices of the same sessions; won.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub highs: Vec<Won>,
    /// Lowest prices of the same sessions; won.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lows: Vec<Won>,
}

impl Reference {
    /// Sessions kept of one issue: four months. The daily model looks back on at least 66 returns,
    /// and one call to KIS brings at most 100 sessions.
    pub const MAX_CLOSES: usize = 85;

    /// A reference that knows only the code.
    #[must_use]
    pub fn bare(symbol: Symbol) -> Self {
        Self {
            symbol,
            name: String::new(),
            market: Market::Unknown,
            day: None,
            last_session: None,
            base_price: None,
            previous_volume: None,
            listed_shares: None,
            closes: Vec::new(),
            volumes: Vec::new(),
            opens: Vec::new(),
            highs: Vec::new(),
            lows: Vec::new(),
        }
    }

    /// The same with the sessions that `other` tells of.
    #[must_use]
    pub fn with_sessions_of(&self, other: &Self) -> Self {
        let Self { last_session, closes, volumes, opens, highs, lows, .. } = other.clone();
        Self { last_session, closes, volumes, opens, highs, lows, ..self.clone() }
    }

    /// It tells of all sessions before this day; `None` where that is not known.
    #[must_use]
    pub fn told_until(&self) -> Option<SessionDay> {
        self.day.or(self.last_session.map(SessionDay::next))
    }

    /// Appends the session of `day`, which ended, and forgets the oldest beyond
    /// [`Self::MAX_CLOSES`]. The range of the sessions stays known only if it was known of all of them.
    pub fn push_session(&mut self, day: SessionDay, bar: SessionBar) {
        self.last_session = Some(day);
        let ranges_known = self.opens.len() == self.closes.len();
        self.closes.push(bar.close);
        self.volumes.push(bar.volume);
        if ranges_known {
            self.opens.push(bar.open);
            self.highs.push(bar.high);
            self.lows.push(bar.low);
        }
        for column in
            [&mut self.closes, &mut self.volumes, &mut self.opens, &mut self.highs, &mut self.lows]
        {
            column.drain(..column.len().saturating_sub(Self::MAX_CLOSES));
        }
    }

    /// Takes the last session away, for one that is not over; which one is the last is not known then.
    pub fn pop_session(&mut self) {
        self.last_session = None;
        for column in
            [&mut self.closes, &mut self.volumes, &mut self.opens, &mut self.highs, &mut self.lows]
        {
            column.pop();
        }
    }

    /// The sessions before today, oldest first; nothing when only closes are known.
    pub fn sessions(&self) -> impl DoubleEndedIterator<Item = SessionBar> + '_ {
        let known = [&self.volumes, &self.opens, &self.highs, &self.lows]
            .iter()
            .all(|column| column.len() == self.closes.len());
        let count = if known { self.closes.len() } else { 0 };
        (0..count).map(|at| SessionBar {
            open: self.opens[at],
            high: self.highs[at],
            low: self.lows[at],
            close: self.closes[at],
            volume: self.volumes[at],
        })
    }
}

/// A session of an issue that ended; won and shares. Prices but `close` are 0 without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBar {
    /// First price.
    pub open: Won,
    /// Highest price.
    pub high: Won,
    /// Lowest price.
    pub low: Won,
    /// Last price.
    pub close: Won,
    /// Shares traded.
    pub volume: i64,
}

impl SessionBar {
    /// A session of which only the last price is known.
    #[must_use]
    pub const fn without_trade(close: Won) -> Self {
        Self { open: 0, high: 0, low: 0, close, volume: 0 }
    }
}

/// All issues seen or announced, in the order of their first appearance. Append-only: an id stays
/// valid for the life of the process. Shared; the hot path keeps its own cache of code to id and
/// comes here only for an issue it has not met.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    inner: Arc<RwLock<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_word: FxHashMap<u64, SymbolId>,
    references: Vec<Arc<Reference>>,
}

impl Directory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of `symbol`, given on first sight.
    pub fn intern(&self, symbol: Symbol) -> SymbolId {
        if let Some(id) = self.find(symbol) {
            return id;
        }
        let mut inner = self.inner.write();
        if let Some(id) = inner.by_word.get(&symbol.word()) {
            return *id;
        }
        let id = SymbolId(inner.references.len() as u32);
        inner.references.push(Arc::new(Reference::bare(symbol)));
        inner.by_word.insert(symbol.word(), id);
        id
    }

    /// The id of `symbol`, if it has one.
    #[must_use]
    pub fn find(&self, symbol: Symbol) -> Option<SymbolId> {
        self.inner.read().by_word.get(&symbol.word()).copied()
    }

    /// Takes in what is known about an issue, replacing what was known before; returns its id.
    pub fn update(&self, reference: Reference) -> SymbolId {
        let id = self.intern(reference.symbol);
        self.inner.write().references[id.index()] = Arc::new(reference);
        id
    }

    /// What is known about the issue with this id. `id` must come from this directory.
    #[must_use]
    pub fn reference(&self, id: SymbolId) -> Arc<Reference> {
        Arc::clone(&self.inner.read().references[id.index()])
    }

    /// The code of the issue with this id.
    #[must_use]
    pub fn symbol(&self, id: SymbolId) -> Symbol {
        self.inner.read().references[id.index()].symbol
    }

    /// Number of issues and index series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.read().references.len()
    }

    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything known, in id order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Reference>> {
        self.inner.read().references.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for text in ["005930", "00088K", "Q520057", "0001"] {
            assert_eq!(text.parse::<Symbol>().unwrap().to_string(), text);
        }
        for text in ["", "005930.KS", "한국", "123456789"] {
            assert!(text.parse::<Symbol>().is_err(), "{text}");
        }
    }

    #[test]
    fn sessions_move_on_and_keep_their_ranges_when_all_are_known() {
        let bar = |close| SessionBar { open: 1, high: close, low: 1, close, volume: 5 };
        let day = |close: i64| SessionDay::from_epoch_days(20_000 + close as i32);
        let mut reference = Reference::bare("005930".parse().unwrap());
        for close in 1..=100 {
            reference.push_session(day(close), bar(close));
        }
        assert_eq!(reference.sessions().count(), Reference::MAX_CLOSES);
        assert_eq!(reference.sessions().next(), Some(bar(16)));
        assert_eq!(reference.sessions().next_back(), Some(bar(100)));
        assert_eq!(reference.told_until(), Some(day(101)));
        reference.pop_session();
        assert_eq!(reference.sessions().next_back(), Some(bar(99)));
        assert_eq!(reference.told_until(), None);

        let mut closes_alone = Reference::bare("005930".parse().unwrap());
        (closes_alone.closes, closes_alone.volumes) = (vec![7, 8], vec![1, 1]);
        closes_alone.push_session(day(9), bar(9));
        assert_eq!(closes_alone.closes, [7, 8, 9]);
        assert_eq!(closes_alone.sessions().count(), 0);
    }

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let old = r#"{"symbol":"005930","name":"삼성전자","market":"KOSPI","day":"2024-10-04","closes":[7,8]}"#;
        let known: Reference = serde_json::from_str(old).unwrap();
        assert_eq!(known.last_session, None);
        assert_eq!(known.told_until(), SessionDay::from_yyyymmdd(20_241_004));
        let older = r#"{"symbol":"005930","name":"삼성전자","closes":[7,8]}"#;
        assert_eq!(serde_json::from_str::<Reference>(older).unwrap().told_until(), None);
    }

    #[test]
    fn ids_are_dense_and_stable() {
        let directory = Directory::new();
        let samsung: Symbol = "005930".parse().unwrap();
        let hynix: Symbol = "000660".parse().unwrap();
        assert_eq!(directory.intern(samsung), SymbolId(0));
        assert_eq!(directory.intern(hynix), SymbolId(1));
        let named = Reference { name: "삼성전자".into(), ..Reference::bare(samsung) };
        assert_eq!(directory.update(named), SymbolId(0));
        assert_eq!(directory.reference(SymbolId(0)).name, "삼성전자");
        assert_eq!(directory.len(), 2);
    }
}
