//! Tests of the whole: sources, frames, servers.

mod charts;
mod client;
mod daily_file;
mod faults;
mod faults_control;
mod fields;
mod kept;
mod limits;
mod market_rules;
mod notices;
mod playing;
mod rest;
mod socket;
mod trading;

use std::collections::HashMap;
use std::path::PathBuf;

use super::{FrameInfo, FrameShape, Playback, SimSource};

/// A file of real market data; `None`, and a line that says so, when this machine has none.
fn shared_data(test: &str, file: &str) -> Option<PathBuf> {
    shared_file(test, &format!("data/{file}"))
}

/// The same for any shared file.
fn shared_file(test: &str, file: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("BONGSU_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = shared.join(file);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped {test}: there is no {}", path.display());
    None
}

fn data(path: PathBuf, day: &str, indices: Option<PathBuf>, symbols: Option<usize>) -> SimSource {
    SimSource::Data { path, day: Some(day.parse().unwrap()), indices, symbols }
}

fn market(name: &str) -> SimSource {
    SimSource::Market { market: name.into(), day: None }
}

fn load(source: &SimSource, shape: FrameShape) -> Playback {
    Playback::load(source, 7, None, shape).unwrap()
}

/// The records of a frame, as fields.
fn records(frame: &[u8]) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(frame).unwrap();
    let parts: Vec<&str> = text.splitn(4, '|').collect();
    assert_eq!(parts[0], "0");
    let count: usize = parts[2].parse().unwrap();
    assert_eq!(parts[2].len(), 3);
    let fields: Vec<String> = parts[3].split('^').map(str::to_owned).collect();
    assert_eq!(fields.len() % count, 0, "{text}");
    fields.chunks(fields.len() / count).map(<[String]>::to_vec).collect()
}

fn number(field: &str) -> i64 {
    field.parse().unwrap_or_else(|_| panic!("\"{field}\" is not an integer"))
}

/// A decimal with two digits, in hundredths.
fn hundredths(field: &str) -> i64 {
    let (whole, rest) = field.split_once('.').unwrap();
    assert_eq!(rest.len(), 2, "{field}");
    number(&format!("{whole}{rest}"))
}

/// Checks what hangs together in the trade records of a day (KIS documentation, 4.6).
#[derive(Default)]
struct TradeAudit {
    last: HashMap<String, Vec<String>>,
    trades: usize,
}

impl TradeAudit {
    fn take(&mut self, info: &FrameInfo, record: &[String], first_is_opening: bool) {
        let n = |i: usize| number(&record[i]);
        let base = n(2) - n(4);
        assert_eq!(record[0], info.symbol.as_str());
        assert_eq!(n(17), n(16) - n(15));
        assert!(n(19) + n(20) <= n(13));
        assert!(n(9) <= n(2) && n(2) <= n(8) && n(9) <= n(7) && n(7) <= n(8));
        assert_eq!((n(26), n(29), n(32)), (n(2) - n(7), n(2) - n(8), n(2) - n(9)));
        let percent = n(4) as f64 / base as f64 * 10_000.0;
        assert!((hundredths(&record[5]) as f64 - percent).abs() <= 0.5001, "{record:?}");
        if n(19) > 0 {
            let strength = n(20) as f64 / n(19) as f64 * 10_000.0;
            assert!((hundredths(&record[18]) as f64 - strength).abs() <= 0.51, "{record:?}");
        }
        let part = n(20) as f64 / n(13) as f64 * 100.0;
        let shown = hundredths(&record[22]) as f64;
        assert!(shown - part > -1e-9 && shown - part < 1.0, "{record:?}");
        assert!(n(11) < n(10) || n(10) == 0, "{record:?}");
        assert!(n(36) <= n(38) && n(37) <= n(39));
        match self.last.get(&record[0]) {
            Some(last) => {
                let m = |i: usize| number(&last[i]);
                assert_eq!(n(13), m(13) + n(12), "cumulative volume");
                assert_eq!(n(14), m(14) + n(12) * n(2), "cumulative value");
                let (sells, buys) = match n(21) {
                    5 => (1, 0),
                    1 => (0, 1),
                    3 => (0, 0),
                    other => panic!("side {other}"),
                };
                assert_eq!((n(15), n(16)), (m(15) + sells, m(16) + buys));
                assert_eq!((n(19), n(20)), (m(19) + sells * n(12), m(20) + buys * n(12)));
                // The last auction's price is the static reference of the VI.
                assert_eq!((n(7), n(45)), (m(7), if n(21) == 3 { n(2) } else { m(45) }));
                assert!(record[1] >= last[1]);
            }
            None if first_is_opening => {
                assert_eq!((n(12), n(21)), (n(13), 3));
                assert_eq!((n(7), n(8), n(9)), (n(2), n(2), n(2)));
            }
            None => {}
        }
        self.trades += 1;
        self.last.insert(record[0].clone(), record.to_vec());
    }
}
