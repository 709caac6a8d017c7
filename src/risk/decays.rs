//! The forgetting of each average, made of the settings once.

use super::estimators::Decay;
use super::params::RiskParams;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Decays {
    pub variance: Decay,
    pub volume: Decay,
    pub own_volume: Decay,
    pub spread: Decay,
    /// Of the norms of spread and depth.
    pub norm: Decay,
}

impl Default for Decays {
    fn default() -> Self {
        Self::new(&RiskParams::default())
    }
}

impl Decays {
    pub fn new(params: &RiskParams) -> Self {
        let estimators = &params.estimators;
        Self {
            variance: Decay::half_life(estimators.variance_half_life_s),
            volume: Decay::half_life(estimators.volume_half_life_s),
            own_volume: Decay::half_life(estimators.own_volume_half_life_s),
            spread: Decay::half_life(estimators.spread_half_life_s),
            norm: Decay::half_life(params.liquidity.half_life_s),
        }
    }
}
