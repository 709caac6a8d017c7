//! Rankings over all issues that are played, and the list of interruptions.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::market::{Market, Won};

use super::calls::{Fields, market_value, put};
use super::day::{Day, Issue};
use super::request::{Refusal, Request};
use super::state::{IssueState, ratio, sign_code};
use super::text::dec2_text;

/// Rows of a ranking.
const ROWS: usize = 30;
/// Growth is shown up to this, hundredths of a percent.
const MOST_GROWTH: i64 = 999_999;

/// What `volume-rank` must name.
pub(crate) const VOLUME: &[&str] = &[
    "FID_COND_MRKT_DIV_CODE",
    "FID_COND_SCR_DIV_CODE",
    "FID_INPUT_ISCD",
    "FID_DIV_CLS_CODE",
    "FID_BLNG_CLS_CODE",
    "FID_TRGT_CLS_CODE",
    "FID_TRGT_EXLS_CLS_CODE",
    "FID_INPUT_PRICE_1",
    "FID_INPUT_PRICE_2",
    "FID_VOL_CNT",
    "FID_INPUT_DATE_1",
];
/// What `market-cap` must name.
pub(crate) const MARKET_VALUE: &[&str] = &[
    "FID_INPUT_PRICE_2",
    "FID_COND_MRKT_DIV_CODE",
    "FID_COND_SCR_DIV_CODE",
    "FID_DIV_CLS_CODE",
    "FID_INPUT_ISCD",
    "FID_TRGT_CLS_CODE",
    "FID_TRGT_EXLS_CLS_CODE",
    "FID_INPUT_PRICE_1",
    "FID_VOL_CNT",
];

/// All issues at one moment.
struct Board {
    day: Arc<Day>,
    states: Vec<IssueState>,
}

/// One issue of it.
#[derive(Clone, Copy)]
struct Line<'a> {
    issue: &'a Issue,
    state: &'a IssueState,
    price: Won,
}

impl Line<'_> {
    /// Turnover, hundredths of a percent.
    fn turnover(&self) -> i64 {
        ratio(self.state.volume, self.issue.listed_shares, 10_000)
    }

    /// Value traded against the market value, hundredths of a percent.
    fn value_turnover(&self) -> i64 {
        let whole = i128::from(self.price) * i128::from(self.issue.listed_shares);
        ratio(self.state.value, i64::try_from(whole).unwrap_or(i64::MAX), 10_000)
    }

    /// Volume against the session before, hundredths of a percent.
    fn growth(&self) -> i64 {
        ratio(self.state.volume, self.issue.previous_volume, 10_000).min(MOST_GROWTH)
    }

    fn change(&self, row: &mut Fields, sign_first: bool) -> String {
        let base = self.issue.base_price;
        let sign = sign_code(self.price, base, self.issue.limits);
        if sign_first {
            put(row, "prdy_vrss_sign", sign);
            put(row, "prdy_vrss", self.price - base);
        } else {
            put(row, "prdy_vrss", self.price - base);
            put(row, "prdy_vrss_sign", sign);
        }
        let percent = dec2_text(ratio(self.price - base, base, 10_000));
        put(row, "prdy_ctrt", &percent);
        percent
    }
}

impl Board {
    fn now(request: &Request) -> Self {
        let playback = request.shared.playback.lock();
        Self { day: Arc::clone(&playback.day), states: playback.issues.clone() }
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.day.issues.iter().zip(&self.states).map(|(issue, state)| {
            let price = if state.trades == 0 { issue.base_price } else { state.price };
            Line { issue, state, price }
        })
    }
}

/// Preferred shares end in another character than 0.
fn is_preferred(issue: &Issue) -> bool {
    !issue.symbol.as_str().ends_with('0')
}

/// The issues that the filters of a ranking leave. Which issues an index other than the two
/// markets' holds is not known, so such a sector has none.
fn filtered<'a>(request: &Request, board: &'a Board) -> Result<Vec<Line<'a>>, Refusal> {
    request.market(&["J"])?;
    let class = request.choice("FID_DIV_CLS_CODE", &["0", "1", "2"])?;
    let sector = request.get("FID_INPUT_ISCD");
    let lowest: Option<Won> = request.optional("FID_INPUT_PRICE_1")?;
    let highest: Option<Won> = request.optional("FID_INPUT_PRICE_2")?;
    let least: Option<i64> = request.optional("FID_VOL_CNT")?;
    let excluded = request.get("FID_TRGT_EXLS_CLS_CODE").as_bytes();
    let excludes = |place: usize| excluded.len() == 10 && excluded[place] == b'1';
    let wanted = |line: &Line| {
        let market = match sector {
            "0000" => true,
            "0001" => line.issue.market == Market::Kospi,
            "1001" => line.issue.market == Market::Kosdaq,
            _ => false,
        };
        let preferred = is_preferred(line.issue);
        market
            && (class == 0 || (class == 2) == preferred)
            && !(excludes(4) && preferred)
            && !(excludes(5) && line.issue.halted)
            && lowest.is_none_or(|lowest| line.price >= lowest)
            && highest.is_none_or(|highest| highest == 0 || line.price <= highest)
            && least.is_none_or(|least| line.state.volume >= least)
    };
    Ok(board.lines().filter(wanted).collect())
}

/// `volume-rank`: `output`. The averages are those of one day: the one being played.
pub(crate) fn by_volume(request: &Request) -> Result<Value, Refusal> {
    let order = request.choice("FID_BLNG_CLS_CODE", &["0", "1", "2", "3", "4"])?;
    let board = Board::now(request);
    let mut lines = filtered(request, &board)?;
    // Ties by code, so that the order is the same every time.
    lines.sort_by_key(|line| {
        let rank = match order {
            0 => line.state.volume,
            1 => line.growth(),
            2 => line.turnover(),
            3 => line.state.value,
            _ => line.value_turnover(),
        };
        (Reverse(rank), line.issue.symbol)
    });
    let rows = lines.iter().take(ROWS).zip(1..).map(|(line, rank)| {
        let (issue, state) = (line.issue, line.state);
        let mut row = Fields::new();
        put(&mut row, "hts_kor_isnm", &issue.name);
        put(&mut row, "mksc_shrn_iscd", issue.symbol);
        put(&mut row, "data_rank", rank);
        put(&mut row, "stck_prpr", line.price);
        let percent = line.change(&mut row, true);
        put(&mut row, "acml_vol", state.volume);
        put(&mut row, "prdy_vol", issue.previous_volume);
        put(&mut row, "lstn_stcn", issue.listed_shares);
        put(&mut row, "avrg_vol", state.volume);
        put(&mut row, "n_befr_clpr_vrss_prpr_rate", percent);
        put(&mut row, "vol_inrt", dec2_text(line.growth()));
        put(&mut row, "vol_tnrt", dec2_text(line.turnover()));
        put(&mut row, "nday_vol_tnrt", dec2_text(line.turnover()));
        put(&mut row, "avrg_tr_pbmn", state.value);
        put(&mut row, "tr_pbmn_tnrt", dec2_text(line.value_turnover()));
        put(&mut row, "nday_tr_pbmn_tnrt", dec2_text(line.value_turnover()));
        put(&mut row, "acml_tr_pbmn", state.value);
        Value::Object(row)
    });
    Ok(json!({ "output": rows.collect::<Vec<_>>() }))
}

/// `market-cap`: `output`.
pub(crate) fn by_market_value(request: &Request) -> Result<Value, Refusal> {
    let board = Board::now(request);
    let value = |line: &Line| market_value(line.price, line.issue.listed_shares);
    let whole: i64 = board.lines().map(|line| value(&line)).sum();
    let mut lines = filtered(request, &board)?;
    lines.retain(|line| line.issue.listed_shares > 0);
    lines.sort_by_key(|line| (Reverse(value(line)), line.issue.symbol));
    let rows = lines.iter().take(ROWS).zip(1..).map(|(line, rank)| {
        let mut row = Fields::new();
        put(&mut row, "mksc_shrn_iscd", line.issue.symbol);
        put(&mut row, "data_rank", rank);
        put(&mut row, "hts_kor_isnm", &line.issue.name);
        put(&mut row, "stck_prpr", line.price);
        line.change(&mut row, false);
        put(&mut row, "acml_vol", line.state.volume);
        put(&mut row, "lstn_stcn", line.issue.listed_shares);
        put(&mut row, "stck_avls", value(line));
        put(&mut row, "mrkt_whol_avls_rlim", dec2_text(ratio(value(line), whole, 10_000)));
        Value::Object(row)
    });
    Ok(json!({ "output": rows.collect::<Vec<_>>() }))
}
