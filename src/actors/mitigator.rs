//! Mitigator: a crash into ranked defences.
//!
//! For each crash of level warning or critical, computes what can be done about the position in the
//! issue (a crash of the market: about all that is held) and what each option would cost and change.
//! The position is the one that is told ([`Holdings`]); where none is told it plans for an assumed one
//! of stated size, and says so. Each option is simulated ([`crate::advice::alarm`]): milliseconds, on a
//! thread that the hot path does not wait for.
//!
//! **Gets** [`CrashNotice`] from Alert. **Sends** the plan outward, to the Recorder and, with the
//! crash, to the LlmSummarizer. **Slow:** notices of one subject are conflated.

use std::sync::Arc;

use super::outlet::AdviceOutlet;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::advice::PlanSettings;
use crate::advice::alarm::{Alarm, LivePosition, respond};
use crate::advice::holdings::{Holdings, portfolio_name};
use crate::advice::live_world::LiveIssue;
use crate::advice::mitigate::Severity;
use crate::advice::simulate::{Control, SimulateError};
use crate::llm::ReportRequest;
use crate::market::{Market, Reference, Symbol, Won};
use crate::messages::advice::MitigationPlan;
use crate::messages::advice_request::CrashNotice;
use crate::messages::{Reject, RiskBoard, RiskRow, StoreBatch};

impl Envelope for CrashNotice {
    fn records(&self) -> usize {
        1
    }

    fn poison(&self, _: usize, stage: &'static str, why: &str) -> Reject {
        let (source, payload) = ("alert".to_owned(), self.event.json.to_string());
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: None }
    }
}

/// What the Mitigator is made of.
#[derive(Clone)]
pub struct MitigatorParts {
    /// Latest scores, names and history.
    pub board: RiskBoard,
    /// What plans assume and aim at.
    pub settings: PlanSettings,
    /// What is held, or assumed.
    pub holdings: Holdings,
    /// Where the plans go.
    pub outlet: AdviceOutlet,
    /// To the LlmSummarizer.
    pub summarizer: Edge<Arc<ReportRequest>>,
}

/// The actor's state.
pub struct Mitigator {
    parts: MitigatorParts,
    ready: Vec<(Arc<CrashNotice>, Arc<MitigationPlan>)>,
}

impl Mitigator {
    /// A Mitigator over `parts`.
    #[must_use]
    pub fn new(parts: MitigatorParts) -> Self {
        Self { parts, ready: Vec::new() }
    }

    /// What is known of an issue that is held: its reference data and its row.
    fn known(&self, symbol: Symbol) -> Option<(Arc<Reference>, Option<RiskRow>)> {
        let board = &self.parts.board;
        let id = board.directory.find(symbol)?;
        Some((board.directory.reference(id), board.get(id)))
    }

    fn plan(&self, notice: &CrashNotice, cursor: &Cursor) -> Result<MitigationPlan, SimulateError> {
        let (board, holdings) = (&self.parts.board, &self.parts.holdings);
        let told: Vec<Symbol> = match notice.symbol {
            Some(symbol) => vec![symbol],
            None => holdings.symbols().collect(),
        };
        let known: Vec<_> = told.iter().filter_map(|symbol| self.known(*symbol)).collect();
        let price = |row: &Option<RiskRow>| match notice.symbol {
            Some(_) => notice.price,
            None => row.map_or(0, |row| row.point.price),
        };
        let sized = known.iter().map(|(reference, row)| {
            let price = price(row);
            (reference, row, price, holdings.position(reference.symbol, price))
        });
        // Shares without a price have no value yet.
        let sized: Vec<_> = sized.filter(|(.., position)| position.value > 0).collect();
        let is_sized =
            |symbol: &&Symbol| sized.iter().any(|(reference, ..)| reference.symbol == **symbol);
        let left_out: Vec<Symbol> =
            told.iter().filter(|symbol| !is_sized(symbol)).copied().collect();
        if !left_out.is_empty() && notice.symbol.is_none() {
            tracing::warn!(?left_out, "held, but no price is known: left out of the plan");
        }
        let market = market_of(notice, sized.first().map(|(reference, ..)| reference.market));
        let held: Vec<LivePosition<'_>> = sized
            .iter()
            .map(|(reference, row, price, position)| LivePosition {
                issue: LiveIssue {
                    reference,
                    price: *price,
                    daily_volatility_pct: row.map_or(0.0, |row| row.daily_volatility_pct),
                    shortfall_pct: row.map_or(0.0, |row| row.point.parts.volatility),
                    spread_pct: row.map_or(0.0, |row| row.spread_pct),
                    halted: row.is_some_and(|row| row.halted)
                        || board.stands_still(reference.market),
                },
                value: position.value,
            })
            .collect();
        let assumed = sized.iter().all(|(.., position)| position.assumed);
        let worth = held.iter().fold(0, |sum: Won, one| sum.saturating_add(one.value));
        let (subject, name) = match (&sized[..], notice.symbol) {
            ([(reference, ..)], Some(_)) => (reference.symbol.as_str(), reference.name.clone()),
            ([], _) => ("portfolio", notice.name.clone()),
            _ => ("portfolio", portfolio_name(&left_out)),
        };
        let alarm = Alarm {
            event_id: notice.event_id.clone(),
            severity: Severity::from(notice.level),
            subject: subject.to_owned(),
            name,
            as_of: notice.time,
            held,
            market,
            value: holdings.assumed_value(),
            // Cash belongs to the whole; what is done about one issue is paid from that issue.
            cash: if notice.symbol.is_none() && !assumed { holdings.cash(worth) } else { 0 },
            assumed,
            market_halted: board.stands_still(market),
        };
        let watched = board.directory.all();
        // Each block of paths is a sign of life.
        let control = Control { cancelled: &|| false, progress: &|_, _| cursor.beat() };
        respond(&alarm, &watched, board.model().as_deref(), &self.parts.settings, &control)
    }
}

/// The market an alarm is about: that of the issue, or the one that its name tells.
fn market_of(notice: &CrashNotice, of_issue: Option<Market>) -> Market {
    match (notice.symbol, of_issue) {
        (Some(_), Some(market)) => market,
        _ if notice.name.contains("코스닥") || notice.name.contains("KOSDAQ") => Market::Kosdaq,
        _ => Market::Kospi,
    }
}

impl Stage for Mitigator {
    type In = CrashNotice;
    type Snapshot = ();
    const NAME: &'static str = "mitigator";

    fn handle(&mut self, notice: &Arc<CrashNotice>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            match self.plan(notice, cursor) {
                Ok(plan) => self.ready.push((Arc::clone(notice), Arc::new(plan))),
                Err(error) => {
                    tracing::error!(event = notice.event_id, %error, "no defence plan");
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for (notice, plan) in std::mem::take(&mut self.ready) {
            self.parts.outlet.publish(plan.event()).await;
            self.parts.outlet.board.add_mitigation(Arc::clone(&plan));
            self.parts.outlet.store(StoreBatch::Mitigation(Arc::clone(&plan))).await?;
            let request = super::llm_summarizer::crash_report(&notice, &plan);
            self.parts.summarizer.send(Arc::new(request)).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.ready.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}

#[cfg(test)]
mod tests {
    use super::super::supervision::{Inbox, Policy};
    use super::*;
    use crate::advice::scenario::Scenario;
    use crate::bus::Publisher;
    use crate::market::{Directory, EventTime};
    use crate::messages::{
        AdviceBoard, BusLimits, EventBus, EventKind, Level, OutwardEvent, RiskPoint, ScoreParts,
    };

    fn time() -> EventTime {
        EventTime::from_micros(1_722_816_021_000_000)
    }

    /// Two issues of KOSPI at 70,000 and 50,000 won, one of KOSDAQ at 10,000; none halted.
    fn board() -> RiskBoard {
        let board = RiskBoard::new(Directory::new());
        let issues = [
            ("005930", Market::Kospi, 70_000),
            ("000660", Market::Kospi, 50_000),
            ("247540", Market::Kosdaq, 10_000),
        ];
        for (code, market, price) in issues {
            let code: Symbol = code.parse().unwrap();
            let named =
                Reference { name: format!("종목{code}"), market, ..Reference::bare(code) };
            let symbol = board.directory.update(named);
            board.update([row(symbol, code, price, false)]);
        }
        board
    }

    fn row(symbol: crate::market::SymbolId, code: Symbol, price: Won, halted: bool) -> RiskRow {
        let point = RiskPoint {
            symbol,
            code,
            time: time(),
            price,
            score: 80.0,
            parts: ScoreParts::default(),
            change_pct: -9.0,
            over_gap: false,
            cum_volume: 1,
            model: None,
            at: Default::default(),
        };
        RiskRow {
            point,
            high: price,
            low: price,
            daily_volatility_pct: 3.0,
            rest_of_day_var_pct: 4.0,
            spread_pct: 0.1,
            cum_value: 1_000_000,
            halted,
        }
    }

    fn plan(board: &RiskBoard, holdings: &str, symbol: Option<&str>, name: &str) -> MitigationPlan {
        let bus = EventBus::new(BusLimits::default());
        let outlet = AdviceOutlet {
            publisher: Publisher::new(bus, None),
            board: AdviceBoard::default(),
            recorder: None,
        };
        let holdings = if holdings.is_empty() {
            Holdings::assumed(5_000_000)
        } else {
            Holdings::of(&Scenario::parse(holdings).unwrap(), 5_000_000)
        };
        let parts = MitigatorParts {
            board: board.clone(),
            settings: PlanSettings::default(),
            holdings,
            outlet,
            summarizer: Inbox::new("summarizer", 8, Policy::Block).edge("test"),
        };
        let symbol: Option<Symbol> = symbol.map(|code| code.parse().unwrap());
        let price = symbol.and_then(|code| board.get(board.directory.find(code)?));
        let data = serde_json::json!({"rule": "symbol_crash"});
        let kind = EventKind::Crash;
        let event = OutwardEvent::new(kind, "e1".into(), "005930", "005930", time(), &data);
        let notice = CrashNotice {
            event_id: "e1".into(),
            level: Level::Critical,
            symbol,
            name: name.to_owned(),
            price: price.map_or(245_000, |row| row.point.price),
            change_pct: -9.0,
            score: 80.0,
            time: time(),
            event: Arc::new(event),
        };
        Mitigator::new(parts).plan(&notice, &Cursor::default()).unwrap()
    }

    const HELD: &str = "capital: 3000000\nholdings: [{symbol: \"005930\", quantity: 10}, {symbol: \"247540\", quantity: 100}]";

    fn option<'a>(plan: &'a MitigationPlan, action: &str) -> &'a crate::advice::types::PlanOption {
        plan.options.iter().find(|option| option.action == action).unwrap()
    }

    #[test]
    fn a_crash_of_what_is_held_is_answered_for_what_is_held() {
        let board = board();
        let told = plan(&board, HELD, Some("005930"), "종목005930");
        assert_eq!((told.position_value, told.assumed_position), (700_000, false));
        assert_eq!((told.subject.as_str(), told.name.as_str()), ("005930", "종목005930"));
        let other = plan(&board, HELD, Some("000660"), "종목000660");
        assert_eq!((other.position_value, other.assumed_position), (5_000_000, true));
        let untold = plan(&board, "", Some("005930"), "종목005930");
        // Whole shares.
        assert_eq!((untold.position_value, untold.assumed_position), (4_970_000, true));
    }

    #[test]
    fn a_crash_of_the_market_is_answered_for_all_that_is_held() {
        let board = board();
        let told = plan(&board, HELD, None, "코스피");
        assert_eq!((told.subject.as_str(), told.name.as_str()), ("portfolio", "보유 종목"));
        assert_eq!((told.position_value, told.assumed_position), (1_700_000, false));
        assert!(option(&told, "hedge_inverse_etf").infeasible.is_none(), "{told:?}");
        let untold = plan(&board, "", None, "코스피");
        assert_eq!((untold.name.as_str(), untold.assumed_position), ("코스피", true));
        assert_eq!(untold.position_value, 5_000_000);
        // One that is not watched is left out, the others are defended.
        let some = HELD.replace("247540", "999999");
        let part = plan(&board, &some, None, "코스피");
        assert_eq!(part.position_value, 700_000);
        assert!(part.name.contains("999999 제외"), "{}", part.name);
    }

    #[test]
    fn what_stands_still_cannot_be_sold() {
        let board = board();
        let symbol: Symbol = "005930".parse().unwrap();
        let id = board.directory.find(symbol).unwrap();
        board.update([row(id, symbol, 70_000, true)]);
        let halted = plan(&board, HELD, Some("005930"), "종목005930");
        let why = |plan: &MitigationPlan, action| option(plan, action).infeasible.clone();
        assert!(why(&halted, "raise_cash").unwrap().contains("정지"), "{halted:?}");
        board.update([row(id, symbol, 70_000, false)]);
        board.set_standing_still([true, false]);
        let stopped = plan(&board, HELD, Some("005930"), "종목005930");
        assert!(why(&stopped, "raise_cash").unwrap().contains("정지"), "{stopped:?}");
        assert!(why(&stopped, "hedge_inverse_etf").is_some(), "nothing is traded on KOSPI");
        let elsewhere = plan(&board, HELD, Some("247540"), "종목247540");
        assert_eq!(why(&elsewhere, "raise_cash"), None, "KOSDAQ goes on");
    }
}
