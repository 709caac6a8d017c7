//! Reads the stream `bongsu:events`: what another process publishes, for one that has no pipeline.
//!
//! In: the stream. Out: events in its order, from the newest [`PAST`] on, each once. A connection that is
//! lost is made anew by the client; reading then goes on behind the last entry that was read. A stream
//! that was emptied meanwhile is read from its begin.

use std::time::Duration;

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};

use super::redis::{BusError, STREAM, redis_connection};
use crate::messages::OutwardEvent;

/// Entries read at the start.
pub const PAST: usize = 1_000;
/// Entries in one answer.
const COUNT: usize = 500;

type Entry = (String, Vec<(String, String)>);

/// Follows the stream.
pub struct StreamFollower {
    client: Client,
    after: Option<String>,
}

impl std::fmt::Debug for StreamFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamFollower(after {:?})", self.after)
    }
}

impl StreamFollower {
    /// A follower of the stream at `url`, connected when it first can be. Call it on the runtime that is to
    /// carry the connection.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn connect(url: &str, timeout: Duration) -> Result<Self, BusError> {
        let client = redis_connection(url, timeout)?;
        // The driver goes on by itself, and ends with the client.
        drop(client.connect());
        Ok(Self { client, after: None })
    }

    /// What came since the last call; empty when nothing did.
    ///
    /// # Errors
    /// What Redis, or the way to it, said; the next call asks for the same.
    pub async fn read(&mut self) -> Result<Vec<OutwardEvent>, String> {
        let count = |n: usize| n.to_string();
        let entries = match &self.after {
            Some(after) => {
                let from = format!("({after}");
                let entries = self.ask("XRANGE", &from, "+", &count(COUNT)).await?;
                if entries.is_empty() && self.was_emptied(after).await? {
                    self.after = None;
                }
                entries
            }
            None => {
                let mut entries = self.ask("XREVRANGE", "+", "-", &count(PAST)).await?;
                entries.reverse();
                entries
            }
        };
        if let Some((id, _)) = entries.last() {
            self.after = Some(id.clone());
        }
        let events = entries.iter().filter_map(|(_, fields)| {
            let (_, json) = fields.iter().find(|(name, _)| name == "event")?;
            OutwardEvent::from_json(json)
        });
        Ok(events.collect())
    }

    /// Whether the newest entry is older than `after`: the stream is another one.
    async fn was_emptied(&self, after: &str) -> Result<bool, String> {
        let newest = self.ask("XREVRANGE", "+", "-", "1").await?;
        Ok(newest.first().is_some_and(|(id, _)| place(id) < place(after)))
    }

    async fn ask(
        &self,
        name: &'static str,
        from: &str,
        to: &str,
        count: &str,
    ) -> Result<Vec<Entry>, String> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let arguments = vec![STREAM, from, to, "COUNT", count];
        let answer: Vec<(String, Vec<String>)> = self
            .client
            .custom(command, arguments)
            .await
            .map_err(|error| error.details().to_owned())?;
        let pairs = |flat: Vec<String>| {
            flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        Ok(answer.into_iter().map(|(id, flat)| (id, pairs(flat))).collect())
    }
}

/// An entry's id as numbers.
fn place(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or(0), number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_by_time_and_number() {
        assert!(place("12-9") < place("12-10") && place("9-0") < place("12-0"));
    }
}
