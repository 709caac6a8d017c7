//! What came out of each behaviour of a server, as `docs/reports.md` tells it. The tables there are
//! written from what the tests saw, with `BONGSU_TEST_WRITE=1`, and compared at every run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bongsu::llm::Written;
use bongsu::messages::advice::LlmOutcome;

/// Several tables are written by tests that run at once.
static PAGE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// A line of a table.
pub struct Outcome {
    /// What the server did.
    pub behaviour: String,
    /// What the report says of itself.
    pub rung: &'static str,
    /// Requests that reached the server, or were made.
    pub calls: usize,
    /// Whether the report was there within the deadline.
    pub in_time: bool,
    /// The rows of `llm_usage`, in order.
    pub usage: String,
    /// Seconds after which the model is asked again.
    pub retry_in_s: Option<u32>,
}

impl Outcome {
    /// What `written` says; it took `took` of `deadline`.
    pub fn of(behaviour: &str, written: &Written, took: Duration, deadline: Duration) -> Self {
        let rows = written.usage.iter().map(|usage| match usage.detail.as_str() {
            "" => usage.outcome.as_str().to_owned(),
            detail => format!("{} ({detail})", usage.outcome.as_str()),
        });
        let made = |outcome| !matches!(outcome, LlmOutcome::Refused | LlmOutcome::Cached);
        Self {
            behaviour: behaviour.to_owned(),
            rung: written.report.rung.as_str(),
            calls: written.usage.iter().filter(|usage| made(usage.outcome)).count(),
            in_time: took <= deadline,
            usage: rows.collect::<Vec<_>>().join(", "),
            retry_in_s: written.report.retry_in_s,
        }
    }
}

/// The table of these lines.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = "\n| behaviour | what came out | calls | in time | rows of `llm_usage` | asked again after |\n|---|---|---|---|---|---|\n".to_owned();
    for outcome in outcomes {
        let again = outcome.retry_in_s.map_or("-".to_owned(), |seconds| format!("{seconds} s"));
        let in_time = if outcome.in_time { "yes" } else { "no" };
        let Outcome { behaviour, rung, calls, usage, .. } = outcome;
        writeln!(text, "| {behaviour} | `{rung}` | {calls} | {in_time} | {usage} | {again} |")
            .expect("a string has room");
    }
    text.push('\n');
    text
}

/// Compares the table `name` of `docs/reports.md` with what was seen, or writes it.
///
/// # Panics
/// When they differ, saying how to write it anew.
pub fn compare(name: &str, outcomes: &[Outcome]) {
    let _alone = PAGE.lock();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reports.md");
    let page = std::fs::read_to_string(&path).expect("docs/reports.md");
    let (begin, end) = (format!("<!-- outcomes: {name} -->"), "<!-- end of outcomes -->");
    let (head, rest) =
        page.split_once(&begin).unwrap_or_else(|| panic!("docs/reports.md has no {begin}"));
    let (told, tail) = rest.split_once(end).expect("the table has an end");
    let seen = table(outcomes);
    println!("{name}:{seen}");
    if std::env::var_os("BONGSU_TEST_WRITE").is_some() {
        let page = format!("{head}{begin}{seen}{end}{tail}");
        std::fs::write(&path, page).expect("docs/reports.md can be written");
        return;
    }
    assert_eq!(
        told, seen,
        "docs/reports.md does not tell what {name} gave; \
         BONGSU_TEST_WRITE=1 cargo test --test all llm:: writes it anew"
    );
}
