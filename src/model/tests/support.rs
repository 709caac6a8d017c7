//! Made-up markets for tests: seeded, with clustered volatility and a common factor.

use std::collections::BTreeMap;

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::model::panel::{DailyBar, DailyBars, DataInfo, IndexBars, Issue, Panel};

/// First day: Monday, 2020-01-06.
pub(crate) const FIRST_DAY: i32 = 18_267;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Weekdays from [`FIRST_DAY`] on.
fn weekdays(count: usize) -> Vec<i32> {
    (0..)
        .map(|at| FIRST_DAY + at)
        .filter(|day| (day - FIRST_DAY).rem_euclid(7) < 5)
        .take(count)
        .collect()
}

/// A panel of `issues` issues over `days` sessions, and the three index series.
pub(crate) fn panel(seed: u64, issues: usize, days: usize) -> Panel {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dates = weekdays(days);
    let (mut log_variance, mut level) = (0.0_f64, 2_500.0_f64);
    let mut factor = Vec::with_capacity(days);
    let (mut kospi, mut vix, mut stocks) =
        (IndexBars::default(), IndexBars::default(), IndexBars::default());
    for &date in &dates {
        log_variance = 0.95 * log_variance + 0.2 * normal(&mut rng);
        let deviation = 0.01 * (0.5 * log_variance).exp();
        let r = deviation * normal(&mut rng);
        factor.push((r, deviation));
        let open = level * (0.3 * r).exp();
        level *= r.exp();
        push(&mut kospi, date, open, level, deviation);
        let fear = 1_500.0 * deviation;
        push(&mut vix, date, fear, fear * (0.05 * normal(&mut rng)).exp(), 0.01);
        let us = 4_000.0 * (0.01 * normal(&mut rng)).exp();
        push(&mut stocks, date, us, us, deviation);
    }
    let issues = (0..issues).map(|number| issue(number, &dates, &factor, &mut rng)).collect();
    let indices = BTreeMap::from([
        ("KOSPI".to_owned(), kospi),
        ("VIX".to_owned(), vix),
        ("SP500".to_owned(), stocks),
    ]);
    Panel { issues, indices, info: DataInfo::default() }
}

fn push(bars: &mut IndexBars, date: i32, open: f64, close: f64, deviation: f64) {
    bars.date.push(date);
    bars.open.push(open);
    bars.high.push(open.max(close) * (1.0 + 0.4 * deviation));
    bars.low.push(open.min(close) * (1.0 - 0.4 * deviation));
    bars.close.push(close);
}

fn issue(number: usize, dates: &[i32], factor: &[(f64, f64)], rng: &mut ChaCha8Rng) -> Issue {
    let mut close = 20_000.0 + 3_000.0 * number as f64;
    let own = 0.012 + 0.002 * rng.random::<f64>();
    let mut bars = DailyBars::default();
    for (&date, (market, deviation)) in dates.iter().zip(factor) {
        let size = own * (deviation / 0.01);
        let r = (0.8 * market + size * normal(rng)).clamp(-0.29, 0.25);
        let open = close * (0.3 * r + 0.2 * size * normal(rng)).exp();
        close = (close * r.exp()).round();
        let (high, low) = (open.max(close), open.min(close));
        bars.push(DailyBar {
            date,
            open: open.round(),
            high: (high * (1.0 + 0.5 * size * rng.random::<f64>())).round(),
            low: (low * (1.0 - 0.5 * size * rng.random::<f64>())).round(),
            close,
            volume: (1e5 * (0.4 * normal(rng)).exp()).round(),
            halted: false,
            jump: false,
        });
    }
    let symbol = format!("{:06}", 100 + number).parse().unwrap();
    let _ = rng.next_u32();
    Issue { symbol, bars }
}
