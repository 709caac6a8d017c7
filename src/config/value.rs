//! The forms a setting can have, how text becomes one, and how it may be shown.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use secrecy::SecretString;
use url::Url;

use super::service_url::{ServiceUrl, without_credentials};
use super::settings::CollectUniverse;
use crate::market::{SessionDay, Symbol};

/// What stands for a secret wherever settings are shown.
pub const HIDDEN: &str = "(set, not shown)";

/// The form of a key's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text without control characters.
    Text,
    /// Texts without control characters, joined by `;`.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `on` or `off`.
    Switch,
    /// A whole number within these limits.
    Integer(u64, u64),
    /// A whole number out of a few.
    IntegerOf(&'static [u64]),
    /// A number within these limits.
    Number(f64, f64),
    /// A file or folder.
    Path,
    /// A URL with one of these schemes.
    Url(&'static [&'static str]),
    /// One or more such URLs.
    Urls(&'static [&'static str]),
    /// Letters, digits, `-`, `_` and `.`, fewer than 100 in all.
    Name,
    /// `ADDRESS:PORT` to listen on.
    Listen,
    /// Issue codes.
    Symbols,
    /// A session day.
    Day,
    /// A playback speed.
    Speed,
    /// A KIS account.
    Account,
    /// Mail addresses.
    Mail,
    /// API tokens with their scopes.
    Tokens,
    /// Pairs of a KIS app key and its secret.
    KeyPairs,
    /// Which issues are collected.
    Universe,
    /// So many in a time: `10/s`, `100/m`, `5/h`.
    Rate,
}

/// How a value was written, as far as its text alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, from whatever layer.
    Text,
    /// A bare TOML number.
    Number,
    /// A bare TOML `true` or `false`.
    Switch,
    /// A bare TOML date.
    Date,
    /// A TOML list of texts; the text joins them with [`Kind::separator`].
    List,
    /// Something no key takes: a table, a list of other things.
    Other,
}

/// A value of the right form.
#[derive(Debug, Clone)]
pub enum Value {
    /// [`Kind::Text`], [`Kind::Texts`], [`Kind::Choice`], [`Kind::Path`], [`Kind::Mail`], [`Kind::Rate`],
    /// [`Kind::Name`] of a key that is not secret.
    Text(String),
    /// A text that is never shown.
    Secret(SecretString),
    /// [`Kind::Switch`].
    Switch(bool),
    /// [`Kind::Integer`], [`Kind::IntegerOf`].
    Integer(u64),
    /// [`Kind::Number`].
    Number(f64),
    /// [`Kind::Url`].
    Url(ServiceUrl),
    /// [`Kind::Urls`].
    Urls(Vec<ServiceUrl>),
    /// [`Kind::Listen`].
    Listen(SocketAddr),
    /// [`Kind::Symbols`].
    Symbols(Vec<Symbol>),
    /// [`Kind::Day`].
    Day(SessionDay),
    /// [`Kind::Speed`].
    Speed(Speed),
}

impl fmt::Display for Value {
    /// The value as `config show` prints it: secrets as [`HIDDEN`], URLs without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Secret(_) => f.write_str(HIDDEN),
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Url(url) => write!(f, "{url}"),
            Self::Urls(urls) => {
                let shown: Vec<String> = urls.iter().map(ServiceUrl::to_string).collect();
                f.write_str(&shown.join(","))
            }
            Self::Listen(address) => write!(f, "{address}"),
            Self::Symbols(symbols) => {
                let codes: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
                f.write_str(&codes.join(","))
            }
            Self::Day(day) => write!(f, "{day}"),
            Self::Speed(speed) => write!(f, "{speed}"),
        }
    }
}

impl Kind {
    /// What a value must look like, for messages and for the shipped file.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text without control characters".into(),
            Self::Texts => "a list of texts, or texts separated by ;".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Switch => "on or off".into(),
            Self::Integer(low, high) => format!("a whole number from {low} to {high}"),
            Self::IntegerOf(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                format!("one of {}", numbers.join(", "))
            }
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::Path => "a path".into(),
            Self::Url(schemes) => {
                let schemes: Vec<String> = schemes.iter().map(|s| format!("{s}:")).collect();
                format!("a URL that begins with {}", schemes.join(" or "))
            }
            Self::Urls(_) => {
                "URLs as redis://[user:password@]host:port/db or rediss:, separated by commas"
                    .into()
            }
            Self::Name => "1 to 99 letters, digits, -, _ or .".into(),
            Self::Listen => "ADDRESS:PORT, for example 127.0.0.1:8700".into(),
            Self::Symbols => "issue codes of 1 to 8 letters or digits, as a list of texts or \
                separated by commas, for example 005930,000660"
                .into(),
            Self::Day => "a date, YYYY-MM-DD, for example 2024-08-05".into(),
            Self::Speed => "event seconds played in a second, above 0, or max".into(),
            Self::Account => {
                "eight digits of the account and, optionally, two of the product, for example \
                 12345678-01"
                    .into()
            }
            Self::Mail => "mail addresses separated by commas".into(),
            Self::Tokens => {
                "scope:token pairs separated by commas, the scope read or operate".into()
            }
            Self::KeyPairs => "KEY:SECRET pairs separated by commas, each key once".into(),
            Self::Universe => "symbols, market_cap:N or volume:N with N from 1 to 30".into(),
            Self::Rate => "a number above 0 with /s, /m or /h, for example 10/m".into(),
        }
    }

    /// `text` as a value of this form; `None` when it is none. `secret` keeps texts hidden.
    #[must_use]
    pub fn parse(&self, text: &str, form: Form, secret: bool) -> Option<Value> {
        if !self.accepts(form) {
            return None;
        }
        let word = text.trim();
        match self {
            Self::Text | Self::Texts | Self::Path => plain(text).map(|text| hide(text, secret)),
            Self::Choice(words) => words
                .iter()
                .find(|choice| choice.eq_ignore_ascii_case(word))
                .map(|choice| Value::Text((*choice).to_owned())),
            Self::Switch => match word.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Some(Value::Switch(true)),
                "off" | "false" | "no" | "0" => Some(Value::Switch(false)),
                _ => None,
            },
            Self::Integer(low, high) => {
                integer(word).filter(|n| (*low..=*high).contains(n)).map(Value::Integer)
            }
            Self::IntegerOf(numbers) => {
                integer(word).filter(|n| numbers.contains(n)).map(Value::Integer)
            }
            Self::Number(low, high) => word
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && (*low..=*high).contains(n))
                .map(Value::Number),
            Self::Url(schemes) => ServiceUrl::parse(word, schemes)
                .map(|url| if secret { Value::Secret(url.0) } else { Value::Url(url) }),
            Self::Urls(schemes) => urls(text, schemes).map(Value::Urls),
            Self::Name => is_name(word).then(|| Value::Text(word.to_owned())),
            Self::Listen => listen_address(word).map(Value::Listen),
            Self::Symbols => symbols(text).map(Value::Symbols),
            Self::Day => word.parse().ok().map(Value::Day),
            Self::Speed => word.parse().ok().map(Value::Speed),
            Self::Account => account(word).map(|account| hide(&account, secret)),
            Self::Mail => mail_addresses(text).map(|text| hide(&text, secret)),
            Self::Tokens => tokens(text).map(|text| hide(&text, secret)),
            Self::KeyPairs => key_pairs(text).map(|text| hide(&text, secret)),
            Self::Rate => is_rate(word).then(|| Value::Text(word.to_owned())),
            Self::Universe => {
                CollectUniverse::from_word(word).map(|_| Value::Text(word.to_owned()))
            }
        }
    }

    /// What joins the items of a list into one text.
    #[must_use]
    pub fn separator(&self) -> &'static str {
        if *self == Self::Texts { ";" } else { "," }
    }

    fn accepts(&self, form: Form) -> bool {
        match form {
            Form::Text => true,
            // A bare number is never a list of codes: 5930 would be another issue than 005930.
            Form::Number => matches!(
                self,
                Self::Integer(..)
                    | Self::IntegerOf(_)
                    | Self::Number(..)
                    | Self::Speed
                    | Self::Day
                    | Self::Account
            ),
            Form::Switch => matches!(self, Self::Switch),
            Form::Date => matches!(self, Self::Day),
            Form::List => matches!(
                self,
                Self::Symbols
                    | Self::Texts
                    | Self::Mail
                    | Self::Tokens
                    | Self::KeyPairs
                    | Self::Urls(_)
            ),
            Form::Other => false,
        }
    }

    /// `text`, which is not of this form, as a message may show it: cut, quoted, and hidden when
    /// it is secret or may hold credentials.
    #[must_use]
    pub fn shown(&self, text: &str, secret: bool) -> String {
        if secret || matches!(self, Self::Tokens | Self::Account | Self::KeyPairs) {
            return HIDDEN.into();
        }
        if matches!(self, Self::Urls(_)) && text.contains('@') {
            return HIDDEN.into();
        }
        if matches!(self, Self::Url(_) | Self::Urls(_)) {
            // What is no URL cannot be told apart from its password.
            return match Url::parse(text.trim()) {
                Ok(url) => quoted(&without_credentials(&url)),
                Err(_) if text.contains('@') || text.contains('?') => HIDDEN.into(),
                Err(_) => quoted(text),
            };
        }
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        format!("{text:?}")
    } else {
        let head: String = text.chars().take(SHOWN).collect();
        format!("{head:?}…")
    }
}

fn hide(text: &str, secret: bool) -> Value {
    if secret {
        Value::Secret(SecretString::from(text.to_owned()))
    } else {
        Value::Text(text.to_owned())
    }
}

fn plain(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

/// TOML and people write 100_000; `u64::from_str` alone would also take a leading plus.
fn integer(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if text.starts_with('_') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn listen_address(text: &str) -> Option<SocketAddr> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse().ok()
}

fn is_rate(text: &str) -> bool {
    let Some((calls, unit)) = text.split_once('/') else { return false };
    matches!(unit, "s" | "m" | "h") && calls.parse::<u32>().is_ok_and(|calls| calls > 0)
}

/// Codes separated by commas or white space; an empty text is an empty list, a code that comes
/// twice is kept once.
fn symbols(text: &str) -> Option<Vec<Symbol>> {
    let mut symbols = Vec::new();
    let mut seen = BTreeSet::new();
    for code in items(text) {
        let symbol: Symbol = code.parse().ok()?;
        if seen.insert(symbol) {
            symbols.push(symbol);
        }
    }
    Some(symbols)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

fn urls(text: &str, schemes: &[&str]) -> Option<Vec<ServiceUrl>> {
    let urls: Option<Vec<_>> = items(text).map(|url| ServiceUrl::parse(url, schemes)).collect();
    urls.filter(|urls| !urls.is_empty())
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..100).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn account(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let dashed = text.contains('-');
    let well_placed = !dashed || (text.find('-') == Some(8) && text.matches('-').count() == 1);
    if !well_placed || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits.len() {
        8 if !dashed => Some(format!("{digits}-01")),
        10 => Some(format!("{}-{}", &digits[..8], &digits[8..])),
        _ => None,
    }
}

fn mail_addresses(text: &str) -> Option<String> {
    let addresses: Vec<&str> = items(text).collect();
    let good = |address: &&str| {
        address
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
    };
    (!addresses.is_empty() && addresses.iter().all(good)).then(|| addresses.join(","))
}

fn tokens(text: &str) -> Option<String> {
    let pairs: Vec<&str> = items(text).collect();
    let good = |pair: &&str| {
        pair.split_once(':')
            .is_some_and(|(scope, token)| matches!(scope, "read" | "operate") && !token.is_empty())
    };
    (!pairs.is_empty() && pairs.iter().all(good)).then(|| pairs.join(","))
}

/// `KEY:SECRET` pairs, one of which a key does not have twice.
fn key_pairs(text: &str) -> Option<String> {
    let mut keys = BTreeSet::new();
    for pair in items(text) {
        let (key, secret) = pair.split_once(':')?;
        if key.is_empty() || secret.is_empty() || !keys.insert(key) {
            return None;
        }
    }
    (!keys.is_empty()).then(|| items(text).collect::<Vec<_>>().join(","))
}

/// Event seconds played in one second of wall time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// That many; positive and finite.
    Times(f64),
    /// As fast as the receiver takes it.
    Max,
}

/// Why a text is not a speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a speed: expected event seconds played in a second, above 0, or max")]
pub struct SpeedError(pub String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(SpeedError(text.to_owned())),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests;
