//! What one step of the hot path costs: parsing a frame, normalising it, scoring a trade, passing a
//! batch between two actors, appending a batch to the journal, reading a journal.
//!
//! Questions it answers: did a change make a step dearer, and which step is the dearest. Batches
//! are of 512 frames of one trade (about 260 bytes), as in a storm; every figure is per batch, so
//! divide by 512 for a tick. Slow is: parse or score above 300 ns a tick, a hop above 30 µs a batch
//! on an idle machine, append below 500 MB/s.

use std::sync::Arc;

use bongsu::actors::supervision::{Inbox, Policy};
use bongsu::cli::bench::Storm;
use bongsu::journal::{Journal, JournalOptions, JournalReader, segments};
use bongsu::kis::frame::{FrameParser, decode_trade};
use bongsu::market::{BatchSequence, Directory, IndexTick, Mark, Reference, SymbolId, TickBatch};
use bongsu::messages::{FrameBatch, ScoreBatch};
use bongsu::risk::{RiskEngine, RiskParams};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

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

fn score(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(BATCH as u64));
    for symbols in [40, 400, 4_000] {
        let directory = Directory::new();
        let mut parser = FrameParser::new();
        let batches: Vec<TickBatch> = frames(symbols, 400)
            .iter()
            .map(|frames| parsed(frames, &directory, &mut parser))
            .collect();
        let mut engine = RiskEngine::new(RiskParams::default());
        let mut out = ScoreBatch::default();
        let mut next = 0;
        group.bench_function(format!("{symbols}_symbols"), |bencher| {
            bencher.iter(|| {
                // The same day again: another day's worth of time resets the intraday state, as a
                // new session does.
                let batch = &batches[next % batches.len()];
                next += 1;
                for (index, (entry, _)) in batch.sequence.iter().enumerate() {
                    debug_assert!(matches!(entry, BatchSequence::Trade(_)));
                    engine.apply(batch, index, &directory, &mut out);
                }
                let points = out.points.len();
                out.clear();
                points
            });
        });
    }
    group.finish();
}

/// Scores with every detector at work: issues with history, base price, static reference and books,
/// an index beside them.
fn detectors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(BATCH as u64));
    for symbols in [40, 4_000] {
        let directory = Directory::new();
        let mut parser = FrameParser::new();
        let mut batches: Vec<TickBatch> = frames(symbols, 400)
            .iter()
            .map(|frames| parsed(frames, &directory, &mut parser))
            .collect();
        let index = directory.intern("0001".parse().expect("a code"));
        let mut bases = vec![0; symbols];
        for batch in &mut batches {
            complete(batch, index, &mut bases);
        }
        let mut engine = RiskEngine::new(RiskParams::default());
        let mut out = ScoreBatch::default();
        refer(&mut engine, &directory, symbols, &mut out);
        let mut next = 0;
        group.bench_function(format!("{symbols}_symbols_every_detector"), |bencher| {
            bencher.iter(|| {
                let batch = &batches[next % batches.len()];
                next += 1;
                for index in 0..batch.len() {
                    engine.apply(batch, index, &directory, &mut out);
                }
                let told = out.points.len() + out.detections.len();
                out.clear();
                told
            });
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

/// Tells the engine the history of every issue.
fn refer(engine: &mut RiskEngine, directory: &Directory, symbols: usize, out: &mut ScoreBatch) {
    let mut batch = TickBatch::default();
    for number in 0..symbols as u32 {
        let id = SymbolId(number);
        let mut reference = Reference::bare(directory.symbol(id));
        reference.closes = (0..60).map(|day| 50_000 + 500 * (day % 3)).collect();
        reference.previous_volume = Some(1_000_000);
        batch.push_mark(Mark::Reference(id, reference.into()), Default::default());
    }
    for index in 0..batch.len() {
        engine.apply(&batch, index, directory, out);
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
