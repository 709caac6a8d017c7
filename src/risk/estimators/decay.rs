//! Exponential forgetting at whole seconds of event time: keep(Δt) = exp(−Δt/τ), τ = half-life/ln 2.
//!
//! The first 64 values are computed once: liquid issues trade every few seconds, and an exponential
//! for each average at each trade would be a good part of the engine's time.

const READY: usize = 64;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Decay {
    time_constant_s: f64,
    rate_s: f64,
    ready: [f64; READY],
}

impl Decay {
    /// Forgets half in `half_life_s` seconds.
    #[must_use]
    pub fn half_life(half_life_s: f64) -> Self {
        let time_constant_s = half_life_s / std::f64::consts::LN_2;
        let ready = std::array::from_fn(|seconds| (-(seconds as f64) / time_constant_s).exp());
        Self { time_constant_s, rate_s: time_constant_s.recip(), ready }
    }

    /// What is kept after `seconds`; all of it when that is not above zero.
    #[must_use]
    pub fn keep(&self, seconds: i64) -> f64 {
        match self.ready.get(seconds.max(0) as usize) {
            Some(keep) => *keep,
            None => (-(seconds as f64) / self.time_constant_s).exp(),
        }
    }

    /// 1/τ, a second.
    #[must_use]
    pub const fn rate_s(&self) -> f64 {
        self.rate_s
    }

    /// τ, seconds.
    #[must_use]
    pub const fn time_constant_s(&self) -> f64 {
        self.time_constant_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_table_is_the_formula(half_life in 1.0f64..10_000.0, seconds in -5i64..400) {
            let expected = 0.5f64.powf(seconds.max(0) as f64 / half_life);
            prop_assert!((Decay::half_life(half_life).keep(seconds) - expected).abs() < 1e-12);
        }
    }
}
