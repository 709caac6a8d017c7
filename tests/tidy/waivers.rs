//! `// tidy: allow(<rule>): <reason>`: an exception, where it is taken.

use super::Finding;
use super::source::Source;

const MARK: &str = "// tidy: allow(";

/// One exception and the lines it covers: its own, and the next that is not a comment.
struct Waiver {
    line: usize,
    covers: usize,
    rule: String,
    used: bool,
}

/// Drops what is excused, adds exceptions that are malformed or excuse nothing.
pub fn apply(source: &Source, found: Vec<Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut waivers = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for comment in &source.comments {
        let Some(rest) = source.text[comment.clone()].strip_prefix(MARK) else { continue };
        let line = source.line(comment.start);
        let parts = rest.split_once("): ").filter(|(_, reason)| !reason.trim().is_empty());
        let Some((rule, _)) = parts else {
            findings.push(finding(source, line, "an exception gives its reason: `): why`"));
            continue;
        };
        let covers = if lines[line - 1].trim_start().starts_with("//") {
            let comment = |line: &&&str| line.trim_start().starts_with("//");
            line + lines[line..].iter().take_while(comment).count() + 1
        } else {
            line
        };
        waivers.push(Waiver { line, covers, rule: rule.to_owned(), used: false });
    }
    for found in found {
        let waiver = waivers
            .iter_mut()
            .find(|waiver| waiver.rule == found.rule && waiver.covers == found.line);
        match waiver {
            Some(waiver) => waiver.used = true,
            None => findings.push(found),
        }
    }
    let unused = waivers.iter().filter(|waiver| !waiver.used);
    findings.extend(unused.map(|waiver| {
        let what = format!("this exception to `{}` excuses nothing: remove it", waiver.rule);
        finding(source, waiver.line, &what)
    }));
    findings
}

fn finding(source: &Source, line: usize, what: &str) -> Finding {
    Finding { file: source.path.clone(), line, rule: "exception", what: what.to_owned() }
}
