//! An event as one line for people.

use serde_json::Value as Json;

/// The channel is not in the envelope; kind and subject tell as much to a person.
pub(super) fn channel_of(json: &str) -> String {
    let event: Json = serde_json::from_str(json).unwrap_or_default();
    let kind = event["type"].as_str().and_then(|t| t.split('.').nth(2)).unwrap_or("event");
    let topic = match kind {
        "threat" => event["data"]["rule"].as_str(),
        _ => event["subject"].as_str(),
    };
    format!("bongsu.{kind}.{}", topic.unwrap_or("?"))
}

/// Time, level, channel, name, price, change: what a person looks at first.
pub(super) fn human_line(channel: &str, json: &str, color: bool) -> String {
    let Ok(event) = serde_json::from_str::<Json>(json) else {
        return format!("{channel} {}", clean(json));
    };
    let data = &event["data"];
    // The clock in `2024-08-05T09:00:21+09:00` is Korean already.
    let time = event["time"].as_str().and_then(|t| t.get(11..19)).unwrap_or("--:--:--");
    let level = data["level"].as_str().or(data["state"].as_str()).unwrap_or("");
    let paint = match level {
        "critical" | "down" => "1;31",
        "warning" | "degraded" => "33",
        "watch" => "36",
        "up" => "32",
        _ => "",
    };
    let mut line = format!("{time} {:<8} {}", level_word(level), pad(&clean(channel), 30));
    let title = ["name", "title", "component", "scenario"]
        .iter()
        .find_map(|key| data[*key].as_str().filter(|text| !text.is_empty()));
    line.push(' ');
    line.push_str(&pad(&clean(title.unwrap_or_default()), 16));
    let price = data["price"].as_i64().filter(|price| *price != 0);
    if let Some(price) = price {
        // The level of an index is in hundredths of a point.
        let text = if data["rule"] == "market_crash" && data["symbol"].is_null() {
            format!("{}.{:02}", grouped(price / 100), price.rem_euclid(100))
        } else {
            format!("{}원", grouped(price))
        };
        line.push_str(&format!(" {:>1$}", text, 12));
    }
    if let Some(change) = data["change_pct"].as_f64() {
        line.push_str(&format!(" {change:>+7.2}%"));
    }
    if let Some(score) = data["score"].as_f64() {
        line.push_str(&format!("  위험 {score:>5.1}"));
    }
    if let Some(reason) = data["reason"].as_str() {
        line.push_str(&format!(" {}", clean(reason)));
    }
    let line = line.trim_end();
    if color && !paint.is_empty() { format!("\x1b[{paint}m{line}\x1b[0m") } else { line.to_owned() }
}

fn level_word(level: &str) -> &str {
    if level.is_empty() { "-" } else { level }
}

/// Control characters could move a terminal's cursor: none gets through.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Filled up with blanks to `width` columns; Korean letters take two.
fn pad(text: &str, width: usize) -> String {
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFF00..=0xFF60);
    let columns: usize = text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(columns)))
}

fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CRASH: &str = r#"{"type":"io.bongsu.crash.v1","subject":"005930","time":"2024-08-05T09:00:21+09:00","data":{"rule":"symbol_crash","level":"critical","symbol":"005930","name":"삼성전자","price":71000,"change_pct":-5.3333,"score":88.1}}"#;

    #[test]
    fn a_line_for_people() {
        let channel = channel_of(CRASH);
        assert_eq!(
            human_line(&channel, CRASH, false),
            "09:00:21 critical bongsu.crash.005930            삼성전자              71,000원   -5.33%  위험  88.1"
        );
        assert!(human_line(&channel, CRASH, true).starts_with("\x1b[1;31m09:00:21"));
        assert!(!human_line("x", "not json \x1b[2J", true).contains('\x1b'));
        let market = CRASH
            .replace("\"005930\",\"name\"", "null,\"name\"")
            .replace("symbol_crash", "market_crash");
        assert!(human_line("x", &market, false).contains(" 710.00 "));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(-999), "-999");
    }

    proptest! {
        #[test]
        fn no_event_breaks_the_line(json in any::<String>(), channel in any::<String>()) {
            let line = human_line(&channel, &json, false);
            prop_assert!(!line.contains(['\n', '\x1b']));
        }
    }
}
