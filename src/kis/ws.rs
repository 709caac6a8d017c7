//! The feed: WebSocket sessions that are kept alive, subscribed and drained.
//!
//! One session an app key (KIS allows no more), one task a session, and a coordinator that decides
//! who carries what. In: what to watch, access to KIS for each key, a token that ends it. Out,
//! through a [`FrameSink`]: every data message unchanged with its receive time, in batches of
//! whatever is ready; changes of what is covered in the same stream, so that order is kept; and
//! [`FeedEvent`]s for whoever watches. Acknowledgements and PINGPONG are not passed on. Encrypted
//! notices of the account are passed on in plain text, masked.
//!
//! **Back-pressure.** A sink that waits makes the socket wait; nothing is dropped or buffered here
//! beyond one batch.
//!
//! **Loss of a session.** It ends by itself when the server closes it, on a network or protocol
//! error, when no application message (data, acknowledgement, PINGPONG) came for `idle_timeout`,
//! when it is found mute, or when the server refuses the key. Transport pings do not count as life.
//! Each session is rebuilt from nothing. Pauses between sessions grow from a floor to a cap with
//! jitter, each kind of loss by itself, and start over after a session that lasted; a close that
//! the server announced (a hand-over to another machine) is followed at once. When a session is not
//! back within `failover_after`, the others take over what it carried, as far as they have room;
//! where there is no other, it has no slot after `poll_after`.
//!
//! **Silence of one registration.** Each has a clock of its own ([`MuteLimits`]), which runs only
//! while the market trades. Suspicion is checked against the exchange: when REST shows that the
//! issue's volume of the day grows while nothing comes, the registration is left and asked for anew;
//! the second time, or when the whole session is silent, the session is given up.
//!
//! **Completeness.** After every change the confirmed registrations must equal the wanted ones
//! within `confirm_within`, or [`FeedEvent::Incomplete`] names what is missing. What has no slot is
//! named by [`FeedEvent::Unplaced`].
//!
//! **For good.** A key that KIS does not know ends its session; the others go on. Without any
//! session left the feed ends: no repetition helps.
//!
//! **Limits.** Messages up to 1 MiB are passed on, so that the journal keeps what the parser will
//! refuse; a longer one ends the session. So does a text message that is not UTF-8, which the
//! protocol forbids; binary messages are passed on as they are.

mod coordinator;
mod line;
mod loss;
mod probe;
mod session;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use self::loss::LossCause;
use super::subscriptions::{LeftOut, MuteLimits, Plan, Refused, Registration, Watch};
use super::{Environment, KisClient, KisError};
use crate::market::{EventTime, Phase, Symbol};
use crate::messages::{FrameKind, TradingDays};

/// Whose clock says whether the market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketHours {
    /// The calendar at the wall clock: a live feed.
    Calendar,
    /// The times in the feed's own frames: a day that is played.
    Feed,
}

/// How the feed is run.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// WebSocket URL, for example `ws://ops.koreainvestment.com:21000/tryitout`.
    pub ws_url: String,
    /// Real or paper: paper carries trades and order books only.
    pub environment: Environment,
    /// What is to be watched.
    pub watch: Watch,
    /// Registrations a session may have; `None` for a server without a limit.
    pub max_registrations: Option<usize>,
    /// A session without any application message for so long is taken for broken.
    pub idle_timeout: Duration,
    /// Least time between two subscription requests.
    pub subscribe_gap: Duration,
    /// Longest wait for one acknowledgement, and for the connection itself.
    pub answer_timeout: Duration,
    /// Shortest pause before a new session.
    pub reconnect_floor: Duration,
    /// Longest pause before a new session.
    pub reconnect_cap: Duration,
    /// Shortest pause after the app key was found in use: the server needs time to notice that our
    /// last session is gone.
    pub in_use_floor: Duration,
    /// Shortest pause after KIS blocked us, or gave no approval key.
    pub refused_floor: Duration,
    /// A session that lasted so long was a good one: pauses start over.
    pub stable_after: Duration,
    /// A lost session's registrations move to the others after this.
    pub failover_after: Duration,
    /// The same where no other session is there: its registrations have no slot then.
    pub poll_after: Duration,
    /// Wanted and confirmed registrations must be the same within this.
    pub confirm_within: Duration,
    /// When a registration's silence is suspicious.
    pub mute: MuteLimits,
    /// Pause between two looks at an issue's volume when it is suspected to be mute.
    pub probe_every: Duration,
    /// Whose clock says whether the market trades.
    pub hours: MarketHours,
    /// The calendar.
    pub days: TradingDays,
    /// How long an order book keeps its slot when there are more books than slots.
    pub rotate_books_every: Duration,
    /// An approval key older than this is replaced before the next session.
    pub approval_life: Duration,
    /// Most frames of one batch.
    pub batch_frames: usize,
    /// Most bytes of one batch; the last frame may go beyond.
    pub batch_bytes: usize,
}

impl FeedConfig {
    /// A feed of `watch` with the limits of KIS.
    #[must_use]
    pub fn new(ws_url: impl Into<String>, environment: Environment, watch: Watch) -> Self {
        Self {
            ws_url: ws_url.into(),
            environment,
            watch,
            max_registrations: Some(super::subscriptions::KIS_MAX_REGISTRATIONS),
            idle_timeout: Duration::from_secs(30),
            subscribe_gap: Duration::from_millis(50),
            answer_timeout: Duration::from_secs(5),
            reconnect_floor: Duration::from_millis(500),
            reconnect_cap: Duration::from_secs(30),
            in_use_floor: Duration::from_secs(5),
            refused_floor: Duration::from_secs(3),
            stable_after: Duration::from_secs(60),
            failover_after: Duration::from_secs(1),
            poll_after: Duration::from_secs(10),
            confirm_within: Duration::from_secs(15),
            mute: MuteLimits::around(Duration::from_secs(20)),
            probe_every: Duration::from_secs(2),
            hours: MarketHours::Calendar,
            days: TradingDays::default(),
            rotate_books_every: Duration::from_secs(30),
            approval_life: Duration::from_secs(12 * 3_600),
            batch_frames: 512,
            batch_bytes: 256 * 1024,
        }
    }

    /// Whether trades are to be expected now. `seen` is the time in the feed's newest frame.
    fn is_trading(&self, seen: Option<EventTime>) -> bool {
        let now = match self.hours {
            MarketHours::Calendar => Some(super::now()),
            MarketHours::Feed => seen,
        };
        now.is_some_and(|now| self.days.phase(now) == Phase::Continuous)
    }
}

/// What happens to the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// A session began.
    Connected {
        /// Its number, from 0: one an app key.
        session: usize,
    },
    /// Every wanted registration that has a slot has been answered.
    Subscribed {
        /// Registrations that stand, over all sessions.
        confirmed: usize,
        /// Slots of the sessions that are up; `None` without a limit.
        slots: Option<usize>,
        /// What was refused.
        refused: Vec<Refused>,
        /// What can never be had.
        left_out: Vec<(Registration, LeftOut)>,
    },
    /// What has no slot changed; each time the whole list.
    Unplaced(Vec<Registration>),
    /// What should be registered is not, for longer than it may take.
    Incomplete {
        /// Wanted, with a slot, neither confirmed nor refused.
        missing: Vec<Registration>,
    },
    /// A registration was silent while its issue traded; it is asked for anew.
    Mute {
        /// Its session.
        session: usize,
        /// Which.
        registration: Registration,
    },
    /// A session ended, or none could be had.
    Lost {
        /// Its number.
        session: usize,
        /// Why.
        cause: LossCause,
        /// Pause before the next attempt.
        retry_in: Duration,
    },
    /// A session ended for good: KIS does not know its key.
    GivenUp {
        /// Its number.
        session: usize,
        /// Why.
        why: String,
    },
    /// An account notice could not be opened.
    UnreadableNotice {
        /// Its session.
        session: usize,
        /// Why.
        why: super::notice::NoticeError,
    },
}

/// Why the feed ended for good.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Nobody takes the frames any more.
    #[error("the feed's consumer is gone")]
    SinkClosed(#[from] SinkClosed),
    /// KIS does not know the app key or secret.
    #[error("the feed cannot log in: {0}")]
    Credentials(#[source] KisError),
    /// The server refuses the app key in the session itself.
    #[error("the feed's server refuses the app key: check KIS_APP_KEY and KIS_ENV")]
    AppKey,
    /// A session's task failed.
    #[error("a session of the feed failed: {0}")]
    Task(String),
}

/// The consumer of the feed is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consumer of frames is gone")]
pub struct SinkClosed;

/// Where frames go; one clone a session, and one for the events. Bounded: a method that waits makes
/// the socket wait. Methods are never cancelled half-way; a stopping consumer goes on taking frames
/// until the feed has ended, or answers [`SinkClosed`].
pub trait FrameSink: Clone + Send + 'static {
    /// Takes one frame. A data frame is a message as received; a connection frame is the payload of
    /// a [`crate::messages::Coverage`].
    fn push(
        &mut self,
        kind: FrameKind,
        received_us: i64,
        payload: &[u8],
    ) -> impl Future<Output = Result<(), SinkClosed>> + Send;

    /// The end of a batch: nothing more is ready.
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkClosed>> + Send;

    /// Waits until what was flushed is safe: only then is a `PINGPONG` echoed that came behind it.
    /// May be cancelled.
    fn settled(&mut self) -> impl Future<Output = Result<(), SinkClosed>> + Send {
        async { Ok(()) }
    }

    /// Something happened to the feed.
    fn report(&mut self, event: FeedEvent) -> impl Future<Output = Result<(), SinkClosed>> + Send;
}

/// What a session needs of KIS besides its socket, for one app key.
pub trait KisAccess: Clone + Send + Sync + 'static {
    /// A new approval key.
    fn approval_key(&self) -> impl Future<Output = Result<SecretString, KisError>> + Send;

    /// Why KIS must not be asked anything now; `None` when it may.
    fn blocked(&self) -> impl Future<Output = Option<String>> + Send;

    /// Shares of an issue traded today, by the exchange's own count; `None` when it is not told.
    fn traded_volume(
        &self,
        symbol: Symbol,
    ) -> impl Future<Output = Result<Option<i64>, KisError>> + Send;
}

impl KisAccess for KisClient {
    async fn approval_key(&self) -> Result<SecretString, KisError> {
        Self::approval_key(self).await
    }

    async fn blocked(&self) -> Option<String> {
        let block = self.block().await?;
        Some(format!("{}, no call before {}", block.cause, block.until))
    }

    async fn traded_volume(&self, symbol: Symbol) -> Result<Option<i64>, KisError> {
        Ok(self.inquire_price(symbol).await?.volume)
    }
}

/// A feed, ready to run.
#[derive(Debug)]
pub struct Feed {
    config: FeedConfig,
    plan: Plan,
}

impl Feed {
    /// A feed; nothing is connected yet.
    #[must_use]
    pub fn new(config: FeedConfig) -> Self {
        let plan = Plan::new(&config.watch, config.environment);
        Self { config, plan }
    }

    /// What is asked for, and what can never be had.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs one session for each of `access` (one an app key) until `cancel` is cancelled; then
    /// closes them and returns.
    ///
    /// # Errors
    /// When the sink is gone or no key is good.
    pub async fn run<K: KisAccess, S: FrameSink>(
        self,
        access: Vec<K>,
        sink: S,
        cancel: CancellationToken,
    ) -> Result<(), FeedError> {
        coordinator::run(self, access, sink, cancel).await
    }
}
