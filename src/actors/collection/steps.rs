//! The steps of the chain.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Universe;
use super::ask::{self, RawAnswer};
use super::run::{End, Runner, Told};
use crate::collect::prints::{Print, Unidentified, cumulative_volumes};
use crate::collect::{AccountOrder, Execution, Kind, bars, batch, naming};
use crate::kis::{DailyChart, Execution as LatestTrade, MinuteBar, OrderRow, OrderSide};
use crate::market::{EventTime, SessionDay, Side, Symbol, TimeOfDay, rules};

/// Calendar days of daily bars that are asked for: fewer sessions than the 100 of one answer.
pub(super) const HISTORY_DAYS: i32 = 112;
/// Calendar days of the account's orders that are asked for.
pub(super) const ORDER_DAYS: i32 = 7;
/// No session begins before.
const DAY_BEGINS: TimeOfDay = match TimeOfDay::from_hms(8, 0, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Attempts to catch an issue between two trades.
const IDENTITY_ATTEMPTS: u32 = 4;
/// Pause between them.
const IDENTITY_PAUSE: Duration = Duration::from_millis(200);

/// The newest session in which an issue was traded, and its volume when that was asked.
type Sessions = BTreeMap<Symbol, (SessionDay, i64)>;

fn whole(raw: &RawAnswer) -> Bytes {
    raw.body.clone()
}

pub(super) fn days_before(day: SessionDay, days: i32) -> SessionDay {
    SessionDay::from_epoch_days(day.epoch_days() - days)
}

impl Runner<'_> {
    /// The whole chain.
    pub async fn steps(&mut self) -> Result<(), End> {
        let begun = self.begin("token");
        let outcome = self.token().await;
        self.end_step(begun, outcome).await?;

        let mut symbols = Vec::new();
        let begun = self.begin("universe");
        let outcome = self.universe(&mut symbols).await;
        self.end_step(begun, outcome).await?;

        let mut sessions = Sessions::new();
        let begun = self.begin("prices");
        let outcome = self.prices(&symbols, &mut sessions).await;
        self.end_step(begun, outcome).await?;

        let begun = self.begin("executions");
        let outcome = self.executions(&sessions).await;
        self.end_step(begun, outcome).await?;

        let begun = self.begin("orders");
        let outcome = self.orders().await;
        self.end_step(begun, outcome).await
    }

    async fn token(&mut self) -> Result<(), End> {
        let token = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(End::Stopped),
            token = self.parts.client.token() => token,
        };
        token.map(drop).map_err(|error| self.no_token(&error))
    }

    async fn universe(&mut self, symbols: &mut Vec<Symbol>) -> Result<(), End> {
        let parts = self.parts;
        match &parts.universe {
            Universe::Symbols(chosen) => symbols.clone_from(chosen),
            Universe::Ranked(ranking, count) => {
                let told =
                    self.ask("ranking", whole, || ask::ranking(&parts.client, *ranking)).await?;
                // Without issues there is nothing to do.
                let Some(told) = told else { return Err(End::Terminal) };
                *symbols = told.value;
                symbols.truncate(*count);
            }
        }
        self.step.subjects = symbols.len() as u64;
        Ok(())
    }

    async fn prices(&mut self, symbols: &[Symbol], sessions: &mut Sessions) -> Result<(), End> {
        for symbol in symbols {
            self.step.subjects += 1;
            self.daily_bars(*symbol, sessions).await?;
            if let Some((day, _)) = sessions.get(symbol) {
                self.minute_bars(*symbol, *day).await?;
            }
        }
        Ok(())
    }

    async fn daily_bars(&mut self, symbol: Symbol, sessions: &mut Sessions) -> Result<(), End> {
        let (client, day) = (&self.parts.client, self.day);
        let ask = || ask::daily_bars(client, symbol, days_before(day, HISTORY_DAYS), day);
        let Some(told) = self.ask(symbol.as_str(), whole, ask).await? else { return Ok(()) };
        let Told { value: chart, payload_ref } = told;
        if let Some(newest) = chart.bars.iter().rev().find(|bar| bar.volume > 0) {
            sessions.insert(symbol, (newest.day, newest.volume));
        }
        let now = (self.parts.clock)();
        let batch = batch::of_bars(&day_bars(symbol, &chart, now));
        self.store(Kind::Bars, symbol.as_str(), batch, payload_ref).await
    }

    /// The minutes of today's session; KIS tells of no other.
    async fn minute_bars(&mut self, symbol: Symbol, day: SessionDay) -> Result<(), End> {
        if day != self.day {
            return Ok(());
        }
        let client = &self.parts.client;
        let now = (self.parts.clock)();
        let until = now.time_of_day().min(rules::CLOSE);
        let ask = || ask::minute_bars(client, symbol, day, DAY_BEGINS, until);
        let Some(told) = self.ask(symbol.as_str(), whole, ask).await? else { return Ok(()) };
        let raw: Vec<(EventTime, bars::RawBar)> =
            told.value.bars.iter().filter_map(raw_minute).collect();
        let batch = batch::of_bars(&bars::minute_bars(symbol, &raw, now));
        self.store(Kind::Bars, symbol.as_str(), batch, told.payload_ref).await
    }

    async fn executions(&mut self, sessions: &Sessions) -> Result<(), End> {
        for (symbol, (day, volume)) in sessions {
            self.step.subjects += 1;
            self.newest_trades(*symbol, *day, *volume).await?;
        }
        Ok(())
    }

    /// Price, prints, price, until the prints' identities are certain.
    async fn newest_trades(
        &mut self,
        symbol: Symbol,
        day: SessionDay,
        least: i64,
    ) -> Result<(), End> {
        let (client, subject) = (&self.parts.client, symbol.as_str());
        let mut unidentified = None;
        let Some(mut before) = self.ask(subject, whole, || ask::price(client, symbol)).await?
        else {
            return Ok(());
        };
        for attempt in 0..IDENTITY_ATTEMPTS {
            if attempt > 0 {
                self.pause(IDENTITY_PAUSE).await?;
            }
            let Some(prints) =
                self.ask(subject, whole, || ask::latest_trades(client, symbol)).await?
            else {
                return Ok(());
            };
            let Some(after) = self.ask(subject, whole, || ask::price(client, symbol)).await? else {
                return Ok(());
            };
            let volumes = (before.value.volume.unwrap_or(0), after.value.volume.unwrap_or(0));
            before = after;
            if volumes.1 < least {
                // A new session has begun since the daily bars were asked for.
                self.step.unidentified += prints.value.len() as u64;
                return Ok(());
            }
            match identified(symbol, day, volumes, &prints.value) {
                Ok(executions) => {
                    let batch = batch::of_executions(&executions);
                    return self.store(Kind::Executions, subject, batch, prints.payload_ref).await;
                }
                Err(why @ Unidentified::Inconsistent(_)) => {
                    self.fail("latest_trades", subject, "inconsistent", &why, prints.payload_ref);
                    return Ok(());
                }
                Err(why @ Unidentified::Ambiguous { .. }) => {
                    unidentified = Some((why, prints.value.len()));
                }
            }
        }
        if let Some((why, prints)) = unidentified {
            tracing::info!(%symbol, %why, prints, "trades are kept in the raw archive alone");
            self.step.unidentified += prints as u64;
        }
        Ok(())
    }

    async fn orders(&mut self) -> Result<(), End> {
        let parts = self.parts;
        let Some(account) = &parts.account else {
            self.step.skipped = Some("no account is set");
            return Ok(());
        };
        self.step.subjects += 1;
        let hash = naming::account_hash(&format!("{}{}", account.number(), account.product()));
        let (from, to) = (days_before(self.day, ORDER_DAYS), self.day);
        let mask = |raw: &RawAnswer| naming::mask_account(&raw.body, account.number()).into();
        let ask = || ask::orders(&parts.client, account, from, to);
        let Some(told) = self.ask(&hash, mask, ask).await? else { return Ok(()) };
        let batch = batch::of_orders(&filled(&hash, &told.value));
        self.store(Kind::Orders, &hash, batch, told.payload_ref).await
    }
}

/// KIS's daily bars in which something was traded.
pub(super) fn day_bars(
    symbol: Symbol,
    chart: &DailyChart,
    now: EventTime,
) -> Vec<crate::market::bar_source::StoredBar> {
    let bars = chart.bars.iter().filter_map(|bar| {
        let raw = bars::RawBar {
            open: bar.open?,
            high: bar.high?,
            low: bar.low?,
            close: bar.close,
            volume: bar.volume,
            value: bar.value?,
        };
        bars::day_bar(symbol, bar.day, &raw, now)
    });
    bars.collect()
}

/// A minute whose value KIS tells.
pub(super) fn raw_minute(bar: &MinuteBar) -> Option<(EventTime, bars::RawBar)> {
    let raw = bars::RawBar {
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        value: bar.cum_value?,
    };
    Some((bar.start, raw))
}

pub(super) fn identified(
    symbol: Symbol,
    day: SessionDay,
    (before, after): (i64, i64),
    trades: &[LatestTrade],
) -> Result<Vec<Execution>, Unidentified> {
    let prints: Vec<Print> = trades
        .iter()
        .map(|&LatestTrade { time, price, quantity, .. }| Print { time, price, quantity })
        .collect();
    let volumes = cumulative_volumes(before, &prints, after)?;
    let executions = prints.iter().zip(volumes).map(|(print, cum_volume)| Execution {
        symbol,
        time: EventTime::from_kst(day, print.time),
        price: print.price,
        quantity: print.quantity,
        cum_volume,
    });
    Ok(executions.collect())
}

/// The orders with fills and a known side; the average price of the fills is rounded to whole won.
pub(super) fn filled(hash: &str, orders: &[OrderRow]) -> Vec<AccountOrder> {
    let order_of = |row: &OrderRow| {
        let filled = row.filled.filter(|filled| *filled > 0)?;
        Some(AccountOrder {
            account: hash.to_owned(),
            day: row.day,
            branch: row.branch.clone().unwrap_or_else(|| "00000".to_owned()),
            number: row.number.clone(),
            symbol: row.symbol,
            side: match row.side? {
                OrderSide::Sell => Side::Sell,
                OrderSide::Buy => Side::Buy,
            },
            time: EventTime::from_kst(row.day, row.time.unwrap_or_default()),
            ordered: row.quantity?,
            filled,
            price: (row.filled_amount? + filled / 2) / filled,
        })
    };
    orders.iter().filter_map(order_of).collect()
}
