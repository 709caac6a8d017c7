//! Every metric: name, kind, help and the label values it starts with.
//!
//! A metric that is not here is a mistake (a test looks for such in the source). Label values are
//! `&'static str` everywhere, so the number of series is bounded by the program's text.

use crate::messages::{Component, EventKind};

/// What kind of metric a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A state.
    Gauge,
    /// A distribution, with buckets.
    Histogram,
}

/// A metric with all its labels.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Full name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// The HELP line.
    pub help: &'static str,
    /// Each label with its values; the series that exist from the start are all combinations.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

/// Actors, as in `bongsu_actor_*{actor}`.
pub const ACTORS: &[&str] = &[
    "ingest",
    "normalizer",
    "risk_scorer",
    "alert",
    "recommender",
    "mitigator",
    "llm_summarizer",
    "recorder",
    "task_worker",
    "scheduler",
    "health_monitor",
    "notifier",
];
/// Stages of the hot path, as in `bongsu_stage_seconds{stage}`.
pub const STAGES: &[&str] = &["ingest", "journal", "normalizer", "risk_scorer", "alert", "publish"];
/// Feeds by their TR id, as in `bongsu_frames_total{feed}`.
pub const FEEDS: &[&str] = &["H0STCNT0", "H0STASP0", "H0UPCNT0", "H0STMKO0", "H0UNVIC0"];
/// What ticks are, as in `bongsu_ticks_total{kind}`.
pub const TICKS: &[&str] =
    &["trade", "quote", "index", "duplicate", "fetched_bar", "sample", "notice"];
/// Edges between actors, as in `bongsu_edge_blocked_seconds{edge}`.
pub const EDGES: &[&str] = &[
    "feed>ingest",
    "ingest>normalizer",
    "normalizer>risk_scorer",
    "normalizer>recorder",
    "risk_scorer>alert",
    "risk_scorer>recorder",
    "risk_scorer>recommender",
    "alert>recorder",
    "alert>mitigator",
    "advice>recorder",
    "recommender>llm_summarizer",
    "mitigator>llm_summarizer",
    "llm_summarizer>drafter",
    "tasks>recorder",
    "cli>recorder",
    "supervisor>recorder",
    "recovery>normalizer",
    "recovery>recorder",
    "recovery>ingest",
];
/// Why a feed session ends, as in `bongsu_feed_losses_total{cause}`.
pub const LOSSES: &[&str] = &[
    "connect",
    "blocked",
    "announced",
    "closed",
    "broken",
    "protocol",
    "idle",
    "mute",
    "in_use",
    "approval",
    "stopped",
];
/// How registrations stand, as in `bongsu_feed_registrations{state}`.
pub const REGISTRATIONS: &[&str] = &["confirmed", "refused", "missing", "unplaced"];
/// What became of minutes that were asked for, as in `bongsu_backfill_total{outcome}`.
pub const BACKFILLS: &[&str] = &["fetched", "empty", "failed", "given_up"];
/// Why input is refused, as in `bongsu_rejects_total{reason}`. Stages may use further ones.
pub const REJECTS: &[&str] = &[
    "empty",
    "too_long",
    "not_utf8",
    "bad_head",
    "encrypted",
    "unknown_tr",
    "count_mismatch",
    "too_narrow",
    "bad_symbol",
    "bad_price",
    "bad_quantity",
    "bad_cum_volume",
    "bad_value",
    "bad_level",
    "bad_time",
    "bad_date",
    "bad_code",
    "inconsistent",
    "no_session_day",
    "too_many_issues",
    "bad_reference",
    "bad_silence",
    "bad_model",
    "poison",
    "refused_by_database",
    "damaged_spill",
    "task_message",
];
/// How requests to the object store end, as in `bongsu_object_requests_total{outcome}`.
pub const OBJECT_OUTCOMES: &[&str] =
    &["ok", "missing", "changed", "away", "refused", "damaged", "not_asked"];
/// Tables, as in `bongsu_store_rows_total{table}`.
pub const TABLES: &[&str] = &[
    "market_prices",
    "trade_logs",
    "threat_events",
    "risk_scores",
    "recommendations",
    "recommendation_items",
    "mitigation_plans",
    "reports",
    "llm_usage",
    "etl_failures",
    "etl_runs",
    "task_runs",
    "job_runs",
    "model_versions",
    "evaluation_metrics",
];
/// Kinds of failure of the database, as in `bongsu_store_failures_total{fault}`.
pub const FAULTS: &[&str] =
    &["conflict", "away", "slow", "full", "read_only", "refused", "row", "other"];
/// Tasks, as in `bongsu_tasks_total{task}` and `bongsu_llm_requests_total{task}`.
pub const TASKS: &[&str] = &[
    "debug_ping",
    "collect_market_prices",
    "compute_risk",
    "generate_recommendations",
    "plan_mitigation",
    "simulate_scenario",
    "summarize_recommendation",
    "draft_alert",
    "retrain_model",
    "evaluate_models",
    "generate_report",
    "weekly_review",
    "snapshot_backup",
];
/// Jobs, as in `bongsu_job_last_success_timestamp_seconds{job}`: those of the built-in schedule. A file
/// of one's own may name others, 200 at most.
pub const JOBS: &[&str] = &[
    "collection",
    "daily_bars",
    "daily_report",
    "retrain",
    "evaluation",
    "weekly_review",
    "backup",
];
/// Steps of the ladder, as in `bongsu_reports_total{rung}`.
pub const RUNGS: &[&str] = &["model", "cached", "repaired", "stored", "template", "retrying"];
/// Tasks that ask a language model.
pub const LLM_TASKS: &[&str] =
    &["summarize_recommendation", "draft_alert", "generate_report", "weekly_review"];

const LEVELS: &[&str] = &["none", "watch", "warning", "critical"];
const KINDS: [&str; EventKind::ALL.len()] = {
    let mut names = [""; EventKind::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = EventKind::ALL[i].as_str();
        i += 1;
    }
    names
};
const COMPONENTS: [&str; Component::ALL.len()] = {
    let mut names = [""; Component::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Component::ALL[i].as_str();
        i += 1;
    }
    names
};

const fn counter(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Counter, help, labels }
}

const fn gauge(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Gauge, help, labels }
}

const fn histogram(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Histogram, help, labels }
}

/// The REST calls of KIS, by their short names.
const KIS_CALLS: &[&str] = &[
    "token",
    "revoke_token",
    "approval_key",
    "hashkey",
    "inquire_price",
    "latest_trades",
    "daily_prices",
    "daily_bars",
    "minute_bars",
    "minute_bars_of_day",
    "order_book",
    "index_price",
    "holidays",
    "vi_status",
    "volume_rank",
    "market_cap_rank",
    "balance",
    "order_history",
    "old_order_history",
    "open_orders",
    "buying_power",
];

/// All metrics.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    // feed and hot path
    counter("bongsu_frames_total", &[("feed", FEEDS)], "Raw frames received."),
    counter("bongsu_ticks_total", &[("kind", TICKS)], "Typed records made of frames."),
    counter("bongsu_rejects_total", &[("reason", REJECTS)], "Frames and records refused, one a row of etl_failures."),
    counter("bongsu_events_total", &[("type", &KINDS), ("level", LEVELS)], "Outward events, repetitions not counted."),
    counter("bongsu_events_dropped_total", &[("reason", &["backlog_full", "score_backlog_full", "score_conflated", "duplicate"])],
        "Outward events not sent to Redis: too many wait, a newer score came, or the stream has them already."),
    gauge("bongsu_events_pending", &[], "Outward events that wait for Redis."),
    counter("bongsu_channels_events_total", &[("outcome", &["sent", "unheard", "full", "too_old", "too_big", "queue_full", "unreadable"])],
        "Events for the channel layer by outcome: unheard for nobody in the group, full for no room in any inbox."),
    counter("bongsu_channels_inboxes_total", &[("outcome", &["written", "full", "failed"])],
        "Inboxes of Django processes an event was for; of a pubsub layer, processes that heard it."),
    counter("bongsu_channels_errors_total", &[], "Times a host of the channel layer did not take what was sent."),
    gauge("bongsu_channels_pending", &[], "Events that wait for the channel layer."),
    histogram("bongsu_tick_to_publish_seconds", &[], "From receiving the oldest frame behind an event to the acknowledgement of its publication."),
    histogram("bongsu_stage_seconds", &[("stage", STAGES)], "Time a stage takes for one batch."),
    // actors
    gauge("bongsu_actor_up", &[("actor", ACTORS)], "1 while the actor works."),
    counter("bongsu_actor_restarts_total", &[("actor", ACTORS)], "Restarts of the actor."),
    gauge("bongsu_mailbox_depth", &[("actor", ACTORS)], "Messages that wait for the actor."),
    histogram(
        "bongsu_edge_blocked_seconds",
        &[("edge", EDGES)],
        "Time a sender waited for room in an inbox, by sender and receiver.",
    ),
    counter(
        "bongsu_feed_losses_total",
        &[("cause", LOSSES)],
        "Feed sessions lost, or not had, by cause.",
    ),
    gauge(
        "bongsu_feed_registrations",
        &[("state", REGISTRATIONS)],
        "Registrations with the feed, by how they stand; unplaced ones have no slot and are polled.",
    ),
    counter("bongsu_feed_mute_total", &[], "Registrations found silent while their issue traded."),
    counter(
        "bongsu_backfill_total",
        &[("outcome", BACKFILLS)],
        "Ranges of minutes asked for by REST because trades were missed, by outcome.",
    ),
    counter("bongsu_journal_sync_errors_total", &[], "Times the journal could not be forced to the disk."),
    // journal and store
    counter("bongsu_journal_bytes_total", &[], "Bytes appended to the journal."),
    counter("bongsu_checkpoints_total", &[("outcome", &["written", "failed", "given_up"])], "Checkpoints by outcome."),
    gauge("bongsu_checkpoint_last_success_timestamp_seconds", &[], "When a checkpoint was last written, Unix time; 0 for not since the start."),
    gauge("bongsu_journal_lag_frames", &[], "Frames received but not yet in the journal."),
    gauge("bongsu_journal_size_bytes", &[], "Bytes in the journal's segments."),
    gauge("bongsu_journal_free_bytes", &[], "Bytes free on the journal's disk when it was last looked at."),
    gauge("bongsu_journal_segment", &[], "Number of the segment that is written."),
    gauge("bongsu_journal_offset_bytes", &[], "Where in that segment the next record will stand."),
    counter("bongsu_journal_segments_deleted_total", &[], "Segments deleted because nobody needs them any more."),
    counter("bongsu_journal_write_errors_total", &[], "Batches that could not be appended at once; each try counts."),
    counter("bongsu_journal_damaged_bytes_total", &[], "Bytes of the journal found damaged by a start after a crash."),
    counter("bongsu_store_rows_total", &[("table", TABLES)], "Rows written to the database."),
    counter("bongsu_store_failures_total", &[("fault", FAULTS)], "Writes to the database that failed and are tried again, by kind of failure."),
    gauge("bongsu_spill_bytes", &[], "Bytes of rows that lie on disk until the database is back."),
    counter("bongsu_spill_entries_total", &[("way", &["in", "out"])], "Entries put into the spill and written from it."),
    counter("bongsu_object_requests_total", &[("outcome", OBJECT_OUTCOMES)], "Requests to the S3 service by outcome; changed: another process was faster; not_asked: it was away and left alone."),
    gauge("bongsu_objects_waiting_bytes", &[], "Bytes of objects that wait on this machine for the S3 service."),
    gauge("bongsu_archive_lag_segments", &[], "Sealed journal segments that are not in the archive yet."),
    counter("bongsu_archive_bytes_total", &[], "Bytes put into the archive."),
    counter("bongsu_archive_rows_total", &[("dataset", &["frames", "ticks"])], "Rows put into the archive."),
    counter("bongsu_archive_failures_total", &[], "Tries to archive a segment that failed; they are repeated."),
    gauge("bongsu_archive_last_success_timestamp_seconds", &[], "When a segment was last found or put in the archive, Unix time; 0 for never."),
    // dependencies
    gauge("bongsu_dependency_up", &[("dependency", &COMPONENTS)], "1 while the dependency works, also when restricted."),
    counter("bongsu_dependency_losses_total", &[("dependency", &COMPONENTS)], "Losses of the connection, also those that healed at once."),
    // tasks and jobs
    gauge("bongsu_queue_length", &[("queue", &["ai_tasks"])], "Messages in the queue."),
    counter("bongsu_tasks_total", &[("task", TASKS), ("state", &["success", "failure", "retry", "revoked", "rejected"])], "Tasks by outcome."),
    histogram("bongsu_task_seconds", &[("task", TASKS)], "Time a task takes."),
    gauge("bongsu_job_last_success_timestamp_seconds", &[("job", JOBS)], "When a run of the job last succeeded, Unix time; 0 for never."),
    counter("bongsu_job_runs_total", &[("status", &["done", "failed", "skipped", "missed", "replaced"])], "Planned runs that are over, by how they ended."),
    gauge("bongsu_scheduler_leader", &[], "1 while this process starts the planned runs."),
    // language model
    counter("bongsu_llm_requests_total", &[("task", LLM_TASKS), ("outcome", &["ok", "cached", "invalid", "timeout", "refused", "error", "fallback"])],
        "Requests to the language model by outcome."),
    histogram("bongsu_llm_seconds", &[], "Time of an answer of the language model."),
    counter("bongsu_llm_tokens_total", &[("kind", &["prompt", "completion"])], "Tokens used."),
    gauge("bongsu_llm_valid_ratio", &[], "Share of answers that passed validation."),
    counter("bongsu_reports_total", &[("rung", RUNGS)], "Reports written, by the step of the ladder that gave them."),
    // quality
    gauge("bongsu_recommendation_hit_ratio", &[("horizon", &["5", "20"])], "Share of picks that rose over this many trading days."),
    gauge("bongsu_var_exceed_ratio", &[("level", &["99", "97.5", "95"])], "Share of days on which the loss was beyond the forecast quantile; right is one less the level."),
    gauge("bongsu_risk_overestimate_ratio", &[], "Share of forecasts of risk that were too high."),
    gauge("bongsu_risk_underestimate_ratio", &[], "Share of forecasts of risk that were too low."),
    // KIS
    counter("bongsu_kis_requests_total", &[("endpoint", KIS_CALLS), ("outcome", &["ok", "too_fast", "blocked", "transport"])],
        "REST requests to KIS by outcome."),
    gauge("bongsu_kis_budget_remaining", &[], "REST requests that may be sent now."),
    // HTTP
    gauge("bongsu_sse_clients", &[], "Open event streams."),
    counter("bongsu_sse_gaps_total", &[("reason", &["slow", "unknown_id"])], "Gap events sent on event streams."),
    counter("bongsu_task_rows_lost_total", &[], "Runs of tasks that are not in task_runs because nothing took them."),
    counter("bongsu_http_refused_total", &[("status", &["401", "403", "429"])], "Requests refused for want of a token."),
    counter("bongsu_sse_refused_total", &[], "Event streams refused because too many are open."),
];

/// Buckets of `bongsu_tick_to_publish_seconds`: 50 µs to 10 s.
pub const PUBLISH_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
/// Buckets of `bongsu_stage_seconds`: 5 µs to 1 s.
pub const STAGE_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.1, 1.0,
];
/// Buckets of tasks and the language model: 10 ms to 10 minutes.
pub const LONG_BUCKETS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
