//! KRX rules as arithmetic: tick sizes, daily price limits, circuit-breaker levels, session hours.
//!
//! Source: KRX business regulations as summarised in the KIS documentation (호가가격단위,
//! 가격제한폭, 서킷브레이커). The tick table changed on 2023-01-25; recordings from before need the
//! old one.

pub mod breaker;
pub mod vi;

use super::{Market, SessionDay, TimeOfDay, Won};

/// First session day of the present tick table, 2023-01-25.
const NEW_TICK_TABLE: SessionDay = match SessionDay::from_yyyymmdd(20_230_125) {
    Some(day) => day,
    None => unreachable!(),
};

/// First session day of the ±30 % limit, 2015-06-15; ±15 % before.
const WIDE_LIMIT: SessionDay = match SessionDay::from_yyyymmdd(20_150_615) {
    Some(day) => day,
    None => unreachable!(),
};

/// Opening of continuous trading.
pub const OPEN: TimeOfDay = match TimeOfDay::from_hms(9, 0, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Start of the closing auction.
pub const CLOSING_AUCTION: TimeOfDay = match TimeOfDay::from_hms(15, 20, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Close of the regular session.
pub const CLOSE: TimeOfDay = match TimeOfDay::from_hms(15, 30, 0) {
    Some(time) => time,
    None => unreachable!(),
};

/// Index falls against the previous close at which trading of a market is halted, as fractions
/// (서킷브레이커 stages 1 to 3).
pub const CIRCUIT_BREAKER_FALLS: [f64; 3] = [0.08, 0.15, 0.20];

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

/// `price` cut down to a valid tick.
#[must_use]
pub const fn floor_to_tick(day: SessionDay, market: Market, price: Won) -> Won {
    let tick = tick_size(day, market, price);
    price - price.rem_euclid(tick)
}

/// Lowest and highest price of the day for `base_price` (하한가, 상한가).
///
/// The width is 30 % of the base price (15 % before 2015-06-15) cut down to the tick of the base
/// price; each limit is cut down to the tick of the price reached.
#[must_use]
pub const fn price_limits(day: SessionDay, market: Market, base_price: Won) -> (Won, Won) {
    let percent = if day.epoch_days() >= WIDE_LIMIT.epoch_days() { 30 } else { 15 };
    let width = base_price * percent / 100;
    let width = width - width % tick_size(day, market, base_price);
    (floor_to_tick(day, market, base_price - width), floor_to_tick(day, market, base_price + width))
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
}
