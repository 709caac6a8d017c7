//! A Rust file as the rules see it.
//!
//! Not a parser: a pass over the characters that blanks comments and the insides of literals, byte
//! for byte, so that every place in the result is the same place in the file.

use std::ops::Range;

/// One file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// As written.
    pub text: String,
    /// The same length, comments and the insides of literals blanked.
    pub code: String,
    /// Line comments, as byte ranges of `text`.
    pub comments: Vec<Range<usize>>,
    /// What is compiled only for tests, as byte ranges of `code`.
    test: Vec<Range<usize>>,
}

impl Source {
    /// Reads `text` as the file `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = blank(text);
        let test = if path.starts_with("src/") {
            test_items(&code).into_iter().map(|item| item.range).collect()
        } else {
            whole(&code)
        };
        Self { path: path.to_owned(), text: text.to_owned(), code, comments, test }
    }

    /// Line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Whether the byte is in test code.
    pub fn in_test(&self, at: usize) -> bool {
        self.test.iter().any(|range| range.contains(&at))
    }

    /// Whether the file stands under `src/<part>`, or is `src/<part>.rs`.
    pub fn is_in(&self, part: &str) -> bool {
        self.part() == Some(part)
    }

    /// The top module the file belongs to: `src/kis/sim/mod.rs` is in `kis`, `src/lib.rs` in `lib`.
    pub fn part(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split_once('/').map_or_else(|| rest.trim_end_matches(".rs"), |(part, _)| part))
    }

    /// Names of the modules down to this file: `src/kis/sim/mod.rs` is `["kis", "sim"]`.
    pub fn module_path(&self) -> Vec<&str> {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut names: Vec<&str> = rest.trim_end_matches(".rs").split('/').collect();
        if matches!(names.last(), Some(&("mod" | "lib" | "main"))) {
            names.pop();
        }
        names
    }

    /// Where `word` stands in the code as a whole identifier or path: not within a longer name.
    pub fn find_word<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let code = self.code.as_bytes();
        let glued = |at: usize| code.get(at).copied().is_some_and(is_name);
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let starts_within = is_name(word.as_bytes()[0]) && at > 0 && glued(at - 1);
            let ends_within = is_name(word.as_bytes()[word.len() - 1]) && glued(at + word.len());
            !starts_within && !ends_within
        })
    }
}

/// Marks files that a `#[cfg(test)] mod name;` elsewhere pulls in, and all below them.
pub fn mark_test_files(sources: &mut [Source]) {
    // Paths without `.rs`.
    let mut stems = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        for item in test_items(&source.code) {
            let Some(module) = item.module else { continue };
            if let Some(inside) = item.path {
                // `#[path]` counts from the folder that the file stands in.
                let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let file = &source.text[inside];
                stems.push(format!("{folder}/{}", file.trim_end_matches(".rs")));
            } else {
                let mut path = vec!["src"];
                path.extend(source.module_path());
                stems.push(format!("{}/{module}", path.join("/")));
            }
        }
    }
    for source in sources {
        let own = source.path.trim_end_matches(".rs");
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        if stems.iter().any(|stem| own.strip_prefix(stem.as_str()).is_some_and(below)) {
            source.test = whole(&source.code);
        }
    }
}

fn whole(code: &str) -> Vec<Range<usize>> {
    std::iter::once(0..code.len()).collect()
}

pub fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// What stands behind `#[cfg(test)]`, `#[cfg(any(test, …))]` or `#[test]`.
struct TestItem {
    /// The whole item, attribute included.
    range: Range<usize>,
    /// The module's name, where the item is `mod name;`.
    module: Option<String>,
    /// The inside of its `#[path = "…"]`.
    path: Option<Range<usize>>,
}

/// All of them; `#![cfg(test)]` makes the whole file one.
fn test_items(code: &str) -> Vec<TestItem> {
    let bytes = code.as_bytes();
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find('#').map(|at| from + at) {
        from = at + 1;
        let inner = bytes.get(at + 1) == Some(&b'!');
        let open = at + 1 + usize::from(inner);
        if bytes.get(open) != Some(&b'[') {
            continue;
        }
        let close = matching(bytes, open);
        if !is_test_attribute(&code[open + 1..close]) {
            continue;
        }
        if inner {
            return vec![TestItem { range: 0..code.len(), module: None, path: None }];
        }
        let end = item_end(bytes, close + 1);
        let item = &code[close + 1..end];
        let module = item.trim_end().strip_suffix(';').and_then(|item| item.rsplit_once("mod "));
        let path = item.find("#[path").and_then(|attribute| {
            let open = close + 1 + attribute + code[close + 1 + attribute..].find('"')? + 1;
            Some(open..open + code[open..].find('"')?)
        });
        let module = module.map(|(_, name)| name.trim().to_owned());
        items.push(TestItem { range: at..end, module, path });
        from = end;
    }
    items
}

fn is_test_attribute(attribute: &str) -> bool {
    let attribute: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
    if attribute == "test" || attribute.ends_with("::test") || attribute.contains("::test(") {
        return true;
    }
    let Some(condition) = attribute.strip_prefix("cfg(") else { return false };
    let mut words = condition.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!'));
    words.any(|word| word == "test") && !condition.contains("not(test")
}

/// The end of the item that starts at `from`: past its `;`, or past its closing brace.
fn item_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b';' => return at + 1,
            // The end of what the item stands in: it was a field or the last expression.
            b'}' => return at,
            b'{' => return matching(bytes, at) + 1,
            b'(' | b'[' => at = matching(bytes, at),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The bracket that closes the one at `open`, or the last byte of a file that does not close it.
pub fn matching(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len() - 1
}

/// Blanks comments and the insides of literals; quotes and line ends stay. Also says where the line
/// comments are.
fn blank(text: &str) -> (String, Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut comments = Vec::new();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            let end = rest.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |n| at + n);
            comments.push(at..end);
            hide(&mut code, at..end)
        } else if rest.starts_with(b"/*") {
            let end = block_comment_end(bytes, at);
            hide(&mut code, at..end)
        } else if let Some((inside, end)) = literal(bytes, at) {
            hide(&mut code, inside);
            end
        } else if is_name(bytes[at]) {
            // A whole name at a time: the `r` of `for"` starts no raw string.
            at + rest.iter().position(|&byte| !is_name(byte)).unwrap_or(rest.len())
        } else {
            at + 1
        };
        at = end;
    }
    (String::from_utf8(code).expect("whole characters are blanked"), comments)
}

fn hide(code: &mut [u8], range: Range<usize>) -> usize {
    let end = range.end;
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
    end
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// A literal that starts at `at`, prefix included: the range of its inside, and its end.
fn literal(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let rest = &bytes[at..];
    let letters = rest.iter().take(2).take_while(|byte| b"bcr".contains(byte)).count();
    let raw = rest[..letters].contains(&b'r');
    let open = at + letters;
    if raw {
        let hashes = bytes[open..].iter().take_while(|&&byte| byte == b'#').count();
        if bytes.get(open + hashes) != Some(&b'"') {
            return None;
        }
        let start = open + hashes + 1;
        let mut close = vec![b'"'];
        close.resize(hashes + 1, b'#');
        let length = bytes[start..].windows(close.len()).position(|window| window == close);
        let end = length.map_or(bytes.len(), |length| start + length);
        return Some((start..end, (end + close.len()).min(bytes.len())));
    }
    match bytes.get(open)? {
        b'"' => quoted(bytes, open, b'"'),
        // `'a'` and `'\n'` are characters, `'a` alone a lifetime or a label.
        b'\'' if letters < 2 && is_char(bytes, open) => quoted(bytes, open, b'\''),
        _ => None,
    }
}

fn quoted(bytes: &[u8], open: usize, quote: u8) -> Option<(Range<usize>, usize)> {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    let end = at.min(bytes.len());
    Some((open + 1..end, (end + 1).min(bytes.len())))
}

fn is_char(bytes: &[u8], open: usize) -> bool {
    match bytes.get(open + 1) {
        Some(b'\\') => true,
        Some(first) => {
            let width = match first {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            bytes.get(open + 1 + width) == Some(&b'\'')
        }
        None => false,
    }
}
