//! Who may start planned runs, how far each job's plan has been dealt with, and what a run came to.

use sea_orm::DbErr;
use sea_orm::sea_query::{Alias, ColumnDef, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::schema::Kind::{self, Ascii, Integer, Small, Text, TextId, Time};
use super::schema::{TableSpec, column_type};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_schedule"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            table.create(manager).await?;
        }
        for &(column, kind) in COLUMNS {
            add(manager, "job_runs", column, kind).await?;
        }
        Ok(())
    }
}

const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "scheduler_lease",
        columns: &[
            ("id", TextId),
            ("holder", Ascii(128)),
            ("epoch", Integer),
            ("expires_at", Time),
        ],
        nullable: &[],
        unique: &[],
        indexes: &[],
    },
    TableSpec {
        name: "job_cursors",
        columns: &[("id", TextId), ("plan", Text), ("until", Time), ("epoch", Integer)],
        nullable: &[],
        unique: &[],
        indexes: &[],
    },
];

const COLUMNS: &[(&str, Kind)] = &[("task_id", Ascii(64)), ("attempt", Small), ("epoch", Integer)];

/// Adds a column that may be null, unless it is there.
async fn add(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &str,
    kind: Kind,
) -> Result<(), DbErr> {
    if manager.has_column(table, name).await? {
        return Ok(());
    }
    let mut column = ColumnDef::new_with_type(
        Alias::new(name),
        column_type(manager.get_database_backend(), kind),
    );
    let mut change = Table::alter();
    change.table(Alias::new(table)).add_column(column.null());
    manager.alter_table(change).await
}
