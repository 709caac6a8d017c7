//! One WebSocket session, from its first subscription to its end.

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use super::{FeedConfig, FeedEvent, FrameSink, LossCause, SinkClosed};
use crate::kis::control::{self, AckCode, Control};
use crate::kis::frame;
use crate::kis::now;
use crate::kis::subscriptions::{Ledger, Plan, Registration, Verdict};
use crate::messages::FrameKind;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest message that is passed on.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Wait for the server's good-bye when we leave.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) enum Ended {
    Lost(LossCause),
    WrongAppKey,
}

/// Why the session's loop stops.
enum Stop {
    Ended(Ended),
    SinkClosed,
}

impl From<SinkClosed> for Stop {
    fn from(_: SinkClosed) -> Self {
        Self::SinkClosed
    }
}

impl From<LossCause> for Stop {
    fn from(cause: LossCause) -> Self {
        Self::Ended(Ended::Lost(cause))
    }
}

/// Connects within the answer time-out.
pub(super) async fn connect(config: &FeedConfig) -> Result<Socket, LossCause> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connecting =
        tokio_tungstenite::connect_async_with_config(config.ws_url.as_str(), Some(limits), true);
    match tokio::time::timeout(config.answer_timeout, connecting).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(LossCause::Connect(format!("{}: {error}", config.ws_url))),
        Err(_) => Err(LossCause::Connect(format!(
            "{}: no answer within {:?}",
            config.ws_url, config.answer_timeout
        ))),
    }
}

pub(super) struct Session<'a, S> {
    config: &'a FeedConfig,
    plan: &'a Plan,
    approval: &'a SecretString,
    socket: Socket,
    sink: &'a mut S,
    ledger: Ledger,
    announced: bool,
    last_message: Instant,
    /// When the waiting request was sent; also spaces the next one.
    last_request: Option<Instant>,
}

impl<'a, S: FrameSink> Session<'a, S> {
    pub(super) fn new(
        config: &'a FeedConfig,
        plan: &'a Plan,
        approval: &'a SecretString,
        socket: Socket,
        sink: &'a mut S,
    ) -> Self {
        Self {
            config,
            plan,
            approval,
            socket,
            sink,
            ledger: Ledger::new(plan),
            announced: false,
            last_message: Instant::now(),
            last_request: None,
        }
    }

    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<Ended, SinkClosed> {
        loop {
            match self.step(cancel).await {
                Ok(()) => {}
                Err(Stop::SinkClosed) => return Err(SinkClosed),
                Err(Stop::Ended(ended)) => {
                    // Best effort: the line may be gone already, and the loss is reported anyway.
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
                    return Ok(ended);
                }
            }
        }
    }

    /// Waits for the next thing to do and does it.
    async fn step(&mut self, cancel: &CancellationToken) -> Result<(), Stop> {
        self.subscribe_next().await?;
        let wake = self.next_deadline();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(LossCause::Stopped.into()),
            message = self.socket.next() => self.read_ready(message).await,
            () = tokio::time::sleep_until(wake) => self.on_deadline(),
        }
    }

    /// The earliest of: idle time-out, missing acknowledgement, next subscription.
    fn next_deadline(&self) -> Instant {
        let idle = self.last_message + self.config.idle_timeout;
        let request = match self.last_request {
            Some(sent) if self.ledger.is_waiting() => sent + self.config.answer_timeout,
            Some(sent) if !self.ledger.is_settled() => sent + self.config.subscribe_gap,
            _ => return idle,
        };
        idle.min(request)
    }

    fn on_deadline(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if now >= self.last_message + self.config.idle_timeout {
            return Err(LossCause::Idle(self.config.idle_timeout).into());
        }
        self.drop_unanswered(now);
        Ok(())
    }

    fn drop_unanswered(&mut self, now: Instant) {
        let waited = self.last_request.is_some_and(|sent| now >= sent + self.config.answer_timeout);
        if waited && self.ledger.is_waiting() {
            self.ledger.no_answer();
        }
    }

    /// Sends the next subscription when it is due; tells when all are settled.
    async fn subscribe_next(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        // A storm of data must not starve this: it is looked at on every step.
        self.drop_unanswered(now);
        if self.ledger.is_settled() {
            if !self.announced {
                self.announced = true;
                let event = FeedEvent::Subscribed {
                    confirmed: self.ledger.confirmed(),
                    refused: self.ledger.refused(),
                    left_out: self.plan.left_out.clone(),
                };
                self.sink.report(event).await?;
            }
            return Ok(());
        }
        if self.last_request.is_some_and(|sent| now < sent + self.config.subscribe_gap) {
            return Ok(());
        }
        if let Some(registration) = self.ledger.next_request() {
            self.last_request = Some(now);
            let text = subscription(self.approval, registration);
            self.send(Message::text(text)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Stop> {
        match tokio::time::timeout(self.config.answer_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(loss(&error).into()),
            Err(_) => Err(LossCause::Broken("the server does not read".into()).into()),
        }
    }

    /// Takes `first` and everything that is there already, up to a batch, then flushes once.
    async fn read_ready(
        &mut self,
        first: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Stop> {
        let (mut frames, mut bytes) = (0, 0);
        let mut message = first;
        let result = loop {
            match self.take(message).await {
                Ok(0) => {}
                Ok(length) => {
                    frames += 1;
                    bytes += length;
                }
                // What came before is flushed all the same.
                Err(stop) => break Err(stop),
            }
            if frames >= self.config.batch_frames || bytes >= self.config.batch_bytes {
                break Ok(());
            }
            match self.socket.next().now_or_never() {
                Some(next) => message = next,
                None => break Ok(()),
            }
        };
        if frames > 0 && !matches!(result, Err(Stop::SinkClosed)) {
            self.sink.flush().await?;
        }
        result
    }

    /// Handles one message; returns the bytes pushed, 0 when it was none of the data.
    async fn take(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<usize, Stop> {
        let message = match message {
            None => return Err(LossCause::Closed("end of stream".into()).into()),
            Some(Err(error)) => return Err(loss(&error).into()),
            Some(Ok(message)) => message,
        };
        match &message {
            Message::Text(text) if frame::is_control(text.as_bytes()) => {
                self.last_message = Instant::now();
                self.control(text.as_str()).await?;
                Ok(0)
            }
            Message::Text(text) => self.push(text.as_bytes()).await,
            Message::Binary(bytes) => self.push(bytes).await,
            Message::Close(reason) => {
                let reason = reason.as_ref().map_or_else(
                    || "no reason given".to_owned(),
                    |close| format!("{} {}", u16::from(close.code), close.reason),
                );
                Err(LossCause::Closed(reason).into())
            }
            // The library answers pings by itself; neither is a sign of the feed's life.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(0),
        }
    }

    async fn push(&mut self, payload: &[u8]) -> Result<usize, Stop> {
        self.last_message = Instant::now();
        self.sink.push(FrameKind::Data, now().micros(), payload).await?;
        // An empty message is a frame as well.
        Ok(payload.len().max(1))
    }

    async fn control(&mut self, text: &str) -> Result<(), Stop> {
        match control::parse(text) {
            Control::PingPong => self.send(Message::text(text.to_owned())).await,
            Control::Ack(ack) => match self.ledger.acknowledge(&ack) {
                Verdict::Noted => {
                    if !ack.code.is_success() {
                        tracing::warn!(
                            tr_id = ack.tr_id,
                            tr_key = ack.tr_key,
                            code = ack.msg_cd,
                            message = ack.message,
                            "subscription refused"
                        );
                    }
                    Ok(())
                }
                Verdict::Unrelated => {
                    tracing::debug!(
                        tr_id = ack.tr_id,
                        code = ack.msg_cd,
                        "acknowledgement of nothing that was asked"
                    );
                    Ok(())
                }
                Verdict::Over(AckCode::AppKeyInUse) => Err(LossCause::InUse.into()),
                Verdict::Over(AckCode::InvalidAppKey) => Err(Stop::Ended(Ended::WrongAppKey)),
                Verdict::Over(_) => Err(LossCause::Approval(ack.message).into()),
            },
            Control::Unknown(why) => {
                tracing::warn!(why, "control message not understood");
                Ok(())
            }
        }
    }
}

/// The request for one registration. Holds the approval key: never logged.
pub(super) fn subscription(approval: &SecretString, registration: Registration) -> String {
    serde_json::json!({
        "header": {
            "approval_key": approval.expose_secret(),
            "custtype": "P",
            "tr_type": "1",
            "content-type": "utf-8",
        },
        "body": {
            "input": { "tr_id": registration.tr.as_str(), "tr_key": registration.key.as_str() },
        },
    })
    .to_string()
}

fn loss(error: &tungstenite::Error) -> LossCause {
    use tungstenite::Error;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => LossCause::Closed(error.to_string()),
        Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) => {
            LossCause::Protocol(error.to_string())
        }
        _ => LossCause::Broken(error.to_string()),
    }
}
