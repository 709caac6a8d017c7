//! A recording of single trades, played in its own order.
//!
//! Order: by second, then by issue, then by `seq`; price, size, side, best quotes and cumulative
//! volume as recorded. What the file does not say is filled in modestly: the base price is the
//! first price cut to a tick (no previous close is known), the value traded before the recording
//! began is taken from `cum_amount_10k` and from there grows by exactly size × price.

use std::collections::BTreeMap;
use std::path::Path;

use crate::market::{Market, SessionDay, Side, Symbol, Won, rules};

use super::SimError;
use super::columns::{Batch, Table};
use crate::kis::sim::day::{Carried, Day, Issue, Print};
use crate::kis::sim::interruption::Rules;

struct Row {
    second: i64,
    seq: i64,
    print: Print,
    cum_volume: i64,
    cum_sells: i64,
    cum_buys: i64,
    cum_value: Won,
}

const COLUMNS: [&str; 12] = [
    "ts",
    "seq",
    "symbol",
    "price",
    "qty",
    "side",
    "ask1",
    "bid1",
    "cum_volume",
    "cum_sell_volume",
    "cum_buy_volume",
    "cum_amount_10k",
];
const SECONDS_PER_DAY: i64 = 86_400;

/// Loads a tick file.
pub(super) fn load(
    table: Table,
    wanted: Option<SessionDay>,
    symbols: Option<usize>,
    seed: u64,
) -> Result<Day, SimError> {
    let path = table.path.clone();
    let mut by_symbol: BTreeMap<Symbol, Vec<Row>> = BTreeMap::new();
    for batch in table.read(&COLUMNS)? {
        read_batch(&batch?, &mut by_symbol)?;
    }
    let day = only_day(&path, &by_symbol, wanted)?;
    if let Some(most) = symbols {
        keep_largest(&mut by_symbol, most);
    }

    let mut issues = Vec::new();
    let mut prints = Vec::new();
    for (symbol, mut rows) in by_symbol {
        rows.sort_by_key(|row| row.seq);
        let number = issues.len() as u32;
        issues.push(issue_of(day, symbol, &rows, seed));
        prints.extend(rows.into_iter().map(|row| Print { issue: number, ..row.print }));
    }
    // Stable, so the order inside a second of an issue stays that of `seq`.
    prints.sort_by_key(|print| (print.at_ms, print.issue));
    Ok(Day {
        day,
        issues,
        prints,
        series: Vec::new(),
        index_prints: Vec::new(),
        speed: None,
        rules: Rules::default(),
    })
}

fn read_batch(batch: &Batch, by_symbol: &mut BTreeMap<Symbol, Vec<Row>>) -> Result<(), SimError> {
    let seconds = batch.local_seconds("ts")?;
    let (names, sides) = (batch.texts("symbol")?, batch.texts("side")?);
    let [seqs, prices, sizes] =
        [batch.integers("seq")?, batch.integers("price")?, batch.integers("qty")?];
    let [asks, bids, volumes] =
        [batch.integers("ask1")?, batch.integers("bid1")?, batch.integers("cum_volume")?];
    let [sells, buys, amounts] = [
        batch.integers("cum_sell_volume")?,
        batch.integers("cum_buy_volume")?,
        batch.integers("cum_amount_10k")?,
    ];
    for row in 0..batch.rows() {
        let need = |column: &'static str, values: &[Option<i64>]| {
            values[row].ok_or_else(|| batch.missing(column, row))
        };
        let price_of = |column: &'static str, values: &[Option<i64>]| {
            let value = need(column, values)?;
            i32::try_from(value)
                .ok()
                .filter(|price| *price >= 0)
                .ok_or_else(|| batch.impossible(column, value, "a price in won"))
        };
        let name = names.get(row).ok_or_else(|| batch.missing("symbol", row))?;
        let symbol = Symbol::from_bytes(name.as_bytes())
            .ok_or_else(|| batch.impossible("symbol", name, "1 to 8 letters or digits"))?;
        let side = match sides.get(row) {
            Some("B") => Side::Buy,
            Some("S") => Side::Sell,
            other => {
                return Err(batch.impossible("side", other.unwrap_or(""), "B or S"));
            }
        };
        let (quantity, price) = (need("qty", &sizes)?, price_of("price", &prices)?);
        if quantity < 1 || price < 1 {
            return Err(batch.impossible("qty", quantity, "a trade of at least 1 share and 1 won"));
        }
        let print = Print {
            at_ms: (seconds[row].rem_euclid(SECONDS_PER_DAY) * 1_000) as u32,
            issue: 0,
            quantity,
            price,
            ask: price_of("ask1", &asks)?,
            bid: price_of("bid1", &bids)?,
            side,
        };
        by_symbol.entry(symbol).or_default().push(Row {
            second: seconds[row],
            seq: need("seq", &seqs)?,
            print,
            cum_volume: need("cum_volume", &volumes)?,
            cum_sells: need("cum_sell_volume", &sells)?,
            cum_buys: need("cum_buy_volume", &buys)?,
            cum_value: need("cum_amount_10k", &amounts)?.saturating_mul(10_000),
        });
    }
    Ok(())
}

/// The one day of the file.
fn only_day(
    path: &Path,
    by_symbol: &BTreeMap<Symbol, Vec<Row>>,
    wanted: Option<SessionDay>,
) -> Result<SessionDay, SimError> {
    let days = by_symbol.values().flatten().map(|row| row.second.div_euclid(SECONDS_PER_DAY));
    let day_of = |days: i64| SessionDay::from_epoch_days(i32::try_from(days).unwrap_or(i32::MAX));
    let Some((first, last)) = days.fold(None, |range: Option<(i64, i64)>, day| {
        Some(range.map_or((day, day), |(a, b)| (a.min(day), b.max(day))))
    }) else {
        return Err(SimError::Empty { path: path.into(), reason: "it has no rows".into() });
    };
    let (first, last) = (day_of(first), day_of(last));
    if first != last {
        let reason = format!("it holds trades of {first} to {last}; a tick file is one session");
        return Err(SimError::Empty { path: path.into(), reason });
    }
    match wanted {
        Some(day) if day != first => Err(SimError::Day { path: path.into(), day, first, last }),
        _ => Ok(first),
    }
}

fn keep_largest(by_symbol: &mut BTreeMap<Symbol, Vec<Row>>, most: usize) {
    let value = |rows: &[Row]| rows.last().map_or(0, |row| row.cum_value);
    let mut values: Vec<(Won, Symbol)> =
        by_symbol.iter().map(|(symbol, rows)| (value(rows), *symbol)).collect();
    values.sort_by(|a, b| b.cmp(a));
    for (_, symbol) in values.into_iter().skip(most) {
        by_symbol.remove(&symbol);
    }
}

fn issue_of(day: SessionDay, symbol: Symbol, rows: &[Row], seed: u64) -> Issue {
    let first = &rows[0]; // a symbol is only there because it has a row
    let price = Won::from(first.print.price);
    let base_price = rules::floor_to_tick(day, Market::Unknown, price);
    let mut issue = Issue::new(day, symbol, Market::Unknown, base_price, seed);
    let quantity = first.print.quantity;
    let (bought, sold) = match first.print.side {
        Side::Buy => (quantity, 0),
        _ => (0, quantity),
    };
    issue.carried = Carried {
        volume: (first.cum_volume - quantity).max(0),
        value: (first.cum_value - quantity * price).max(0),
        sell_volume: (first.cum_sells - sold).max(0),
        buy_volume: (first.cum_buys - bought).max(0),
    };
    let traded: i64 = rows.iter().map(|row| row.print.quantity).sum();
    issue.depth_unit = (traded / rows.len() as i64 * 20).max(20);
    issue
}
