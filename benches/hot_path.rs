//! What one step of the hot path costs: parsing a frame, normalising it, scoring a trade, passing a
//! batch between two actors, appending a batch to the journal, reading a journal.
//!
//! Questions it answers: did a change make a step dearer, and which step is the dearest. Batches
//! are of 512 frames of one trade (about 260 bytes), as in a storm; every figure is per batch, so
//! divide by 512 for a tick. Scoring is timed over a market that goes on, never over the same
//! stretch twice: what is done once a second or once in a bar would be missing. Slow is: parse or
//! score above 300 ns a tick, a hop above 30 µs a batch on an idle machine, append below 500 MB/s.

use std::sync::Arc;

use bongsu::actors::model_watch::built_in;
use bongsu::actors::supervision::{Inbox, Policy};
use bongsu::cli::bench::Storm;
use bongsu::journal::{Journal, JournalOptions, JournalReader, segments};
use bongsu::kis::frame::{FrameParser, decode_trade};
use bongsu::market::{
    Directory, IndexTick, Mark, Reference, SessionBar, SessionDay, SymbolId, TickBatch,
};
use bongsu::messages::{FrameBatch, ScoreBatch};
use bongsu::risk::{RiskEngine, RiskParams};
use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 512;
/// Ticks in a second of event time, as in `bongsu bench pipeline`.
const RATE: u64 = 50_000;

fn frames(symbols: usize, batches: usize) -> Vec<FrameBatch> {
    Storm::new(symbols, RATE).batches(batches * BATCH, BATCH)
}

fn parsed(frames: &FrameBatch, directory: &Directory, parser: &mut FrameParser) -> TickBatch {
    let mut ticks = TickBatch::default();
    for frame in frames.iter() {
        let records = parser.split(frame.payload).expect("a frame of the storm");
        for record in 0..records.count() {
            let id = directory.intern(records.symbol(record).expect("a code"));
            let trade = decode_trade(&records, record, id).expect("a trade");
            ticks.push_trade(trade, Default::default());
        }
    }
    ticks
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(BATCH as u64));
    let batch = frames(40, 1).remove(0);
    let mut parser = FrameParser::new();
    group.bench_function("split_and_decode", |bencher| {
        bencher.iter(|| {
            let mut sum = 0;
            for frame in batch.iter() {
                let records = parser.split(frame.payload).expect("a frame of the storm");
                let trade = decode_trade(&records, 0, SymbolId(0)).expect("a trade");
                sum += trade.price;
            }
            sum
        });
    });
    group.finish();
}

fn normalise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normalise");
    group.throughput(Throughput::Elements(BATCH as u64));
    let batch = frames(40, 1).remove(0);
    let directory = Directory::new();
    let mut parser = FrameParser::new();
    group.bench_function("frames_to_columns", |bencher| {
        bencher.iter(|| parsed(&batch, &directory, &mut parser).len());
    });
    group.finish();
}

/// Trades without an end: no stretch comes twice, so event time runs on and what is done once a
/// second, once in a bar and once a session is done as often as in a market of this pace.
struct Market {
    symbols: usize,
    rate: u64,
    storm: Storm,
    /// Sessions that are over.
    days: i64,
    directory: Directory,
    parser: FrameParser,
    /// First price of each issue, and the index: where trades are completed.
    complete: Option<(Vec<i64>, SymbolId)>,
}

impl Market {
    /// The closing auction: the next session begins.
    const END: u32 = 15 * 3_600 + 20 * 60;

    fn new(symbols: usize, rate: u64) -> Self {
        let directory = Directory::new();
        let (storm, parser) = (Storm::new(symbols, rate), FrameParser::new());
        Self { symbols, rate, storm, days: 0, directory, parser, complete: None }
    }

    /// With base price, static reference and book in each trade, and prints of an index beside them.
    fn completed(symbols: usize, rate: u64) -> Self {
        let mut market = Self::new(symbols, rate);
        // Ids of the issues as the storm numbers them, the index behind them.
        for frames in market.storm.batches(symbols, symbols) {
            parsed(&frames, &market.directory, &mut market.parser);
        }
        let index = market.directory.intern("0001".parse().expect("a code"));
        market.complete = Some((vec![0; symbols], index));
        market
    }

    fn next(&mut self) -> TickBatch {
        let frames = self.storm.batches(BATCH, BATCH).remove(0);
        let mut batch = parsed(&frames, &self.directory, &mut self.parser);
        let later = self.days * 86_400 * 1_000_000;
        for time in &mut batch.trades.time {
            *time = time.plus_micros(later);
        }
        if let Some((bases, index)) = &mut self.complete {
            complete(&mut batch, *index, bases);
        }
        let last = batch.trades.time.last().map(|time| time.time_of_day().seconds());
        if last.is_some_and(|last| last >= Self::END) {
            self.storm = Storm::new(self.symbols, self.rate);
            self.days += 1;
        }
        batch
    }
}

/// Batches that are made before they are timed: some three megabytes, as in full inboxes.
const AHEAD: BatchSize = BatchSize::NumIterations(32);

/// The time of scoring `market`'s batches, one after the other.
fn apply(bencher: &mut Bencher<'_>, engine: &mut RiskEngine, market: &mut Market) {
    let directory = market.directory.clone();
    let mut out = ScoreBatch::default();
    bencher.iter_batched(
        || market.next(),
        |batch| {
            for index in 0..batch.len() {
                engine.apply(&batch, index, &directory, &mut out);
            }
            let told = out.points.len() + out.detections.len();
            out.clear();
            // Not dropped within the time.
            (told, batch)
        },
        AHEAD,
    );
}

fn score(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(BATCH as u64));
    for symbols in [40, 400, 4_000] {
        let mut market = Market::new(symbols, RATE);
        let mut engine = RiskEngine::new(RiskParams::default());
        group.bench_function(format!("{symbols}_symbols"), |bencher| {
            apply(bencher, &mut engine, &mut market);
        });
    }
    group.finish();
}

/// Scores with every detector at work: issues with history, base price, static reference and books,
/// an index beside them. At one trade a second of each issue, every trade gives a score and is
/// looked at by what looks once a second: the dearest trade there is.
fn detectors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(BATCH as u64));
    let cases = [(40, RATE, ""), (4_000, RATE, ""), (40, 40, "_a_trade_a_second")];
    for (symbols, rate, pace) in cases {
        let mut market = Market::completed(symbols, rate);
        let mut engine = RiskEngine::new(RiskParams::default());
        refer(&mut engine, &market.directory, symbols);
        group.bench_function(format!("{symbols}_symbols_every_detector{pace}"), |bencher| {
            apply(bencher, &mut engine, &mut market);
        });
    }
    group.finish();
}

/// Fills in what the storm's trades leave out, and adds a print of the index. `bases` keeps the first
/// price of each issue.
fn complete(batch: &mut TickBatch, index: SymbolId, bases: &mut [i64]) {
    let Some(time) = batch.trades.time.last().copied() else { return };
    let trades = &mut batch.trades;
    for row in 0..trades.len() {
        let price = trades.price[row];
        let base = &mut bases[trades.symbol[row].index()];
        if *base == 0 {
            *base = price;
        }
        (trades.base_price[row], trades.vi_reference[row]) = (*base, *base);
        (trades.ask[row], trades.bid[row]) = (price + price / 500, price);
        (trades.ask_depth[row], trades.bid_depth[row]) = (5_000, 5_000);
    }
    let tick = IndexTick {
        symbol: index,
        time,
        level: 260_000,
        previous_close: 261_000,
        ..IndexTick::default()
    };
    batch.push_index(tick, Default::default());
}

/// Tells the engine the history of every issue, and that it is scored with the built-in model.
fn refer(engine: &mut RiskEngine, directory: &Directory, symbols: usize) {
    let mut batch = TickBatch::default();
    for number in 0..symbols as u32 {
        let id = SymbolId(number);
        let mut reference = Reference::bare(directory.symbol(id));
        // Before the storm's day.
        for day in 20_600..20_700 {
            let close = 50_000 + 500 * i64::from(day % 3);
            let (open, high, low) = (close - 100, close + 400, close - 500);
            let bar = SessionBar { open, high, low, close, volume: 1_000_000 };
            reference.push_session(SessionDay::from_epoch_days(day), bar);
        }
        reference.previous_volume = Some(1_000_000);
        batch.push_mark(Mark::Reference(id, reference.into()), Default::default());
    }
    let model = built_in().expect("the shipped model").expect("one is shipped");
    batch.push_mark(Mark::Model(model.into()), Default::default());
    let mut out = ScoreBatch::default();
    for index in 0..batch.len() {
        engine.apply(&batch, index, directory, &mut out);
    }
}

fn hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let there = Inbox::new("there", 64, Policy::Block);
    let back = Inbox::new("back", 64, Policy::Block);
    let (to, from) = (there.edge("bench"), back.edge("there"));
    runtime.spawn(async move {
        while let Some(message) = there.recv().await {
            if from.send(message).await.is_err() {
                return;
            }
        }
    });
    let message = Arc::new(TickBatch::default());
    group.bench_function("round_trip_between_threads", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                to.send(Arc::clone(&message)).await.expect("the other side lives");
                back.recv().await
            })
        });
    });
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    let batch = frames(40, 1).remove(0);
    group.throughput(Throughput::Bytes(batch.byte_len() as u64));
    group.bench_function("append", |bencher| {
        bencher.iter_batched_ref(
            || {
                let folder = tempfile::tempdir().expect("a folder");
                let options = JournalOptions::new(folder.path().to_owned());
                (Journal::open(options).expect("a journal"), folder)
            },
            |(journal, _folder)| journal.append(&batch).expect("room on the disk").len(),
            BatchSize::NumIterations(200),
        );
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal =
        Journal::open(JournalOptions::new(folder.path().to_owned())).expect("a journal");
    let batch = frames(40, 1).remove(0);
    for _ in 0..400 {
        journal.append(&batch).expect("room on the disk");
    }
    let bytes: u64 =
        segments(folder.path()).expect("a folder").iter().map(|segment| segment.bytes).sum();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let mut reader = JournalReader::open(folder.path()).expect("a journal");
            let mut records = 0u64;
            while let Some(item) = reader.next() {
                records += u64::from(item.is_ok());
            }
            records
        });
    });
    group.finish();
}

criterion_group!(benches, parse, normalise, score, detectors, hop, append, read);
criterion_main!(benches);
