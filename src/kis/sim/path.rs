//! A day's course that meets a given open, high, low, close and volume exactly.
//!
//! In logarithms: the market's course times the issue's beta, a straight line that leads the rest
//! of the way from open to close, and a random bridge. What rises above the larger of open and
//! close is stretched until its top is the high, what falls below the smaller one until its bottom
//! is the low; so the shape stays and the four levels are met. Then everything but the four given
//! prices is rounded to valid ticks within the range.
//!
//! Adjusted data can ask for the impossible: with fewer shares traded than there are levels to
//! meet, the close comes first, then the open, the high and the low.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::market::{Market, SessionDay, Side, Won, rules};

use super::book::quotes_around;
use super::day::{Print, ms};
use super::profile;

/// A bar whose levels are in order: `low <= open, close <= high`, all positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub open: Won,
    pub high: Won,
    pub low: Won,
    pub close: Won,
}

impl Bar {
    /// Puts disordered levels in order: the range is widened to hold open and close.
    pub fn clamped(open: Won, high: Won, low: Won, close: Won) -> Self {
        let (top, bottom) = (open.max(close), open.min(close));
        Self { open, high: high.max(low).max(top), low: low.min(high).min(bottom), close }
    }

    /// Prints needed to meet every level: the auctions at both ends, and one in between for each
    /// extreme that open and close do not meet. One is enough when nothing moved.
    pub fn prints_needed(&self) -> usize {
        let (top, bottom) = (self.open.max(self.close), self.open.min(self.close));
        let inner = usize::from(self.high > top) + usize::from(self.low < bottom);
        if inner == 0 && self.open == self.close { 1 } else { 2 + inner }
    }
}

/// The market's course over continuous trading, as the logarithm against its open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// At equal steps from the begin to the end of continuous trading.
    pub values: Vec<f64>,
}

impl Course {
    /// A market that does not move.
    pub fn flat() -> Self {
        Self { values: vec![0.0, 0.0] }
    }

    /// The value at the part `u` of continuous trading.
    pub fn at(&self, u: f64) -> f64 {
        let position = u.clamp(0.0, 1.0) * (self.values.len() - 1) as f64;
        let step = (position as usize).min(self.values.len() - 2);
        let (a, b) = (self.values[step], self.values[step + 1]);
        a + (b - a) * (position - step as f64)
    }

    /// The value at the end.
    pub fn end(&self) -> f64 {
        self.values.last().copied().unwrap_or_default()
    }
}

/// Logarithms of levels at the times `us` (ascending, 0 to 1) that lie within the bar's range, and
/// the positions at which the high and the low must stand, where open and close do not meet them.
pub(crate) fn log_path(
    bar: &Bar,
    us: &[f64],
    market: &Course,
    rng: &mut ChaCha8Rng,
) -> (Vec<f64>, Option<usize>, Option<usize>) {
    let [open, high, low, close] =
        [bar.open, bar.high, bar.low, bar.close].map(|x| (x as f64).ln());
    let own = close - open;
    let beta = if market.end().abs() > 0.002 { (own / market.end()).clamp(0.2, 2.5) } else { 0.8 };
    let rest = own - beta * market.end();
    let noise = 0.45 * (high - low);
    let mut walk = Vec::with_capacity(us.len());
    let (mut level, mut before) = (0.0, 0.0);
    for u in us {
        let step: f64 = StandardNormal.sample(rng);
        level += step * (u - before).max(0.0).sqrt();
        before = *u;
        walk.push(level);
    }
    let step: f64 = StandardNormal.sample(rng);
    let end = level + step * (1.0 - before).max(0.0).sqrt();
    let mut path: Vec<f64> = us
        .iter()
        .zip(&walk)
        .map(|(u, w)| open + beta * market.at(*u) + rest * u + noise * (w - end * u))
        .collect();

    let (top, bottom) = (open.max(close), open.min(close));
    let highest = path.iter().copied().fold(f64::MIN, f64::max);
    let lowest = path.iter().copied().fold(f64::MAX, f64::min);
    let at_high = (bar.high > bar.open.max(bar.close)).then(|| position(&path, highest)).flatten();
    let at_low = (bar.low < bar.open.min(bar.close))
        .then(|| path.iter().enumerate().filter(|(i, _)| Some(*i) != at_high))
        .and_then(|rest| rest.min_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i));
    for x in &mut path {
        if *x > top {
            *x = top + (*x - top) * ((high - top) / (highest - top));
        } else if *x < bottom {
            *x = bottom - (bottom - *x) * ((bottom - low) / (bottom - lowest));
        }
    }
    (path, at_high, at_low)
}

fn position(path: &[f64], value: f64) -> Option<usize> {
    path.iter().position(|x| *x == value)
}

/// What a rebuilt day is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub day: SessionDay,
    pub market: Market,
    pub bar: Bar,
    /// Shares traded; at least 1.
    pub volume: i64,
    /// Trades wanted; as many as the bar needs and the volume allows are made.
    pub trades: usize,
    pub course: &'a Course,
    /// Index of the issue, copied into the prints.
    pub issue: u32,
}

/// The day's trades of one issue, in order: an opening auction, continuous trading, a closing
/// auction.
pub(crate) fn rebuild(plan: &Plan<'_>, rng: &mut ChaCha8Rng) -> Vec<Print> {
    let Bar { open, high, low, close } = plan.bar;
    let most = usize::try_from(plan.volume).unwrap_or(usize::MAX);
    let count = plan.trades.max(plan.bar.prints_needed()).min(most).max(1);
    let opens_at = ms(rules::OPEN) + rng.random_range(0..30_000);
    let closes_at = ms(rules::CLOSE) + rng.random_range(0..30_000);
    if count == 1 {
        let price = if open == close { open } else { close };
        return vec![print(plan, opens_at, price, plan.volume, Side::Auction)];
    }

    let inner = count - 2;
    let us: Vec<f64> = (0..inner)
        .map(|i| profile::when((i as f64 + rng.random::<f64>()) / inner as f64))
        .collect();
    let (path, at_high, at_low) = log_path(&plan.bar, &us, plan.course, rng);
    let grid = Grid::new(plan);
    let mut prices: Vec<Won> = path.iter().map(|x| grid.nearest(x.exp())).collect();
    if let Some(at) = at_high {
        prices[at] = high;
    }
    if let Some(at) = at_low {
        prices[at] = low;
    }

    let mut weights = Vec::with_capacity(count);
    let inner_share = 1.0 - profile::OPENING_SHARE - profile::CLOSING_SHARE;
    weights.push(profile::OPENING_SHARE);
    weights.extend((0..inner).map(|_| {
        let spread: f64 = StandardNormal.sample(rng);
        // E[exp(s N)] = exp(s²/2), so the weights of all inner trades add up to their share.
        inner_share / inner as f64 * (0.9 * spread - 0.405).exp()
    }));
    weights.push(profile::CLOSING_SHARE);
    let sizes = profile::apportion(plan.volume, &weights);

    let mut prints = Vec::with_capacity(count);
    prints.push(print(plan, opens_at, open, sizes[0], Side::Auction));
    let mut last = open;
    for (i, price) in prices.into_iter().enumerate() {
        let side = match price.cmp(&last) {
            std::cmp::Ordering::Greater => Side::Buy,
            std::cmp::Ordering::Less => Side::Sell,
            std::cmp::Ordering::Equal if rng.random::<bool>() => Side::Buy,
            std::cmp::Ordering::Equal => Side::Sell,
        };
        last = price;
        prints.push(print(plan, profile::at_ms(us[i]), price, sizes[i + 1], side));
    }
    prints.push(print(plan, closes_at, close, sizes[count - 1], Side::Auction));
    prints
}

fn print(plan: &Plan<'_>, at_ms: u32, price: Won, quantity: i64, side: Side) -> Print {
    let (ask, bid) = quotes_around(plan.day, plan.market, price, side != Side::Sell);
    // Prices come from 32-bit columns, so they and their neighbours fit.
    let [price, ask, bid] = [price, ask, bid.max(0)].map(|x| i32::try_from(x).unwrap_or(i32::MAX));
    Print { at_ms, issue: plan.issue, quantity, price, ask, bid, side }
}

/// Valid prices within the day's range.
struct Grid<'a> {
    plan: &'a Plan<'a>,
    lowest: Won,
    highest: Won,
}

impl<'a> Grid<'a> {
    fn new(plan: &'a Plan<'a>) -> Self {
        let floor = |price| rules::floor_to_tick(plan.day, plan.market, price);
        let low = plan.bar.low;
        let below = floor(low);
        let lowest =
            if below == low { low } else { below + rules::tick_size(plan.day, plan.market, below) };
        Self { plan, lowest, highest: floor(plan.bar.high) }
    }

    /// The valid price in the range that is nearest to `level`; where the range holds none, the
    /// nearer of open and close.
    fn nearest(&self, level: f64) -> Won {
        let price = level.round() as Won;
        if self.lowest > self.highest {
            let Bar { open, close, .. } = self.plan.bar;
            return if (price - open).abs() <= (price - close).abs() { open } else { close };
        }
        let below = rules::floor_to_tick(self.plan.day, self.plan.market, price);
        let tick = rules::tick_size(self.plan.day, self.plan.market, below);
        let nearest = if (price - below) * 2 >= tick { below + tick } else { below };
        nearest.clamp(self.lowest, self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn bars() -> impl Strategy<Value = (Bar, i64)> {
        let price = prop_oneof![1i64..3_000, 1_000i64..80_000, 50_000i64..1_500_000];
        (price, 0i64..=300, 0i64..=300, 0.0f64..=1.0, 0.0f64..=1.0, 1i64..3_000_000_000, 0u32..9)
            .prop_map(|(middle, up, down, a, b, volume, shrink)| {
                let high = middle + middle * up / 1_000;
                let low = (middle - middle * down / 1_000).max(1);
                let between = |part: f64| low + ((high - low) as f64 * part).round() as i64;
                let bar = Bar { open: between(a), high, low, close: between(b) };
                (bar, (volume >> (shrink * 4)).max(1))
            })
    }

    #[test]
    fn prints_needed_counts_the_distinct_duties() {
        let bar = |open, high, low, close| Bar { open, high, low, close }.prints_needed();
        assert_eq!(bar(10, 10, 10, 10), 1);
        assert_eq!(bar(10, 11, 10, 11), 2);
        assert_eq!(bar(10, 12, 10, 11), 3);
        assert_eq!(bar(10, 12, 9, 11), 4);
        // The same price at both ends of a day that went elsewhere: out and back.
        assert_eq!(bar(10, 12, 10, 10), 3);
        assert_eq!(bar(10, 10, 9, 10), 3);
        assert_eq!(bar(10, 12, 9, 10), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_rebuilt_day_meets_its_bar((bar, volume) in bars(), trades in 1usize..150, seed: u64, old: bool, fall in -0.1f64..0.1) {
            let day = SessionDay::from_yyyymmdd(if old { 20_200_319 } else { 20_240_805 }).unwrap();
            let course = Course { values: vec![0.0, fall * 1.3, fall] };
            let market = Market::Kosdaq;
            let plan = Plan { day, market, bar, volume, trades, course: &course, issue: 7 };
            let prints = rebuild(&plan, &mut ChaCha8Rng::seed_from_u64(seed));

            prop_assert_eq!(prints.iter().map(|p| p.quantity).sum::<i64>(), volume);
            prop_assert!(prints.iter().all(|p| p.quantity >= 1), "cumulative volume grows strictly");
            prop_assert!(prints.is_sorted_by_key(|p| p.at_ms));
            let prices: Vec<Won> = prints.iter().map(|p| p.price.into()).collect();
            prop_assert!(prices.iter().all(|p| (bar.low..=bar.high).contains(p)));
            for price in &prices {
                let given = [bar.open, bar.high, bar.low, bar.close].contains(price);
                prop_assert!(given || rules::floor_to_tick(day, market, *price) == *price, "{}", price);
            }
            prop_assert_eq!(*prices.last().unwrap(), bar.close);
            if volume >= bar.prints_needed() as i64 {
                prop_assert_eq!(prices[0], bar.open);
                prop_assert_eq!(*prices.iter().max().unwrap(), bar.high);
                prop_assert_eq!(*prices.iter().min().unwrap(), bar.low);
            }
            for p in &prints {
                prop_assert!(p.bid < p.ask && p.bid <= p.price && p.price <= p.ask);
            }
        }
    }

    #[test]
    fn issues_fall_with_the_market() {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        // A market that falls in the middle of the day only.
        let course = Course { values: vec![0.0, 0.0, -0.1, -0.1] };
        let bar = Bar { open: 50_000, high: 50_400, low: 44_800, close: 45_000 };
        let plan = Plan {
            day,
            market: Market::Kospi,
            bar,
            volume: 1_000_000,
            trades: 600,
            course: &course,
            issue: 0,
        };
        let prints = rebuild(&plan, &mut ChaCha8Rng::seed_from_u64(3));
        let mean = |from: f64, to: f64| {
            let inside = |p: &&Print| (from..to).contains(&profile::continuous_part(p.at_ms));
            let prices: Vec<f64> = prints.iter().filter(inside).map(|p| p.price.into()).collect();
            prices.iter().sum::<f64>() / prices.len() as f64
        };
        assert!(mean(0.0, 0.3) > 48_000.0, "{}", mean(0.0, 0.3));
        assert!(mean(0.7, 1.0) < 47_000.0, "{}", mean(0.7, 1.0));
    }
}
