//! `bench store`: how fast rows get into MySQL or MariaDB.
//!
//! The same rows of `trade_logs` go in by the upsert alone, by the whole way of the Recorder (which
//! rows are new, the bars of them), and by the server's own `LOAD DATA LOCAL INFILE` from a file on
//! this machine, round after round, each into an empty table. `LOAD DATA` is sent by the command
//! line client, because the driver cannot; the time of a client that does nothing is taken off.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use serde::Serialize;
use url::Url;

use super::super::assembly;
use crate::market::{Directory, EventTime, RecordRef, SymbolId, TickBatch, Trade};
use crate::messages::StoreBatch;
use crate::store::entity::trade_log;
use crate::store::upsert::{Upsert, upsert, upsert_chunked};
use crate::store::{Database, DatabaseOptions, StoreWriter, Table, WriterOptions};

/// Rows in one transaction.
const BATCH: usize = 8_192;
/// Rows in a statement that are tried.
const STATEMENTS: [usize; 4] = [128, 512, 1_024, 4_096];
/// 2024-08-05T09:00:00+09:00, seconds.
const OPEN: i64 = 1_722_816_000;
/// Issues the rows are spread over.
const ISSUES: usize = 40;

/// What `bench store` prints. Rates are rows a second, medians of the rounds.
#[derive(Debug, Serialize)]
pub(super) struct StoreFigures {
    server: String,
    build: &'static str,
    rows: usize,
    rounds: usize,
    batch_rows: usize,
    /// The upsert as the daemon uses it.
    upsert: f64,
    /// The same rows once more: all known already.
    upsert_known: f64,
    /// The whole way of the Recorder.
    recorder: f64,
    /// The server's own loader.
    load_data: f64,
    /// Upsert against loader.
    ratio: f64,
    /// Upsert with so many rows in a statement.
    by_statement_rows: Vec<(usize, f64)>,
}

#[derive(Default)]
struct Rounds {
    upsert: Vec<f64>,
    known: Vec<f64>,
    recorder: Vec<f64>,
    load: Vec<f64>,
    statements: [Vec<f64>; STATEMENTS.len()],
}

/// Compares.
///
/// # Errors
/// When the database is not an empty MySQL or MariaDB one, the client is missing, or a write fails.
pub(super) fn compare(
    folder: &Path,
    url: &str,
    rows: usize,
    rounds: usize,
) -> anyhow::Result<StoreFigures> {
    let runtime = assembly::runtime()?;
    runtime.block_on(async {
        let options =
            DatabaseOptions { write_timeout: Duration::from_secs(600), ..Default::default() };
        let database = Database::connect(url, &options).await?;
        if database.backend() != DbBackend::MySql {
            bail!(
                "bench store needs MySQL or MariaDB: --database mysql://user:password@host/empty"
            );
        }
        let tables = ask(
            &database,
            "select count(*) as n from information_schema.tables where table_schema = database()",
        )
        .await?;
        if tables != "0" {
            bail!(
                "{} has {tables} tables: give an empty database, its tables are made and dropped",
                database.url()
            );
        }
        database.migrate().await?;
        let measured = measure(&database, folder, url, rows, rounds).await;
        for table in Table::ALL.map(Table::as_str).into_iter().chain(["seaql_migrations"]) {
            run(&database, &format!("drop table if exists {table}")).await?;
        }
        let server = ask(&database, "select version() as n").await?;
        let mut measured = measured?;
        let (upsert, load_data) = (median(&mut measured.upsert), median(&mut measured.load));
        let by_statement_rows =
            STATEMENTS.into_iter().zip(measured.statements.iter_mut().map(|r| median(r))).collect();
        Ok(StoreFigures {
            server,
            build: if cfg!(debug_assertions) { "dev" } else { "release" },
            rows,
            rounds,
            batch_rows: BATCH,
            upsert,
            upsert_known: median(&mut measured.known),
            recorder: median(&mut measured.recorder),
            load_data,
            ratio: upsert / load_data,
            by_statement_rows,
        })
    })
}

async fn measure(
    database: &Database,
    folder: &Path,
    url: &str,
    rows: usize,
    rounds: usize,
) -> anyhow::Result<Rounds> {
    let file = folder.join("rows.tsv");
    std::fs::write(&file, tsv(rows)).with_context(|| format!("cannot write {}", file.display()))?;
    let load = format!(
        "load data local infile '{}' into table trade_logs ({})",
        file.display(),
        COLUMNS.join(", ")
    );
    let mut measured = Rounds::default();
    for _ in 0..rounds {
        for (statement, rates) in STATEMENTS.into_iter().zip(&mut measured.statements) {
            empty(database).await?;
            rates.push(rate(rows, in_batches(database, rows, Some(statement))).await?);
        }
        empty(database).await?;
        measured.upsert.push(rate(rows, in_batches(database, rows, None)).await?);
        measured.known.push(rate(rows, in_batches(database, rows, None)).await?);
        empty(database).await?;
        measured.recorder.push(rate(rows, by_writer(database, rows)).await?);
        empty(database).await?;
        let idle = client(url, "select 1")?;
        let took = client(url, &load)?.saturating_sub(idle);
        measured.load.push(rows as f64 / took.as_secs_f64());
        let loaded = ask(database, "select count(*) as n from trade_logs").await?;
        if loaded != rows.to_string() {
            bail!("LOAD DATA loaded {loaded} of {rows} rows");
        }
    }
    Ok(measured)
}

async fn rate(rows: usize, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let began = Instant::now();
    work.await?;
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

const COLUMNS: [&str; 12] = [
    "source_key",
    "kind",
    "symbol",
    "ts",
    "price",
    "quantity",
    "side",
    "cum_volume",
    "flags",
    "journal_segment",
    "journal_offset",
    "journal_record",
];

fn trade(number: usize) -> Trade {
    let count = i64::try_from(number).unwrap_or(i64::MAX);
    Trade {
        symbol: SymbolId(u32::try_from(number % ISSUES).unwrap_or(0)),
        time: EventTime::from_micros((OPEN + count / 2_000) * 1_000_000),
        price: 50_000 + count * 7 % 1_000,
        quantity: 1 + count % 90,
        cum_volume: 1 + count,
        ..Trade::default()
    }
}

fn code(trade: &Trade) -> String {
    format!("{:06}", 5_000 + trade.symbol.0)
}

fn row(number: usize) -> trade_log::ActiveModel {
    let trade = trade(number);
    let code = code(&trade);
    trade_log::ActiveModel {
        id: NotSet,
        source_key: Set(format!("KRX:{code}:20240805:{}", trade.cum_volume)),
        kind: Set("market".to_owned()),
        symbol: Set(code),
        ts: Set(trade.time),
        price: Set(trade.price),
        quantity: Set(trade.quantity),
        side: Set("B".to_owned()),
        cum_volume: Set(trade.cum_volume),
        flags: Set(0),
        journal_segment: Set(1),
        journal_offset: Set(trade.cum_volume),
        journal_record: Set(0),
    }
}

fn tsv(rows: usize) -> String {
    let mut text = String::with_capacity(rows * 110);
    for trade in (0..rows).map(trade) {
        let (code, volume) = (code(&trade), trade.cum_volume);
        let time = trade.time.rfc3339();
        // The database keeps UTC; every row is of 09:00 to 10:00 Korean time, one day.
        let clock = time.get(13..19).unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "KRX:{code}:20240805:{volume}\tmarket\t{code}\t2024-08-05 00{clock}\t{}\t{}\tB\t{volume}\t0\t1\t{volume}\t0",
            trade.price, trade.quantity
        );
    }
    text
}

async fn in_batches(
    database: &Database,
    rows: usize,
    statement: Option<usize>,
) -> anyhow::Result<()> {
    for from in (0..rows).step_by(BATCH) {
        let transaction = database.connection().begin().await?;
        let batch = (from..rows.min(from + BATCH)).map(row);
        match statement {
            None => upsert(&transaction, batch).await?,
            Some(full) => {
                let replace = <trade_log::ActiveModel as Upsert>::REPLACE;
                upsert_chunked(&transaction, batch, replace, full).await?
            }
        };
        transaction.commit().await?;
    }
    Ok(())
}

async fn by_writer(database: &Database, rows: usize) -> anyhow::Result<()> {
    let directory = Directory::new();
    for number in 0..ISSUES {
        directory.intern(code(&trade(number)).parse()?);
    }
    let mut writer = StoreWriter::new(directory, WriterOptions { max_rows: usize::MAX });
    for from in (0..rows).step_by(512) {
        let mut batch = TickBatch::default();
        for number in from..rows.min(from + 512) {
            let offset = u32::try_from(number).unwrap_or(u32::MAX);
            batch.push_trade(trade(number), RecordRef { segment: 1, offset, record: 0 });
        }
        if writer.push(StoreBatch::Ticks(Arc::new(batch))).is_err() {
            bail!("the writer is full");
        }
    }
    writer.flush(database).await?;
    Ok(())
}

async fn run(database: &Database, statement: &str) -> anyhow::Result<()> {
    database.connection().execute_unprepared(statement).await?;
    Ok(())
}

async fn ask(database: &Database, query: &str) -> anyhow::Result<String> {
    let query = format!("select cast(n as char) as n from ({query}) as asked");
    let statement = Statement::from_string(DbBackend::MySql, query);
    let row = database.connection().query_one_raw(statement).await?.context("no answer")?;
    Ok(row.try_get("", "n")?)
}

async fn empty(database: &Database) -> anyhow::Result<()> {
    run(database, "truncate table trade_logs").await?;
    run(database, "truncate table market_prices").await
}

/// Runs a statement by the command-line client; how long it took.
fn client(url: &str, statement: &str) -> anyhow::Result<Duration> {
    let url = Url::parse(url).context("the database's URL")?;
    let program = ["mariadb", "mysql"]
        .into_iter()
        .find(|name| {
            let found = Command::new(name).arg("--version").stdout(Stdio::null()).status();
            found.is_ok_and(|status| status.success())
        })
        .context("neither mariadb nor mysql is installed: LOAD DATA needs the client")?;
    let mut command = Command::new(program);
    command
        .args(["--no-defaults", "--local-infile=1", "--default-character-set=utf8mb4"])
        .args(["--protocol=tcp", "-h", url.host_str().unwrap_or("127.0.0.1")])
        .args(["-P", &url.port().unwrap_or(3306).to_string(), "-u", url.username()])
        // Not an argument: those are there for everybody to see.
        .env("MYSQL_PWD", url.password().unwrap_or_default())
        .args(["-e", statement, url.path().trim_start_matches('/')]);
    let began = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(began.elapsed())
}
