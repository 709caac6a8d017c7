//! The one way in which rows are written: large multi-row inserts that settle conflicts.
//!
//! Each table says once ([`Upsert`]) what identifies a row and what happens when it is there
//! already: it is kept, or some of its columns are replaced. An empty batch and a batch of
//! duplicates are normal. Affected-row counts are never looked at: the databases count differently.
//!
//! A statement carries a power of two of rows, at most 512, fewer for wide or heavy rows. So there
//! are at most ten texts a table, and the prepared statements that the driver keeps stay few.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait,
    InsertMany, Iterable,
};

use super::Table;
use super::entity::{
    etl_failure, etl_run, evaluation_metric, job_run, llm_usage, market_price, mitigation_plan,
    model_version, recommendation, recommendation_item, report, risk_score, task_run, threat_event,
    trade_log,
};

/// Bind parameters in one statement: SQLite's limit, the lower of the two (MySQL has 65,535).
const MAX_BINDS: usize = 32_766;
/// Rows in one statement; more bring no speed.
const MAX_ROWS: usize = 512;
/// Bytes of values in one statement: a quarter of the smallest `max_allowed_packet` default in use
/// (16 MiB, MariaDB).
const MAX_BYTES: usize = 4 << 20;

/// The columns of a row's table.
pub type ColumnOf<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// How rows of a table are written.
pub trait Upsert: ActiveModelTrait + ActiveModelBehavior + Send {
    /// The table.
    const TABLE: Table;
    /// The primary key: what MySQL's "do nothing" assigns to itself.
    const ID: ColumnOf<Self>;
    /// The unique key that identifies a row.
    const KEY: &'static [ColumnOf<Self>];
    /// Columns replaced when the row is there already; none: the stored row is kept.
    const REPLACE: &'static [ColumnOf<Self>];
    /// Upper estimate of a row's values, bytes.
    const ROW_BYTES: usize;

    /// What else happens when the row is there already, before its columns are replaced.
    fn settle(_conflict: &mut OnConflict, _backend: DbBackend) {}
}

macro_rules! upserts {
    ($($entity:ident => $table:ident, key [$($key:ident),+], replace [$($replace:ident),*], $bytes:expr;)+) => {
        $(impl Upsert for $entity::ActiveModel {
            const TABLE: Table = Table::$table;
            const ID: $entity::Column = $entity::Column::Id;
            const KEY: &'static [$entity::Column] = &[$($entity::Column::$key),+];
            const REPLACE: &'static [$entity::Column] = &[$($entity::Column::$replace),*];
            const ROW_BYTES: usize = $bytes;
        })+
    };
}

upserts! {
    // A bar row is the whole state of its interval, and so is a score's minute.
    market_price => MarketPrices, key [Symbol, Interval, Ts],
        replace [Open, High, Low, Close, Volume, Amount, Source, IsFinal], 256;
    risk_score => RiskScores, key [Symbol, Ts],
        replace [EventTime, Score, PartVolatility, PartDrawdown, PartLiquidity, PartVolume, Price,
            ChangePct, OverGap, Model], 512;
    // A trade that was collected before the feed brought it gets its place in the journal.
    trade_log => TradeLogs, key [SourceKey],
        replace [Side, Flags, JournalSegment, JournalOffset, JournalRecord], 256;
    // What follows from its key alone is kept as first written.
    threat_event => ThreatEvents, key [Id], replace [], 8 << 10;
    etl_failure => EtlFailures, key [FailureKey], replace [], 24 << 10;
    llm_usage => LlmUsage, key [Id], replace [], 1 << 10;
    recommendation => Recommendations, key [Id],
        replace [Scenario, AsOf, Universe, Eligible, Picks, Note, Basis, HorizonSessions, Cash, VarPct,
            Model, DataCut, Evidence], 8 << 10;
    recommendation_item => RecommendationItems, key [RecommendationId, Rank],
        replace [Symbol, Name, Weight, Value, Score, Price, DailyVolatilityPct, Reasons, Factors,
            ExpectedReturnPct, DownsidePct],
        64 << 10;
    mitigation_plan => MitigationPlans, key [Id],
        replace [Subject, Name, EventId, AsOf, PositionValue, AssumedPosition, Options,
            Model, DataCut, HorizonSessions, Paths, Seed, RiskError], 128 << 10;
    // A report that was a template may later be written by the model.
    report => Reports, key [Id],
        replace [Kind, Title, Body, AsOf, Origin, FallbackReason, Model, Sources, Subject, Rung], 1 << 20;
    // Runs are written at their start and again when they change.
    etl_run => EtlRuns, key [Id], replace [Status, RowsIn, RowsOut, Rejects, Detail, FinishedAt],
        8 << 10;
    job_run => JobRuns, key [Job, ScheduledFor],
        replace [Status, Detail, StartedAt, FinishedAt, TaskId, Attempt],
        8 << 10;
    model_version => ModelVersions, key [Id], replace [Active, Metrics, ActivatedAt], 64 << 10;
    evaluation_metric => EvaluationMetrics, key [RunId, Metric, Label], replace [Value, CreatedAt],
        512;
}

/// A run is written when it begins and when it ends; another execution of the same call is counted.
impl Upsert for task_run::ActiveModel {
    const TABLE: Table = Table::TaskRuns;
    const ID: task_run::Column = task_run::Column::Id;
    const KEY: &'static [task_run::Column] = &[task_run::Column::Id];
    const REPLACE: &'static [task_run::Column] = &[
        task_run::Column::State,
        task_run::Column::Result,
        task_run::Column::Error,
        task_run::Column::Retries,
        task_run::Column::StartedAt,
        task_run::Column::FinishedAt,
        task_run::Column::Execution,
        task_run::Column::Worker,
    ];
    // What is longer goes by itself (`writer::tasks`).
    const ROW_BYTES: usize = 16 << 10;

    fn settle(conflict: &mut OnConflict, backend: DbBackend) {
        // MySQL assigns from left to right, so this comes before `execution` is replaced.
        let (stored, new) = match backend {
            DbBackend::MySql => ("`executions`", "`execution` <> VALUES(`execution`)"),
            _ => (
                "\"task_runs\".\"executions\"",
                "\"task_runs\".\"execution\" <> \"excluded\".\"execution\"",
            ),
        };
        let counted = format!("COALESCE({stored}, 1) + COALESCE({new}, 0)");
        conflict.value(task_run::Column::Executions, Expr::cust(counted));
    }
}

/// Rows of `A` in one full statement.
fn chunk_rows<A: Upsert>() -> usize {
    let columns = ColumnOf::<A>::iter().count();
    let limit = MAX_ROWS.min(MAX_BINDS / columns).min(MAX_BYTES / A::ROW_BYTES).max(1);
    power_of_two(limit)
}

/// The largest power of two that is at most `limit`. `limit` must not be 0.
pub(crate) fn power_of_two(limit: usize) -> usize {
    1 << limit.ilog2()
}

fn statement<A: Upsert>(
    rows: Vec<A>,
    replace: &[ColumnOf<A>],
    backend: DbBackend,
) -> InsertMany<A> {
    let mut conflict = OnConflict::columns(A::KEY.iter().copied());
    if replace.is_empty() {
        conflict.do_nothing_on([A::ID]);
    } else {
        A::settle(&mut conflict, backend);
        conflict.update_columns(replace.iter().copied());
    }
    A::Entity::insert_many(rows).on_conflict(conflict)
}

/// Writes `rows`; returns how many were sent. Call it within a transaction when all or none are to
/// be stored.
///
/// # Errors
/// When the database refuses a statement.
pub async fn upsert<A, C>(
    db: &C,
    rows: impl IntoIterator<Item = A, IntoIter: Send>,
) -> Result<u64, DbErr>
where
    A: Upsert,
    C: ConnectionTrait,
{
    upsert_replacing(db, rows, A::REPLACE).await
}

/// As [`upsert`], but of a row that is there already only the columns in `replace` are replaced;
/// none: it is kept.
///
/// # Errors
/// When the database refuses a statement.
pub async fn upsert_replacing<A, C>(
    db: &C,
    rows: impl IntoIterator<Item = A, IntoIter: Send>,
    replace: &[ColumnOf<A>],
) -> Result<u64, DbErr>
where
    A: Upsert,
    C: ConnectionTrait,
{
    upsert_chunked(db, rows, replace, chunk_rows::<A>()).await
}

/// As [`upsert_replacing`], with at most `full` rows in a statement, a power of two: for measuring.
///
/// # Errors
/// When the database refuses a statement.
pub async fn upsert_chunked<A, C>(
    db: &C,
    rows: impl IntoIterator<Item = A, IntoIter: Send>,
    replace: &[ColumnOf<A>],
    full: usize,
) -> Result<u64, DbErr>
where
    A: Upsert,
    C: ConnectionTrait,
{
    let mut rows = rows.into_iter();
    let mut sent = 0;
    loop {
        let mut chunk: Vec<A> = rows.by_ref().take(full).collect();
        if chunk.is_empty() {
            return Ok(sent);
        }
        while !chunk.is_empty() {
            let rest = chunk.split_off(power_of_two(chunk.len()));
            sent += chunk.len() as u64;
            statement(chunk, replace, db.get_database_backend()).exec_without_returning(db).await?;
            chunk = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::ActiveValue::Set;
    use sea_orm::sqlx::mysql::MySqlQueryResult;
    use sea_orm::{ExecResult, QueryResult, QueryTrait, Statement};
    use sea_orm_migration::async_trait;

    fn bar(symbol: &str) -> market_price::ActiveModel {
        market_price::ActiveModel {
            symbol: Set(symbol.to_owned()),
            interval: Set("1m".to_owned()),
            is_final: Set(true),
            ..Default::default()
        }
    }

    fn failure(key: &str) -> etl_failure::ActiveModel {
        etl_failure::ActiveModel { failure_key: Set(key.to_owned()), ..Default::default() }
    }

    fn sql<A: Upsert>(backend: DbBackend, rows: Vec<A>) -> String {
        statement(rows, A::REPLACE, backend).build(backend).sql
    }

    #[test]
    fn the_text_of_replacing() {
        assert_eq!(
            sql(DbBackend::Sqlite, vec![bar("a"), bar("b")]),
            "INSERT INTO \"market_prices\" (\"symbol\", \"interval\", \"final\") \
             VALUES (?, ?, ?), (?, ?, ?) ON CONFLICT (\"symbol\", \"interval\", \"ts\") DO UPDATE SET \
             \"open\" = \"excluded\".\"open\", \"high\" = \"excluded\".\"high\", \
             \"low\" = \"excluded\".\"low\", \"close\" = \"excluded\".\"close\", \
             \"volume\" = \"excluded\".\"volume\", \"amount\" = \"excluded\".\"amount\", \
             \"source\" = \"excluded\".\"source\", \"final\" = \"excluded\".\"final\""
        );
        assert_eq!(
            sql(DbBackend::MySql, vec![bar("a")]),
            "INSERT INTO `market_prices` (`symbol`, `interval`, `final`) VALUES (?, ?, ?) \
             ON DUPLICATE KEY UPDATE `open` = VALUES(`open`), `high` = VALUES(`high`), \
             `low` = VALUES(`low`), `close` = VALUES(`close`), `volume` = VALUES(`volume`), \
             `amount` = VALUES(`amount`), `source` = VALUES(`source`), `final` = VALUES(`final`)"
        );
    }

    #[test]
    fn another_execution_is_counted_before_its_key_is_replaced() {
        let run = || task_run::ActiveModel { id: Set("a".to_owned()), ..Default::default() };
        let mysql = sql(DbBackend::MySql, vec![run()]);
        let (counted, replaced) = (
            mysql.find(
                "COALESCE(`executions`, 1) + COALESCE(`execution` <> VALUES(`execution`), 0)",
            ),
            mysql.find("`execution` = VALUES(`execution`)"),
        );
        assert!(counted.is_some() && counted < replaced, "{mysql}");
        let sqlite = sql(DbBackend::Sqlite, vec![run()]);
        assert!(sqlite.contains("\"execution\" <> \"excluded\".\"execution\""), "{sqlite}");
    }

    #[test]
    fn the_text_of_keeping() {
        assert_eq!(
            sql(DbBackend::Sqlite, vec![failure("k")]),
            "INSERT INTO \"etl_failures\" (\"failure_key\") VALUES (?) \
             ON CONFLICT (\"failure_key\") DO NOTHING"
        );
        assert_eq!(
            sql(DbBackend::MySql, vec![failure("k")]),
            "INSERT INTO `etl_failures` (`failure_key`) VALUES (?) \
             ON DUPLICATE KEY UPDATE `id` = `id`"
        );
    }

    /// A database that takes everything and notes what it was sent.
    struct Noted {
        backend: DbBackend,
        statements: parking_lot::Mutex<Vec<Statement>>,
    }

    #[async_trait::async_trait]
    impl ConnectionTrait for Noted {
        fn get_database_backend(&self) -> DbBackend {
            self.backend
        }

        async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
            self.statements.lock().push(statement);
            Ok(MySqlQueryResult::default().into())
        }

        async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
            Err(DbErr::Custom(format!("not prepared: {sql}")))
        }

        async fn query_one_raw(&self, sql: Statement) -> Result<Option<QueryResult>, DbErr> {
            Err(DbErr::Custom(format!("a query: {sql}")))
        }

        async fn query_all_raw(&self, sql: Statement) -> Result<Vec<QueryResult>, DbErr> {
            Err(DbErr::Custom(format!("a query: {sql}")))
        }
    }

    /// The texts and numbers of values that `rows` are sent with.
    async fn sent<A: Upsert>(backend: DbBackend, rows: Vec<A>) -> Vec<(String, usize)> {
        let noted = Noted { backend, statements: Default::default() };
        let count = rows.len() as u64;
        assert_eq!(upsert(&noted, rows).await, Ok(count));
        let values = |sent: &Statement| sent.values.as_ref().map_or(0, |values| values.0.len());
        noted.statements.into_inner().iter().map(|one| (one.sql.clone(), values(one))).collect()
    }

    /// Empty, all the same, and mixed: what is sent does not depend on what is stored, so that one
    /// statement settles every case.
    #[tokio::test]
    async fn what_is_sent() {
        const MYSQL: (&str, &str) = (
            "INSERT INTO `etl_failures` (`failure_key`) VALUES ",
            " ON DUPLICATE KEY UPDATE `id` = `id`",
        );
        const SQLITE: (&str, &str) = (
            "INSERT INTO \"etl_failures\" (\"failure_key\") VALUES ",
            " ON CONFLICT (\"failure_key\") DO NOTHING",
        );
        for (backend, (head, tail)) in [(DbBackend::MySql, MYSQL), (DbBackend::Sqlite, SQLITE)] {
            let of = |keys: &[&str]| sent(backend, keys.iter().map(|key| failure(key)).collect());
            let text =
                |rows: usize| (format!("{head}{}{tail}", vec!["(?)"; rows].join(", ")), rows);
            assert_eq!(of(&[]).await, [], "no statement at all");
            assert_eq!(of(&["a", "a", "a", "a"]).await, [text(4)], "all duplicates");
            assert_eq!(of(&["a", "b", "a", "c"]).await, [text(4)], "mixed");
            // Seven rows are four, two and one: few texts for the driver to keep.
            assert_eq!(of(&["a"; 7]).await, [text(4), text(2), text(1)]);
            let full = chunk_rows::<etl_failure::ActiveModel>();
            let many = vec!["k"; 2 * full + 1];
            assert_eq!(of(&many).await, [text(full), text(full), text(1)]);
        }
    }

    #[test]
    fn statements_stay_within_the_limits() {
        fn check<A: Upsert>() {
            let rows = chunk_rows::<A>();
            assert!(rows.is_power_of_two() && rows <= MAX_ROWS, "{}", A::TABLE.as_str());
            assert!(rows * ColumnOf::<A>::iter().count() <= MAX_BINDS);
            assert!(rows * A::ROW_BYTES <= MAX_BYTES);
        }
        check::<trade_log::ActiveModel>();
        check::<market_price::ActiveModel>();
        check::<etl_failure::ActiveModel>();
        check::<report::ActiveModel>();
        check::<task_run::ActiveModel>();
        assert_eq!([1, 2, 3, 511, 512].map(power_of_two), [1, 2, 2, 256, 512]);
    }
}
