//! The fingerprint of a run: equal content gives an equal digest, on SQLite and MySQL alike.
//!
//! Each row of `market_prices`, `trade_logs`, `risk_scores` and `threat_events`, and each crash,
//! threat and risk event, is written out canonically and hashed (SHA-256). What says when or where
//! (wall-clock times, journal positions, running numbers) is left out. The hashes of a part are
//! sorted, and the digest is the SHA-256 over, for each part in alphabetical order: its name, a
//! zero byte, its number of hashes (8 bytes, big endian), the hashes.
//!
//! So neither the order of rows nor the order of events matters. An event that was said twice, as
//! after a restart, counts once.
//!
//! Memory: 32 bytes a row or event. A day of 200 issues with a score each second is about 4.7
//! million events, 150 MB; rows are read in pages.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::entity::{market_price, risk_score, threat_event, trade_log};
use super::{Database, StoreError};
use crate::market::EventTime;
use crate::messages::{EventKind, OutwardEvent};

/// Rows read at once.
const PAGE: u64 = 4_096;

type Hash = [u8; 32];

/// The digest, and what went into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestReport {
    /// 64 lower-case hex digits.
    pub digest: String,
    /// Rows of each table and distinct events of each kind (`events.crash`, …).
    pub counts: BTreeMap<&'static str, u64>,
}

/// Collects the events of a run, then reads the rows.
#[derive(Debug, Default)]
pub struct DigestBuilder {
    crashes: Vec<Hash>,
    threats: Vec<Hash>,
    risks: Vec<Hash>,
}

#[derive(Serialize)]
struct CanonicalEvent<'a> {
    id: &'a str,
    kind: &'static str,
    subject: &'a str,
    time: i64,
    data: &'a Value,
}

/// `value` with the keys of every object sorted, and without `journal` at the top.
fn canonical(value: &Value, is_top: bool) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> =
                map.iter().filter(|(key, _)| !(is_top && *key == "journal")).collect();
            let pairs = sorted.into_iter().map(|(key, v)| (key.clone(), canonical(v, false)));
            Value::Object(pairs.collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| canonical(item, false)).collect())
        }
        other => other.clone(),
    }
}

/// Writes a row out, field by field: kind, length, bytes. No two rows are written alike.
struct RowHash(Sha256);

impl RowHash {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn field(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.field(b't', text.as_bytes())
    }

    fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.field(b'n', &[]),
        }
    }

    fn integer(self, value: i64) -> Self {
        self.field(b'i', &value.to_be_bytes())
    }

    /// Six digits behind the point: coarser than any difference between the databases.
    fn real(self, value: f64) -> Self {
        let text = format!("{value:.6}");
        let text = if text == "-0.000000" { "0.000000" } else { text.as_str() };
        self.field(b'f', text.as_bytes())
    }

    fn time(self, time: EventTime) -> Self {
        self.integer(time.micros())
    }

    fn bool(self, value: bool) -> Self {
        self.field(b'b', &[u8::from(value)])
    }

    fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

fn hash_bar(row: &market_price::Model) -> Hash {
    RowHash::new()
        .text(&row.symbol)
        .text(&row.interval)
        .time(row.ts)
        .integer(row.open)
        .integer(row.high)
        .integer(row.low)
        .integer(row.close)
        .integer(row.volume)
        .integer(row.amount)
        .text(&row.source)
        .bool(row.is_final)
        .finish()
}

fn hash_trade(row: &trade_log::Model) -> Hash {
    RowHash::new()
        .text(&row.source_key)
        .text(&row.kind)
        .text(&row.symbol)
        .time(row.ts)
        .integer(row.price)
        .integer(row.quantity)
        .text(&row.side)
        .integer(row.cum_volume)
        .integer(row.flags.into())
        .finish()
}

fn hash_score(row: &risk_score::Model) -> Hash {
    RowHash::new()
        .text(&row.symbol)
        .time(row.ts)
        .time(row.event_time)
        .real(row.score)
        .real(row.part_volatility)
        .real(row.part_drawdown)
        .real(row.part_liquidity)
        .real(row.part_volume)
        .integer(row.price)
        .real(row.change_pct)
        .bool(row.over_gap)
        .text(&row.model)
        .finish()
}

fn hash_threat(row: &threat_event::Model) -> Hash {
    RowHash::new()
        .text(&row.id)
        .text(&row.kind)
        .text(&row.rule)
        .text(&row.level)
        .optional(row.symbol.as_deref())
        .text(&row.name)
        .integer(row.price)
        .integer(row.reference_price)
        .real(row.change_pct)
        .integer(row.window_s)
        .real(row.score)
        .time(row.event_time)
        .text(&row.evidence)
        .finish()
}

/// Hashes all rows of a table, page by page in order of its primary key.
macro_rules! hash_rows {
    ($db:expr, $entity:ident, $hash:ident) => {{
        let mut hashes: Vec<Hash> = Vec::new();
        let mut last = None;
        loop {
            let mut query = $entity::Entity::find().order_by_asc($entity::Column::Id).limit(PAGE);
            if let Some(last) = last.take() {
                query = query.filter($entity::Column::Id.gt(last));
            }
            let rows = query
                .all($db.connection())
                .await
                .map_err(StoreError::statement("read rows for the digest"))?;
            hashes.extend(rows.iter().map($hash));
            match rows.into_iter().next_back() {
                Some(row) => last = Some(row.id),
                None => break hashes,
            }
        }
    }};
}

impl DigestBuilder {
    /// A builder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an event; other kinds than crash, threat and risk are passed over.
    pub fn event(&mut self, event: &OutwardEvent) {
        let hashes = match event.kind {
            EventKind::Crash => &mut self.crashes,
            EventKind::Threat => &mut self.threats,
            EventKind::Risk => &mut self.risks,
            _ => return,
        };
        let data = canonical(event.data(), true);
        let line = serde_json::to_vec(&CanonicalEvent {
            id: &event.id,
            kind: event.kind.as_str(),
            subject: &event.subject,
            time: event.time.micros(),
            data: &data,
        })
        // A `Value` with text keys always serialises.
        .unwrap_or_default();
        hashes.push(Sha256::digest(&line).into());
    }

    /// Reads the rows and closes the digest. Everything must have been written before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(self, db: &Database) -> Result<DigestReport, StoreError> {
        let mut parts: BTreeMap<&'static str, Vec<Hash>> = BTreeMap::new();
        parts.insert("events.crash", distinct(self.crashes));
        parts.insert("events.threat", distinct(self.threats));
        parts.insert("events.risk", distinct(self.risks));
        parts.insert("market_prices", hash_rows!(db, market_price, hash_bar));
        parts.insert("trade_logs", hash_rows!(db, trade_log, hash_trade));
        parts.insert("risk_scores", hash_rows!(db, risk_score, hash_score));
        parts.insert("threat_events", hash_rows!(db, threat_event, hash_threat));
        let mut whole = Sha256::new();
        let mut counts = BTreeMap::new();
        for (name, mut hashes) in parts {
            hashes.sort_unstable();
            whole.update(name.as_bytes());
            whole.update([0]);
            whole.update((hashes.len() as u64).to_be_bytes());
            for hash in &hashes {
                whole.update(hash);
            }
            counts.insert(name, hashes.len() as u64);
        }
        Ok(DigestReport { digest: hex::encode(whole.finalize()), counts })
    }
}

fn distinct(mut hashes: Vec<Hash>) -> Vec<Hash> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

#[cfg(test)]
mod tests {
    use super::super::db::tests::memory;
    use super::*;
    use crate::messages::event::deterministic_id;

    fn event(journal: u32, change: f64) -> OutwardEvent {
        OutwardEvent::new(
            EventKind::Crash,
            deterministic_id(&["crash"]),
            "005930",
            "005930",
            EventTime::from_micros(1_722_816_021_000_000),
            &serde_json::json!({ "change_pct": change, "journal": { "offset": journal } }),
        )
    }

    async fn digest(events: &[OutwardEvent]) -> DigestReport {
        let mut builder = DigestBuilder::new();
        events.iter().for_each(|event| builder.event(event));
        builder.finish(&memory().await).await.unwrap()
    }

    #[tokio::test]
    async fn only_content_counts() {
        let one = digest(&[event(1, -5.0)]).await;
        assert_eq!(one.counts["events.crash"], 1);
        assert_eq!(one.digest.len(), 64);
        assert_eq!(one, digest(&[event(2, -5.0), event(9, -5.0)]).await);
        assert_ne!(one.digest, digest(&[event(1, -5.1)]).await.digest);
        assert_ne!(one.digest, digest(&[]).await.digest);
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let hash = |a: &str, b: &str| RowHash::new().text(a).text(b).finish();
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(RowHash::new().optional(None).finish(), RowHash::new().text("").finish());
        assert_eq!(RowHash::new().real(-0.0).finish(), RowHash::new().real(0.000_000_1).finish());
    }
}
