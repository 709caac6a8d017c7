//! Outward events: CloudEvents 1.0 with a deterministic id.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cause, Detection, Level, RiskPoint, Rule, ScoreParts};
pub use crate::market::identity::deterministic_id;
use crate::market::{EventTime, ModelId, RecordRef, SessionDay};

/// What an event is about; decides its CloudEvents type and how it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A sudden fall.
    Crash,
    /// Any other detection.
    Threat,
    /// A score.
    Risk,
    /// New picks.
    Recommendation,
    /// A new defence plan.
    Mitigation,
    /// A finished report.
    Report,
    /// A component changed state.
    Health,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::Threat,
        Self::Risk,
        Self::Recommendation,
        Self::Mitigation,
        Self::Report,
        Self::Health,
    ];

    /// Short name: metric label, first part of the channel.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Threat => "threat",
            Self::Risk => "risk",
            Self::Recommendation => "recommendation",
            Self::Mitigation => "mitigation",
            Self::Report => "report",
            Self::Health => "health",
        }
    }

    /// CloudEvents `type`.
    #[must_use]
    pub fn cloud_type(self) -> String {
        format!("io.bongsu.{}.v1", self.as_str())
    }

    /// Whether the event is kept in the stream for those who were away. Scores are not.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        !matches!(self, Self::Risk)
    }
}

/// An event as subscribers get it.
#[derive(Debug, Clone)]
pub struct OutwardEvent {
    /// Deterministic: equal causes give equal ids.
    pub id: String,
    /// What it is about.
    pub kind: EventKind,
    /// Redis channel, `bongsu.crash.005930`.
    pub channel: String,
    /// CloudEvents `subject`: issue code, `market`, `portfolio`, a kind or a component.
    pub subject: String,
    /// Seriousness, for crash and threat.
    pub level: Option<Level>,
    /// CloudEvents `time`: event time of the cause.
    pub time: EventTime,
    /// When the oldest frame behind it was received, wall clock, microseconds; 0 when it has none.
    pub received_us: i64,
    /// The whole CloudEvent as JSON text.
    pub json: Arc<str>,
    /// `data` of the text, parsed when somebody first asks.
    data: OnceLock<Value>,
}

/// An event as it is kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEvent {
    id: String,
    kind: EventKind,
    channel: String,
    subject: String,
    level: Option<Level>,
    time: EventTime,
    received_us: i64,
    json: String,
}

impl From<&OutwardEvent> for KeptEvent {
    fn from(event: &OutwardEvent) -> Self {
        Self {
            id: event.id.clone(),
            kind: event.kind,
            channel: event.channel.clone(),
            subject: event.subject.clone(),
            level: event.level,
            time: event.time,
            received_us: event.received_us,
            json: event.json.as_ref().to_owned(),
        }
    }
}

impl From<KeptEvent> for OutwardEvent {
    fn from(kept: KeptEvent) -> Self {
        Self {
            id: kept.id,
            kind: kept.kind,
            channel: kept.channel,
            subject: kept.subject,
            level: kept.level,
            time: kept.time,
            received_us: kept.received_us,
            json: kept.json.into(),
            data: OnceLock::new(),
        }
    }
}

/// CloudEvents `source` of everything Bongsu says.
pub const SOURCE: &str = "/bongsu";

#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a D,
}

#[derive(Serialize)]
struct JournalData {
    segment: u32,
    offset: u32,
}

impl From<RecordRef> for JournalData {
    fn from(at: RecordRef) -> Self {
        Self { segment: at.segment, offset: at.offset }
    }
}

#[derive(Serialize)]
struct DetectionData<'a> {
    rule: &'static str,
    level: &'static str,
    symbol: Option<&'a str>,
    name: &'a str,
    price: i64,
    reference_price: i64,
    change_pct: f64,
    window_s: u32,
    score: f64,
    event_time: String,
    journal: JournalData,
    evidence: serde_json::Map<String, Value>,
}

#[derive(Serialize)]
struct RiskData<'a> {
    symbol: &'a str,
    name: &'a str,
    score: f64,
    price: i64,
    change_pct: f64,
    event_time: String,
    over_gap: bool,
    parts: ScoreParts,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelId>,
    journal: JournalData,
}

/// `value` with so many digits after the point, and no more than fifteen in all: what is written
/// is then read back as the same number.
fn round(value: f64, digits: i32) -> f64 {
    let before_point = if value.abs() < 1.0 { 1 } else { value.abs().log10() as i32 + 1 };
    let scale = 10f64.powi(digits.min(15 - before_point).max(0));
    let rounded = (value * scale).round() / scale;
    // No negative zero in JSON, and nothing that JSON cannot hold.
    if rounded == 0.0 || !rounded.is_finite() { 0.0 } else { rounded }
}

fn cause_text(cause: Cause) -> String {
    match cause {
        Cause::Trade { cum_volume } => format!("v{cum_volume}"),
        Cause::Moment { micros } => format!("t{micros}"),
    }
}

fn identity(rule: &str, subject: &str, day: SessionDay, cause: Cause) -> String {
    deterministic_id(&[rule, subject, &day.yyyymmdd().to_string(), &cause_text(cause)])
}

impl OutwardEvent {
    /// An event of any kind. `id` must come from [`deterministic_id`] over what caused it; `data`
    /// must be an object with text keys.
    #[must_use]
    pub fn new(
        kind: EventKind,
        id: String,
        topic: &str,
        subject: &str,
        time: EventTime,
        data: &impl Serialize,
    ) -> Self {
        let json = serde_json::to_string(&CloudEvent {
            specversion: "1.0",
            id: &id,
            source: SOURCE,
            r#type: kind.cloud_type(),
            subject,
            time: time.rfc3339(),
            datacontenttype: "application/json",
            data,
        })
        // An object with text keys always serialises.
        .unwrap_or_default();
        Self {
            id,
            kind,
            channel: format!("bongsu.{}.{topic}", kind.as_str()),
            subject: subject.to_owned(),
            level: None,
            time,
            received_us: 0,
            json: json.into(),
            data: OnceLock::new(),
        }
    }

    /// CloudEvents `data`. Most events are never looked into, so it is parsed on demand.
    pub fn data(&self) -> &Value {
        self.data.get_or_init(|| {
            let whole: Value = serde_json::from_str(&self.json).unwrap_or_default();
            whole.get("data").cloned().unwrap_or_default()
        })
    }

    /// The event whose CloudEvent is `json`, as another process published it; `None` when it is none of ours.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let whole: Value = serde_json::from_str(json).ok()?;
        let text = |key: &str| whole[key].as_str();
        let kind =
            EventKind::ALL.into_iter().find(|kind| Some(&*kind.cloud_type()) == text("type"))?;
        let subject = text("subject")?.to_owned();
        let time = chrono::DateTime::parse_from_rfc3339(text("time")?).ok()?;
        let data = whole.get("data")?.clone();
        let topic = match kind {
            EventKind::Threat => data["rule"].as_str()?,
            _ => &subject,
        };
        let levels = [Level::Watch, Level::Warning, Level::Critical];
        Some(Self {
            id: text("id")?.to_owned(),
            kind,
            channel: format!("bongsu.{}.{topic}", kind.as_str()),
            level: levels.into_iter().find(|level| Some(level.as_str()) == data["level"].as_str()),
            time: EventTime::from_micros(time.timestamp_micros()),
            subject,
            received_us: 0,
            json: json.into(),
            data: OnceLock::from(data),
        })
    }

    /// The crash or threat event of a detection.
    #[must_use]
    pub fn from_detection(detection: &Detection, received_us: i64) -> Self {
        let kind = match detection.rule {
            Rule::SymbolCrash | Rule::MarketCrash => EventKind::Crash,
            _ => EventKind::Threat,
        };
        let code = detection.symbol.map(|symbol| symbol.as_str().to_owned());
        let subject = match (&code, detection.rule) {
            (Some(code), _) => code.as_str(),
            (None, Rule::FeedStale) => "feed",
            (None, Rule::ModelDrift) => "model",
            (None, _) => "market",
        };
        let rule = detection.rule.as_str();
        let topic = if kind == EventKind::Crash { subject } else { rule };
        let evidence = detection
            .evidence
            .iter()
            .map(|(name, value)| ((*name).to_owned(), round(*value, 6).into()))
            .collect();
        let data = DetectionData {
            rule,
            level: detection.level.as_str(),
            symbol: code.as_deref(),
            name: &detection.name,
            price: detection.price,
            reference_price: detection.reference_price,
            change_pct: round(detection.change_pct, 4),
            window_s: detection.window_s,
            score: round(detection.score, 2),
            event_time: detection.time.rfc3339(),
            journal: detection.at.into(),
            evidence,
        };
        // The level is part of the identity: a rise from warning to critical on the same trade
        // would be another event.
        let id = identity(
            &format!("{rule}:{}", detection.level.as_str()),
            subject,
            detection.time.session_day(),
            detection.cause,
        );
        let mut event = Self::new(kind, id, topic, subject, detection.time, &data);
        event.level = Some(detection.level);
        event.received_us = received_us;
        event
    }

    /// The event of a score.
    #[must_use]
    pub fn from_risk(point: &RiskPoint, name: &str, received_us: i64) -> Self {
        let code = point.code.as_str();
        let parts = ScoreParts {
            volatility: round(point.parts.volatility, 4),
            drawdown: round(point.parts.drawdown, 4),
            liquidity: round(point.parts.liquidity, 4),
            volume: round(point.parts.volume, 4),
        };
        let data = RiskData {
            symbol: code,
            name,
            score: round(point.score, 2),
            price: point.price,
            change_pct: round(point.change_pct, 4),
            event_time: point.time.rfc3339(),
            over_gap: point.over_gap,
            parts,
            model: point.model,
            journal: point.at.into(),
        };
        let cause = Cause::Trade { cum_volume: point.cum_volume };
        let id = identity("risk", code, point.time.session_day(), cause);
        let mut event = Self::new(EventKind::Risk, id, code, code, point.time, &data);
        event.received_us = received_us;
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection() -> Detection {
        Detection {
            rule: Rule::SymbolCrash,
            level: Level::Warning,
            symbol: Some("005930".parse().unwrap()),
            name: "삼성전자".into(),
            price: 71_000,
            reference_price: 75_000,
            change_pct: -5.333_333,
            window_s: 300,
            score: 88.123,
            time: EventTime::from_micros(1_722_816_021_000_000),
            cause: Cause::Trade { cum_volume: 12_345 },
            at: RecordRef { segment: 1, offset: 64, record: 0 },
            evidence: vec![("z", -7.25)],
        }
    }

    #[test]
    fn an_event_is_read_back_as_it_was_published() {
        let data = serde_json::json!({"rule": "vi", "level": "warning", "symbol": "005930"});
        let time = EventTime::from_micros(1_722_816_021_250_000);
        for (kind, topic) in [(EventKind::Threat, "vi"), (EventKind::Crash, "005930")] {
            let event = OutwardEvent::new(kind, "id".into(), topic, "005930", time, &data);
            let back = OutwardEvent::from_json(&event.json).unwrap();
            assert_eq!((&back.id, &back.channel, back.time), (&event.id, &event.channel, time));
            assert_eq!((back.kind, back.level, back.data()), (kind, Some(Level::Warning), &data));
        }
        for wrong in ["", "{}", "[]", "{\"type\": \"io.bongsu.crash.v1\", \"id\": 5}"] {
            assert!(OutwardEvent::from_json(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_same_cause_has_the_same_id_wherever_it_is_journaled() {
        let first = OutwardEvent::from_detection(&detection(), 1);
        let moved = Detection { at: RecordRef { segment: 9, offset: 1, record: 2 }, ..detection() };
        assert_eq!(first.id, OutwardEvent::from_detection(&moved, 2).id);
        let other = Detection { cause: Cause::Trade { cum_volume: 12_346 }, ..detection() };
        assert_ne!(first.id, OutwardEvent::from_detection(&other, 1).id);
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [95_238_002_553.849_43, -7.25, 0.000_000_4, 1e18, -123_456.654_321_9] {
            let found = Detection { evidence: vec![("x", value)], ..detection() };
            let event = OutwardEvent::from_detection(&found, 0);
            assert_eq!(event.data()["evidence"]["x"], round(value, 6), "{}", event.json);
        }
        assert_eq!(round(-0.000_000_1, 6).to_bits(), 0);
        assert_eq!(round(f64::NAN, 6), 0.0);
    }

    #[test]
    fn the_envelope_is_a_cloud_event() {
        let event = OutwardEvent::from_detection(&detection(), 1);
        assert_eq!(event.channel, "bongsu.crash.005930");
        let json: Value = serde_json::from_str(&event.json).unwrap();
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["type"], "io.bongsu.crash.v1");
        assert_eq!(json["data"]["change_pct"], -5.3333);
        assert_eq!(json["data"]["evidence"]["z"], -7.25);
        assert_eq!(json["time"], "2024-08-05T09:00:21+09:00");
    }
}
