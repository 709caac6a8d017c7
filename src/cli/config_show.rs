//! `bongsu config show`: every setting in force, with where it comes from, without secrets.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::args::ConfigShowArgs;
use super::{CliError, print};
use crate::config::{Effective, Settings, Value};

/// Prints the settings.
///
/// # Errors
/// Only when stdout cannot be written.
pub fn execute(args: ConfigShowArgs, settings: Settings) -> Result<(), CliError> {
    let text = if args.json {
        format!("{:#}\n", as_json(settings.effective()))
    } else {
        as_text(settings.effective())
    };
    print(&text)
}

/// One line a setting, `key = value  # origin`, in the sections of the table.
fn as_text(rows: &[Effective]) -> String {
    let width = rows.iter().map(|row| line(row).chars().count()).filter(|width| *width <= 72).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    let mut section = "";
    for row in rows {
        let (row_section, _) = row.key.parts();
        if row_section != section {
            text.push('\n');
            section = row_section;
        }
        let unused = if row.key.reserved && row.value.is_some() { ", not used yet" } else { "" };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:width$}  # {}{unused}", line(row), row.origin);
    }
    text
}

fn line(row: &Effective) -> String {
    match row.value.as_ref().map(Value::to_string) {
        Some(value) if value.is_empty() => format!("{} is empty", row.key.path),
        Some(value) => format!("{} = {value}", row.key.path),
        None => format!("{} is not set", row.key.path),
    }
}

/// An object a setting, by dotted key: `value`, `origin`, and `set`, which is all that is told of
/// a secret.
fn as_json(rows: &[Effective]) -> Json {
    let mut object = Map::new();
    for row in rows {
        let value = match &row.value {
            None | Some(Value::Secret(_)) => Json::Null,
            Some(Value::Integer(number)) => json!(number),
            Some(Value::Number(number)) => json!(number),
            Some(Value::Switch(on)) => json!(on),
            Some(Value::Symbols(symbols)) => {
                symbols.iter().map(|symbol| json!(symbol.as_str())).collect()
            }
            Some(other) => json!(other.to_string()),
        };
        object.insert(
            row.key.path.into(),
            json!({
                "value": value,
                "set": row.value.is_some(),
                "secret": row.key.secret,
                "used": !row.key.reserved,
                "origin": row.origin.to_string(),
            }),
        );
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn settings() -> Settings {
        let env = [
            ("REDIS_URL", "redis://:canary@127.0.0.1:6379/0"),
            ("OPENAI_API_KEY", "canary"),
            ("VAULT_TOKEN", "canary"),
            ("BONGSU_FEED__SYMBOLS", "005930,000660"),
        ];
        let sources = Sources {
            directory: "/nonexistent".into(),
            environment: env.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            ..Sources::default()
        };
        Settings::load(&sources).unwrap()
    }

    #[test]
    fn text_names_value_and_origin_and_no_secret() {
        let text = as_text(settings().effective());
        assert!(!text.contains("canary"), "{text}");
        let find = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(find("llm.api_key").contains("(set, not shown)"));
        assert!(find("redis.url").starts_with("redis.url = redis://:***@127.0.0.1:6379/0 "));
        assert!(find("redis.url").ends_with("# environment variable REDIS_URL"));
        assert!(find("kis.app_key").starts_with("kis.app_key is not set"));
        assert!(find("vault.token").ends_with("VAULT_TOKEN, not used yet"));
        assert!(find("feed.symbols = 005930,000660").ends_with("BONGSU_FEED__SYMBOLS"));
    }

    #[test]
    fn json_has_types_and_no_secret() {
        let json = as_json(settings().effective());
        assert!(!json.to_string().contains("canary"), "{json}");
        assert_eq!(json["feed.symbols"]["value"], json!(["005930", "000660"]));
        assert_eq!(json["feed.silence_seconds"]["value"], json!(30));
        assert_eq!(json["llm.api_key"]["value"], Json::Null);
        assert_eq!(json["llm.api_key"]["set"], json!(true));
        assert_eq!(json["llm.base_url"]["set"], json!(false));
    }
}
