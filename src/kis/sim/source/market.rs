//! Plays a script into a day of trades.
//!
//! One common factor (the script's drifts and a random walk) moves every issue by its beta; each
//! issue has a walk and shocks of its own. A trade happens at the bid or the ask around the
//! issue's level, so quiet stretches bounce between two ticks as real ones do. Volume follows the
//! usual shape of a day times the phase's multiple. Indices are computed from the issues of their
//! market by market value, from the trades as the market rules let them happen.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::market::{Reference, SessionDay, Side, Won, rules};

use super::interruptions::{self, Levels};
use super::script::{IssueLine, MarketScript, Phase};
use crate::kis::sim::book::{mix, quotes_around};
use crate::kis::sim::day::{DailyBar, Day, IndexPrint, Issue, Print, Series, ms};
use crate::kis::sim::interruption::{IssueHalt, Rules};
use crate::kis::sim::path::Bar;
use crate::kis::sim::profile;

/// Step of the common factor.
const GRID_MS: u32 = 5_000;
/// Event time between two prints of an index.
const INDEX_STEP_MS: u32 = 6_000;
/// Length of continuous trading, for volatilities given per day.
const DAY_MS: f64 = (profile::CONTINUOUS_TO_MS - profile::CONTINUOUS_FROM_MS) as f64;

/// A part of continuous trading in which nothing changes but the random.
#[derive(Debug, Clone, Copy)]
struct Stretch<'a> {
    from: u32,
    to: u32,
    phase: Option<&'a Phase>,
}

impl Stretch<'_> {
    fn volatility(&self) -> f64 {
        self.phase.map_or(1.0, |phase| phase.volatility)
    }

    /// Volume multiple of an issue.
    fn volume(&self, line: &IssueLine) -> f64 {
        let Some(phase) = self.phase else { return 1.0 };
        let own = phase.shocks.iter().filter(|shock| shock.code == line.code);
        phase.volume * own.map(|shock| shock.volume).product::<f64>()
    }
}

/// Logarithmic change that `percent` is.
fn log_change(percent: f64) -> f64 {
    (1.0 + percent / 100.0).ln()
}

/// The day of `script`, on `day` instead of its own if given.
pub(super) fn build(script: &MarketScript, day: Option<SessionDay>, seed: u64) -> Day {
    let day = day.unwrap_or(script.day);
    let start = ms(script.session.start);
    let trading_from = start + 30_000;
    let trading_to = ms(script.session.end).min(profile::CONTINUOUS_TO_MS).max(trading_from + 1);
    let stretches = stretches(script, trading_from, trading_to);
    let mut rng = ChaCha8Rng::seed_from_u64(mix(seed));
    let market_days = market_history(seed, script.market_volatility);
    let factor = common_factor(script, start, trading_to, &stretches, &mut rng);

    let mut volumes: Vec<i64> = script.issues.iter().map(|line| line.volume).collect();
    volumes.sort_unstable();
    let typical = volumes[volumes.len() / 2].max(1) as f64; // a script has at least one issue
    let mut issues = Vec::with_capacity(script.issues.len());
    let mut prints = Vec::new();
    for (number, line) in script.issues.iter().enumerate() {
        let issue = issue_of(day, line, &market_days, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(mix(issue.salt));
        let activity = (line.volume as f64 / typical).sqrt().clamp(0.3, 4.0);
        let trades_a_day = script.trades_per_minute * activity * DAY_MS / 60_000.0;
        let mut player = Player { script, line, issue: &issue, factor: &factor, start, day };
        player.play(&stretches, trades_a_day, number as u32, &mut rng, &mut prints);
        issues.push(issue);
    }
    prints.sort_by_key(|print| (print.at_ms, print.issue));
    let mut loaded = Day {
        day,
        issues,
        prints,
        series: Vec::new(),
        index_prints: Vec::new(),
        speed: Some(script.speed),
        rules: Rules { issue_halts: issue_halts(script), ..Rules::default() },
    };
    let write = |day: &mut Day| write_indices(script, day);
    interruptions::act_out(&mut loaded, &Levels::Computed(&write), seed);
    loaded
}

/// The halts of single issues that the script asks for.
fn issue_halts(script: &MarketScript) -> Vec<IssueHalt> {
    let halts = script.halts.iter().filter_map(|halt| {
        // The script's checks refuse a halt of an issue that is not listed.
        let issue = script.issues.iter().position(|line| line.code == halt.code)? as u32;
        Some(IssueHalt { issue, from_ms: ms(halt.from), until_ms: halt.to.map(ms) })
    });
    halts.collect()
}

/// Cuts continuous trading at the ends of the phases.
fn stretches(script: &MarketScript, from: u32, to: u32) -> Vec<Stretch<'_>> {
    let mut parts = Vec::new();
    let mut at = from;
    for phase in &script.phases {
        let (begin, end) = (ms(phase.from).clamp(at, to), ms(phase.to).clamp(at, to));
        if begin > at {
            parts.push(Stretch { from: at, to: begin, phase: None });
        }
        if end > begin {
            parts.push(Stretch { from: begin, to: end, phase: Some(phase) });
        }
        at = end;
    }
    if at < to {
        parts.push(Stretch { from: at, to, phase: None });
    }
    parts
}

/// The common factor every [`GRID_MS`] from `start` on, as a logarithm.
fn common_factor(
    script: &MarketScript,
    start: u32,
    to: u32,
    stretches: &[Stretch<'_>],
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let step = (f64::from(GRID_MS) / DAY_MS).sqrt() * script.market_volatility / 100.0;
    let mut level = 0.0;
    let mut factor = vec![0.0];
    let mut at = start;
    while at < to {
        let stretch = stretches.iter().find(|part| at + GRID_MS > part.from && at < part.to);
        if let Some(stretch) = stretch {
            let drift = stretch.phase.map_or(0.0, |phase| log_change(phase.drift_pct));
            let part = f64::from(GRID_MS) / f64::from((stretch.to - stretch.from).max(GRID_MS));
            let noise: f64 = StandardNormal.sample(rng);
            level += drift * part + noise * step * stretch.volatility();
        }
        factor.push(level);
        at += GRID_MS;
    }
    factor
}

/// Daily changes of the common factor before the session, newest first.
fn market_history(seed: u64, volatility: f64) -> Vec<f64> {
    // A stream of its own: how long a history is does not change the day that is played.
    let mut rng = ChaCha8Rng::seed_from_u64(mix(seed));
    rng.set_stream(1);
    (0..Reference::MAX_CLOSES)
        .map(|_| {
            let change: f64 = StandardNormal.sample(&mut rng);
            change * volatility / 100.0
        })
        .collect()
}

/// An issue with its invented sessions before the day.
fn issue_of(day: SessionDay, line: &IssueLine, market_days: &[f64], seed: u64) -> Issue {
    let base = rules::floor_to_tick(day, line.market, line.price);
    let mut issue = Issue::new(day, line.code, line.market, base, seed);
    issue.name.clone_from(&line.name);
    issue.listed_shares = line.shares;
    let mut rng = ChaCha8Rng::seed_from_u64(issue.salt);
    let tick = |price: f64| rules::floor_to_tick(day, line.market, price.max(1.0) as Won);
    let (mut close, mut date) = (base, day);
    for change in market_days {
        date = SessionDay::from_epoch_days(date.epoch_days() - 1);
        while date.is_weekend() {
            date = SessionDay::from_epoch_days(date.epoch_days() - 1);
        }
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let own = normal() * line.volatility / 100.0;
        let before = tick(close as f64 * (-(change * line.beta + own)).exp());
        let spread = line.volatility / 200.0;
        let open = tick(before as f64 * (normal() * spread).exp());
        let high = tick(open.max(close) as f64 * (normal() * spread).abs().exp());
        let low = tick(open.min(close) as f64 * (-(normal() * spread).abs()).exp());
        let bar = Bar::clamped(open, high, low, close);
        let volume = (line.volume as f64 * (normal() * 0.2).exp()) as i64;
        issue.history.push(DailyBar {
            day: date,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume,
        });
        close = before;
    }
    issue.history.reverse();
    // The session before is an ordinary one, so that the morning's volume can be judged by it.
    if let Some(last) = issue.history.last_mut() {
        last.volume = line.volume;
    }
    issue.previous_volume = line.volume;
    issue.depth_unit = (line.volume / 2_500).max(20);
    issue
}

/// Plays one issue.
struct Player<'a> {
    script: &'a MarketScript,
    line: &'a IssueLine,
    issue: &'a Issue,
    factor: &'a [f64],
    start: u32,
    day: SessionDay,
}

impl Player<'_> {
    fn play(
        &mut self,
        stretches: &[Stretch<'_>],
        trades_a_day: f64,
        number: u32,
        rng: &mut ChaCha8Rng,
        prints: &mut Vec<Print>,
    ) {
        let line = self.line;
        let first = prints.len();
        let gap: f64 = StandardNormal.sample(rng);
        let mut own = gap * line.volatility / 100.0 * 0.15;
        let opens_at = self.start + 1_000 + rng.random_range(0..25_000);
        let auction = ((line.volume as f64 * profile::OPENING_SHARE) as i64).max(1);
        prints.push(self.print(number, opens_at, own, auction, Side::Auction, rng));
        for stretch in stretches {
            let begun = profile::continuous_share(stretch.from);
            let share = profile::continuous_share(stretch.to) - begun;
            let part = share * (1.0 - profile::OPENING_SHARE - profile::CLOSING_SHARE);
            let multiple = stretch.volume(line);
            let volume = (line.volume as f64 * part * multiple) as i64;
            // Busier means more trades and larger ones.
            let wanted = trades_a_day * part * multiple.sqrt() + rng.random::<f64>();
            let count = (wanted as usize).min(usize::try_from(volume).unwrap_or(0));
            let weights: Vec<f64> = (0..count)
                .map(|_| {
                    let spread: f64 = StandardNormal.sample(rng);
                    (spread * 0.8).exp()
                })
                .collect();
            let sizes = profile::apportion(volume, &weights);
            let shock: f64 = stretch
                .phase
                .iter()
                .flat_map(|phase| &phase.shocks)
                .filter(|shock| shock.code == line.code)
                .map(|shock| log_change(shock.drift_pct))
                .sum();
            let length = f64::from(stretch.to - stretch.from);
            let (mut done, before) = (0.0, own);
            let mut walk = 0.0;
            for (i, size) in sizes.into_iter().enumerate() {
                let volume_done = (i as f64 + rng.random::<f64>()) / count as f64;
                let at_ms = profile::at_ms(profile::when(begun + share * volume_done));
                let at_ms = at_ms.clamp(stretch.from, stretch.to - 1);
                let passed = f64::from(at_ms - stretch.from) / length;
                let noise: f64 = StandardNormal.sample(rng);
                let step = ((passed - done).max(0.0) * length / DAY_MS).sqrt();
                walk += noise * step * line.volatility / 100.0 * stretch.volatility();
                done = passed;
                own = before + shock * passed + walk;
                let trend = self.factor_at(at_ms) - self.factor_at(at_ms.saturating_sub(60_000));
                let trend = trend + shock * 60_000.0 / length;
                let buys = (0.5 + trend * 40.0).clamp(0.2, 0.8);
                let side = if rng.random::<f64>() < buys { Side::Buy } else { Side::Sell };
                prints.push(self.print(number, at_ms, own, size, side, rng));
            }
            own = before + shock + walk;
        }
        if ms(self.script.session.end) >= ms(rules::CLOSE) {
            let closes_at = ms(rules::CLOSE) + rng.random_range(0..30_000);
            let auction = ((line.volume as f64 * profile::CLOSING_SHARE) as i64).max(1);
            prints.push(self.print(number, closes_at, own, auction, Side::Auction, rng));
        }
        prints[first..].sort_by_key(|print| print.at_ms);
    }

    /// The common factor at a time, between its grid points by a straight line.
    fn factor_at(&self, at_ms: u32) -> f64 {
        let position = f64::from(at_ms.saturating_sub(self.start)) / f64::from(GRID_MS);
        let step = (position as usize).min(self.factor.len() - 1);
        let next = (step + 1).min(self.factor.len() - 1);
        let part = (position - step as f64).min(1.0);
        self.factor[step] + (self.factor[next] - self.factor[step]) * part
    }

    fn print(
        &self,
        issue: u32,
        at_ms: u32,
        own: f64,
        quantity: i64,
        side: Side,
        rng: &mut ChaCha8Rng,
    ) -> Print {
        let market = self.line.market;
        let level =
            self.issue.base_price as f64 * (own + self.line.beta * self.factor_at(at_ms)).exp();
        let (lower, upper) = self.issue.limits;
        let bid = rules::floor_to_tick(self.day, market, level as Won);
        let tick = rules::tick_size(self.day, market, bid);
        let price = match side {
            Side::Buy => bid + tick,
            Side::Sell => bid,
            Side::Auction if rng.random::<bool>() => bid + tick,
            Side::Auction => bid,
        };
        let price = price.clamp(lower, upper);
        let (ask, bid) = quotes_around(self.day, market, price, side != Side::Sell);
        // At a limit the far side of the book is empty.
        let ask = if ask > upper { 0 } else { ask };
        let bid = if bid < lower { 0 } else { bid };
        // A script's prices end at 5,000,000 won and their limits at a third more.
        let [price, ask, bid] = [price, ask, bid].map(|x| i32::try_from(x).unwrap_or(i32::MAX));
        Print { at_ms, issue, quantity, price, ask, bid, side }
    }
}

/// Computes the indices along the trades, in place of what was there.
fn write_indices(script: &MarketScript, day: &mut Day) {
    day.series.clear();
    day.index_prints.clear();
    let (first, last) = day.span();
    for (number, line) in script.indices.iter().enumerate() {
        let previous_close = (line.previous_close * 100.0).round() as i64;
        day.series.push(Series { symbol: line.code, market: line.market, previous_close });
        let value = |issue: &Issue| issue.base_price as f64 * issue.listed_shares as f64;
        let members: Vec<bool> = day.issues.iter().map(|x| x.market == line.market).collect();
        let whole: f64 =
            day.issues.iter().zip(&members).filter(|(_, is)| **is).map(|(x, _)| value(x)).sum();
        if whole <= 0.0 {
            continue;
        }
        let mut prices: Vec<Won> = day.issues.iter().map(|issue| issue.base_price).collect();
        let mut next = 0;
        let mut at_ms = first + 5_000 + number as u32 * 500;
        loop {
            while let Some(print) = day.prints.get(next).filter(|print| print.at_ms <= at_ms) {
                prices[print.issue as usize] = print.price.into();
                next += 1;
            }
            let now: f64 = (0..prices.len())
                .filter(|i| members[*i])
                .map(|i| prices[i] as f64 * day.issues[i].listed_shares as f64)
                .sum();
            let level = (previous_close as f64 * now / whole).round() as i64;
            let auction = (ms(rules::CLOSING_AUCTION)..ms(rules::CLOSE)).contains(&at_ms);
            if !auction {
                day.index_prints.push(IndexPrint { at_ms, series: number as u32, level });
            }
            if at_ms > last {
                break;
            }
            at_ms += INDEX_STEP_MS;
        }
    }
    day.index_prints.sort_by_key(|print| (print.at_ms, print.series));
}
