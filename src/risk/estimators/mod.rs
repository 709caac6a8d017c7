//! Estimators: pure, one file each with its source and unit.
//!
//! They take ticks, in constant time and memory each; those over days are in
//! [`market::daily`](crate::market::daily).

pub mod bar_returns;
pub mod beta;
pub mod clock;
pub mod day_range;
pub mod decay;
pub mod drawdown;
pub mod liquidity;
pub mod order_flow;
pub mod prior;
pub mod robust;
pub mod spread;
pub mod variance;
pub mod volume_rate;
pub mod window;

pub use bar_returns::BarReturns;
pub use beta::Beta;
pub use day_range::DayRange;
pub use decay::Decay;
pub use drawdown::Drawdown;
pub use liquidity::LiquidityNorm;
pub use order_flow::OrderFlow;
pub use prior::Prior;
pub use robust::RobustVariance;
pub use spread::Spread;
pub use variance::EwmaVariance;
pub use volume_rate::VolumeRate;
pub use window::Window;
