//! Step 4: what `task_runs` says besides: which execution, where, for whom, in which world.

use sea_orm::sea_query::{Alias, ColumnDef, Table};
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::async_trait::async_trait;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::schema::{Kind, column_type};

const COLUMNS: &[(&str, Kind)] = &[
    ("execution", Kind::Ascii(64)),
    ("executions", Kind::Small),
    ("root_id", Kind::Ascii(64)),
    ("parent_id", Kind::Ascii(64)),
    ("origin", Kind::Name(128)),
    ("worker", Kind::Name(128)),
    ("as_of", Kind::Time),
];

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_task_runs"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for (name, kind) in COLUMNS {
            if manager.has_column("task_runs", *name).await? {
                continue;
            }
            let mut column =
                ColumnDef::new_with_type(Alias::new(*name), column_type(backend, *kind));
            let mut table = Table::alter();
            table.table(Alias::new("task_runs")).add_column(column.null());
            manager.get_connection().execute(&table).await?;
        }
        Ok(())
    }
}
