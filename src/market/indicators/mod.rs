//! The usual technical indicators, streaming: push a bar, get the value.
//!
//! In: bars of one issue and one length, oldest first, as [`Candle`]s. Out: `None` until warm and where
//! the value is not defined (a quotient by zero), else a number; never NaN nor infinite. Memory is
//! constant, of the window's size at most; a bar costs at most two passes over the window, which keeps
//! sums exact where a carried sum would drift.
//!
//! Formulas and start values are those of the Python package `ta` (0.11), checked against it bar for
//! bar in `tests/indicators.rs`, but for the volatilities, which it lacks; where the field has other conventions too, the type's text says so.
//! The table of all of them is in `docs/indicators.md`. [`request`] gives them by name.
//!
//! Limits: an indicator knows no time. Where bars are missing (nothing was traded), the bar before
//! is the last one there is.

mod average;
mod candle;
mod flow;
mod momentum;
mod range;
pub mod request;
#[cfg(test)]
mod tests;
mod volatility;

pub use average::{Bollinger, Ema, Keltner, KeltnerAtr, MacdLine, Sma, Wma};
pub use candle::Candle;
pub use flow::{Mfi, Obv, Vwap};
pub use momentum::{Cci, Roc, Rsi, StochasticOscillator, WilliamsR};
pub use range::{Adx, Atr, Donchian, UlcerIndex};
pub use request::{Indicator, UnknownIndicator};
pub use volatility::{
    Amihud, BarVariance, DownsideDeviation, DrawdownPct, EwmaVolatility, RangeVolatility, YangZhang,
};

/// Three lines in the unit of the price: lower ≤ middle ≤ upper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The line between.
    pub middle: f64,
    /// The line above.
    pub upper: f64,
    /// The line below.
    pub lower: f64,
}

/// What [`MacdLine`] gives, in the unit of the price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Macd {
    /// Fast less slow average.
    pub line: f64,
    /// Average of the line; `None` until warm.
    pub signal: Option<f64>,
}

impl Macd {
    /// Line less signal.
    #[must_use]
    pub fn histogram(&self) -> Option<f64> {
        self.signal.map(|signal| self.line - signal)
    }
}

/// What [`StochasticOscillator`] gives, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stochastic {
    /// %K.
    pub k: f64,
    /// %D; `None` until warm.
    pub d: Option<f64>,
}

/// What [`Adx`] gives, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Directional {
    /// +DI.
    pub plus: f64,
    /// −DI.
    pub minus: f64,
    /// ADX; `None` until warm.
    pub adx: Option<f64>,
}
