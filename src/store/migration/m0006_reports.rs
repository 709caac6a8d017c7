//! What `reports` and `llm_usage` say beyond the first schema: the step of the ladder, the subject,
//! which report a call was made for, what it cost.

use sea_orm::DbErr;
use sea_orm::sea_query::{Alias, ColumnDef, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::schema::{Kind, column_type};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0006_reports"
    }
}

/// A new column's value in the rows that are there.
enum Old {
    Text(&'static str),
    Number(i64),
}

const COLUMNS: [(&str, &str, Kind, Old); 6] = [
    ("reports", "subject", Kind::Name(128), Old::Text("")),
    ("reports", "rung", Kind::Ascii(16), Old::Text("template")),
    ("llm_usage", "report_id", Kind::Ascii(64), Old::Text("")),
    ("llm_usage", "prompt_version", Kind::Ascii(64), Old::Text("")),
    ("llm_usage", "detail", Kind::Ascii(64), Old::Text("")),
    ("llm_usage", "cost_micros", Kind::Integer, Old::Number(0)),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for (table, name, kind, old) in COLUMNS {
            if manager.has_column(table, name).await? {
                continue;
            }
            let mut column = ColumnDef::new_with_type(Alias::new(name), column_type(backend, kind));
            column.not_null();
            match old {
                Old::Text(text) => column.default(text),
                Old::Number(number) => column.default(number),
            };
            let mut alter = Table::alter();
            alter.table(Alias::new(table)).add_column(&mut column);
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
