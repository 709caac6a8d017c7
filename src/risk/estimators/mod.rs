//! Estimators: pure, one file each with its source and unit.
//!
//! [`daily`] and [`range`] are of days; all others take ticks, in constant time and memory each.

pub mod bar_returns;
pub mod beta;
pub mod clock;
pub mod daily;
pub mod day_range;
pub mod decay;
pub mod drawdown;
pub mod liquidity;
pub mod order_flow;
pub mod prior;
pub mod range;
pub mod robust;
pub mod spread;
pub mod variance;
pub mod volume_rate;
pub mod window;

pub use bar_returns::BarReturns;
pub use beta::Beta;
pub use daily::{DailyEwma, WindowDrawdown};
pub use day_range::DayRange;
pub use decay::Decay;
pub use drawdown::Drawdown;
pub use liquidity::LiquidityNorm;
pub use order_flow::OrderFlow;
pub use prior::Prior;
pub use range::DayPrices;
pub use robust::RobustVariance;
pub use spread::Spread;
pub use variance::EwmaVariance;
pub use volume_rate::VolumeRate;
pub use window::Window;
