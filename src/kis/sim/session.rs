//! One WebSocket session: subscriptions in, acknowledgements and frames out.
//!
//! The reader answers subscriptions, the writer sends what the clock and the reader queued. The
//! queue is bounded: a client that does not read makes the clock wait, and is dropped when it has
//! taken nothing, or answered no `PINGPONG`, for the time KIS allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::stream::SplitStream;
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::auth::korean_stamp;
use super::faults::{self, Cutter, Door, Line, Pipe, Refused, Sink, Verdict, Wire};
use super::feed::Feed;
use super::notices::{self, NoticeCipher, NoticeSubscription};
use super::options::SimEnv;
use super::server::Shared;

/// Batches of frames and acknowledgements that wait for a session's socket.
const QUEUE: usize = 8;

/// What waits for the socket.
pub(crate) enum Outgoing {
    /// Frames of the feeds.
    Frames(Vec<Utf8Bytes>),
    /// What faults made of frames.
    Wires(Vec<Wire>),
    /// An answer to a message of the client.
    Answer(String),
    /// A `PINGPONG` whose echo confirms everything before it.
    Confirm(u64),
    /// Tells when everything before it has been written.
    Barrier(oneshot::Sender<()>),
}

/// What a session is subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    data: BTreeSet<(Feed, u32)>,
    /// Order notices, by HTS id.
    notices: BTreeMap<String, NoticeSubscription>,
}

impl Subscriptions {
    fn len(&self) -> usize {
        self.data.len() + self.notices.len()
    }

    /// Ends every data subscription; how many there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.data).len()
    }

    /// Subscriptions to order notices.
    pub fn notices(&self) -> impl Iterator<Item = &NoticeSubscription> {
        self.notices.values()
    }

    /// Whether frames of this feed and key are wanted.
    pub fn wants(&self, feed: Feed, key: u32) -> bool {
        self.data.contains(&(feed, key))
    }
}

/// A session as the clock sees it.
pub(crate) struct Session {
    id: u64,
    pub subscriptions: Mutex<Subscriptions>,
    pub queue: mpsc::Sender<Outgoing>,
    /// Since when a `PINGPONG` is without an answer.
    unanswered: Mutex<Option<Instant>>,
    pub faults: Mutex<Pipe>,
    /// Number of the last step that the client confirmed; closed with the session.
    confirmed: Mutex<Option<watch::Sender<u64>>>,
}

impl Session {
    /// Waits until the client has confirmed `step`; false when the session ended before.
    pub async fn has_confirmed(&self, step: u64) -> bool {
        let told = self.confirmed.lock().as_ref().map(watch::Sender::subscribe);
        match told {
            Some(mut told) => told.wait_for(|last| *last >= step).await.is_ok(),
            None => false,
        }
    }

    fn confirm(&self, echo: &Value) {
        let step = echo["header"]["step"].as_u64();
        if let (Some(step), Some(confirmed)) = (step, self.confirmed.lock().as_ref()) {
            confirmed.send_replace(step);
        }
    }
}

/// What to do after an answer.
enum Then {
    Go,
    Change(Change),
    Close,
}

/// A change of the subscriptions that takes effect once its answer is queued, so that no frame
/// comes before it.
enum Change {
    Add(Feed, u32),
    Remove(Feed, u32),
    AddNotice(NoticeSubscription),
    /// The HTS id.
    RemoveNotice(String),
}

/// Serves one connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, id: u64, stream: TcpStream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let door = shared.faults.connection(&shared);
    if door == Door::Reset {
        // Without lingering, the connection's end is a reset. If that cannot be set it is closed.
        let _ = stream.set_zero_linger();
        return;
    }
    let (line, cutter) = Line::new(stream);
    if let Door::Refused(status) = door {
        let refusal = tokio_tungstenite::accept_hdr_async(line, faults::refuse_upgrade(status));
        // An error either way: the client is refused, or it did not ask.
        let _ = timeout(shared.options.drop_after, refusal).await;
        return;
    }
    let handshake = tokio_tungstenite::accept_async(line);
    let Ok(Ok(socket)) = timeout(shared.options.drop_after, handshake).await else { return };
    let (sink, stream) = socket.split();
    let (queue, waiting) = mpsc::channel(QUEUE);
    let session = Arc::new(Session {
        id,
        subscriptions: Mutex::default(),
        queue,
        unanswered: Mutex::default(),
        faults: Mutex::new(shared.faults.pipe()),
        confirmed: Mutex::new(Some(watch::Sender::new(0))),
    });
    shared.sessions.lock().push(Arc::clone(&session));
    shared.log.record("", "ws:connect", "", "101");
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = read(&shared, &session, stream) => {}
        () = write(&shared, &session, sink, &cutter, waiting) => {}
    }
    shared.sessions.lock().retain(|other| other.id != id);
    *session.confirmed.lock() = None;
    shared.owners.lock().retain(|_, owner| *owner != id);
    shared.faults.forget(&session);
    shared.log.record("", "ws:close", "", "");
    let left = session.subscriptions.lock().clear();
    shared.watch_changed(-(left as isize));
}

async fn write(
    shared: &Shared,
    session: &Session,
    mut sink: Sink,
    cutter: &Cutter,
    mut waiting: mpsc::Receiver<Outgoing>,
) {
    let every = shared.options.ping_every;
    let mut pings = interval_at(tokio::time::Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let outgoing = tokio::select! {
            outgoing = waiting.recv() => outgoing,
            _ = pings.tick() => {
                let silent = session.unanswered.lock().map(|since| since.elapsed());
                if silent.is_some_and(|silent| silent >= shared.options.drop_after) {
                    return;
                }
                if shared.faults.swallows_ping(shared, session) {
                    continue;
                }
                let stamp = korean_stamp();
                let ping = json!({ "header": { "tr_id": "PINGPONG", "datetime": stamp } });
                session.unanswered.lock().get_or_insert_with(Instant::now);
                Some(Outgoing::Answer(ping.to_string()))
            }
        };
        let Some(outgoing) = outgoing else { return };
        let outgoing = match outgoing {
            Outgoing::Wires(wires) => {
                if !faults::write(shared, cutter, &mut sink, wires).await {
                    return;
                }
                continue;
            }
            other => other,
        };
        let sent = async {
            match outgoing {
                Outgoing::Wires(_) => Ok(()),
                Outgoing::Frames(frames) => {
                    for frame in frames {
                        sink.feed(Message::Text(frame)).await?;
                    }
                    sink.flush().await
                }
                Outgoing::Answer(text) => sink.send(Message::text(text)).await,
                Outgoing::Confirm(step) => {
                    let header = json!({
                        "tr_id": "PINGPONG", "datetime": korean_stamp(), "step": step,
                    });
                    sink.send(Message::text(json!({ "header": header }).to_string())).await
                }
                Outgoing::Barrier(done) => {
                    // Nobody waits any more: nothing to tell.
                    let _ = done.send(());
                    Ok(())
                }
            }
        };
        // A client that takes nothing for this long counts as gone, as with KIS.
        match timeout(shared.options.drop_after, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

async fn read(shared: &Shared, session: &Session, mut stream: SplitStream<WebSocketStream<Line>>) {
    while let Some(Ok(message)) = stream.next().await {
        let text = match message {
            Message::Text(text) => text,
            Message::Pong(_) => {
                *session.unanswered.lock() = None;
                continue;
            }
            Message::Close(_) => return,
            Message::Binary(_) | Message::Ping(_) | Message::Frame(_) => continue,
        };
        let request: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if request["header"]["tr_id"] == "PINGPONG" {
            *session.unanswered.lock() = None;
            session.confirm(&request);
            continue;
        }
        let verdict = shared.faults.request(shared, session, &request);
        let (answer, then) = match &verdict.refused {
            None => respond(shared, session, &request),
            Some(refused) => refuse(&request, refused),
        };
        log(shared, &request, &answer);
        if let Some(pause) = verdict.pause
            && session.queue.send(Outgoing::Wires(vec![Wire::Pause(pause)])).await.is_err()
        {
            return;
        }
        let answer = Outgoing::Answer(verdict.answer(answer));
        if !verdict.silent && session.queue.send(answer).await.is_err() {
            return;
        }
        match then {
            Then::Go => {}
            Then::Change(change) => apply(shared, session, change, &verdict),
            Then::Close => {
                let (done, written) = oneshot::channel();
                if session.queue.send(Outgoing::Barrier(done)).await.is_ok() {
                    // Written or the writer is gone: the session ends either way.
                    let _ = written.await;
                }
                return;
            }
        }
    }
}

/// Takes note of a subscription and its answer.
fn log(shared: &Shared, request: &Value, answer: &str) {
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let (header, input) = (&request["header"], &request["body"]["input"]);
    let endpoint = match header["tr_type"].as_str() {
        Some("1") => "ws:subscribe",
        Some("2") => "ws:unsubscribe",
        _ => "ws:message",
    };
    let app_key = shared.auth.approved(&text(&header["approval_key"])).unwrap_or_default();
    let what = format!("{} {}", text(&input["tr_id"]), text(&input["tr_key"]));
    let answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    shared.log.record(&app_key, endpoint, &what, &text(&answer["body"]["msg_cd"]));
}

fn apply(shared: &Shared, session: &Session, change: Change, verdict: &Verdict) {
    match change {
        Change::Add(feed, key) => shared.faults.registered(session, feed, key, Some(verdict)),
        Change::Remove(feed, key) => shared.faults.registered(session, feed, key, None),
        Change::AddNotice(..) | Change::RemoveNotice(..) => {}
    }
    let mut subscriptions = session.subscriptions.lock();
    let by = match change {
        Change::Add(feed, key) => isize::from(subscriptions.data.insert((feed, key))),
        Change::Remove(feed, key) => -isize::from(subscriptions.data.remove(&(feed, key))),
        Change::AddNotice(notice) => {
            subscriptions.notices.insert(notice.hts_id.clone(), notice);
            0
        }
        Change::RemoveNotice(hts_id) => {
            subscriptions.notices.remove(&hts_id);
            0
        }
    };
    drop(subscriptions);
    shared.watch_changed(by);
}

/// The second session of an app key.
fn in_use() -> (String, Then) {
    (refusal("(null)", "", "9", "OPSP8996", "ALREADY IN USE appkey"), Then::Close)
}

/// A refusal that is a fault.
fn refuse(request: &Value, refused: &Refused) -> (String, Then) {
    let input = |name: &str| request["body"]["input"][name].as_str().unwrap_or_default();
    match refused {
        Refused::InUse => in_use(),
        Refused::Code(code) => {
            let answer = refusal(input("tr_id"), input("tr_key"), "1", code, "internal error");
            (answer, Then::Go)
        }
    }
}

/// What a subscription names.
enum Target {
    Data(Feed, u32),
    Notice,
}

/// The answer to a message of the client.
fn respond(shared: &Shared, session: &Session, request: &Value) -> (String, Then) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (header, input) = (&request["header"], &request["body"]["input"]);
    let (tr_id, tr_key) = (text(&input["tr_id"]), text(&input["tr_key"]));
    let refuse = |rt_cd, code, message| (refusal(&tr_id, &tr_key, rt_cd, code, message), Then::Go);
    if !request.is_object() {
        return (refusal("(null)", "", "9", "OPSP9999", "invalid json"), Then::Go);
    }
    if !header.is_object() {
        return refuse("9", "OPSP9998", "header not found");
    }
    if !input.is_object() {
        return refuse("9", "OPSP9991", "input not found");
    }
    let approval = text(&header["approval_key"]);
    let Some(app_key) = shared.auth.approved(&approval) else {
        return refuse("1", "OPSP0011", "invalid approval : NOT FOUND");
    };
    if *shared.owners.lock().entry(app_key.clone()).or_insert(session.id) != session.id {
        return in_use();
    }
    let target = match target(shared, &tr_id, &tr_key) {
        Ok(target) => target,
        // Of a wrong HTS id KIS does not repeat the TR ID.
        Err((code, message)) if code == "OPSP0017" => {
            return (refusal("(null)", "", "9", code, message), Then::Go);
        }
        Err((code, message)) => return refuse("9", code, message),
    };
    let subscriptions = session.subscriptions.lock();
    let there = match target {
        Target::Data(feed, key) => subscriptions.wants(feed, key),
        Target::Notice => subscriptions.notices.contains_key(&tr_key),
    };
    let full = shared.options.max_registrations.is_some_and(|most| subscriptions.len() >= most);
    match header["tr_type"].as_str() {
        Some("1") if there => refuse("1", "OPSP0002", "ALREADY IN SUBSCRIBE"),
        Some("1") if full => refuse("1", "OPSP0008", "MAX SUBSCRIBE OVER"),
        Some("1") => {
            let change = match target {
                Target::Data(feed, key) => Change::Add(feed, key),
                Target::Notice => Change::AddNotice(NoticeSubscription {
                    app_key,
                    hts_id: tr_key.clone(),
                    cipher: NoticeCipher::of(&approval),
                }),
            };
            let ack = success(&tr_id, &tr_key, &approval, "OPSP0000", "SUBSCRIBE SUCCESS");
            (ack, Then::Change(change))
        }
        Some("2") if !there => refuse("1", "OPSP0003", "UNSUBSCRIBE ERROR(not found!)"),
        Some("2") => {
            let change = match target {
                Target::Data(feed, key) => Change::Remove(feed, key),
                Target::Notice => Change::RemoveNotice(tr_key.clone()),
            };
            let ack = success(&tr_id, &tr_key, &approval, "OPSP0001", "UNSUBSCRIBE SUCCESS");
            (ack, Then::Change(change))
        }
        _ => refuse("9", "OPSP8997", "invalid tr_type"),
    }
}

/// What the TR ID and key name, or the code and text of the refusal.
fn target(
    shared: &Shared,
    tr_id: &str,
    tr_key: &str,
) -> Result<Target, (&'static str, &'static str)> {
    let real = shared.options.env == SimEnv::Real;
    if tr_id == notices::tr_id(shared.options.env) {
        let expected = shared.options.hts_id.as_deref();
        let right = !tr_key.is_empty() && expected.is_none_or(|hts_id| hts_id == tr_key);
        let wrong = ("OPSP0017", "ERROR : htsid가잘못되었습니다");
        return if right { Ok(Target::Notice) } else { Err(wrong) };
    }
    let feed = Feed::from_tr_id(tr_id)
        .filter(|feed| real || matches!(feed, Feed::Trade | Feed::Book))
        .ok_or(("OPSP8991", "invalid tr_id"))?;
    let keys = if feed == Feed::Index { &shared.index_keys } else { &shared.issue_keys };
    keys.get(tr_key).map(|key| Target::Data(feed, *key)).ok_or(("OPSP8992", "invalid tr_key"))
}

fn head(tr_id: &str, tr_key: &str) -> Value {
    let encrypted = tr_id.starts_with("H0STCNI");
    json!({ "tr_id": tr_id, "tr_key": tr_key, "encrypt": if encrypted { "Y" } else { "N" } })
}

fn refusal(tr_id: &str, tr_key: &str, rt_cd: &str, code: &str, message: &str) -> String {
    let body = json!({ "rt_cd": rt_cd, "msg_cd": code, "msg1": message });
    json!({ "header": head(tr_id, tr_key), "body": body }).to_string()
}

fn success(tr_id: &str, tr_key: &str, approval: &str, code: &str, message: &str) -> String {
    let NoticeCipher { key, iv } = NoticeCipher::of(approval);
    let output = json!({ "iv": iv, "key": key });
    let body = json!({ "rt_cd": "0", "msg_cd": code, "msg1": message, "output": output });
    json!({ "header": head(tr_id, tr_key), "body": body }).to_string()
}
