//! Charts as SVG: lines over time, each panel with its own scale, and marks where something
//! happened.
//!
//! Drawn here and not by a library: what is needed is axes, lines and labels in one style that goes
//! with the page, and text that stays text. Pure. Points are thinned to what a picture can show.

use std::fmt::Write as _;

use crate::market::EventTime;

use super::document::escaped;

/// In microseconds.
const MINUTE: i64 = 60_000_000;
/// Most points of a line that are drawn.
const MAX_POINTS: usize = 480;
/// Most marks that are drawn.
const MAX_MARKS: usize = 12;
const WIDTH: f64 = 780.0;
const PANEL: f64 = 190.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 26.0;
/// Share of a line's span by which a level below it may be missed and is drawn all the same.
const NEARLY: f64 = 0.25;
/// Larger values are no prices and no scores.
const LARGEST: f64 = 1e15;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it shows, Korean, with its unit.
    pub name: String,
    /// Time and value, by time.
    pub points: Vec<(EventTime, f64)>,
    /// Whether a larger value is a danger (red) rather than a price (blue).
    pub is_risk: bool,
    /// Digits behind the point of the scale.
    pub decimals: usize,
    /// The scale's ends when they are given.
    pub range: Option<(f64, f64)>,
    /// What it is looked at against.
    pub levels: Vec<Level>,
}

/// A value that means something, drawn across.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The value.
    pub value: f64,
    /// What it is, Korean.
    pub name: String,
    /// Whether the scale is made to reach it; otherwise it is drawn when the line comes near.
    pub always: bool,
}

/// Lines above each other over one time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Title, Korean.
    pub title: String,
    /// One panel a line.
    pub lines: Vec<Line>,
    /// What happened when.
    pub marks: Vec<(EventTime, String)>,
}

impl Chart {
    /// Whether there is something to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.len() < 2)
    }

    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let lines: Vec<&Line> = self.lines.iter().filter(|line| line.points.len() >= 2).collect();
        let height = TOP + PANEL * lines.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{0}\" font-family=\"'Pretendard','Noto Sans KR','Noto Sans CJK KR',sans-serif\" font-size=\"12\">\
             <text x=\"0\" y=\"18\" font-size=\"15\" font-weight=\"600\" fill=\"#1c2430\">{0}</text>",
            escaped(&self.title)
        );
        let times = lines.iter().flat_map(|line| line.points.iter().map(|(time, _)| time.micros()));
        let (from, to) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(1));
        for (index, line) in lines.iter().enumerate() {
            self.panel(line, TOP + PANEL * index as f64, (from, to.max(from + 1)), &mut svg);
        }
        svg.push_str("</svg>");
        svg
    }

    fn panel(&self, line: &Line, top: f64, (from, to): (i64, i64), svg: &mut String) {
        let (upper, lower) = (top + 18.0, top + PANEL - BOTTOM);
        let (low, high) = scale(line);
        let x = |micros: i64| {
            LEFT + (micros - from) as f64 / (to - from) as f64 * (WIDTH - LEFT - RIGHT)
        };
        let y =
            |value: f64| lower - ((value - low) / (high - low)).clamp(0.0, 1.0) * (lower - upper);
        // Writing to a `String` cannot fail.
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#5b6778\">{}</text>",
            top + 10.0,
            escaped(&line.name)
        );
        for value in round_values(low, high) {
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#e3e7ee\"/>\
                 <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\" fill=\"#5b6778\">{4}</text>",
                WIDTH - RIGHT,
                y(value),
                LEFT - 8.0,
                y(value) + 4.0,
                label(value, if value.fract() == 0.0 { 0 } else { line.decimals })
            );
        }
        self.time_axis(lower, (from, to), x, svg);
        for (time, _) in self.shown_marks() {
            let micros = time.micros();
            if (from..=to).contains(&micros) {
                let _ = write!(
                    svg,
                    "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{upper:.1}\" y2=\"{lower:.1}\" \
                     stroke=\"#c62828\" stroke-dasharray=\"3 3\" opacity=\"0.7\"/>",
                    x(micros)
                );
            }
        }
        let levels = || line.levels.iter().filter(|level| (low..=high).contains(&level.value));
        for level in levels() {
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#8a5a00\" stroke-dasharray=\"6 4\"/>",
                WIDTH - RIGHT,
                y(level.value)
            );
        }
        let colour = if line.is_risk { "#c62828" } else { "#1552b0" };
        let mut path = String::new();
        for (time, value) in thinned(&line.points) {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", x(time.micros()), y(value));
        }
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"/>"
        );
        // Last and with a white edge, so that nothing crosses it out.
        for level in levels() {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#8a5a00\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\">{} {}</text>",
                WIDTH - RIGHT - 2.0,
                y(level.value) - 4.0,
                escaped(&level.name),
                label(level.value, line.decimals)
            );
        }
    }

    fn shown_marks(&self) -> impl Iterator<Item = &(EventTime, String)> {
        self.marks.iter().take(MAX_MARKS)
    }

    /// Round times of day within a day, dates over several.
    fn time_axis(&self, y: f64, (from, to): (i64, i64), x: impl Fn(i64) -> f64, svg: &mut String) {
        let mut write = |micros: i64, text: String| {
            let anchor = match (micros - from, to - micros) {
                (before, _) if before * 20 < to - from => "start",
                (_, behind) if behind * 20 < to - from => "end",
                _ => "middle",
            };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#5b6778\">{text}</text>",
                x(micros),
                y + 16.0
            );
        };
        if to - from > 24 * 60 * MINUTE {
            for step in 0..=5 {
                let micros = from + (to - from) * step / 5;
                let (_, month, day) = EventTime::from_micros(micros).session_day().ymd();
                write(micros, format!("{month}/{day}"));
            }
            return;
        }
        let steps = [1, 2, 5, 10, 15, 30, 60, 120, 240];
        let step = steps.into_iter().find(|step| (to - from) / (step * MINUTE) <= 7);
        let step = step.unwrap_or(240) * MINUTE;
        // Korea is whole hours from the epoch's clock, so minutes are round in both.
        let first =
            from.div_euclid(step) * step + if from.rem_euclid(step) == 0 { 0 } else { step };
        for micros in (first..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let clock = EventTime::from_micros(micros).time_of_day().hhmmss();
            write(micros, format!("{:02}:{:02}", clock / 10_000, clock / 100 % 100));
        }
    }
}

/// Round values between `low` and `high`: four or so, each a multiple of 1, 2 or 5 times a power of
/// ten.
fn round_values(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / 5.0;
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| *step >= least).unwrap_or(least);
    if !(step.is_finite() && step > 0.0) {
        return vec![low, high];
    }
    let first = (low / step - 1e-9).ceil();
    let values = (0..8).map(|index| (first + f64::from(index)) * step);
    values.take_while(|value| *value <= high + step * 1e-9).collect()
}

/// The ends of a line's scale, with some room.
fn scale(line: &Line) -> (f64, f64) {
    if let Some((low, high)) = line.range.filter(|(low, high)| low < high) {
        return (low, high);
    }
    let levels = line.levels.iter().filter(|level| level.always).map(|level| level.value);
    let values = line.points.iter().map(|(_, value)| *value).chain(levels);
    let values = values.filter(|value| value.abs() < LARGEST);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    // A level that the line nearly reached belongs into the picture.
    let near = line.levels.iter().map(|level| level.value);
    let near = near.filter(|value| *value < low && *value > low - (high - low) * NEARLY);
    let low = near.fold(low, f64::min);
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.08).max(high.abs() * 0.001).max(1e-9);
    (low - room, high + room)
}

fn label(value: f64, decimals: usize) -> String {
    let rounded = format!("{value:.decimals$}");
    let Some((whole, fraction)) = rounded.split_once('.') else {
        return crate::advice::korean::grouped(value.round() as i64);
    };
    match whole.parse() {
        Ok(whole) => format!("{}.{fraction}", crate::advice::korean::grouped(whole)),
        Err(_) => rounded,
    }
}

/// At most [`MAX_POINTS`] points: of each stretch the lowest and the highest, so that a spike stays.
fn thinned(points: &[(EventTime, f64)]) -> Vec<(EventTime, f64)> {
    let points: Vec<_> =
        points.iter().copied().filter(|(_, value)| value.abs() < LARGEST).collect();
    if points.len() <= MAX_POINTS {
        return points;
    }
    let stretch = points.len().div_ceil(MAX_POINTS / 2);
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for part in points.chunks(stretch) {
        let by_value = |a: &&(EventTime, f64), b: &&(EventTime, f64)| a.1.total_cmp(&b.1);
        let ends = part.iter().min_by(by_value).zip(part.iter().max_by(by_value));
        if let Some((low, high)) = ends {
            let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
            kept.push(*first);
            if first != second {
                kept.push(*second);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chart(values: &[f64]) -> Chart {
        let points = values.iter().enumerate().map(|(index, value)| {
            (EventTime::from_micros(1_722_816_000_000_000 + index as i64 * 60_000_000), *value)
        });
        let line = Line {
            name: "가격 (원)".to_owned(),
            points: points.collect(),
            is_risk: false,
            decimals: 0,
            range: None,
            levels: Vec::new(),
        };
        let mark = (EventTime::from_micros(1_722_816_060_000_000), "급락".to_owned());
        Chart { title: "삼성<전자>".to_owned(), lines: vec![line], marks: vec![mark] }
    }

    #[test]
    fn a_spike_survives_thinning() {
        let mut values = vec![70_000.0; 5_000];
        values[2_345] = 50_000.0;
        let chart = chart(&values);
        let kept = thinned(&chart.lines[0].points);
        assert!(kept.len() <= MAX_POINTS && kept.iter().any(|(_, value)| *value == 50_000.0));
        assert!(kept.is_sorted_by_key(|(time, _)| *time));
    }

    #[test]
    fn a_picture() {
        let svg = chart(&[71_000.0, 70_500.0, 69_800.0]).svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
        assert!(svg.contains("삼성&lt;전자&gt;") && svg.contains("stroke-dasharray"));
        assert!(svg.contains("09:00") && !svg.contains("NaN"), "{svg}");
        assert!(chart(&[1.0]).is_empty());
    }

    #[test]
    fn round_scales() {
        assert_eq!(round_values(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(round_values(2_444.97, 2_693.32), [2_450.0, 2_500.0, 2_550.0, 2_600.0, 2_650.0]);
        assert_eq!(
            round_values(266_240.0, 306_260.0),
            [270_000.0, 280_000.0, 290_000.0, 300_000.0]
        );
        assert!(round_values(0.0, 1e-9).len() >= 2);
    }

    #[test]
    fn levels_that_matter() {
        let level = |value: f64, always| Level { value, name: format!("단계 {value}"), always };
        let mut chart = chart(&[2_611.0, 2_500.0, 2_470.0]);
        chart.lines[0].levels =
            vec![level(2_676.0, true), level(2_462.0, false), level(2_275.0, false)];
        let svg = chart.svg();
        // The scale reaches the previous close, and the step that was nearly met; not the next one.
        assert!(svg.contains("단계 2676") && svg.contains("단계 2462"), "{svg}");
        assert!(!svg.contains("단계 2275"), "{svg}");
    }

    proptest! {
        #[test]
        fn any_values_can_be_drawn(values in prop::collection::vec(any::<f64>(), 0..40)) {
            let svg = chart(&values).svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
