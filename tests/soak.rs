//! Long runs: what only time brings to light. `scripts/test --slow soak` runs them.

use std::time::{Duration, Instant};

use crate::support::exchange::{Exchange, Plan, Rows};
use crate::support::wait_until;

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.and_then(|number| number.parse().ok()).expect("a number of kB")
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// A whole day over a line that breaks every few seconds. `BONGSU_TEST_SOAK_SECONDS` (900) is how
/// long it takes.
#[test]
#[ignore = "slow: fifteen minutes"]
fn a_day_of_a_flapping_network_leaves_memory_flat_and_the_bars_whole() {
    let seconds = std::env::var("BONGSU_TEST_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds: f64 = seconds.unwrap_or(900.0);
    let breaks = "cut:p=0.0025;1006:p=0.001;close:p=0.001,code=1001;lose:p=0.0005;\
                  duplicate:p=0.002;http:code=EGW00316,p=0.05";
    let speed = 23_400.0 / seconds;
    // The exchange stands still while the line is down: of trades that nobody was sent after the
    // last one that came, nobody could know. So it takes longer than asked for.
    let plan = Plan { faults: breaks, until: "15:30", speed, ..Plan::default() };
    let exchange = Exchange::start(&plan);
    let mut daemon = exchange.daemon().start();
    daemon.wait_ready(Duration::from_secs(60));
    let (pid, began) = (daemon.process().pid(), Instant::now());
    let mut samples = Vec::new();
    while began.elapsed().as_secs_f64() < 0.95 * seconds {
        let next = Duration::from_secs_f64((samples.len() + 1) as f64 * seconds / 200.0);
        wait_until(Duration::from_secs(60), || began.elapsed() >= next, "the next look");
        samples.push(resident(pid));
    }
    let quarter = samples.len() / 4;
    let quarters: Vec<u64> = samples.chunks(quarter).take(4).map(median).collect();
    let highest = samples.iter().max().copied().unwrap_or_default();
    let losses: f64 = daemon
        .metrics()
        .iter()
        .filter(|(series, _)| series.starts_with("bongsu_feed_losses_total"))
        .map(|(_, count)| count)
        .sum();
    eprintln!("resident KiB by quarter: {quarters:?}, highest {highest}; sessions lost: {losses}");
    exchange.wait_played(Duration::from_secs_f64(3.0 * seconds));
    let truth = exchange.minutes();
    let mended = || Rows::of(daemon.dir(), exchange.symbols()).minutes == truth;
    wait_until(Duration::from_secs(300), mended, "the minutes of the exchange");
    daemon.stop();
    assert!(losses >= 10.0, "the line held: {losses}");
    assert!(quarters[3] <= quarters[1] * 115 / 100, "memory grows: {quarters:?} KiB");
}
