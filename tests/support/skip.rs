//! Skipping a test by name when what it needs is not on the machine.
//!
//! The test runner hides the output of tests that pass, so the line also goes to the file named in
//! `BONGSU_SKIP_LOG`, which `scripts/test` prints at the end. With `BONGSU_FORBID_SKIP` set, as on
//! CI, a skip is a failure: a check that silently does not run is none.

use std::ffi::OsString;
use std::io::Write;

/// Ends the running test with `SKIPPED <name>: <reason>`; the reason takes `format!` arguments.
/// For tests that return `()`.
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::support::skip::report(std::any::type_name_of_val(&|| {}), &format!($($reason)+));
        return;
    }};
}
pub(crate) use skip;

/// Writes the line; `place` is the type name of a closure in the test, which carries its path.
///
/// # Panics
/// When skipping is forbidden, or the line cannot be written where it was asked for.
pub fn report(place: &str, reason: &str) {
    let line = line(place, reason);
    record(&line, std::env::var_os("BONGSU_SKIP_LOG"));
    assert!(
        std::env::var_os("BONGSU_FORBID_SKIP").is_none(),
        "{line} (BONGSU_FORBID_SKIP is set: install what is missing, `scripts/test` shows how)"
    );
}

/// `all::bus::reconnects::{{closure}}` → `SKIPPED bus::reconnects: …`.
pub fn line(place: &str, reason: &str) -> String {
    let path = place.replace("::{{closure}}", "");
    let name = path.split_once("::").map_or(path.as_str(), |(_program, name)| name);
    format!("SKIPPED {name}: {reason}")
}

/// Says it on standard error and appends it to `log`.
pub fn record(line: &str, log: Option<OsString>) {
    eprintln!("{line}");
    if let Some(log) = log {
        // One write in append mode: test programs run side by side share the file.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .unwrap_or_else(|error| panic!("BONGSU_SKIP_LOG {}: {error}", log.display()));
    }
}
