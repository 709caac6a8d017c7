//! What a batch of collected records must look like.
//!
//! The schema says names, order, types and that nothing is missing; [`validate`] also looks at the
//! values. A batch that passes can be stored.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::batch;

/// What is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Bars of minutes and days.
    Bars,
    /// Trades of the market.
    Executions,
    /// Orders of the account.
    Orders,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Bars, Self::Executions, Self::Orders];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bars => "bars",
            Self::Executions => "executions",
            Self::Orders => "orders",
        }
    }

    /// Its columns: times in UTC with microseconds, prices and values in whole won.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        use DataType::{Boolean, Date32, Int64, Utf8};
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let columns: Vec<(&str, DataType)> = match self {
            Self::Bars => vec![
                ("symbol", Utf8),
                ("interval", Utf8),
                ("start", time()),
                ("open", Int64),
                ("high", Int64),
                ("low", Int64),
                ("close", Int64),
                ("volume", Int64),
                ("amount", Int64),
                ("source", Utf8),
                ("final", Boolean),
            ],
            Self::Executions => vec![
                ("symbol", Utf8),
                ("time", time()),
                ("price", Int64),
                ("quantity", Int64),
                ("cum_volume", Int64),
            ],
            Self::Orders => vec![
                ("account", Utf8),
                ("day", Date32),
                ("branch", Utf8),
                ("number", Utf8),
                ("symbol", Utf8),
                ("side", Utf8),
                ("time", time()),
                ("ordered", Int64),
                ("filled", Int64),
                ("price", Int64),
            ],
        };
        let fields: Vec<Field> =
            columns.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
        Arc::new(Schema::new(fields))
    }
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Its columns are not those of its kind.
    #[error("{kind}: the columns are {found}, expected {expected}")]
    Columns {
        /// Kind.
        kind: &'static str,
        /// The columns it has.
        found: String,
        /// The columns of its kind.
        expected: String,
    },
    /// A value is not possible.
    #[error("{kind}: row {row} has {column} {value}, expected {expected}")]
    Value {
        /// Kind.
        kind: &'static str,
        /// Row, from 0.
        row: usize,
        /// Column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What may.
        expected: &'static str,
    },
    /// The columns cannot be put together.
    #[error("{kind}: {reason}")]
    Build {
        /// Kind.
        kind: &'static str,
        /// Arrow's own words.
        reason: String,
    },
}

fn written(schema: &Schema) -> String {
    let mark = |field: &Field| if field.is_nullable() { "?" } else { "" };
    let fields = schema.fields().iter();
    let columns: Vec<String> = fields
        .map(|field| format!("{}{} {}", field.name(), mark(field), field.data_type()))
        .collect();
    columns.join(", ")
}

/// Whether `batch` has the columns of `kind`.
///
/// # Errors
/// [`SchemaError::Columns`] with both lists.
pub fn validate_columns(kind: Kind, batch: &RecordBatch) -> Result<(), SchemaError> {
    let (expected, found) = (kind.schema(), batch.schema());
    if expected.fields() == found.fields() {
        return Ok(());
    }
    Err(SchemaError::Columns {
        kind: kind.as_str(),
        found: written(&found),
        expected: written(&expected),
    })
}

/// Whether `batch` is a good batch of `kind`: its columns, and every value.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(kind: Kind, batch: &RecordBatch) -> Result<(), SchemaError> {
    match kind {
        Kind::Bars => batch::bars_of(batch).map(drop),
        Kind::Executions => batch::executions_of(batch).map(drop),
        Kind::Orders => batch::orders_of(batch).map(drop),
    }
}
