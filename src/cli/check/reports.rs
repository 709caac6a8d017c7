//! `bongsu check llm`: one small report by the language model that is set.

use crate::cli::finding::Check;
use crate::cli::{CliError, assembly};
use crate::config::Settings;
use crate::llm::{MarketSummary, ReportRequest, SummaryRow, Writer};
use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay};
use crate::messages::advice::{LlmUsage, Report, ReportOrigin};

const NAME: &str = "llm";

/// Has the report written.
///
/// # Errors
/// When the settings of the language model cannot be used.
pub(super) async fn check(settings: &Settings) -> Result<Check, CliError> {
    let writer = assembly::writer(settings, None)?;
    if matches!(writer, Writer::Template) {
        return Ok(Check::ok(NAME, "not set: templates write the reports"));
    }
    let written = writer.write(&ReportRequest::MarketRisk(summary())).await;
    Ok(judge(&written.report, &written.usage, &settings.llm.model))
}

fn judge(report: &Report, usage: &[LlmUsage], model: &str) -> Check {
    if report.origin == ReportOrigin::Model {
        let calls = usage.len();
        let millis: u64 = usage.iter().map(|usage| usage.latency_ms).sum();
        let tokens: u32 =
            usage.iter().map(|usage| usage.prompt_tokens + usage.completion_tokens).sum();
        let found = format!(
            "{model} wrote a report that holds, {calls} calls, {millis} ms, {tokens} tokens"
        );
        return Check::ok(NAME, found);
    }
    Check::fail(
        NAME,
        format!("{model} gave no report: {}", report.fallback_reason),
        "check llm.base_url (OPENAI_BASE_URL), OPENAI_API_KEY and llm.model (OPENAI_MODEL), and that \
         the model writes Korean; until then templates write the reports",
    )
}

/// A market of one issue.
fn summary() -> MarketSummary {
    let symbol = Symbol::from_bytes(b"005930").unwrap_or_else(|| {
        // The constant is a code.
        unreachable!("005930 is a code")
    });
    // 2026-09-15 10:00:00, a date like any other.
    let time = TimeOfDay::from_seconds(36_000).unwrap_or_default();
    MarketSummary {
        as_of: EventTime::from_kst(SessionDay::from_epoch_days(20_711), time),
        issues: 1,
        mean_score: 42.0,
        indices: Vec::new(),
        rising: 0,
        falling: 1,
        riskiest: vec![SummaryRow {
            symbol,
            name: "삼성전자".to_owned(),
            score: 42.0,
            price: 70_000,
            change_pct: -1.5,
            daily_volatility_pct: 2.0,
        }],
        events: Vec::new(),
        alerts: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::State;
    use crate::config::Sources;

    async fn with(environment: &[(&str, &str)]) -> Check {
        // What other tests have installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let environment = environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let settings = Settings::load(&Sources { environment, ..Sources::default() }).unwrap();
        check(&settings).await.unwrap()
    }

    #[tokio::test]
    async fn no_model_is_well_and_one_that_is_away_is_not() {
        assert_eq!(with(&[]).await.state, State::Ok);
        // Port 1 of the loopback is nobody's.
        let environment = [("OPENAI_BASE_URL", "http://127.0.0.1:1"), ("OPENAI_API_KEY", "canary")];
        let away = with(&environment).await;
        assert_eq!(away.state, State::Fail);
        assert!(away.advice.contains("OPENAI_BASE_URL"), "{away:?}");
        assert!(!format!("{away:?}").contains("canary"));
    }
}
