//! KRX rules as arithmetic: tick sizes, daily price limits, circuit-breaker levels, session hours.
//!
//! Source: KRX business regulations as summarised in the KIS documentation (호가가격단위,
//! 가격제한폭, 서킷브레이커). The tick table changed on 2023-01-25; recordings from before need the
//! old one. ETF and ETN have ticks of their own: [`Product`].

pub mod breaker;
pub mod vi;

use super::{Market, SessionDay, TimeOfDay, Won};

/// First session day of the present tick table, 2023-01-25.
const NEW_TICK_TABLE: SessionDay = match SessionDay::from_yyyymmdd(20_230_125) {
    Some(day) => day,
    None => unreachable!(),
};

/// First session day on which ETF and ETN below 2,000 won have a tick of 1, 2023-12-11; 5 before.
const NEW_ETP_TICK: SessionDay = match SessionDay::from_yyyymmdd(20_231_211) {
    Some(day) => day,
    None => unreachable!(),
};

/// First session day of the ±30 % limit, 2015-06-15; ±15 % before.
const WIDE_LIMIT: SessionDay = match SessionDay::from_yyyymmdd(20_150_615) {
    Some(day) => day,
    None => unreachable!(),
};

/// Opening of continuous trading on an ordinary day; [`super::Calendar::session`] has the hours of
/// a given one.
pub const OPEN: TimeOfDay = match TimeOfDay::from_hms(9, 0, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Start of the closing auction on an ordinary day.
pub const CLOSING_AUCTION: TimeOfDay = match TimeOfDay::from_hms(15, 20, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Close of the regular session on an ordinary day.
pub const CLOSE: TimeOfDay = match TimeOfDay::from_hms(15, 30, 0) {
    Some(time) => time,
    None => unreachable!(),
};

/// Index falls against the previous close at which trading of a market is halted, as fractions
/// (서킷브레이커 stages 1 to 3).
pub const CIRCUIT_BREAKER_FALLS: [f64; 3] = [0.08, 0.15, 0.20];

/// What is traded, as far as tick sizes go. [`Market`] is the board; an exchange-traded product
/// has the same ticks on every board.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Shares and what trades like them: depositary receipts, real-estate and other listed funds
    /// of the company kind.
    #[default]
    Share,
    /// ETF and ETN (상장지수상품).
    ExchangeTraded,
}

impl Product {
    /// The tick size (호가가격단위) at `price` won on `day`.
    ///
    /// Prices at or below zero have the smallest tick.
    #[must_use]
    pub const fn tick_size(self, day: SessionDay, market: Market, price: Won) -> Won {
        match self {
            Self::Share => tick_size(day, market, price),
            Self::ExchangeTraded if day.epoch_days() >= NEW_ETP_TICK.epoch_days() => {
                if price < 2_000 { 1 } else { 5 }
            }
            Self::ExchangeTraded => 5,
        }
    }

    /// `price` cut down to a valid tick.
    #[must_use]
    pub const fn floor_to_tick(self, day: SessionDay, market: Market, price: Won) -> Won {
        let tick = self.tick_size(day, market, price);
        price - price.rem_euclid(tick)
    }

    /// Lowest and highest price of the day for `base_price` (하한가, 상한가).
    ///
    /// The width is 30 % of the base price (15 % before 2015-06-15) cut down to the tick of the
    /// base price; each limit is cut down to the tick of the price reached. A product with
    /// leverage has wider limits, by its factor, which is not known here.
    #[must_use]
    pub const fn price_limits(
        self,
        day: SessionDay,
        market: Market,
        base_price: Won,
    ) -> (Won, Won) {
        let percent = if day.epoch_days() >= WIDE_LIMIT.epoch_days() { 30 } else { 15 };
        let width = base_price * percent / 100;
        let width = width - width % self.tick_size(day, market, base_price);
        (
            self.floor_to_tick(day, market, base_price - width),
            self.floor_to_tick(day, market, base_price + width),
        )
    }
}

/// The tick size (호가가격단위) of a share at `price` won on `day`.
///
/// Prices at or below zero have the smallest tick.
#[must_use]
pub const fn tick_size(day: SessionDay, market: Market, price: Won) -> Won {
    if day.epoch_days() >= NEW_TICK_TABLE.epoch_days() {
        return match price {
            ..2_000 => 1,
            2_000..5_000 => 5,
            5_000..20_000 => 10,
            20_000..50_000 => 50,
            50_000..200_000 => 100,
            200_000..500_000 => 500,
            500_000.. => 1_000,
        };
    }
    match (price, market) {
        (..1_000, _) => 1,
        (1_000..5_000, _) => 5,
        (5_000..10_000, _) => 10,
        (10_000..50_000, _) => 50,
        (50_000.., Market::Kosdaq) => 100,
        (50_000..100_000, _) => 100,
        (100_000..500_000, _) => 500,
        (500_000.., _) => 1_000,
    }
}

/// `price` of a share cut down to a valid tick.
#[must_use]
pub const fn floor_to_tick(day: SessionDay, market: Market, price: Won) -> Won {
    Product::Share.floor_to_tick(day, market, price)
}

/// Lowest and highest price of the day of a share for `base_price` (하한가, 상한가), as
/// [`Product::price_limits`] tells.
#[must_use]
pub const fn price_limits(day: SessionDay, market: Market, base_price: Won) -> (Won, Won) {
    Product::Share.price_limits(day, market, base_price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> SessionDay {
        SessionDay::from_yyyymmdd(number).unwrap()
    }

    #[test]
    fn limits_of_real_answers() {
        let today = day(20_240_610);
        for (base, lower, upper) in [
            (9_750, 6_830, 12_670),
            (71_200, 49_900, 92_500),
            (77_300, 54_200, 100_400),
            (75_700, 53_000, 98_400),
        ] {
            assert_eq!(price_limits(today, Market::Kospi, base), (lower, upper), "{base}");
        }
    }

    #[test]
    fn the_tick_table_follows_the_day() {
        assert_eq!(tick_size(day(20_230_124), Market::Kospi, 15_000), 50);
        assert_eq!(tick_size(day(20_230_125), Market::Kospi, 15_000), 10);
        assert_eq!(tick_size(day(20_200_604), Market::Kosdaq, 300_000), 100);
        assert_eq!(tick_size(day(20_200_604), Market::Kospi, 300_000), 500);
    }

    #[test]
    fn exchange_traded_products_have_their_own_ticks() {
        let etp = Product::ExchangeTraded;
        let (before, since) = (day(20_231_208), day(20_231_211));
        for (price, old, new) in [(1_999, 5, 1), (2_000, 5, 5), (45_000, 5, 5), (900_000, 5, 5)] {
            assert_eq!(etp.tick_size(before, Market::Other, price), old, "{price}");
            assert_eq!(etp.tick_size(since, Market::Other, price), new, "{price}");
        }
        assert_eq!(Product::Share.tick_size(since, Market::Kospi, 45_000), 50);
        // 30 % of 10,005 is 3,001, cut to 3,000; a share's ticks would make 13,000 of 13,005.
        assert_eq!(etp.price_limits(since, Market::Other, 10_005), (7_005, 13_005));
        assert_eq!(Product::Share.price_limits(since, Market::Kospi, 10_010).1, 13_010);
        // 2,310 lies above the change of ticks: cut to 5.
        assert_eq!(etp.price_limits(since, Market::Other, 1_779), (1_246, 2_310));
        assert_eq!(etp.floor_to_tick(since, Market::Other, 12_343), 12_340);
    }
}
