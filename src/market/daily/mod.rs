//! Estimators over days: variance from a day's range, and what daily returns and values traded say
//! of risk and liquidity. [`super::indicators`] gives them by name, over bars of any length; the
//! daily model measures its variances with [`DayPrices::day`].

pub mod range;
pub mod returns;

pub use range::{DayPrices, DayVariance, yang_zhang};
pub use returns::{DailyEwma, WindowDrawdown, amihud, downside_semivariance};
