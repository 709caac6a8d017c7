//! Results depend on the sequence of entries alone.

use proptest::prelude::*;

use super::support::{Stream, Walk, directory, run, time};
use crate::market::{
    BatchSequence, EventTime, GapCause, Mark, RecordRef, SymbolId, TickBatch, Trade, TradeFlags,
};
use crate::risk::{RiskEngine, RiskParams, ScoreBatch};

const ISSUES: u32 = 4;

/// Copies a part of a batch's sequence into a batch of its own.
fn part(batch: &TickBatch, range: std::ops::Range<usize>) -> TickBatch {
    let mut copy = TickBatch::default();
    for (entry, at) in &batch.sequence[range] {
        match *entry {
            BatchSequence::Trade(row) => copy.push_trade(batch.trades.row(row as usize), *at),
            BatchSequence::Quote(row) => copy.push_quote(batch.quotes.row(row as usize), *at),
            BatchSequence::Index(row) => copy.push_index(batch.indices.row(row as usize), *at),
            BatchSequence::Mark(row) => copy.push_mark(batch.marks[row as usize].clone(), *at),
        }
    }
    copy
}

fn append(all: &mut ScoreBatch, more: ScoreBatch) {
    all.detections.extend(more.detections);
    all.points.extend(more.points);
    all.minutes.extend(more.minutes);
}

/// Two days of a wild little market with everything that can occur in it.
fn wild(seed: u64) -> TickBatch {
    let mut stream = Stream::default();
    for day in [20_240_805, 20_240_806] {
        let mut walks: Vec<_> = (0..ISSUES).map(|i| Walk::new(i, seed + day as u64, 0.6)).collect();
        stream.reference(seed as u32 % ISSUES, 0.03);
        let start = time(day, 90_000);
        for second in 0..150i64 {
            let now = start.plus_micros(second * 4_000_000);
            walks.iter_mut().for_each(|walk| walk.step(&mut stream, now));
            stream.index(ISSUES, now, 260_000 - second * 200, 260_000);
            if second % 50 == 49 {
                stream.mark(Mark::Silence {
                    time: now.plus_micros(20_000_000),
                    silence_us: 20_000_000,
                });
                stream.mark(Mark::Gap {
                    symbol: SymbolId(1),
                    from: now,
                    to: now.plus_micros(1_000_000),
                    missing_volume: 5,
                    cum_volume: second,
                    cause: GapCause::Feed,
                });
            }
        }
    }
    stream.batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn where_batches_are_cut_does_not_matter(
        seed in 0u64..1_000, cuts in prop::collection::vec(0.0f64..1.0, 0..12), clone_at in 0usize..12,
    ) {
        let batch = wild(seed);
        let directory = directory(ISSUES);
        let mut whole = RiskEngine::new(RiskParams::default());
        let mut expected = run(&mut whole, &batch, &directory);
        whole.finish(&mut expected);
        prop_assert!(!expected.detections.is_empty() && !expected.minutes.is_empty());

        let mut cuts: Vec<usize> = cuts.iter().map(|c| (c * batch.len() as f64) as usize).collect();
        cuts.extend([0, batch.len()]);
        cuts.sort_unstable();
        let mut engine = RiskEngine::new(RiskParams::default());
        let mut found = ScoreBatch::default();
        for (number, pair) in cuts.windows(2).enumerate() {
            // A snapshot goes on exactly as the engine it was taken of, in memory or from a file.
            if number == clone_at {
                let kept = rmp_serde::to_vec_named(&engine).unwrap();
                let back: RiskEngine = rmp_serde::from_slice(&kept).unwrap();
                engine = back.under(RiskParams::default());
            }
            append(&mut found, run(&mut engine, &part(&batch, pair[0]..pair[1]), &directory));
        }
        engine.finish(&mut found);
        prop_assert_eq!(&found.detections, &expected.detections);
        prop_assert_eq!(&found.points, &expected.points);
        prop_assert_eq!(&found.minutes, &expected.minutes);
        let (rows, all): (Vec<_>, Vec<_>) = (engine.rows().collect(), whole.rows().collect());
        prop_assert_eq!(rows, all);
    }

    /// Whatever a feed says: no panic, scores are numbers within bounds, at most one a second.
    #[test]
    fn any_trades_are_survived(trades in prop::collection::vec(
        (0u32..3, -50i64..90_000, any::<i64>(), any::<i64>(), (any::<i64>(), any::<i64>()), 0u8..16),
        1..80,
    )) {
        let mut batch = TickBatch::default();
        let start = time(20_240_805, 90_000);
        for (symbol, second, price, quantity, (ask, bid), flags) in trades {
            // Prices of all sizes, small ones as well.
            let price = price >> (quantity.rem_euclid(60));
            let time = start.plus_micros(second * 1_000_000);
            batch.push_trade(Trade {
                symbol: SymbolId(symbol), time, price, quantity, ask, bid,
                cum_volume: quantity, cum_value: ask, base_price: bid,
                previous_volume_at_time: ask, ask_depth: ask, bid_depth: bid,
                vi_reference: price ^ (ask & 0xfff), flags: TradeFlags(flags), ..Trade::default()
            }, RecordRef::default());
            batch.push_mark(Mark::Operation {
                symbol: SymbolId(symbol), time, code: [0, 164, 174, 387, 397][flags as usize % 5],
                halted: flags & 1 == 1, vi_active: flags & 2 == 2,
            }, RecordRef::default());
            batch.push_mark(Mark::Silence { time, silence_us: quantity }, RecordRef::default());
            batch.push_mark(Mark::Gap {
                symbol: SymbolId(symbol), from: EventTime::from_micros(ask), to: time,
                missing_volume: bid, cum_volume: quantity, cause: GapCause::Rejected,
            }, RecordRef::default());
        }
        let out = run(&mut RiskEngine::new(RiskParams::default()), &batch, &directory(3));
        for point in &out.points {
            prop_assert!((0.0..=100.0).contains(&point.score), "{point:?}");
            prop_assert!(point.change_pct.is_finite(), "{point:?}");
        }
        for detection in &out.detections {
            prop_assert!(detection.evidence.iter().all(|(_, value)| value.is_finite()), "{detection:?}");
        }
    }
}
