//! Indicators by name, as a client asks for them: `rsi14`, `macd`, `bb20`.
//!
//! A name is a word of the table below and a window, which may be left out. Each gives one to three
//! columns over a series of bars.

use super::{
    Adx, Amihud, Atr, Band, BarVariance, Bollinger, Candle, Cci, Donchian, DownsideDeviation,
    DrawdownPct, Ema, EwmaVolatility, Keltner, KeltnerAtr, MacdLine, Mfi, Obv, RangeVolatility,
    Roc, Rsi, Sma, StochasticOscillator, UlcerIndex, Vwap, WilliamsR, Wma, YangZhang,
};
use crate::market::bars::Bar;

/// Largest window that may be asked for.
pub const MAX_WINDOW: usize = 250;

/// Kind of an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sma,
    Ema,
    Wma,
    Rsi,
    Macd,
    Bollinger,
    Atr,
    Stochastic,
    WilliamsR,
    Cci,
    Adx,
    Obv,
    Mfi,
    Vwap,
    Roc,
    Donchian,
    Keltner,
    KeltnerAtr,
    Ulcer,
    Volatility(BarVariance),
    YangZhang,
    Ewma,
    Downside,
    Drawdown,
    Amihud,
}

/// How one kind is asked for and what it gives.
struct Entry {
    kind: Kind,
    word: &'static str,
    /// Usual window; `None` for what has none.
    window: Option<usize>,
    /// Endings of the columns' names.
    columns: &'static [&'static str],
    /// Bars in windows after which the start is forgotten, and as many of the windows again.
    fades: usize,
}

const ONE: &[&str] = &[""];
const BANDS: &[&str] = &["_middle", "_upper", "_lower"];

const fn entry(
    kind: Kind,
    word: &'static str,
    window: usize,
    columns: &'static [&'static str],
    fades: usize,
) -> Entry {
    Entry { kind, word, window: if window == 0 { None } else { Some(window) }, columns, fades }
}

/// Averages that never forget are begun so many windows early that their start weighs less than a
/// millionth: 7 with α = 2/(n + 1), 14 with α = 1/n, twice that for an average of averages.
const TABLE: &[Entry] = &[
    entry(Kind::Sma, "sma", 20, ONE, 1),
    entry(Kind::Ema, "ema", 14, ONE, 8),
    entry(Kind::Wma, "wma", 9, ONE, 1),
    entry(Kind::Rsi, "rsi", 14, ONE, 15),
    entry(Kind::Macd, "macd", 0, &["", "_signal", "_histogram"], 0),
    entry(Kind::Bollinger, "bb", 20, BANDS, 1),
    entry(Kind::Atr, "atr", 14, ONE, 15),
    entry(Kind::Stochastic, "stoch", 14, &["_k", "_d"], 1),
    entry(Kind::WilliamsR, "willr", 14, ONE, 1),
    entry(Kind::Cci, "cci", 20, ONE, 1),
    entry(Kind::Adx, "adx", 14, &["", "_plus", "_minus"], 30),
    entry(Kind::Obv, "obv", 0, ONE, 0),
    entry(Kind::Mfi, "mfi", 14, ONE, 1),
    entry(Kind::Vwap, "vwap", 14, ONE, 1),
    entry(Kind::Roc, "roc", 12, ONE, 1),
    entry(Kind::Donchian, "donchian", 20, BANDS, 1),
    entry(Kind::Keltner, "keltner", 20, BANDS, 1),
    entry(Kind::KeltnerAtr, "keltneratr", 20, BANDS, 8),
    entry(Kind::Ulcer, "ulcer", 14, ONE, 2),
    entry(Kind::Volatility(BarVariance::Parkinson), "parkinson", 22, ONE, 1),
    entry(Kind::Volatility(BarVariance::GarmanKlass), "garmanklass", 22, ONE, 1),
    entry(Kind::Volatility(BarVariance::RogersSatchell), "rogerssatchell", 22, ONE, 1),
    entry(Kind::Volatility(BarVariance::WholeDay), "rangevol", 22, ONE, 2),
    entry(Kind::YangZhang, "yangzhang", 22, ONE, 2),
    entry(Kind::Ewma, "ewmavol", 30, ONE, 1),
    entry(Kind::Downside, "downside", 22, ONE, 2),
    entry(Kind::Drawdown, "drawdown", 250, ONE, 1),
    entry(Kind::Amihud, "amihud", 22, ONE, 2),
];

/// MACD's windows.
const MACD: [usize; 3] = [12, 26, 9];
/// Bars that a MACD begins early.
const MACD_LEAD: usize = 300;
/// Bars in which 0.94 forgets all but a millionth.
const EWMA_LEAD: usize = 224;
/// Smoothing of %D.
const SMOOTH: usize = 3;
/// Window of the ATR in a Keltner channel.
const KELTNER_ATR: usize = 10;
/// Standard deviations, or ATRs, from the middle to a band.
const WIDTH: f64 = 2.0;

/// There is no indicator of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is no indicator; expected {}", Indicator::known())]
pub struct UnknownIndicator {
    /// What was asked for.
    pub name: String,
}

/// One that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indicator {
    kind: Kind,
    window: usize,
}

impl Indicator {
    /// By its name; see the module.
    ///
    /// # Errors
    /// When the word is not in the table, or the window is not 1 to [`MAX_WINDOW`].
    pub fn parse(name: &str) -> Result<Self, UnknownIndicator> {
        let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let unknown = || UnknownIndicator { name: name.to_owned() };
        let entry = TABLE.iter().find(|entry| entry.word == word).ok_or_else(unknown)?;
        let digits = &name[word.len()..];
        let window = match (entry.window, digits) {
            (window, "") => window.unwrap_or(0),
            (Some(_), digits) if !digits.starts_with('0') => {
                let window = digits.parse().ok().filter(|window| *window <= MAX_WINDOW);
                window.ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
        Ok(Self { kind: entry.kind, window })
    }

    /// The names there are, for a message.
    #[must_use]
    pub fn known() -> String {
        let name = |entry: &Entry| match entry.window {
            Some(window) => format!("{}{window}", entry.word),
            None => entry.word.to_owned(),
        };
        let names: Vec<String> = TABLE.iter().map(name).collect();
        format!("names among {} (other windows: 1 to {MAX_WINDOW})", names.join(", "))
    }

    fn entry(self) -> &'static Entry {
        TABLE
            .iter()
            .find(|entry| entry.kind == self.kind)
            .expect("invariant: an indicator is made from an entry of the table")
    }

    /// The name with its window: `rsi14`.
    #[must_use]
    pub fn name(self) -> String {
        let entry = self.entry();
        match entry.window {
            Some(_) => format!("{}{}", entry.word, self.window),
            None => entry.word.to_owned(),
        }
    }

    /// Names of its columns: `bb20_middle`, `bb20_upper`, `bb20_lower`.
    #[must_use]
    pub fn columns(self) -> Vec<String> {
        let name = self.name();
        self.entry().columns.iter().map(|ending| format!("{name}{ending}")).collect()
    }

    /// Bars before the first shown that make it warm, and its start forgotten.
    #[must_use]
    pub fn lead(self) -> usize {
        match self.kind {
            Kind::Macd => MACD_LEAD,
            // Its level says nothing: it begins with what is shown.
            Kind::Obv => 0,
            Kind::Stochastic => self.window + SMOOTH,
            Kind::Ewma => self.window + EWMA_LEAD,
            // The average's window may be shorter than that of the ATR.
            Kind::KeltnerAtr => (self.window * self.entry().fades).max(KELTNER_ATR * 15),
            _ => self.window * self.entry().fades,
        }
    }

    /// Its columns over `shown`, each as long as that, warmed up on the last [`Self::lead`] bars of
    /// `earlier`. Both oldest first. A bar without a price has no value and is passed over.
    #[must_use]
    pub fn over(self, earlier: &[Bar], shown: &[Bar]) -> Vec<Vec<Option<f64>>> {
        let mut running = Running::new(self);
        let mut columns = vec![Vec::with_capacity(shown.len()); self.entry().columns.len()];
        let lead = &earlier[earlier.len().saturating_sub(self.lead())..];
        for candle in lead.iter().filter_map(Candle::of) {
            running.push(&candle);
        }
        for bar in shown {
            let values = Candle::of(bar).map_or([None; 3], |candle| running.push(&candle));
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value.filter(|value| value.is_finite()));
            }
        }
        columns
    }
}

/// An indicator at work.
enum Running {
    Sma(Sma),
    Ema(Ema),
    Wma(Wma),
    Rsi(Rsi),
    Macd(MacdLine),
    Bollinger(Bollinger),
    Atr(Atr),
    Stochastic(StochasticOscillator),
    WilliamsR(WilliamsR),
    Cci(Cci),
    Adx(Adx),
    Obv(Obv),
    Mfi(Mfi),
    Vwap(Vwap),
    Roc(Roc),
    Donchian(Donchian),
    Keltner(Keltner),
    KeltnerAtr(KeltnerAtr),
    Ulcer(UlcerIndex),
    Volatility(RangeVolatility),
    YangZhang(YangZhang),
    Ewma(EwmaVolatility),
    Downside(DownsideDeviation),
    Drawdown(DrawdownPct),
    Amihud(Amihud),
}

impl Running {
    fn new(Indicator { kind, window }: Indicator) -> Self {
        let [fast, slow, signal] = MACD;
        match kind {
            Kind::Sma => Self::Sma(Sma::new(window)),
            Kind::Ema => Self::Ema(Ema::new(window)),
            Kind::Wma => Self::Wma(Wma::new(window)),
            Kind::Rsi => Self::Rsi(Rsi::new(window)),
            Kind::Macd => Self::Macd(MacdLine::new(fast, slow, signal)),
            Kind::Bollinger => Self::Bollinger(Bollinger::new(window, WIDTH)),
            Kind::Atr => Self::Atr(Atr::new(window)),
            Kind::Stochastic => Self::Stochastic(StochasticOscillator::new(window, SMOOTH)),
            Kind::WilliamsR => Self::WilliamsR(WilliamsR::new(window)),
            Kind::Cci => Self::Cci(Cci::new(window)),
            Kind::Adx => Self::Adx(Adx::new(window)),
            Kind::Obv => Self::Obv(Obv::new()),
            Kind::Mfi => Self::Mfi(Mfi::new(window)),
            Kind::Vwap => Self::Vwap(Vwap::new(window)),
            Kind::Roc => Self::Roc(Roc::new(window)),
            Kind::Donchian => Self::Donchian(Donchian::new(window)),
            Kind::Keltner => Self::Keltner(Keltner::new(window)),
            Kind::KeltnerAtr => Self::KeltnerAtr(KeltnerAtr::new(window, KELTNER_ATR, WIDTH)),
            Kind::Ulcer => Self::Ulcer(UlcerIndex::new(window)),
            Kind::Volatility(of) => Self::Volatility(RangeVolatility::new(of, window)),
            Kind::YangZhang => Self::YangZhang(YangZhang::new(window)),
            Kind::Ewma => Self::Ewma(EwmaVolatility::new(window)),
            Kind::Downside => Self::Downside(DownsideDeviation::new(window)),
            Kind::Drawdown => Self::Drawdown(DrawdownPct::new(window)),
            Kind::Amihud => Self::Amihud(Amihud::new(window)),
        }
    }

    /// Values in the order of the columns, then nothing.
    fn push(&mut self, candle: &Candle) -> [Option<f64>; 3] {
        let one = |value| [value, None, None];
        match self {
            Self::Sma(sma) => one(sma.push(candle.close())),
            Self::Ema(ema) => one(ema.push(candle.close())),
            Self::Wma(wma) => one(wma.push(candle.close())),
            Self::Rsi(rsi) => one(rsi.push(candle)),
            Self::Macd(macd) => macd
                .push(candle)
                .map_or([None; 3], |macd| [Some(macd.line), macd.signal, macd.histogram()]),
            Self::Bollinger(bands) => lines(bands.push(candle)),
            Self::Atr(atr) => one(atr.push(candle)),
            Self::Stochastic(stochastic) => {
                stochastic.push(candle).map_or([None; 3], |both| [Some(both.k), both.d, None])
            }
            Self::WilliamsR(williams) => one(williams.push(candle)),
            Self::Cci(cci) => one(cci.push(candle)),
            Self::Adx(adx) => {
                adx.push(candle).map_or([None; 3], |all| [all.adx, Some(all.plus), Some(all.minus)])
            }
            Self::Obv(obv) => one(Some(obv.push(candle))),
            Self::Mfi(mfi) => one(mfi.push(candle)),
            Self::Vwap(vwap) => one(vwap.push(candle)),
            Self::Roc(roc) => one(roc.push(candle)),
            Self::Donchian(channel) => lines(channel.push(candle)),
            Self::Keltner(channel) => lines(channel.push(candle)),
            Self::KeltnerAtr(channel) => lines(channel.push(candle)),
            Self::Ulcer(ulcer) => one(ulcer.push(candle)),
            Self::Volatility(volatility) => one(volatility.push(candle)),
            Self::YangZhang(volatility) => one(volatility.push(candle)),
            Self::Ewma(volatility) => one(volatility.push(candle)),
            Self::Downside(deviation) => one(deviation.push(candle)),
            Self::Drawdown(fall) => one(fall.push(candle)),
            Self::Amihud(illiquidity) => one(illiquidity.push(candle)),
        }
    }
}

fn lines(band: Option<Band>) -> [Option<f64>; 3] {
    band.map_or([None; 3], |band| [Some(band.middle), Some(band.upper), Some(band.lower)])
}
