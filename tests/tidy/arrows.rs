//! Which part of `src/` may import which.
//!
//! `cli → actors → adapters → messages → domain`. Two adapters never import each other; what they
//! share is in the domain or in `messages`. Three parts have a place of their own:
//!
//! - `telemetry` is an adapter that the others may import: the names and labels of all metrics are
//!   declared there, at zero, before anything happens, and are written by those who count.
//! - `limits` is figures and their arithmetic, imported by all above the domain.
//! - `config` is for those who wire (`actors`, `cli`). An adapter takes its own options.
//!
//! Unit tests are not held to it.

use super::Finding;
use super::source::{Source, is_name, matching};

/// Each imports only those before it.
const DOMAIN: &[&str] = &["market", "collect", "model", "risk", "advice", "evaluate"];
const ADAPTERS: &[&str] =
    &["kis", "journal", "store", "bus", "tasks", "schedule", "llm", "notify", "api"];
/// The crate's root: it declares, or starts.
const ROOT: &[&str] = &["lib", "main"];
/// Everything else, lowest first.
const OTHERS: &[&str] = &["messages", "limits", "telemetry", "config", "actors", "cli"];

/// Whether `from` may import `to`; `None` when one of them has no place.
fn may(from: &str, to: &str) -> Option<bool> {
    let known = |name| [DOMAIN, ADAPTERS, OTHERS, ROOT].iter().any(|list| list.contains(&name));
    if !known(from) || !known(to) {
        return None;
    }
    if from == to || ROOT.contains(&from) || from == "cli" {
        return Some(true);
    }
    let domain = DOMAIN.contains(&to);
    let low = domain || to == "messages" || to == "limits";
    Some(match from {
        "limits" => false,
        "messages" => domain || to == "limits",
        "telemetry" | "config" => low,
        "actors" => low || ADAPTERS.contains(&to) || ["telemetry", "config"].contains(&to),
        _ if ADAPTERS.contains(&from) => low || to == "telemetry",
        _ => {
            let place = |name| DOMAIN.iter().position(|&part| part == name);
            place(to).is_some_and(|to| Some(to) < place(from))
        }
    })
}

/// Every import against the arrows.
pub fn check(source: &Source) -> Vec<Finding> {
    let Some(from) = source.part() else { return Vec::new() };
    let imports = imports(source).into_iter().filter(|&(at, _)| !source.in_test(at));
    imports
        .filter_map(|(at, to)| {
            let what = match may(from, &to) {
                Some(true) => return None,
                Some(false) => format!("`{from}` imports `{to}`: {}", advice(from, &to)),
                None => {
                    format!(
                        "`{from}` imports `{to}`: one of them has no place in tests/tidy/arrows.rs"
                    )
                }
            };
            Some(Finding { file: source.path.clone(), line: source.line(at), rule: "arrows", what })
        })
        .collect()
}

fn advice(from: &str, to: &str) -> &'static str {
    if to == "config" {
        "take an options struct of your own; `cli` and `actors` fill it from the settings"
    } else if DOMAIN.contains(&from) {
        "the domain imports nothing from above; within it market < collect < model < risk < advice < evaluate"
    } else if ADAPTERS.contains(&from) && ADAPTERS.contains(&to) {
        "adapters do not know each other; what they share goes to the domain or to `messages`"
    } else {
        "arrows go cli → actors → adapters → messages → domain"
    }
}

/// Top modules that the code names by a path from the crate's root, and where.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut imports = Vec::new();
    for root in ["crate::", "bongsu::"] {
        for at in source.find_word(root) {
            targets(source, at + root.len(), &mut imports);
        }
    }
    // `super::super::…` as far as the root.
    let depth = source.module_path().len();
    for at in source.find_word("super::") {
        if source.code[..at].ends_with("super::") {
            continue;
        }
        let rest = &source.code[at..];
        let steps = rest.split("super::").take_while(|between| between.is_empty()).count();
        if depth > 0 && steps == depth {
            targets(source, at + steps * "super::".len(), &mut imports);
        }
    }
    imports.sort();
    imports
}

/// The first name behind a path's root, or all of `{a::b, c}`. A type or function at the root itself
/// (`crate::VERSION`) is no module: those start upper-case or are called.
fn targets(source: &Source, at: usize, imports: &mut Vec<(usize, String)>) {
    let code = source.code.as_bytes();
    if code.get(at) == Some(&b'{') {
        let end = matching(code, at);
        let (mut depth, mut expecting) = (0_usize, true);
        for (place, &byte) in code.iter().enumerate().take(end).skip(at + 1) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 0 => expecting = true,
                _ if is_name(byte) && expecting => {
                    name(source, place, imports);
                    expecting = false;
                }
                _ => {}
            }
        }
    } else {
        name(source, at, imports);
    }
}

fn name(source: &Source, at: usize, imports: &mut Vec<(usize, String)>) {
    let name: String =
        source.code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // A macro stands at the root whatever module it is written in.
    let called = source.code[at + name.len()..].starts_with('!');
    if name.chars().next().is_some_and(char::is_lowercase) && name != "self" && !called {
        imports.push((at, name));
    }
}
