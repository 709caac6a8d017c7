//! Prices, trades, bars, books, indices, calendar, rankings.

use super::super::KisError;
use super::super::answer::{
    CalendarDay, DailyBar, DailyChart, DailyPrice, Execution, IndexPrice, MarketCapRow, MinuteBar,
    MinuteChart, OrderBook, Price, ViEvent, VolumeRankRow,
};
use super::{KisClient, Raw, Request};
use crate::market::{EventTime, Reference, SessionDay, Symbol, TimeOfDay};

/// Calendar days that hold [`Reference::MAX_CLOSES`] sessions, the longest holidays included, and
/// fewer than the 100 sessions that one answer carries.
const REFERENCE_DAYS: i32 = 131;
/// First and last day of a chart whose newest sessions are wanted, whenever they were.
const ANY_DAYS: (i32, i32) = (3_650, 47_481); // 1979-12-30 to 2099-12-31
/// Calls for the minutes of one day: 30 a call, at most one a minute of a day from 08:00 to 20:00.
const MAX_MINUTE_CALLS: usize = 48;
/// Calls for the calendar: some four years.
const MAX_CALENDAR_CALLS: usize = 64;
const MINUTE_US: i64 = 60 * 1_000_000;

impl KisClient {
    /// The current price of an issue on KRX.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn inquire_price(&self, symbol: Symbol) -> Result<Price, KisError> {
        Price::of(symbol, &self.fetch(&Request::inquire_price(symbol)).await?)
    }

    /// The latest 30 trades of an issue, newest first.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn latest_trades(&self, symbol: Symbol) -> Result<Vec<Execution>, KisError> {
        Execution::of(&self.fetch(&Request::latest_trades(symbol)).await?)
    }

    /// The last 30 sessions of an issue, oldest first, the running one included.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn daily_prices(&self, symbol: Symbol) -> Result<Vec<DailyPrice>, KisError> {
        DailyPrice::of(&self.fetch(&Request::daily_prices(symbol)).await?)
    }

    /// Daily bars from `from` to `to`, adjusted for splits, oldest first: the newest 100 of them.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn daily_bars(
        &self,
        symbol: Symbol,
        from: SessionDay,
        to: SessionDay,
    ) -> Result<DailyChart, KisError> {
        DailyChart::of(symbol, &self.fetch(&Request::daily_bars(symbol, from, to)).await?)
    }

    /// Today's traded minutes among the newest 30 at or before `until`, oldest first. Today is the
    /// day of the newest one: before the first trade it is the session before.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn minute_bars(
        &self,
        symbol: Symbol,
        until: TimeOfDay,
    ) -> Result<Vec<MinuteBar>, KisError> {
        let chart = MinuteChart::of(&self.fetch(&Request::minute_bars(symbol, until)).await?)?;
        Ok(match chart.newest_day() {
            Some(day) => chart.keep_day(day).bars,
            None => Vec::new(),
        })
    }

    /// The traded minutes of today, which is `day`, from `from` to `to` inclusive, oldest first; empty
    /// when `day` is not the day that KIS speaks of. A call for each 30 minutes.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn minute_bars_between(
        &self,
        symbol: Symbol,
        day: SessionDay,
        from: TimeOfDay,
        to: TimeOfDay,
    ) -> Result<Vec<MinuteBar>, KisError> {
        let raws = self.fetch_minutes_between(symbol, day, from, to).await?;
        let (from, to) =
            (EventTime::from_kst(day, from).minute_start(), EventTime::from_kst(day, to));
        let mut bars = MinuteChart::of_pages(&raws)?.keep_day(day).bars;
        bars.retain(|bar| (from..=to).contains(&bar.start));
        Ok(bars)
    }

    /// The answers behind [`Self::minute_bars_between`], newest minutes first.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn fetch_minutes_between(
        &self,
        symbol: Symbol,
        day: SessionDay,
        from: TimeOfDay,
        to: TimeOfDay,
    ) -> Result<Vec<Raw>, KisError> {
        self.fetch_minutes(day, from, to, |until| Request::minute_bars(symbol, until)).await
    }

    /// All traded minutes of `day`, oldest first; reaches back about a year. A call for each 120
    /// minutes; not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn minute_bars_of_day(
        &self,
        symbol: Symbol,
        day: SessionDay,
    ) -> Result<Vec<MinuteBar>, KisError> {
        let raws = self.fetch_minutes_of_day(symbol, day).await?;
        Ok(MinuteChart::of_pages(&raws)?.keep_day(day).bars)
    }

    /// The answers behind [`Self::minute_bars_of_day`], newest minutes first.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn fetch_minutes_of_day(
        &self,
        symbol: Symbol,
        day: SessionDay,
    ) -> Result<Vec<Raw>, KisError> {
        // No session begins before 08:00 or ends after 20:00.
        let [first, last] = [8, 20].map(|hour| {
            TimeOfDay::from_hms(hour, 0, 0).unwrap_or_else(|| unreachable!("{hour}:00 is a time"))
        });
        let request = |until| Request::minute_bars_of_day(symbol, day, until);
        self.fetch_minutes(day, first, last, request).await
    }

    /// Goes back from `to` until an answer reaches `from`, another day, or no further.
    async fn fetch_minutes(
        &self,
        day: SessionDay,
        from: TimeOfDay,
        to: TimeOfDay,
        request: impl Fn(TimeOfDay) -> Request,
    ) -> Result<Vec<Raw>, KisError> {
        let first = EventTime::from_kst(day, from);
        let mut until = EventTime::from_kst(day, to);
        let mut raws = Vec::new();
        while until >= first && raws.len() < MAX_MINUTE_CALLS {
            let raw = self.fetch(&request(until.time_of_day())).await?;
            let oldest = MinuteChart::of(&raw)?.oldest;
            raws.push(raw);
            let Some(oldest) = oldest.filter(|at| at.session_day() == day && *at <= until) else {
                break;
            };
            until = oldest.plus_micros(-MINUTE_US);
            if until.session_day() != day {
                break;
            }
        }
        Ok(raws)
    }

    /// The order book of an issue on KRX.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn order_book(&self, symbol: Symbol) -> Result<OrderBook, KisError> {
        OrderBook::of(symbol, &self.fetch(&Request::order_book(symbol)).await?)
    }

    /// The current level of a sector index (`0001` KOSPI, `1001` KOSDAQ). Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn index_price(&self, code: Symbol) -> Result<IndexPrice, KisError> {
        IndexPrice::of(code, &self.fetch(&Request::index_price(code)).await?)
    }

    /// The calendar from `from` to `through`, weekends included, as far as KIS knows it: a call for
    /// about 24 days. Once a day is enough. Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn holidays(
        &self,
        from: SessionDay,
        through: SessionDay,
    ) -> Result<Vec<CalendarDay>, KisError> {
        let mut days = CalendarDay::of_pages(&self.fetch_holidays(from, through).await?)?;
        days.retain(|row| (from..=through).contains(&row.day));
        Ok(days)
    }

    /// The answers behind [`Self::holidays`]. The documents disagree on whether this call pages; moving
    /// the first day needs no such agreement.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn fetch_holidays(
        &self,
        from: SessionDay,
        through: SessionDay,
    ) -> Result<Vec<Raw>, KisError> {
        let mut raws = Vec::new();
        let mut next = from;
        while next <= through && raws.len() < MAX_CALENDAR_CALLS {
            let raw = self.fetch(&Request::holidays(next)).await?;
            let days = CalendarDay::of_pages(std::slice::from_ref(&raw))?;
            raws.push(raw);
            match days.last() {
                Some(last) if last.day >= next => next = last.day.next(),
                _ => break,
            }
        }
        Ok(raws)
    }

    /// The volatility interruptions of `day`, newest first. Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn vi_status(&self, day: SessionDay) -> Result<Vec<ViEvent>, KisError> {
        ViEvent::of(&self.fetch(&Request::vi_status(day)).await?)
    }

    /// The 30 issues with the largest volume. Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn volume_rank(&self) -> Result<Vec<VolumeRankRow>, KisError> {
        VolumeRankRow::of(&self.fetch(&Request::volume_rank()).await?)
    }

    /// The 30 issues with the largest market value. Not in paper trading.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn market_cap_rank(&self) -> Result<Vec<MarketCapRow>, KisError> {
        MarketCapRow::of(&self.fetch(&Request::market_cap_rank()).await?)
    }

    /// What is known about an issue before its first tick on `day`: two calls. `None` for an
    /// exchange that plays a day of its own: the newest sessions there are, of which the last may be
    /// the one under way.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn fetch_reference(
        &self,
        symbol: Symbol,
        day: Option<SessionDay>,
    ) -> Result<Reference, KisError> {
        let price = self.inquire_price(symbol).await?;
        let days = day.map(|day| (day.epoch_days() - REFERENCE_DAYS, day.epoch_days()));
        let (from, to) = days.unwrap_or(ANY_DAYS);
        let [from, to] = [from, to].map(SessionDay::from_epoch_days);
        let chart = self.daily_bars(symbol, from, to).await?;
        Ok(reference(day, &price, &chart))
    }
}

fn reference(day: Option<SessionDay>, price: &Price, chart: &DailyChart) -> Reference {
    let is_over = |bar: &&DailyBar| day.is_none_or(|day| bar.day < day);
    let earlier: Vec<_> = chart.bars.iter().filter(is_over).collect();
    let kept = &earlier[earlier.len().saturating_sub(Reference::MAX_CLOSES)..];
    Reference {
        symbol: price.symbol,
        name: chart.name.clone().unwrap_or_default(),
        market: price.market,
        day,
        last_session: kept.last().map(|bar| bar.day),
        base_price: price.base_price.or(chart.previous_close),
        previous_volume: kept.last().map(|bar| bar.volume).or(chart.previous_volume),
        listed_shares: price.listed_shares.or(chart.listed_shares),
        closes: kept.iter().map(|bar| bar.close).collect(),
        volumes: kept.iter().map(|bar| bar.volume).collect(),
        opens: kept.iter().map(|bar| bar.open.unwrap_or(0)).collect(),
        highs: kept.iter().map(|bar| bar.high.unwrap_or(0)).collect(),
        lows: kept.iter().map(|bar| bar.low.unwrap_or(0)).collect(),
    }
}
