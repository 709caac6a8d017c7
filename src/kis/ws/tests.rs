use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::kis::Tr;
use crate::kis::subscriptions::Action;
use crate::market::Symbol;
use crate::messages::Coverage;
use crate::messages::feed::Change;

mod heals;

const PINGPONG: &str = r#"{"header":{"tr_id":"PINGPONG","datetime":"20260915101530"}}"#;

/// What came out of the feed, in order.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Frame(FrameKind, Vec<u8>),
    Flush,
    Event(FeedEvent),
}

#[derive(Clone)]
struct Channel(mpsc::Sender<Out>);

impl FrameSink for Channel {
    async fn push(&mut self, kind: FrameKind, at: i64, payload: &[u8]) -> Result<(), SinkClosed> {
        assert!(at > 1_600_000_000_000_000, "{at}");
        self.0.send(Out::Frame(kind, payload.to_vec())).await.map_err(|_| SinkClosed)
    }

    async fn flush(&mut self) -> Result<(), SinkClosed> {
        self.0.send(Out::Flush).await.map_err(|_| SinkClosed)
    }

    async fn report(&mut self, event: FeedEvent) -> Result<(), SinkClosed> {
        self.0.send(Out::Event(event)).await.map_err(|_| SinkClosed)
    }
}

/// Gives `key-1`, `key-2`, …, and a volume of the day that grows by `trading` at each look.
#[derive(Clone, Default)]
struct Keys {
    given: Arc<AtomicUsize>,
    refuse: Option<&'static str>,
    trading: Arc<AtomicI64>,
    volume: Arc<AtomicI64>,
}

impl KisAccess for Keys {
    async fn approval_key(&self) -> Result<SecretString, KisError> {
        if let Some(code) = self.refuse {
            return Err(KisError::Refused {
                endpoint: "approval_key",
                code: code.into(),
                message: String::new(),
                status: 403,
            });
        }
        Ok(format!("key-{}", self.given.fetch_add(1, Ordering::SeqCst) + 1).into())
    }

    async fn blocked(&self) -> Option<String> {
        None
    }

    async fn traded_volume(&self, _: Symbol) -> Result<Option<i64>, KisError> {
        let step = self.trading.load(Ordering::SeqCst);
        Ok(Some(self.volume.fetch_add(step, Ordering::SeqCst)))
    }
}

struct Running {
    listener: TcpListener,
    out: mpsc::Receiver<Out>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), FeedError>>,
    keys: Keys,
}

fn code(text: &str) -> Symbol {
    text.parse().unwrap()
}

impl Running {
    async fn start(symbols: &[&str], change: impl FnOnce(&mut FeedConfig)) -> Self {
        Self::start_with(Keys::default(), symbols, change).await
    }

    async fn start_with(
        keys: Keys,
        symbols: &[&str],
        change: impl FnOnce(&mut FeedConfig),
    ) -> Self {
        Self::start_many(vec![keys], symbols, change).await
    }

    /// One session for each of `keys`, all to the same listener.
    async fn start_many(
        keys: Vec<Keys>,
        symbols: &[&str],
        change: impl FnOnce(&mut FeedConfig),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let watch =
            Watch { symbols: symbols.iter().map(|text| code(text)).collect(), ..Watch::default() };
        let url = format!("ws://{}/tryitout", listener.local_addr().unwrap());
        let mut config = FeedConfig {
            subscribe_gap: Duration::ZERO,
            reconnect_floor: Duration::from_millis(5),
            reconnect_cap: Duration::from_millis(20),
            in_use_floor: Duration::from_millis(40),
            refused_floor: Duration::from_millis(5),
            hours: MarketHours::Feed,
            ..FeedConfig::new(url, Environment::Real, watch)
        };
        change(&mut config);
        let (sender, out) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let feed = Feed::new(config);
        let task = tokio::spawn(feed.run(keys.clone(), Channel(sender), cancel.clone()));
        let keys = keys.into_iter().next().unwrap();
        Self { listener, out, cancel, task, keys }
    }

    async fn accept(&self) -> Server {
        Server(accept_async(self.listener.accept().await.unwrap().0).await.unwrap())
    }

    async fn next(&mut self) -> Out {
        tokio::time::timeout(Duration::from_secs(10), self.out.recv())
            .await
            .expect("nothing came within 10 s")
            .expect("the feed ended")
    }

    /// The next event, frames passed over.
    async fn event(&mut self) -> FeedEvent {
        loop {
            if let Out::Event(event) = self.next().await {
                return event;
            }
        }
    }

    /// The next change of coverage, everything else passed over.
    async fn coverage(&mut self) -> Coverage {
        loop {
            if let Out::Frame(FrameKind::Connection, payload) = self.next().await {
                return Coverage::parse(&payload).unwrap();
            }
        }
    }

    /// The next data frame, everything else passed over.
    async fn data(&mut self) -> Vec<u8> {
        loop {
            if let Out::Frame(FrameKind::Data, payload) = self.next().await {
                return payload;
            }
        }
    }

    async fn stop(self) -> Vec<Out> {
        let Self { mut out, cancel, task, .. } = self;
        cancel.cancel();
        task.await.unwrap().unwrap();
        let mut rest = Vec::new();
        while let Some(one) = out.recv().await {
            rest.push(one);
        }
        rest
    }
}

struct Server(WebSocketStream<TcpStream>);

impl Server {
    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn text(&mut self) -> String {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The next subscription: approval key, feed, key.
    async fn request(&mut self) -> (String, String, String) {
        self.request_of("1").await
    }

    /// The next request of this `tr_type`.
    async fn request_of(&mut self, tr_type: &str) -> (String, String, String) {
        let value: serde_json::Value = serde_json::from_str(&self.text().await).unwrap();
        let (header, input) = (&value["header"], &value["body"]["input"]);
        assert_eq!(
            (header["tr_type"].as_str(), header["custtype"].as_str()),
            (Some(tr_type), Some("P"))
        );
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (text(&header["approval_key"]), text(&input["tr_id"]), text(&input["tr_key"]))
    }

    async fn ack(&mut self, tr_id: &str, tr_key: &str, code: &str) {
        let ack = serde_json::json!({
            "header": {"tr_id": tr_id, "tr_key": tr_key, "encrypt": "N"},
            "body": {"rt_cd": "0", "msg_cd": code, "msg1": "text"},
        });
        self.send(&ack.to_string()).await;
    }

    /// Grants the next request.
    async fn grant(&mut self) -> (String, String) {
        let (_, tr_id, tr_key) = self.request().await;
        self.ack(&tr_id, &tr_key, "OPSP0000").await;
        (tr_id, tr_key)
    }
}

const CONNECTED: FeedEvent = FeedEvent::Connected { session: 0 };

fn lost(event: FeedEvent) -> LossCause {
    match event {
        FeedEvent::Lost { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn subscribes_one_by_one_and_forwards_everything_unchanged() {
    let mut feed = Running::start(&["005930", "000660"], |config| {
        config.watch.indices = vec![code("0001")];
        config.watch.books = true;
        config.max_registrations = Some(4);
    })
    .await;
    let mut server = feed.accept().await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(server.grant().await);
    }
    let asked: Vec<(&str, &str)> =
        asked.iter().map(|(tr, key)| (tr.as_str(), key.as_str())).collect();
    assert_eq!(
        asked,
        [
            ("H0STCNT0", "005930"),
            ("H0STCNT0", "000660"),
            ("H0UPCNT0", "0001"),
            ("H0STASP0", "005930"),
        ]
    );
    let left = Registration::of(Tr::Quote, code("000660"));
    assert_eq!(feed.event().await, FeedEvent::Unplaced(vec![left]));
    assert_eq!(feed.event().await, CONNECTED);
    let subscribed =
        FeedEvent::Subscribed { confirmed: 4, slots: Some(4), refused: vec![], left_out: vec![] };
    assert_eq!(feed.event().await, subscribed);
    let long = format!("0|H0STCNT0|001|{}", "9".repeat(200_000));
    server.send("0|H0STCNT0|001|x").await;
    server.0.send(Message::binary(vec![0xff, 0x00, b'{'])).await.unwrap();
    server.send(&long).await;
    assert_eq!(feed.data().await, b"0|H0STCNT0|001|x");
    assert_eq!(feed.data().await, [0xff, 0x00, b'{']);
    assert_eq!(feed.data().await, long.as_bytes());
    let rest = feed.stop().await;
    let [Out::Flush, Out::Frame(FrameKind::Connection, end), Out::Flush] = &rest[..] else {
        panic!("{rest:?}")
    };
    let end = Coverage::parse(end).unwrap();
    assert_eq!((end.change, end.cause.as_str()), (Change::Ended, "stopped"));
    assert_eq!(end.issues, [code("005930"), code("000660")]);
}

#[tokio::test]
async fn what_is_ready_is_one_batch() {
    let mut feed = Running::start(&["005930"], |config| config.batch_frames = 8).await;
    let mut server = feed.accept().await;
    server.request().await;
    for number in 0..20 {
        server.0.feed(Message::text(format!("0|{number}"))).await.unwrap();
    }
    server.0.flush().await.unwrap();
    let (mut sizes, mut current, mut seen) = (Vec::new(), 0, 0);
    while seen < 20 {
        match feed.next().await {
            Out::Frame(FrameKind::Data, payload) => {
                assert_eq!(payload, format!("0|{seen}").into_bytes());
                seen += 1;
                current += 1;
            }
            Out::Flush => sizes.push(std::mem::take(&mut current)),
            _ => {}
        }
    }
    assert!(sizes.iter().all(|size| *size <= 8), "{sizes:?}");
    assert!(sizes.len() <= 6, "batches were cut too small: {sizes:?}");
    feed.stop().await;
}

#[tokio::test]
async fn answers_pingpong_with_the_same_text() {
    let feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    server.grant().await;
    server.send(PINGPONG).await;
    assert_eq!(server.text().await, PINGPONG);
    let rest = feed.stop().await;
    assert!(!rest.iter().any(|one| matches!(one, Out::Frame(FrameKind::Data, _))), "{rest:?}");
}

#[tokio::test]
async fn a_cut_is_reported_in_the_stream_and_everything_is_subscribed_again() {
    let mut feed = Running::start(&["005930", "000660"], |_| {}).await;
    let mut server = feed.accept().await;
    server.grant().await;
    server.grant().await;
    server.send("0|before").await;
    assert_eq!(feed.data().await, b"0|before");
    drop(server);
    let ended = feed.coverage().await;
    assert_eq!((ended.change, ended.issues.len()), (Change::Ended, 2));
    let mut server = feed.accept().await;
    assert_eq!(server.request().await.0, "key-1", "a key that was good is used again");
    server.ack("H0STCNT0", "005930", "OPSP0002").await;
    server.grant().await;
    assert!(matches!(feed.event().await, FeedEvent::Lost { .. }));
    assert_eq!(feed.event().await, CONNECTED);
    assert!(matches!(feed.event().await, FeedEvent::Subscribed { confirmed: 2, .. }));
    feed.stop().await;
}

#[tokio::test]
async fn a_refused_approval_key_is_replaced() {
    let mut feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    assert_eq!(server.request().await.0, "key-1");
    server.ack("H0STCNT0", "005930", "OPSP0011").await;
    let mut again = feed.accept().await;
    assert_eq!(again.request().await.0, "key-2");
    assert_eq!(feed.event().await, CONNECTED);
    assert!(matches!(lost(feed.event().await), LossCause::Approval(_)));
    assert_eq!(feed.keys.given.load(Ordering::SeqCst), 2);
    feed.stop().await;
}

#[tokio::test]
async fn a_key_in_use_waits_for_the_server_to_notice() {
    let mut feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    server.request().await;
    server.ack("(null)", "", "OPSP8996").await;
    assert_eq!(feed.event().await, CONNECTED);
    let FeedEvent::Lost { cause, retry_in, .. } = feed.event().await else { panic!("not lost") };
    assert_eq!((cause, retry_in), (LossCause::InUse, Duration::from_millis(40)));
    feed.accept().await;
    feed.stop().await;
}

#[tokio::test]
async fn the_limit_of_the_server_is_reported_by_name() {
    let mut feed = Running::start(&["005930", "000660", "247540"], |_| {}).await;
    let mut server = feed.accept().await;
    server.grant().await;
    let (_, tr_id, tr_key) = server.request().await;
    server.ack(&tr_id, &tr_key, "OPSP0008").await;
    assert_eq!(feed.event().await, CONNECTED);
    let unplaced = ["000660", "247540"].map(|key| Registration::of(Tr::Trade, code(key)));
    assert_eq!(feed.event().await, FeedEvent::Unplaced(unplaced.to_vec()));
    assert!(matches!(feed.event().await, FeedEvent::Subscribed { confirmed: 1, .. }));
    feed.stop().await;
}

#[tokio::test]
async fn a_mute_server_is_left_although_it_answers_pings() {
    let mut feed = Running::start(&["005930"], |config| {
        config.idle_timeout = Duration::from_millis(60);
        config.answer_timeout = Duration::from_secs(5);
    })
    .await;
    let mut server = feed.accept().await;
    server.request().await;
    let pings = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while server.0.send(Message::Ping(vec![].into())).await.is_ok() {
            ticks.tick().await;
        }
    });
    assert_eq!(feed.event().await, CONNECTED);
    assert!(matches!(lost(feed.event().await), LossCause::Idle(_)));
    pings.await.unwrap();
    feed.stop().await;
}

#[tokio::test]
async fn an_unanswered_subscription_is_asked_again_and_then_given_up() {
    let mut feed =
        Running::start(&["005930"], |config| config.answer_timeout = Duration::from_millis(50))
            .await;
    let mut server = feed.accept().await;
    server.request().await;
    server.request().await;
    assert_eq!(feed.event().await, CONNECTED);
    let FeedEvent::Subscribed { confirmed: 0, refused, .. } = feed.event().await else { panic!() };
    assert_eq!(refused[0].code, "no_answer");
    feed.stop().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_session() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let mut feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    server.grant().await;
    server.send("0|before").await;
    let broken = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    server.0.send(Message::Frame(broken)).await.unwrap();
    assert_eq!(feed.data().await, b"0|before");
    assert!(matches!(lost(feed.event().await), LossCause::Protocol(_)));
    feed.stop().await;
}

#[tokio::test]
async fn a_full_sink_makes_the_socket_wait_and_a_closed_one_ends_the_feed() {
    let feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    server.grant().await;
    let sent = Arc::new(Mutex::new(0usize));
    let counter = Arc::clone(&sent);
    // Far more than the sink's 64 places and the socket's buffers.
    let text = "0|".repeat(50_000);
    let flood = tokio::spawn(async move {
        while server.0.send(Message::text(text.clone())).await.is_ok() {
            *counter.lock().unwrap() += 1;
        }
    });
    // The count stands still once every buffer is full.
    let mut last = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = *sent.lock().unwrap();
        if now == last && now > 0 {
            break;
        }
        last = now;
        assert!(now < 2_000, "nothing holds the server back");
    }
    drop(feed.out);
    assert!(matches!(feed.task.await.unwrap(), Err(FeedError::SinkClosed(_))));
    flood.await.unwrap();
}

#[test]
fn the_request_has_exactly_the_documented_members() {
    let registration = Registration::of(Tr::Trade, code("005930"));
    let key: SecretString = "k".into();
    assert_eq!(
        super::session::request(&key, registration, Action::Subscribe),
        r#"{"header":{"approval_key":"k","custtype":"P","tr_type":"1","content-type":"utf-8"},"body":{"input":{"tr_id":"H0STCNT0","tr_key":"005930"}}}"#
    );
    assert_eq!(key.expose_secret(), "k");
}
