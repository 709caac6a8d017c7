//! `bongsu doctor`: what is set, what is reachable, and what to do about it.
//!
//! Each check is one line: name, state, what was found, and for anything but `ok` what to do. The
//! checks are made from outside, with nothing started: files are opened, ports are bound and
//! released, services are asked for a TCP connection with a time-out. Nothing that exists is
//! changed: of KIS no access token is asked for unless `--online` says so, because KIS sends the
//! customer a message at each; one that is kept is tried. While KIS shuts the key or this address
//! out, nothing is sent there. (A service that accepts a connection can still refuse a login: the daemon's `/readyz`
//! says so.)

pub(super) mod objects;
pub(super) mod probe;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context;

use self::probe::{connect, sqlite_path, writable};
use super::args::DoctorArgs;
use super::finding::{Check, State, report};
use super::kis_state::{self, KeyState};
use super::{CliError, assembly};
use crate::config::{ChannelLayer, FeedSource, Origin, ServiceUrl, Settings};

/// Makes every check and prints it.
///
/// # Errors
/// [`CliError::Runtime`] when a check failed, after all of them have been printed, or the runtime
/// cannot be started.
pub fn execute(args: DoctorArgs, settings: Settings) -> Result<(), CliError> {
    report("doctor", &checks(&settings, args.online)?, args.json)
}

/// Every check, in the order in which the daemon needs what is checked. `online`: KIS may be asked
/// for an access token.
///
/// # Errors
/// When the runtime cannot be started.
pub fn checks(settings: &Settings, online: bool) -> Result<Vec<Check>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let mut checks = vec![summary(settings), data_folder(&settings.data_dir)];
    match settings.feed.source {
        FeedSource::Sim => checks.extend(simulator(settings)),
        FeedSource::Kis => checks.extend(runtime.block_on(kis(settings, online))),
    }
    checks.push(database(&settings.database.url));
    checks.extend(runtime.block_on(objects::objects(settings)));
    checks.push(match &settings.redis.url {
        Some(url) => service("redis", url, "start Redis, or correct redis.url (REDIS_URL)"),
        None => Check::ok("redis", "not set: events stay in the process and its event streams"),
    });
    checks.extend(channels(settings));
    checks.push(llm(settings));
    checks.push(listen_port(settings.http.listen));
    checks.extend(unused(settings));
    Ok(checks)
}

/// Everything about KIS. Without `online` the keys are judged by what is kept of them: a token that
/// is good is tried, none is asked for.
async fn kis(settings: &Settings, online: bool) -> Vec<Check> {
    let mut checks = vec![kis_state::environment(settings)];
    let options = assembly::kis_options(settings, None, &settings.data_dir);
    let keys = options
        .map_err(|error| error.to_string())
        .and_then(|options| KeyState::of_all(options, online).map_err(|error| error.to_string()));
    match keys {
        Ok(keys) => ask_kis(settings, online, &keys, &mut checks).await,
        Err(error) => {
            let advice = "correct KIS_APP_KEY, KIS_APP_SECRET and KIS_BASE_URL";
            checks.push(Check::fail("kis keys", error, advice));
        }
    }
    checks.push(kis_state::calendar(kis_state::now().session_day()));
    match assembly::watch(settings, &settings.feed.symbols) {
        Ok(watch) => {
            let keys = kis_state::key_count(settings);
            checks.push(kis_state::registrations(settings, &watch, keys));
            checks.push(kis_state::notices(settings));
        }
        Err(error) => {
            checks.push(Check::fail("account notices", error.to_string(), "correct KIS_HTS_ID"));
        }
    }
    checks
}

/// What only KIS can say: nothing, not even a connection, while it shuts a key or this address out.
async fn ask_kis(settings: &Settings, online: bool, keys: &[KeyState], checks: &mut Vec<Check>) {
    let mut blocks = Vec::new();
    for key in keys {
        let block = key.client.block().await;
        blocks.extend(block.map(|block| kis_state::blocked(key.name.clone(), &block)));
    }
    if !blocks.is_empty() {
        checks.extend(blocks);
        return;
    }
    let rest = service("kis rest", &settings.kis.base_url, KIS_ADVICE);
    let reachable = rest.state == State::Ok;
    checks.push(rest);
    checks.push(service("kis websocket", &settings.kis.ws_url, KIS_ADVICE));
    if !reachable {
        return;
    }
    for key in keys {
        checks.push(key.prove(settings, online).await);
    }
    if let Some(first) = keys.first() {
        checks.extend(first.clock(settings).await);
    }
}

const KIS_ADVICE: &str =
    "check the network, and kis.base_url and kis.ws_url; or choose feed.source = sim";

fn summary(settings: &Settings) -> Check {
    let set = settings.effective().iter().filter(|row| {
        row.value.is_some() && !matches!(row.origin, Origin::Default | Origin::Derived(_))
    });
    let symbols = match settings.feed.symbols.len() {
        0 => "all symbols".to_owned(),
        1 => "1 symbol".to_owned(),
        count => format!("{count} symbols"),
    };
    Check::ok(
        "settings",
        format!(
            "valid, {} set by you; feed {} with {symbols}, writes {} (`bongsu config show` lists \
             them)",
            set.count(),
            settings.feed.source.as_str(),
            if settings.writes { "on" } else { "off" },
        ),
    )
}

fn data_folder(folder: &Path) -> Check {
    let shown = folder.display();
    match writable(folder) {
        Ok(true) => Check::ok("data folder", format!("{shown} is writable")),
        Ok(false) => Check::ok("data folder", format!("{shown} will be made at the first start")),
        Err(error) => Check::fail(
            "data folder",
            format!("{shown}: {error}"),
            "give the daemon's user write access, or choose another data_dir (BONGSU_DATA_DIR)",
        ),
    }
}

fn simulator(settings: &Settings) -> Vec<Check> {
    let sim = &settings.sim;
    match &sim.data {
        None if has_yaml_ending(&sim.market) => {
            vec![readable_file("simulator", Path::new(&sim.market), b"", "sim.market (--market)")]
        }
        None => vec![Check::ok("simulator", format!("plays the script {}", sim.market))],
        Some(data) => {
            let mut checks = vec![parquet("simulator data", data, "sim.data (--data)")];
            if let Some(indices) = &sim.indices {
                checks.push(parquet("simulator indices", indices, "sim.indices (--indices)"));
            }
            checks
        }
    }
}

fn has_yaml_ending(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

fn parquet(name: &'static str, path: &Path, key: &str) -> Check {
    readable_file(name, path, b"PAR1", key)
}

/// Whether `path` is a file that can be read and begins with `magic`.
fn readable_file(name: &'static str, path: &Path, magic: &[u8], key: &str) -> Check {
    let shown = path.display();
    let head = || -> io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
        }
        let mut head = Vec::new();
        file.take(magic.len() as u64).read_to_end(&mut head)?;
        Ok((head, about.len()))
    };
    match head() {
        Ok((head, size)) if head == magic => {
            Check::ok(name, format!("{shown} is readable, {size} bytes"))
        }
        Ok(_) => Check::fail(
            name,
            format!("{shown} is no Parquet file: it does not begin with PAR1"),
            format!("name another file in {key}"),
        ),
        Err(error) => Check::fail(
            name,
            format!("{shown}: {error}"),
            format!("correct {key}, or give the daemon's user read access"),
        ),
    }
}

fn database(url: &ServiceUrl) -> Check {
    if url.scheme() != "sqlite" {
        return service(
            "database",
            url,
            "start the database server, or correct database.url (DATABASE_URL)",
        );
    }
    let Some(path) = sqlite_path(url.expose()) else {
        return Check::warn(
            "database",
            "sqlite in memory",
            "rows are lost at the end: name a file in database.url to keep them",
        );
    };
    let shown = path.display().to_string();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = match fs::metadata(&path) {
        // Opening for writing does not change a file; SQLite also writes beside it.
        Ok(_) => OpenOptions::new().write(true).open(&path).and_then(|_| writable(folder)),
        Err(error) if error.kind() == ErrorKind::NotFound => writable(folder),
        Err(error) => Err(error),
    };
    match found {
        Ok(_) if path.exists() => Check::ok("database", format!("sqlite, {shown} is writable")),
        Ok(_) => Check::ok("database", format!("sqlite, {shown} will be made at the first start")),
        Err(error) => Check::fail(
            "database",
            format!("sqlite, {shown}: {error}"),
            "give the daemon's user write access to the file and its folder, or correct \
             database.url (DATABASE_URL)",
        ),
    }
}

/// A line for each host of the channel layer; the daemon works without them.
fn channels(settings: &Settings) -> Vec<Check> {
    let set = &settings.channels;
    if set.layer == ChannelLayer::Off {
        return vec![Check::ok("channels", "off: no event goes to Django Channels")];
    }
    let advice = "start the Redis of the channel layer, or correct channels.hosts \
                  (BONGSU_CHANNELS__HOSTS)";
    let check = |url| {
        let check = service("channels", url, advice);
        let found = format!("{}, {} layer, group {}", check.found, set.layer.as_str(), set.group);
        let state = if check.state == State::Fail { State::Warn } else { check.state };
        Check { state, found, ..check }
    };
    set.hosts.iter().map(check).collect()
}

fn llm(settings: &Settings) -> Check {
    let advice = "check the network, and llm.base_url (OPENAI_BASE_URL); until then templates \
                  write the reports";
    match (&settings.llm.base_url, &settings.llm.api_key) {
        (Some(url), _) => {
            // Reports fall back to templates, so a service that is away stops nothing.
            let check = service("llm", url, advice);
            if check.state == State::Fail { Check { state: State::Warn, ..check } } else { check }
        }
        (None, Some(_)) => Check::ok("llm", format!("OpenAI's own, model {}", settings.llm.model)),
        (None, None) => Check::ok("llm", "not set: templates write the reports"),
    }
}

/// Whether a TCP connection to the host of `url` is accepted in time.
fn service(name: &'static str, url: &ServiceUrl, advice: &str) -> Check {
    let Some((host, port)) = url.host_and_port() else {
        return Check::fail(name, format!("{url} names no host and port"), advice);
    };
    match connect(&host, port) {
        Ok(address) => Check::ok(name, format!("{url} accepts connections at {address}")),
        Err(error) => Check::fail(name, format!("{url} is not reachable: {error}"), advice),
    }
}

fn listen_port(address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("http port", format!("{address} is free")),
        Err(_) if probe::is_bongsu(address) => {
            Check::ok("http port", format!("{address}: a running bongsu answers there"))
        }
        Err(error) => Check::fail(
            "http port",
            format!("{address}: {error}"),
            "stop what uses it (another bongsu?), or choose another http.listen \
             (BONGSU_HTTP__LISTEN)",
        ),
    }
}

fn unused(settings: &Settings) -> Option<Check> {
    let keys: Vec<&str> = settings.unused().map(|row| row.key.path).collect();
    (!keys.is_empty()).then(|| {
        Check::warn(
            "not used yet",
            keys.join(", "),
            "nothing to do: these settings are accepted, but this version does not use them",
        )
    })
}

#[cfg(test)]
mod tests;
