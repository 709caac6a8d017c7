//! What clients asked of the simulator and what they were told.
//!
//! One record for each REST call and each WebSocket connection, subscription and end, so that a
//! test can assert on what a client did: that it kept to the limits, asked for a token once, or
//! subscribed again after a loss. The newest [`RequestLog::MOST`] records are kept; the counters
//! cover all of them since the start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use parking_lot::Mutex;

/// One request and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// When it was answered.
    pub at: Instant,
    /// Last four characters of the app key; empty where the request named none.
    pub app_key: String,
    /// Path of a REST call, without the host; `ws:connect`, `ws:subscribe`, `ws:unsubscribe`,
    /// `ws:message` (unreadable) or `ws:close` for the WebSocket; `unknown` for a path that there
    /// is not.
    pub endpoint: &'static str,
    /// TR ID; for a WebSocket also the key, with a blank between. Empty where there is none.
    pub tr_id: String,
    /// `msg_cd` or `error_code` of the answer; the HTTP status where the answer carries no code.
    pub outcome: String,
}

/// Requests counted by endpoint and outcome.
pub type RequestCounts = BTreeMap<(&'static str, String), u64>;

#[derive(Default)]
struct Kept {
    newest: VecDeque<RequestRecord>,
    counts: RequestCounts,
}

/// The log.
#[derive(Default)]
pub(crate) struct RequestLog(Mutex<Kept>);

impl RequestLog {
    /// Records kept; beyond it the oldest is forgotten.
    pub const MOST: usize = 100_000;

    /// Takes note of a request that has just been answered.
    pub fn record(&self, app_key: &str, endpoint: &'static str, tr_id: &str, outcome: &str) {
        let from = app_key.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
        let record = RequestRecord {
            at: Instant::now(),
            app_key: app_key[from..].to_owned(),
            endpoint,
            // The client's own words: kept only as far as a real one can be long.
            tr_id: tr_id.chars().take(40).collect(),
            outcome: outcome.to_owned(),
        };
        let mut kept = self.0.lock();
        *kept.counts.entry((endpoint, record.outcome.clone())).or_default() += 1;
        if kept.newest.len() == Self::MOST {
            kept.newest.pop_front();
        }
        kept.newest.push_back(record);
    }

    /// The newest requests, oldest first.
    pub fn records(&self) -> Vec<RequestRecord> {
        self.0.lock().newest.iter().cloned().collect()
    }

    /// All requests since the start, counted.
    pub fn counts(&self) -> RequestCounts {
        self.0.lock().counts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_kept_and_all_are_counted() {
        let log = RequestLog::default();
        for number in 0..=RequestLog::MOST {
            let outcome = if number == 0 { "EGW00201" } else { "MCA00000" };
            log.record("PSsecret0001", "/a", &"T".repeat(number % 60), outcome);
        }
        log.record("키", "/b", "", "200");
        let records = log.records();
        assert_eq!(records.len(), RequestLog::MOST);
        assert_eq!(records[0].app_key, "0001", "the key itself is not kept");
        assert!(records.iter().all(|record| record.outcome != "EGW00201"), "the oldest went");
        assert!(records.iter().all(|record| record.tr_id.len() <= 40));
        assert_eq!(records.last().unwrap().app_key, "키");
        let counts = log.counts();
        assert_eq!(counts[&("/a", "EGW00201".to_owned())], 1);
        assert_eq!(counts[&("/a", "MCA00000".to_owned())], RequestLog::MOST as u64);
    }
}
