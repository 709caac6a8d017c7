//! All tables as first shipped.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::schema::Kind::{
    Ascii, Bool, Integer, LongText, Name, Real, RunningId, Small, Text, TextId, Time, Tiny,
};
use super::schema::TableSpec;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            table.create(manager).await?;
        }
        Ok(())
    }
}

const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "market_prices",
        columns: &[
            ("id", RunningId),
            ("symbol", Ascii(16)),
            ("interval", Ascii(8)),
            ("ts", Time),
            ("open", Integer),
            ("high", Integer),
            ("low", Integer),
            ("close", Integer),
            ("volume", Integer),
            ("amount", Integer),
            ("source", Ascii(16)),
            ("final", Bool),
        ],
        nullable: &[],
        unique: &["symbol", "interval", "ts"],
        // The writer looks up bars by their start, and all that are still open.
        indexes: &[&["interval", "ts"], &["final"]],
    },
    TableSpec {
        name: "trade_logs",
        columns: &[
            ("id", RunningId),
            ("source_key", Ascii(64)),
            ("kind", Ascii(8)),
            ("symbol", Ascii(16)),
            ("ts", Time),
            ("price", Integer),
            ("quantity", Integer),
            ("side", Ascii(1)),
            ("cum_volume", Integer),
            ("flags", Tiny),
            ("journal_segment", Integer),
            ("journal_offset", Integer),
            ("journal_record", Small),
        ],
        nullable: &[],
        unique: &["source_key"],
        indexes: &[&["symbol", "ts"]],
    },
    TableSpec {
        name: "threat_events",
        columns: &[
            ("id", TextId),
            ("kind", Ascii(16)),
            ("rule", Ascii(32)),
            ("level", Ascii(16)),
            ("name", Name(128)),
            ("price", Integer),
            ("reference_price", Integer),
            ("change_pct", Real),
            ("window_s", Integer),
            ("score", Real),
            ("event_time", Time),
            ("journal_segment", Integer),
            ("journal_offset", Integer),
            ("evidence", Text),
        ],
        nullable: &[("symbol", Ascii(16)), ("published_at", Time)],
        unique: &[],
        indexes: &[&["event_time"], &["symbol", "event_time"]],
    },
    TableSpec {
        name: "risk_scores",
        columns: &[
            ("id", RunningId),
            ("symbol", Ascii(16)),
            ("ts", Time),
            ("event_time", Time),
            ("score", Real),
            ("part_volatility", Real),
            ("part_drawdown", Real),
            ("part_liquidity", Real),
            ("part_volume", Real),
            ("price", Integer),
            ("change_pct", Real),
            ("over_gap", Bool),
            ("model", Name(128)),
        ],
        nullable: &[],
        unique: &["symbol", "ts"],
        indexes: &[&["ts"]],
    },
    TableSpec {
        name: "recommendations",
        columns: &[
            ("id", TextId),
            ("scenario", Name(128)),
            ("as_of", Time),
            ("universe", Integer),
            ("eligible", Integer),
            ("picks", Integer),
            ("note", Text),
            ("created_at", Time),
        ],
        nullable: &[],
        unique: &[],
        indexes: &[&["as_of"]],
    },
    TableSpec {
        name: "recommendation_items",
        columns: &[
            ("id", RunningId),
            ("recommendation_id", Ascii(64)),
            ("rank", Small),
            ("symbol", Ascii(16)),
            ("name", Name(128)),
            ("weight", Real),
            ("value", Real),
            ("score", Real),
            ("price", Integer),
            ("daily_volatility_pct", Real),
            ("reasons", Text),
            ("factors", Text),
        ],
        nullable: &[],
        unique: &["recommendation_id", "rank"],
        indexes: &[],
    },
    TableSpec {
        name: "mitigation_plans",
        columns: &[
            ("id", TextId),
            ("subject", Ascii(32)),
            ("name", Name(128)),
            ("event_id", Ascii(64)),
            ("as_of", Time),
            ("position_value", Integer),
            ("assumed_position", Bool),
            ("options", LongText),
            ("created_at", Time),
        ],
        nullable: &[],
        unique: &[],
        indexes: &[&["as_of"], &["event_id"]],
    },
    TableSpec {
        name: "reports",
        columns: &[
            ("id", TextId),
            ("kind", Ascii(64)),
            ("title", Name(255)),
            ("body", LongText),
            ("as_of", Time),
            ("origin", Ascii(16)),
            ("fallback_reason", Text),
            ("model", Name(128)),
            ("sources", Text),
            ("created_at", Time),
        ],
        nullable: &[],
        unique: &[],
        indexes: &[&["as_of"], &["kind", "as_of"]],
    },
    TableSpec {
        name: "llm_usage",
        columns: &[
            ("id", TextId),
            ("task", Ascii(64)),
            ("model", Name(128)),
            ("prompt_tokens", Integer),
            ("completion_tokens", Integer),
            ("total_tokens", Integer),
            ("latency_ms", Integer),
            ("cached", Bool),
            ("outcome", Ascii(32)),
            ("created_at", Time),
        ],
        nullable: &[],
        unique: &[],
        indexes: &[&["created_at"]],
    },
    TableSpec {
        name: "etl_failures",
        columns: &[
            ("id", RunningId),
            ("failure_key", Ascii(64)),
            ("stage", Ascii(32)),
            ("source", Name(128)),
            ("reason", Ascii(64)),
            ("detail", Text),
            ("payload", Text),
            ("payload_ref", Ascii(255)),
            ("created_at", Time),
        ],
        nullable: &[
            ("journal_segment", Integer),
            ("journal_offset", Integer),
            ("journal_record", Small),
        ],
        unique: &["failure_key"],
        indexes: &[&["created_at"]],
    },
    TableSpec {
        name: "etl_runs",
        columns: &[
            ("id", TextId),
            ("kind", Ascii(32)),
            ("status", Ascii(16)),
            ("rows_in", Integer),
            ("rows_out", Integer),
            ("rejects", Integer),
            ("detail", Text),
            ("started_at", Time),
        ],
        nullable: &[("finished_at", Time)],
        unique: &[],
        indexes: &[&["started_at"]],
    },
    TableSpec {
        name: "task_runs",
        columns: &[
            ("id", TextId),
            ("name", Name(128)),
            ("state", Ascii(16)),
            ("args", LongText),
            ("result", LongText),
            ("error", Text),
            ("retries", Small),
            ("received_at", Time),
        ],
        nullable: &[("started_at", Time), ("finished_at", Time)],
        unique: &[],
        indexes: &[&["received_at"]],
    },
    TableSpec {
        name: "job_runs",
        columns: &[
            ("id", RunningId),
            ("job", Ascii(64)),
            ("scheduled_for", Time),
            ("status", Ascii(16)),
            ("detail", Text),
            ("started_at", Time),
        ],
        nullable: &[("finished_at", Time)],
        unique: &["job", "scheduled_for"],
        indexes: &[],
    },
    TableSpec {
        name: "model_versions",
        columns: &[
            ("id", TextId),
            ("kind", Ascii(32)),
            ("active", Bool),
            ("object_path", Name(255)),
            ("trained_until", Ascii(10)),
            ("metrics", Text),
            ("created_at", Time),
        ],
        nullable: &[("activated_at", Time)],
        unique: &[],
        indexes: &[&["created_at"]],
    },
    TableSpec {
        name: "evaluation_metrics",
        columns: &[
            ("id", RunningId),
            ("run_id", Ascii(64)),
            ("metric", Ascii(64)),
            ("label", Ascii(32)),
            ("value", Real),
            ("created_at", Time),
        ],
        nullable: &[],
        unique: &["run_id", "metric", "label"],
        indexes: &[],
    },
];
