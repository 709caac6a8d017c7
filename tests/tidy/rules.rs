//! What is forbidden by name, length or place.

use super::Finding;
use super::source::Source;

const DOMAIN: &[&str] = &["market", "collect", "risk", "model", "advice", "evaluate"];

/// Where a rule about a name holds.
#[derive(Clone, Copy)]
enum Scope {
    /// `src/`, tests in it included, and `tests/`, `benches/`, `fuzz/`.
    Everywhere,
    /// `src/` without its tests.
    Production,
    /// The domain, without its tests.
    Domain,
    /// The domain and `messages`, without their tests.
    Timeless,
}

impl Scope {
    fn holds(self, source: &Source, at: usize) -> bool {
        let domain = DOMAIN.iter().any(|part| source.is_in(part));
        match self {
            Self::Everywhere => true,
            Self::Production => !source.in_test(at),
            Self::Domain => domain && !source.in_test(at),
            Self::Timeless => (domain || source.is_in("messages")) && !source.in_test(at),
        }
    }
}

/// Names that must not stand in the code, and what to do instead.
const NAMES: &[(&str, Scope, &[&str], &str)] = &[
    (
        "wall-clock",
        Scope::Timeless,
        &["SystemTime", "Instant::now", "Utc::now", "Local::now"],
        "time is the event's own: take it from the message (`market::EventTime`)",
    ),
    (
        "random",
        Scope::Timeless,
        &[
            "thread_rng",
            "rand::rng",
            "rand::random",
            "rand::random_range",
            "rand::fill",
            "from_os_rng",
            "from_entropy",
            "OsRng",
            "SysRng",
            "getrandom",
        ],
        "take a seeded generator (`ChaCha8Rng`) from the caller, so that a run can be repeated",
    ),
    (
        "domain-io",
        Scope::Domain,
        &[
            "tokio::",
            "actix::",
            "actix_rt::",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "std::io",
            "reqwest::",
            "fred::",
            "sea_orm::",
            "axum::",
            "tracing::",
            "metrics::counter!",
            "metrics::gauge!",
            "metrics::histogram!",
        ],
        "the domain computes: hand it the data, let an actor or adapter do this",
    ),
    (
        "unbounded",
        Scope::Everywhere,
        &[
            "unbounded_channel",
            "mpsc::unbounded",
            "UnboundedSender",
            "UnboundedReceiver",
            "flume::unbounded",
            "crossbeam_channel::unbounded",
            "async_channel::unbounded",
        ],
        "nothing is unbounded: take a bounded channel and say what happens when it is full",
    ),
    (
        "naive-time",
        Scope::Everywhere,
        &["NaiveDateTime", "NaiveTime", "naive_utc", "naive_local"],
        "a time without its zone is a trap: `market::EventTime`, `SessionDay` or `TimeOfDay`",
    ),
    (
        "do-send",
        Scope::Production,
        &["do_send"],
        "`do_send` ignores the mailbox's bound and says nothing when the actor is gone: `try_send`, or `send` and wait",
    ),
    (
        "unfinished",
        Scope::Everywhere,
        &["todo!", "unimplemented!", "dbg!"],
        "finish it, or leave it out and say so in the docs",
    ),
    ("unsafe", Scope::Everywhere, &["unsafe"], "there is no unsafe code here"),
];

const CODE_LINES: usize = 500;
const TEST_LINES: usize = 600;

/// Files that may be longer, each with the reason.
const LONG: &[(&str, &str)] = &[
    ("src/bus/redis.rs", "one connection, its script and its backlog; half of it is documentation"),
    ("src/messages/event_bus.rs", "half of it is tests"),
    ("src/config/keys.rs", "one table, some lines a setting"),
];

/// The one place of the tests that sleeps.
const SLEEPER: &str = "tests/support/wait.rs";

/// All rules over one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(rule, scope, names, instead) in NAMES {
        for name in names {
            let hits = source.find_word(name).filter(|&at| scope.holds(source, at));
            findings
                .extend(hits.map(|at| finding(source, at, rule, format!("`{name}`: {instead}"))));
        }
    }
    std_channels(source, &mut findings);
    unwraps(source, &mut findings);
    prints(source, &mut findings);
    selects(source, &mut findings);
    ignored(source, &mut findings);
    sleeps(source, &mut findings);
    length(source, &mut findings);
    findings
}

fn finding(source: &Source, at: usize, rule: &'static str, what: String) -> Finding {
    Finding { file: source.path.clone(), line: source.line(at), rule, what }
}

/// `std::sync::mpsc::channel()`: unbounded, and told from tokio's by its empty brackets.
fn std_channels(source: &Source, findings: &mut Vec<Finding>) {
    let imported = ["mpsc::channel", "mpsc::{"].iter().any(|path| source.code.contains(path));
    for at in source.find_word("channel") {
        let before = &source.code[..at];
        let bare = !before.ends_with([':', '.']) && !before.ends_with("fn ");
        let called = past_generics(&source.code[at + "channel".len()..]).starts_with("()");
        if called && (before.ends_with("mpsc::") || (bare && imported)) {
            let what = "`channel()` without a bound: `sync_channel(n)`, or tokio's `channel(n)`";
            findings.push(finding(source, at, "unbounded", what.to_owned()));
        }
    }
}

/// What follows a `::<…>`, if there is one.
fn past_generics(code: &str) -> &str {
    let Some(generics) = code.strip_prefix("::<") else { return code };
    let mut depth = 1;
    for (at, character) in generics.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &generics[at + 1..];
        }
    }
    ""
}

/// No panic on a value outside tests, unless the message states why it cannot happen.
fn unwraps(source: &Source, findings: &mut Vec<Finding>) {
    for name in [".unwrap()", ".unwrap_err()", ".expect(", ".expect_err("] {
        for (at, _) in source.code.match_indices(name) {
            // A parser's own `self.expect(…)` is not `Option`'s.
            let own = name == ".expect(" && source.code[..at].ends_with("self");
            if source.in_test(at) || own {
                continue;
            }
            let argument = source.text[at + name.len()..].trim_start();
            if name == ".expect(" && argument.starts_with("\"invariant: ") {
                continue;
            }
            let what = format!(
                "`{name}`: return the error; where it cannot happen, `.expect(\"invariant: why\")`"
            );
            findings.push(finding(source, at + 1, "unwrap", what));
        }
    }
}

/// Standard output belongs to the commands; everything else logs.
fn prints(source: &Source, findings: &mut Vec<Finding>) {
    if source.is_in("cli") || source.is_in("main") {
        return;
    }
    for name in ["println!", "print!", "eprintln!", "eprint!"] {
        for at in source.find_word(name).filter(|&at| !source.in_test(at)) {
            let what = format!("`{name}` outside `src/cli`: use `tracing`, or return the text");
            findings.push(finding(source, at, "print", what));
        }
    }
}

/// An actor's choice between ready branches must not be by chance: replay would differ.
fn selects(source: &Source, findings: &mut Vec<Finding>) {
    if !source.is_in("actors") {
        return;
    }
    for at in source.find_word("select!").filter(|&at| !source.in_test(at)) {
        let body = source.code[at + "select!".len()..].trim_start();
        let first = body.trim_start_matches(['{', '(']).trim_start();
        if !first.starts_with("biased;") {
            let what = "`select!` in an actor starts with `biased;`, control before work";
            findings.push(finding(source, at, "select", what.to_owned()));
        }
    }
}

/// A test that is left out says why: it is what `scripts/test --slow` runs.
fn ignored(source: &Source, findings: &mut Vec<Finding>) {
    for (at, _) in source.code.match_indices("#[ignore]") {
        let what = "an ignored test gives its reason: `#[ignore = \"slow: …\"]`";
        findings.push(finding(source, at, "ignore", what.to_owned()));
    }
}

/// Tests wait for conditions.
fn sleeps(source: &Source, findings: &mut Vec<Finding>) {
    if !source.path.starts_with("tests/") || source.path == SLEEPER {
        return;
    }
    for at in source.find_word("sleep").filter(|&at| source.code[at..].starts_with("sleep(")) {
        let what = "a test waits for a condition: `support::await_until` or `wait_until`";
        findings.push(finding(source, at, "sleep", what.to_owned()));
    }
}

fn length(source: &Source, findings: &mut Vec<Finding>) {
    let limit = if source.path.starts_with("src/") { CODE_LINES } else { TEST_LINES };
    let lines = source.text.lines().count();
    if lines > limit && !LONG.iter().any(|(path, _)| *path == source.path) {
        let what = format!(
            "{lines} lines, {limit} at most: split it by what it holds, or name it in tests/tidy/rules.rs with the reason"
        );
        findings.push(Finding { file: source.path.clone(), line: limit, rule: "length", what });
    }
}

/// Words that no file of the project holds, whatever its kind. Written in two halves, so that this
/// file is not its own finding.
const WORDS: &[(&str, &str, &str)] = &[
    ("FIX", "ME", "finish it, or leave it out and say so in the docs"),
    ("TO", "DO:", "finish it, or leave it out and say so in the docs"),
    ("XX", "X:", "finish it, or leave it out and say so in the docs"),
    ("/wo", "rk/", "a path of one machine: make it relative or a setting"),
    ("/fa", "rm/", "a path of one machine: make it relative or a setting"),
    ("/tmp/", "bash_", "a path of one machine: make it relative or a setting"),
    ("/tmp/", "wt/", "a path of one machine: make it relative or a setting"),
    ("crates", ".io", "a registry's host is the package manager's business"),
    ("pypi", ".org", "a registry's host is the package manager's business"),
    ("registry", ".npmjs", "a registry's host is the package manager's business"),
    ("deb", ".debian.org", "a registry's host is the package manager's business"),
];

/// Looks for [`WORDS`] in any text file.
pub fn words(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(head, tail, instead) in WORDS {
        let word = format!("{head}{tail}");
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains(&word)) {
            // Behind a name it is part of an address or a relative path: somebody else's folder.
            let inside = |at: usize| {
                word.starts_with('/') && at > 0 && line.as_bytes()[at - 1].is_ascii_alphanumeric()
            };
            if line.match_indices(&word).any(|(at, _)| !inside(at)) {
                let what = format!("`{word}`: {instead}");
                findings.push(Finding {
                    file: path.to_owned(),
                    line: index + 1,
                    rule: "words",
                    what,
                });
            }
        }
    }
    findings
}
