//! Records that are no messages of the feed: what is known about issues, silence, coverage, and what
//! REST told.

use std::sync::Arc;

use super::{Normalizer, Problem, intern};
use crate::market::continuity::Sampled;
use crate::market::{EventTime, GapCause, Mark, RecordRef, Reference, Trade, TradeFlags};
use crate::messages::feed::Change;
use crate::messages::{Coverage, FetchedBars, Frame, ModelRecord, Repair, Sample};
use crate::model::FittedModel;

impl Normalizer {
    pub(super) fn reference(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let reference: Reference = serde_json::from_slice(frame.payload)
            .map_err(|error| ("bad_reference", format!("reference record: {error}")))?;
        let shared = Arc::new(reference.clone());
        let id = self.parts.directory.update(reference);
        self.out.push_mark(Mark::Reference(id, shared), at);
        Ok(())
    }

    pub(super) fn silence(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let bytes: [u8; 8] = frame.payload.try_into().map_err(|_| {
            ("bad_silence", format!("silence record: {} bytes, expected 8", frame.payload.len()))
        })?;
        let silence_us = i64::from_le_bytes(bytes);
        // Before the first tick there is no market time that the silence could be of.
        if self.state.latest == EventTime::default() {
            return Ok(());
        }
        let time = self.state.latest.plus_micros(silence_us);
        self.out.push_mark(Mark::Silence { time, silence_us }, at);
        Ok(())
    }

    pub(super) fn coverage(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let coverage = Coverage::parse(frame.payload).ok_or_else(|| {
            ("bad_coverage", "connection record: expected a change of coverage as JSON".to_owned())
        })?;
        let Self { parts, state, out, .. } = self;
        let cause = if coverage.mute { GapCause::Mute } else { GapCause::Disconnect };
        for issue in &coverage.issues {
            let Some(symbol) = parts.directory.find(*issue) else { continue };
            state.continuity.interrupted(symbol, cause);
            if coverage.mute {
                out.push_mark(Mark::Mute { symbol, time: state.latest }, at);
            }
        }
        match coverage.change {
            Change::Began => out.push_mark(Mark::Connection { up: true }, at),
            Change::Ended => {
                if coverage.all {
                    state.continuity.all_interrupted(cause);
                }
                out.push_mark(Mark::Connection { up: false }, at);
            }
            Change::Uncovered => {}
        }
        Ok(())
    }

    pub(super) fn model(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let switch = ModelRecord::parse(frame.payload)
            .map_err(|error| ("bad_model", format!("model record: {error}")))?;
        FittedModel::read(&switch)
            .map_err(|error| ("bad_model", format!("the model {} {error}", switch.id)))?;
        self.out.push_mark(Mark::Model(Arc::new(switch)), at);
        Ok(())
    }

    pub(super) fn bars(&mut self, frame: Frame<'_>) -> Result<(), Problem> {
        let bars: FetchedBars = serde_json::from_slice(frame.payload)
            .map_err(|error| ("bad_bars", format!("bars record: {error}")))?;
        self.counters.bars += bars.bars.len();
        self.bars.push(bars);
        Ok(())
    }

    pub(super) fn sample(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let sample: Sample = serde_json::from_slice(frame.payload)
            .map_err(|error| ("bad_sample", format!("sample record: {error}")))?;
        let symbol =
            intern(&self.parts.directory, sample.symbol).map_err(|error| (error.0, error.1))?;
        let Self { state, out, counters, repairs, .. } = self;
        let seen = state.continuity.observe_sample(symbol, sample.time, sample.cum_volume);
        let Some(Sampled { quantity, missed }) = seen else { return Ok(()) };
        if let Some((from, missing_volume, cause)) = missed {
            let (to, cum_volume) = (sample.time, sample.cum_volume);
            out.push_mark(Mark::Gap { symbol, from, to, missing_volume, cum_volume, cause }, at);
            repairs.push(Repair { symbol: sample.symbol, from, to, tries: 0 });
        }
        state.day = Some(sample.time.session_day());
        state.latest = state.latest.max(sample.time);
        let trade = Trade {
            symbol,
            time: sample.time,
            price: sample.price,
            quantity,
            cum_volume: sample.cum_volume,
            cum_value: sample.cum_value,
            base_price: sample.base_price,
            flags: TradeFlags(TradeFlags::SAMPLED),
            ..Trade::default()
        };
        out.push_trade(trade, at);
        counters.samples += 1;
        Ok(())
    }
}
