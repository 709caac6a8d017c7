//! What a trade costs: fee, tax, half spread, slippage.

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::scenario::rules::{IMPACT, RATE, TAX_YEAR, within};
use super::statistics::{bounded, mean};
use crate::market::{Reference, SessionDay, Won};

/// Sessions over which the average value traded is taken.
const LIQUIDITY_SESSIONS: usize = 20;

/// Rates of a broker and of the state. All in per cent of the value traded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct TradingCosts {
    /// Broker's fee for each purchase and each sale of an issue or an ETF.
    #[garde(custom(within(RATE)))]
    pub fee_pct: f64,
    /// Tax on the sale of a share (증권거래세 with 농어촌특별세); ETFs are exempt.
    #[garde(custom(within(RATE)))]
    pub sell_tax_pct: f64,
    /// Year whose law `sell_tax_pct` states.
    #[garde(custom(within(TAX_YEAR)))]
    pub sell_tax_year: u32,
    /// Slippage of an order as large as a whole average day, in daily standard deviations. An
    /// order of the share `q` of an average day slips by `impact · σ · √q` (the square-root law:
    /// R. Almgren et al. 2005, B. Tóth et al. 2011).
    #[garde(custom(within(IMPACT)))]
    pub impact: f64,
    /// Slippage when the average value traded is not known.
    #[garde(custom(within(RATE)))]
    pub unknown_slippage_pct: f64,
    /// Half spread when the spread is not known.
    #[garde(custom(within(RATE)))]
    pub unknown_half_spread_pct: f64,
}

impl Default for TradingCosts {
    /// The rates of 2025.
    fn default() -> Self {
        Self {
            fee_pct: 0.015,
            sell_tax_pct: 0.15,
            sell_tax_year: 2025,
            impact: 0.7,
            unknown_slippage_pct: 0.1,
            unknown_half_spread_pct: 0.1,
        }
    }
}

impl TradingCosts {
    /// The default rates with the tax of the year `day` lies in.
    ///
    /// Tax by year, KOSPI with the 0.15 % special tax and KOSDAQ alike (증권거래세법 시행령 제5조,
    /// 농어촌특별세법 제5조): 0.30 % to 2018, 0.25 % 2019 and 2020 (in 2019 from 3 June; the months
    /// before are taken at the lower rate too), 0.23 % 2021 and 2022, 0.20 % 2023, 0.18 % 2024,
    /// 0.15 % 2025, 0.20 % from 2026.
    #[must_use]
    pub fn of_day(day: SessionDay) -> Self {
        let year = day.ymd().0;
        let sell_tax_pct = match year {
            ..2019 => 0.30,
            2019..=2020 => 0.25,
            2021..=2022 => 0.23,
            2023 => 0.20,
            2024 => 0.18,
            2025 => 0.15,
            2026.. => 0.20,
        };
        Self { sell_tax_pct, sell_tax_year: year, ..Self::default() }
    }

    /// Half of a relative spread in per cent, or the assumption for an unknown one (0).
    #[must_use]
    pub fn half_spread_pct(&self, spread_pct: f64) -> f64 {
        if spread_pct > 0.0 {
            bounded(spread_pct / 2.0, 0.0, 15.0, self.unknown_half_spread_pct)
        } else {
            self.unknown_half_spread_pct
        }
    }

    /// Slippage in per cent of an order of `value` won in an issue that trades `average_value` won
    /// a day and moves by `daily_volatility_pct`; never more than three such moves.
    #[must_use]
    pub fn slippage_pct(
        &self,
        value: f64,
        average_value: Option<f64>,
        daily_volatility_pct: f64,
    ) -> f64 {
        match average_value {
            Some(average) if average > 0.0 => {
                let share = (value.max(0.0) / average).sqrt();
                let most = 3.0 * daily_volatility_pct;
                bounded(self.impact * daily_volatility_pct * share, 0.0, most, most)
            }
            _ => self.unknown_slippage_pct,
        }
    }

    /// Cost in per cent of selling shares: fee, tax, half spread, `slippage_pct`.
    #[must_use]
    pub fn sale_pct(&self, spread_pct: f64, slippage_pct: f64) -> f64 {
        self.fee_pct + self.sell_tax_pct + self.half_spread_pct(spread_pct) + slippage_pct
    }

    /// Cost in per cent of buying now and selling later a small amount: both fees, the tax, both
    /// half spreads.
    #[must_use]
    pub fn round_trip_pct(&self, spread_pct: f64) -> f64 {
        2.0 * (self.fee_pct + self.half_spread_pct(spread_pct)) + self.sell_tax_pct
    }

    /// The same for an ETF: no tax.
    #[must_use]
    pub fn etf_round_trip_pct(&self, half_spread_pct: f64) -> f64 {
        2.0 * (self.fee_pct + half_spread_pct)
    }
}

/// Average value traded a day over the last 20 sessions, won; `None` without volumes.
#[must_use]
pub fn average_value(reference: &Reference) -> Option<f64> {
    let days = reference.closes.len().min(reference.volumes.len()).min(LIQUIDITY_SESSIONS);
    let closes = &reference.closes[reference.closes.len() - days..];
    let volumes = &reference.volumes[reference.volumes.len() - days..];
    let values: Vec<f64> = closes
        .iter()
        .zip(volumes)
        .map(|(close, volume)| (*close).max(0) as f64 * (*volume).max(0) as f64)
        .collect();
    mean(&values)
}

/// An amount as whole won, within what 64 bits hold.
#[must_use]
pub(super) fn whole_won(amount: f64) -> Won {
    // `as` saturates and takes NaN to zero.
    amount.round() as Won
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tax_follows_the_year() {
        for (day, tax) in [(20_180_102, 0.30), (20_240_805, 0.18), (20_250_630, 0.15)] {
            let costs = TradingCosts::of_day(SessionDay::from_yyyymmdd(day).unwrap());
            assert_eq!(costs.sell_tax_pct, tax, "{day}");
            assert_eq!(costs.sell_tax_year, day / 10_000);
        }
    }

    #[test]
    fn a_larger_order_slips_further() {
        let costs = TradingCosts::default();
        let small = costs.slippage_pct(1e6, Some(1e10), 2.0);
        let large = costs.slippage_pct(1e8, Some(1e10), 2.0);
        assert!((large / small - 10.0).abs() < 1e-9);
        assert!((costs.slippage_pct(1e10, Some(1e10), 2.0) - 1.4).abs() < 1e-12);
        assert_eq!(costs.slippage_pct(1e30, Some(1.0), 2.0), 6.0);
        assert_eq!(costs.slippage_pct(1e6, None, 2.0), costs.unknown_slippage_pct);
    }

    #[test]
    fn a_sale_adds_up() {
        let costs = TradingCosts::default();
        assert!((costs.sale_pct(0.2, 0.05) - (0.015 + 0.15 + 0.1 + 0.05)).abs() < 1e-12);
        assert!((costs.round_trip_pct(0.2) - (0.03 + 0.15 + 0.2)).abs() < 1e-12);
    }
}
