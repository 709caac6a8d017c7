//! `bongsu replay`: recorded input through the same tree, into a sandbox.
//!
//! The sandbox is a folder with a journal and a SQLite database of its own; nothing outside it is
//! touched, and no event leaves the process. A folder that a replay made is emptied first; any
//! other folder that is not empty is refused. The last line on standard output is one JSON object
//! with counts and the digest of rows and events.

mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use parking_lot::Mutex as SyncMutex;
use serde::Serialize;

use super::args::{ReplayArgs, ReplayTime};
use super::{CliError, assembly};
use crate::actors::recorded::{Pace, Played, Span, play_archive, play_day, play_journal};
use crate::actors::recorder::RecorderParts;
use crate::actors::supervision::StageError;
use crate::actors::tree::{Tree, TreeHandles, TreeParts};
use crate::bus::Publisher;
use crate::config::{Settings, Speed};
use crate::kis::sim::{FrameShape, Playback, SimSource};
use crate::market::{Directory, EventTime};
use crate::messages::health::HealthRegistry;
use crate::messages::{AdviceBoard, BusLimits, Checkpoints, EventBus, Flag, ModelBoard, RiskBoard};
use crate::store::archive::{ArchiveReader, ArchiveSource};
use crate::store::{Database, DatabaseOptions, DigestBuilder, DigestReport, LocalObjects, Objects};

/// File that marks a folder as a replay's sandbox.
const MARKER: &str = ".bongsu-sandbox";

/// The last line of standard output.
#[derive(Debug, Serialize)]
struct Summary {
    digest: String,
    counts: std::collections::BTreeMap<&'static str, u64>,
    frames: u64,
    faults: u64,
    seconds: f64,
}

/// Replays.
///
/// # Errors
/// [`CliError`] when the input or the sandbox cannot be used, or the tree gives up.
pub fn execute(args: ReplayArgs, settings: Settings) -> Result<(), CliError> {
    assembly::start_telemetry(&settings)?;
    let runtime = assembly::runtime()?;
    if args.tasks {
        return replay_tasks(&runtime, &args, &settings);
    }
    // The input first: the sandbox is emptied only when there is something to replay.
    let input = Input::open(&args, &settings, &runtime)?;
    prepare_sandbox(&args.sandbox)?;
    let database = runtime.block_on(open_database(&args.sandbox))?;
    let began = Instant::now();
    let digest = Arc::new(SyncMutex::new(DigestBuilder::new()));
    let played = run(&runtime, &args, &settings, &database, input, &digest)?;
    let digest = std::mem::take(&mut *digest.lock());
    let report: DigestReport = runtime
        .block_on(digest.finish(&database))
        .map_err(|error| CliError::Runtime(error.into()))?;
    if report.counts.values().all(|count| *count == 0) {
        return Err(CliError::runtime(
            "nothing was replayed: the input gives no row and no event within --day, --from, --to and \
             --symbols; of a journal give the folder with the segments, for example var/journal",
        ));
    }
    let summary = Summary {
        digest: report.digest,
        counts: report.counts,
        frames: played.frames,
        faults: played.faults,
        seconds: began.elapsed().as_secs_f64(),
    };
    let line = serde_json::to_string(&summary).context("summary as JSON")?;
    super::print(&format!("{line}\n"))
}

/// Makes recorded calls of tasks again.
fn replay_tasks(
    runtime: &tokio::runtime::Runtime,
    args: &ReplayArgs,
    settings: &Settings,
) -> Result<(), CliError> {
    if let Some(against) = &args.against {
        refuse_inside(against, "--against", &args.sandbox)?;
    }
    prepare_sandbox(&args.sandbox)?;
    let within = |at: EventTime| {
        let begun = args.from.is_none_or(|from| bound(from).is_reached(at));
        begun && !args.to.is_some_and(|to| bound(to).is_reached(at))
    };
    runtime.block_on(async {
        let database = open_database(&args.sandbox).await?;
        let against = args.against.as_deref();
        tasks::execute(settings, &database, &args.sandbox, against, within).await
    })
}

/// What is replayed.
enum Input {
    Day(Box<Playback>),
    Journal(std::path::PathBuf),
    Archive(Box<ArchiveReader>),
}

impl Input {
    fn open(
        args: &ReplayArgs,
        settings: &Settings,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self, CliError> {
        if let Some(market) = &args.market {
            let source = SimSource::Market { market: market.clone(), day: None };
            return Self::day(&source, settings);
        }
        if let Some(place) = &args.archive {
            let source = archive_source(place, settings, &args.sandbox)?;
            let reader = runtime.block_on(ArchiveReader::open(source, settings.sim.day));
            let reader = reader.map_err(|error| {
                CliError::Runtime(anyhow!(error).context(format!("--archive {}", place.display())))
            })?;
            return Ok(Self::Archive(Box::new(reader)));
        }
        let Some(path) = &args.data else {
            let folder = args.journal.clone().unwrap_or_default();
            if !folder.is_dir() {
                return Err(CliError::runtime(format!(
                    "--journal {}: no such folder; give the folder that holds the segments, for example var/journal",
                    folder.display()
                )));
            }
            refuse_inside(&folder, "--journal", &args.sandbox)?;
            return Ok(Self::Journal(folder));
        };
        refuse_inside(path, "--data", &args.sandbox)?;
        let source = SimSource::Data {
            path: path.clone(),
            day: settings.sim.day,
            indices: settings.sim.indices.clone(),
            symbols: settings.sim.symbols.and_then(|count| usize::try_from(count).ok()),
        };
        Self::day(&source, settings)
    }

    fn day(source: &SimSource, settings: &Settings) -> Result<Self, CliError> {
        let shape = FrameShape {
            records_per_frame: settings.sim.records_per_frame as usize,
            ..FrameShape::default()
        };
        let playback = Playback::load(source, settings.sim.seed, None, shape)
            .map_err(|error| CliError::Runtime(error.into()))?;
        Ok(Self::Day(Box::new(playback)))
    }
}

/// The archive at `place`: a folder of Bongsu's objects, a copy of the bucket, or the S3 service.
fn archive_source(
    place: &Path,
    settings: &Settings,
    sandbox: &Path,
) -> Result<ArchiveSource, CliError> {
    if place == Path::new("s3") {
        if settings.objects.endpoint.is_none() {
            return Err(CliError::Usage(
                "--archive s3: objects.endpoint is not set; set MINIO_ENDPOINT, MINIO_ACCESS_KEY and \
                 MINIO_SECRET_KEY, or give a folder"
                    .to_owned(),
            ));
        }
        return Ok(ArchiveSource::Objects(assembly::object_store(settings, None, false)?));
    }
    if !place.is_dir() {
        return Err(CliError::runtime(format!(
            "--archive {}: no such folder; give the folder of the objects, for example var/objects, a \
             copy of the bucket raw-data, or s3",
            place.display()
        )));
    }
    refuse_inside(place, "--archive", sandbox)?;
    let bucket = crate::store::Bucket::RawData.as_str();
    let root = match place.join(bucket).is_dir() {
        true => Some(place.to_owned()),
        false if place.file_name().is_some_and(|name| name == bucket) => {
            place.parent().map(Path::to_owned)
        }
        false => None,
    };
    // Bongsu's own folders mark each object; in a copy of the bucket they are plain files.
    let marked = |root: &Path| {
        let manifests = std::fs::read_dir(root.join(bucket).join("kis/segments"));
        manifests.is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with('@'))
            })
        })
    };
    Ok(match root {
        Some(root) if marked(&root) => {
            ArchiveSource::Objects(Objects::Local(LocalObjects::new(root)))
        }
        Some(root) => ArchiveSource::Folder(root.join(bucket)),
        None => ArchiveSource::Folder(place.to_owned()),
    })
}

const fn bound(time: ReplayTime) -> Span {
    match time {
        ReplayTime::Instant(instant) => Span::At(instant),
        ReplayTime::Daily(time) => Span::Daily(time),
    }
}

fn pace(args: &ReplayArgs, settings: &Settings) -> Pace {
    Pace {
        speed: match args.speed {
            Speed::Times(times) => Some(times),
            Speed::Max => None,
        },
        batch: args.batch.map_or(settings.pipeline.batch_frames, |batch| batch as usize),
        from: args.from.map(bound),
        to: args.to.map(bound),
        symbols: settings.feed.symbols.clone(),
    }
}

fn run(
    runtime: &Arc<tokio::runtime::Runtime>,
    args: &ReplayArgs,
    settings: &Settings,
    database: &Database,
    input: Input,
    digest: &Arc<SyncMutex<DigestBuilder>>,
) -> Result<Played, CliError> {
    let health = HealthRegistry::new();
    let board = RiskBoard::new(Directory::new());
    let mut publisher = Publisher::new(EventBus::new(BusLimits::default()), None);
    let tap = Arc::clone(digest);
    publisher.set_tap(move |events| {
        let mut digest = tap.lock();
        for event in events {
            digest.event(event);
        }
    });
    let checkpoints = Checkpoints::none();
    let recorder: RecorderParts = assembly::recorder(
        settings,
        Some(database.clone()),
        &board.directory,
        &health,
        &checkpoints,
    );
    let parts = TreeParts {
        runtime: Arc::clone(runtime),
        supervision: assembly::supervision(settings),
        journal: assembly::journal_options(settings, &args.sandbox),
        silence_after: None,
        risk: assembly::risk_params(settings),
        board,
        advice_board: AdviceBoard::default(),
        models: ModelBoard::default(),
        publisher,
        health,
        recorder: Some(recorder),
        advice: Some(assembly::advice(runtime, settings, (None, None))?),
        repairs: None,
        batch_latency: None,
        checkpoints,
        caught_up: Flag::already(),
        states: None,
    };
    let pace = Arc::new(pace(args, settings));
    let input = Arc::new(SyncMutex::new(Some(input)));
    let played = Arc::new(SyncMutex::new(None));
    let outcome = Arc::clone(&played);
    let seen = Arc::new(SyncMutex::new(None));
    assembly::run_tree(
        runtime,
        || {
            let mut tree = Tree::new(parts);
            let edge = tree.frames.clone();
            let root = tree.handles.root.clone();
            *seen.lock() = Some(tree.handles.clone());
            let quiet = tree.quiet.clone();
            tree.set_feed(move |stop| {
                let (edge, root, pace) = (edge.clone(), root.clone(), Arc::clone(&pace));
                let (input, outcome) = (input.lock().take(), Arc::clone(&outcome));
                let quiet = quiet.clone();
                async move {
                    let played = match input {
                        Some(Input::Day(day)) => play_day(day.into_frames(), &edge, &pace, &stop)
                            .await
                            .map_err(for_good)?,
                        Some(Input::Journal(folder)) => {
                            play_journal(&folder, &edge, &pace, &stop).await.map_err(for_good)?
                        }
                        Some(Input::Archive(archive)) => {
                            play_archive(*archive, &edge, &pace, &stop).await.map_err(for_good)?
                        }
                        None => return Err(StageError::Failed("the input was used up".to_owned())),
                    };
                    // A stop gives each actor some seconds and then cuts it off, however much it
                    // has left; a digest over that would depend on the machine. So nothing is
                    // stopped before everything is handled. One that was asked for from outside
                    // leaves no outcome.
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = quiet.wait() => *outcome.lock() = Some(played),
                    }
                    root.stop();
                    Ok(())
                }
            });
            tree
        },
        |tree| {
            let root = tree.handles.root.clone();
            async move {
                let why = super::run::wait_for_the_end(None).await;
                tracing::warn!(why, "the replay is cut short");
                root.stop();
            }
        },
    )?;
    let played = played.lock().take();
    let played =
        played.ok_or_else(|| CliError::runtime("the replay was stopped before its end"))?;
    match seen.lock().take().as_ref().and_then(abandoned) {
        None => Ok(played),
        Some(actor) => Err(CliError::Runtime(anyhow!(
            "the replay is not whole: {actor} did not finish in time, what it had left is in neither \
             the database nor a digest; the lines above say why, then replay again"
        ))),
    }
}

/// An input that cannot be read is not better the second time.
fn for_good(error: StageError) -> StageError {
    match error {
        StageError::Failed(why) => StageError::Fatal(why),
        other => other,
    }
}

/// A part between feed and database that did not end when it was asked to, if there is one.
fn abandoned(handles: &TreeHandles) -> Option<&'static str> {
    let mut children = handles.pipeline.status();
    children.extend(handles.service.status());
    children.iter().find(|child| child.up).map(|child| child.name)
}

async fn open_database(sandbox: &Path) -> Result<Database, CliError> {
    let url = format!("sqlite://{}?mode=rwc", sandbox.join("bongsu.db").display());
    let open = async {
        let database = Database::connect(&url, &DatabaseOptions::default()).await?;
        database.migrate().await?;
        Ok::<_, crate::store::StoreError>(database)
    };
    open.await.map_err(|error| CliError::Runtime(error.into()))
}

/// Refuses an input that lies in the sandbox: it would be emptied before it is read.
fn refuse_inside(input: &Path, flag: &str, sandbox: &Path) -> Result<(), CliError> {
    // A path that does not exist lies nowhere; what opens it says so.
    let (Ok(inner), Ok(outer)) = (input.canonicalize(), sandbox.canonicalize()) else {
        return Ok(());
    };
    if inner.starts_with(&outer) {
        return Err(CliError::runtime(format!(
            "{flag} {}: lies in the sandbox {}, which is emptied first; choose another --sandbox",
            input.display(),
            sandbox.display()
        )));
    }
    Ok(())
}

/// Makes the sandbox an empty folder.
fn prepare_sandbox(sandbox: &Path) -> Result<(), CliError> {
    let failed = |what: &str| format!("--sandbox {}: cannot {what}", sandbox.display());
    std::fs::create_dir_all(sandbox).with_context(|| failed("make the folder"))?;
    let marker = sandbox.join(MARKER);
    let is_ours = marker.exists();
    let entries = std::fs::read_dir(sandbox).with_context(|| failed("list the folder"))?;
    for entry in entries {
        let path = entry.with_context(|| failed("list the folder"))?.path();
        if !is_ours {
            return Err(CliError::Runtime(anyhow!(
                "--sandbox {}: the folder is not empty and was not made by a replay; choose another one",
                sandbox.display()
            )));
        }
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("--sandbox: cannot remove {}", path.display()))?;
    }
    std::fs::write(&marker, "made by bongsu replay; the next replay into this folder empties it\n")
        .with_context(|| failed("write into the folder"))?;
    Ok(())
}
