//! How a finding becomes a detection: rule, issue, cause, journal position and score are added.

use super::RiskEngine;
use crate::market::{EventTime, RecordRef, SymbolId, Trade};
use crate::risk::detectors::feed_stale::SilentIssue;
use crate::risk::detectors::{Finding, level};
use crate::risk::types::{Cause, Detection, Level, Rule, ScoreBatch};

/// Name of the market as a whole.
pub(super) const WHOLE_MARKET: &str = "시장 전체";
/// Name of the feed as a whole.
pub(super) const WHOLE_FEED: &str = "시세 피드";
/// Active issues from which on common silence is the feed's and not theirs.
const MANY_ACTIVE: usize = 10;

/// What of a detection the finding does not know.
pub(super) struct Context {
    pub rule: Rule,
    pub symbol: Option<SymbolId>,
    pub time: EventTime,
    pub cause: Cause,
    pub at: RecordRef,
    pub score: f64,
}

pub(super) fn trade_context(rule: Rule, trade: &Trade, at: RecordRef, score: f64) -> Context {
    let cause = Cause::Trade { cum_volume: trade.cum_volume };
    Context { rule, symbol: Some(trade.symbol), time: trade.time, cause, at, score }
}

impl RiskEngine {
    pub(super) fn check_rhythm(&mut self, trade: &Trade, at: RecordRef, out: &mut ScoreBatch) {
        let time = trade.time;
        let mut silent = std::mem::take(&mut self.silent);
        let active = self.rhythm.scan(&self.params.feed_stale, time.time_of_day(), &mut silent);
        if active >= MANY_ACTIVE && silent.len() * 2 > active {
            let longest = silent.iter().map(|issue| issue.silence_s).max().unwrap_or(0);
            let finding = Finding {
                level: Level::Warning,
                price: 0,
                reference_price: 0,
                change_pct: 0.0,
                window_s: longest,
                evidence: vec![
                    ("silence_s", f64::from(longest)),
                    ("silent_issues", silent.len() as f64),
                    ("active_issues", active as f64),
                ],
            };
            // Not the moment: silence of the whole feed that begins now will be known by that.
            let cause = Cause::Trade { cum_volume: trade.cum_volume };
            let context = Context { cause, ..self.market_context(Rule::FeedStale, time, time, at) };
            self.tell_as(context, WHOLE_FEED, finding, out);
        } else {
            for issue in &silent {
                self.tell_silent_issue(issue, time, at, out);
            }
        }
        self.silent = silent;
    }

    fn tell_silent_issue(
        &mut self,
        issue: &SilentIssue,
        time: EventTime,
        at: RecordRef,
        out: &mut ScoreBatch,
    ) {
        let state = &self.symbols[issue.index];
        let context = Context {
            rule: Rule::FeedStale,
            symbol: Some(SymbolId(issue.index as u32)),
            time,
            cause: Cause::Trade { cum_volume: state.cum_volume },
            at,
            score: state.point.map_or(0.0, |point| point.score),
        };
        let finding = Finding {
            level: level(issue.rung),
            price: state.last_price,
            reference_price: 0,
            change_pct: 0.0,
            window_s: issue.silence_s,
            evidence: vec![
                ("silence_s", f64::from(issue.silence_s)),
                ("usual_interval_s", issue.interval_s),
            ],
        };
        self.tell(context, finding, out);
    }

    pub(super) fn market_context(
        &self,
        rule: Rule,
        time: EventTime,
        moment: EventTime,
        at: RecordRef,
    ) -> Context {
        let cause = Cause::Moment { micros: moment.micros() };
        Context { rule, symbol: None, time, cause, at, score: self.market.mean_score() }
    }

    pub(super) fn tell(&self, context: Context, finding: Finding, out: &mut ScoreBatch) {
        let name = context.symbol.and_then(|symbol| self.references[symbol.index()].as_ref());
        let name = name.map_or("", |reference| reference.name.as_str());
        self.tell_as(context, name, finding, out);
    }

    pub(super) fn tell_as(
        &self,
        context: Context,
        name: &str,
        finding: Finding,
        out: &mut ScoreBatch,
    ) {
        out.detections.push(Detection {
            rule: context.rule,
            level: finding.level,
            symbol: context.symbol.map(|symbol| self.symbols[symbol.index()].code),
            name: name.to_owned(),
            price: finding.price,
            reference_price: finding.reference_price,
            change_pct: finding.change_pct,
            window_s: finding.window_s,
            score: context.score,
            time: context.time,
            cause: context.cause,
            at: context.at,
            evidence: finding.evidence,
        });
    }
}
