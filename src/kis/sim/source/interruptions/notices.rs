//! When what the rules do is told, and the books of the auctions.

use std::collections::BTreeMap;

use super::END_MS;
use crate::kis::sim::book::mix;
use crate::kis::sim::day::{Day, Print};
use crate::kis::sim::interruption::{
    AuctionClass, Expected, Interruption, IssueHalt, MarketHalt, Notice, What,
};
use crate::market::{Side, rules};

/// Tells the begins and ends of interruptions and halts.
pub(super) fn tell_rules(
    interruptions: &[Interruption],
    halts: &[MarketHalt],
    issue_halts: &[IssueHalt],
    notices: &mut Vec<Notice>,
) {
    let mut tell = |at_ms, what| notices.push(Notice { at_ms, what });
    for (number, stopped) in interruptions.iter().enumerate() {
        tell(stopped.from_ms, What::ViBegins(number as u32));
        tell(stopped.until_ms, What::ViEnds(number as u32));
    }
    for halt in halts {
        let market = Some(halt.market);
        tell(halt.from_ms, What::Operation { code: 174, market });
        if halt.stage.closes() {
            tell(halt.until_ms, What::Closes(halt.market));
            continue;
        }
        for (at_ms, code) in [
            (halt.auction_ms, 175),
            (halt.auction_ms, 184),
            (halt.until_ms, 182),
            (halt.until_ms, 185),
        ] {
            tell(at_ms, What::Operation { code, market });
        }
    }
    for halt in issue_halts {
        tell(halt.from_ms, What::Halt { issue: halt.issue, halted: true });
        if let Some(until) = halt.until_ms {
            tell(until, What::Halt { issue: halt.issue, halted: false });
        }
    }
}

/// Tells the books of every auction, and that the closing one begins.
pub(super) fn tell_auctions(
    day: &Day,
    interruptions: &[Interruption],
    halts: &[MarketHalt],
    notices: &mut Vec<Notice>,
) {
    let stopped: BTreeMap<(u32, u32), u32> =
        interruptions.iter().map(|vi| ((vi.issue, vi.until_ms), vi.from_ms)).collect();
    let mut traded = vec![false; day.issues.len()];
    let mut closing = false;
    for print in &day.prints {
        let first = !std::mem::replace(&mut traded[print.issue as usize], true);
        if print.side != Side::Auction {
            continue;
        }
        let issue = &day.issues[print.issue as usize];
        let halt = halts.iter().find(|halt| {
            halt.market == issue.market && halt.until_ms == print.at_ms && !halt.stage.closes()
        });
        let (class, from, step) = if print.at_ms >= END_MS {
            closing = true;
            (AuctionClass::Closing, END_MS, 30_000)
        } else if let Some(halt) = halt {
            (AuctionClass::Session, halt.auction_ms, 30_000)
        } else if let Some(from) = stopped.get(&(print.issue, print.at_ms)) {
            (AuctionClass::Session, *from, 10_000)
        } else if first {
            (AuctionClass::Opening, print.at_ms - print.at_ms % 60_000, 60_000)
        } else {
            continue;
        };
        tell_books(day, print, (class, from, step), notices);
    }
    if closing {
        let what = What::Operation { code: 121, market: None };
        notices.push(Notice { at_ms: END_MS, what });
    }
}

/// Books that lead up to the auction print: the expected price wanders a few ticks around what it
/// will be, less and less, and the expected quantity grows to it.
fn tell_books(
    day: &Day,
    print: &Print,
    (class, from, step): (AuctionClass, u32, u32),
    notices: &mut Vec<Notice>,
) {
    let issue = &day.issues[print.issue as usize];
    let begin = from + 1 + (issue.salt % u64::from(step / 10)) as u32;
    let whole = i64::from(print.at_ms - from).max(1);
    let ticks = rules::tick_size(day.day, issue.market, print.price.into());
    let fair = rules::floor_to_tick(day.day, issue.market, print.price.into());
    for at_ms in (begin..print.at_ms).step_by(step as usize) {
        let passed = i64::from(at_ms - from);
        let noise = mix(issue.salt ^ u64::from(at_ms));
        let away = (noise % 7) as i64 - 3;
        let price = fair + away * (whole - passed) / whole * ticks;
        let price = rules::floor_to_tick(day.day, issue.market, price);
        let price = price.clamp(issue.limits.0, issue.limits.1);
        let part = i128::from(print.quantity) * i128::from(passed) / i128::from(whole);
        let quantity = i64::try_from(part).unwrap_or(print.quantity).max(1);
        let expected = Expected { at_ms, class, price, quantity };
        notices.push(Notice { at_ms, what: What::Book { issue: print.issue, expected } });
    }
}
