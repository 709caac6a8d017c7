//! From the values of a call to the typed arguments of a task.
//!
//! A task states its arguments once, with [`task_arguments!`](crate::task_arguments!): names, types and
//! a line of help each become the struct that the task gets, and what is said of the task wherever
//! it is listed. Positional values fill the parameters in their order, as in Python; an error names
//! the argument, its value, and what was expected. Wrong names, numbers and types are a `TypeError`
//! for the client, a value out of range a `ValueError`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Parameter, TaskCall, TaskFailure};
use crate::market::{EventTime, SessionDay, Symbol};

/// The arguments of one task.
pub trait Arguments: DeserializeOwned + Send + 'static {
    /// The task's name.
    const NAME: &'static str;
    /// What the task does.
    const HELP: &'static str;
    /// What it takes, in the order of positional arguments.
    const PARAMETERS: &'static [Parameter];
}

/// A type that an argument can have.
pub trait ArgumentType {
    /// What a value looks like, in words.
    const EXPECTED: &'static str;
    /// Whether a call must have it.
    const REQUIRED: bool = true;
}

impl<T: ArgumentType> ArgumentType for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const REQUIRED: bool = false;
}

macro_rules! argument_types {
    ($($type:ty: $words:literal,)+) => {
        $(impl ArgumentType for $type {
            const EXPECTED: &'static str = $words;
        })+
    };
}

argument_types! {
    String: "a text",
    bool: "true or false",
    u32: "a whole number from 0",
    i64: "a whole number",
    f64: "a number",
    Value: "any JSON value",
    Map<String, Value>: "a JSON object",
    Symbol: "an issue code as 005930",
    Vec<Symbol>: "a list of issue codes as [\"005930\", \"000660\"]",
    SessionDay: "a day as 2024-08-05",
    Moment: "a time as 2024-08-05T15:30:00+09:00",
}

/// A moment as a caller writes it: RFC 3339, or a bare day, which is its end of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(pub EventTime);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(day) = text.parse::<SessionDay>() {
            let close = crate::market::rules::CLOSE;
            return Ok(Self(EventTime::from_kst(day, close)));
        }
        chrono::DateTime::parse_from_rfc3339(&text)
            .map(|time| Self(EventTime::from_micros(time.timestamp_micros())))
            .map_err(|_| {
                format!("\"{text}\" is not a time: expected one as 2024-08-05T15:30:00+09:00")
            })
    }
}

/// Defines the arguments of a task: a struct with a field for each parameter, each with its type and
/// its line of help, and the task's name and help from the docs. `Option` fields may be left out of
/// a call.
///
/// ```
/// bongsu::task_arguments! {
///     /// Adds two numbers.
///     pub struct Add("add") {
///         /// One.
///         a: f64,
///         /// The other; 1 when it is left out.
///         b: Option<f64>,
///     }
/// }
/// ```
#[macro_export]
macro_rules! task_arguments {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident($task:literal) {
            $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty, )*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        $vis struct $name {
            $( $(#[doc = $field_doc])+ pub $field: $type, )*
        }

        impl $crate::tasks::Arguments for $name {
            const NAME: &'static str = $task;
            const HELP: &'static str = concat!($($doc, "\n"),+).trim_ascii();
            const PARAMETERS: &'static [$crate::tasks::Parameter] = &[
                $( $crate::tasks::Parameter {
                    name: stringify!($field),
                    help: concat!($($field_doc, "\n"),+).trim_ascii(),
                    expected: <$type as $crate::tasks::ArgumentType>::EXPECTED,
                    required: <$type as $crate::tasks::ArgumentType>::REQUIRED,
                }, )*
            ];
        }
    };
}

/// The typed arguments of `call`.
///
/// # Errors
/// A `TypeError` or `ValueError` that names the argument, its value and what was expected.
pub fn bind<A: Arguments>(call: &TaskCall) -> Result<A, TaskFailure> {
    let named = by_name(A::NAME, A::PARAMETERS, call)?;
    let arguments = Value::Object(named);
    serde_path_to_error::deserialize(&arguments).map_err(|error| {
        let path = error.path().to_string();
        let first = path.split(['.', '[']).next().unwrap_or_default();
        let parameter = A::PARAMETERS.iter().find(|one| one.name == first);
        let cause = error.into_inner().to_string();
        let cause = short(&cause, 160);
        let Some(parameter) = parameter else {
            return TaskFailure::arguments(format!("{}(): {cause}", A::NAME));
        };
        let value = shown(&arguments[first]);
        let (name, expected) = (A::NAME, parameter.expected);
        let text = format!("{name}(): argument {path} is {value}: expected {expected} ({cause})");
        match cause.starts_with("invalid type") || cause.starts_with("missing field") {
            true => TaskFailure::arguments(text),
            false => TaskFailure::value(text),
        }
    })
}

/// The values of `call` by the names of `parameters`.
fn by_name(
    task: &str,
    parameters: &[Parameter],
    call: &TaskCall,
) -> Result<Map<String, Value>, TaskFailure> {
    if call.args.len() > parameters.len() {
        let (most, given) = (parameters.len(), call.args.len());
        let (s, were) = (if most == 1 { "" } else { "s" }, if given == 1 { "was" } else { "were" });
        return Err(TaskFailure::arguments(format!(
            "{task}() takes {most} positional argument{s} but {given} {were} given"
        )));
    }
    let mut named = Map::new();
    for (parameter, value) in parameters.iter().zip(&call.args) {
        named.insert(parameter.name.to_owned(), value.clone());
    }
    for (name, value) in &call.kwargs {
        if !parameters.iter().any(|parameter| parameter.name == name) {
            let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(TaskFailure::arguments(format!(
                "{task}() got an unexpected keyword argument '{name}'; its arguments: {known}"
            )));
        }
        if named.insert(name.clone(), value.clone()).is_some() {
            return Err(TaskFailure::arguments(format!(
                "{task}() got multiple values for argument '{name}'"
            )));
        }
    }
    let missing = parameters.iter().find(|one| one.required && !named.contains_key(one.name));
    match missing {
        Some(parameter) => Err(TaskFailure::arguments(format!(
            "{task}() missing 1 required argument: '{}', {}",
            parameter.name, parameter.expected
        ))),
        None => Ok(named),
    }
}

/// A value for a message: its JSON, cut short.
fn shown(value: &Value) -> String {
    short(&value.to_string(), 80)
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

crate::task_arguments! {
    /// A task that takes nothing; for tests of the machinery.
    pub struct NoArguments("nothing") {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    crate::task_arguments! {
        /// Looks at issues.
        ///
        /// More than one line.
        struct Look("look") {
            /// Which.
            symbols: Vec<Symbol>,
            /// How many.
            limit: Option<u32>,
            /// When.
            as_of: Option<Moment>,
        }
    }

    fn call(args: Value, kwargs: Value) -> TaskCall {
        let (Value::Array(args), Value::Object(kwargs)) = (args, kwargs) else { unreachable!() };
        TaskCall::new("look").args(args).kwargs(kwargs)
    }

    fn error(args: Value, kwargs: Value) -> (String, String) {
        let failure = bind::<Look>(&call(args, kwargs)).unwrap_err();
        assert_eq!((failure.exc_module.as_str(), failure.retry), ("builtins", None));
        (failure.exc_type.clone(), failure.message())
    }

    #[test]
    fn the_docs_are_the_help() {
        assert_eq!(Look::HELP, "Looks at issues.\n\n More than one line.");
        let [symbols, limit, as_of] = Look::PARAMETERS else { panic!("{:?}", Look::PARAMETERS) };
        assert_eq!((symbols.name, symbols.help, symbols.required), ("symbols", "Which.", true));
        assert!(!limit.required && !as_of.required);
    }

    #[test]
    fn positions_and_names_fill_the_same_parameters() {
        let expected = Look {
            symbols: vec!["005930".parse().unwrap()],
            limit: Some(3),
            as_of: Some(Moment(EventTime::from_micros(1_722_839_400_000_000))),
        };
        for (args, kwargs) in [
            (json!([["005930"], 3, "2024-08-05"]), json!({})),
            (json!([["005930"]]), json!({"limit": 3, "as_of": "2024-08-05T15:30:00+09:00"})),
            (
                json!([]),
                json!({"symbols": ["005930"], "limit": 3, "as_of": "2024-08-05T06:30:00Z"}),
            ),
        ] {
            assert_eq!(bind::<Look>(&call(args, kwargs)).unwrap(), expected);
        }
        let none = bind::<Look>(&call(json!([["005930"], null]), json!({}))).unwrap();
        assert_eq!(none.limit, None);
    }

    #[test]
    fn an_error_names_the_argument_its_value_and_what_was_expected() {
        let (kind, text) = error(json!([]), json!({"symbols": 5}));
        assert_eq!(kind, "TypeError");
        assert!(text.contains("argument symbols is 5: expected a list of issue codes"), "{text}");
        let (kind, text) = error(json!([["005930", "???"]]), json!({}));
        assert_eq!(kind, "ValueError");
        assert!(text.contains("symbols[1]") && text.contains("\"???\""), "{text}");
        let (kind, text) = error(json!([["005930"], -1]), json!({}));
        assert_eq!(kind, "ValueError", "{text}");
        let (_, text) = error(json!([["005930"]]), json!({"as_of": "noon"}));
        assert!(text.contains("\"noon\" is not a time"), "{text}");
        let (kind, text) = error(json!([1, 2, 3, 4]), json!({}));
        assert_eq!(
            (kind.as_str(), text.as_str()),
            ("TypeError", "look() takes 3 positional arguments but 4 were given")
        );
        let (_, text) = error(json!([]), json!({"limit": 1}));
        assert!(text.contains("missing 1 required argument: 'symbols'"), "{text}");
        let (_, text) = error(json!([[]]), json!({"bogus": 1}));
        assert!(text.contains("'bogus'") && text.contains("symbols, limit, as_of"), "{text}");
        let (_, text) = error(json!([[]]), json!({"symbols": []}));
        assert!(text.contains("multiple values for argument 'symbols'"), "{text}");
        let long = "x".repeat(1_000);
        assert!(error(json!([long]), json!({})).1.len() < 400);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_taken_or_refused(
            args in prop::collection::vec(any_json(), 0..5),
            kwargs in prop::collection::hash_map("symbols|limit|as_of|[a-z]{1,4}", any_json(), 0..4),
        ) {
            let call = TaskCall::new("look").args(args).kwargs(kwargs.into_iter().collect());
            if let Err(failure) = bind::<Look>(&call) {
                prop_assert!(failure.message().contains("look()"), "{}", failure);
            }
        }
    }
}
