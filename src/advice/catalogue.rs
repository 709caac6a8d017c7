//! The defences: what each does to the risk of a position, and what it costs.
//!
//! **Risk** is the one-day value at risk at 95 %: `VaR = 1.645 · σ · V`, with the forecast
//! standard deviation σ of one day's return, the position's value V, and no drift. 1.645 is the
//! normal quantile; a Student t scaled to the same variance has a *smaller* 95 % quantile (1.51 at
//! four degrees of freedom), so at this level the normal one is the careful choice. It says
//! nothing about how bad the worst five days in a hundred are.
//!
//! **Cost** is what the action itself takes: see [`TradingCosts`]. An option that cannot be carried
//! out is kept with its reason, at unchanged risk and no cost.

use super::costs::{TradingCosts, whole_won};
use super::korean::{grouped, won};
use super::mitigate::PlanSettings;
use super::statistics::normal_cdf;
use crate::market::{Market, SessionDay, Won, rules};

/// The 95 % quantile of the standard normal distribution.
pub const NORMAL_95: f64 = 1.645;

/// Most of a position's variance that a market hedge is assumed to take away when nothing was
/// measured, as a correlation.
const ASSUMED_CORRELATION_CAP: f64 = 0.9;

/// How a position moves with its market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarketLink {
    /// Slope on the market's returns.
    pub beta: f64,
    /// Correlation with them.
    pub correlation: f64,
    /// Whether both were estimated from closes; otherwise beta is taken as 1 (less for an issue
    /// calmer than the market) and the correlation follows from the volatilities.
    pub measured: bool,
}

impl MarketLink {
    /// The assumption for a position of volatility `daily_volatility_pct` when nothing is measured.
    #[must_use]
    pub fn assumed(daily_volatility_pct: f64, market_volatility_pct: f64) -> Self {
        let correlation =
            (market_volatility_pct / daily_volatility_pct.max(1e-6)).min(ASSUMED_CORRELATION_CAP);
        let beta = (correlation * daily_volatility_pct / market_volatility_pct.max(1e-6)).min(1.0);
        Self { beta, correlation, measured: false }
    }
}

/// A position under threat, in the numbers the options need. All finite.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Value, won; positive.
    pub value: f64,
    /// Forecast standard deviation of one day's return, per cent; positive.
    pub daily_volatility_pct: f64,
    /// Relative spread, per cent; 0 when not known.
    pub spread_pct: f64,
    /// Average value traded a day, won.
    pub average_value: Option<f64>,
    /// Price and whole shares held, for one issue; `None` for a portfolio, which is divisible.
    pub shares: Option<(Won, i64)>,
    /// Market of the issue or of most of the portfolio.
    pub market: Market,
    /// How it moves with that market.
    pub link: MarketLink,
    /// Session day, for the tick of a stop price.
    pub day: SessionDay,
    /// Why nothing can be sold, Korean.
    pub blocked: Option<String>,
}

impl Exposure {
    /// One-day value at risk (95 %) of `value` won of it.
    #[must_use]
    pub fn value_at_risk(&self, value: f64) -> f64 {
        (NORMAL_95 * self.daily_volatility_pct / 100.0 * value).min(value)
    }

    /// Cost of selling `value` won of it.
    fn sale_cost(&self, value: f64, costs: &TradingCosts) -> f64 {
        let slippage = costs.slippage_pct(value, self.average_value, self.daily_volatility_pct);
        (value * costs.sale_pct(self.spread_pct, slippage) / 100.0).min(value)
    }
}

/// An option before it is ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Catalogue name.
    pub action: &'static str,
    /// What to do, Korean.
    pub description: String,
    /// Value at risk afterwards, won.
    pub risk_after: Won,
    /// What it costs, won.
    pub cost: Won,
    /// Why it cannot be done, Korean.
    pub infeasible: Option<String>,
}

/// All defences of the catalogue for `exposure`, in catalogue order; `wait` is the first.
#[must_use]
pub fn drafts(exposure: &Exposure, settings: &PlanSettings, costs: &TradingCosts) -> Vec<Draft> {
    vec![
        wait(exposure),
        trim(exposure, settings, costs),
        stop(exposure, settings, costs),
        hedge(exposure, settings, costs),
        rotate(exposure, settings, costs),
        raise_cash(exposure, costs),
    ]
}

fn before(exposure: &Exposure) -> Won {
    whole_won(exposure.value_at_risk(exposure.value))
}

fn infeasible(
    exposure: &Exposure,
    action: &'static str,
    description: &str,
    why: impl Into<String>,
) -> Draft {
    Draft {
        action,
        description: description.to_owned(),
        risk_after: before(exposure),
        cost: 0,
        infeasible: Some(why.into()),
    }
}

fn feasible(
    exposure: &Exposure,
    action: &'static str,
    description: String,
    after: f64,
    cost: f64,
) -> Draft {
    Draft {
        action,
        description,
        risk_after: whole_won(after).clamp(0, before(exposure)),
        cost: whole_won(cost).max(0),
        infeasible: None,
    }
}

fn wait(exposure: &Exposure) -> Draft {
    let risk = exposure.value_at_risk(exposure.value);
    let description = format!(
        "매매하지 않고 지켜봅니다. 1일 95% VaR {}이 그대로 남습니다.",
        won(whole_won(risk))
    );
    feasible(exposure, "wait", description, risk, 0.0)
}

/// Sell down to the risk budget.
fn trim(exposure: &Exposure, settings: &PlanSettings, costs: &TradingCosts) -> Draft {
    const WHAT: &str = "위험 예산에 맞춰 일부를 매도합니다.";
    if let Some(why) = &exposure.blocked {
        return infeasible(exposure, "trim", WHAT, why);
    }
    let budget = exposure.value * settings.risk_budget_pct / 100.0;
    let risk = exposure.value_at_risk(exposure.value);
    if risk <= budget {
        let why = format!(
            "현재 VaR {}이 이미 위험 예산 {} 이내입니다",
            won(whole_won(risk)),
            won(whole_won(budget))
        );
        return infeasible(exposure, "trim", WHAT, why);
    }
    let target = exposure.value * (1.0 - budget / risk);
    let (sold, what) = match exposure.shares {
        None => (target, format!("전 종목을 비례하여 {} 매도", won(whole_won(target)))),
        Some((price, held)) => {
            let shares = ((target / price as f64).ceil() as i64).min(held);
            if shares >= held {
                let why = format!("보유 {held}주로는 일부만 줄일 수 없습니다 (전량 매도와 같음)");
                return infeasible(exposure, "trim", WHAT, why);
            }
            (shares as f64 * price as f64, format!("{}주를 {}에 매도", grouped(shares), won(price)))
        }
    };
    let after = exposure.value_at_risk(exposure.value - sold);
    let description = format!(
        "{what}하여 1일 95% VaR을 보유금액의 {:.1}% 예산 이내로 낮춥니다.",
        settings.risk_budget_pct
    );
    feasible(exposure, "trim", description, after, exposure.sale_cost(sold, costs))
}

/// A stop at a volatility distance. The loss at the 95 % level becomes the distance, a quarter of a
/// standard deviation for jumping over it, and the sale's cost. The cost is the sale's cost times
/// the chance that the stop is touched within the day, `2 Φ(−distance / σ)` (reflection principle
/// of a driftless Brownian motion).
fn stop(exposure: &Exposure, settings: &PlanSettings, costs: &TradingCosts) -> Draft {
    const WHAT: &str = "변동성 거리에 손절 기준을 둡니다.";
    if let Some(why) = &exposure.blocked {
        return infeasible(exposure, "stop", WHAT, why);
    }
    let volatility = exposure.daily_volatility_pct;
    let wanted = settings.stop_deviations * volatility;
    let (distance, at) = match exposure.shares {
        None => (wanted, format!("보유금액이 {wanted:.2}% 줄면 전량 매도")),
        Some((price, _)) => {
            let level = price as f64 * (1.0 - wanted / 100.0);
            let level = rules::floor_to_tick(exposure.day, exposure.market, whole_won(level));
            if level <= 0 {
                return infeasible(exposure, "stop", WHAT, "손절 가격을 정할 수 없습니다");
            }
            let distance = (price - level) as f64 / price as f64 * 100.0;
            (distance, format!("{}(현재가 대비 -{distance:.2}%)에 닿으면 전량 매도", won(level)))
        }
    };
    let sale = exposure.sale_cost(exposure.value, costs);
    let loss = exposure.value * (distance + 0.25 * volatility) / 100.0 + sale;
    let touched = (2.0 * normal_cdf(-distance / volatility)).min(1.0);
    let risk = exposure.value_at_risk(exposure.value);
    if loss >= risk {
        let why = "손절 폭과 비용이 현재 VaR보다 커서 위험이 줄지 않습니다";
        return infeasible(exposure, "stop", WHAT, why);
    }
    let description = format!(
        "{at}합니다. 하루 안에 닿을 확률은 약 {:.0}%이며, 장외 시간의 급락은 막지 못합니다.",
        touched * 100.0
    );
    feasible(exposure, "stop", description, loss, sale * touched)
}

/// An inverse ETF worth `β · V`. What remains is the part that does not move with the market:
/// `σ · √(1 − ρ²)`, the minimum of the hedged variance.
fn hedge(exposure: &Exposure, settings: &PlanSettings, costs: &TradingCosts) -> Draft {
    const WHAT: &str = "인버스 ETF로 시장 위험을 상쇄합니다.";
    const ACTION: &str = "hedge_inverse_etf";
    let Some(etf) = settings.hedges.iter().find(|etf| etf.market == exposure.market) else {
        let why = "이 시장의 지수를 따르는 인버스 ETF가 등록되어 있지 않습니다";
        return infeasible(exposure, ACTION, WHAT, why);
    };
    let link = exposure.link;
    if link.beta <= 0.0 || link.correlation <= 0.0 {
        let why = format!("시장과 같은 방향으로 움직이지 않습니다 (베타 {:.2})", link.beta);
        return infeasible(exposure, ACTION, WHAT, why);
    }
    let amount = link.beta * exposure.value;
    if amount < settings.smallest_order as f64 {
        let why = format!(
            "필요한 금액 {}이 최소 주문 {}보다 작습니다",
            won(whole_won(amount)),
            won(settings.smallest_order)
        );
        return infeasible(exposure, ACTION, WHAT, why);
    }
    let residual = (1.0 - link.correlation * link.correlation).max(0.0).sqrt();
    let after = exposure.value_at_risk(exposure.value) * residual;
    let cost = amount * costs.etf_round_trip_pct(etf.half_spread_pct) / 100.0;
    let basis = if link.measured { "일봉 추정" } else { "가정" };
    let description = format!(
        "{}({})을 {} 매수합니다 (베타 {:.2} {basis}). 별도 현금이 필요하고, 하루 수익률만 반대로 따르므로 오래 들고 있지 않습니다.",
        etf.name,
        etf.symbol,
        won(whole_won(amount)),
        link.beta
    );
    feasible(exposure, ACTION, description, after, cost)
}

/// Sell all, put the proceeds into something calm.
fn rotate(exposure: &Exposure, settings: &PlanSettings, costs: &TradingCosts) -> Draft {
    const WHAT: &str = "전량 매도하고 저위험 ETF로 옮깁니다.";
    if let Some(why) = &exposure.blocked {
        return infeasible(exposure, "rotate_low_risk", WHAT, why);
    }
    let haven = &settings.haven;
    if haven.daily_volatility_pct >= exposure.daily_volatility_pct {
        let why = format!(
            "{}의 변동성 {:.2}%가 보유분 {:.2}%보다 낮지 않습니다",
            haven.name, haven.daily_volatility_pct, exposure.daily_volatility_pct
        );
        return infeasible(exposure, "rotate_low_risk", WHAT, why);
    }
    let purchase = exposure.value * (costs.fee_pct + haven.half_spread_pct) / 100.0;
    let after = NORMAL_95 * haven.daily_volatility_pct / 100.0 * exposure.value;
    let description = format!(
        "전량 매도하고 {}({})로 옮깁니다 (일 변동성 {:.2}% 가정).",
        haven.name, haven.symbol, haven.daily_volatility_pct
    );
    let cost = exposure.sale_cost(exposure.value, costs) + purchase;
    feasible(exposure, "rotate_low_risk", description, after, cost)
}

fn raise_cash(exposure: &Exposure, costs: &TradingCosts) -> Draft {
    if let Some(why) = &exposure.blocked {
        return infeasible(exposure, "raise_cash", "전량 매도하여 현금화합니다.", why);
    }
    let description = match exposure.shares {
        Some((price, held)) => {
            format!("{}주 전량을 {}에 매도하여 현금화합니다.", grouped(held), won(price))
        }
        None => format!("전 종목 {}을 매도하여 현금화합니다.", won(whole_won(exposure.value))),
    };
    feasible(exposure, "raise_cash", description, 0.0, exposure.sale_cost(exposure.value, costs))
}
