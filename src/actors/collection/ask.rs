//! The calls of collection: each gives the answers as they came, for the archive, and what was read
//! from the same bytes.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::json;

use crate::kis::{
    Account, DailyChart, Execution, KisClient, KisError, MarketCapRow, MinuteChart, OrderHistory,
    OrderRow, Price, Raw, Request, VolumeRankRow,
};
use crate::market::{SessionDay, Symbol, TimeOfDay};

/// By what issues are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// Market value.
    MarketCap,
    /// Volume.
    Volume,
}

/// A body for the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawAnswer {
    /// Short name of the call.
    pub endpoint: &'static str,
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// The body; of a refusal, what was kept of it.
    pub body: Bytes,
}

/// The bodies of a call, and what was read from them.
pub(super) struct Asked<T> {
    /// In order; the last one is that of `result`.
    pub raws: Vec<RawAnswer>,
    /// What they say.
    pub result: Result<T, KisError>,
}

impl<T> Asked<T> {
    fn new(
        endpoint: &'static str,
        fetched: Result<Vec<Raw>, KisError>,
        read: impl FnOnce(&[Raw]) -> Result<T, KisError>,
    ) -> Self {
        match fetched {
            Ok(raws) => Self {
                result: read(&raws),
                raws: raws
                    .into_iter()
                    .map(|raw| RawAnswer {
                        endpoint: raw.endpoint.name(),
                        status: raw.status,
                        body: raw.body,
                    })
                    .collect(),
            },
            Err(error) => Self { raws: vec![refusal(endpoint, &error)], result: Err(error) },
        }
    }
}

/// What an error keeps of the answer, as KIS writes it; of anything else its text.
fn refusal(endpoint: &'static str, error: &KisError) -> RawAnswer {
    let (status, body) = match error {
        KisError::Refused { code, message, status, .. } => {
            (*status, json!({ "msg_cd": code, "msg1": message }))
        }
        other => (0, json!({ "error": other.to_string() })),
    };
    RawAnswer { endpoint, status, body: body.to_string().into() }
}

/// One call, whose answer `read` reads.
pub(super) async fn one<T>(
    client: &KisClient,
    request: Request,
    read: impl FnOnce(&Raw) -> Result<T, KisError>,
) -> Asked<T> {
    let fetched = client.fetch(&request).await.map(|raw| vec![raw]);
    Asked::new(request.endpoint().name(), fetched, |raws| match raws {
        [raw, ..] => read(raw),
        [] => unreachable!("one answer was fetched"),
    })
}

/// The current price.
pub(super) async fn price(client: &KisClient, symbol: Symbol) -> Asked<Price> {
    one(client, Request::inquire_price(symbol), |raw| Price::of(symbol, raw)).await
}

/// Daily bars, adjusted for splits: the newest 100.
pub(super) async fn daily_bars(
    client: &KisClient,
    symbol: Symbol,
    from: SessionDay,
    to: SessionDay,
) -> Asked<DailyChart> {
    let request = Request::daily_bars(symbol, from, to);
    one(client, request, |raw| DailyChart::of(symbol, raw)).await
}

/// The newest trades, at most 30, newest first.
pub(super) async fn latest_trades(client: &KisClient, symbol: Symbol) -> Asked<Vec<Execution>> {
    one(client, Request::latest_trades(symbol), Execution::of).await
}

/// The minutes of today's session up to `until`.
pub(super) async fn minute_bars(
    client: &KisClient,
    symbol: Symbol,
    day: SessionDay,
    from: TimeOfDay,
    until: TimeOfDay,
) -> Asked<MinuteChart> {
    let endpoint = Request::minute_bars(symbol, until).endpoint().name();
    let fetched = client.fetch_minutes_between(symbol, day, from, until).await;
    Asked::new(endpoint, fetched, |raws| {
        MinuteChart::of_pages(raws).map(|chart| chart.keep_day(day))
    })
}

/// The issues at the top of a ranking, best first, at most 30.
pub(super) async fn ranking(client: &KisClient, ranking: Ranking) -> Asked<Vec<Symbol>> {
    match ranking {
        Ranking::MarketCap => {
            one(client, Request::market_cap_rank(), |raw| {
                Ok(MarketCapRow::of(raw)?.into_iter().map(|row| row.symbol).collect())
            })
            .await
        }
        Ranking::Volume => {
            one(client, Request::volume_rank(), |raw| {
                Ok(VolumeRankRow::of(raw)?.into_iter().map(|row| row.symbol).collect())
            })
            .await
        }
    }
}

/// The account's orders, all pages; an order that two pages tell of counts once.
pub(super) async fn orders(
    client: &KisClient,
    account: &Account,
    from: SessionDay,
    to: SessionDay,
) -> Asked<Vec<OrderRow>> {
    let mut raws = Vec::new();
    let mut fetched = Ok(());
    for request in Request::order_history(client.environment(), account, from, to, to) {
        match client.fetch_pages(request).await {
            Ok(pages) => raws.extend(pages),
            Err(error) => fetched = Err(error),
        }
    }
    Asked::new("order_history", fetched.map(|()| raws), |raws| {
        let mut seen = BTreeSet::new();
        let mut orders = OrderHistory::of_pages(raws)?.orders;
        orders.retain(|row| seen.insert((row.day, row.branch.clone(), row.number.clone())));
        Ok(orders)
    })
}
