//! Each indicator against its definition over the whole series, and what holds for any bars.

use proptest::prelude::*;

use super::*;
use crate::market::bars::{Bar, BarKey, Interval};
use crate::market::{EventTime, Won};

fn bar(index: usize, [open, high, low, close]: [Won; 4], volume: i64) -> Bar {
    let start = EventTime::from_micros(1_722_816_000_000_000 + index as i64 * 60_000_000);
    let key = BarKey { start, interval: Interval::Minute, symbol: "005930".parse().unwrap() };
    let (high, low) = (high.max(low).max(open).max(close), high.min(low).min(open).min(close));
    Bar { key, open, high, low, close, volume, amount: volume * close, is_final: true }
}

/// Bars with stretches without a move and without volume.
fn bars(most: usize) -> impl Strategy<Value = Vec<Bar>> {
    let moving = (prop::array::uniform4(9_000i64..11_000), 0i64..5_000);
    let still = Just(([10_000; 4], 0i64));
    let run = (prop_oneof![4 => moving, 1 => still], 1usize..5);
    prop::collection::vec(run, 1..most / 3).prop_map(|runs| {
        let each = runs.into_iter().flat_map(|(day, times)| std::iter::repeat_n(day, times));
        each.enumerate().map(|(index, (prices, volume))| bar(index, prices, volume)).collect()
    })
}

const EVERY: &[&str] = &[
    "sma",
    "ema",
    "wma",
    "rsi",
    "macd",
    "bb",
    "atr",
    "stoch",
    "willr",
    "cci",
    "adx",
    "obv",
    "mfi",
    "vwap",
    "roc",
    "donchian",
    "keltner",
    "keltneratr",
    "ulcer",
    "parkinson",
    "garmanklass",
    "rogerssatchell",
    "rangevol",
    "yangzhang",
    "ewmavol",
    "downside",
    "drawdown",
    "amihud",
];

fn column(name: &str, bars: &[Bar]) -> Vec<Option<f64>> {
    Indicator::parse(name).unwrap().over(&[], bars).swap_remove(0)
}

/// Checks the first column of an indicator against `naive`, which is given the bars up to and with
/// each.
fn agrees(
    name: &str,
    bars: &[Bar],
    naive: impl Fn(&[Candle]) -> Option<f64>,
) -> Result<(), TestCaseError> {
    agree(name, bars, |seen| naive(seen).map(|value| vec![value]))
}

/// As [`agrees`], over as many columns as `naive` gives; they are there together or not at all.
fn agree(
    name: &str,
    bars: &[Bar],
    naive: impl Fn(&[Candle]) -> Option<Vec<f64>>,
) -> Result<(), TestCaseError> {
    let candles: Vec<Candle> = bars.iter().map(|bar| Candle::of(bar).unwrap()).collect();
    let columns = Indicator::parse(name).unwrap().over(&[], bars);
    for index in 0..bars.len() {
        let expected = naive(&candles[..=index]);
        for (at, column) in columns.iter().enumerate() {
            let close = match (column[index], expected.as_ref().map(|all| all.get(at))) {
                (Some(a), Some(Some(b))) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                (value, None) => value.is_none() || at > 0,
                (_, Some(None)) => true,
                (None, Some(Some(_))) => false,
            };
            prop_assert!(close, "{name} {at} at {index}: {:?}, {expected:?}", column[index]);
        }
    }
    Ok(())
}

/// The last `n` of them, mapped.
fn last(seen: &[Candle], n: usize, of: impl Fn(&Candle) -> f64) -> Option<Vec<f64>> {
    (seen.len() >= n).then(|| seen[seen.len() - n..].iter().map(of).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn extremes(seen: &[Candle], n: usize) -> Option<(f64, f64)> {
    let high = last(seen, n, Candle::high)?.into_iter().fold(0.0, f64::max);
    let low = last(seen, n, Candle::low)?.into_iter().fold(f64::MAX, f64::min);
    Some((high, low))
}

fn ema(values: &[f64], alpha: f64) -> f64 {
    values[1..].iter().fold(values[0], |y, x| (1.0 - alpha) * y + alpha * x)
}

fn true_ranges(seen: &[Candle]) -> Vec<f64> {
    let range = |at: usize| seen[at].true_range((at > 0).then(|| seen[at - 1].close()));
    (0..seen.len()).map(range).collect()
}

/// The mean of the first n, then ((n − 1) y + x)/n.
fn wilder_mean(values: &[f64], n: usize) -> Option<f64> {
    let first = mean(values.get(..n)?);
    Some(values[n..].iter().fold(first, |y, x| (y * (n as f64 - 1.0) + x) / n as f64))
}

/// +DI and −DI of each bar that has them.
fn directional(seen: &[Candle], n: usize) -> Vec<(f64, f64)> {
    let moves: Vec<[f64; 3]> = seen
        .windows(2)
        .map(|pair| {
            let (up, down) = (pair[1].high() - pair[0].high(), pair[0].low() - pair[1].low());
            let plus = if up > down { up.max(0.0) } else { 0.0 };
            let minus = if down > up { down.max(0.0) } else { 0.0 };
            [plus, minus, pair[1].true_range(Some(pair[0].close()))]
        })
        .collect();
    let sum = |end: usize, which: usize| {
        let values: Vec<f64> = moves[..end].iter().map(|all| all[which]).collect();
        let first: f64 = values[..n].iter().sum();
        values[n..].iter().fold(first, |y, x| y - y / n as f64 + x)
    };
    let share = |part: f64, range: f64| if range == 0.0 { 0.0 } else { 100.0 * part / range };
    let both = |end: usize| (share(sum(end, 0), sum(end, 2)), share(sum(end, 1), sum(end, 2)));
    (n..=moves.len()).map(both).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn averages_are_their_definitions(bars in bars(60), n in 1usize..9) {
        let closes = |seen: &[Candle]| last(seen, n, Candle::close);
        agrees(&format!("sma{n}"), &bars, |seen| Some(mean(&closes(seen)?)))?;
        agrees(&format!("wma{n}"), &bars, |seen| {
            let weights: f64 = (1..=n).map(|i| i as f64).sum();
            Some(closes(seen)?.iter().zip(1..).map(|(x, i)| x * f64::from(i)).sum::<f64>() / weights)
        })?;
        agrees(&format!("ema{n}"), &bars, |seen| {
            let all = last(seen, seen.len(), Candle::close)?;
            (seen.len() >= n).then(|| ema(&all, 2.0 / (n as f64 + 1.0)))
        })?;
        agrees(&format!("vwap{n}"), &bars, |seen| {
            let volume: f64 = last(seen, n, Candle::volume)?.iter().sum();
            let value: f64 = last(seen, n, |c| c.typical() * c.volume())?.iter().sum();
            (volume > 0.0).then(|| value / volume)
        })?;
    }

    #[test]
    fn oscillators_are_their_definitions(bars in bars(60), n in 1usize..9) {
        agrees(&format!("stoch{n}"), &bars, |seen| {
            let ((high, low), close) = (extremes(seen, n)?, seen.last()?.close());
            (high > low).then(|| 100.0 * (close - low) / (high - low))
        })?;
        agrees(&format!("willr{n}"), &bars, |seen| {
            let ((high, low), close) = (extremes(seen, n)?, seen.last()?.close());
            (high > low).then(|| -100.0 * (high - close) / (high - low))
        })?;
        agrees(&format!("roc{n}"), &bars, |seen| {
            let before = last(seen, n + 1, Candle::close)?[0];
            Some(100.0 * (seen.last()?.close() / before - 1.0))
        })?;
        agrees(&format!("ulcer{n}"), &bars, |seen| {
            last(seen, n, |_| 0.0)?;
            let fall = |end: usize| {
                let closes = &seen[(end + 1).saturating_sub(n)..=end];
                let peak = closes.iter().map(Candle::close).fold(0.0, f64::max);
                100.0 * (1.0 - seen[end].close() / peak)
            };
            let squares: Vec<f64> = (seen.len() - n..seen.len()).map(|at| fall(at).powi(2)).collect();
            Some(mean(&squares).sqrt())
        })?;
        agrees(&format!("mfi{n}"), &bars, |seen| {
            last(seen, n, |_| 0.0)?;
            let (mut up, mut down) = (0.0, 0.0);
            for at in (seen.len() - n).max(1)..seen.len() {
                let (t, before) = (seen[at].typical(), seen[at - 1].typical());
                let flow = t * seen[at].volume();
                if t > before { up += flow } else if t < before { down += flow }
            }
            (up + down > 0.0).then(|| if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) })
        })?;
        agrees(&format!("rsi{n}"), &bars, |seen| {
            let change = |at: usize| if at == 0 { 0.0 } else { seen[at].close() - seen[at - 1].close() };
            let side = |sign: f64| -> Vec<f64> {
                (0..seen.len()).map(|at| (sign * change(at)).max(0.0)).collect()
            };
            let (up, down) = (ema(&side(1.0), 1.0 / n as f64), ema(&side(-1.0), 1.0 / n as f64));
            let told = seen.len() >= n;
            told.then(|| if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) })
        })?;
    }

    #[test]
    fn bands_are_their_definitions(bars in bars(60), n in 1usize..9) {
        let channel = |middle: f64, away: f64| Some(vec![middle, middle + away, middle - away]);
        agree(&format!("bb{n}"), &bars, |seen| {
            let closes = last(seen, n, Candle::close)?;
            let squares: Vec<f64> = closes.iter().map(|c| (c - mean(&closes)).powi(2)).collect();
            channel(mean(&closes), 2.0 * mean(&squares).sqrt())
        })?;
        agree(&format!("donchian{n}"), &bars, |seen| {
            let (high, low) = extremes(seen, n)?;
            Some(vec![(high + low) / 2.0, high, low])
        })?;
        agree(&format!("keltner{n}"), &bars, |seen| {
            let typical = last(seen, n, Candle::typical)?;
            channel(mean(&typical), mean(&last(seen, n, |c| c.high() - c.low())?))
        })?;
        agree(&format!("keltneratr{n}"), &bars, |seen| {
            let all = last(seen, seen.len(), Candle::close)?;
            channel(ema(&all, 2.0 / (n as f64 + 1.0)), 2.0 * wilder_mean(&true_ranges(seen), 10)?)
        })?;
    }

    #[test]
    fn trends_are_their_definitions(bars in bars(80), n in 1usize..9) {
        agrees(&format!("atr{n}"), &bars, |seen| wilder_mean(&true_ranges(seen), n))?;
        agrees("obv", &bars, |seen| {
            let sign = |at: usize| if at > 0 && seen[at].close() < seen[at - 1].close() { -1.0 } else { 1.0 };
            Some((0..seen.len()).map(|at| sign(at) * seen[at].volume()).sum())
        })?;
        agree("macd", &bars, |seen| {
            let line = |end: usize| {
                let closes: Vec<f64> = seen[..end].iter().map(Candle::close).collect();
                ema(&closes, 2.0 / 13.0) - ema(&closes, 2.0 / 27.0)
            };
            let lines: Vec<f64> = (26..=seen.len()).map(line).collect();
            let newest = *lines.last()?;
            let signal = ema(&lines, 0.2);
            Some(if lines.len() < 9 { vec![newest] } else { vec![newest, signal, newest - signal] })
        })?;
        agrees(&format!("cci{n}"), &bars, |seen| {
            let typical = last(seen, n, Candle::typical)?;
            let away: Vec<f64> = typical.iter().map(|t| (t - mean(&typical)).abs()).collect();
            let moves = typical.iter().any(|t| *t != typical[0]);
            moves.then(|| (typical[n - 1] - mean(&typical)) / (0.015 * mean(&away)))
        })?;
        agree(&format!("adx{n}"), &bars, |seen| {
            let plus_minus = directional(seen, n);
            let share = |(plus, minus): &(f64, f64)| {
                if plus + minus == 0.0 { 0.0 } else { 100.0 * (plus - minus).abs() / (plus + minus) }
            };
            let indices: Vec<f64> = plus_minus.iter().map(share).collect();
            let (plus, minus) = *plus_minus.last()?;
            Some(vec![wilder_mean(&indices, n)?, plus, minus])
        })?;
    }

    #[test]
    fn volatilities_are_their_definitions(bars in bars(60), n in 1usize..9) {
        // Of the last n bars, each with the one before it.
        let pairs = |seen: &[Candle], n: usize| -> Option<Vec<[Candle; 2]>> {
            let from = seen.len().checked_sub(n + 1)?;
            Some(seen[from..].windows(2).map(|pair| [pair[0], pair[1]]).collect())
        };
        let root = |squares: &[f64]| Some(100.0 * mean(squares).sqrt());
        let ln = |a: f64, b: f64| (a / b).ln();
        let klass = |c: &Candle| {
            let part = 2.0 * 2f64.ln() - 1.0;
            (0.5 * ln(c.high(), c.low()).powi(2) - part * ln(c.close(), c.open()).powi(2)).max(0.0)
        };
        let r = |[before, now]: &[Candle; 2]| ln(now.close(), before.close());
        let gap = |[before, now]: &[Candle; 2]| ln(now.open(), before.close());
        agrees(&format!("parkinson{n}"), &bars, |seen| {
            root(&last(seen, n, |c| ln(c.high(), c.low()).powi(2) / (4.0 * 2f64.ln()))?)
        })?;
        agrees(&format!("garmanklass{n}"), &bars, |seen| root(&last(seen, n, klass)?))?;
        let satchell = |c: &Candle| {
            ln(c.high(), c.close()) * ln(c.high(), c.open()) + ln(c.low(), c.close()) * ln(c.low(), c.open())
        };
        agrees(&format!("rogerssatchell{n}"), &bars, |seen| root(&last(seen, n, satchell)?))?;
        agrees(&format!("rangevol{n}"), &bars, |seen| {
            let day = |pair: &[Candle; 2]| gap(pair).powi(2) + klass(&pair[1]);
            root(&pairs(seen, n)?.iter().map(day).collect::<Vec<_>>())
        })?;
        agrees(&format!("yangzhang{n}"), &bars, |seen| {
            let days = pairs(seen, n.max(2))?;
            let count = days.len() as f64;
            let spread = |of: &dyn Fn(&[Candle; 2]) -> f64| {
                let values: Vec<f64> = days.iter().map(of).collect();
                values.iter().map(|v| (v - mean(&values)).powi(2)).sum::<f64>() / (count - 1.0)
            };
            let k = 0.34 / (1.34 + (count + 1.0) / (count - 1.0));
            let drifting = mean(&days.iter().map(|[_, now]| satchell(now)).collect::<Vec<_>>());
            let session = spread(&|[_, now]| ln(now.close(), now.open()));
            root(&[spread(&gap) + k * session + (1.0 - k) * drifting])
        })?;
        agrees(&format!("ewmavol{n}"), &bars, |seen| {
            let all = pairs(seen, seen.len() - 1)?;
            let squares: Vec<f64> = all.iter().map(|pair| r(pair).powi(2)).collect();
            let first = mean(squares.get(..n)?);
            root(&[squares[n..].iter().fold(first, |h, square| 0.94 * h + 0.06 * square)])
        })?;
        agrees(&format!("downside{n}"), &bars, |seen| {
            root(&pairs(seen, n)?.iter().map(|pair| r(pair).min(0.0).powi(2)).collect::<Vec<_>>())
        })?;
        agrees(&format!("drawdown{n}"), &bars, |seen| {
            let peak = last(seen, n, Candle::close)?.into_iter().fold(0.0, f64::max);
            Some(100.0 * (peak - seen.last()?.close()) / peak)
        })?;
        agrees(&format!("amihud{n}"), &bars, |seen| {
            let size = |pair: &[Candle; 2]| 100.0 * r(pair).abs() * 1e9 / pair[1].volume() / pair[1].close();
            let traded = pairs(seen, n)?.into_iter().filter(|pair| pair[1].volume() > 0.0);
            let sizes: Vec<f64> = traded.map(|pair| size(&pair)).collect();
            (!sizes.is_empty()).then(|| mean(&sizes))
        })?;
    }

    /// In bounds, finite, as long as the bars, and the same when prices are in another unit.
    #[test]
    fn whatever_the_bars(bars in bars(90), n in 1usize..20) {
        for word in EVERY {
            let name = if ["macd", "obv"].contains(word) { (*word).to_owned() } else { format!("{word}{n}") };
            let indicator = Indicator::parse(&name).unwrap();
            let columns = indicator.over(&[], &bars);
            prop_assert_eq!(columns.len(), indicator.columns().len());
            for values in &columns {
                prop_assert_eq!(values.len(), bars.len());
                prop_assert!(values.iter().flatten().all(|value| value.is_finite()));
                let (least, most) = match *word {
                    "rsi" | "mfi" | "stoch" | "adx" => (0.0, 100.0),
                    "willr" => (-100.0, 0.0),
                    "drawdown" => (0.0, 100.0),
                    "atr" | "ulcer" | "parkinson" | "garmanklass" | "rogerssatchell" | "rangevol"
                    | "yangzhang" | "ewmavol" | "downside" | "amihud" => (0.0, f64::MAX),
                    _ => (f64::MIN, f64::MAX),
                };
                let within = |value: &f64| (least - 1e-9..=most + 1e-9).contains(value);
                prop_assert!(values.iter().flatten().all(within), "{name}: {values:?}");
            }
            if let [middle, upper, lower] = &columns[..] && ["bb", "donchian", "keltner"].contains(word) {
                for ((middle, upper), lower) in middle.iter().zip(upper).zip(lower) {
                    prop_assert!(lower <= middle && middle <= upper, "{name}");
                }
            }
        }
    }

    /// However a series is cut, what is shown is that of the whole, where the start is forgotten.
    #[test]
    fn earlier_bars_warm_up(bars in bars(120), n in 1usize..6, cut in 0usize..60) {
        let cut = cut.min(bars.len());
        let fading = ["ema", "atr", "keltneratr", "ewmavol"];
        // A ratio of two averages of a still price rests on what is left of its last move.
        for word in EVERY.iter().filter(|word| !["macd", "obv", "rsi", "adx"].contains(word)) {
            let indicator = Indicator::parse(&format!("{word}{n}")).unwrap();
            let whole = indicator.over(&[], &bars);
            let shown = indicator.over(&bars[..cut], &bars[cut..]);
            for (whole, shown) in whole.iter().zip(&shown) {
                for (a, b) in whole[cut..].iter().zip(shown) {
                    let close = match (a, b) {
                        // A millionth of what the start could be off: prices of ten thousand.
                        (Some(a), Some(b)) if fading.contains(word) => (a - b).abs() <= 0.01,
                        (a, b) => a == b,
                    };
                    prop_assert!(close, "{word}{n}: {a:?} {b:?}");
                }
            }
        }
    }
}

#[test]
fn names_are_told_apart() {
    let parse = |name| Indicator::parse(name).map(Indicator::name);
    assert_eq!(parse("rsi"), Ok("rsi14".to_owned()));
    assert_eq!(parse("bb5"), Ok("bb5".to_owned()));
    assert_eq!(parse("macd"), Ok("macd".to_owned()));
    for bad in [
        "",
        "14",
        "rsi0",
        "rsi014",
        "rsi251",
        "rsi-3",
        "RSI14",
        "macd9",
        "obv2",
        "boll",
        "rsi99999999999999999999",
    ] {
        let error = Indicator::parse(bad).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("\"{bad}\"")) && error.contains("rsi14, macd, bb20"),
            "{error}"
        );
    }
    let names = Indicator::parse("adx").unwrap().columns();
    assert_eq!(names, ["adx14", "adx14_plus", "adx14_minus"]);
    assert_eq!(EVERY.iter().filter(|word| parse(word).is_ok()).count(), EVERY.len());
}

#[test]
fn a_bar_without_a_price_is_passed_over() {
    let bars: Vec<Bar> =
        [100, 0, 200].iter().enumerate().map(|(i, p)| bar(i, [*p; 4], 1)).collect();
    assert_eq!(column("sma2", &bars), [None, None, Some(150.0)]);
}

#[test]
fn still_prices() {
    let bars: Vec<Bar> = (0..40).map(|index| bar(index, [10_000; 4], 0)).collect();
    let end = |name: &str| {
        let columns = Indicator::parse(name).unwrap().over(&[], &bars);
        columns.iter().map(|column| *column.last().unwrap()).collect::<Vec<_>>()
    };
    for undefined in ["stoch", "willr", "cci", "mfi", "vwap"] {
        assert!(end(undefined).iter().all(Option::is_none), "{undefined}");
    }
    assert_eq!(end("rsi"), [Some(100.0)]);
    assert_eq!(end("bb"), [Some(10_000.0); 3]);
    assert_eq!(end("adx"), [Some(0.0); 3]);
    assert_eq!(
        (end("atr"), end("roc"), end("ulcer")),
        (vec![Some(0.0)], vec![Some(0.0)], vec![Some(0.0)])
    );
}
