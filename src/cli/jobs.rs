//! `bongsu jobs list`: the schedule that is in force.

use std::fmt::Write as _;

use anyhow::Context;

use super::{CliError, assembly};

/// Prints the jobs.
///
/// # Errors
/// When `jobs.yaml` is wrong, or the output cannot be written.
pub fn list(json: bool) -> Result<(), CliError> {
    let jobs = assembly::schedule()?;
    if json {
        let text = serde_json::to_string(&jobs).context("jobs as JSON")?;
        return super::print(&format!("{text}\n"));
    }
    let mut text = String::new();
    for job in &jobs.jobs {
        let state = if job.enabled { "on" } else { "off" };
        let task = serde_json::to_value(job.task).context("task as JSON")?;
        let task = task.as_str().unwrap_or_default();
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{:<24} {:<4} every {:<6} {task}", job.name, state, job.every);
    }
    super::print(&text)
}
