//! Prompts: Korean text files with places for the facts.

use super::facts::Facts;
use super::guard::max_chars;

/// What every conversation starts with.
pub const SYSTEM: &str = include_str!("../../config/prompts/system.md");
const ALERT: &str = include_str!("../../config/prompts/alert.md");
const RECOMMENDATION: &str = include_str!("../../config/prompts/recommendation.md");
const MITIGATION: &str = include_str!("../../config/prompts/mitigation.md");
const MARKET_RISK: &str = include_str!("../../config/prompts/market_risk.md");
const REPAIR: &str = include_str!("../../config/prompts/repair.md");

/// What is asked about `facts`. The most important facts stand once more at the end: an endpoint
/// that silently cuts a long prompt loses its front first.
#[must_use]
pub fn user(facts: &Facts) -> String {
    let template = match facts.kind {
        "recommendation" => RECOMMENDATION,
        "mitigation" => MITIGATION,
        "market_risk" => MARKET_RISK,
        _ => ALERT,
    };
    // What is asked for stays below what is accepted. The facts come last: they come from outside
    // and might hold a placeholder.
    let asked = (max_chars(facts.kind) / 2).to_string();
    template
        .replace("{{max_chars}}", &asked)
        .replace("{{key_facts}}", &facts.lead)
        .replace("{{facts}}", facts.table().trim_end())
}

/// What is said to an answer that was refused for `error`.
#[must_use]
pub fn repair(error: &str) -> String {
    REPAIR.replace("{{error}}", error)
}
