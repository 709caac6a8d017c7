//! The result of an evaluation as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::forecasts::{ForecastMetrics, QuantileMetrics};
use super::run::Run;
use crate::market::SessionDay;
use crate::model::features::Origin;
use crate::model::ranker::Evidence;
use crate::model::ranker::picks::{Estimate, PickMetrics};
use crate::model::train::Method;

/// How market crashes were found on recorded days.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CrashReport {
    /// Crash days.
    pub days: u64,
    /// Of these, found.
    pub detected: u64,
    /// Of these, not found.
    pub missed: u64,
    /// Announced on other days.
    pub false_alarms: u64,
    /// Median seconds from the crossing of −5 % to the announcement; below 0 it came before.
    pub median_delay_s: Option<f64>,
}

/// An estimate's interval and p-value beside the plain figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntervalReport {
    /// Ends of the 95 % interval of the hit ratio.
    pub hit_ratio: [f64; 2],
    /// p-value of hit ratio against null.
    pub hit_p: f64,
    /// Ends of the interval of the excess return.
    pub excess_return: [f64; 2],
    /// Ends of the interval of the rank correlation.
    pub rank_ic: [f64; 2],
    /// Weeks judged.
    pub weeks: usize,
}

/// What came of one way to rank, over one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankingReport {
    /// The figures.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// Whether return by score and excess return both lie above zero with their interval.
    pub edge: bool,
}

/// What `bongsu evaluate` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Figures of the forecasts.
    #[serde(flatten)]
    pub forecasts: ForecastMetrics,
    /// Share of picks above the median, by horizon.
    pub hit_ratio: BTreeMap<usize, f64>,
    /// The share that chance gives.
    pub null_hit_ratio: BTreeMap<usize, f64>,
    /// Mean simple return of picks less that of the eligible.
    pub excess_return: BTreeMap<usize, f64>,
    /// Rank correlation of score and return.
    pub rank_ic: BTreeMap<usize, f64>,
    /// Intervals of the four above.
    pub pick_intervals: BTreeMap<usize, IntervalReport>,
    /// The picks of `full` traits (those above), of the `watched` ones that a daemon knows, and of the
    /// calmest issues, `low_risk`; by horizon.
    pub rankings: BTreeMap<&'static str, BTreeMap<usize, RankingReport>>,
    /// Share of valid answers of the language model; this evaluation asks none.
    pub llm_valid_ratio: Option<f64>,
    /// Crash days of the window, where they were played.
    pub crash: Option<CrashReport>,
    /// When forecasts were made.
    pub origin: Origin,
    /// How tails were forecast.
    pub method: Method,
}

impl Evaluation {
    /// From the figures of forecasts and picks.
    #[must_use]
    pub fn new(metrics: &ForecastMetrics, run: &Run, origin: Origin, method: Method) -> Self {
        let picks = &run.pick_metrics;
        let by_horizon = |of: fn(&PickMetrics) -> f64| {
            picks.iter().map(|pick| (pick.horizon, of(pick))).collect::<BTreeMap<_, _>>()
        };
        Self {
            forecasts: metrics.clone(),
            hit_ratio: by_horizon(|pick| pick.hit_ratio.mean),
            null_hit_ratio: by_horizon(|pick| pick.null_hit_ratio),
            excess_return: by_horizon(|pick| pick.excess_return.mean),
            rank_ic: by_horizon(|pick| pick.rank_ic.mean),
            pick_intervals: picks.iter().map(|pick| (pick.horizon, interval(pick))).collect(),
            rankings: [
                ("full", picks),
                ("watched", &run.watched_metrics),
                ("low_risk", &run.low_risk_metrics),
            ]
            .map(|(name, metrics)| (name, rankings(metrics, &run.dates)))
            .into(),
            llm_valid_ratio: None,
            crash: None,
            origin,
            method,
        }
    }

    /// The same for a person to read.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let found = &self.forecasts;
        writeln!(
            text,
            "{} to {}: {} rows of {} issues, {} without a forecast of their own",
            found.from, found.to, found.rows, found.symbols, found.replaced
        )?;
        writeln!(
            text,
            "\nquantile  exceeded  clustered p  Kupiec p  Christoffersen p  issues passing"
        )?;
        let levels = [("1 %", found.var_99), ("2.5 %", found.var_975), ("5 %", found.var_95)];
        for (name, QuantileMetrics { coverage: level, .. }) in levels {
            let share = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.2}"));
            writeln!(
                text,
                "{name:<8} {:>8.2} % {:>12.3} {:>9.3} {:>17.3} {:>10} {}",
                100.0 * level.exceed_ratio,
                level.clustered_p,
                level.kupiec_p,
                level.christoffersen_p,
                share(level.symbols_passing_kupiec),
                share(level.symbols_passing_christoffersen),
            )?;
        }
        writeln!(text, "\nhalf-year  below 1 %  clustered p  below 5 %  clustered p")?;
        for (label, half) in &found.half_years {
            let (one, five) = (100.0 * half.exceed_99, 100.0 * half.exceed_95);
            let (p_one, p_five) = (half.clustered_p_99, half.clustered_p_95);
            writeln!(text, "{label:<9} {one:>8.2} % {p_one:>12.3} {five:>8.2} % {p_five:>12.3}")?;
        }
        let figures = [
            ("QLIKE against r²", found.qlike_r2),
            ("QLIKE against the range", found.qlike_range),
            ("FZ0 2.5 %", found.fz0_025),
            ("FZ0 5 %", found.fz0_05),
            ("realised over expected shortfall, 2.5 %", found.es_ratio_975),
            ("variance above twice the measured", found.overestimate_ratio),
            ("variance below half the measured", found.underestimate_ratio),
            ("sum of variances over sum of r²", found.variance_ratio),
        ];
        writeln!(text)?;
        for (name, value) in figures {
            writeln!(text, "{name:<40} {value:>8.4}")?;
        }
        self.write_rankings(text)?;
        if let Some(crash) = &self.crash {
            let delay = crash.median_delay_s.map_or("none".into(), |delay| format!("{delay:.0} s"));
            writeln!(
                text,
                "\nmarket crash days {}: {} detected, {} missed; {} false alarms; median delay {delay}",
                crash.days, crash.detected, crash.missed, crash.false_alarms
            )?;
        }
        Ok(())
    }
}

impl Evaluation {
    fn write_rankings(&self, text: &mut String) -> std::fmt::Result {
        if self.hit_ratio.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "\nten picks a week    weeks  above median (95 %)  chance      p  excess return (95 %)   rank IC (95 %)        edge"
        )?;
        for (name, horizons) in &self.rankings {
            for (horizon, RankingReport { evidence, edge }) in horizons {
                let Evidence { hit_ratio: hit, excess_return: excess, rank_ic: ic, .. } = evidence;
                writeln!(
                    text,
                    "{name:<9} {horizon:>2} days {:>7}  {:.3} ({:.3}…{:.3}) {:>7.3} {:>6.3} {:>6.2} % ({:.2}…{:.2})  {:>6.3} ({:.3}…{:.3})  {}",
                    evidence.weeks,
                    hit.mean,
                    hit.low,
                    hit.high,
                    evidence.null_hit_ratio,
                    evidence.hit_p,
                    100.0 * excess.mean,
                    100.0 * excess.low,
                    100.0 * excess.high,
                    ic.mean,
                    ic.low,
                    ic.high,
                    if *edge { "yes" } else { "none" },
                )?;
            }
        }
        Ok(())
    }
}

fn rankings(metrics: &[PickMetrics], dates: &[i32]) -> BTreeMap<usize, RankingReport> {
    let of = |one: &PickMetrics| {
        let day = |session: usize| SessionDay::from_epoch_days(dates[session]);
        let evidence = Evidence::new(one, day);
        let edge = evidence.has_edge();
        (one.horizon, RankingReport { evidence, edge })
    };
    metrics.iter().map(of).collect()
}

fn interval(pick: &PickMetrics) -> IntervalReport {
    let ends = |estimate: &Estimate| [estimate.low, estimate.high];
    IntervalReport {
        hit_ratio: ends(&pick.hit_ratio),
        hit_p: pick.hit_p,
        excess_return: ends(&pick.excess_return),
        rank_ic: ends(&pick.rank_ic),
        weeks: pick.weeks,
    }
}
