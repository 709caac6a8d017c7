//! The market's own vocabulary: time, issues, trades, quotes, index levels, the KRX calendar,
//! phases of the day, KRX rules, bars, estimators over days and technical indicators.
//!
//! Pure data and arithmetic: no I/O, no clock, no actor. Prices are integers of won, index levels
//! integers of hundredths of a point, quantities shares.

pub mod bar_source;
pub mod bars;
pub mod calendar;
pub mod continuity;
pub mod daily;
pub mod identity;
pub mod indicators;
pub mod model_switch;
pub mod phase;
pub mod rules;
pub mod symbol;
pub mod tick;
pub mod time;

pub use calendar::Calendar;
pub use model_switch::{ModelId, ModelIdError, ModelOrigin, ModelSwitch};
pub use phase::{NxtPhase, Phase};
pub use rules::Product;
pub use symbol::{Directory, Market, Reference, SessionBar, Symbol, SymbolId};
pub use tick::{
    BatchSequence, GapCause, IndexColumns, IndexTick, Mark, Quote, QuoteColumns, RecordRef, Side,
    TickBatch, Trade, TradeColumns, TradeFlags,
};
pub use time::{EventTime, SessionDay, TimeOfDay};

/// An amount of Korean won. A day's value of one issue passes 10^12, so 64 bits.
pub type Won = i64;

/// An index level in hundredths of a point: 2,441.55 is 244,155.
pub type IndexLevel = i64;
