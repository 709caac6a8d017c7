//! The layers below the flags: the TOML file, `.env`, and the environment, each read into the same
//! shape: dotted key, text, form, origin.
//!
//! An empty variable counts as not set, because that is what `NAME=` in a `.env` and `${NAME:-}`
//! in a compose file mean. Variables that are not Bongsu's are nobody's business; a `BONGSU_…`
//! that does not exist is a mistake. `BONGSU_TEST_…` belongs to the test-suite and is left alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, SECTIONS, find};
use super::problem::{Origin, Problem, nearest};
use super::value::{Form, Kind};

/// One value of one layer.
#[derive(Clone)]
pub struct Raw {
    /// As text.
    pub text: String,
    /// How it was written.
    pub form: Form,
    /// Where.
    pub origin: Origin,
}

/// The values of a layer by dotted key.
pub type Layer = BTreeMap<&'static str, Raw>;

/// Reads the TOML file at `path`. A file that is not there is an error only if it is `required`.
pub fn file(path: &Path, required: bool, problems: &mut Vec<Problem>) -> Layer {
    match std::fs::read_to_string(path) {
        Ok(text) => toml_layer(path, &text, problems),
        Err(error) if error.kind() == ErrorKind::NotFound && !required => Layer::new(),
        Err(error) => {
            problems.push(Problem::Source {
                path: path.to_owned(),
                line: 0,
                message: format!("cannot read this configuration file: {error}"),
            });
            Layer::new()
        }
    }
}

/// The values of the TOML `text`; `path` is for the messages.
pub fn toml_layer(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The rest of a broken file would only add errors that are none. The parser's message
        // without its excerpt: that could show a secret.
        problems.extend(errors.iter().take(5).map(|error| Problem::Source {
            path: path.to_owned(),
            line: error.span().map_or(0, |span| line_at(text, span.start)),
            message: format!("not valid TOML: {}", error.message()),
        }));
        return Layer::new();
    }
    let mut reader = TomlReader { path, layer: Layer::new(), problems };
    for (name, value) in document.get_ref() {
        let line = line_at(text, name.span().start);
        match value.get_ref() {
            DeValue::Table(table) if is_section(name.get_ref()) => {
                for (key, value) in table {
                    let path = format!("{}.{}", name.get_ref(), key.get_ref());
                    match value.get_ref() {
                        // A section below, as [tasks.NAME] is one.
                        DeValue::Table(below) if !below.is_empty() && find(&path).is_none() => {
                            for (key, value) in below {
                                let path = format!("{path}.{}", key.get_ref());
                                reader.take(
                                    &path,
                                    value.get_ref(),
                                    line_at(text, key.span().start),
                                );
                            }
                        }
                        value => reader.take(&path, value, line_at(text, key.span().start)),
                    }
                }
            }
            DeValue::Table(_) => reader.unknown_section(name.get_ref(), line),
            value => reader.take(name.get_ref(), value, line),
        }
    }
    reader.layer
}

struct TomlReader<'a> {
    path: &'a Path,

    layer: Layer,
    problems: &'a mut Vec<Problem>,
}

impl TomlReader<'_> {
    fn take(&mut self, path: &str, value: &DeValue<'_>, line: usize) {
        let origin = Origin::File { path: self.path.to_owned(), line };
        let Some(key) = find(path) else {
            self.problems.push(unknown_key(path, origin));
            return;
        };
        let (text, form) = text_and_form(value, key.kind);
        // `key = ""` is how a file says that something is not set.
        if !text.trim().is_empty() || form != Form::Text {
            self.layer.insert(key.path, Raw { text, form, origin });
        }
    }

    fn unknown_section(&mut self, name: &str, line: usize) {
        let sections = || SECTIONS.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
        let hint = match nearest(name, sections()) {
            Some(section) => format!("did you mean [{section}]?"),
            None => format!("expected one of {}", sections().collect::<Vec<_>>().join(", ")),
        };
        self.problems.push(Problem::Unknown {
            what: "section",
            name: printable(name),
            hint,
            origin: Origin::File { path: self.path.to_owned(), line },
        });
    }
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && SECTIONS.iter().any(|(section, _)| *section == name)
}

/// The problem of a dotted key that does not exist.
pub fn unknown_key(path: &str, origin: Origin) -> Problem {
    let hint = match nearest(path, KEYS.iter().map(|key| key.path)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`bongsu config show` lists every key".into(),
    };
    Problem::Unknown { what: "key", name: printable(path), hint, origin }
}

fn printable(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

fn text_and_form(value: &DeValue<'_>, kind: Kind) -> (String, Form) {
    match value {
        DeValue::String(text) => (text.to_string(), Form::Text),
        DeValue::Integer(number) if number.radix() == 10 => {
            (number.as_str().to_owned(), Form::Number)
        }
        DeValue::Integer(number) => (number.to_string(), Form::Number),
        DeValue::Float(number) => (number.as_str().to_owned(), Form::Number),
        DeValue::Boolean(on) => (on.to_string(), Form::Switch),
        DeValue::Datetime(date) => (date.to_string(), Form::Date),
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            match texts {
                Some(texts) => (texts.join(kind.separator()), Form::List),
                None => ("a list of other things than texts".into(), Form::Other),
            }
        }
        DeValue::Table(_) => ("a table".into(), Form::Other),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}

/// Reads the `.env` file at `path`, if there is one. Of a variable that comes twice the last
/// counts, as in a shell.
pub fn dotenv(path: &Path, problems: &mut Vec<Problem>) -> Layer {
    match std::fs::read_to_string(path) {
        Ok(text) => dotenv_layer(path, &text, problems),
        Err(error) if error.kind() == ErrorKind::NotFound => Layer::new(),
        Err(error) => {
            problems.push(Problem::Source {
                path: path.to_owned(),
                line: 0,
                message: format!("cannot read this .env file: {error}"),
            });
            Layer::new()
        }
    }
}

/// The values of the `.env` file `text`; `path` is for the messages.
pub fn dotenv_layer(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                let origin = Origin::DotEnv {
                    path: path.to_owned(),
                    line: dotenv_line(text, &name),
                    name: name.clone(),
                };
                variables.push((name, value, origin));
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                // The line itself may hold a secret: only its number is told.
                let head = line.lines().next().unwrap_or_default();
                let number = text.lines().position(|candidate| candidate.contains(head.trim_end()));
                problems.push(Problem::Source {
                    path: path.to_owned(),
                    line: number.map_or(0, |index| index + 1),
                    message: "not a line of a .env file: expected NAME=value, quoted where it \
                              holds spaces"
                        .into(),
                });
            }
            Err(error) => problems.push(Problem::Source {
                path: path.to_owned(),
                line: 0,
                message: format!("cannot read this .env file: {error}"),
            }),
        }
    }
    variables_layer(variables, problems)
}

/// The line on which `name` is set last; 0 when it is not found.
fn dotenv_line(text: &str, name: &str) -> usize {
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let last = text.lines().enumerate().filter(|(_, line)| sets(line)).last();
    last.map_or(0, |(index, _)| index + 1)
}

/// The values of the process environment.
pub fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut texts = Vec::new();
    for (name, value) in variables {
        // A name that is not Unicode is none of ours.
        let Ok(name) = name.into_string() else { continue };
        let origin = Origin::Environment { name: name.clone() };
        match value.into_string() {
            Ok(value) => texts.push((name, value, origin)),
            Err(_) if ours(&name) => problems.push(Problem::BadValue {
                key: key_of_variable(&name).map_or_else(|| name.clone(), |key| key.path.into()),
                value: "(not Unicode)".into(),
                expected: "UTF-8 text".into(),
                origin,
            }),
            Err(_) => {}
        }
    }
    variables_layer(texts, problems)
}

fn ours(name: &str) -> bool {
    name.starts_with("BONGSU_") || key_of_variable(name).is_some()
}

fn key_of_variable(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        key.variable == Some(name) || (name.starts_with("BONGSU_") && key.bongsu_variable() == name)
    })
}

/// Of the two names of a key the `BONGSU_` one wins: the well-known one may be meant for others.
fn variables_layer(variables: Vec<(String, String, Origin)>, problems: &mut Vec<Problem>) -> Layer {
    let mut own = Layer::new();
    let mut well_known = Layer::new();
    for (name, text, origin) in variables {
        let Some(key) = key_of_variable(&name) else {
            if name.starts_with("BONGSU_") && !name.starts_with("BONGSU_TEST_") {
                problems.push(unknown_variable(&name, origin));
            }
            continue;
        };
        let layer = if key.variable == Some(name.as_str()) { &mut well_known } else { &mut own };
        if text.trim().is_empty() {
            layer.remove(key.path);
        } else {
            layer.insert(key.path, Raw { text, form: Form::Text, origin });
        }
    }
    well_known.extend(own);
    well_known
}

fn unknown_variable(name: &str, origin: Origin) -> Problem {
    let names: Vec<String> = KEYS.iter().map(Key::bongsu_variable).collect();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "expected BONGSU_<SECTION>__<KEY>; `bongsu config show` lists every key".into(),
    };
    Problem::Unknown { what: "variable", name: printable(name), hint, origin }
}
