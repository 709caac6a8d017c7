//! Back-fill: minutes with missing trades, asked for by REST.
//!
//! KIS can give back minute bars of today, not trades. What the Normalizer found missing stands in
//! [`Repairs`]; this service asks for the bars of those minutes and puts them into the stream as a
//! record of their own, through the journal like any frame, so that a replay sees the same. The
//! Recorder then replaces the bars that were built over the gap.
//!
//! **Gets** ranges from [`Repairs`]. **Sends** [`FetchedBars`] to Ingest. **A key is refused or
//! blocked:** the next one is asked. **KIS is away or refuses for now:** the range is asked for again
//! with growing pauses, until the session day is over. What no repetition helps, or came too late, is
//! given up and said in the log and the metrics (`bongsu_backfill_total{outcome}`); the gap itself
//! is on record since it was found. **Stopped:** what was not fetched is found missing again only by a gap, so a
//! stop says how many issues are left.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::supervision::{Edge, StageError};
use crate::kis::{KisClient, KisError, MarketHours, MinuteBar};
use crate::market::{EventTime, rules};
use crate::messages::{FetchedBar, FetchedBars, FrameBatch, FrameKind, Repair, Repairs};

/// Times a range is asked for again whose last minute was not over.
const MAX_REFETCHES: u32 = 5;
/// Longest pause after a failure.
const PAUSE_CAP: Duration = Duration::from_secs(300);
/// How often ranges are looked through when nothing says that one may be due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after a failure; doubles.
const PAUSE: Duration = Duration::from_secs(5);
const MINUTE_US: i64 = 60_000_000;
/// Behind the end of a minute, so that the exchange's bar is whole.
const SETTLE_US: i64 = 2_000_000;

/// What the service is made of.
#[derive(Clone)]
pub struct BackfillParts {
    /// REST, one client an app key.
    pub clients: Vec<KisClient>,
    /// Whose clock is the market's.
    pub hours: MarketHours,
    /// What is missing.
    pub repairs: Repairs,
    /// A range whose market stands still is asked for after this.
    pub patience: Duration,
}

/// How long fetched bars may take into the journal before the next are fetched.
const JOURNALED_WITHIN: Duration = Duration::from_secs(2);

/// Fetches what is due until it is told to stop.
///
/// # Errors
/// When Ingest is gone.
pub async fn run_backfill(
    parts: Arc<BackfillParts>,
    edge: Edge<Arc<FrameBatch>>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    loop {
        while let Some(repair) = parts.repairs.take_due(Instant::now(), parts.patience) {
            let was_over = parts.repairs.is_over(&repair);
            let fetched = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                fetched = fetch_from_any(&parts, &repair) => fetched,
            };
            let fetched_well = fetched.is_ok();
            settle(&parts.repairs, &edge, repair, fetched).await?;
            if fetched_well && !was_over && repair.tries + 1 < MAX_REFETCHES {
                // Fetched out of patience: the last minute may have gone on since.
                let again = Repair { tries: repair.tries + 1, ..repair };
                parts.repairs.ask(again, Instant::now(), parts.patience * (1 << repair.tries));
            }
            parts.repairs.settle(repair.symbol);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                let left = parts.repairs.len();
                if left > 0 {
                    tracing::warn!(issues = left, "minutes with missing trades were not asked for before the stop");
                }
                return Ok(());
            }
            () = parts.repairs.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn settle(
    repairs: &Repairs,
    edge: &Edge<Arc<FrameBatch>>,
    repair: Repair,
    fetched: Result<FetchedBars, KisError>,
) -> Result<(), StageError> {
    let outcome = match fetched {
        Ok(bars) if bars.bars.is_empty() => "empty",
        Ok(bars) => {
            send(edge, &bars).await?;
            "fetched"
        }
        Err(error) if error.is_terminal() || repairs.is_past(&repair) => {
            tracing::error!(symbol = %repair.symbol, from = %repair.from, to = %repair.to, %error,
                "minutes with missing trades cannot be had; their bars stay as the feed left them");
            "given_up"
        }
        Err(error) => {
            tracing::warn!(symbol = %repair.symbol, %error, "minutes with missing trades are asked for again later");
            let pause = (PAUSE * (1 << repair.tries.min(6))).min(PAUSE_CAP);
            let again = Repair { tries: repair.tries.saturating_add(1), ..repair };
            repairs.ask(again, Instant::now(), pause);
            "failed"
        }
    };
    metrics::counter!("bongsu_backfill_total", "outcome" => outcome).increment(1);
    Ok(())
}

/// From the first key that KIS serves.
async fn fetch_from_any(parts: &BackfillParts, repair: &Repair) -> Result<FetchedBars, KisError> {
    let mut outcome = fetch(parts, &parts.clients[0], repair).await;
    for client in &parts.clients[1..] {
        if !matches!(&outcome, Err(error) if error.is_terminal() || error.is_blocked()) {
            break;
        }
        outcome = fetch(parts, client, repair).await;
    }
    outcome
}

async fn fetch(
    parts: &BackfillParts,
    client: &KisClient,
    repair: &Repair,
) -> Result<FetchedBars, KisError> {
    let day = repair.from.session_day();
    // Half an hour more, a call at most: a bar's own value is the difference to the one before.
    let first = repair.from.minute_start();
    let from = first.plus_micros(-30 * MINUTE_US).time_of_day();
    let now = EventTime::from_micros(wall_micros());
    let rows =
        client.minute_bars_between(repair.symbol, day, from, repair.to.time_of_day()).await?;
    let mut bars = bars_of(&rows, first);
    if parts.hours == MarketHours::Calendar {
        bars.retain(|bar| now >= bar.start.plus_micros(MINUTE_US + SETTLE_US));
    }
    Ok(FetchedBars { symbol: repair.symbol, bars })
}

/// The bars from `first` on. KIS tells the day's value up to the end of each bar: the value of one
/// is the difference to the one before, and all of it for the minute of the opening. Where the one
/// before is not known, because nothing was traded for half an hour, it is taken from price and
/// volume.
fn bars_of(rows: &[MinuteBar], first: EventTime) -> Vec<FetchedBar> {
    let opens = |row: &&MinuteBar| row.start.time_of_day() <= rules::OPEN;
    let mut before: Option<i64> = rows.first().filter(opens).map(|_| 0);
    let mut bars = Vec::with_capacity(rows.len());
    for row in rows {
        let told = row.cum_value.zip(before).map(|(value, before)| value - before);
        let typical = (row.high + row.low + row.close) / 3 * row.volume;
        let (least, most) =
            (row.low.min(row.high) * row.volume, row.high.max(row.low) * row.volume);
        // What the bar can have cost at least and at most; KIS's sums are not always in step.
        let amount = told.unwrap_or(typical).clamp(least, most);
        before = row.cum_value.or(before);
        if row.start >= first && row.volume > 0 && row.low > 0 && row.low <= row.high {
            bars.push(FetchedBar {
                start: row.start,
                open: row.open,
                high: row.high,
                low: row.low,
                close: row.close,
                volume: row.volume,
                amount,
            });
        }
    }
    bars
}

async fn send(edge: &Edge<Arc<FrameBatch>>, bars: &FetchedBars) -> Result<(), StageError> {
    let payload = serde_json::to_vec(bars)
        .map_err(|error| StageError::Failed(format!("bars as JSON: {error}")))?;
    let mut batch = FrameBatch::new();
    batch.push(FrameKind::Bars, wall_micros(), &payload);
    let journaled = batch.receipt();
    edge.send(Arc::new(batch)).await?;
    // Settled when they are in the journal, and not before. One that stands still is waited for
    // only so long: asking twice does no harm.
    if tokio::time::timeout(JOURNALED_WITHIN, journaled.wait()).await.is_err() {
        tracing::warn!(within = ?JOURNALED_WITHIN, "fetched bars are not in the journal yet; they may be fetched again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(minute: i64, volume: i64, cum_value: Option<i64>) -> MinuteBar {
        let start = EventTime::from_micros(minute * MINUTE_US);
        MinuteBar { start, open: 100, high: 110, low: 90, close: 105, volume, cum_value }
    }

    #[test]
    fn a_bar_s_value_is_the_difference_to_the_one_before() {
        let first = EventTime::from_micros(10 * MINUTE_US);
        let rows = [
            row(9, 5, Some(1_000)),
            row(10, 10, Some(2_010)),
            row(12, 10, None),
            row(13, 20, Some(4_990)),
            row(14, 0, Some(4_990)),
        ];
        let bars = bars_of(&rows, first);
        let amounts: Vec<i64> = bars.iter().map(|bar| bar.amount).collect();
        // The third one is not told: (110 + 90 + 105) / 3 a share; the fourth is cut to 20 × 110.
        assert_eq!(amounts, [1_010, 1_010, 2_200]);
        assert_eq!(bars_of(&rows[1..2], first)[0].amount, 1_010, "nothing before it");
        let day = crate::market::SessionDay::from_yyyymmdd(20_260_915).unwrap();
        let opening =
            MinuteBar { start: EventTime::from_kst(day, rules::OPEN), ..row(0, 10, Some(999)) };
        assert_eq!(bars_of(&[opening], opening.start)[0].amount, 999, "the first of the day");
    }
}
