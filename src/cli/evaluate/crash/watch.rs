//! One day through the decoder and the engine.

use std::collections::BTreeMap;

use anyhow::anyhow;

use super::{Announced, ByLevel, CRASH_PCT, CrashDay};
use crate::kis::frame::{
    FrameParser, Records, Tr, decode_index, decode_operation, decode_quote, decode_trade,
};
use crate::kis::sim::{Feed, Playback};
use crate::market::{
    Directory, EventTime, IndexTick, Mark, RecordRef, SessionDay, Symbol, TickBatch,
};
use crate::messages::ScoreBatch;
use crate::risk::{Detection, Level, RiskEngine, RiskParams, Rule};

/// Falls against the base price of the plain rule, per cent.
const PLAIN_FALLS_PCT: [f64; 3] = [10.0, 15.0, 20.0];

/// What is remembered of the day.
#[derive(Default)]
struct Seen {
    /// Change of each index against its previous close, per cent.
    changes: BTreeMap<Symbol, f64>,
    open: Option<f64>,
    low: f64,
    crossed: Option<EventTime>,
    market: [Option<Announced>; 3],
    first_symbol: Option<EventTime>,
    events: [usize; 3],
    views: [usize; 4],
    /// Highest level told of each issue.
    told: BTreeMap<Symbol, Level>,
    /// Lowest change of each issue against its base price, per cent.
    lowest: BTreeMap<Symbol, f64>,
    threats: BTreeMap<&'static str, usize>,
}

/// Plays a day to its end.
pub(super) fn play(playback: Playback, params: &RiskParams) -> anyhow::Result<CrashDay> {
    let (day, directory) = (playback.session_day(), Directory::new());
    let mut engine = RiskEngine::new(params.clone());
    let mut batch = TickBatch::default();
    let issues = playback.references();
    let count = issues.len();
    for reference in issues {
        let id = directory.update(reference.clone());
        batch.push_mark(Mark::Reference(id, reference.into()), RecordRef::default());
    }
    let (mut frames, mut parser) = (playback.into_frames(), FrameParser::new());
    let (mut out, mut seen, mut latest) =
        (ScoreBatch::default(), Seen::default(), EventTime::default());
    while let Some((info, frame)) = frames.next() {
        // The exchange's list of interruptions is no feed that the daemon takes.
        if info.feed == Feed::Vi {
            continue;
        }
        let records =
            parser.split(frame).map_err(|error| anyhow!("a frame of the simulator: {error}"))?;
        for record in 0..records.count() {
            take(&records, record, &directory, (day, &mut latest), &mut batch)
                .map_err(|error| anyhow!("a record of the simulator: {error}"))?;
        }
        for index in 0..batch.len() {
            engine.apply(&batch, index, &directory, &mut out);
        }
        seen.prints(&batch, &directory);
        out.detections.iter().for_each(|detection| seen.detection(detection));
        for point in &out.points {
            let lowest = seen.lowest.entry(point.code).or_default();
            *lowest = lowest.min(point.change_pct);
        }
        batch.clear();
        out.clear();
    }
    Ok(seen.report(day, count))
}

/// Appends record `record` as the Normalizer does.
fn take(
    records: &Records<'_>,
    record: usize,
    directory: &Directory,
    (day, latest): (SessionDay, &mut EventTime),
    batch: &mut TickBatch,
) -> Result<(), crate::kis::frame::FieldError> {
    let id = directory.intern(records.symbol(record)?);
    let at = RecordRef::default();
    match records.tr() {
        Tr::Trade => {
            let trade = decode_trade(records, record, id)?;
            *latest = (*latest).max(trade.time);
            batch.push_trade(trade, at);
        }
        Tr::Quote => batch.push_quote(decode_quote(records, record, id, day)?, at),
        Tr::Index => {
            let tick = decode_index(records, record, id, day)?;
            *latest = (*latest).max(tick.time);
            batch.push_index(tick, at);
        }
        Tr::Operation => batch.push_mark(decode_operation(records, record, id, *latest)?, at),
        // What it tells, the market operation feed told.
        Tr::Interruption | Tr::Notice | Tr::PaperNotice => {}
    }
    Ok(())
}

fn change_pct(tick: &IndexTick) -> f64 {
    100.0 * (tick.level as f64 / tick.previous_close.max(1) as f64 - 1.0)
}

impl Seen {
    fn prints(&mut self, batch: &TickBatch, directory: &Directory) {
        for tick in batch.indices.rows() {
            let change = change_pct(&tick);
            self.changes.insert(directory.symbol(tick.symbol), change);
            let worst = self.worst();
            self.open = self.open.or(worst);
            self.low = self.low.min(change);
            if change <= -CRASH_PCT && self.crossed.is_none() {
                self.crossed = Some(tick.time);
            }
        }
    }

    /// Change of the lower index now, per cent; `None` before the first print.
    fn worst(&self) -> Option<f64> {
        self.changes.values().copied().reduce(f64::min)
    }

    fn detection(&mut self, detection: &Detection) {
        let place = detection.level as usize;
        match (detection.rule, detection.symbol) {
            (Rule::MarketCrash, _) => {
                let (worst, told) = (self.worst(), &mut self.market[place]);
                if told.is_none() {
                    let (time, by) = (detection.time, detection.name.clone());
                    *told = Some(Announced { time, index_change_pct: worst, by });
                }
            }
            (Rule::SymbolCrash, Some(symbol)) => {
                self.first_symbol = self.first_symbol.or(Some(detection.time));
                self.events[place] += 1;
                if let Some((_, view)) = detection.evidence.iter().find(|(name, _)| *name == "view")
                    && let Some(count) = self.views.get_mut((*view as usize).wrapping_sub(1))
                {
                    *count += 1;
                }
                let told = self.told.entry(symbol).or_insert(detection.level);
                *told = (*told).max(detection.level);
            }
            (rule, _) => *self.threats.entry(rule.as_str()).or_default() += 1,
        }
    }

    fn report(self, day: SessionDay, issues: usize) -> CrashDay {
        let by_level = |count: [usize; 3]| {
            let [watch, warning, critical] = count;
            ByLevel { watch, warning, critical }
        };
        let levels = [Level::Watch, Level::Warning, Level::Critical];
        let symbols = levels.map(|level| self.told.values().filter(|told| **told >= level).count());
        let plain = PLAIN_FALLS_PCT
            .map(|pct| self.lowest.values().filter(|lowest| **lowest <= -pct).count());
        let [watch, warning, critical] = self.market;
        let delay_s = self
            .crossed
            .zip(critical.as_ref())
            .map(|(crossed, critical)| critical.time.micros_since(crossed) as f64 / 1e6);
        CrashDay {
            day,
            crash: self.crossed.is_some(),
            open_pct: self.open.unwrap_or(0.0),
            low_pct: self.low,
            crossed: self.crossed,
            watch,
            warning,
            critical,
            delay_s,
            first_symbol: self.first_symbol,
            issues,
            symbol_events: by_level(self.events),
            symbol_views: self.views,
            symbols: by_level(symbols),
            plain_falls: by_level(plain),
            threats: self.threats,
        }
    }
}
