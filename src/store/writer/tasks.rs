//! Runs of tasks: `task_runs`.

use sea_orm::ActiveValue::Set;

use super::super::entity::task_run;
use super::super::{Database, RowCounts, StoreError};
use super::rows::{MAX_TEXT, ascii, head, name};
use super::send::send;
use crate::messages::TaskRun;

/// Longest arguments and result that are stored, bytes; of longer ones their size.
const MAX_JSON: usize = 256 << 10;
/// Runs with less than this go many in one statement.
const SMALL: usize = 12 << 10;

/// Writes `runs`, in order.
///
/// # Errors
/// When the database fails; nothing of them is stored then.
pub(super) async fn write(
    db: &Database,
    runs: &[TaskRun],
    sent: &mut RowCounts,
) -> Result<(), StoreError> {
    db.within("write task_runs", async {
        let transaction = db.begin_write().await?;
        // Of one call the later row must be written later, so large ones keep their place.
        for group in runs.chunk_by(|a, b| is_small(a) && is_small(b)) {
            send(&transaction, sent, group, row).await?;
        }
        transaction.commit().await.map_err(StoreError::statement("commit task_runs"))
    })
    .await
}

fn is_small(run: &TaskRun) -> bool {
    run.args.len() + run.result.len() + run.error.len() < SMALL
}

/// JSON for a column: what is too long is told by its size.
fn json(text: &str) -> String {
    if text.len() <= MAX_JSON {
        text.to_owned()
    } else {
        format!("{{\"omitted_bytes\":{}}}", text.len())
    }
}

fn row(run: &TaskRun) -> task_run::ActiveModel {
    task_run::ActiveModel {
        id: Set(ascii(&run.id, 64)),
        name: Set(name(&run.name, 128)),
        state: Set(ascii(&run.state, 16)),
        args: Set(json(&run.args)),
        result: Set(json(&run.result)),
        error: Set(head(&run.error, MAX_TEXT).to_owned()),
        retries: Set(i32::try_from(run.retries).unwrap_or(i32::MAX)),
        received_at: Set(run.received_at),
        started_at: Set(run.started_at),
        finished_at: Set(run.finished_at),
        execution: Set(Some(ascii(&run.execution, 64))),
        executions: Set(Some(1)),
        root_id: Set(Some(ascii(&run.root_id, 64))),
        parent_id: Set(Some(ascii(&run.parent_id, 64))),
        origin: Set(Some(name(&run.origin, 128))),
        worker: Set(Some(name(&run.worker, 128))),
        as_of: Set(Some(run.as_of)),
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::EntityTrait;

    use super::*;
    use crate::market::EventTime;
    use crate::store::DatabaseOptions;

    fn run(state: &str, execution: &str, args: usize) -> TaskRun {
        TaskRun {
            id: "a".to_owned(),
            name: "compute_risk".to_owned(),
            state: state.to_owned(),
            args: format!("\"{}\"", "x".repeat(args)),
            result: String::new(),
            error: String::new(),
            retries: 0,
            execution: execution.to_owned(),
            root_id: "a".to_owned(),
            parent_id: String::new(),
            origin: "test".to_owned(),
            worker: execution.to_owned(),
            as_of: EventTime::from_micros(5),
            received_at: EventTime::from_micros(1),
            started_at: Some(EventTime::from_micros(2)),
            finished_at: None,
        }
    }

    #[tokio::test]
    async fn executions_are_counted_once_however_often_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/t.db?mode=rwc", folder.path().display());
        let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        db.migrate().await.unwrap();
        db.migrate().await.unwrap();
        let stored = async || {
            let all = task_run::Entity::find().all(db.connection()).await.unwrap();
            assert_eq!(all.len(), 1);
            all.into_iter().next().unwrap()
        };
        let mut sent = RowCounts::default();
        let started = run("STARTED", "one", 9);
        write(&db, &[started.clone(), started.clone()], &mut sent).await.unwrap();
        write(&db, std::slice::from_ref(&started), &mut sent).await.unwrap();
        assert_eq!(
            (stored().await.executions, stored().await.state.as_str()),
            (Some(1), "STARTED")
        );
        // Its worker died: another one begins and ends it.
        let runs = [run("STARTED", "two", 9), run("SUCCESS", "two", 9)];
        write(&db, &runs, &mut sent).await.unwrap();
        let row = stored().await;
        assert_eq!((row.executions, row.state.as_str()), (Some(2), "SUCCESS"));
        assert_eq!(
            (row.worker.as_deref(), row.as_of),
            (Some("two"), Some(EventTime::from_micros(5)))
        );
    }

    #[test]
    fn what_is_too_long_is_told_by_its_size() {
        let long = row(&run("SUCCESS", "one", MAX_JSON));
        assert_eq!(long.args.unwrap(), format!("{{\"omitted_bytes\":{}}}", MAX_JSON + 2));
        assert!(!is_small(&run("SUCCESS", "one", SMALL)));
    }
}
