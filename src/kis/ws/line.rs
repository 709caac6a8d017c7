//! The line of one app key: session after session, with pauses.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::loss::Pauses;
use super::session::{self, Ended, Session};
use super::{FeedConfig, FeedError, FrameSink, KisAccess, LossCause};
use crate::kis::notice::NoticeError;
use crate::kis::now;
use crate::kis::subscriptions::{Refused, Registration};
use crate::messages::FrameKind;
use crate::messages::feed::{Change, Coverage};

/// What a line tells the coordinator.
#[derive(Debug)]
pub(super) enum Note {
    /// A session began.
    Up,
    /// Nothing is left to ask; what stands and what was refused.
    Settled { standing: Vec<Registration>, refused: Vec<Refused>, limit: Option<usize> },
    /// These registrations are silent for suspiciously long; the busiest first.
    Suspects(Vec<Registration>),
    /// A registration was mute and is asked for anew.
    Mute(Registration),
    /// A notice could not be opened.
    UnreadableNotice(NoticeError),
    /// The session ended, or none could be had.
    Down { cause: LossCause, retry_in: Duration },
}

/// What the coordinator tells a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// The registration's issue has traded since then, by the exchange's count.
    Traded { registration: Registration, since: Instant },
}

/// One app key's part of the feed.
pub(super) struct Line<K, S> {
    pub number: usize,
    pub config: Arc<FeedConfig>,
    pub access: K,
    pub sink: S,
    pub target: watch::Receiver<Arc<[Registration]>>,
    pub orders: mpsc::Receiver<Order>,
    pub notes: mpsc::Sender<(usize, Note)>,
    pub cancel: CancellationToken,
}

struct Approval {
    key: SecretString,
    since: Instant,
}

enum OpenError {
    Lost(LossCause),
    Fatal(FeedError),
}

impl<K: KisAccess, S: FrameSink> Line<K, S> {
    /// Runs sessions until the feed is cancelled.
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        let mut pauses = Pauses::new();
        let mut approval: Option<Approval> = None;
        loop {
            let start = Instant::now();
            let cancel = self.cancel.clone();
            let cause = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                opened = self.open(&mut approval) => match opened {
                    Ok((socket, key)) => match self.session(socket, key).await? {
                        LossCause::Stopped => return Ok(()),
                        cause => cause,
                    },
                    Err(OpenError::Lost(cause)) => cause,
                    Err(OpenError::Fatal(error)) => return Err(error),
                },
            };
            if start.elapsed() >= self.config.stable_after {
                pauses.reset();
            }
            if matches!(cause, LossCause::Approval(_)) {
                approval = None;
            }
            let retry_in = pauses.after(&cause, &self.config);
            self.note(Note::Down { cause, retry_in }).await;
            tokio::select! {
                () = self.cancel.cancelled() => return Ok(()),
                () = sleep(retry_in) => {}
            }
        }
    }

    /// The coordinator outlives its lines; without it nobody listens.
    pub(super) async fn note(&mut self, note: Note) {
        let _ = self.notes.send((self.number, note)).await;
    }

    /// Gets a key when there is no good one, and connects.
    async fn open(
        &mut self,
        approval: &mut Option<Approval>,
    ) -> Result<(session::Socket, SecretString), OpenError> {
        if let Some(why) = self.access.blocked().await {
            return Err(OpenError::Lost(LossCause::Blocked(why)));
        }
        let fresh = |held: &Approval| held.since.elapsed() < self.config.approval_life;
        let key = match approval.as_ref().filter(|held| fresh(held)) {
            Some(held) => held.key.clone(),
            None => {
                let key = self.access.approval_key().await.map_err(|error| {
                    if error.is_terminal() {
                        OpenError::Fatal(FeedError::Credentials(error))
                    } else {
                        OpenError::Lost(LossCause::Approval(error.to_string()))
                    }
                })?;
                *approval = Some(Approval { key: key.clone(), since: Instant::now() });
                key
            }
        };
        let socket = session::connect(&self.config).await.map_err(OpenError::Lost)?;
        Ok((socket, key))
    }

    /// One session, framed by coverage records.
    async fn session(
        &mut self,
        socket: session::Socket,
        key: SecretString,
    ) -> Result<LossCause, FeedError> {
        self.tell_coverage(Change::Began, None, Vec::new()).await?;
        self.note(Note::Up).await;
        let session = Session::new(self, key, socket);
        let (ended, issues) = session.run().await?;
        let cause = match ended {
            Ended::Lost(cause) => cause,
            Ended::WrongAppKey(message) => {
                let cause = LossCause::Approval(message);
                self.tell_coverage(Change::Ended, Some(&cause), issues).await?;
                return Err(FeedError::AppKey);
            }
        };
        self.tell_coverage(Change::Ended, Some(&cause), issues).await?;
        Ok(cause)
    }

    /// Puts a change of what is covered into the stream, behind everything that came before.
    pub(super) async fn tell_coverage(
        &mut self,
        change: Change,
        cause: Option<&LossCause>,
        issues: Vec<crate::market::Symbol>,
    ) -> Result<(), super::SinkClosed> {
        let coverage = Coverage {
            change,
            session: self.number,
            cause: cause.map(ToString::to_string).unwrap_or_default(),
            mute: matches!(cause, Some(LossCause::Mute(_))),
            all: false,
            issues,
        };
        self.sink.push(FrameKind::Connection, now().micros(), &coverage.payload()).await?;
        self.sink.flush().await
    }
}
