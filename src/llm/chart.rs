//! Charts as SVG: lines over time, each panel with its own scale, and marks where something
//! happened.
//!
//! Drawn here and not by a library: what is needed is axes, lines and labels in one style that goes
//! with the page, and text that stays text. Pure. Points are thinned to what a picture can show.

use std::fmt::Write as _;

use crate::market::EventTime;

use super::document::escaped;

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
        for step in 0..=4 {
            let value = low + (high - low) * f64::from(step) / 4.0;
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#e3e7ee\"/>\
                 <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\" fill=\"#5b6778\">{4}</text>",
                WIDTH - RIGHT,
                y(value),
                LEFT - 8.0,
                y(value) + 4.0,
                label(value, line.decimals)
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
    }

    fn shown_marks(&self) -> impl Iterator<Item = &(EventTime, String)> {
        self.marks.iter().take(MAX_MARKS)
    }

    /// Times of day within a day, dates over several.
    fn time_axis(&self, y: f64, (from, to): (i64, i64), x: impl Fn(i64) -> f64, svg: &mut String) {
        for step in 0..=5 {
            let micros = from + (to - from) * step / 5;
            let time = EventTime::from_micros(micros);
            let is_day = to - from <= 24 * 3_600 * 1_000_000;
            let text = if is_day {
                let clock = time.time_of_day().hhmmss();
                format!("{:02}:{:02}", clock / 10_000, clock / 100 % 100)
            } else {
                let (_, month, day) = time.session_day().ymd();
                format!("{month}/{day}")
            };
            let anchor = match step {
                0 => "start",
                5 => "end",
                _ => "middle",
            };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#5b6778\">{text}</text>",
                x(micros),
                y + 16.0
            );
        }
    }
}

/// The ends of a line's scale, with some room.
fn scale(line: &Line) -> (f64, f64) {
    if let Some((low, high)) = line.range.filter(|(low, high)| low < high) {
        return (low, high);
    }
    let values = line.points.iter().map(|(_, value)| *value).filter(|value| value.abs() < LARGEST);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.08).max(high.abs() * 0.001).max(1e-9);
    (low - room, high + room)
}

fn label(value: f64, decimals: usize) -> String {
    if decimals == 0 {
        return crate::advice::korean::grouped(value.round() as i64);
    }
    format!("{value:.decimals$}")
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

    proptest! {
        #[test]
        fn any_values_can_be_drawn(values in prop::collection::vec(any::<f64>(), 0..40)) {
            let svg = chart(&values).svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
