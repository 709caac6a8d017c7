//! One call of each kind that collection makes, read and put into its batches, and nothing stored.
//!
//! In: the parts of a collection, whose database and objects are not used. Out: for each endpoint how
//! many records it gave, or what was wrong: KIS refused or was away, or the records do not fit the
//! schema of their kind. The same readers and the same schemas as in a run, so what passes here can
//! be collected.
//!
//! **Limits.** One issue, the first one; the newest half hour of minutes. Nothing is repeated beyond
//! what the client repeats. A refusal that concerns every call (keys, a block) ends it early.

use super::ask::{self, Asked};
use super::steps::{
    HISTORY_DAYS, ORDER_DAYS, day_bars, days_before, filled, identified, raw_minute,
};
use super::{CollectionParts, Universe};
use crate::collect::prints::Unidentified;
use crate::collect::{SchemaError, bars, batch, naming};
use crate::kis::error::Refusal;
use crate::kis::{KisError, MinuteChart, Request};
use crate::market::{Symbol, rules};

/// Why an endpoint is of no use to collection.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// KIS refused, was away, or answered with something else.
    #[error(transparent)]
    Kis(#[from] KisError),
    /// The records cannot be stored.
    #[error("the answer does not fit the schema: {0}")]
    Schema(#[from] SchemaError),
    /// The answers contradict each other.
    #[error(transparent)]
    Prints(#[from] Unidentified),
}

/// What an endpoint gave.
#[derive(Debug)]
pub struct Probed {
    /// Short name of the call.
    pub endpoint: &'static str,
    /// Records that fit, or why there are none. An answer without records is no error.
    pub outcome: Result<usize, ProbeError>,
}

/// Asks every endpoint once. The rest is left out after an error that is about all of them.
pub async fn probe(parts: &CollectionParts) -> Vec<Probed> {
    let mut prober = Prober { parts, done: Vec::new() };
    // Why it ended is in the last line.
    let _ended_early = prober.all().await;
    prober.done
}

/// An error concerns the calls that are still to come.
struct Hopeless;

struct Prober<'a> {
    parts: &'a CollectionParts,
    done: Vec<Probed>,
}

impl Prober<'_> {
    async fn all(&mut self) -> Result<(), Hopeless> {
        let symbol = match &self.parts.universe {
            Universe::Symbols(symbols) => symbols.first().copied(),
            Universe::Ranked(ranking, _) => {
                let asked = ask::ranking(&self.parts.client, *ranking).await;
                let symbols =
                    self.read("ranking", asked, |symbols| Ok((symbols.len(), symbols)))?;
                symbols.and_then(|symbols| symbols.first().copied())
            }
        };
        if let Some(symbol) = symbol {
            self.prices(symbol).await?;
            self.prints(symbol).await?;
        }
        self.orders().await
    }

    async fn prices(&mut self, symbol: Symbol) -> Result<(), Hopeless> {
        let (client, now) = (&self.parts.client, (self.parts.clock)());
        let day = now.session_day();
        let asked = ask::daily_bars(client, symbol, days_before(day, HISTORY_DAYS), day).await;
        self.read("daily_bars", asked, |chart| {
            Ok((batch::of_bars(&day_bars(symbol, &chart, now))?.num_rows(), ()))
        })?;
        // Before the opening today has no minutes: those of the last session are asked for.
        let until = match now.time_of_day() {
            early if early <= rules::OPEN => rules::CLOSE,
            time => time.min(rules::CLOSE),
        };
        let request = Request::minute_bars(symbol, until);
        let asked = ask::one(client, request, MinuteChart::of).await;
        self.read("minute_bars", asked, |chart| {
            // The value of the day's earlier minutes is not known here: each bar gets its own.
            let mut rows = 0;
            for raw in chart.bars.iter().filter_map(raw_minute) {
                rows += batch::of_bars(&bars::minute_bars(symbol, &[raw], now))?.num_rows();
            }
            Ok((rows, ()))
        })?;
        Ok(())
    }

    async fn prints(&mut self, symbol: Symbol) -> Result<(), Hopeless> {
        let (client, day) = (&self.parts.client, (self.parts.clock)().session_day());
        let asked = ask::price(client, symbol).await;
        let before = self.read("inquire_price", asked, |price| Ok((1, price.volume)))?.flatten();
        let prints = ask::latest_trades(client, symbol).await;
        // Beside the list, the volume after it; the first price has told whether that can be had.
        let after = ask::price(client, symbol).await.result.ok().and_then(|price| price.volume);
        self.read("latest_trades", prints, |prints| {
            let volumes = (before.unwrap_or(0), after.or(before).unwrap_or(0));
            match identified(symbol, day, volumes, &prints) {
                Ok(executions) => Ok((batch::of_executions(&executions)?.num_rows(), ())),
                // The issue trades right now: a run asks again, here the list is proof enough.
                Err(Unidentified::Ambiguous { .. }) => Ok((prints.len(), ())),
                Err(error) => Err(error.into()),
            }
        })?;
        Ok(())
    }

    async fn orders(&mut self) -> Result<(), Hopeless> {
        let Some(account) = &self.parts.account else { return Ok(()) };
        let today = (self.parts.clock)().session_day();
        let hash = naming::account_hash(&format!("{}{}", account.number(), account.product()));
        let from = days_before(today, ORDER_DAYS);
        let asked = ask::orders(&self.parts.client, account, from, today).await;
        self.read("order_history", asked, |orders| {
            batch::of_orders(&filled(&hash, &orders))?;
            Ok((orders.len(), ()))
        })?;
        Ok(())
    }

    /// Notes what came of a call; `fit` counts its records and gives what the next calls need.
    fn read<T, U>(
        &mut self,
        endpoint: &'static str,
        asked: Asked<T>,
        fit: impl FnOnce(T) -> Result<(usize, U), ProbeError>,
    ) -> Result<Option<U>, Hopeless> {
        let (outcome, value) = match asked.result.map_err(ProbeError::from).and_then(fit) {
            Ok((rows, value)) => (Ok(rows), Some(value)),
            Err(error) => (Err(error), None),
        };
        let hopeless = matches!(&outcome, Err(ProbeError::Kis(error)) if concerns_all(error));
        self.done.push(Probed { endpoint, outcome });
        if hopeless { Err(Hopeless) } else { Ok(value) }
    }
}

/// Whether the next call would only meet the same error.
fn concerns_all(error: &KisError) -> bool {
    match error {
        KisError::Blocked { .. }
        | KisError::Transport { .. }
        | KisError::TokenRefusedAgain { .. }
        | KisError::NoToken { .. } => true,
        _ => matches!(error.refusal(), Some(Refusal::Credentials | Refusal::Token)),
    }
}
