//! The defences: what each makes of a portfolio, and what it takes to get there.
//!
//! | action | what is simulated |
//! |---|---|
//! | `wait` | the portfolio as it is |
//! | `trim` | as much of each holding sold, in the same proportion, as brings the loss the budget is about down to it, cost included; simulated until it does |
//! | `stop` | each holding sold at the first close that lies `stop_deviations` daily deviations below the start |
//! | `trailing_stop` | the same below the highest close since |
//! | `hedge_inverse_etf` | an inverse fund of β times the value, by market; paid from cash, or by selling β/(1 + β) of the holdings where cash does not suffice |
//! | `rotate_low_risk` | everything sold, the proceeds in a short-term bond fund |
//! | `raise_cash` | everything sold |
//!
//! A stop acts at a **close**: between two closes nobody can sell at the level, and an opening below it
//! is the gap that a stop does not protect from. So a path that falls through the level by 8 % overnight
//! loses 8 %, and a stop looks as good as it is.
//!
//! **Costs** paid at once are lost in every path, those of a stop in the paths that meet it. An option
//! that cannot be carried out is kept with its reason. What cannot be sold for itself (halted, at its
//! limit) stays where the rest can be.

use super::costs::{TradingCosts, whole_won};
use super::korean::{grouped, won};
use super::mitigate::{PlanSettings, Simulator, Situation};
use super::positions::Held;
use super::risk_limit::RiskLimit;
use super::simulate::{Exit, Exposure, Instrument, Outcome, SimulateError};

/// An option before it is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Catalogue name.
    pub action: &'static str,
    /// What to do, Korean.
    pub description: String,
    /// What is held afterwards.
    pub exposures: Vec<Exposure>,
    /// What is paid at once, won.
    pub cost: f64,
    /// Value that no longer bears the risk, won; what the cost is compared with.
    pub relieved: f64,
    /// Why it cannot be done, Korean.
    pub infeasible: Option<String>,
}

/// Halvings of the share that is sold, where a proportional sale does not do: a hundredth is close
/// enough.
const HALVINGS: u32 = 7;

/// The options for a situation in which waiting comes to `waiting`; `wait` is the first.
///
/// # Errors
/// When `simulated` cannot be, or is cancelled.
pub(super) fn drafts(
    situation: &Situation<'_>,
    settings: &PlanSettings,
    costs: &TradingCosts,
    waiting: &Outcome,
    simulated: &Simulator<'_>,
) -> Result<Vec<Draft>, SimulateError> {
    let book = Book { situation, settings, costs };
    Ok(vec![
        book.wait(),
        book.trim(waiting, simulated)?,
        book.exit(false),
        book.exit(true),
        book.hedge(),
        book.rotate(),
        book.raise_cash(),
    ])
}

/// What all options look at.
struct Book<'a> {
    situation: &'a Situation<'a>,
    settings: &'a PlanSettings,
    costs: &'a TradingCosts,
}

/// A sale of part of every holding.
struct Sale {
    /// What is left of each holding, and the cash.
    exposures: Vec<Exposure>,
    proceeds: f64,
    cost: f64,
    shares: i64,
}

impl Book<'_> {
    fn held(&self) -> &[Held] {
        &self.situation.held
    }

    fn invested(&self) -> f64 {
        self.held().iter().map(|held| held.value).sum()
    }

    fn unchanged(&self) -> Vec<Exposure> {
        let held = self.held().iter().map(|held| held.exposure(held.value));
        held.chain(std::iter::once(Exposure::cash(self.situation.cash.max(0.0)))).collect()
    }

    fn infeasible(&self, action: &'static str, what: &str, why: impl Into<String>) -> Draft {
        Draft {
            action,
            description: what.to_owned(),
            exposures: self.unchanged(),
            cost: 0.0,
            relieved: 0.0,
            infeasible: Some(why.into()),
        }
    }

    /// Why nothing at all can be sold.
    fn blocked(&self) -> Option<String> {
        let whys = self.held().iter().map(|held| held.blocked.clone());
        let all: Option<Vec<String>> = whys.collect();
        all.map(|whys| match whys.first() {
            Some(why) => why.clone(),
            None => "보유 종목이 없습니다".to_owned(),
        })
    }

    /// Sells `share` of each holding that can be sold; whole shares, not fewer.
    fn sell(&self, share: f64) -> Sale {
        let (mut exposures, mut proceeds, mut cost, mut shares) = (Vec::new(), 0.0, 0.0, 0);
        for held in self.held() {
            let sold = held.sellable(share * held.value);
            exposures.push(held.exposure((held.value - sold).max(0.0)));
            proceeds += sold;
            cost += sold * held.sale_cost(sold, self.costs, self.situation.world);
            if held.price > 0 {
                shares += sold as i64 / held.price;
            }
        }
        exposures.push(Exposure::cash(self.situation.cash.max(0.0) + proceeds));
        Sale { exposures, proceeds, cost, shares }
    }

    /// What a sale is called: shares of one issue, an amount of several.
    fn sale_text(&self, sale: &Sale) -> String {
        match self.held() {
            [held] if held.price > 0 => {
                format!("{}주를 {}에 매도", grouped(sale.shares), won(held.price))
            }
            _ => format!("전 종목을 비례하여 {} 매도", won(whole_won(sale.proceeds))),
        }
    }

    /// What cannot be sold, where something can.
    fn left_over(&self) -> String {
        let count = self.held().iter().filter(|held| held.blocked.is_some()).count();
        if count == 0 {
            String::new()
        } else {
            format!(" 매도할 수 없는 {count}종목은 남습니다.")
        }
    }

    fn wait(&self) -> Draft {
        let horizon = self.situation.simulation.horizon;
        Draft {
            action: "wait",
            description: format!("매매하지 않고 {horizon}거래일 동안 지켜봅니다."),
            exposures: self.unchanged(),
            cost: 0.0,
            relieved: 0.0,
            infeasible: None,
        }
    }

    fn trim(&self, waiting: &Outcome, simulated: &Simulator<'_>) -> Result<Draft, SimulateError> {
        const WHAT: &str = "위험 예산에 맞춰 일부를 매도합니다.";
        let cannot = |why: String| Ok(self.infeasible("trim", WHAT, why));
        if let Some(why) = self.blocked() {
            return cannot(why);
        }
        let RiskLimit { measure, won: budget } = self.situation.budget;
        let (risk, name) = (measure.of(waiting), measure.text());
        if risk <= budget {
            return cannot(format!(
                "현재 {name} {}이 이미 위험 예산 {} 이내입니다",
                won(whole_won(risk)),
                won(whole_won(budget))
            ));
        }
        let Some(share) = self.share_to_sell(risk, simulated)? else {
            return cannot(format!(
                "팔 수 있는 종목을 모두 팔아도 {name}이 위험 예산 {}을 넘습니다",
                won(whole_won(budget))
            ));
        };
        let sale = self.sell(share);
        if sale.proceeds >= self.invested() {
            return cannot("전량 매도와 같아 일부만 줄여서는 예산에 맞출 수 없습니다".to_owned());
        }
        Ok(Draft {
            action: "trim",
            description: format!(
                "{}하여 {}거래일 {name}을 예산 {} 안으로 낮춥니다.{}",
                self.sale_text(&sale),
                self.situation.simulation.horizon,
                won(whole_won(budget)),
                self.left_over()
            ),
            exposures: sale.exposures,
            cost: sale.cost,
            relieved: sale.proceeds,
            infeasible: None,
        })
    }

    /// The share of each holding whose sale brings `risk` within the budget; `None` where even the sale
    /// of all that can be sold does not.
    fn share_to_sell(
        &self,
        risk: f64,
        simulated: &Simulator<'_>,
    ) -> Result<Option<f64>, SimulateError> {
        let RiskLimit { measure, won: budget } = self.situation.budget;
        let enough = |share: f64| -> Result<bool, SimulateError> {
            let Sale { exposures, cost, .. } = self.sell(share);
            Ok(measure.of(&simulated(&exposures, cost)?) <= budget)
        };
        // Risk grows in proportion to what is held; the cost of the sale comes on top.
        let mut share = 1.0 - budget / risk;
        for _ in 0..4 {
            share = (1.0 - (budget - self.sell(share).cost).max(0.0) / risk).clamp(0.0, 1.0);
        }
        if enough(share)? {
            return Ok(Some(share));
        }
        // What cannot be sold, or moves apart from the rest, leaves more.
        if !enough(1.0)? {
            return Ok(None);
        }
        let (mut little, mut much) = (share, 1.0);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(little, much);
            if enough(middle)? {
                much = middle;
            } else {
                little = middle;
            }
        }
        Ok(Some(much))
    }

    fn exit(&self, trailing: bool) -> Draft {
        let action = if trailing { "trailing_stop" } else { "stop" };
        let what = if trailing {
            "고점을 따라 올라가는 손절 기준을 둡니다."
        } else {
            "변동성 거리에 손절 기준을 둡니다."
        };
        if let Some(why) = self.blocked() {
            return self.infeasible(action, what, why);
        }
        let world = self.situation.world;
        let mut exposures = Vec::new();
        let mut widest = 0.0_f64;
        for held in self.held() {
            let distance = self.settings.stop_deviations * held.deviation(world);
            let mut exposure = held.exposure(held.value);
            if held.blocked.is_none() {
                if !(distance > 0.0 && distance < 1.0) {
                    let why = format!("손절 폭 {:.1}%를 둘 수 없습니다", 100.0 * distance);
                    return self.infeasible(action, what, why);
                }
                let cost = held.sale_cost(held.value, self.costs, world);
                exposure.exit = Some(Exit { distance, trailing, cost });
                widest = widest.max(distance);
            }
            exposures.push(exposure);
        }
        exposures.push(Exposure::cash(self.situation.cash.max(0.0)));
        let from = if trailing { "이후 최고 종가" } else { "현재가" };
        let level = match self.held() {
            [held] if held.price > 0 => {
                let level = held.price as f64 * (1.0 - widest);
                format!(
                    "종가가 {from} 대비 -{:.2}% (지금은 {}) 이하이면",
                    100.0 * widest,
                    won(whole_won(level))
                )
            }
            _ => format!(
                "종목마다 종가가 {from} 대비 일 변동성의 {:.1}배(최대 {:.2}%) 넘게 내리면",
                self.settings.stop_deviations,
                100.0 * widest
            ),
        };
        Draft {
            action,
            description: format!(
                "{level} 전량 매도합니다. 장외 시간의 급락은 막지 못합니다.{}",
                self.left_over()
            ),
            exposures,
            cost: 0.0,
            relieved: 0.0,
            infeasible: None,
        }
    }

    fn hedge(&self) -> Draft {
        const WHAT: &str = "인버스 ETF로 시장 위험을 상쇄합니다.";
        const ACTION: &str = "hedge_inverse_etf";
        if self.situation.market_halted {
            return self.infeasible(ACTION, WHAT, "시장 거래가 정지되어 있어 매수할 수 없습니다");
        }
        let world = self.situation.world;
        let mut betas = vec![0.0; world.factors.len()];
        for held in self.held() {
            let (factor, beta) = held.link(world);
            betas[factor] += beta * held.value;
        }
        let found = |factor: usize| {
            let market = world.factors[factor].market;
            self.settings.hedges.iter().find(|etf| etf.market == market)
        };
        let funds: Vec<_> = (0..betas.len())
            .filter(|&factor| betas[factor] > 0.0)
            .filter_map(|factor| Some((factor, found(factor)?)))
            .collect();
        let wanted: f64 = funds.iter().map(|(factor, _)| betas[*factor]).sum();
        if funds.is_empty() {
            let why = if betas.iter().any(|beta| *beta > 0.0) {
                "이 시장의 지수를 따르는 인버스 ETF가 등록되어 있지 않습니다".to_owned()
            } else {
                format!(
                    "시장과 같은 방향으로 움직이지 않습니다 (베타 {:.2})",
                    wanted / self.invested().max(1.0)
                )
            };
            return self.infeasible(ACTION, WHAT, why);
        }
        // From cash; else what is sold pays for the hedge of what is left.
        let cash = self.situation.cash.max(0.0);
        let sold = if cash >= wanted { 0.0 } else { (wanted - cash) / (self.invested() + wanted) };
        if sold > 0.0
            && let Some(why) = self.blocked()
        {
            return self.infeasible(ACTION, WHAT, format!("현금이 부족하고 {why}"));
        }
        let Sale { mut exposures, proceeds, mut cost, .. } = self.sell(sold);
        let left = 1.0 - proceeds / self.invested().max(1.0);
        let mut spent = 0.0;
        let mut names = Vec::new();
        for (factor, etf) in &funds {
            let amount = (betas[*factor] * left).min(cash + proceeds - spent);
            if amount < self.settings.smallest_order as f64 {
                continue;
            }
            let daily_fee = etf.annual_fee_pct / 100.0 / 250.0;
            let instrument = Instrument::Tracker { factor: *factor, multiple: -1.0, daily_fee };
            exposures.push(Exposure { instrument, value: amount, exit: None });
            cost += amount * self.costs.etf_round_trip_pct(etf.half_spread_pct) / 100.0;
            spent += amount;
            names.push(format!("{}({})을 {}", etf.name, etf.symbol, won(whole_won(amount))));
        }
        if names.is_empty() {
            let why = format!(
                "필요한 금액 {}이 최소 주문 {}보다 작습니다",
                won(whole_won(wanted * left)),
                won(self.settings.smallest_order)
            );
            return self.infeasible(ACTION, WHAT, why);
        }
        if let Some(money) = exposures.iter_mut().find(|one| is_cash(one)) {
            money.value = (money.value - spent).max(0.0);
        }
        let (of_cash, of_sale) = (won(whole_won(cash)), won(whole_won(proceeds)));
        let paid = match (proceeds > 0.0, spent > proceeds + 1.0) {
            (true, true) => format!("현금 {of_cash}과 보유분 {of_sale}을 매도한 돈으로 "),
            (true, false) => format!("보유분 {of_sale}을 매도한 돈으로 "),
            (false, _) => "현금으로 ".to_owned(),
        };
        Draft {
            action: ACTION,
            description: format!(
                "{paid}{} 매수합니다 (베타 {:.2}). 하루 수익률만 반대로 따르므로 오래 들고 있지 않습니다.",
                names.join(", "),
                wanted / self.invested().max(1.0)
            ),
            exposures,
            cost,
            relieved: spent,
            infeasible: None,
        }
    }

    fn rotate(&self) -> Draft {
        const WHAT: &str = "전량 매도하고 저위험 ETF로 옮깁니다.";
        if let Some(why) = self.blocked() {
            return self.infeasible("rotate_low_risk", WHAT, why);
        }
        let haven = &self.settings.haven;
        let Sale { mut exposures, proceeds, cost, .. } = self.sell(1.0);
        if let Some(money) = exposures.iter_mut().find(|one| is_cash(one)) {
            money.value = (money.value - proceeds).max(0.0);
        }
        let daily_return = haven.annual_return_pct / 100.0 / 250.0;
        let instrument = Instrument::Steady { daily_return };
        exposures.push(Exposure { instrument, value: proceeds, exit: None });
        let bought = proceeds * (self.costs.fee_pct + haven.half_spread_pct) / 100.0;
        Draft {
            action: "rotate_low_risk",
            description: format!(
                "{}하고 {}({})로 옮깁니다 (연 {:.1}% 가정).{}",
                self.sale_text(&self.sell(1.0)),
                haven.name,
                haven.symbol,
                haven.annual_return_pct,
                self.left_over()
            ),
            exposures,
            cost: cost + bought,
            relieved: proceeds,
            infeasible: None,
        }
    }

    fn raise_cash(&self) -> Draft {
        if let Some(why) = self.blocked() {
            return self.infeasible("raise_cash", "전량 매도하여 현금화합니다.", why);
        }
        let sale = self.sell(1.0);
        Draft {
            action: "raise_cash",
            description: format!("{}하여 현금화합니다.{}", self.sale_text(&sale), self.left_over()),
            exposures: sale.exposures,
            cost: sale.cost,
            relieved: sale.proceeds,
            infeasible: None,
        }
    }
}

/// The cash of a portfolio: what moves with nothing and earns nothing.
fn is_cash(exposure: &Exposure) -> bool {
    exposure.instrument == Instrument::Steady { daily_return: 0.0 }
}
