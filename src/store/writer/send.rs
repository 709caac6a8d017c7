//! Rows of one table within a transaction, and what becomes of one that the database refuses.
//!
//! The rows are made so that no database of ours refuses one. An operator may still have narrowed a
//! column or added a constraint. Then the batch is halved until the row at fault stands alone; it
//! goes into `etl_failures` with what the database said, within the same transaction, and the
//! others are stored. A failed statement leaves the transaction as it was before it, on both
//! databases.

use std::ops::Range;

use sea_orm::{ActiveValue, DatabaseTransaction, IdenStatic, Iterable};

use super::super::entity::etl_failure;
use super::super::fault::{Fault, of_db_err};
use super::super::upsert::{ColumnOf, Upsert, upsert};
use super::super::{RowCounts, StoreError, Table};
use super::rows;

/// Writes a row for each of `items` and counts them. Returns the places of those that the database
/// refuses; their rows are in `etl_failures`.
///
/// # Errors
/// When the database fails.
pub(in crate::store) async fn send<A: Upsert, T: Sync>(
    transaction: &DatabaseTransaction,
    sent: &mut RowCounts,
    items: &[T],
    row: impl Fn(&T) -> A + Send + Sync,
) -> Result<Vec<usize>, StoreError> {
    let mut refused = Vec::new();
    let whole: Range<usize> = 0..items.len();
    let mut ranges = vec![whole];
    while let Some(range) = ranges.pop() {
        match upsert(transaction, items[range.clone()].iter().map(&row)).await {
            Ok(rows) => sent.add(A::TABLE, rows),
            Err(error) if of_db_err(&error) == Fault::Row => {
                if range.len() > 1 {
                    let middle = range.start + range.len() / 2;
                    // The first half is on top: rows keep their order.
                    ranges.extend([middle..range.end, range.start..middle]);
                } else {
                    refused.push(range.start);
                    keep(transaction, sent, &row(&items[range.start]), &error.to_string()).await?;
                }
            }
            Err(source) => {
                let action = format!("write {}", A::TABLE.as_str());
                return Err(StoreError::Statement { action, source });
            }
        }
    }
    Ok(refused)
}

/// Puts a refused row where the operator finds it.
async fn keep<A: Upsert>(
    transaction: &DatabaseTransaction,
    sent: &mut RowCounts,
    row: &A,
    why: &str,
) -> Result<(), StoreError> {
    let (table, text) = (A::TABLE.as_str(), text(row, ColumnOf::<A>::iter()));
    tracing::error!(
        table,
        row = text,
        why,
        "the database refuses a row; it is kept in etl_failures"
    );
    metrics::counter!("bongsu_rejects_total", "reason" => "refused_by_database").increment(1);
    if A::TABLE == Table::EtlFailures {
        // There is no other table for it: the line above is all there is.
        return Ok(());
    }
    let key = text_of_key(row);
    let failure = rows::refused(table, &key, &text, why);
    let written = upsert(transaction, [rows::failure(&failure)]).await;
    match written {
        Ok(rows) => sent.add(Table::EtlFailures, rows),
        Err(error) if of_db_err(&error) == Fault::Row => {
            tracing::error!(table, row = text, %error, "the refused row is only in this log");
        }
        Err(source) => {
            return Err(StoreError::Statement { action: "write etl_failures".to_owned(), source });
        }
    }
    Ok(())
}

fn text_of_key<A: Upsert>(row: &A) -> String {
    text(row, A::KEY.iter().copied())
}

/// `column=value` for each column that is set.
fn text<A: Upsert>(row: &A, columns: impl Iterator<Item = ColumnOf<A>>) -> String {
    let mut parts = Vec::new();
    for column in columns {
        if let ActiveValue::Set(value) | ActiveValue::Unchanged(value) = row.get(column) {
            parts.push(format!("{}={value:?}", column.as_str()));
        }
    }
    parts.join(" ")
}

/// Rows of `etl_failures`; those refused in turn are in the log.
///
/// # Errors
/// When the database fails.
pub(super) async fn send_failures(
    transaction: &DatabaseTransaction,
    sent: &mut RowCounts,
    failures: &[etl_failure::Model],
) -> Result<(), StoreError> {
    send(transaction, sent, failures, rows::failure).await.map(drop)
}
