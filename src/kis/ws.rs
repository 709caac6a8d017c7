//! The feed: a WebSocket session that is kept alive, subscribed and drained.
//!
//! In: what to watch, a source of approval keys, a token that ends it. Out, through a [`FrameSink`]:
//! every data message unchanged with its receive time, in batches of whatever is ready; connection
//! changes in the same stream, so that order is kept; and [`FeedEvent`]s for whoever watches.
//! Acknowledgements and PINGPONG are not passed on.
//!
//! **Back-pressure.** A sink that waits makes the socket wait; nothing is dropped or buffered here
//! beyond one batch.
//!
//! **Loss.** A session ends by itself when the server closes it, on a network or protocol error,
//! when no application message (data, acknowledgement, PINGPONG) came for `idle_timeout`, or when
//! the server refuses the key. Transport pings do not count as life. Each session is rebuilt from
//! nothing. Pauses between sessions grow from a floor to a cap, with jitter, and start over after a
//! session that lasted; each kind of loss has a floor of its own. Wrong app keys end the feed: no
//! repetition helps.
//!
//! **Limits.** Messages up to 1 MiB are passed on, so that the journal keeps what the parser will
//! refuse; a longer one ends the session. So does a text message that is not UTF-8, which the
//! protocol forbids; binary messages are passed on as they are.

mod session;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::session::{Ended, Session};
use super::backoff::Backoff;
use super::subscriptions::{LeftOut, Plan, Refused, Registration, Watch};
use super::{Environment, KisClient, KisError, now};
use crate::messages::FrameKind;

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
    /// A session that lasted so long was a good one: pauses start over.
    pub stable_after: Duration,
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
            stable_after: Duration::from_secs(60),
            approval_life: Duration::from_secs(12 * 3_600),
            batch_frames: 512,
            batch_bytes: 256 * 1024,
        }
    }
}

/// What happens to the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// A session began.
    Connected,
    /// Every registration of the plan has been answered or given up.
    Subscribed {
        /// Registrations that stand.
        confirmed: usize,
        /// What was refused.
        refused: Vec<Refused>,
        /// What the plan had no place for.
        left_out: Vec<(Registration, LeftOut)>,
    },
    /// A session ended, or none could be had.
    Lost {
        /// Why.
        cause: LossCause,
        /// Pause before the next attempt.
        retry_in: Duration,
    },
}

/// Why a session ended or could not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossCause {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The server said good-bye.
    #[error("closed by the server: {0}")]
    Closed(String),
    /// The line broke.
    #[error("connection broke: {0}")]
    Broken(String),
    /// Something that is not WebSocket, not UTF-8, or too long.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// No application message for the idle time-out.
    #[error("no message for {0:?}")]
    Idle(Duration),
    /// Another session uses the app key.
    #[error("the app key is in use by another session (OPSP8996)")]
    InUse,
    /// The approval key was refused, or none could be had.
    #[error("approval: {0}")]
    Approval(String),
    /// The feed was told to stop.
    #[error("stopped")]
    Stopped,
}

impl LossCause {
    /// Short name, a metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Closed(_) => "closed",
            Self::Broken(_) => "broken",
            Self::Protocol(_) => "protocol",
            Self::Idle(_) => "idle",
            Self::InUse => "in_use",
            Self::Approval(_) => "approval",
            Self::Stopped => "stopped",
        }
    }
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
}

/// The consumer of the feed is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consumer of frames is gone")]
pub struct SinkClosed;

/// Where frames go. Bounded: a method that waits makes the socket wait. Methods are never
/// cancelled half-way; a stopping consumer goes on taking frames until the feed has ended, or
/// answers [`SinkClosed`].
pub trait FrameSink: Send {
    /// Takes one frame. A data frame is a message as received; a connection frame is the payload of
    /// [`connection_payload`].
    fn push(
        &mut self,
        kind: FrameKind,
        received_us: i64,
        payload: &[u8],
    ) -> impl Future<Output = Result<(), SinkClosed>> + Send;

    /// The end of a batch: nothing more is ready.
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkClosed>> + Send;

    /// Something happened to the feed, after everything pushed so far.
    fn report(&mut self, event: FeedEvent) -> impl Future<Output = Result<(), SinkClosed>> + Send;
}

/// Where approval keys come from.
pub trait ApprovalKeys: Send + Sync {
    /// A new approval key.
    fn approval_key(&self) -> impl Future<Output = Result<SecretString, KisError>> + Send;
}

impl ApprovalKeys for KisClient {
    async fn approval_key(&self) -> Result<SecretString, KisError> {
        Self::approval_key(self).await
    }
}

/// Payload of a [`FrameKind::Connection`] frame: `1` when a session began, `0` and the cause as
/// text when it ended.
#[must_use]
pub fn connection_payload(lost: Option<&LossCause>) -> Vec<u8> {
    match lost {
        None => b"1".to_vec(),
        Some(cause) => format!("0{cause}").into_bytes(),
    }
}

/// A feed, ready to run.
#[derive(Debug)]
pub struct Feed {
    config: FeedConfig,
    plan: Plan,
}

struct Approval {
    key: SecretString,
    since: Instant,
}

impl Feed {
    /// A feed; nothing is connected yet.
    #[must_use]
    pub fn new(config: FeedConfig) -> Self {
        let plan = Plan::new(&config.watch, config.environment, config.max_registrations);
        Self { config, plan }
    }

    /// What each session asks for, and what has no place.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs sessions until `cancel` is cancelled; then closes the session and returns.
    ///
    /// # Errors
    /// When the sink is gone or the keys are wrong.
    pub async fn run<K: ApprovalKeys, S: FrameSink>(
        self,
        keys: K,
        mut sink: S,
        cancel: CancellationToken,
    ) -> Result<(), FeedError> {
        let mut backoff = Backoff::new(self.config.reconnect_floor, self.config.reconnect_cap);
        let mut approval: Option<Approval> = None;
        loop {
            let start = Instant::now();
            let ended = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                opened = self.open(&keys, &mut approval) => match opened {
                    Ok(session) => {
                        let cause = self.session(session, &approval, &mut sink, &cancel).await?;
                        if cause == LossCause::Stopped {
                            return Ok(());
                        }
                        cause
                    }
                    Err(OpenError::Lost(cause)) => cause,
                    Err(OpenError::Fatal(error)) => return Err(error),
                },
            };
            if start.elapsed() >= self.config.stable_after {
                backoff.reset();
            }
            if matches!(ended, LossCause::Approval(_)) {
                approval = None;
            }
            let retry_in = self.pause(&ended, &mut backoff);
            tracing::warn!(cause = ended.as_str(), detail = %ended, ?retry_in, "feed lost");
            sink.report(FeedEvent::Lost { cause: ended, retry_in }).await?;
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(retry_in) => {}
            }
        }
    }

    /// The pause before the next session.
    fn pause(&self, cause: &LossCause, backoff: &mut Backoff) -> Duration {
        let pause = backoff.pause();
        match cause {
            LossCause::InUse => pause.max(self.config.in_use_floor),
            _ => pause,
        }
    }

    /// Gets a key when there is no good one, and connects.
    async fn open<K: ApprovalKeys>(
        &self,
        keys: &K,
        approval: &mut Option<Approval>,
    ) -> Result<session::Socket, OpenError> {
        if approval.as_ref().is_none_or(|held| held.since.elapsed() >= self.config.approval_life) {
            let key = keys.approval_key().await.map_err(|error| {
                if error.is_terminal() {
                    OpenError::Fatal(FeedError::Credentials(error))
                } else {
                    OpenError::Lost(LossCause::Approval(error.to_string()))
                }
            })?;
            *approval = Some(Approval { key, since: Instant::now() });
        }
        session::connect(&self.config).await.map_err(OpenError::Lost)
    }

    /// One session, framed by connection records.
    async fn session<S: FrameSink>(
        &self,
        socket: session::Socket,
        approval: &Option<Approval>,
        sink: &mut S,
        cancel: &CancellationToken,
    ) -> Result<LossCause, FeedError> {
        let Some(approval) = approval else {
            // `open` leaves one behind whenever it gives a socket.
            return Ok(LossCause::Approval("no approval key".into()));
        };
        sink.push(FrameKind::Connection, now().micros(), &connection_payload(None)).await?;
        sink.flush().await?;
        sink.report(FeedEvent::Connected).await?;
        let session = Session::new(&self.config, &self.plan, &approval.key, socket, sink);
        let cause = match session.run(cancel).await? {
            Ended::Lost(cause) => cause,
            Ended::WrongAppKey => return Err(FeedError::AppKey),
        };
        let payload = connection_payload(Some(&cause));
        sink.push(FrameKind::Connection, now().micros(), &payload).await?;
        sink.flush().await?;
        Ok(cause)
    }
}

enum OpenError {
    Lost(LossCause),
    Fatal(FeedError),
}
