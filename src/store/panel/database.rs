//! Daily bars from the database: `market_prices`, interval `1d`.
//!
//! What the collection asked of KIS is adjusted for splits as of that day; a split since shows as a
//! move beyond the price limit and is marked as a jump, so that it is no return. There are no index
//! series in the database.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait as _, PaginatorTrait as _, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::market::{EventTime, SessionDay, Symbol};
use crate::model::panel::{DailyBar, DailyBars, Issue, Panel};
use crate::store::entity::market_price;
use crate::store::{Database, StoreError, Table};

/// Rows asked for at once.
const PAGE: u64 = 20_000;
/// A change of the close beyond this, and before June 2015 beyond the other, is no ordinary move.
const LIMIT: f64 = 0.305;
const OLD_LIMIT: f64 = 0.155;
/// 2015-06-15, when the price limit became 30 %.
const LIMIT_RAISED: i32 = 16_601;

/// All finished daily bars up to and with `until`.
///
/// # Errors
/// When the database fails, or holds a code that is none.
pub async fn read_database(db: &Database, until: Option<SessionDay>) -> Result<Panel, StoreError> {
    let mut issues: Vec<Issue> = Vec::new();
    let mut after: Option<(String, EventTime)> = None;
    loop {
        let rows = page(db, after.as_ref()).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.symbol.clone(), last.ts));
        for row in &rows {
            if until.is_none_or(|until| row.ts.session_day() <= until) {
                push(&mut issues, row)?;
            }
        }
    }
    Ok(Panel::new(issues, BTreeMap::new(), vec!["database".to_owned()]))
}

/// How many finished daily bars there are, and when the newest begins: whether there is something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyBarCount {
    /// Bars.
    pub bars: u64,
    /// Start of the newest; `None` without any.
    pub newest: Option<EventTime>,
}

/// Counts the finished daily bars.
///
/// # Errors
/// When the database fails.
pub async fn count_daily_bars(db: &Database) -> Result<DailyBarCount, StoreError> {
    use market_price::{Column, Entity};
    let finished =
        || Entity::find().filter(Column::Interval.eq("1d")).filter(Column::IsFinal.eq(true));
    let failed = StoreError::statement("count daily market_prices");
    let bars = finished().count(db.connection()).await.map_err(failed)?;
    let failed = StoreError::statement("read the newest of market_prices");
    let newest = finished().order_by_desc(Column::Ts).one(db.connection()).await.map_err(failed)?;
    Ok(DailyBarCount { bars, newest: newest.map(|row| row.ts) })
}

async fn page(
    db: &Database,
    after: Option<&(String, EventTime)>,
) -> Result<Vec<market_price::Model>, StoreError> {
    use market_price::{Column, Entity};
    let mut query = Entity::find()
        .filter(Column::Interval.eq("1d"))
        .filter(Column::IsFinal.eq(true))
        .order_by_asc(Column::Symbol)
        .order_by_asc(Column::Ts)
        .limit(PAGE);
    if let Some((symbol, ts)) = after {
        let same = Column::Symbol.eq(symbol.as_str()).and(Column::Ts.gt(*ts));
        query = query.filter(Column::Symbol.gt(symbol.as_str()).or(same));
    }
    query.all(db.connection()).await.map_err(StoreError::statement("read daily market_prices"))
}

fn push(issues: &mut Vec<Issue>, row: &market_price::Model) -> Result<(), StoreError> {
    let symbol: Symbol = row.symbol.parse().map_err(|_| StoreError::Content {
        table: Table::MarketPrices.as_str(),
        column: "symbol",
        value: row.symbol.clone(),
        expected: "an issue code",
    })?;
    // Index series stand under codes of four digits.
    if row.symbol.len() <= 4 {
        return Ok(());
    }
    if issues.last().is_none_or(|issue| issue.symbol != symbol) {
        issues.push(Issue { symbol, bars: DailyBars::default() });
    }
    let Some(issue) = issues.last_mut() else { return Ok(()) };
    let date = row.ts.session_day().epoch_days();
    let close = row.close as f64;
    let limit = if date < LIMIT_RAISED { OLD_LIMIT } else { LIMIT };
    let before = issue.bars.close.last().copied();
    let jump = before.is_some_and(|before| (close / before - 1.0).abs() > limit);
    let halted = row.volume == 0;
    let price = |price: i64| if halted { f64::NAN } else { price as f64 };
    issue.bars.push(DailyBar {
        date,
        open: price(row.open),
        high: price(row.high),
        low: price(row.low),
        close,
        volume: row.volume as f64,
        halted,
        jump,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveValue::{NotSet, Set};

    use super::*;
    use crate::market::TimeOfDay;
    use crate::store::DatabaseOptions;
    use crate::store::upsert::upsert;

    fn bar(symbol: &str, day: u32, close: i64, volume: i64) -> market_price::ActiveModel {
        let day = SessionDay::from_yyyymmdd(day).unwrap();
        market_price::ActiveModel {
            id: NotSet,
            symbol: Set(symbol.to_owned()),
            interval: Set("1d".to_owned()),
            ts: Set(EventTime::from_kst(day, TimeOfDay::from_hms(9, 0, 0).unwrap())),
            open: Set(close - 10),
            high: Set(close + 20),
            low: Set(close - 20),
            close: Set(close),
            volume: Set(volume),
            amount: Set(0),
            source: Set("kis".to_owned()),
            is_final: Set(true),
        }
    }

    #[tokio::test]
    async fn daily_bars_come_in_order_with_halts_and_jumps_marked() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
        let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        db.migrate().await.unwrap();
        assert!(read_database(&db, None).await.unwrap().issues.is_empty());
        let mut minute = bar("005930", 20_250_107, 1, 1);
        minute.interval = Set("1m".to_owned());
        let mut open = bar("005930", 20_250_108, 1, 1);
        open.is_final = Set(false);
        let rows = [
            bar("005930", 20_250_106, 500, 7),
            bar("005930", 20_250_103, 1_000, 5),
            bar("000660", 20_250_103, 200_000, 3),
            bar("005930", 20_250_107, 500, 0),
            bar("0001", 20_250_103, 240_000, 1),
            minute,
            open,
        ];
        upsert(db.connection(), rows).await.unwrap();
        let panel = read_database(&db, None).await.unwrap();
        let codes: Vec<&str> = panel.issues.iter().map(|issue| issue.symbol.as_str()).collect();
        assert_eq!(codes, ["000660", "005930"], "an index series is no issue");
        let bars = &panel.issues[1].bars;
        assert_eq!(bars.close, [1_000.0, 500.0, 500.0]);
        assert_eq!(
            (bars.jump.as_slice(), bars.halted.as_slice()),
            (&[false, true, false][..], &[false, false, true][..])
        );
        assert!(bars.open[2].is_nan() && (bars.open[0] - 990.0).abs() < 1e-9);
        assert_eq!(
            (panel.info.rows, panel.info.files.as_slice()),
            (4, &["database".to_owned()][..])
        );
        let count = count_daily_bars(&db).await.unwrap();
        assert_eq!(count.bars, 5, "the index series has one");
        assert_eq!(count.newest.unwrap().session_day().yyyymmdd(), 20_250_107);
        let until = SessionDay::from_yyyymmdd(20_250_103).unwrap();
        let early = read_database(&db, Some(until)).await.unwrap();
        assert_eq!((early.info.rows, early.info.to), (2, until));
        assert_ne!(early.info.sha256, panel.info.sha256);
    }
}
