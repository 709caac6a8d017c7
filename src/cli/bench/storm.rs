//! An invented storm of trades, the same each time.

use crate::market::{EventTime, SessionDay, TimeOfDay};
use crate::messages::{FrameBatch, FrameKind};

/// Frames of an invented storm, one trade each, `symbols` issues in turn.
#[derive(Debug)]
pub struct Storm {
    symbols: Vec<Issue>,
    next: usize,
    tick: u64,
    rate: u64,
    noise: u64,
    start: EventTime,
}

#[derive(Debug)]
struct Issue {
    code: String,
    base: i64,
    price: i64,
    cum_volume: i64,
    cum_value: i64,
}

impl Storm {
    /// A storm over `symbols` issues with `rate` ticks in a second of event time.
    #[must_use]
    pub fn new(symbols: usize, rate: u64) -> Self {
        let issue = |index: usize| {
            let base = 10_000 + (index as i64 * 37 % 900) * 100;
            Issue {
                code: format!("{:06}", index * 10),
                base,
                price: base,
                cum_volume: 0,
                cum_value: 0,
            }
        };
        // 2026-09-15 09:00:00, a date like any other.
        let start = EventTime::from_kst(
            SessionDay::from_epoch_days(20_711),
            TimeOfDay::from_seconds(32_400).unwrap_or_default(),
        );
        Self {
            symbols: (0..symbols.max(1)).map(issue).collect(),
            next: 0,
            tick: 0,
            rate: rate.max(1),
            noise: 0x9E37_79B9_7F4A_7C15,
            start,
        }
    }

    /// Appends the next frame: 47 fields, about 260 bytes.
    pub fn frame(&mut self, out: &mut Vec<u8>) {
        use std::io::Write;
        // xorshift64: cheap, seeded, good enough to make prices move.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let now = self.start.plus_micros((self.tick / self.rate) as i64 * 1_000_000);
        let (day, time) = (now.session_day().yyyymmdd(), now.time_of_day().hhmmss());
        let issue = &mut self.symbols[self.next];
        let step = [0, 0, 0, 50, -50, 100, -100, 0][(self.noise >> 33) as usize % 8];
        let held = (issue.price + step).clamp(issue.base * 95 / 100, issue.base * 105 / 100);
        issue.price = held;
        let quantity = 1 + (self.noise >> 40) as i64 % 200;
        issue.cum_volume += quantity;
        issue.cum_value += quantity * issue.price;
        let (price, base) = (issue.price, issue.base);
        let side = if self.noise & 1 == 0 { 1 } else { 5 };
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "0|H0STCNT0|001|{code}^{time:06}^{price}^2^{change}^0.42^{price}.00^{base}^{price}^{base}^{ask}^{bid}\
             ^{quantity}^{volume}^{value}^1178^1221^43^100.12^1721981^1723971^{side}^0.45^28.62^090021^2^3100\
             ^101431^3^0^091059^2^3700^{day}^20^N^89022^3900^741191^252322^0.07^{before}^92.70^0^^{base}^2",
            code = issue.code,
            change = price - base,
            ask = price + 50,
            bid = price - 50,
            volume = issue.cum_volume,
            value = issue.cum_value,
            before = issue.cum_volume + 1_000,
        );
        self.next = (self.next + 1) % self.symbols.len();
        self.tick += 1;
    }

    /// The next `frames` frames in batches.
    pub fn batches(&mut self, frames: usize, batch: usize) -> Vec<FrameBatch> {
        let mut batches = Vec::with_capacity(frames.div_ceil(batch));
        let mut bytes = Vec::with_capacity(512);
        let mut left = frames;
        while left > 0 {
            let size = left.min(batch);
            let mut frames = FrameBatch::with_capacity(size, size * 280);
            for _ in 0..size {
                bytes.clear();
                self.frame(&mut bytes);
                frames.push(FrameKind::Data, 0, &bytes);
            }
            batches.push(frames);
            left -= size;
        }
        batches
    }
}
