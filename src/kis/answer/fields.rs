//! Typed access to the members of an answer.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::super::{KisError, Raw};
use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay};

/// The JSON object of a body that KIS did not refuse with, and who answered it.
#[derive(Debug)]
pub(in crate::kis) struct Answer {
    pub endpoint: &'static str,
    pub status: u16,
    pub body: Map<String, Value>,
}

impl Answer {
    /// The answer in `raw`.
    pub(super) fn of(raw: &Raw) -> Result<Self, KisError> {
        Self::read(raw.endpoint.name(), raw.status, &raw.body)
    }

    /// The answer in `body`, decided by the codes in it, never by the status alone.
    pub(in crate::kis) fn read(
        endpoint: &'static str,
        status: u16,
        body: &[u8],
    ) -> Result<Self, KisError> {
        let malformed = |detail: String| KisError::Malformed { endpoint, status, detail };
        let answer = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => Self { endpoint, status, body },
            Ok(_) => return Err(malformed("json that is no object".into())),
            Err(_) => return Err(malformed(format!("{} bytes that are no json", body.len()))),
        };
        let top = answer.top();
        let refused = |code: &str, message: Option<&str>| KisError::Refused {
            endpoint,
            code: code.chars().take(16).collect(),
            message: message.unwrap_or_default().chars().take(160).collect(),
            status,
        };
        // The calls of /oauth2 have a shape of their own.
        if let Some(code) = top.text("error_code") {
            return Err(refused(code, top.text("error_description")));
        }
        match top.integer("rt_cd")? {
            Some(0) => Ok(answer),
            Some(_) => Err(refused(top.text("msg_cd").unwrap_or("?"), top.text("msg1"))),
            None if (200..300).contains(&status) => Ok(answer),
            None => Err(answer.malformed("no code".into())),
        }
    }

    pub(in crate::kis) fn malformed(&self, detail: String) -> KisError {
        KisError::Malformed { endpoint: self.endpoint, status: self.status, detail }
    }

    /// The members of the body itself.
    pub(in crate::kis) fn top(&self) -> Fields<'_> {
        Fields { answer: self, map: &self.body }
    }

    pub(super) fn object(&self, name: &str) -> Result<Fields<'_>, KisError> {
        match self.body.get(name) {
            Some(Value::Object(map)) => Ok(Fields { answer: self, map }),
            // Sums come as an array of one in some calls.
            Some(Value::Array(rows)) => match rows.first() {
                Some(Value::Object(map)) => Ok(Fields { answer: self, map }),
                _ => Err(self.malformed(format!("no object in the array \"{name}\""))),
            },
            _ => Err(self.malformed(format!("no object \"{name}\""))),
        }
    }

    pub(super) fn rows(&self, name: &str) -> Result<Vec<Fields<'_>>, KisError> {
        let rows = match self.body.get(name) {
            Some(Value::Array(rows)) => rows,
            _ => return Err(self.malformed(format!("no array \"{name}\""))),
        };
        Ok(rows
            .iter()
            .filter_map(Value::as_object)
            .map(|map| Fields { answer: self, map })
            .collect())
    }
}

/// The members of one object.
#[derive(Clone, Copy)]
pub(in crate::kis) struct Fields<'a> {
    answer: &'a Answer,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// A text without the blanks around it.
    pub(in crate::kis) fn text(&self, name: &str) -> Option<&'a str> {
        self.map.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A text of its own.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// Whether a flag is set.
    pub(super) fn yes(&self, name: &str) -> bool {
        self.text(name) == Some("Y")
    }

    /// A member as text, a JSON number written out.
    fn written(&self, name: &str) -> Option<String> {
        match self.map.get(name)? {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text(name).map(str::to_owned),
        }
    }

    fn refuse(&self, name: &str, value: &str, expected: &str) -> KisError {
        let value: String = value.chars().take(40).collect();
        self.answer.malformed(format!("{name} = \"{value}\" where {expected} belongs"))
    }

    pub(in crate::kis) fn integer(&self, name: &str) -> Result<Option<i64>, KisError> {
        let Some(text) = self.written(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.refuse(name, &text, "an integer"))
    }

    /// An integer above zero; KIS writes 0 where it has no price.
    pub(super) fn positive(&self, name: &str) -> Result<Option<i64>, KisError> {
        Ok(self.integer(name)?.filter(|value| *value > 0))
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, KisError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.refuse(name, text, expected))
    }

    pub(super) fn day(&self, name: &str) -> Result<Option<SessionDay>, KisError> {
        self.parsed(name, "a date YYYYMMDD")
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<TimeOfDay>, KisError> {
        self.parsed(name, "a time HHMMSS")
    }

    pub(super) fn symbol(&self, name: &str) -> Result<Option<Symbol>, KisError> {
        self.parsed(name, "an issue code")
    }

    /// The instant of a date and a time member; `None` when either is missing.
    pub(super) fn instant(&self, day: &str, time: &str) -> Result<Option<EventTime>, KisError> {
        Ok(self.day(day)?.zip(self.time(time)?).map(|(day, time)| EventTime::from_kst(day, time)))
    }

    pub(super) fn needed_hundredths(&self, name: &str) -> Result<i64, KisError> {
        let text = self.written(name).unwrap_or_default();
        let expected = "a number with at most two decimals";
        fixed(&text, 2).ok_or_else(|| self.refuse(name, &text, expected))
    }

    /// A decimal number in hundredths.
    pub(super) fn hundredths(&self, name: &str) -> Result<Option<i64>, KisError> {
        self.fixed(name, 2)
    }

    /// A decimal number in ten-thousandths.
    pub(super) fn ten_thousandths(&self, name: &str) -> Result<Option<i64>, KisError> {
        self.fixed(name, 4)
    }

    fn fixed(&self, name: &str, places: usize) -> Result<Option<i64>, KisError> {
        let Some(text) = self.written(name) else { return Ok(None) };
        let expected = if places == 2 {
            "a number with at most two decimals"
        } else {
            "a number with at most four decimals"
        };
        fixed(&text, places).map(Some).ok_or_else(|| self.refuse(name, &text, expected))
    }
}

/// A decimal text with at most `places` decimals, exactly, in units of the last place.
fn fixed(text: &str, places: usize) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > places || !plain(whole) || !plain(fraction) {
        return None;
    }
    let parts: i64 = format!("{fraction:0<places$}").parse().ok()?;
    let unit = 10_i64.pow(u32::try_from(places).ok()?);
    Some(sign * whole.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, value) in [("3412.55", 341_255), ("-2.82", -282), ("7", 700), ("0.5", 50)] {
            assert_eq!(fixed(text, 2), Some(value), "{text}");
        }
        assert_eq!(fixed("71400.0000", 4), Some(714_000_000));
        for text in ["", "1.234", "1,0", "+1", "1.-5", "99999999999999999999"] {
            assert_eq!(fixed(text, 2), None, "{text}");
        }
    }
}
