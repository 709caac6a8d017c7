//! The schedule against what others say, and schedulers as processes.
//!
//! Celery's own crontab is the oracle of ours (`crontab_table.py`; its packages come with
//! `scripts/test`). Two daemons on one database are killed and stopped while they start runs every
//! second.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bongsu::market::{Calendar, EventTime};
use bongsu::schedule::Jobs;
use bongsu::store::entity::job_run;
use bongsu::store::{Database, DatabaseOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sea_orm::EntityTrait;

use crate::support::{Daemon, MariaDb, Process, skip, temp_dir, wait_until};

/// The script's whole run on a busy machine.
const RUN: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(120);
const ZONES: [&str; 3] = ["Asia/Seoul", "America/New_York", "Europe/London"];
/// 2026-01-01T00:00:00Z and a year later.
const YEAR: (i64, i64) = (1_767_225_600, 1_798_761_600);

/// A question: zone, stretch of time, crontab.
type Question = (&'static str, i64, i64, String);

fn pick<'a>(chance: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[chance.random_range(0..of.len())]
}

/// A crontab with every form of item, and so rare that a year of it is some hundred runs.
fn crontab(chance: &mut ChaCha8Rng) -> String {
    let minute = match chance.random_range(0..6) {
        0 => "*/30".to_owned(),
        1 => format!("{}-{}/20", chance.random_range(40..60), chance.random_range(0..30)),
        2 => format!("{},{}", chance.random_range(0..60), chance.random_range(0..60)),
        _ => chance.random_range(0..60).to_string(),
    };
    let hour = match chance.random_range(0..6) {
        0 => "22-4/3".to_owned(),
        1 => "*/8".to_owned(),
        2 => format!("{},2", chance.random_range(0..24)),
        // The hours at which clocks are changed.
        3 => chance.random_range(0..4).to_string(),
        _ => chance.random_range(0..24).to_string(),
    };
    let day = pick(chance, &["*", "*", "*", "13", "28-2", "*/10", "1,15", "29-31", "8-14"]);
    let month = pick(chance, &["*", "*", "*", "*/2", "3,11", "oct-mar", "Feb-apr", "10-3/2"]);
    let weekday =
        pick(chance, &["*", "*", "sun", "mon-fri", "fri-mon", "*/2", "sat-sun", "Tuesday,4"]);
    // A day that never comes is refused by both; that is tested beside the parser.
    let (day, month) = if day == "29-31" && month == "Feb-apr" { (day, "*") } else { (day, month) };
    format!("{minute} {hour} {day} {month} {weekday}")
}

fn ours((zone, from, to, cron): &Question) -> Vec<i64> {
    let text = format!("jobs:\n  - {{name: a, task: debug_ping, cron: '{cron}', zone: {zone}}}\n");
    let jobs = Jobs::parse(&text, Path::new("jobs.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let at = |second: i64| EventTime::from_micros(second * 1_000_000);
    let timing = &jobs.jobs[0].timing;
    let found = timing.between(&Calendar::krx(), at(*from), at(to - 1), usize::MAX);
    found.expect("a crontab needs no calendar").iter().map(|at| at.second()).collect()
}

fn theirs(python: &Path, questions: &[Question]) -> Vec<Vec<i64>> {
    let dir = temp_dir();
    let (source, target) = (dir.path().join("questions"), dir.path().join("answers"));
    let mut text = String::new();
    for (zone, from, to, cron) in questions {
        let _ = writeln!(text, "{zone}\t{from}\t{to}\t{cron}");
    }
    std::fs::write(&source, text).expect("a folder of ours");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedule/crontab_table.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([&source, &target])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::spawn("crontab_table.py", &mut command, &dir.path().join("log"));
    assert!(process.wait_exit(RUN).success(), "{}", process.tail());
    let answers = std::fs::read_to_string(&target).expect("the script has written it");
    let numbers = |line: &str| line.split(' ').filter_map(|word| word.parse().ok()).collect();
    answers.lines().map(numbers).collect()
}

/// 500 random crontabs over a year in each zone, and dense ones around the days on which clocks are
/// changed: the same instants, all of them.
#[test]
fn crontabs_fire_when_celerys_do() {
    let Some(python) = std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from) else {
        skip!("BONGSU_TEST_PYTHON is not set: no Python with celery")
    };
    let mut chance = ChaCha8Rng::seed_from_u64(20_260_101);
    let mut questions: Vec<Question> = Vec::new();
    for _ in 0..500 {
        let cron = crontab(&mut chance);
        questions.extend(ZONES.map(|zone| (zone, YEAR.0, YEAR.1, cron.clone())));
    }
    // 2026: New York on 8 March and 1 November, London on 29 March and 25 October.
    for day in ["2026-03-07", "2026-10-31", "2026-03-28", "2026-10-24"] {
        let start = format!("{day}T00:00:00Z").parse::<chrono::DateTime<chrono::Utc>>();
        let start = start.expect("a date").timestamp();
        for cron in
            ["*/5 * * * *", "*/15 1-3 * * *", "7,37 * * * sun", "10,50 2 * * *", "59 1,2 * * *"]
        {
            questions.extend(ZONES.map(|zone| (zone, start, start + 3 * 86_400, cron.to_owned())));
        }
    }
    let theirs = theirs(&python, &questions);
    assert_eq!(theirs.len(), questions.len());
    let mut fires = 0;
    for (question, theirs) in questions.iter().zip(&theirs) {
        let ours = ours(question);
        fires += ours.len();
        let differ = ours.iter().zip(theirs).find(|(a, b)| a != b);
        assert!(differ.is_none() && ours.len() == theirs.len(), "{question:?}: {differ:?}");
    }
    assert!(fires > 100_000, "{fires} instants were compared");
}

const JOBS: usize = 8;

/// So many jobs that run every second, and are made up for all.
fn busy() -> String {
    let job = |index| {
        format!(
            "  - {{name: j{index}, task: debug_ping, every: 1s, misfire: all, max_lateness: 5m, overlap: queue}}\n"
        )
    };
    format!("jobs:\n{}", (0..JOBS).map(job).collect::<String>())
}

fn daemon(database: &str) -> Daemon {
    Daemon::setup()
        .args(["run"])
        .env("DATABASE_URL", database)
        .env("BONGSU_FEED__SYMBOLS", "005930")
        .env("BONGSU_SCHEDULE__LEASE_SECONDS", "2")
        .file("jobs.yaml", &busy())
        .start()
}

/// Who starts the runs, as the daemon says.
fn leads(daemon: &Daemon) -> bool {
    daemon.json("/v1/jobs")["leader"] == "here"
}

fn rows(url: &str) -> Vec<job_run::Model> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let database = Database::connect(url, &DatabaseOptions::default()).await.unwrap();
        let rows = job_run::Entity::find().all(database.connection()).await.unwrap();
        database.close().await.unwrap();
        rows
    })
}

/// Two daemons; the one that leads is stopped, killed, and comes back, while the other takes over.
fn every_run_once(url: &str) {
    let (mut first, mut second) = (daemon(url), daemon(url));
    first.wait_ready(PATIENCE);
    second.wait_ready(PATIENCE);
    let done = || rows(url).iter().filter(|row| row.status == "done").count();
    wait_until(PATIENCE, || done() >= 40, "the first runs");
    for round in 0..4 {
        let (leader, other) =
            if leads(&first) { (&mut first, &second) } else { (&mut second, &first) };
        let so_far = done();
        if round % 2 == 0 {
            leader.process().signal("STOP");
            wait_until(PATIENCE, || leads(other), "the other takes over from one that is stopped");
            wait_until(PATIENCE, || done() > so_far + 20, "the other starts runs");
            leader.process().signal("CONT");
        } else {
            leader.kill9();
            wait_until(PATIENCE, || leads(other), "the other takes over from one that is dead");
            wait_until(PATIENCE, || done() > so_far + 20, "the other starts runs");
            leader.restart();
            leader.wait_ready(PATIENCE);
        }
        wait_until(PATIENCE, || leads(&first) != leads(&second), "one of them leads");
    }
    wait_until(PATIENCE, || done() >= 200, "200 runs");
    first.stop();
    second.stop();
    let mut plans: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for row in rows(url) {
        let again = format!("{} at {}", row.job, row.scheduled_for);
        assert!(
            plans.entry(row.job).or_default().insert(row.scheduled_for.second()),
            "{again} twice"
        );
        // The last ones may still have waited at the stop.
        assert!(
            ["done", "waiting", "running"].contains(&row.status.as_str()),
            "{again}: {}",
            row.status
        );
    }
    assert_eq!(plans.len(), JOBS);
    for (job, planned) in plans {
        let (first, last) = (planned.first().unwrap(), planned.last().unwrap());
        assert_eq!(planned.len() as i64, last - first + 1, "{job}: a run of every second");
    }
}

#[test]
fn two_daemons_start_every_run_once_on_sqlite() {
    let dir = temp_dir();
    every_run_once(&format!("sqlite://{}", dir.path().join("shared.db").display()));
}

#[test]
fn two_daemons_start_every_run_once_on_mariadb() {
    let Some(server) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    every_run_once(&server.url());
}
