//! A small market to feed the engine with.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::market::{
    Directory, EventTime, IndexTick, Mark, RecordRef, Reference, SessionDay, Symbol, SymbolId,
    TickBatch, TimeOfDay, Trade,
};
use crate::risk::{RiskEngine, RiskParams, Rule, ScoreBatch};

pub fn time(day: u32, hhmmss: u32) -> EventTime {
    let day = SessionDay::from_yyyymmdd(day).unwrap();
    EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
}

/// Issues `000000`, `000001`, …, then the KOSPI and the KOSDAQ index.
pub fn directory(issues: u32) -> Directory {
    let directory = Directory::new();
    for issue in 0..issues {
        directory.intern(format!("{issue:06}").parse().unwrap());
    }
    directory.intern("0001".parse().unwrap());
    directory.intern("1001".parse().unwrap());
    directory
}

/// Collects a stream in one batch.
#[derive(Default, Clone)]
pub struct Stream {
    pub batch: TickBatch,
    volumes: std::collections::BTreeMap<u32, i64>,
}

impl Stream {
    fn at(&self) -> RecordRef {
        RecordRef { segment: 1, offset: self.batch.len() as u32, record: 0 }
    }

    /// A trade of ten shares, filled up from `trade`; the cumulative volume is kept.
    pub fn trade(&mut self, trade: Trade) {
        let volume = self.volumes.entry(trade.symbol.0).or_default();
        let quantity = if trade.quantity > 0 { trade.quantity } else { 10 };
        *volume += quantity;
        let trade = Trade { quantity, cum_volume: *volume, ..trade };
        self.batch.push_trade(trade, self.at());
    }

    pub fn price(&mut self, symbol: u32, time: EventTime, price: i64) {
        self.trade(Trade {
            symbol: SymbolId(symbol),
            time,
            price,
            base_price: 10_000,
            ..Trade::default()
        });
    }

    pub fn index(&mut self, symbol: u32, time: EventTime, level: i64, previous_close: i64) {
        let symbol = SymbolId(symbol);
        let tick = IndexTick { symbol, time, level, previous_close, ..IndexTick::default() };
        self.batch.push_index(tick, self.at());
    }

    pub fn mark(&mut self, mark: Mark) {
        self.batch.push_mark(mark, self.at());
    }

    /// A reference with `closes` that move by `daily` (a fraction) up and down.
    pub fn reference(&mut self, symbol: u32, daily: f64) {
        let code: Symbol = format!("{symbol:06}").parse().unwrap();
        let closes: Vec<i64> = (0..60)
            .map(|day| (10_000.0 * if day % 2 == 0 { 1.0 } else { 1.0 + daily }) as i64)
            .collect();
        let reference = Reference {
            name: format!("종목{symbol}"),
            closes,
            previous_volume: Some(300_000),
            ..Reference::bare(code)
        };
        self.mark(Mark::Reference(SymbolId(symbol), Arc::new(reference)));
    }
}

pub fn run(engine: &mut RiskEngine, batch: &TickBatch, directory: &Directory) -> ScoreBatch {
    let mut out = ScoreBatch::default();
    for index in 0..batch.len() {
        engine.apply(batch, index, directory, &mut out);
    }
    out
}

pub fn run_new(stream: &Stream, directory: &Directory) -> ScoreBatch {
    run(&mut RiskEngine::new(RiskParams::default()), &stream.batch, directory)
}

pub fn of_rule(out: &ScoreBatch, rule: Rule) -> Vec<&crate::risk::Detection> {
    out.detections.iter().filter(|detection| detection.rule == rule).collect()
}

/// A noisy random walk of one issue: `daily` volatility with heavy-tailed steps, ten-won grid with
/// bounce, exponential volumes; about one trade in two seconds. Goes on from `price`.
pub struct Walk {
    rng: ChaCha8Rng,
    pub symbol: u32,
    pub price: f64,
    pub daily: f64,
}

impl Walk {
    pub fn new(symbol: u32, seed: u64, daily: f64) -> Self {
        let seed = seed * 1_000 + u64::from(symbol);
        Self { rng: ChaCha8Rng::seed_from_u64(seed), symbol, price: 10_000.0, daily }
    }

    /// Advances a second; perhaps a trade.
    pub fn step(&mut self, stream: &mut Stream, time: EventTime) {
        // The sum of a few uniforms, now and then three times as large: heavy tails.
        let normal: f64 =
            (0..6).map(|_| self.rng.random_range(-1.0..1.0)).sum::<f64>() / 2f64.sqrt();
        let jump = if self.rng.random_range(0..50) == 0 { 3.0 } else { 0.92 };
        self.price *= 1.0 + self.daily / 23_400f64.sqrt() * normal * jump;
        if self.rng.random_range(0..2) == 0 {
            let bid = (self.price / 10.0).floor() as i64 * 10;
            let quantity = 1 + (20.0 * -(self.rng.random_range(1e-6..1.0f64)).ln()) as i64;
            stream.trade(Trade {
                symbol: SymbolId(self.symbol),
                time,
                price: bid + 10 * i64::from(self.rng.random::<bool>()),
                quantity,
                ask: bid + 10,
                bid,
                ask_depth: 1_000,
                bid_depth: 1_000,
                base_price: 10_000,
                ..Trade::default()
            });
        }
    }
}
