//! `bongsu check hedge` as a user meets it; what it computes is tested where it is computed.

use std::process::Command;

fn bongsu(arguments: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    command.output().unwrap()
}

#[test]
fn what_is_missing_is_asked_for() {
    for (arguments, code, named) in [
        (&["check", "hedge"][..], 2, "--data"),
        (&["check", "hedge", "--data", "bars.parquet"][..], 2, "--indices"),
        (
            &["check", "hedge", "--data", "bars.parquet", "--indices", "indices.parquet"][..],
            1,
            "bars.parquet",
        ),
        (&["check", "crash", "--data", "a.parquet", "b.parquet"][..], 2, "2 files"),
    ] {
        let output = bongsu(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}
