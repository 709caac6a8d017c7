//! The metrics recorder: installed once, rendered on request.
//!
//! The recorder opens no port; the HTTP interface serves [`Metrics::render`]. Histograms collect
//! raw values until they are rendered or [`Metrics::upkeep`] runs, so something must call it
//! every few seconds ([`Metrics::keep_up`]); otherwise memory grows with every observation.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::families::{
    FAMILIES, FEEDS, Family, Kind, LONG_BUCKETS, PUBLISH_BUCKETS, REJECTS, STAGE_BUCKETS, STAGES,
    TABLES, TICKS,
};

/// The installed recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

static INSTALLED: OnceLock<Metrics> = OnceLock::new();

/// Installs the recorder and declares every metric at zero; a second call returns the first one's
/// handle. Call it before anything takes a metric handle: handles taken earlier count nowhere.
pub fn install() -> Metrics {
    INSTALLED
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            // Fails only when another library has put a recorder of its own in place; the
            // metrics are then empty, and the log says why.
            if let Err(error) = metrics::set_global_recorder(recorder) {
                tracing::error!(%error, "metrics are off: another recorder is installed");
            }
            FAMILIES.iter().for_each(declare);
            Metrics { handle }
        })
        .clone()
}

fn builder() -> PrometheusBuilder {
    let buckets = [
        ("bongsu_tick_to_publish_seconds", PUBLISH_BUCKETS),
        ("bongsu_stage_seconds", STAGE_BUCKETS),
        ("bongsu_edge_blocked_seconds", PUBLISH_BUCKETS),
        ("bongsu_task_seconds", LONG_BUCKETS),
        ("bongsu_llm_seconds", LONG_BUCKETS),
    ];
    buckets.iter().fold(PrometheusBuilder::new(), |builder, (name, values)| {
        builder
            .set_buckets_for_metric(Matcher::Full((*name).to_owned()), values)
            .expect("invariant: the bucket lists are constants and not empty")
    })
}

/// Registers every series of `family`.
fn declare(family: &Family) {
    match family.kind {
        Kind::Counter => metrics::describe_counter!(family.name, family.help),
        Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
        Kind::Histogram => metrics::describe_histogram!(family.name, family.help),
    }
    let mut series: Vec<Vec<Label>> = vec![Vec::new()];
    for (key, values) in family.labels {
        series = series
            .iter()
            .flat_map(|labels| {
                values.iter().map(|value| {
                    let mut labels = labels.clone();
                    labels.push(Label::from_static_parts(key, value));
                    labels
                })
            })
            .collect();
    }
    for labels in series {
        match family.kind {
            Kind::Counter => metrics::counter!(family.name, labels).increment(0),
            // A part that started earlier may have set it.
            Kind::Gauge => metrics::gauge!(family.name, labels).increment(0.0),
            Kind::Histogram => drop(metrics::histogram!(family.name, labels)),
        }
    }
}

impl Metrics {
    /// The Prometheus text exposition.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves collected observations into buckets. Cheap; every five seconds is enough.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Runs [`Metrics::upkeep`] every five seconds until the future is dropped.
    pub async fn keep_up(self) {
        let mut timer = tokio::time::interval(Duration::from_secs(5));
        loop {
            timer.tick().await;
            self.upkeep();
        }
    }
}

/// A handle for each value of one label.
#[derive(Debug)]
struct ByLabel<T>(Vec<(&'static str, T)>);

impl<T> ByLabel<T> {
    fn new(values: &'static [&'static str], handle: impl Fn(&'static str) -> T) -> Self {
        Self(values.iter().map(|value| (*value, handle(value))).collect())
    }

    fn get(&self, value: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| *known == value).map(|(_, handle)| handle)
    }
}

/// Handles of what the hot path counts: no registry look-up per batch. Values outside the lists
/// of [`super::families`] go through the registry.
pub struct HotMetrics {
    /// `bongsu_tick_to_publish_seconds`.
    pub tick_to_publish: Histogram,
    /// `bongsu_journal_bytes_total`.
    pub journal_bytes: Counter,
    /// `bongsu_journal_lag_frames`.
    pub journal_lag: Gauge,
    frames: ByLabel<Counter>,
    ticks: ByLabel<Counter>,
    rejects: ByLabel<Counter>,
    stages: ByLabel<Histogram>,
    rows: ByLabel<Counter>,
}

static HOT: OnceLock<HotMetrics> = OnceLock::new();

/// The hot path's handles; installs the recorder when that has not happened yet.
pub fn hot() -> &'static HotMetrics {
    HOT.get_or_init(|| {
        install();
        HotMetrics {
            tick_to_publish: metrics::histogram!("bongsu_tick_to_publish_seconds"),
            journal_bytes: metrics::counter!("bongsu_journal_bytes_total"),
            journal_lag: metrics::gauge!("bongsu_journal_lag_frames"),
            frames: ByLabel::new(FEEDS, |v| metrics::counter!("bongsu_frames_total", "feed" => v)),
            ticks: ByLabel::new(TICKS, |v| metrics::counter!("bongsu_ticks_total", "kind" => v)),
            rejects: ByLabel::new(
                REJECTS,
                |v| metrics::counter!("bongsu_rejects_total", "reason" => v),
            ),
            stages: ByLabel::new(
                STAGES,
                |v| metrics::histogram!("bongsu_stage_seconds", "stage" => v),
            ),
            rows: ByLabel::new(
                TABLES,
                |v| metrics::counter!("bongsu_store_rows_total", "table" => v),
            ),
        }
    })
}

impl HotMetrics {
    /// Counts frames of a feed.
    pub fn frames(&self, feed: &'static str, count: usize) {
        match self.frames.get(feed) {
            Some(counter) => counter.increment(count as u64),
            None => {
                metrics::counter!("bongsu_frames_total", "feed" => feed).increment(count as u64)
            }
        }
    }

    /// Counts ticks of a kind: `trade`, `quote`, `index`, `mark`.
    pub fn ticks(&self, kind: &'static str, count: usize) {
        match self.ticks.get(kind) {
            Some(counter) => counter.increment(count as u64),
            None => metrics::counter!("bongsu_ticks_total", "kind" => kind).increment(count as u64),
        }
    }

    /// Counts one refused frame or record.
    pub fn reject(&self, reason: &'static str) {
        match self.rejects.get(reason) {
            Some(counter) => counter.increment(1),
            None => metrics::counter!("bongsu_rejects_total", "reason" => reason).increment(1),
        }
    }

    /// Observes how long a stage took for one batch.
    pub fn stage(&self, stage: &'static str, took: Duration) {
        match self.stages.get(stage) {
            Some(histogram) => histogram.record(took),
            None => {
                metrics::histogram!("bongsu_stage_seconds", "stage" => stage).record(took);
            }
        }
    }

    /// Counts rows written to a table.
    pub fn rows(&self, table: &'static str, count: usize) {
        match self.rows.get(table) {
            Some(counter) => counter.increment(count as u64),
            None => {
                metrics::counter!("bongsu_store_rows_total", "table" => table)
                    .increment(count as u64);
            }
        }
    }
}

/// Shows whether an actor works.
pub fn actor_up(actor: &'static str, up: bool) {
    metrics::gauge!("bongsu_actor_up", "actor" => actor).set(if up { 1.0 } else { 0.0 });
}

/// Counts a restart of an actor.
pub fn actor_restarted(actor: &'static str) {
    metrics::counter!("bongsu_actor_restarts_total", "actor" => actor).increment(1);
}

/// The gauge of an actor's waiting messages; keep the handle.
pub fn mailbox_depth(actor: &'static str) -> Gauge {
    metrics::gauge!("bongsu_mailbox_depth", "actor" => actor)
}

/// Counts a request to the language model.
pub fn llm_request(task: &'static str, outcome: &'static str, took: Duration) {
    metrics::counter!("bongsu_llm_requests_total", "task" => task, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("bongsu_llm_seconds").record(took);
}

/// Counts a REST request to KIS.
pub fn kis_request(endpoint: &'static str, outcome: &'static str) {
    metrics::counter!("bongsu_kis_requests_total", "endpoint" => endpoint, "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_family_is_there_from_the_start_with_help_and_type() {
        let text = install().render();
        for family in FAMILIES {
            assert!(
                text.contains(&format!("# HELP {} {}", family.name, family.help)),
                "{}",
                family.name
            );
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            assert!(text.contains(&format!("# TYPE {} {kind}", family.name)), "{}", family.name);
        }
        assert!(text.contains("bongsu_events_total{type=\"crash\",level=\"critical\"}"));
        assert!(text.contains("bongsu_tick_to_publish_seconds_bucket{le=\"0.00005\"}"));
        assert!(text.contains("bongsu_dependency_up{dependency=\"redis\"}"));
    }

    #[test]
    fn every_family_is_documented() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md");
        let text = std::fs::read_to_string(path).unwrap();
        for family in FAMILIES {
            let row = text.lines().find(|l| l.starts_with(&format!("| `{}` |", family.name)));
            let row = row.unwrap_or_else(|| panic!("{} is not in docs/telemetry.md", family.name));
            assert!(row.contains(family.help), "{row}");
            assert!(family.labels.iter().all(|(l, _)| row.contains(&format!("`{l}`"))), "{row}");
        }
    }

    #[test]
    fn installed_twice_is_one_recorder() {
        let first = install();
        hot().frames("replay", 3);
        hot().stage("publish", Duration::from_micros(20));
        let read = |text: String| {
            let line = text.lines().find(|l| l.starts_with("bongsu_frames_total{feed=\"replay\"}"));
            line.and_then(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).unwrap()
        };
        assert!(read(first.render()) >= 3);
        assert!(read(install().render()) >= 3);
    }

    fn sources(directory: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn no_metric_is_used_that_is_not_declared() {
        let mut texts = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
        for text in texts {
            for call in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(call) {
                    let rest = text[at + call.len()..].trim_start();
                    let Some(name) = rest.strip_prefix('"').and_then(|r| r.split('"').next())
                    else {
                        continue;
                    };
                    if name.starts_with("bongsu_") {
                        assert!(FAMILIES.iter().any(|f| f.name == name), "{name} is not declared");
                    }
                }
            }
        }
    }

    /// Debian's `promtool check metrics` over the exposition.
    #[test]
    fn promtool_finds_nothing() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let text = install().render();
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            return eprintln!("skipped promtool_finds_nothing: promtool is not installed");
        };
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
