//! The checker is checked: each rule fails on what it forbids and leaves alone what it does not.

use super::source::{Source, mark_test_files};
use super::{check, rules};

/// Rules broken by `text` as the file `path`, with their lines.
fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut found: Vec<_> =
        check(vec![Source::new(path, text)]).iter().map(|f| (f.line, f.rule)).collect();
    found.sort_unstable();
    found
}

#[track_caller]
fn breaks(path: &str, text: &str, rule: &'static str) {
    assert_eq!(broken(path, text), [(1, rule)], "{path}: {text}");
}

#[track_caller]
fn keeps(path: &str, text: &str) {
    assert_eq!(broken(path, text), [], "{path}: {text}");
}

#[test]
fn comments_and_literals_are_no_code() {
    for text in [
        "// a.unwrap()",
        "//! `crate::actors`",
        "/* a.unwrap() /* b.unwrap() */ c.unwrap() */ fn f() {}",
        r#"const A: &str = "a.unwrap() \" b.unwrap()";"#,
        r##"const A: &str = r#"a.unwrap() " b.unwrap()"#;"##,
        r#"const A: &[u8] = b"a.unwrap()";"#,
        r#"const A: char = '"'; const B: &str = ".unwrap()";"#,
        r#"const A: char = '\''; const B: &str = ".unwrap()";"#,
        r#"fn f<'a>(x: &'a str) -> &'a str { g(x, ".unwrap()") }"#,
        r#"const A: char = '한'; const B: &str = ".unwrap()";"#,
        r##"fn f() { for_("x"); bar("#"); r#type(".unwrap()") }"##,
    ] {
        keeps("src/kis/a.rs", text);
    }
    breaks("src/kis/a.rs", r#"fn f() { g("//", '"').unwrap() }"#, "unwrap");
    breaks("src/kis/a.rs", "fn f<'a>(x: &'a T) { x.unwrap() }", "unwrap");
    breaks("src/kis/a.rs", r#"fn f() { br"\"; a.unwrap() }"#, "unwrap");
    assert_eq!(broken("src/kis/a.rs", "/*\n*/ fn f() {\n  x.unwrap()\n}"), [(3, "unwrap")]);
}

#[test]
fn test_code_is_known_as_such() {
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() { { a.unwrap() } b.unwrap() }\n}\n";
    keeps("src/kis/a.rs", tests);
    let after = format!("{tests}fn g() {{ a.unwrap() }}");
    assert_eq!(broken("src/kis/a.rs", &after), [(5, "unwrap")]);
    for text in [
        "#[test] fn f() { a.unwrap() }",
        "#[tokio::test(start_paused = true)] async fn f() { a.unwrap() }",
        "#[cfg(any(test, fuzzing))] #[derive(Debug)] struct A { a: [u8; 3] }",
        "#[cfg(test)] #[expect(dead_code)] fn f(a: [u8; 3]) { a.unwrap() }",
        "#![cfg(test)] fn f() { a.unwrap() }",
    ] {
        keeps("src/kis/a.rs", text);
    }
    breaks("src/kis/a.rs", "#[cfg(not(test))] fn f() { a.unwrap() }", "unwrap");
    breaks("src/kis/a.rs", "#[cfg(feature = \"a\")] fn f() { a.unwrap() }", "unwrap");
    breaks("src/kis/a.rs", "#[cfg(test)] use a::b; fn f() { a.unwrap() }", "unwrap");
    breaks("src/kis/a.rs", "struct A { #[cfg(test)] b: u8 } fn f() { a.unwrap() }", "unwrap");
}

#[test]
fn files_of_a_test_module_are_test_code() {
    let mut sources = vec![
        Source::new("src/kis/mod.rs", "#[cfg(test)]\nmod tests;\nmod tests_of_others;"),
        Source::new("src/kis/tests.rs", "mod deep;"),
        Source::new("src/kis/tests/deep.rs", "fn f() { a.unwrap() }"),
        Source::new("src/kis/a.rs", "#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;"),
        Source::new("src/kis/a_tests.rs", "fn f() { a.unwrap() }"),
        Source::new("src/kis/tests_of_others.rs", "fn f() { a.unwrap() }"),
    ];
    mark_test_files(&mut sources);
    let test: Vec<&str> =
        sources.iter().filter(|s| s.in_test(s.code.len() - 1)).map(|s| s.path.as_str()).collect();
    assert_eq!(
        test,
        ["src/kis/tests.rs", "src/kis/tests/deep.rs", "src/kis/a.rs", "src/kis/a_tests.rs"]
    );
}

#[test]
fn arrows_point_one_way() {
    for (path, text) in [
        ("src/market/a.rs", "use crate::risk::Score;"),
        ("src/risk/a.rs", "use crate::messages::Rule;"),
        ("src/risk/a.rs", "use crate::advice::Pick;"),
        ("src/advice/a.rs", "fn f() -> crate::kis::Frame {}"),
        ("src/messages/a.rs", "use crate::journal::Segment;"),
        ("src/kis/a.rs", "use crate::journal::Segment;"),
        ("src/kis/a.rs", "use crate::{market::Symbol, store};"),
        ("src/kis/a.rs", "use crate::{market::{Symbol, Won}, bus::Redis};"),
        ("src/store/a.rs", "use crate::config::Settings;"),
        ("src/store/a.rs", "use crate::actors::Tree;"),
        ("src/telemetry/mod.rs", "use crate::bus::Redis;"),
        ("src/config/mod.rs", "use crate::kis::Options;"),
        ("src/actors/tree.rs", "use crate::cli::run;"),
        ("src/kis/sim/mod.rs", "use super::super::journal::Segment;"),
        ("src/kis/a.rs", "use super::super::{market, journal};"),
        ("src/kis/mod.rs", "use super::store::Row;"),
        ("src/limits.rs", "use crate::market::Won;"),
        ("src/kis/a.rs", "use crate::newcomer::Thing;"),
        ("src/newcomer.rs", "use crate::market::Won;"),
    ] {
        breaks(path, text, "arrows");
    }
    for (path, text) in [
        ("src/risk/a.rs", "use crate::market::Symbol;"),
        ("src/advice/a.rs", "use crate::{market::Symbol, risk::Score, model::Fit};"),
        ("src/messages/a.rs", "use crate::{market::Symbol, risk::Score};"),
        (
            "src/kis/a.rs",
            "use crate::{kis::sim, market, messages::{Frame, risk}, telemetry, limits};",
        ),
        ("src/kis/sim/a.rs", "use super::super::frames; use super::market;"),
        ("src/kis/a.rs", "use super::journal;"),
        (
            "src/actors/tree.rs",
            "use crate::{config, kis, store, telemetry, messages, limits, market};",
        ),
        ("src/cli/run.rs", "use crate::{actors::Tree, config::Settings, kis::sim};"),
        ("src/main.rs", "use bongsu::{cli, telemetry};"),
        ("src/lib.rs", "pub use crate::actors::Tree;"),
        ("src/store/a.rs", "const A: &str = crate::VERSION; use other_crate::kis;"),
        ("src/kis/a.rs", "#[cfg(test)] mod tests { use crate::journal::Segment; }"),
        ("tests/a.rs", "use bongsu::{journal, kis};"),
    ] {
        keeps(path, text);
    }
}

#[test]
fn domain_and_messages_have_no_clock_no_chance_and_do_no_io() {
    for (text, rule) in [
        ("use std::time::SystemTime;", "wall-clock"),
        ("fn f() { std::time::Instant::now(); }", "wall-clock"),
        ("fn f() { Utc::now(); }", "wall-clock"),
        ("fn f() { rand::rng(); }", "random"),
        ("fn f() { let r: f64 = rand::random(); }", "random"),
    ] {
        breaks("src/risk/a.rs", text, rule);
        breaks("src/messages/a.rs", text, rule);
        keeps("src/bus/a.rs", text);
    }
    breaks("src/market/a.rs", "use tokio::sync::mpsc;", "domain-io");
    breaks("src/market/a.rs", "fn f() { std::fs::read(p); }", "domain-io");
    keeps("src/messages/a.rs", "use tokio::sync::mpsc;");
    keeps("src/risk/a.rs", "fn f(rng: &mut rand::rngs::StdRng) { my_tokio::f(); }");
    keeps("src/risk/a.rs", "#[cfg(test)] mod tests { fn f() { std::fs::read(p); Utc::now(); } }");
}

#[test]
fn nothing_is_unbounded() {
    for text in [
        "fn f() { tokio::sync::mpsc::unbounded_channel(); }",
        "use futures::channel::mpsc::unbounded;",
        "fn f() { std::sync::mpsc::channel(); }",
        "fn f() { mpsc::channel::<Vec<(u8, u8)>>(); }",
    ] {
        breaks("src/bus/a.rs", text, "unbounded");
        breaks("tests/a.rs", text, "unbounded");
    }
    breaks(
        "src/bus/a.rs",
        "use std::sync::mpsc::{channel, Sender}; fn f() { channel(); }",
        "unbounded",
    );
    keeps(
        "src/bus/a.rs",
        "use tokio::sync::mpsc::{self, channel}; fn f() { mpsc::channel(8); oneshot::channel(); }",
    );
    keeps(
        "src/bus/a.rs",
        "fn channel() {} fn f() { event.channel(); Kind::channel(); channel(); }",
    );
}

#[test]
fn names_that_must_not_stand() {
    breaks("src/store/a.rs", "fn f(t: NaiveDateTime) {}", "naive-time");
    breaks("src/store/a.rs", "fn f() { t.naive_utc(); }", "naive-time");
    breaks("src/actors/a.rs", "fn f() { addr.do_send(Tick); }", "do-send");
    breaks("src/actors/a.rs", "fn f() { todo!() }", "unfinished");
    breaks("tests/a.rs", "fn f() { dbg!(a); }", "unfinished");
    breaks("src/bus/a.rs", "fn f() { unsafe { g() } }", "unsafe");
    breaks("src/bus/a.rs", "fn f() { println!(); }", "print");
    breaks("src/bus/a.rs", "fn f() { eprintln!(); }", "print");
    breaks("tests/a.rs", "#[ignore] #[test] fn f() {}", "ignore");
    breaks("tests/a.rs", "fn f() { std::thread::sleep(d); }", "sleep");
    keeps("src/bus/lib.rs", "#![forbid(unsafe_code)] fn f(day: NaiveDate) { my_todo!(); }");
    keeps("src/cli/a.rs", "fn f() { println!(); }");
    keeps("src/main.rs", "fn f() { eprintln!(); }");
    keeps("src/bus/a.rs", "#[test] fn f() { println!(); addr.do_send(x); }");
    keeps("tests/a.rs", "#[ignore = \"slow\"] #[test] fn f() { no_sleep(d); }");
    keeps("tests/support/wait.rs", "fn f() { std::thread::sleep(d); }");
}

#[test]
fn a_panic_states_its_invariant() {
    for text in ["a.unwrap()", "a.expect(\"b\")", "a.expect(MESSAGE)", "a.unwrap_err()"] {
        breaks("src/bus/a.rs", &format!("fn f() {{ {text} }}"), "unwrap");
    }
    keeps("src/bus/a.rs", "fn f() { a.expect(\n    \"invariant: set by new\",\n) }");
    keeps("src/bus/a.rs", "fn f() { a.unwrap_or(0); self.expect(b'x')?; b.unwrap_or_default() }");
    keeps("src/bus/a.rs", "#[test] fn f() { a.unwrap() }");
}

#[test]
fn an_actors_select_is_biased() {
    breaks("src/actors/a.rs", "fn f() { tokio::select! { a = b => c } }", "select");
    keeps(
        "src/actors/a.rs",
        "fn f() { tokio::select! {\n    // control first\n    biased;\n a = b => c } }",
    );
    keeps("src/actors/a.rs", "fn f() { futures::select_biased! { a = b => c } }");
    keeps("src/bus/a.rs", "fn f() { tokio::select! { a = b => c } }");
}

#[test]
fn files_have_an_end() {
    let lines = |count| "// a\n".repeat(count);
    assert_eq!(broken("src/bus/a.rs", &lines(501)), [(500, "length")]);
    keeps("src/bus/a.rs", &lines(500));
    assert_eq!(broken("tests/a.rs", &lines(601)), [(600, "length")]);
    keeps("tests/a.rs", &lines(600));
}

#[test]
fn an_exception_names_rule_and_reason_and_is_needed() {
    let file = "src/actors/a.rs";
    keeps(file, "fn f() { a.do_send(Stop) } // tidy: allow(do-send): a stop has no answer");
    keeps(file, "// tidy: allow(do-send): a stop\n// has no answer\na.do_send(Stop);");
    let without = "a.do_send(Stop); // tidy: allow(do-send)";
    assert_eq!(broken(file, without), [(1, "do-send"), (1, "exception")]);
    let other = "// tidy: allow(unwrap): why\na.do_send(Stop);";
    assert_eq!(broken(file, other), [(1, "exception"), (2, "do-send")]);
    let far = "// tidy: allow(do-send): why\nfn f() {}\na.do_send(Stop);";
    assert_eq!(broken(file, far), [(1, "exception"), (3, "do-send")]);
    keeps(file, "const A: &str = \"// tidy: allow(do-send): in a text\";");
    keeps(file, "//! `// tidy: allow(do-send): in a comment`");
}

#[test]
fn words_are_found_in_any_file() {
    let found = |text: &str| rules::words("docs/a.md", text).len();
    assert_eq!(found(&["see /wo", "rk/data"].concat()), 1);
    assert_eq!(found(&["https://example.org/net", "wo", "rk/data"].concat()), 0);
    assert_eq!(found(&["our/wo", "rk/data"].concat()), 0);
    assert_eq!(found(&["from crates", ".io"].concat()), 1);
    assert_eq!(found(&["// FIX", "ME later"].concat()), 1);
    assert_eq!(found("work, todo list, a fixture"), 0);
}

#[test]
fn a_finding_says_where_what_and_what_to_do() {
    let finding = &check(vec![Source::new("src/bus/a.rs", "\nfn f() { a.do_send(b) }")])[0];
    let text = finding.to_string();
    assert!(text.starts_with("src/bus/a.rs:2: [do-send] `do_send`: "), "{text}");
    assert!(text.contains("try_send"), "{text}");
}
