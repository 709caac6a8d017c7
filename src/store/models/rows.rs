//! `model_versions` and `evaluation_metrics`: the registry's list and the measures as rows, for who asks
//! the database. The object store is the truth; these rows follow it.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::messages::{Evaluation, Measure, ModelVersion};
use crate::store::entity::{evaluation_metric, model_version};
use crate::store::objects::Bucket;
use crate::store::retry::retry_conflicts;
use crate::store::upsert::upsert;
use crate::store::{Database, StoreError};

/// Longest name of a measure, and of its label, as the columns have it.
const NAME: usize = 64;
const LABEL: usize = 32;

/// Writes every version of the list; rows that are there are brought up to date.
///
/// # Errors
/// When the database fails.
pub async fn write_versions(db: &Database, versions: &[ModelVersion]) -> Result<u64, StoreError> {
    let rows: Vec<_> = versions
        .iter()
        .map(|version| model_version::ActiveModel {
            id: Set(version.id.to_string()),
            kind: Set(head(&version.kind, 32)),
            active: Set(version.active),
            object_path: Set(format!("{}/{}", Bucket::Models.as_str(), version.object_key())),
            trained_until: Set(version.trained_until.to_string()),
            metrics: Set(serde_json::to_string(&version.metrics).unwrap_or_default()),
            created_at: Set(version.created_at),
            activated_at: Set(version.activated_at),
        })
        .collect();
    let write = || async {
        let rows = upsert(db.connection(), rows.clone()).await;
        rows.map_err(StoreError::statement("write model_versions"))
    };
    retry_conflicts!(db.within("write model_versions", write()).await)
}

/// Writes the measures of a run; the same run again replaces its values.
///
/// # Errors
/// When the database fails.
pub async fn write_evaluation(db: &Database, evaluation: &Evaluation) -> Result<u64, StoreError> {
    let rows: Vec<_> = evaluation
        .measures
        .iter()
        .map(|measure| evaluation_metric::ActiveModel {
            id: NotSet,
            run_id: Set(head(&evaluation.run_id, 64)),
            metric: Set(head(&measure.metric, NAME)),
            label: Set(head(&measure.label, LABEL)),
            value: Set(measure.value),
            created_at: Set(evaluation.at),
        })
        .collect();
    let write = || async {
        let rows = upsert(db.connection(), rows.clone()).await;
        rows.map_err(StoreError::statement("write evaluation_metrics"))
    };
    retry_conflicts!(db.within("write evaluation_metrics", write()).await)
}

/// The measures of the newest run; `None` when there was none.
///
/// # Errors
/// When the database fails.
pub async fn newest_evaluation(db: &Database) -> Result<Option<Evaluation>, StoreError> {
    use evaluation_metric::{Column, Entity};
    let failed = || StoreError::statement("read evaluation_metrics");
    let newest = Entity::find()
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .one(db.connection())
        .await
        .map_err(failed())?;
    let Some(newest) = newest else { return Ok(None) };
    let rows = Entity::find()
        .filter(Column::RunId.eq(newest.run_id.as_str()))
        .order_by_asc(Column::Id)
        .all(db.connection())
        .await
        .map_err(failed())?;
    let measures = rows.into_iter().map(|row| Measure {
        metric: row.metric,
        label: row.label,
        value: row.value,
    });
    Ok(Some(Evaluation {
        run_id: newest.run_id,
        at: newest.created_at,
        measures: measures.collect(),
    }))
}

/// The first `bytes` of an ASCII name.
fn head(text: &str, bytes: usize) -> String {
    text.chars().filter(char::is_ascii).take(bytes).collect()
}
