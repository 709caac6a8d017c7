//! What an account holds, can buy and has ordered.

use super::super::{KisError, Raw};
use super::{Answer, Fields};
use crate::market::{SessionDay, Symbol, TimeOfDay, Won};

/// One holding of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Issue.
    pub symbol: Symbol,
    /// Name.
    pub name: Option<String>,
    /// Kind of position, for example 현금 (cash).
    pub kind: Option<String>,
    /// Shares by trade date; 0 stays visible until settlement.
    pub quantity: i64,
    /// Shares that can be sold now.
    pub sellable: Option<i64>,
    /// Bought today, shares.
    pub bought_today: Option<i64>,
    /// Sold today, shares.
    pub sold_today: Option<i64>,
    /// Average cost of a share, ten-thousandths of a won.
    pub average_cost_ten_thousandths: Option<i64>,
    /// Cost, won.
    pub cost: Option<Won>,
    /// Last price, won.
    pub price: Option<Won>,
    /// Value at the last price, won.
    pub value: Option<Won>,
    /// Value less cost, won, signed.
    pub profit: Option<Won>,
    /// Loan date; `None` for cash.
    pub loan_day: Option<SessionDay>,
}

/// Money and sums of an account, won.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deposit {
    /// Deposit today (D+0).
    pub cash: Option<Won>,
    /// Deposit on the next day (D+1).
    pub cash_d1: Option<Won>,
    /// Deposit when all trades so far have settled (D+2).
    pub cash_d2: Option<Won>,
    /// Value of the securities.
    pub securities: Option<Won>,
    /// Securities and D+2 deposit.
    pub total: Option<Won>,
    /// Net assets.
    pub net_assets: Option<Won>,
    /// Cost of all holdings.
    pub cost: Option<Won>,
    /// Value of all holdings less their cost, signed.
    pub profit: Option<Won>,
    /// Total at the previous close.
    pub previous_total: Option<Won>,
}

/// An account (`inquire-balance`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Holdings in KIS's order.
    pub holdings: Vec<Holding>,
    /// Money and sums.
    pub deposit: Deposit,
}

impl Balance {
    /// Reads all pages of an answer to [`Endpoint::Balance`](super::super::Endpoint).
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of_pages(raws: &[Raw]) -> Result<Self, KisError> {
        let mut balance = Self { holdings: Vec::new(), deposit: Deposit::default() };
        for raw in raws {
            let answer = Answer::of(raw)?;
            for row in answer.rows("output1")? {
                if let Some(holding) = Holding::of(row)? {
                    balance.holdings.push(holding);
                }
            }
            // The sums are the whole account's on each page.
            balance.deposit = Deposit::of(answer.object("output2")?)?;
        }
        Ok(balance)
    }
}

impl Holding {
    fn of(row: Fields<'_>) -> Result<Option<Self>, KisError> {
        let (Some(symbol), Some(quantity)) = (row.symbol("pdno")?, row.integer("hldg_qty")?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            symbol,
            name: row.owned("prdt_name"),
            kind: row.owned("trad_dvsn_name"),
            quantity,
            sellable: row.integer("ord_psbl_qty")?,
            bought_today: row.integer("thdt_buyqty")?,
            sold_today: row.integer("thdt_sll_qty")?,
            average_cost_ten_thousandths: row.ten_thousandths("pchs_avg_pric")?,
            cost: row.integer("pchs_amt")?,
            price: row.positive("prpr")?,
            value: row.integer("evlu_amt")?,
            profit: row.integer("evlu_pfls_amt")?,
            loan_day: row.day("loan_dt")?,
        }))
    }
}

impl Deposit {
    fn of(row: Fields<'_>) -> Result<Self, KisError> {
        Ok(Self {
            cash: row.integer("dnca_tot_amt")?,
            cash_d1: row.integer("nxdy_excc_amt")?,
            cash_d2: row.integer("prvs_rcdl_excc_amt")?,
            securities: row.integer("scts_evlu_amt")?,
            total: row.integer("tot_evlu_amt")?,
            net_assets: row.integer("nass_amt")?,
            cost: row.integer("pchs_amt_smtl_amt")?,
            profit: row.integer("evlu_pfls_smtl_amt")?,
            previous_total: row.integer("bfdy_tot_asst_evlu_amt")?,
        })
    }
}

/// Side of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderSide {
    /// 매도.
    Sell,
    /// 매수.
    Buy,
}

impl OrderSide {
    fn of(code: Option<&str>) -> Option<Self> {
        match code {
            Some("01") => Some(Self::Sell),
            Some("02") => Some(Self::Buy),
            _ => None,
        }
    }
}

/// One order and what became of it (`inquire-daily-ccld`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Day of the order.
    pub day: SessionDay,
    /// Time of the order, Korean.
    pub time: Option<TimeOfDay>,
    /// Branch that numbered it.
    pub branch: Option<String>,
    /// Number, ten digits.
    pub number: String,
    /// Number of the order it amends or cancels.
    pub original: Option<String>,
    /// Issue.
    pub symbol: Symbol,
    /// Name.
    pub name: Option<String>,
    /// Side; `None` for a code that is not known.
    pub side: Option<OrderSide>,
    /// Order type, KIS's code (`00` limit, `01` market).
    pub kind: Option<String>,
    /// Shares ordered.
    pub quantity: Option<i64>,
    /// Price, won; `None` for a market order.
    pub price: Option<Won>,
    /// Shares filled.
    pub filled: Option<i64>,
    /// Filled amount, won.
    pub filled_amount: Option<Won>,
    /// Average price of the fills, ten-thousandths of a won; `None` before the first.
    pub average_price_ten_thousandths: Option<i64>,
    /// Shares cancelled.
    pub cancelled: Option<i64>,
    /// Shares still open.
    pub open: Option<i64>,
    /// Shares refused.
    pub rejected: Option<i64>,
    /// Exchange: `KRX`, `NXT` or `SOR`.
    pub exchange: Option<String>,
}

/// Sums over the orders asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderTotals {
    /// Shares ordered.
    pub quantity: i64,
    /// Shares filled.
    pub filled: i64,
    /// Filled amount, won.
    pub filled_amount: Won,
    /// Estimated costs, won.
    pub costs: Won,
}

/// Orders of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderHistory {
    /// Orders, newest first.
    pub orders: Vec<OrderRow>,
    /// Sums, where KIS gives them.
    pub totals: OrderTotals,
}

impl OrderHistory {
    /// Reads all pages of an answer to [`Endpoint::OrderHistory`](super::super::Endpoint) or
    /// [`Endpoint::OldOrderHistory`](super::super::Endpoint).
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of_pages(raws: &[Raw]) -> Result<Self, KisError> {
        let mut history = Self::default();
        for raw in raws {
            let answer = Answer::of(raw)?;
            for row in answer.rows("output1")? {
                if let Some(order) = OrderRow::of(row)? {
                    history.orders.push(order);
                }
            }
            // The sums are those of the whole query on each page.
            let sums = answer.object("output2")?;
            history.totals = OrderTotals {
                quantity: sums.integer("tot_ord_qty")?.unwrap_or(0),
                filled: sums.integer("tot_ccld_qty")?.unwrap_or(0),
                filled_amount: sums.integer("tot_ccld_amt")?.unwrap_or(0),
                costs: sums.integer("prsm_tlex_smtl")?.unwrap_or(0),
            };
        }
        Ok(history)
    }

    /// This history and that of an earlier time.
    #[must_use]
    pub fn and_earlier(mut self, earlier: Self) -> Self {
        self.orders.extend(earlier.orders);
        self.totals.quantity = self.totals.quantity.saturating_add(earlier.totals.quantity);
        self.totals.filled = self.totals.filled.saturating_add(earlier.totals.filled);
        self.totals.filled_amount =
            self.totals.filled_amount.saturating_add(earlier.totals.filled_amount);
        self.totals.costs = self.totals.costs.saturating_add(earlier.totals.costs);
        self
    }
}

impl OrderRow {
    fn of(row: Fields<'_>) -> Result<Option<Self>, KisError> {
        let (Some(day), Some(number), Some(symbol)) =
            (row.day("ord_dt")?, row.owned("odno"), row.symbol("pdno")?)
        else {
            return Ok(None);
        };
        // Two keys differ between the documents and the wire.
        let cancelled = match row.integer("cncl_cfrm_qty")? {
            None => row.integer("cnc_cfrm_qty")?,
            found => found,
        };
        Ok(Some(Self {
            day,
            time: row.time("ord_tmd")?,
            branch: row.owned("ord_gno_brno"),
            number,
            original: row.owned("orgn_odno"),
            symbol,
            name: row.owned("prdt_name"),
            side: OrderSide::of(row.text("sll_buy_dvsn_cd")),
            kind: row.owned("ord_dvsn_cd"),
            quantity: row.integer("ord_qty")?,
            price: row.positive("ord_unpr")?,
            filled: row.integer("tot_ccld_qty")?,
            filled_amount: row.integer("tot_ccld_amt")?,
            average_price_ten_thousandths: row
                .ten_thousandths("avg_prvs")?
                .filter(|price| *price > 0),
            cancelled,
            open: row.integer("rmn_qty")?,
            rejected: row.integer("rjct_qty")?,
            exchange: row.owned("excg_id_dvsn_cd").or_else(|| row.owned("excg_id_dvsn_Cd")),
        }))
    }
}

/// One order that can still be amended or cancelled (`inquire-psbl-rvsecncl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// Number, ten digits.
    pub number: String,
    /// Number of the order it amends.
    pub original: Option<String>,
    /// Time of the order, Korean.
    pub time: Option<TimeOfDay>,
    /// Issue.
    pub symbol: Symbol,
    /// Name.
    pub name: Option<String>,
    /// Side; `None` for a code that is not known.
    pub side: Option<OrderSide>,
    /// Order type, KIS's code.
    pub kind: Option<String>,
    /// Shares ordered.
    pub quantity: Option<i64>,
    /// Price, won; `None` for a market order.
    pub price: Option<Won>,
    /// Shares filled.
    pub filled: Option<i64>,
    /// Shares that can still be amended or cancelled.
    pub open: Option<i64>,
}

impl OpenOrder {
    /// Reads all pages of an answer to [`Endpoint::OpenOrders`](super::super::Endpoint).
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of_pages(raws: &[Raw]) -> Result<Vec<Self>, KisError> {
        let mut orders = Vec::new();
        for raw in raws {
            let answer = Answer::of(raw)?;
            for row in answer.rows("output")? {
                let (Some(number), Some(symbol)) = (row.owned("odno"), row.symbol("pdno")?) else {
                    continue;
                };
                orders.push(Self {
                    number,
                    original: row.owned("orgn_odno"),
                    time: row.time("ord_tmd")?,
                    symbol,
                    name: row.owned("prdt_name"),
                    side: OrderSide::of(row.text("sll_buy_dvsn_cd")),
                    kind: row.owned("ord_dvsn_cd"),
                    quantity: row.integer("ord_qty")?,
                    price: row.positive("ord_unpr")?,
                    filled: row.integer("tot_ccld_qty")?,
                    open: row.integer("psbl_qty")?,
                });
            }
        }
        Ok(orders)
    }
}

/// What an account could buy (`inquire-psbl-order`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuyingPower {
    /// Cash, won.
    pub cash: Option<Won>,
    /// Price the quantities are reckoned with, won.
    pub price: Option<Won>,
    /// Amount without unsettled credit (미수 없는), won.
    pub amount: Option<Won>,
    /// Shares without unsettled credit.
    pub quantity: Option<i64>,
    /// Largest amount, with unsettled credit, won.
    pub max_amount: Option<Won>,
    /// Largest number of shares, with unsettled credit.
    pub max_quantity: Option<i64>,
}

impl BuyingPower {
    /// Reads an answer to [`Endpoint::BuyingPower`](super::super::Endpoint).
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Self, KisError> {
        let answer = Answer::of(raw)?;
        let output = answer.object("output")?;
        Ok(Self {
            cash: output.integer("ord_psbl_cash")?,
            price: output.positive("psbl_qty_calc_unpr")?,
            amount: output.integer("nrcvb_buy_amt")?,
            quantity: output.integer("nrcvb_buy_qty")?,
            max_amount: output.integer("max_buy_amt")?,
            max_quantity: output.integer("max_buy_qty")?,
        })
    }
}
