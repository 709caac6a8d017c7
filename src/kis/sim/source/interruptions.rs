//! Makes an invented or rebuilt day obey the market rules: VI, circuit breaker, issue halts.
//!
//! Input is a day whose trades know no rule. Where the next trade of an issue would breach a VI
//! threshold, it and what follows wait: two minutes and a random end later it becomes the auction
//! print, and the others come right behind it, ten times as fast, until they have caught up. When
//! the index of a market has been below a circuit-breaker level for a minute, the whole market
//! waits half an hour in the same way and its index stands still. Prices, sizes and the order of
//! each issue's trades stay, so open, high, low, close and volume do too, and so does the closing
//! auction. All of it follows from the seed.
//!
//! What is approximate:
//!
//! - a price path that knew of the halt would be another one; here the old one is played later;
//! - KOSPI200 is taken to be the 200 largest KOSPI issues of the day;
//! - a VI that could not end before the closing auction, or that would run into a halt of the
//!   issue, is not held, nor does a VI prolong the closing auction;
//! - a VI that a circuit breaker overtakes ends with the market's auction;
//! - after stage 3 nothing trades: what remains of an issue's trades is merged into one closing
//!   print, so close and volume are met, but perhaps not high and low;
//! - trades that a scripted halt of an issue forbids are dropped;
//! - issues without limits today (their bar left them), days before 2015-06-15 and recordings have
//!   no VI.

mod notices;

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::kis::sim::book::mix;
use crate::kis::sim::day::{Day, IndexPrint, Issue, NO_LIMITS, Print, instant, ms};
use crate::kis::sim::interruption::{Interruption, IssueHalt, MarketHalt, Notice, Rules, What};
use crate::market::rules::breaker::{self, Breaker};
use crate::market::rules::vi::{self, ViClass, ViPhase, ViState};
use crate::market::{Market, Side, Won, rules};

/// Continuous trading ends here.
const END_MS: u32 = ms(rules::CLOSING_AUCTION);
/// What waited is played so many times as fast.
const CATCH_UP: u64 = 10;
/// Members of KOSPI200.
const LARGE: usize = 200;
/// An index that stands still is told so often.
const STILL_MS: u32 = 10_000;
/// After stage 3, the last prints come so long after the trigger.
const CLOSING_MS: u32 = 1_000;

/// Where the levels of the indices come from.
pub(super) enum Levels<'a> {
    /// They are given, and wait when their market does.
    Given,
    /// They follow from the trades: writes them anew.
    Computed(&'a dyn Fn(&mut Day)),
}

/// Makes `day` obey the rules. `day.rules.issue_halts` says which issues are halted.
pub(super) fn act_out(day: &mut Day, levels: &Levels<'_>, seed: u64) {
    let issue_halts = std::mem::take(&mut day.rules.issue_halts);
    let (trades, given) = (std::mem::take(&mut day.prints), day.index_prints.clone());
    let by_issue = by_issue(&trades, day.issues.len());
    let classes = classes(&day.issues);
    let mut halts: Vec<MarketHalt> = Vec::new();
    // Nothing before a halt depends on it, so each round finds the halts of the one before and at
    // most one more; two markets have six stages.
    let interruptions = loop {
        let interruptions = walk_all(day, &by_issue, &classes, &halts, &issue_halts);
        match levels {
            Levels::Given => day.index_prints = still(day, &given, &halts),
            Levels::Computed(write) => write(day),
        }
        match next_halt(day, &halts, seed) {
            Some(halt) => halts.push(halt),
            None => break interruptions,
        }
    };
    let mut notices = Vec::new();
    notices::tell_rules(&interruptions, &halts, &issue_halts, &mut notices);
    notices::tell_auctions(day, &interruptions, &halts, &mut notices);
    notices.sort_by_key(|notice| notice.at_ms);
    day.rules = Rules { interruptions, issue_halts, notices };
}

/// Tells when the index of a recording trips a circuit breaker; its trades are left as they are.
pub(super) fn announce(day: &mut Day) {
    let mut notices = Vec::new();
    for (market, trips) in trips(day) {
        let code = 174;
        notices.extend(trips.iter().map(|(_, at_ms)| Notice {
            at_ms: *at_ms,
            what: What::Operation { code, market: Some(market) },
        }));
    }
    notices.sort_by_key(|notice| notice.at_ms);
    day.rules.notices = notices;
}

fn by_issue(prints: &[Print], issues: usize) -> Vec<Vec<Print>> {
    let mut by_issue = vec![Vec::new(); issues];
    for print in prints {
        by_issue[print.issue as usize].push(*print);
    }
    by_issue
}

/// The VI class of each issue.
fn classes(issues: &[Issue]) -> Vec<ViClass> {
    // Without shares listed the value traded tells the large ones.
    let size = |issue: &Issue| {
        let shares =
            if issue.listed_shares > 0 { issue.listed_shares } else { issue.previous_volume };
        i128::from(issue.base_price) * i128::from(shares)
    };
    let mut kospi: Vec<usize> =
        (0..issues.len()).filter(|number| issues[*number].market == Market::Kospi).collect();
    kospi.sort_by_key(|number| std::cmp::Reverse(size(&issues[*number])));
    let mut classes = vec![ViClass::Other; issues.len()];
    for number in kospi.into_iter().take(LARGE) {
        classes[number] = ViClass::Kospi200;
    }
    classes
}

/// The stages that the index of each market, which is its first series, reaches and when.
fn trips(day: &Day) -> Vec<(Market, Vec<(breaker::Stage, u32)>)> {
    if !breaker::in_force(day.day) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let series = day.series.iter().enumerate();
    series
        .filter(|(_, series)| seen.insert(series.market as u8))
        .map(|(number, series)| {
            let mut breaker = Breaker::new(series.previous_close);
            let own = day.index_prints.iter().filter(|print| print.series == number as u32);
            let trips = own.filter_map(|print| {
                let stage = breaker.feed(instant(day.day, print.at_ms), print.level)?;
                Some((stage, print.at_ms))
            });
            (series.market, trips.collect())
        })
        .collect()
}

/// The first halt that is not among `known`.
fn next_halt(day: &Day, known: &[MarketHalt], seed: u64) -> Option<MarketHalt> {
    let trips = trips(day);
    let new = trips.iter().filter_map(|(market, trips)| {
        let done = known.iter().filter(|halt| halt.market == *market).count();
        trips.get(done).map(|(stage, at_ms)| (*at_ms, *market, *stage))
    });
    let (from_ms, market, stage) = new.min_by_key(|(at_ms, ..)| *at_ms)?;
    if stage.closes() {
        let until_ms = from_ms + CLOSING_MS;
        return Some(MarketHalt { market, stage, from_ms, auction_ms: until_ms, until_ms });
    }
    let auction_ms = from_ms + breaker::HALT_S * 1_000;
    let noise = mix(seed ^ (u64::from(stage.number()) << 32) ^ market as u64);
    let random_end = (noise % u64::from(vi::RANDOM_END_S * 1_000 + 1)) as u32;
    let until_ms = (auction_ms + breaker::AUCTION_S * 1_000 + random_end).min(END_MS - 1_000);
    Some(MarketHalt { market, stage, from_ms, auction_ms: auction_ms.min(until_ms), until_ms })
}

/// A stretch of waiting: what would happen after `from` comes at `until` or, faster, behind it.
#[derive(Debug, Clone, Copy)]
struct Wait {
    from: u32,
    until: u32,
}

impl Wait {
    /// When that happens which would happen at `at_ms`. Never goes backwards, leaves what is before
    /// `from` or not in continuous trading alone, and ends before the closing auction.
    fn shift(self, at_ms: u32) -> u32 {
        if at_ms <= self.from || at_ms >= END_MS {
            return at_ms;
        }
        let (gone, whole) = (u64::from(at_ms - self.from), u64::from(END_MS - self.from));
        let left = u64::from(END_MS.saturating_sub(self.until));
        let behind = if left * CATCH_UP >= whole { gone / CATCH_UP } else { gone * left / whole };
        at_ms.max(self.until + behind as u32).min(END_MS - 1)
    }
}

impl From<&MarketHalt> for Wait {
    fn from(halt: &MarketHalt) -> Self {
        Self { from: halt.from_ms, until: halt.until_ms }
    }
}

/// The given levels with the halts of their market: they wait, and the last one is repeated.
fn still(day: &Day, given: &[IndexPrint], halts: &[MarketHalt]) -> Vec<IndexPrint> {
    let mut prints = Vec::with_capacity(given.len());
    for (number, series) in day.series.iter().enumerate() {
        let number = number as u32;
        let mut own: Vec<IndexPrint> =
            given.iter().copied().filter(|print| print.series == number).collect();
        for halt in halts.iter().filter(|halt| halt.market == series.market) {
            let before = own.partition_point(|print| print.at_ms <= halt.from_ms);
            if halt.stage.closes() {
                let last = own.last().copied().filter(|_| own.len() > before);
                own.truncate(before);
                own.extend(last.map(|print| IndexPrint { at_ms: halt.until_ms, ..print }));
                continue;
            }
            for print in &mut own[before..] {
                print.at_ms = Wait::from(halt).shift(print.at_ms);
            }
            // The level that tripped the breaker was printed.
            let Some(level) = before.checked_sub(1).map(|at| own[at].level) else { continue };
            let times = (halt.from_ms..halt.until_ms).step_by(STILL_MS as usize).skip(1);
            let repeated = times.map(|at_ms| IndexPrint { at_ms, series: number, level });
            own.splice(before..before, repeated.collect::<Vec<_>>());
        }
        prints.extend(own);
    }
    prints.sort_by_key(|print| (print.at_ms, print.series));
    prints
}

/// Plays every issue through the rules, writes `day.prints` and gives the interruptions.
fn walk_all(
    day: &mut Day,
    by_issue: &[Vec<Print>],
    classes: &[ViClass],
    halts: &[MarketHalt],
    issue_halts: &[IssueHalt],
) -> Vec<Interruption> {
    let in_force = vi::in_force(day.day);
    let walked: Vec<Walked> = by_issue
        .par_iter()
        .enumerate()
        .map(|(number, prints)| {
            let issue = &day.issues[number];
            let state = ViState::new(day.day, issue.market, classes[number], issue.base_price);
            let watched = in_force && issue.limits != NO_LIMITS;
            let walk = Walk {
                number: number as u32,
                halts: halts.iter().filter(|halt| halt.market == issue.market).copied().collect(),
                own_halts: issue_halts.iter().filter(|h| h.issue == number as u32).collect(),
                vi: watched.then_some(state),
                rng: ChaCha8Rng::seed_from_u64(mix(issue.salt ^ 0x5649)),
                wait: None,
                resumed: 0,
                last_ms: 0,
                free_from: 0,
                done: Walked::default(),
            };
            walk.run(prints)
        })
        .collect();
    let mut interruptions: Vec<Interruption> = Vec::new();
    day.prints = Vec::with_capacity(walked.iter().map(|walked| walked.prints.len()).sum());
    for walked in walked {
        day.prints.extend(walked.prints);
        interruptions.extend(walked.interruptions);
    }
    // Stable, so what an issue trades in one millisecond keeps its order.
    day.prints.par_sort_by_key(|print| (print.at_ms, print.issue));
    interruptions.sort_by_key(|vi| (vi.from_ms, vi.issue));
    interruptions
}

/// What became of an issue's trades.
#[derive(Debug, Default)]
struct Walked {
    prints: Vec<Print>,
    interruptions: Vec<Interruption>,
}

/// Takes the trades of one issue through the rules.
struct Walk<'a> {
    number: u32,
    /// Of its market.
    halts: Vec<MarketHalt>,
    own_halts: Vec<&'a IssueHalt>,
    /// `None` for an issue without VI.
    vi: Option<ViState>,
    rng: ChaCha8Rng,
    /// Of the last interruption.
    wait: Option<Wait>,
    /// Halts of the market after which the issue has traded.
    resumed: usize,
    last_ms: u32,
    /// Nothing happens before this: an auction stands alone in its millisecond.
    free_from: u32,
    done: Walked,
}

impl Walk<'_> {
    fn run(mut self, prints: &[Print]) -> Walked {
        for (position, print) in prints.iter().enumerate() {
            let (market_ms, mut reopening) = self.market_time(print.at_ms);
            if market_ms >= END_MS && self.closed_at(market_ms).is_none() {
                self.put(print, market_ms, print.side);
                continue;
            }
            let mut at_ms = self.wait.map_or(market_ms, |wait| wait.shift(market_ms));
            if let Some(until) = self.closed_at(at_ms) {
                self.close(&prints[position..], until);
                break;
            }
            if let Some(halt) = self.halt_at(at_ms) {
                (at_ms, reopening) = (self.halts[halt].until_ms, Some(halt));
            }
            if let Some(halt) = reopening.filter(|halt| *halt >= self.resumed) {
                self.resumed = halt + 1;
                self.auction(print, self.halts[halt].until_ms);
                continue;
            }
            let at_ms = at_ms.max(self.free_from).min(END_MS - 1);
            if self.own_halts.iter().any(|halt| halt.covers(at_ms)) {
                continue;
            }
            if self.first_after_own_halt(at_ms) {
                self.auction(print, at_ms);
                continue;
            }
            match self.stops(print, market_ms, at_ms) {
                Some(Stop::Auction(until)) => self.auction(print, until),
                Some(Stop::Closed(until)) => {
                    self.close(&prints[position..], until);
                    break;
                }
                None => self.put(print, at_ms, print.side),
            }
        }
        self.done
    }

    /// The time of a trade when only the market's halts are looked at, and the halt that it waited
    /// for.
    fn market_time(&self, at_ms: u32) -> (u32, Option<usize>) {
        let (mut time, mut waited) = (at_ms, None);
        for (number, halt) in self.halts.iter().enumerate().filter(|(_, h)| !h.stage.closes()) {
            if time > halt.from_ms && time < halt.until_ms {
                waited = Some(number);
            }
            time = Wait::from(halt).shift(time);
        }
        (time, waited)
    }

    /// The halt during which `at_ms` lies.
    fn halt_at(&self, at_ms: u32) -> Option<usize> {
        self.halts.iter().position(|halt| halt.from_ms < at_ms && at_ms < halt.until_ms)
    }

    /// When the last print comes if the market has closed before `at_ms`.
    fn closed_at(&self, at_ms: u32) -> Option<u32> {
        let third = self.halts.iter().find(|halt| halt.stage.closes())?;
        (at_ms > third.from_ms).then_some(third.until_ms)
    }

    fn first_after_own_halt(&self, at_ms: u32) -> bool {
        let over = |halt: &&&IssueHalt| halt.until_ms.is_some_and(|until| until <= at_ms);
        let last = self.own_halts.iter().filter(over).filter_map(|halt| halt.until_ms).max();
        last.is_some_and(|until| self.last_ms < until)
    }

    /// Whether the trade begins an interruption, and what becomes of it then.
    fn stops(&mut self, print: &Print, market_ms: u32, at_ms: u32) -> Option<Stop> {
        let vi = self.vi.as_mut()?;
        let opens = self.done.prints.is_empty() && print.side == Side::Auction;
        let phase = if opens { ViPhase::Opening } else { ViPhase::Continuous };
        let price = Won::from(print.price);
        let Some(breach) = vi.breach(price, phase) else {
            vi.offer(price, phase);
            return None;
        };
        let random_end = self.rng.random_range(0..=vi::RANDOM_END_S * 1_000);
        let mut until_ms = at_ms + vi::AUCTION_S * 1_000 + random_end;
        let barred = |halt: &&IssueHalt| halt.from_ms <= until_ms && at_ms < halt.from_ms;
        if until_ms >= END_MS - 1_000 || self.own_halts.iter().any(barred) {
            vi.tolerate(price);
            return None;
        }
        vi.offer(price, phase);
        let overtakes = |halt: &MarketHalt| at_ms <= halt.from_ms && halt.from_ms < until_ms;
        let halt = self.halts.iter().position(overtakes);
        if let Some(halt) = halt {
            (until_ms, self.resumed) = (self.halts[halt].until_ms, halt + 1);
        }
        let count = self.done.interruptions.len() as u32 + 1;
        let issue = self.number;
        let stopped = Interruption { issue, count, breach, from_ms: at_ms, until_ms };
        self.done.interruptions.push(stopped);
        self.wait = Some(Wait { from: market_ms, until: until_ms });
        Some(match halt.filter(|halt| self.halts[*halt].stage.closes()) {
            Some(_) => Stop::Closed(until_ms),
            None => Stop::Auction(until_ms),
        })
    }

    /// The trade as an auction print that no VI stops.
    fn auction(&mut self, print: &Print, at_ms: u32) {
        if let Some(vi) = &mut self.vi {
            vi.auction(print.price.into());
        }
        let at_ms = at_ms.max(self.free_from);
        self.put(print, at_ms, Side::Auction);
        self.free_from = at_ms + 1;
    }

    fn put(&mut self, print: &Print, at_ms: u32, side: Side) {
        self.done.prints.push(Print { at_ms, side, ..*print });
        (self.last_ms, self.free_from) = (at_ms, self.free_from.max(at_ms));
    }

    /// One closing print of what remains.
    fn close(&mut self, rest: &[Print], at_ms: u32) {
        let Some(last) = rest.last() else { return };
        let quantity = rest.iter().map(|print| print.quantity).sum();
        self.put(&Print { quantity, ..*last }, at_ms, Side::Auction);
    }
}

/// What becomes of a trade that begins an interruption.
enum Stop {
    /// It is the auction print at this time.
    Auction(u32),
    /// The market closes meanwhile.
    Closed(u32),
}

#[cfg(test)]
mod tests;
