//! Price and volume together: OBV, MFI, VWAP.

use super::candle::{Candle, Last};

/// On-balance volume (Granville 1963): the volumes so far, each with the sign of the close's move.
///
/// The first bar and a close without a move count as rises, as `ta` does. (Granville leaves the
/// latter out.) Its level depends on where it begins; only its moves mean anything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Obv {
    before: Option<f64>,
    sum: f64,
}

impl Obv {
    /// Begins at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next bar; from the first on, in the unit of the volume.
    pub fn push(&mut self, candle: &Candle) -> f64 {
        let fell = self.before.is_some_and(|before| candle.close() < before);
        self.before = Some(candle.close());
        self.sum += if fell { -candle.volume() } else { candle.volume() };
        self.sum
    }
}

/// Money flow index (Quong & Soudack 1989): 100 − 100/(1 + P/N) with P and N the sums of typical price times
/// volume over the last n bars in which the typical price rose, or fell.
///
/// 100 without any fall; none when nothing was traded at a moved price. The first bar counts as
/// without a move, so it is told from the n-th bar on, as `ta` does (others wait one more).
#[derive(Debug, Clone, PartialEq)]
pub struct Mfi {
    before: Option<f64>,
    flows: Last<f64>,
}

impl Mfi {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { before: None, flows: Last::new(window) }
    }

    /// Takes in the next bar; from the n-th on, 0 to 100.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let thrice = candle.typical_thrice();
        let flow = candle.typical() * candle.volume();
        let sign = self.before.map_or(0.0, |before| {
            if thrice > before {
                1.0
            } else if thrice < before {
                -1.0
            } else {
                0.0
            }
        });
        self.before = Some(thrice);
        self.flows.push(sign * flow);
        let positive: f64 = self.flows.iter().filter(|flow| *flow > 0.0).sum();
        let negative: f64 = -self.flows.iter().filter(|flow| *flow < 0.0).sum::<f64>();
        let told = self.flows.is_full() && positive + negative > 0.0;
        told.then(|| 100.0 * (positive / (positive + negative)))
    }
}

/// Volume-weighted average of the typical price over the last n bars. None when nothing was traded.
#[derive(Debug, Clone, PartialEq)]
pub struct Vwap {
    values: Last<f64>,
    volumes: Last<f64>,
}

impl Vwap {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { values: Last::new(window), volumes: Last::new(window) }
    }

    /// Takes in the next bar; from the n-th on, in the unit of the price.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        self.values.push(candle.typical() * candle.volume());
        self.volumes.push(candle.volume());
        let volume = self.volumes.sum();
        (self.volumes.is_full() && volume > 0.0).then(|| self.values.sum() / volume)
    }
}
