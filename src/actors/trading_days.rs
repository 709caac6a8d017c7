//! Trading days: KIS's own calendar corrects the built-in one.
//!
//! A holiday that is decreed after a release is not in the table. So KIS is asked for the next
//! three weeks at the start and twice a day; what it tells otherwise is logged and in force at once.
//! **KIS is away, or paper trading, which has no calendar:** the table stays as it is; asked again
//! later.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::supervision::StageError;
use crate::kis::{KisClient, KisError};
use crate::market::{EventTime, SessionDay};
use crate::messages::TradingDays;

/// Days that are asked for.
const AHEAD: i32 = 21;
const EVERY: Duration = Duration::from_secs(12 * 3_600);
const AFTER_A_FAILURE: Duration = Duration::from_secs(600);

/// Keeps the calendar in step until it is told to stop.
///
/// # Errors
/// None: a calendar that cannot be had is no reason to stop.
pub async fn run_trading_days(
    clients: Vec<KisClient>,
    days: TradingDays,
    stop: CancellationToken,
) -> Result<(), StageError> {
    loop {
        let pause = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            pause = correct(&clients, &days) => pause,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look; the pause until the next.
async fn correct(clients: &[KisClient], days: &TradingDays) -> Duration {
    let today = EventTime::from_micros(wall_micros()).session_day();
    let through = SessionDay::from_epoch_days(today.epoch_days() + AHEAD);
    let mut told = clients[0].holidays(today, through).await;
    for client in &clients[1..] {
        if !matches!(&told, Err(error) if error.is_terminal() || error.is_blocked()) {
            break;
        }
        told = client.holidays(today, through).await;
    }
    match told {
        Ok(told) => {
            let mut calendar = (*days.calendar()).clone();
            for row in &told {
                match calendar.correct(row.day, row.open) {
                    Ok(false) => {}
                    Ok(true) => tracing::warn!(day = %row.day, open = row.open,
                        "kis's calendar tells otherwise than ours: kis's is in force"),
                    Err(error) => tracing::warn!(%error, "a day of kis's calendar is left out"),
                }
            }
            days.set(calendar);
            EVERY
        }
        Err(KisError::NotInPaperTrading { .. }) => EVERY,
        Err(error) => {
            tracing::warn!(%error, "kis's calendar cannot be had, the built-in one is in force");
            AFTER_A_FAILURE
        }
    }
}
