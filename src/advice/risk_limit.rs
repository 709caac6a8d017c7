//! A loss that is bearable, and how it is measured: what a defence has to reach.

use serde::{Deserialize, Serialize};

use super::simulate::Outcome;

/// How a loss is measured over the paths of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// The loss at the horizon that is exceeded in the share 1 − level of paths.
    ValueAtRisk {
        /// 0.95, 0.975 or 0.99.
        level: f64,
    },
    /// The largest fall from a high on the way, likewise.
    Drawdown {
        /// 0.95, 0.975 or 0.99.
        level: f64,
    },
}

impl Measure {
    /// What plans are measured by where nobody says otherwise.
    pub const USUAL: Self = Self::ValueAtRisk { level: 0.95 };

    /// The loss of a simulated portfolio, won, not below 0. A fall is a share of its high and counts
    /// as that share of the value at the start. Infinite where the outcome does not tell the level.
    #[must_use]
    pub fn of(self, outcome: &Outcome) -> f64 {
        let told = match self {
            Self::ValueAtRisk { level } => outcome.at(level).map(|risk| risk.value_at_risk),
            Self::Drawdown { level } => {
                let mut points = outcome.drawdown.quantiles.iter();
                let found = points.find(|point| (point.probability - level).abs() < 1e-9);
                found.map(|point| point.value * outcome.value)
            }
        };
        told.map_or(f64::INFINITY, |loss| loss.max(0.0))
    }

    /// Its Korean name, as `95% VaR`.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::ValueAtRisk { level } => format!("{}% VaR", percent(level)),
            Self::Drawdown { level } => format!("최대 낙폭({}%)", percent(level)),
        }
    }
}

/// A level in per cent, without digits that say nothing.
fn percent(level: f64) -> f64 {
    (1_000.0 * level).round() / 10.0
}

/// A bearable loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiskLimit {
    /// How it is measured.
    pub measure: Measure,
    /// The loss, won.
    pub won: f64,
}

#[cfg(test)]
mod tests {
    use super::super::simulate::tests::world;
    use super::super::simulate::{Control, Dynamics, Exposure, Plan, simulate};
    use super::*;

    #[test]
    fn losses_are_measured_as_asked() {
        let world = world(2, 500, 0.3, Dynamics::default());
        let held = [Exposure::issue(0, 6e6), Exposure::issue(1, 4e6)];
        let plan = Plan { paths: 4_000, horizon: 10, ..Plan::default() };
        let outcome = simulate(&world, &held, &plan, &Control::none()).unwrap();
        let of = |measure: Measure| measure.of(&outcome);
        for level in [0.95, 0.975, 0.99] {
            let (var, fall) = (Measure::ValueAtRisk { level }, Measure::Drawdown { level });
            assert_eq!(of(var), outcome.at(level).unwrap().value_at_risk);
            // A fall from a high is at least what is lost at the end, but for the growth of the high.
            assert!(of(fall) > 0.9 * of(var) && of(fall) < 2.0 * of(var), "{level}");
        }
        assert!(of(Measure::ValueAtRisk { level: 0.5 }).is_infinite());
        let names = [Measure::USUAL.text(), Measure::Drawdown { level: 0.975 }.text()];
        assert_eq!(names, ["95% VaR", "최대 낙폭(97.5%)"]);
    }
}
