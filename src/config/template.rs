//! The shipped `config/bongsu.toml`: every key with its help and default, commented out.
//!
//! The file is written from the table of keys; a test fails when the two differ, and
//! `BONGSU_TEST_WRITE=1 cargo test --lib config::` writes it anew.

use std::fmt::Write as _;

use super::keys::{KEYS, Key, SECTIONS};
use super::value::Kind;

const HEADER: &str = "\
# Bongsu's settings. Every key is here with its default, commented out: uncomment what you change.
#
# A value is taken from the first of: command-line flag, environment, .env, this file, built-in
# default. Every key is also an environment variable, BONGSU_<SECTION>__<KEY>. Keep secrets in .env
# or the environment rather than here. `bongsu config show` prints what is in force, and from where.
";

/// The whole file.
#[must_use]
pub fn render() -> String {
    let mut file = String::from(HEADER);
    for (section, about) in SECTIONS {
        file.push_str(&format!("\n# {about}.\n"));
        if !section.is_empty() {
            file.push_str(&format!("[{section}]\n"));
        }
        for key in KEYS.iter().filter(|key| key.parts().0 == *section) {
            render_key(key, &mut file);
        }
    }
    file
}

fn render_key(key: &Key, file: &mut String) {
    let mut about = format!("{}.", key.help);
    // Writing to a text cannot fail.
    if !matches!(key.kind, Kind::Text | Kind::Path) {
        let _ = write!(about, " Expected: {}.", key.kind.expected());
    }
    if let Some(variable) = key.variable {
        let _ = write!(about, " Also {variable}.");
    }
    if key.reserved {
        about.push_str(" Accepted, not used yet.");
    }
    for line in wrap(&about, 96) {
        file.push_str(&format!("## {line}\n"));
    }
    let (_, name) = key.parts();
    let note = if key.default.is_some() { "" } else { "  # example: no value by default" };
    let value = toml_value(key.kind, key.default.unwrap_or(key.example));
    file.push_str(&format!("# {name} = {value}{note}\n"));
}

fn toml_value(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Integer(..) | Kind::IntegerOf(_) | Kind::Number(..) => text.to_owned(),
        Kind::Symbols | Kind::Urls(_) => {
            let codes: Vec<String> =
                text.split(',').filter(|code| !code.is_empty()).map(|c| format!("{c:?}")).collect();
            format!("[{}]", codes.join(", "))
        }
        Kind::Texts => format!("[{text:?}]"),
        // Defaults and examples hold nothing that TOML would want escaped in another way.
        _ => format!("{text:?}"),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
