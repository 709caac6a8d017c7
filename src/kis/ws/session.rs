//! One WebSocket session, from its first subscription to its end.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::line::{Line, Note, Order};
use super::{FeedConfig, FrameSink, KisAccess, LossCause, SinkClosed};
use crate::kis::Tr;
use crate::kis::control::{self, Ack, AckCode, Control};
use crate::kis::frame;
use crate::kis::notice::{NoticeError, NoticeKey};
use crate::kis::subscriptions::{Action, FeedKey, Ledger, Registration, Verdict};
use crate::market::{EventTime, Symbol};
use crate::messages::FrameKind;
use crate::messages::feed::Change;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest message that is passed on.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Wait for the server's good-bye when we leave.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) enum Ended {
    Lost(LossCause),
    WrongAppKey(String),
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
        Ok(Err(error)) => Err(LossCause::of_handshake(&config.ws_url, &error)),
        Err(_) => Err(LossCause::Connect(format!(
            "{}: no answer within {:?}",
            config.ws_url, config.answer_timeout
        ))),
    }
}

pub(super) struct Session<'a, K, S> {
    line: &'a mut Line<K, S>,
    config: Arc<FeedConfig>,
    approval: SecretString,
    socket: Socket,
    ledger: Ledger,
    notices: Option<NoticeKey>,
    /// What stands has been told since the ledger last changed.
    told: bool,
    last_message: Instant,
    last_data: Option<Instant>,
    /// Event time in the newest frame of trades.
    seen: Option<EventTime>,
    /// Since when trades are to be expected; `None` while the market is closed.
    active: Option<Instant>,
    /// When the waiting request was sent; also spaces the next one.
    last_request: Option<Instant>,
}

impl<'a, K: KisAccess, S: FrameSink> Session<'a, K, S> {
    pub(super) fn new(line: &'a mut Line<K, S>, approval: SecretString, socket: Socket) -> Self {
        let now = Instant::now();
        let target = Arc::clone(&line.target.borrow_and_update());
        Self {
            config: Arc::clone(&line.config),
            line,
            approval,
            socket,
            ledger: Ledger::new(&target, now),
            notices: None,
            told: false,
            last_message: now,
            last_data: None,
            seen: None,
            active: None,
            last_request: None,
        }
    }

    /// Runs it to its end: why, and the issues whose trades it carried.
    pub(super) async fn run(mut self) -> Result<(Ended, Vec<Symbol>), SinkClosed> {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(Stop::SinkClosed) => return Err(SinkClosed),
                Err(Stop::Ended(ended)) => {
                    // Best effort: the line may be gone already, and the loss is reported anyway.
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
                    let carried = self.ledger.standing().filter_map(traded_issue).collect();
                    return Ok((ended, carried));
                }
            }
        }
    }

    /// Waits for the next thing to do and does it.
    async fn step(&mut self) -> Result<(), Stop> {
        self.follow_hours();
        self.subscribe_next().await?;
        let wake = self.next_deadline();
        tokio::select! {
            biased;
            () = self.line.cancel.cancelled() => Err(LossCause::Stopped.into()),
            Some(order) = self.line.orders.recv() => self.obey(order).await,
            Ok(()) = self.line.target.changed() => self.retarget().await,
            message = self.socket.next() => self.read_ready(message).await,
            () = tokio::time::sleep_until(wake) => self.on_deadline().await,
        }
    }

    fn follow_hours(&mut self) {
        if self.config.is_trading(self.seen) {
            self.active.get_or_insert_with(Instant::now);
        } else {
            self.active = None;
        }
    }

    /// The earliest of: idle time-out, missing acknowledgement, next request, next suspicion.
    fn next_deadline(&self) -> Instant {
        let idle = self.last_message + self.config.idle_timeout;
        let request = match self.last_request {
            Some(sent) if self.ledger.is_waiting() => Some(sent + self.config.answer_timeout),
            Some(sent) if !self.ledger.is_settled() => Some(sent + self.config.subscribe_gap),
            _ => None,
        };
        let suspicion =
            self.active.and_then(|active| self.ledger.next_suspicion(active, &self.config.mute));
        let retry = self.ledger.next_retry();
        [request, suspicion, retry].into_iter().flatten().fold(idle, Instant::min)
    }

    async fn on_deadline(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if now >= self.last_message + self.config.idle_timeout {
            return Err(LossCause::Idle(self.config.idle_timeout).into());
        }
        self.drop_unanswered(now);
        let Some(active) = self.active else { return Ok(()) };
        let suspects = self.ledger.suspects(now, active, &self.config.mute);
        let (trades, others): (Vec<_>, Vec<_>) =
            suspects.into_iter().partition(|registration| registration.tr == Tr::Trade);
        // An index is never quiet in the session: while trades come, its silence is proof enough.
        let trades_come = self.last_data.is_some_and(|last| last + self.config.mute.floor > now);
        for registration in others.into_iter().filter(|_| trades_come) {
            self.ask_anew(registration).await?;
        }
        if !trades.is_empty() {
            self.line.note(Note::Suspects(trades)).await;
        }
        Ok(())
    }

    fn drop_unanswered(&mut self, now: Instant) {
        let waited = self.last_request.is_some_and(|sent| now >= sent + self.config.answer_timeout);
        if waited && self.ledger.is_waiting() {
            self.ledger.no_answer(now);
        }
    }

    /// What is wanted of this session has changed.
    async fn retarget(&mut self) -> Result<(), Stop> {
        let target = Arc::clone(&self.line.target.borrow_and_update());
        let moved: Vec<Symbol> = self
            .ledger
            .standing()
            .filter(|standing| !target.contains(standing))
            .filter_map(traded_issue)
            .collect();
        self.ledger.retarget(&target, Instant::now());
        self.told = false;
        if !moved.is_empty() {
            self.line.tell_coverage(Change::Uncovered, None, moved).await?;
        }
        Ok(())
    }

    /// The exchange says that an issue traded: was its registration silent all the time?
    async fn obey(&mut self, order: Order) -> Result<(), Stop> {
        let Order::Traded { registration, since } = order;
        if self.ledger.has_beaten_since(&registration, since) {
            return Ok(());
        }
        if self.last_data.is_none_or(|last| last < since) {
            return Err(LossCause::Mute(registration.to_string()).into());
        }
        self.ask_anew(registration).await
    }

    /// A registration is mute: asked for anew, and the second time the session is given up.
    async fn ask_anew(&mut self, registration: Registration) -> Result<(), Stop> {
        match self.ledger.mute(&registration) {
            0 => return Ok(()),
            1 => {}
            _ if registration.tr == Tr::Trade => {
                return Err(LossCause::Mute(registration.to_string()).into());
            }
            _ => {}
        }
        self.told = false;
        let issues = traded_issue(registration).into_iter().collect();
        let mute = LossCause::Mute(registration.to_string());
        self.line.tell_coverage(Change::Uncovered, Some(&mute), issues).await?;
        self.line.note(Note::Mute(registration)).await;
        Ok(())
    }

    /// Sends the next request when it is due; tells when all are settled.
    async fn subscribe_next(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        // A storm of data must not starve this: it is looked at on every step.
        self.drop_unanswered(now);
        self.ledger.retry_given_up(now);
        if self.ledger.is_settled() {
            if !self.told {
                self.told = true;
                let settled = Note::Settled {
                    standing: self.ledger.standing().collect(),
                    refused: self.ledger.refused(),
                    limit: self.ledger.limit(),
                };
                self.line.note(settled).await;
            }
            return Ok(());
        }
        if self.last_request.is_some_and(|sent| now < sent + self.config.subscribe_gap) {
            return Ok(());
        }
        if let Some((registration, action)) = self.ledger.next_request() {
            self.last_request = Some(now);
            let text = request(&self.approval, registration, action);
            self.send(Message::text(text)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Stop> {
        match tokio::time::timeout(self.config.answer_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LossCause::of_error(&error).into()),
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
            self.line.sink.flush().await?;
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
            Some(Err(error)) => return Err(LossCause::of_error(&error).into()),
            Some(Ok(message)) => message,
        };
        match &message {
            Message::Text(text) if frame::is_control(text.as_bytes()) => {
                self.last_message = Instant::now();
                self.control(text.as_str()).await?;
                Ok(0)
            }
            Message::Text(text) => self.data(text.as_bytes()).await,
            Message::Binary(bytes) => self.data(bytes).await,
            Message::Close(reason) => Err(LossCause::of_close(reason.as_ref()).into()),
            // The library answers pings by itself; neither is a sign of the feed's life.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(0),
        }
    }

    async fn data(&mut self, payload: &[u8]) -> Result<usize, Stop> {
        let now = Instant::now();
        self.last_message = now;
        if let Some(peeked) = frame::peek(payload) {
            if let Some(key) = FeedKey::from_bytes(peeked.key) {
                let late = self.ledger.beat(&Registration { tr: peeked.tr, key }, now);
                self.told &= !late;
            }
            if let (Tr::Trade, Some(time)) = (peeked.tr, peeked.time) {
                self.last_data = Some(now);
                self.seen = Some(time);
            }
        }
        let opened = match &self.notices {
            _ if !payload.starts_with(b"1|") => None,
            None => {
                self.line.note(Note::UnreadableNotice(NoticeError::Key)).await;
                None
            }
            Some(key) => match key.open(payload) {
                Ok(plain) => Some(plain),
                Err(why) => {
                    self.line.note(Note::UnreadableNotice(why)).await;
                    None
                }
            },
        };
        let payload = opened.as_deref().unwrap_or(payload);
        self.line.sink.push(FrameKind::Data, crate::kis::now().micros(), payload).await?;
        // An empty message is a frame as well.
        Ok(payload.len().max(1))
    }

    async fn control(&mut self, text: &str) -> Result<(), Stop> {
        match control::parse(text) {
            Control::PingPong => {
                // The echo says that what came before is safe here; it waits as long as that takes.
                self.line.sink.flush().await?;
                tokio::select! {
                    biased;
                    () = self.line.cancel.cancelled() => return Err(LossCause::Stopped.into()),
                    settled = self.line.sink.settled() => settled?,
                }
                self.send(Message::text(text.to_owned())).await
            }
            Control::Ack(ack) => self.acknowledged(&ack),
            Control::Unknown(why) => {
                tracing::warn!(why, "control message not understood");
                Ok(())
            }
        }
    }

    fn acknowledged(&mut self, ack: &Ack) -> Result<(), Stop> {
        match self.ledger.acknowledge(ack, Instant::now()) {
            Verdict::Noted => {
                self.told = false;
                let notice = [Tr::Notice, Tr::PaperNotice].map(Tr::as_str);
                if ack.code.is_success() && notice.contains(&ack.tr_id.as_str()) {
                    self.notices = NoticeKey::of(ack).or(self.notices.take());
                }
                let expected = ack.code.is_success() || ack.code == AckCode::Unsubscribed;
                if !expected {
                    // A notice's key is the customer's name.
                    let key = if notice.contains(&ack.tr_id.as_str()) { "" } else { &ack.tr_key };
                    tracing::warn!(
                        tr_id = ack.tr_id,
                        key,
                        code = ack.msg_cd,
                        message = ack.message,
                        "subscription refused"
                    );
                }
                Ok(())
            }
            Verdict::Unrelated => {
                let (tr_id, code) = (&ack.tr_id, &ack.msg_cd);
                tracing::debug!(tr_id, code, "acknowledgement of nothing that was asked");
                Ok(())
            }
            Verdict::Over(AckCode::AppKeyInUse) => Err(LossCause::InUse.into()),
            Verdict::Over(AckCode::InvalidAppKey) => {
                Err(Stop::Ended(Ended::WrongAppKey(ack.message.clone())))
            }
            Verdict::Over(_) => Err(LossCause::Approval(ack.message.clone()).into()),
        }
    }
}

/// The issue of a registration of trades.
fn traded_issue(registration: Registration) -> Option<Symbol> {
    if registration.tr == Tr::Trade { registration.key.symbol() } else { None }
}

/// The request for one registration. Holds the approval key: never logged.
pub(super) fn request(
    approval: &SecretString,
    registration: Registration,
    action: Action,
) -> String {
    let tr_type = match action {
        Action::Subscribe => "1",
        Action::Unsubscribe => "2",
    };
    serde_json::json!({
        "header": {
            "approval_key": approval.expose_secret(),
            "custtype": "P",
            "tr_type": tr_type,
            "content-type": "utf-8",
        },
        "body": {
            "input": { "tr_id": registration.tr.as_str(), "tr_key": registration.key.as_str() },
        },
    })
    .to_string()
}
