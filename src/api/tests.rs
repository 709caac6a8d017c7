mod prices;

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::market::{Directory, Reference, Symbol};
use crate::messages::advice::{Report, ReportOrigin, Rung};
use crate::messages::schema::assert_fits;
use crate::messages::{
    BusLimits, Component, EventKind, HealthState, OutwardEvent, RiskPoint, RiskRow, ScoreParts,
};

fn event(kind: EventKind, id: &str, padding: usize) -> Arc<OutwardEvent> {
    let data = serde_json::json!({ "symbol": "005930", "padding": "x".repeat(padding) });
    let time = EventTime::from_micros(1_722_816_021_000_000);
    Arc::new(OutwardEvent::new(kind, id.into(), "005930", "005930", time, &data))
}

fn board() -> RiskBoard {
    let board = RiskBoard::new(Directory::new());
    for (index, (code, score)) in
        [("005930", 10.5), ("000660", 90.25), ("035420", 50.0)].into_iter().enumerate()
    {
        let code: Symbol = code.parse().unwrap();
        let named = Reference { name: format!("이름{index}"), ..Reference::bare(code) };
        let symbol = board.directory.update(named);
        let point = RiskPoint {
            symbol,
            code,
            time: EventTime::from_micros(1_722_816_021_000_000),
            price: 71_000,
            score,
            parts: ScoreParts::default(),
            change_pct: f64::NAN,
            over_gap: false,
            cum_volume: 1,
            model: None,
            at: Default::default(),
        };
        board.update([RiskRow {
            point,
            high: 72_000,
            low: 70_000,
            daily_volatility_pct: 1.5,
            rest_of_day_var_pct: 2.1,
            spread_pct: 0.1,
            cum_value: 5,
            halted: false,
        }]);
    }
    board.directory.intern("0001".parse().unwrap());
    board
}

struct Daemon {
    address: SocketAddr,
    bus: EventBus,
    health: HealthRegistry,
    advice: AdviceBoard,
    models: ModelBoard,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<Result<(), ApiError>>,
}

impl Daemon {
    async fn start(limits: BusLimits, streams: usize) -> Self {
        Self::start_with(limits, streams, Duration::from_secs(30)).await
    }

    async fn start_with(limits: BusLimits, streams: usize, stall: Duration) -> Self {
        let (bus, health) = (EventBus::new(limits), HealthRegistry::new());
        let advice = AdviceBoard::default();
        let models = ModelBoard::default();
        let metrics: RenderMetrics = Arc::new(|| "bongsu_up 1\n".to_owned());
        let state =
            ApiState::new(board(), bus.clone(), advice.clone(), health.clone(), metrics, streams)
                .with_bars(Some(prices::stored_bars()))
                .with_models(models.clone())
                .with_keep_alive(Duration::from_millis(50))
                .with_stall_limit(stall);
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, state, shutdown.clone()));
        Self { address, bus, health, advice, models, shutdown, server }
    }

    async fn open(&self, path: &str, header: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: bongsu\r\n{header}connection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// Status, head and body of one answer.
    async fn get_with(&self, path: &str, header: &str) -> (u16, String, String) {
        let mut text = String::new();
        self.open(path, header).await.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.get_with(path, "").await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap().unwrap();
    }
}

/// Reads until `needle` has come; returns everything read so far.
async fn read_until(socket: &mut TcpStream, seen: &mut String, needle: &str) {
    let read = async {
        let mut buffer = vec![0; 64 << 10];
        while !seen.contains(needle) {
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed before {needle}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect(needle);
}

#[tokio::test]
async fn readiness_tells_required_from_degraded() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    assert_eq!(daemon.get("/healthz").await.0, 200);
    daemon.health.declare(Component::Journal, true);
    let (status, _, body) = daemon.get_with("/readyz", "").await;
    assert_eq!(status, 503);
    assert!(body.starts_with("not ready\njournal: down (not started yet) since "), "{body}");
    daemon.health.set(Component::Journal, HealthState::Up);
    daemon.health.set(Component::Redis, HealthState::down("refused"));
    let (status, _, body) = daemon.get_with("/readyz", "accept: application/json\r\n").await;
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, json["status"].as_str()), (200, Some("degraded")));
    assert_eq!(json["components"][1]["reason"], "refused");
    assert_eq!(json["components"][1]["state"], "degraded");
    let (_, head, body) = daemon.get_with("/metrics", "").await;
    assert!(head.contains("version=0.0.4") && body == "bongsu_up 1\n");
    daemon.stop().await;
}

#[tokio::test]
async fn scores_are_sorted_and_limited() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    let codes = |body: &Value| -> Vec<String> {
        let scores = body["scores"].as_array().unwrap();
        scores.iter().map(|s| s["symbol"].as_str().unwrap().to_owned()).collect()
    };
    let (status, body) = daemon.get("/v1/risk").await;
    assert_eq!(
        (status, codes(&body)),
        (200, vec!["000660".into(), "035420".into(), "005930".into()])
    );
    assert_fits("risk-list", &body);
    let (_, body) = daemon.get("/v1/risk?sort=symbol&limit=2").await;
    assert_eq!(codes(&body), ["000660", "005930"]);
    assert_eq!(body["total"], 3);
    let (_, body) = daemon.get("/v1/risk/005930").await;
    assert_fits("risk-row", &body);
    assert_eq!((body["name"].as_str(), body["score"].as_f64()), (Some("이름0"), Some(10.5)));
    assert_eq!(body["change_pct"], 0.0);
    let (_, body) = daemon.get("/v1/symbols").await;
    assert_fits("symbols", &body);
    assert_eq!(body["count"], 4);
    assert_eq!(body["symbols"][3]["kind"], "index");
    daemon.stop().await;
}

#[tokio::test]
async fn problems_name_parameter_value_and_expectation() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    for (path, status, parameter, value) in [
        ("/v1/risk?sort=colour", 400, "sort", "colour"),
        ("/v1/risk?limit=0", 400, "limit", "0"),
        ("/v1/risk?sorted=1", 400, "query", "sorted"),
        ("/v1/risk/005930.KS", 400, "symbol", "005930.KS"),
        ("/v1/risk/999999", 404, "symbol", "999999"),
        ("/v1/risk/0001", 404, "score of symbol", "0001"),
        ("/v1/prices/005930.KS", 400, "symbol", "005930.KS"),
        ("/v1/prices/999999", 404, "symbol", "999999"),
        ("/v1/prices/005930?interval=5m", 400, "interval", "5m"),
        ("/v1/prices/005930?from=yesterday", 400, "from", "yesterday"),
        ("/v1/prices/005930?to=2024-08-05T09:00:00", 400, "to", "2024-08-05T09:00:00"),
        ("/v1/prices/005930?indicators=rsi14,rsj14", 400, "indicators", "rsj14"),
        ("/v1/prices/005930?indicators=bb0", 400, "indicators", "bb0"),
        ("/v1/events?type=boom", 400, "type", "boom"),
        ("/v1/events/stream?pattern=%5Bab%5D", 400, "pattern", "[ab]"),
        ("/v1/recommendations/x", 404, "recommendation", "x"),
        ("/v1/mitigations/x", 404, "mitigation", "x"),
        ("/v1/reports/latest", 404, "report", "latest"),
        ("/nowhere", 404, "path", "/nowhere"),
        ("/v1/reports/%FF", 400, "path", "/v1/reports/%FF"),
    ] {
        let (got, head, body) = daemon.get_with(path, "").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(got, status, "{path}");
        assert_fits("problem", &body);
        assert!(head.contains("application/problem+json"), "{path}: {head}");
        assert_eq!(body["status"], status, "{path}");
        assert_eq!(
            (&body["parameter"], &body["value"]),
            (&parameter.into(), &value.into()),
            "{path}"
        );
        assert!(status == 404 || body["detail"].as_str().unwrap().contains("expected"), "{path}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn advice_is_served_newest_first() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    for id in ["a", "b"] {
        daemon.advice.add_report(Arc::new(Report {
            id: id.into(),
            kind: "market_risk".into(),
            title: "제목".into(),
            body: String::new(),
            as_of: EventTime::from_micros(1_722_816_021_000_000),
            origin: ReportOrigin::Template,
            fallback_reason: String::new(),
            model: String::new(),
            sources: Vec::new(),
            subject: "market".into(),
            rung: Rung::Template,
            retry_in_s: None,
        }));
    }
    let (_, body) = daemon.get("/v1/reports/latest?kind=market_risk").await;
    assert_eq!(
        (body["id"].as_str(), body["as_of"].as_str()),
        (Some("b"), Some("2024-08-05T09:00:21+09:00"))
    );
    assert_fits("report-body", &body);
    assert_eq!(daemon.get("/v1/reports/a").await.1["origin"], "template");
    let health = daemon.health.clone();
    health.set(Component::Llm, HealthState::degraded("no endpoint is set"));
    daemon.bus.publish(&[health.get(Component::Llm).unwrap().event().into()]);
    for path in ["/v1/events", "/v1/events?since=unknown", "/v1/events?type=crash"] {
        assert_fits("events", &daemon.get(path).await.1);
    }
    assert_eq!(daemon.get("/v1/recommendations").await.1["count"], 0);
    daemon.stop().await;
}

#[tokio::test]
async fn events_are_listed_and_streamed_from_the_last_id() {
    let daemon = Daemon::start(BusLimits::default(), 1).await;
    daemon.bus.publish(&[event(EventKind::Crash, "c1", 0), event(EventKind::Threat, "t1", 0)]);
    daemon.bus.publish(&[event(EventKind::Risk, "r1", 0), event(EventKind::Crash, "c2", 0)]);
    let (_, body) = daemon.get("/v1/events?since=c1").await;
    assert_eq!((body["count"].as_u64(), body["next"].as_u64()), (Some(2), Some(4)));
    assert_eq!(body["events"][0]["event"]["id"], "t1");
    let (_, body) = daemon.get("/v1/events?type=crash&limit=1").await;
    assert_eq!(body["events"][0]["channel"], "bongsu.crash.005930");
    assert_eq!(body["events"][0]["event"]["id"], "c2");

    let mut stream = daemon.open("/v1/events/stream", "last-event-id: c1\r\n").await;
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "id: c2").await;
    daemon.bus.publish(&[event(EventKind::Risk, "r2", 0), event(EventKind::Crash, "c3", 0)]);
    read_until(&mut stream, &mut seen, "id: c3").await;
    assert!(seen.contains("text/event-stream") && seen.contains("event: threat"), "{seen}");
    assert!(seen.contains("event: risk") && !seen.contains("id: r2"), "{seen}");
    assert!(!seen.contains("\"c1\"") && !seen.contains("\"r1\"") && !seen.contains("event: gap"));
    read_until(&mut stream, &mut seen, ": keep-alive").await;
    // The only place is taken, and comes back when the client goes.
    let (status, body) = daemon.get("/v1/events/stream").await;
    assert_eq!((status, body["type"].as_str()), (503, Some("/problems/too-many-streams")));
    drop(stream);
    let again = async {
        loop {
            let mut stream = daemon.open("/v1/events/stream?since=unknown", "").await;
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if &head == b"HTTP/1.1 200" {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut stream = tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "id: c3").await;
    let gap = seen.find("\"reason\":\"unknown_id\"").unwrap();
    assert!(gap < seen.find("id: c1").unwrap());
    // A stop ends the open stream and with it the server.
    daemon.stop().await;
}

#[tokio::test]
async fn a_slow_stream_gets_a_gap_event_and_keeps_the_crash() {
    let daemon = Daemon::start(BusLimits { kept: 100, live: 16 }, 4).await;
    let mut stream = daemon.open("/v1/events/stream", "").await;
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, ": bongsu").await;
    // More than the sockets' buffers hold, while nobody reads.
    daemon.bus.publish(&[event(EventKind::Crash, "c1", 0)]);
    for number in 0..400 {
        daemon.bus.publish(&[event(EventKind::Risk, &format!("r{number}"), 64 << 10)]);
        tokio::task::yield_now().await;
    }
    daemon.bus.publish(&[event(EventKind::Crash, "c2", 0)]);
    read_until(&mut stream, &mut seen, "id: c2").await;
    assert!(seen.contains("id: c1"));
    assert!(seen.contains("event: gap") && seen.contains("\"reason\":\"slow\""));
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_place() {
    let limits = BusLimits { kept: 100, live: 256 };
    let daemon = Daemon::start_with(limits, 1, Duration::from_millis(300)).await;
    let mut stalled = daemon.open("/v1/events/stream", "").await;
    read_until(&mut stalled, &mut String::new(), ": bongsu").await;
    let flood = async {
        let mut number = 0;
        loop {
            daemon.bus.publish(&[event(EventKind::Risk, &format!("r{number}"), 256 << 10)]);
            number += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let place = async {
        loop {
            let mut head = [0; 12];
            daemon.open("/v1/events/stream", "").await.read_exact(&mut head).await.unwrap();
            if &head == b"HTTP/1.1 200" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let freed = async {
        tokio::select! { () = flood => {}, () = place => {} }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("the place is not freed");
    drop(stalled);
    daemon.stop().await;
}

#[tokio::test]
async fn a_port_in_use_says_so() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = bind(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, ApiError::InUse(_)));
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
async fn models_and_their_evaluation() {
    use crate::messages::{Evaluation, LiveModel, ModelVersion};
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    let (status, body) = daemon.get("/v1/models").await;
    assert_eq!((status, &body["active"], &body["live"]), (200, &Value::Null, &Value::Null));
    assert_fits("models", &body);
    let (status, body) = daemon.get("/v1/evaluation").await;
    assert_eq!(status, 404, "{body}");
    assert_fits("problem", &body);

    let version = |id: &str, active: bool| -> ModelVersion {
        let text = serde_json::json!({
            "id": id, "kind": "daily_risk", "created_at": "2026-01-05T09:00:00Z",
            "trained_until": "2025-06-30",
            "data": { "sha256": "ab", "rows": 9, "symbols": 2, "from": "2020-01-02",
                      "to": "2025-06-30", "files": ["a.parquet"] },
            "features": ["lp1"], "metrics": { "fz0_025": 1.88 }, "code_version": "0.1.0",
            "active": active, "activated_at": active.then_some("2026-01-06T00:00:00Z"),
            "model_sha256": "cd", "note": "",
        });
        serde_json::from_value(text).unwrap()
    };
    let (new, old) = (version("20260106T090000Z", false), version("20260105T090000Z", true));
    let live = LiveModel { id: old.id, origin: crate::market::ModelOrigin::Registry };
    daemon.models.set_versions(vec![new, old]);
    daemon.models.set_live(Some(live));
    let (status, body) = daemon.get("/v1/models?limit=1").await;
    assert_eq!((status, &body["count"], &body["total"]), (200, &1.into(), &2.into()));
    assert_eq!(
        (&body["active"], &body["live"]["id"]),
        (&"20260105T090000Z".into(), &body["active"])
    );
    assert_fits("models", &body);
    assert_eq!(daemon.get("/v1/models?limit=0x").await.0, 400);

    let at = EventTime::from_micros(1_722_816_021_000_000);
    let report =
        serde_json::json!({ "var_99": { "exceed_ratio": 0.012 }, "hit_ratio": { "5": 0.5 } });
    daemon.models.set_evaluation(Evaluation::of_report("r1", at, &report));
    let (status, body) = daemon.get("/v1/evaluation").await;
    assert_eq!((status, &body["measures"][0]["metric"]), (200, &"var_99.exceed_ratio".into()));
    assert_fits("evaluation", &body);
    daemon.stop().await;
}
