//! House rules, as a test over the source tree: what a reviewer should not have to look for.
//!
//! - [`source`]: reads a file into code without comments and literals, and knows what is test code
//! - [`arrows`]: which part may import which
//! - [`checks`]: shows on snippets that each rule can fail
//! - [`rules`]: everything that is forbidden by name, length or place
//!
//! A finding names the place, the rule and what to do. A line that must break a rule says so where
//! it stands, on the line itself or just above it: `// tidy: allow(<rule>): <reason>`. An exception
//! that no longer excuses anything is a finding too.

mod arrows;
mod checks;
mod rules;
mod source;
mod waivers;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: [{}] {}", self.file, self.line, self.rule, self.what)
    }
}

/// Folders that hold nothing of ours, or nothing to read.
const NOT_OURS: &[&str] =
    &["target", "var", "node_modules", "__pycache__", "corpus", "artifacts", ".git"];

/// Files whose text is not ours to word: they name where packages come from.
const NOT_WORDED_BY_US: &[&str] = &["Cargo.lock", "deny.toml", "package-lock.json"];

#[test]
fn the_tree_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, root, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(name, text)| Source::new(name, text))
        .collect();
    assert!(sources.len() > 10, "only {} source files: is that the tree?", sources.len());

    let mut findings = check(sources);
    for (name, text) in &files {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        if !NOT_WORDED_BY_US.contains(&file_name) {
            findings.extend(rules::words(name, text));
        }
    }
    findings.sort();
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} findings\n{}", list.len(), list.join("\n"));
}

/// Every rule over every source, minus what is excused.
pub fn check(mut sources: Vec<Source>) -> Vec<Finding> {
    source::mark_test_files(&mut sources);
    let mut findings = Vec::new();
    for source in &sources {
        let mut found = arrows::check(source);
        found.extend(rules::check(source));
        findings.extend(waivers::apply(source, found));
    }
    findings
}

/// Text files under `dir`, as (path from `root`, text).
fn walk(root: &Path, dir: &Path, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for entry in entries {
        let path: PathBuf = entry.expect("a folder's entry can be read").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|name| !NOT_OURS.contains(&name.as_str())) else { continue };
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files);
        } else if name != ".env" {
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            // What is not text (Parquet, pictures) has no wording.
            if let Ok(text) = String::from_utf8(bytes) {
                let relative = path.strip_prefix(root).expect("it is under the root");
                files.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
}
