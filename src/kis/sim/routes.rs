//! The calls that there are: path, TR IDs of both environments, parameters, answer.

use axum::http::Method;

use crate::market::TimeOfDay;

use super::account::{answers, orders};
use super::charts::{self, Period};
use super::day::ms;
use super::options::SimEnv;
use super::request::{Answer, Refusal, Request};
use super::{calls, ranking, vi_list, view};

/// A call under `/uapi/domestic-stock/v1`.
pub(crate) struct Call {
    pub method: Method,
    /// The whole path.
    pub path: &'static str,
    /// TR IDs in the real environment.
    real: &'static [&'static str],
    /// TR IDs in paper trading; none for what it lacks.
    paper: &'static [&'static str],
    /// Parameters that must be present, though maybe empty.
    pub required: &'static [&'static str],
    pub answer: fn(&Request) -> Result<Answer, Refusal>,
}

impl Call {
    /// The call with this method and path.
    pub fn find(method: &Method, path: &str) -> Option<&'static Self> {
        CALLS.iter().find(|call| call.method == *method && call.path == path)
    }

    /// Refuses a TR ID that is not this call's, or not in this environment.
    pub fn check(&self, tr_id: &str, env: SimEnv) -> Result<(), Refusal> {
        let (own, other) = match env {
            SimEnv::Real => (self.real, self.paper),
            SimEnv::Mock => (self.paper, self.real),
        };
        if own.contains(&tr_id) {
            Ok(())
        } else if other.contains(&tr_id) {
            Err(Refusal::other_environment(env))
        } else {
            Err(Refusal::unknown_tr())
        }
    }
}

const ISSUE: &[&str] = &["FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD"];

/// Market data with the same TR ID in both environments.
const fn both(
    path: &'static str,
    tr_id: &'static [&'static str],
    required: &'static [&'static str],
    answer: fn(&Request) -> Result<Answer, Refusal>,
) -> Call {
    Call { method: Method::GET, path, real: tr_id, paper: tr_id, required, answer }
}

/// A call that paper trading lacks.
const fn real_only(
    path: &'static str,
    tr_id: &'static [&'static str],
    required: &'static [&'static str],
    answer: fn(&Request) -> Result<Answer, Refusal>,
) -> Call {
    Call { method: Method::GET, path, real: tr_id, paper: &[], required, answer }
}

static CALLS: [Call; 18] = [
    both(
        "/uapi/domestic-stock/v1/quotations/inquire-price",
        &["FHKST01010100"],
        ISSUE,
        |request| Ok(Answer::market(calls::price(&request.issue()?))),
    ),
    both("/uapi/domestic-stock/v1/quotations/inquire-ccnl", &["FHKST01010300"], ISSUE, |request| {
        Ok(Answer::market(calls::latest_trades(&request.issue()?)))
    }),
    both(
        "/uapi/domestic-stock/v1/quotations/inquire-daily-price",
        &["FHKST01010400"],
        &["FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD", "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC"],
        |request| {
            let period = request.choice("FID_PERIOD_DIV_CODE", &Period::CODES[..3])?;
            Ok(Answer::market(charts::daily_price(&request.issue()?, Period::ALL[period])))
        },
    ),
    both(
        "/uapi/domestic-stock/v1/quotations/inquire-daily-itemchartprice",
        &["FHKST03010100"],
        &[
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_INPUT_DATE_1",
            "FID_INPUT_DATE_2",
            "FID_PERIOD_DIV_CODE",
            "FID_ORG_ADJ_PRC",
        ],
        |request| {
            let period = Period::ALL[request.choice("FID_PERIOD_DIV_CODE", &Period::CODES)?];
            let (from, to) = (request.day("FID_INPUT_DATE_1")?, request.day("FID_INPUT_DATE_2")?);
            Ok(Answer::market(charts::period_chart(&request.issue()?, period, from, to)))
        },
    ),
    both(
        "/uapi/domestic-stock/v1/quotations/inquire-time-itemchartprice",
        &["FHKST03010200"],
        &[
            "FID_ETC_CLS_CODE",
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_INPUT_HOUR_1",
            "FID_PW_DATA_INCU_YN",
        ],
        |request| {
            let until: TimeOfDay = request.parsed("FID_INPUT_HOUR_1")?;
            let issue = request.issue()?;
            let today = issue.day.day;
            Ok(Answer::market(charts::minute_chart(&issue, today, ms(until), 30)))
        },
    ),
    real_only(
        "/uapi/domestic-stock/v1/quotations/inquire-time-dailychartprice",
        &["FHKST03010230"],
        &[
            "FID_COND_MRKT_DIV_CODE",
            "FID_INPUT_ISCD",
            "FID_INPUT_HOUR_1",
            "FID_INPUT_DATE_1",
            "FID_PW_DATA_INCU_YN",
            "FID_FAKE_TICK_INCU_YN",
        ],
        |request| {
            let until: TimeOfDay = request.parsed("FID_INPUT_HOUR_1")?;
            let day = request.day("FID_INPUT_DATE_1")?;
            Ok(Answer::market(charts::minute_chart(&request.issue()?, day, ms(until), 120)))
        },
    ),
    both(
        "/uapi/domestic-stock/v1/quotations/inquire-asking-price-exp-ccn",
        &["FHKST01010200"],
        ISSUE,
        |request| Ok(Answer::market(calls::order_book(&request.issue()?))),
    ),
    real_only(
        "/uapi/domestic-stock/v1/quotations/inquire-index-price",
        &["FHPUP02100000"],
        ISSUE,
        |request| {
            request.market(&["U"])?;
            let code = request.get("FID_INPUT_ISCD");
            view::index(&request.shared.playback, code)
                .map(|index| Answer::market(calls::index_price(&index)))
                .ok_or_else(|| Refusal::size("FID_INPUT_ISCD", code))
        },
    ),
    real_only(
        "/uapi/domestic-stock/v1/quotations/chk-holiday",
        &["CTCA0903R"],
        &["BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"],
        |request| {
            let days = calls::calendar(request.day("BASS_DT")?);
            let text = "조회가 계속됩니다..다음버튼을 Click 하십시오.";
            // The code says that there is more; `tr_cont` stays empty, and nobody follows it.
            Ok(Answer::new(days, "KIOK0500", text))
        },
    ),
    real_only(
        "/uapi/domestic-stock/v1/quotations/inquire-vi-status",
        &["FHPST01390000"],
        vi_list::REQUIRED,
        |request| Ok(Answer::market(vi_list::answer(request)?)),
    ),
    real_only(
        "/uapi/domestic-stock/v1/quotations/volume-rank",
        &["FHPST01710000"],
        ranking::VOLUME,
        |request| Ok(Answer::market(ranking::by_volume(request)?)),
    ),
    real_only(
        "/uapi/domestic-stock/v1/ranking/market-cap",
        &["FHPST01740000"],
        ranking::MARKET_VALUE,
        |request| Ok(Answer::market(ranking::by_market_value(request)?)),
    ),
    Call {
        method: Method::GET,
        path: "/uapi/domestic-stock/v1/trading/inquire-balance",
        real: &["TTTC8434R"],
        paper: &["VTTC8434R"],
        required: answers::BALANCE,
        answer: answers::balance,
    },
    Call {
        method: Method::GET,
        path: "/uapi/domestic-stock/v1/trading/inquire-daily-ccld",
        real: &["TTTC0081R", "CTSC9215R", "TTTC8001R", "CTSC9115R"],
        paper: &["VTTC0081R", "VTSC9215R", "VTTC8001R", "VTSC9115R"],
        required: answers::HISTORY,
        answer: |request| answers::history(request, request.tr_id.ends_with("15R")),
    },
    Call {
        method: Method::GET,
        path: "/uapi/domestic-stock/v1/trading/inquire-psbl-order",
        real: &["TTTC8908R"],
        paper: &["VTTC8908R"],
        required: answers::BUYING_POWER,
        answer: answers::buying_power,
    },
    Call {
        method: Method::GET,
        path: "/uapi/domestic-stock/v1/trading/inquire-psbl-rvsecncl",
        real: &["TTTC0084R", "TTTC8036R"],
        paper: &["VTTC8036R"],
        required: answers::OPEN_ORDERS,
        answer: answers::open_orders,
    },
    Call {
        method: Method::POST,
        path: "/uapi/domestic-stock/v1/trading/order-cash",
        real: &["TTTC0012U", "TTTC0011U", "TTTC0802U", "TTTC0801U"],
        paper: &["VTTC0012U", "VTTC0011U", "VTTC0802U", "VTTC0801U"],
        required: orders::ORDER,
        answer: orders::place,
    },
    Call {
        method: Method::POST,
        path: "/uapi/domestic-stock/v1/trading/order-rvsecncl",
        real: &["TTTC0013U", "TTTC0803U"],
        paper: &["VTTC0013U", "VTTC0803U"],
        required: orders::REVISION,
        answer: orders::revise,
    },
];
