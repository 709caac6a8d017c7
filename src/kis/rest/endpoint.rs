//! The calls of KIS with a token: name, path, TR IDs.
//!
//! None of them sends, amends or cancels an order, and none ever shall.

use super::super::{Environment, KisError};

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Current price (주식현재가 시세).
    InquirePrice,
    /// Latest trades (체결), 30.
    LatestTrades,
    /// Daily prices (일자별), 30.
    DailyPrices,
    /// Period chart (기간별시세), 100.
    DailyBars,
    /// Minute bars of today (당일분봉), 30.
    MinuteBars,
    /// Minute bars of a day (일별분봉), 120.
    MinuteBarsOfDay,
    /// Order book and expected price (호가/예상체결).
    OrderBook,
    /// Sector index (업종 현재지수).
    IndexPrice,
    /// Calendar (휴장일조회); once a day is enough.
    Holidays,
    /// Volatility interruptions (변동성완화장치 현황).
    ViStatus,
    /// Volume ranking (거래량순위), 30.
    VolumeRank,
    /// Ranking by market value (시가총액 상위), 30.
    MarketCapRank,
    /// Balance (주식잔고조회); pages.
    Balance,
    /// Orders and fills of the last three months (일별주문체결조회); pages.
    OrderHistory,
    /// Orders and fills before them; pages.
    OldOrderHistory,
    /// Open orders (정정취소가능주문); pages.
    OpenOrders,
    /// Buying power (매수가능조회).
    BuyingPower,
}

struct Spec {
    name: &'static str,
    path: &'static str,
    real: &'static str,
    paper: Option<&'static str>,
}

const fn spec(
    name: &'static str,
    path: &'static str,
    real: &'static str,
    paper: Option<&'static str>,
) -> Spec {
    Spec { name, path, real, paper }
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::InquirePrice,
        Self::LatestTrades,
        Self::DailyPrices,
        Self::DailyBars,
        Self::MinuteBars,
        Self::MinuteBarsOfDay,
        Self::OrderBook,
        Self::IndexPrice,
        Self::Holidays,
        Self::ViStatus,
        Self::VolumeRank,
        Self::MarketCapRank,
        Self::Balance,
        Self::OrderHistory,
        Self::OldOrderHistory,
        Self::OpenOrders,
        Self::BuyingPower,
    ];

    const fn spec(self) -> Spec {
        // The quotation TRs that paper trading has are the same there.
        const fn both(name: &'static str, path: &'static str, tr_id: &'static str) -> Spec {
            spec(name, path, tr_id, Some(tr_id))
        }
        match self {
            Self::InquirePrice => {
                both("inquire_price", "quotations/inquire-price", "FHKST01010100")
            }
            Self::LatestTrades => both("latest_trades", "quotations/inquire-ccnl", "FHKST01010300"),
            Self::DailyPrices => {
                both("daily_prices", "quotations/inquire-daily-price", "FHKST01010400")
            }
            Self::DailyBars => {
                both("daily_bars", "quotations/inquire-daily-itemchartprice", "FHKST03010100")
            }
            Self::MinuteBars => {
                both("minute_bars", "quotations/inquire-time-itemchartprice", "FHKST03010200")
            }
            Self::MinuteBarsOfDay => spec(
                "minute_bars_of_day",
                "quotations/inquire-time-dailychartprice",
                "FHKST03010230",
                None,
            ),
            Self::OrderBook => {
                both("order_book", "quotations/inquire-asking-price-exp-ccn", "FHKST01010200")
            }
            Self::IndexPrice => {
                spec("index_price", "quotations/inquire-index-price", "FHPUP02100000", None)
            }
            Self::Holidays => spec("holidays", "quotations/chk-holiday", "CTCA0903R", None),
            Self::ViStatus => {
                spec("vi_status", "quotations/inquire-vi-status", "FHPST01390000", None)
            }
            Self::VolumeRank => {
                spec("volume_rank", "quotations/volume-rank", "FHPST01710000", None)
            }
            Self::MarketCapRank => {
                spec("market_cap_rank", "ranking/market-cap", "FHPST01740000", None)
            }
            Self::Balance => {
                spec("balance", "trading/inquire-balance", "TTTC8434R", Some("VTTC8434R"))
            }
            Self::OrderHistory => {
                spec("order_history", "trading/inquire-daily-ccld", "TTTC0081R", Some("VTTC0081R"))
            }
            Self::OldOrderHistory => spec(
                "old_order_history",
                "trading/inquire-daily-ccld",
                "CTSC9215R",
                Some("VTSC9215R"),
            ),
            Self::OpenOrders => {
                spec("open_orders", "trading/inquire-psbl-rvsecncl", "TTTC0084R", None)
            }
            Self::BuyingPower => {
                spec("buying_power", "trading/inquire-psbl-order", "TTTC8908R", Some("VTTC8908R"))
            }
        }
    }

    /// Short name: errors, metric label, archives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The call with this short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }

    /// Path below the base URL.
    #[must_use]
    pub fn path(self) -> String {
        format!("/uapi/domestic-stock/v1/{}", self.spec().path)
    }

    /// TR ID in `environment`.
    ///
    /// # Errors
    /// [`KisError::NotInPaperTrading`].
    pub const fn tr_id(self, environment: Environment) -> Result<&'static str, KisError> {
        let Spec { name, real, paper, .. } = self.spec();
        match (environment, paper) {
            (Environment::Real, _) => Ok(real),
            (Environment::Mock, Some(paper)) => Ok(paper),
            (Environment::Mock, None) => Err(KisError::NotInPaperTrading { endpoint: name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paper_ids_have_a_v_and_nothing_orders() {
        let mut names = BTreeSet::new();
        for endpoint in Endpoint::ALL {
            assert!(names.insert(endpoint.name()));
            assert_eq!(Endpoint::from_name(endpoint.name()), Some(endpoint));
            let Spec { path, real, paper, .. } = endpoint.spec();
            assert!(real.ends_with('R') || real.starts_with("FH"), "{real} may write");
            assert!(!path.contains("order-"), "{path}");
            match paper {
                Some(paper) if real.starts_with(['T', 'J', 'C']) => {
                    assert_eq!(paper, format!("V{}", &real[1..]));
                }
                Some(paper) => assert_eq!(paper, real),
                None => assert!(endpoint.tr_id(Environment::Mock).unwrap_err().is_terminal()),
            }
        }
        assert_eq!(Endpoint::from_name("order_cash"), None);
    }
}
