//! The result of an evaluation as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::coverage::Coverage;
use super::forecasts::ForecastMetrics;
use super::run::Run;
use crate::market::SessionDay;
use crate::model::features::Origin;
use crate::model::ranker::Evidence;
use crate::model::ranker::picks::{Estimate, PickMetrics};
use crate::model::train::Method;

/// Coverage of one quantile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageReport {
    /// Share of rows below the quantile.
    pub exceed_ratio: f64,
    /// Kupiec's p-value, pooled.
    pub kupiec_p: f64,
    /// Christoffersen's p-value, pooled.
    pub christoffersen_p: f64,
    /// p-value clustered by session: the one to judge by.
    pub clustered_p: f64,
    /// Share of issues that pass Kupiec's test.
    pub symbols_passing_kupiec: Option<f64>,
    /// Share of issues that pass Christoffersen's test.
    pub symbols_passing_christoffersen: Option<f64>,
    /// Pinball loss.
    pub pinball: f64,
}

impl CoverageReport {
    fn new(coverage: &Coverage, pinball: f64) -> Self {
        Self {
            exceed_ratio: coverage.exceed_ratio,
            kupiec_p: coverage.kupiec_p,
            christoffersen_p: coverage.christoffersen_p,
            clustered_p: coverage.clustered_p,
            symbols_passing_kupiec: coverage.symbols_passing_kupiec,
            symbols_passing_christoffersen: coverage.symbols_passing_christoffersen,
            pinball,
        }
    }
}

/// Exceedances of a half-year.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HalfYearReport {
    /// Share of rows below the 1 % quantile.
    pub exceed_99: f64,
    /// Share of rows below the 5 % quantile.
    pub exceed_95: f64,
    /// p-value of the former, clustered by session.
    pub clustered_p_99: f64,
    /// p-value of the latter.
    pub clustered_p_95: f64,
    /// Rows.
    pub rows: u64,
}

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
    /// Coverage of the 1 % quantile.
    pub var_99: CoverageReport,
    /// Coverage of the 2.5 % quantile.
    pub var_975: CoverageReport,
    /// Coverage of the 5 % quantile.
    pub var_95: CoverageReport,
    /// Exceedances by half-year.
    pub half_years: BTreeMap<String, HalfYearReport>,
    /// Quasi-likelihood against squared returns.
    pub qlike_r2: f64,
    /// Quasi-likelihood against range variances.
    pub qlike_range: f64,
    /// Joint loss of quantile and tail mean at 2.5 %.
    pub fz0_025: f64,
    /// The same at 5 %.
    pub fz0_05: f64,
    /// Realised over forecast loss in the worst 2.5 %.
    pub es_ratio_975: f64,
    /// Share of variances forecast at more than twice the measured one.
    pub overestimate_ratio: f64,
    /// Share of variances forecast at less than half the measured one.
    pub underestimate_ratio: f64,
    /// Sum of variances over sum of squared returns.
    pub variance_ratio: f64,
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
    /// Rows scored.
    pub rows: u64,
    /// Of these, rows whose forecast was missing and replaced by historical simulation.
    pub replaced: u64,
    /// Issues.
    pub symbols: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
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
        let coverage = |at: usize| CoverageReport::new(&metrics.coverage[at], metrics.pinball[at]);
        let by_horizon = |of: fn(&PickMetrics) -> f64| {
            picks.iter().map(|pick| (pick.horizon, of(pick))).collect::<BTreeMap<_, _>>()
        };
        let half_years = metrics.half_years.iter().map(|(label, half)| {
            let report = HalfYearReport {
                exceed_99: half.exceed_99,
                exceed_95: half.exceed_95,
                clustered_p_99: half.clustered_p_99,
                clustered_p_95: half.clustered_p_95,
                rows: half.rows,
            };
            (label.clone(), report)
        });
        Self {
            var_99: coverage(0),
            var_975: coverage(1),
            var_95: coverage(2),
            half_years: half_years.collect(),
            qlike_r2: metrics.qlike_r2,
            qlike_range: metrics.qlike_range,
            fz0_025: metrics.fz0_025,
            fz0_05: metrics.fz0_05,
            es_ratio_975: metrics.es_ratio_975,
            overestimate_ratio: metrics.overestimate_ratio,
            underestimate_ratio: metrics.underestimate_ratio,
            variance_ratio: metrics.variance_ratio,
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
            rows: metrics.rows,
            replaced: metrics.replaced,
            symbols: metrics.symbols,
            from: metrics.window.0,
            to: metrics.window.1,
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
        writeln!(
            text,
            "{} to {}: {} rows of {} issues, {} without a forecast of their own",
            self.from, self.to, self.rows, self.symbols, self.replaced
        )?;
        writeln!(
            text,
            "\nquantile  exceeded  clustered p  Kupiec p  Christoffersen p  issues passing"
        )?;
        let levels = [("1 %", &self.var_99), ("2.5 %", &self.var_975), ("5 %", &self.var_95)];
        for (name, level) in levels {
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
        for (label, half) in &self.half_years {
            let (one, five) = (100.0 * half.exceed_99, 100.0 * half.exceed_95);
            let (p_one, p_five) = (half.clustered_p_99, half.clustered_p_95);
            writeln!(text, "{label:<9} {one:>8.2} % {p_one:>12.3} {five:>8.2} % {p_five:>12.3}")?;
        }
        let figures = [
            ("QLIKE against r²", self.qlike_r2),
            ("QLIKE against the range", self.qlike_range),
            ("FZ0 2.5 %", self.fz0_025),
            ("FZ0 5 %", self.fz0_05),
            ("realised over expected shortfall, 2.5 %", self.es_ratio_975),
            ("variance above twice the measured", self.overestimate_ratio),
            ("variance below half the measured", self.underestimate_ratio),
            ("sum of variances over sum of r²", self.variance_ratio),
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
