//! The circuit that opens when KIS shuts us out, and that outlives the process.
//!
//! A block is lengthened by every request made during it, and a supervisor that restarts a failing
//! daemon is the surest way to make such requests. So the state is in a file beside the token cache
//! (`kis-blocked.json`, mode 0600, one entry a key and base URL), and a start reads it before the
//! first request.
//!
//! Closed: calls go. Open: every call fails at once with the cause and the time. After that time one
//! call, of whichever process comes first, goes as a probe; it claims the next minute for itself in
//! the file, so a probe that dies with its process delays the next one and no more. An answer closes
//! the circuit; another block opens it for longer: 5 minutes, 1 hour, 6 hours, then a day each time.
//!
//! Without a file the state is in memory. A file that cannot be read or written is reported.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::clock::Clock;
use super::private_file::{self, blocking};
use crate::market::EventTime;

const PAUSES: [Duration; 4] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Time a probe has for itself.
const PROBE: Duration = Duration::from_secs(60);
/// Resets and busy pages in a row, without any answer between them, that look like a block …
const STRIKES: u32 = 8;
/// … when they last so long. A server that goes down resets a burst of calls within a moment.
const STRIKES_LAST: Duration = Duration::from_secs(10);
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How a block shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockCause {
    /// A page that is no JSON with status 403, or again and again with 429 or 503.
    Page(u16),
    /// Connections that are cut right after they stand, again and again.
    Resets,
    /// A refusal of KIS with this code.
    Refusal(String),
}

impl fmt::Display for BlockCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(status) => write!(f, "a page that is no kis answer (http {status})"),
            Self::Resets => f.write_str("connections reset again and again"),
            Self::Refusal(code) => write!(f, "{code} (this address is not allowed)"),
        }
    }
}

/// An open circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// When the block was first seen, microseconds since the Unix epoch.
    pub since: EventTime,
    /// No call goes before.
    pub until: EventTime,
    /// How it showed last.
    pub cause: BlockCause,
    /// Blocks seen without an answer between them.
    pub count: u32,
}

/// Leave to make one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// The circuit is closed.
    Free,
    /// The one call that finds out whether the block is over.
    Probe,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct BlockFile {
    #[serde(default)]
    blocks: BTreeMap<String, Block>,
}

/// The circuit of one key at one base URL.
#[derive(Debug)]
pub(super) struct Circuit {
    path: Option<PathBuf>,
    key_id: String,
    clock: Clock,
    memory: Mutex<Option<Block>>,
    strikes: Mutex<Option<(Instant, u32)>>,
}

impl Circuit {
    /// The circuit whose state is in the file `path`, or in memory only.
    pub(super) fn new(path: Option<PathBuf>, key_id: String, clock: Clock) -> Self {
        Self { path, key_id, clock, memory: Mutex::default(), strikes: Mutex::default() }
    }

    /// Whether a call might go; takes no leave.
    ///
    /// # Errors
    /// The block, while the circuit is open.
    pub(super) async fn look(&self) -> Result<(), Block> {
        match self.load().await {
            Some(block) if self.clock.now() < block.until => Err(block),
            _ => Ok(()),
        }
    }

    /// Whether a call may go.
    ///
    /// # Errors
    /// The block, while the circuit is open.
    pub(super) async fn pass(&self) -> Result<Pass, Block> {
        let Some(block) = self.load().await else { return Ok(Pass::Free) };
        if self.clock.now() < block.until {
            return Err(block);
        }
        let probe_until = self.after(PROBE);
        self.change(move |found, now| match found {
            None => (None, Ok(Pass::Free)),
            // Another one was quicker.
            Some(block) if now < block.until => (Some(block.clone()), Err(block)),
            Some(block) => (Some(Block { until: probe_until, ..block }), Ok(Pass::Probe)),
        })
        .await
    }

    /// KIS answered a call: it does not shut us out.
    pub(super) async fn answered(&self, pass: Pass) {
        *self.strikes.lock() = None;
        if pass == Pass::Probe {
            tracing::info!("kis answers again: the block is over");
            self.change(|_, _| (None, ())).await;
        }
    }

    /// A call met a block: opens the circuit, or keeps it open for longer after a probe.
    pub(super) async fn blocked(&self, pass: Pass, cause: BlockCause, at_least: Duration) -> Block {
        let block = self
            .change(move |found, now| {
                let block = match found {
                    // Calls that were under way together report one and the same block.
                    Some(block) if pass == Pass::Free => block,
                    found => {
                        let count = found.as_ref().map_or(0, |block| block.count) + 1;
                        let step = PAUSES.len().min(count as usize) - 1;
                        let until = now.plus_micros(micros(PAUSES[step].max(at_least)));
                        let since = found.map_or(now, |block| block.since);
                        Block { since, until, cause, count }
                    }
                };
                (Some(block.clone()), block)
            })
            .await;
        tracing::error!(cause = %block.cause, until = %block.until, count = block.count, "kis has blocked this key or address: no call is made until then");
        block
    }

    /// A connection was reset, or answered with a page that says that the gateway is busy; `true`
    /// when nothing else has come for so long that it is a block.
    pub(super) fn strike(&self) -> bool {
        let mut strikes = self.strikes.lock();
        let (first, count) = strikes.get_or_insert_with(|| (Instant::now(), 0));
        *count += 1;
        *count >= STRIKES && first.elapsed() >= STRIKES_LAST
    }

    fn after(&self, time: Duration) -> EventTime {
        self.clock.now().plus_micros(micros(time))
    }

    async fn load(&self) -> Option<Block> {
        let Some(path) = self.path.clone() else { return self.memory.lock().clone() };
        let mut file: BlockFile = blocking(move || private_file::read(&path)).await;
        let found = file.blocks.remove(&self.key_id);
        // What could not be written is known here alone.
        found.or_else(|| self.memory.lock().clone())
    }

    /// Changes the state, on disk under the lock.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(Option<Block>, EventTime) -> (Option<Block>, T) + Send + 'static,
    ) -> T {
        let now = self.clock.now();
        let Some(path) = self.path.clone() else {
            let mut memory = self.memory.lock();
            let (block, told) = change(memory.take(), now);
            *memory = block;
            return told;
        };
        // A lock that is held for seconds is held by a hung process; the state matters more.
        let _lock = match private_file::lock(&path, LOCK_PATIENCE).await {
            Ok(lock) => lock,
            Err(held) => {
                tracing::warn!(path = %held.path.display(), waited = ?held.waited, "this lock is held too long: end the process that hangs in it, or remove the file");
                None
            }
        };
        let (key_id, memory) = (self.key_id.clone(), self.memory.lock().clone());
        let (block, written, told) = blocking(move || {
            let mut file: BlockFile = private_file::read(&path);
            let (block, told) = change(file.blocks.remove(&key_id).or(memory), now);
            if let Some(block) = block.clone() {
                file.blocks.insert(key_id, block);
            }
            let written = private_file::write(&path, &file);
            if let Err(error) = &written {
                tracing::warn!(path = %path.display(), %error, "a block by kis is remembered in this process only: check that the folder can be written");
            }
            (block, written.is_ok(), told)
        })
        .await;
        *self.memory.lock() = if written { None } else { block };
        told
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::clock::tests::following_tokio;
    use super::*;

    const START: EventTime = EventTime::from_micros(1_789_000_000_000_000);

    fn circuit(path: Option<&Path>, clock: &Clock) -> Circuit {
        Circuit::new(path.map(Path::to_path_buf), "key".into(), clock.clone())
    }

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    async fn block(circuit: &Circuit, pass: Pass) -> Block {
        circuit.blocked(pass, BlockCause::Page(403), Duration::ZERO).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_keeps_it_and_the_pauses_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kis-blocked.json");
        let clock = following_tokio(START);
        let first = circuit(Some(&path), &clock);
        assert_eq!(first.pass().await, Ok(Pass::Free));
        block(&first, Pass::Free).await;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (pause, count) in [(300, 1), (3_600, 2), (21_600, 3), (86_400, 4), (86_400, 5)] {
            // Each round is another process.
            let next = circuit(Some(&path), &clock);
            let open = next.pass().await.unwrap_err();
            assert_eq!((open.since, open.count), (START, count));
            advance(pause - 1).await;
            assert!(next.pass().await.is_err(), "{count}");
            advance(2).await;
            assert_eq!(circuit(Some(&path), &clock).pass().await, Ok(Pass::Probe));
            assert!(next.pass().await.is_err(), "one probe at a time");
            block(&next, Pass::Probe).await;
        }
        advance(86_400).await;
        let last = circuit(Some(&path), &clock);
        assert_eq!(last.pass().await, Ok(Pass::Probe));
        last.answered(Pass::Probe).await;
        assert_eq!(circuit(Some(&path), &clock).pass().await, Ok(Pass::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_reports_delays_the_next() {
        let clock = following_tokio(START);
        let circuit = circuit(None, &clock);
        block(&circuit, Pass::Free).await;
        advance(300).await;
        assert_eq!(circuit.pass().await, Ok(Pass::Probe));
        assert!(circuit.pass().await.is_err());
        advance(60).await;
        assert_eq!(circuit.pass().await, Ok(Pass::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_under_way_count_as_one_block_and_keys_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kis-blocked.json");
        let clock = following_tokio(START);
        let circuit = circuit(Some(&path), &clock);
        for _ in 0..3 {
            assert_eq!(block(&circuit, Pass::Free).await.count, 1);
        }
        let other = Circuit::new(Some(path), "other".into(), clock);
        assert_eq!(other.pass().await, Ok(Pass::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_time_of_the_server_counts_and_an_unwritable_folder_is_survived() {
        let clock = following_tokio(START);
        let circuit = circuit(Some(Path::new("/proc/nowhere/kis-blocked.json")), &clock);
        let block =
            circuit.blocked(Pass::Free, BlockCause::Page(429), Duration::from_secs(900)).await;
        assert_eq!(block.until.micros_since(START), 900 * 1_000_000);
        assert_eq!(circuit.pass().await, Err(block));
    }

    #[tokio::test(start_paused = true)]
    async fn resets_are_a_block_when_they_last() {
        let circuit = circuit(None, &following_tokio(START));
        for _ in 0..20 {
            assert!(!circuit.strike(), "a burst is no block");
        }
        advance(10).await;
        assert!(circuit.strike());
        circuit.answered(Pass::Free).await;
        assert!(!circuit.strike());
    }

    #[test]
    fn the_file_is_readable_by_later_versions() {
        let block = Block {
            since: START,
            until: START,
            cause: BlockCause::Refusal("EGW00207".into()),
            count: 2,
        };
        let text = serde_json::to_string(&block).unwrap();
        assert_eq!(
            text,
            r#"{"since":1789000000000000,"until":1789000000000000,"cause":{"refusal":"EGW00207"},"count":2}"#
        );
        assert_eq!(serde_json::from_str::<Block>(&text).unwrap(), block);
    }
}
