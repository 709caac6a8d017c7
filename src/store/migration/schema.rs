//! Column types of both databases under one name.
//!
//! Keys, codes and labels are ASCII with binary collation on MySQL, so that they compare byte by
//! byte as in SQLite and index entries stay short; texts are `utf8mb4`. Names such as `interval`,
//! `final` and `rank` are keywords in places; every name is quoted.

use sea_orm::sea_query::{Alias, ColumnDef, ColumnType, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::SchemaManager;

/// A column's type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Running number, primary key.
    RunningId,
    /// Text key, primary key; at most 64 bytes of ASCII.
    TextId,
    /// ASCII text of at most so many bytes, compared byte by byte.
    Ascii(u32),
    /// Text of at most so many characters.
    Name(u32),
    /// Text of up to 64 KiB (unbounded in SQLite).
    Text,
    /// Text of up to 16 MiB (unbounded in SQLite).
    LongText,
    /// 64-bit integer.
    Integer,
    /// 32-bit integer.
    Small,
    /// 16-bit integer.
    Tiny,
    /// 64-bit floating point.
    Real,
    /// Truth.
    Bool,
    /// UTC with microseconds.
    Time,
}

use Kind::{
    Ascii, Bool, Integer, LongText, Name, Real, RunningId, Small, Text, TextId, Time, Tiny,
};

pub(crate) fn column_type(backend: DbBackend, kind: Kind) -> ColumnType {
    let mysql = backend == DbBackend::MySql;
    match kind {
        RunningId | Integer => ColumnType::BigInteger,
        TextId => column_type(backend, Ascii(64)),
        Ascii(length) if mysql => {
            ColumnType::custom(format!("varchar({length}) character set ascii collate ascii_bin"))
        }
        Ascii(length) | Name(length) => ColumnType::string(Some(length)),
        LongText if mysql => ColumnType::custom("mediumtext"),
        Text | LongText => ColumnType::Text,
        Small => ColumnType::Integer,
        Tiny => ColumnType::SmallInteger,
        Real => ColumnType::Double,
        Bool => ColumnType::Boolean,
        Time if mysql => ColumnType::custom("datetime(6)"),
        Time => ColumnType::DateTime,
    }
}

/// One table to be made.
pub(crate) struct TableSpec {
    /// Its name.
    pub(crate) name: &'static str,
    /// Columns that must have a value.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Columns that may be null.
    pub(crate) nullable: &'static [(&'static str, Kind)],
    /// Columns of the unique key; none when the primary key is all.
    pub(crate) unique: &'static [&'static str],
    /// Further indexes.
    pub(crate) indexes: &'static [&'static [&'static str]],
}

fn index_name(table: &str, columns: &[&str]) -> String {
    format!("{table}_{}", columns.join("_"))
}

impl TableSpec {
    fn statement(&self, backend: DbBackend) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(Alias::new(self.name)).if_not_exists();
        for (name, kind) in self.columns {
            let mut column =
                ColumnDef::new_with_type(Alias::new(*name), column_type(backend, *kind));
            column.not_null();
            match kind {
                RunningId => column.primary_key().auto_increment(),
                TextId => column.primary_key(),
                _ => &mut column,
            };
            table.col(column);
        }
        for (name, kind) in self.nullable {
            let mut column =
                ColumnDef::new_with_type(Alias::new(*name), column_type(backend, *kind));
            table.col(column.null());
        }
        let named = |columns: &[&str]| {
            let mut index = Index::create();
            index.name(index_name(self.name, columns));
            for column in columns {
                index.col(Alias::new(*column));
            }
            index
        };
        if !self.unique.is_empty() {
            table.index(named(self.unique).unique());
        }
        if backend == DbBackend::MySql {
            for columns in self.indexes {
                table.index(&mut named(columns));
            }
            table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_unicode_ci");
        }
        table
    }

    /// Makes the table with its indexes, unless it is there.
    pub(crate) async fn create(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(self.statement(backend)).await?;
        if backend == DbBackend::Sqlite {
            for columns in self.indexes {
                let mut index = Index::create();
                index.name(index_name(self.name, columns)).table(Alias::new(self.name));
                for column in *columns {
                    index.col(Alias::new(*column));
                }
                manager.get_connection().execute(index.if_not_exists()).await?;
            }
        }
        Ok(())
    }
}

/// Adds columns that may be null to `table`, those that are not there yet: a step that was cut off half
/// way can be run again.
pub(crate) async fn add_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[(&'static str, Kind)],
) -> Result<(), DbErr> {
    let backend = manager.get_database_backend();
    for (name, kind) in columns {
        if manager.has_column(table, *name).await? {
            continue;
        }
        let mut column = ColumnDef::new_with_type(Alias::new(*name), column_type(backend, *kind));
        let mut change = Table::alter();
        change.table(Alias::new(table)).add_column(column.null());
        manager.alter_table(change).await?;
    }
    Ok(())
}
