//! What a simulator is asked to play, and why that can fail.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::market::{SessionDay, Symbol, Won};

use super::faults::FaultSpec;

/// Event seconds played in one second of wall time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SimSpeed {
    /// That many event seconds a wall second; positive and finite.
    Times(f64),
    /// As fast as the slowest subscriber reads.
    Max,
}

/// Why a text is not a speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a speed: expected event seconds per second, for example 60 or 2.5, or max")]
pub struct SimSpeedError(pub String);

impl FromStr for SimSpeed {
    type Err = SimSpeedError;

    fn from_str(text: &str) -> Result<Self, SimSpeedError> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(SimSpeedError(text.to_owned())),
        }
    }
}

impl fmt::Display for SimSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// What is played.
#[derive(Debug, Clone, PartialEq)]
pub enum SimSource {
    /// A recorded file. Its columns tell what it is: single trades (`seq`, `qty`) are played as
    /// they were; daily bars are turned into a whole day that meets them.
    Data {
        /// The Parquet file.
        path: PathBuf,
        /// The day to play; `None` is the last one of the file.
        day: Option<SessionDay>,
        /// Daily bars of the indices; without them no index is played.
        indices: Option<PathBuf>,
        /// Only the so many issues with the largest value traded on that day.
        symbols: Option<usize>,
    },
    /// A script: the name of a built-in one, or the path of a YAML file.
    Market {
        /// `crash`, `calm`, or a path that ends in `.yaml` or `.yml`.
        market: String,
        /// The session day instead of the script's own.
        day: Option<SessionDay>,
    },
}

impl Default for SimSource {
    fn default() -> Self {
        Self::Market { market: "crash".into(), day: None }
    }
}

/// Which of the two KIS environments is played.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum SimEnv {
    /// Real (실전): every call and feed.
    #[default]
    Real,
    /// Paper trading (모의투자): trades and order books only, no index and no calendar.
    Mock,
}

/// The form of the frames. The defaults are today's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShape {
    /// Fields of a trade record: 46 (until 2026-09-13) or 47.
    pub trade_fields: usize,
    /// Fields of an order book record: 59 (documented), 62 (since late 2025) or 63.
    pub book_fields: usize,
    /// Trades of one issue within one second that go into one frame, at most.
    pub records_per_frame: usize,
    /// An order book is sent after every so many trades of an issue; 0 sends none.
    pub book_every: u32,
}

impl Default for FrameShape {
    fn default() -> Self {
        Self { trade_fields: 47, book_fields: 63, records_per_frame: 1, book_every: 8 }
    }
}

impl FrameShape {
    /// Refuses widths that KIS never had.
    ///
    /// # Errors
    /// [`SimError::Shape`] names the setting, its value and what is possible.
    pub fn check(&self) -> Result<(), SimError> {
        let wrong = |name, value, expected| Err(SimError::Shape { name, value, expected });
        if !matches!(self.trade_fields, 46 | 47) {
            return wrong("trade fields", self.trade_fields, "46 or 47");
        }
        if !matches!(self.book_fields, 59 | 62 | 63) {
            return wrong("book fields", self.book_fields, "59, 62 or 63");
        }
        if !(1..=999).contains(&self.records_per_frame) {
            return wrong("records per frame", self.records_per_frame, "1 to 999");
        }
        Ok(())
    }
}

/// Shares that a simulated account begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimHolding {
    /// Issue; one that is not played is left out.
    pub symbol: Symbol,
    /// Shares.
    pub quantity: i64,
    /// What a share cost, won.
    pub average_price: Won,
}

/// Number of an account: eight digits and the product's two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimAccountNumber(String);

/// Why a text is not an account number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not an account number: expected 8 digits, a hyphen and 2 digits, for example 50000001-01"
)]
pub struct SimAccountNumberError(pub String);

impl FromStr for SimAccountNumber {
    type Err = SimAccountNumberError;

    fn from_str(text: &str) -> Result<Self, SimAccountNumberError> {
        let digits = |part: &str, count| {
            part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        match text.split_once('-') {
            Some((account, product)) if digits(account, 8) && digits(product, 2) => {
                Ok(Self(format!("{account}{product}")))
            }
            _ => Err(SimAccountNumberError(text.to_owned())),
        }
    }
}

impl SimAccountNumber {
    /// The ten digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// Everything a simulator needs to know.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Where REST is served; port 0 takes any free one.
    pub rest_listen: SocketAddr,
    /// Where the WebSocket is served; port 0 takes any free one.
    pub ws_listen: SocketAddr,
    /// What is played.
    pub source: SimSource,
    /// How fast; `None` is the script's own speed, and 60 for a file.
    pub speed: Option<SimSpeed>,
    /// The clock stands still while nobody has a subscription.
    pub hold: bool,
    /// With `hold`: every step of the clock is followed by a numbered `PINGPONG`, and the next one
    /// waits for its echo. What a session that ends has not confirmed is sent again to the next one,
    /// so a client that echoes when the frames are safe misses nothing, whenever it is killed. Real
    /// KIS does no such thing. Not with faults.
    pub confirm: bool,
    /// With `hold`: subscriptions must have been quiet for so long before the clock starts, so
    /// that a client that subscribes to a long list misses nothing.
    pub settle: Duration,
    /// Registrations in one WebSocket session; `None` is without limit. KIS has 41.
    pub max_registrations: Option<usize>,
    /// Seed of everything invented.
    pub seed: u64,
    /// Trades of one issue in a day rebuilt from a daily bar, on average; `None` chooses by the
    /// number of issues.
    pub trades_per_symbol: Option<usize>,
    /// The form of the frames.
    pub shape: FrameShape,
    /// The environment.
    pub env: SimEnv,
    /// The only app key accepted; `None` accepts any.
    pub app_key: Option<SecretString>,
    /// The only app secret accepted; `None` accepts any.
    pub app_secret: Option<SecretString>,
    /// Further pairs of app key and secret; without `app_key` they are accepted anyway.
    pub extra_keys: Vec<(SecretString, SecretString)>,
    /// Refuses calls beyond KIS's limits: 18 a second (1 in paper trading), one token a minute,
    /// one approval key a second.
    pub enforce_rate_limits: bool,
    /// The only account number; `None` takes the first that each app key names.
    pub account: Option<SimAccountNumber>,
    /// Deposit that each app key's account begins with, won.
    pub cash: Won,
    /// Shares that each app key's account begins with.
    pub holdings: Vec<SimHolding>,
    /// The HTS id that order notices are subscribed with; `None` takes any.
    pub hts_id: Option<String>,
    /// How far the `Date` of REST answers is ahead of the machine's clock, seconds; negative is
    /// behind. Nothing else follows it.
    pub clock_offset: i64,
    /// Interval of `PINGPONG`.
    pub ping_every: Duration,
    /// A session that has not answered a `PINGPONG` for so long is dropped.
    pub drop_after: Duration,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
    /// Keeps a book of every trade played and whether it reached anybody.
    pub audit: bool,
}

impl Default for SimOptions {
    /// The built-in crash on loopback ports of the system's choice, with KIS's own limits.
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            rest_listen: any,
            ws_listen: any,
            source: SimSource::default(),
            speed: None,
            hold: false,
            confirm: false,
            settle: Duration::from_millis(300),
            max_registrations: Some(41),
            seed: 1,
            trades_per_symbol: None,
            shape: FrameShape::default(),
            env: SimEnv::Real,
            app_key: None,
            app_secret: None,
            extra_keys: Vec::new(),
            enforce_rate_limits: false,
            account: None,
            cash: 100_000_000,
            holdings: Vec::new(),
            hts_id: None,
            clock_offset: 0,
            ping_every: Duration::from_secs(10),
            drop_after: Duration::from_secs(100),
            faults: Vec::new(),
            audit: false,
        }
    }
}

/// Why a simulator cannot be loaded or started.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}; give the path of an existing file", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not Parquet, or is damaged.
    #[error("cannot read {} as parquet: {reason}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        reason: String,
    },
    /// A column is missing or has another type.
    #[error("{}: column \"{column}\" {problem}; expected {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The day is not in the file.
    #[error("{} has no session on {day}: it covers {first} to {last}; choose another --day", path.display())]
    Day {
        /// The file.
        path: PathBuf,
        /// The day asked for.
        day: SessionDay,
        /// First day of the file.
        first: SessionDay,
        /// Last day of the file.
        last: SessionDay,
    },
    /// Nothing can be played.
    #[error("{} holds nothing to play: {reason}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No such built-in script.
    #[error("there is no market \"{name}\": expected {known}, or the path of a .yaml file")]
    UnknownMarket {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A script does not say what it should.
    #[error("market script {name}: {reason}")]
    Script {
        /// Its name or path.
        name: String,
        /// What and in which line.
        reason: String,
    },
    /// An impossible frame form.
    #[error("{name} is {value}: expected {expected}")]
    Shape {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What is possible.
        expected: &'static str,
    },
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is the port in use? choose another, or 0 for any"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!("100".parse(), Ok(SimSpeed::Times(100.0)));
        assert_eq!("2.5".parse(), Ok(SimSpeed::Times(2.5)));
        assert_eq!("max".parse(), Ok(SimSpeed::Max));
        for text in ["0", "-1", "fast", "inf", "nan", ""] {
            assert!(text.parse::<SimSpeed>().is_err(), "{text}");
        }
    }

    #[test]
    fn account_numbers() {
        let number: SimAccountNumber = "50000001-01".parse().unwrap();
        assert_eq!(number.digits(), "5000000101");
        for text in ["5000000101", "5000000-101", "50000001-1", "5000000a-01", "", "-"] {
            assert!(text.parse::<SimAccountNumber>().is_err(), "{text}");
        }
    }

    #[test]
    fn widths_that_never_were_are_refused() {
        assert!(FrameShape::default().check().is_ok());
        for shape in [
            FrameShape { trade_fields: 45, ..FrameShape::default() },
            FrameShape { book_fields: 60, ..FrameShape::default() },
            FrameShape { records_per_frame: 0, ..FrameShape::default() },
            FrameShape { records_per_frame: 1_000, ..FrameShape::default() },
        ] {
            assert!(shape.check().is_err(), "{shape:?}");
        }
    }
}
