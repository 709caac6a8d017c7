//! What can be typed after `bongsu enqueue`.

use std::fmt::Write as _;

use clap::Args;

use crate::actors::jobs::catalogue;

/// The tasks, as the registry has them.
fn tasks() -> String {
    let mut text = String::from("Tasks (arguments with ? may be left out):\n");
    for spec in catalogue() {
        let first = spec.help.lines().next().unwrap_or_default();
        // Writing into a text cannot fail.
        let _ = write!(text, "\n  {}\n      {first}\n", spec.signature());
        for parameter in spec.parameters {
            let _ = writeln!(text, "      {}: {}", parameter.name, parameter.help);
        }
    }
    text.push_str(
        "\nExamples:\n  bongsu enqueue debug_ping --wait\n  \
         bongsu enqueue compute_risk --kwargs '{\"symbol\": \"005930\"}' --wait\n\n\
         The call goes to the queue on Redis where one is set; else to the running daemon, when \
         api.tokens has a token of the scope operate; else it is done by this process, to its end.\n\
         With --wait the outcome is printed as one JSON object, and the exit code is 1 unless the \
         task succeeded.",
    );
    text
}

/// `bongsu enqueue`.
#[derive(Debug, Args)]
#[command(after_help = tasks())]
pub struct EnqueueArgs {
    /// The task
    #[arg(value_name = "TASK")]
    pub task: String,
    /// Its arguments by name
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub kwargs: String,
    /// Wait for its end and print the outcome
    #[arg(long)]
    pub wait: bool,
    /// 0 is served first, 9 last
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=9))]
    pub priority: u8,
}
