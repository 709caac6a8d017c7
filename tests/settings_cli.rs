//! The program as a user meets it: exit codes, messages, help, and what is printed where.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `bongsu` in a folder of its own, with an environment that has nothing of the tester's.
fn bongsu(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command
}

fn output(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    bongsu(folder.path(), arguments).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_and_version_go_to_stdout() {
    for (arguments, expected) in [
        (&["--version"][..], concat!("bongsu ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], "Examples:"),
        (&["run", "--help"], "--duration <S>"),
        (&["kis-sim", "--help"], "--max-registrations <N|none>"),
        (&["kis-sim", "--help"], "drop-subscription"),
        (&["replay", "--help"], "--sandbox <DIR>"),
        (&["journal", "--help"], "verify"),
        (&["config", "show", "--help"], "--json"),
    ] {
        let output = output(arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains(expected), "{}", text(&output.stdout));
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    for arguments in [
        &["frobnicate"][..],
        &["run", "--frobnicate"],
        &["replay", "--sandbox", "s"],
        &["journal"],
        &["config"],
        &["kis-sim", "--listen", "nowhere"],
        &["kis-sim", "--fault", "mute:every=2"],
    ] {
        let output = output(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn wrong_settings_are_exit_2_and_all_told() {
    let environment =
        [("BONGSU_LOG__LEVEL", "loud"), ("BONGSU_FEED__SIMBOLS", "1"), ("KIS_ENV", "canary")];
    for command in [&["config", "show"][..], &["doctor"], &["run"], &[]] {
        let output = output(command, &environment);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("bongsu: 3 settings are wrong:\n  1. "), "{stderr}");
        let expected = "log.level = \"loud\" (environment variable BONGSU_LOG__LEVEL): expected \
                        one of off, error";
        assert!(stderr.contains(expected), "{stderr}");
        assert!(stderr.contains("did you mean BONGSU_FEED__SYMBOLS?"), "{stderr}");
        assert!(!stderr.contains("stack backtrace"), "{stderr}");
    }
    let output = output(&["run", "--speed", "-1", "--config", "missing.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("sim.speed = \"-1\" (flag --speed)"), "{stderr}");
    assert!(stderr.contains("missing.toml: cannot read"), "{stderr}");
}

#[test]
fn config_show_names_origins_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "KIS_APP_KEY=canary\nKIS_APP_SECRET=canary\n")
        .unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/bongsu.toml"), "[log]\nlevel = \"warn\"\n").unwrap();
    let show = |arguments: &[&str]| {
        let mut command = bongsu(folder.path(), arguments);
        let output = command.env("REDIS_URL", "redis://:canary@127.0.0.1/0").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let all = text(&output.stdout);
        assert!(!all.contains("canary"), "{all}");
        all
    };
    let all = show(&["config", "show", "--data-dir", "elsewhere"]);
    let line = |start: &str| all.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("data_dir = elsewhere").ends_with("# flag --data-dir"));
    assert!(line("log.level = warn").ends_with("# config/bongsu.toml line 2"));
    assert!(line("kis.app_key = (set, not shown)").ends_with("# .env line 1 KIS_APP_KEY"));
    assert!(line("feed.source = kis").ends_with("because KIS keys are set"));
    let json: serde_json::Value =
        serde_json::from_str(&show(&["config", "show", "--json"])).unwrap();
    assert_eq!(json["log.level"]["value"], "warn");
    assert_eq!(json["redis.url"]["origin"], "environment variable REDIS_URL");
}

#[test]
fn doctor_is_0_on_a_fresh_machine_and_1_when_something_is_away() {
    let well = output(&["doctor"], &[("BONGSU_HTTP__LISTEN", "127.0.0.1:0")]);
    assert_eq!(well.status.code(), Some(0), "{}{}", text(&well.stdout), text(&well.stderr));
    // Port 1 of the loopback is nobody's.
    let environment =
        [("BONGSU_HTTP__LISTEN", "127.0.0.1:0"), ("REDIS_URL", "redis://127.0.0.1:1")];
    let ill = output(&["doctor", "--json"], &environment);
    assert_eq!(ill.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&ill.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let redis = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "redis");
    assert_eq!(redis.unwrap()["state"], "fail");
    assert_eq!(text(&ill.stderr), "bongsu: doctor: 1 check failed\n");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["config", "show"][..], &["--help"]] {
        let mut child = bongsu(folder.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}
