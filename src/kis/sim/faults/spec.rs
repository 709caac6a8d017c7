//! What a fault specification says: the grammar, and its errors.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::market::{Symbol, TimeOfDay};

use super::key::{Key, Rubbish, Side};
use super::kind::{COMMON, FaultKind, KINDS};

/// One fault to be played, as the text says.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    pub(crate) kind: FaultKind,
    pub(crate) at: Option<TimeOfDay>,
    pub(crate) after: u64,
    pub(crate) every: Option<u64>,
    pub(crate) chance: Option<f64>,
    pub(crate) times: Option<u64>,
    pub(crate) lasts: Option<Duration>,
    pub(crate) session: Option<u64>,
    pub(crate) app_key: Option<u64>,
    pub(crate) symbol: Option<Symbol>,
    pub(crate) tr: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) ms: Option<u64>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) frames: Option<u64>,
    pub(crate) rubbish: Rubbish,
    pub(crate) side: Side,
    pub(crate) from_start: bool,
    pub(crate) any: bool,
}

/// Why a text is no fault specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultSpecError {
    /// No such kind.
    #[error("fault \"{kind}\": there is no such kind; expected one of {}", kinds())]
    Kind {
        /// What stood there.
        kind: String,
    },
    /// The kind has no such key.
    #[error("fault {kind}: it takes no key \"{key}\"; expected one of {allowed}")]
    UnknownKey {
        /// The kind.
        kind: FaultKind,
        /// What stood there.
        key: String,
        /// Keys of this kind.
        allowed: String,
    },
    /// A key stands twice.
    #[error("fault {kind}: {key} is given twice; give it once")]
    Twice {
        /// The kind.
        kind: FaultKind,
        /// The key.
        key: &'static str,
    },
    /// A value that the key cannot have.
    #[error("fault {kind}: {key}={value:?} cannot be; expected {expected}")]
    Value {
        /// The kind.
        kind: FaultKind,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A key without its value.
    #[error("fault {kind}: {key} has no value; expected {key}={expected}")]
    NoValue {
        /// The kind.
        kind: FaultKind,
        /// The key.
        key: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("fault {kind}: {first} and {second} exclude each other; give one of them")]
    Both {
        /// The kind.
        kind: FaultKind,
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

fn kinds() -> String {
    KINDS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

impl FaultSpec {
    /// The fault of this kind without any key: once, as soon as it can happen.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            at: None,
            after: 0,
            every: None,
            chance: None,
            times: None,
            lasts: None,
            session: None,
            app_key: None,
            symbol: None,
            tr: None,
            endpoint: None,
            ms: None,
            code: None,
            reason: None,
            frames: None,
            rubbish: Rubbish::default(),
            side: Side::default(),
            from_start: false,
            any: false,
        }
    }

    /// What goes wrong.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Several specifications, joined by `;`. An empty text is an empty list.
    ///
    /// # Errors
    /// See [`FaultSpecError`]; the first one counts.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, FaultSpecError> {
        text.split(';').map(str::trim).filter(|spec| !spec.is_empty()).map(str::parse).collect()
    }

    /// How often it happens in all; `None` is without end. A block lasts, and so does a slow REST.
    pub(crate) fn limit(&self) -> Option<u64> {
        let lasting = self.kind == FaultKind::Blocked
            || (self.kind == FaultKind::Slow && self.side != Side::Ws);
        let open = self.every.is_some() || self.chance.is_some() || self.lasts.is_some() || lasting;
        self.times.or((!open).then_some(1))
    }

    fn take(&mut self, key: Key, value: &str) -> Option<()> {
        match key {
            Key::At => self.at = Some(value.parse().ok()?),
            Key::After => self.after = whole(value)?,
            Key::Every => self.every = Some(positive(value)?),
            Key::Chance => {
                let chance: f64 = value.parse().ok()?;
                self.chance = (chance > 0.0 && chance <= 1.0).then_some(chance);
                self.chance?;
            }
            Key::Times => self.times = Some(positive(value)?),
            Key::For => self.lasts = Some(seconds(value)?),
            Key::Session => self.session = Some(positive(value)?),
            Key::Owner => self.app_key = Some(positive(value)?),
            Key::Symbol => self.symbol = Some(value.parse().ok()?),
            Key::Tr => self.tr = Some(word(value, |c| c.is_ascii_alphanumeric())?),
            Key::Endpoint => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                self.endpoint = Some(word(value, plain)?);
            }
            Key::Ms => self.ms = Some(positive(value).filter(|ms| *ms <= 60_000)?),
            Key::Code => self.code = Some(self.checked_code(value)?),
            Key::Reason => {
                let fits = !value.is_empty() && value.len() <= 120;
                let plain = !value.chars().any(char::is_control);
                self.reason = Some((fits && plain).then(|| value.to_owned())?);
            }
            Key::Frames => self.frames = Some(whole(value).filter(|frames| *frames <= 10_000)?),
            Key::Form => {
                self.rubbish = match value {
                    "text" => Rubbish::Text,
                    "binary" => Rubbish::Binary,
                    "utf8" => Rubbish::NotUtf8,
                    _ => return None,
                }
            }
            Key::On => {
                self.side = match value {
                    "ws" => Side::Ws,
                    "rest" => Side::Rest,
                    "all" => Side::All,
                    _ => return None,
                }
            }
            Key::FromStart => self.from_start = true,
            Key::Any => self.any = true,
        }
        Some(())
    }

    /// A code that the kind can use: a close code that may be sent, an HTTP status of an error, or
    /// a KIS code.
    fn checked_code(&self, value: &str) -> Option<String> {
        let code = word(value, |c| c.is_ascii_alphanumeric())?;
        let number = whole(&code);
        let status = number.is_some_and(|status| (400..=599).contains(&status));
        let close = |code: u64| matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999);
        let good = match self.kind {
            FaultKind::Close => number.is_some_and(close),
            FaultKind::RefuseConnect => status,
            FaultKind::Http => status || (number.is_none() && code.len() <= 12),
            _ => number.is_none() && code.len() <= 12,
        };
        good.then_some(code)
    }

    /// What a code of this kind must be.
    fn code_expected(&self) -> &'static str {
        match self.kind {
            FaultKind::Close => "a close code: 1000 to 1003, 1007 to 1013 or 3000 to 4999",
            FaultKind::RefuseConnect => "an HTTP status from 400 to 599",
            FaultKind::Http => "an HTTP status from 400 to 599, or a KIS code such as EGW00201",
            _ => "a KIS code such as OPSP0007",
        }
    }

    /// The value of a key as text; `None` when it has its default.
    fn shown(&self, key: Key) -> Option<String> {
        match key {
            Key::At => self.at.map(|at| at.to_string()),
            Key::After => (self.after > 0).then(|| self.after.to_string()),
            Key::Every => self.every.map(|every| every.to_string()),
            Key::Chance => self.chance.map(|chance| chance.to_string()),
            Key::Times => self.times.map(|times| times.to_string()),
            Key::For => self.lasts.map(|lasts| format!("{}s", lasts.as_secs_f64())),
            Key::Session => self.session.map(|session| session.to_string()),
            Key::Owner => self.app_key.map(|key| key.to_string()),
            Key::Symbol => self.symbol.map(|symbol| symbol.to_string()),
            Key::Tr => self.tr.clone(),
            Key::Endpoint => self.endpoint.clone(),
            Key::Ms => self.ms.map(|ms| ms.to_string()),
            Key::Code => self.code.clone(),
            Key::Reason => self.reason.clone(),
            Key::Frames => self.frames.map(|frames| frames.to_string()),
            Key::Form => match self.rubbish {
                Rubbish::Text => None,
                Rubbish::Binary => Some("binary".into()),
                Rubbish::NotUtf8 => Some("utf8".into()),
            },
            Key::On => match self.side {
                Side::Ws => None,
                Side::Rest => Some("rest".into()),
                Side::All => Some("all".into()),
            },
            Key::FromStart => self.from_start.then(String::new),
            Key::Any => self.any.then(String::new),
        }
    }
}

fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn positive(text: &str) -> Option<u64> {
    whole(text).filter(|number| *number > 0)
}

fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = number.parse().ok()?;
    // Event time counts in microseconds.
    let micros = (seconds * 1e6).round();
    (1.0..=86_400e6).contains(&micros).then(|| Duration::from_micros(micros as u64))
}

fn word(text: &str, allowed: fn(char) -> bool) -> Option<String> {
    let fits = (1..=64).contains(&text.len()) && text.chars().all(allowed);
    fits.then(|| text.to_owned())
}

impl FromStr for FaultSpec {
    type Err = FaultSpecError;

    fn from_str(text: &str) -> Result<Self, FaultSpecError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        let row = KINDS
            .iter()
            .find(|row| row.name == name)
            .ok_or_else(|| FaultSpecError::Kind { kind: name.chars().take(80).collect() })?;
        let kind = row.kind;
        let mut spec = Self::new(kind);
        let mut given: Vec<Key> = Vec::new();
        for item in rest.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = match item.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (item, None),
            };
            let takes = |key: &Key| COMMON.contains(key) || row.keys.contains(key);
            let Some(key) = Key::ALL.into_iter().find(|key| key.name() == name && takes(key))
            else {
                let allowed: Vec<_> = COMMON.iter().chain(row.keys).map(|key| key.name()).collect();
                let key = name.chars().take(80).collect();
                return Err(FaultSpecError::UnknownKey { kind, key, allowed: allowed.join(", ") });
            };
            let (name, expected, _) = key.about();
            let expected = if key == Key::Code { spec.code_expected() } else { expected };
            if given.contains(&key) {
                return Err(FaultSpecError::Twice { kind, key: name });
            }
            given.push(key);
            let flag = matches!(key, Key::FromStart | Key::Any);
            let value = match value {
                Some(value) if flag => {
                    let (value, expected) = (value.to_owned(), "no value");
                    return Err(FaultSpecError::Value { kind, key: name, value, expected });
                }
                None if !flag => return Err(FaultSpecError::NoValue { kind, key: name, expected }),
                value => value.unwrap_or_default(),
            };
            if spec.take(key, value).is_none() {
                let value = value.chars().take(80).collect();
                return Err(FaultSpecError::Value { kind, key: name, value, expected });
            }
        }
        for (first, second) in [(Key::Every, Key::Chance), (Key::FromStart, Key::At)] {
            if given.contains(&first) && given.contains(&second) {
                let (first, second) = (first.name(), second.name());
                return Err(FaultSpecError::Both { kind, first, second });
            }
        }
        Ok(spec)
    }
}

impl fmt::Display for FaultSpec {
    /// The text that parses to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let mut before = ':';
        for key in Key::ALL {
            let Some(value) = self.shown(key) else { continue };
            write!(f, "{before}{}", key.name())?;
            if !value.is_empty() {
                write!(f, "={value}")?;
            }
            before = ',';
        }
        Ok(())
    }
}

/// The grammar, every kind and every key, for a command's help.
#[must_use]
pub fn fault_help() -> String {
    let mut help = String::from(
        "Faults: --fault KIND[:KEY=VALUE,…], several joined by ; or by further --fault.\nKinds:\n",
    );
    for row in KINDS {
        help.push_str(&format!("  {:18} {}\n", row.name, row.about));
    }
    help.push_str("Keys:\n");
    for key in Key::ALL {
        let (name, expected, about) = key.about();
        let note = if expected.is_empty() { String::new() } else { format!(" ({expected})") };
        help.push_str(&format!("  {name:18} {about}{note}\n"));
    }
    help
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
