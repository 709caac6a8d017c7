//! Reports by a language model that does everything wrong, and by servers that others wrote.
//!
//! Whatever comes, the caller gets a well-formed report within the deadline, no figure that is not
//! a fact, and no secret anywhere.

mod aimock;
mod canary;
mod hostile;
mod outcomes;
mod peer;
mod restart;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use bongsu::llm::limits::Limits;
use bongsu::llm::prices::Prices;
use bongsu::llm::{ModelOptions, ModelWriter, ReportRequest, Writer};
use bongsu::market::{EventTime, RecordRef};
use bongsu::messages::{Cause, Detection, Level, OutwardEvent, Rule};

/// 2024-08-05 09:00:21 in Korea.
const AS_OF: EventTime = EventTime::from_micros(1_722_816_021_000_000);
/// From the request to the report.
const DEADLINE: Duration = Duration::from_secs(12);
/// The key of all these tests, to be found nowhere.
const KEY: &str = "sk-canary-4f1d9a";

/// A crash of an issue with this name.
fn crash_of(name: &str, change_pct: f64) -> ReportRequest {
    let detection = Detection {
        rule: Rule::SymbolCrash,
        level: Level::Warning,
        symbol: Some("005930".parse().expect("a code")),
        name: name.to_owned(),
        price: 71_000,
        reference_price: 75_000,
        change_pct,
        window_s: 300,
        score: 88.123,
        time: AS_OF,
        cause: Cause::Trade { cum_volume: 12_345 },
        at: RecordRef::default(),
        evidence: vec![("sigmas", -7.25)],
    };
    let event = Arc::new(OutwardEvent::from_detection(&detection, 1));
    ReportRequest::Alert { event, plan: None }
}

fn crash() -> ReportRequest {
    crash_of("삼성전자", -5.333_333)
}

/// Options with short times and hardly any limits.
fn options(base_url: &str) -> ModelOptions {
    // Another test may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ModelOptions {
        deadline: DEADLINE,
        idle: Duration::from_secs(2),
        retries: 1,
        limits: Limits {
            concurrency: 4,
            requests_per_minute: 0,
            tokens_per_minute: 0,
            tokens_per_day: 0,
            cost_per_day_micros: 0,
            cool_down: Duration::from_secs(30),
        },
        prices: Prices::parse("test=1/2").expect("a table"),
        ..ModelOptions::new(base_url, Some(KEY.to_owned().into()), "test-model")
    }
}

fn writer(options: ModelOptions) -> Writer {
    Writer::Model(Arc::new(ModelWriter::new(options).expect("the options are good")))
}
