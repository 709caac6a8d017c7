//! Object keys: what may stand in one.

use std::fmt;
use std::str::FromStr;

use super::ObjectError;

/// Longest key, bytes: S3's limit.
const MAX_KEY: usize = 1_024;
/// Longest segment, bytes: what file systems take (255), with room for a mark.
const MAX_SEGMENT: usize = 200;
/// What may stand in a segment besides ASCII letters and digits.
const MARKS: &[u8] = b"-_.=+,";

/// A valid key: segments of ASCII letters, digits and `-_.=+,`, joined by `/`. No segment is empty
/// or `.` or `..`, none is longer than 200 bytes, the whole has at most 1,024.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why `segment` cannot stand in a key.
fn flaw(segment: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || MARKS.contains(&byte);
    match segment {
        "" => Some("a segment is empty".to_owned()),
        "." | ".." => Some(format!("a segment is \"{segment}\"")),
        _ if segment.len() > MAX_SEGMENT => Some(format!(
            "a segment has {} bytes, at most {MAX_SEGMENT} are allowed",
            segment.len()
        )),
        _ => segment.chars().find(|&c| !u8::try_from(c).is_ok_and(allowed)).map(|c| {
            format!("{c:?} stands in it, only ASCII letters, digits and -_.=+, are allowed")
        }),
    }
}

impl FromStr for Key {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let reason = if text.len() > MAX_KEY {
            Some(format!("it has {} bytes, at most {MAX_KEY} are allowed", text.len()))
        } else {
            text.split('/').find_map(flaw)
        };
        match reason {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(ObjectError::Key { key: text.chars().take(80).collect(), reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leaves_the_folder_is_refused() {
        for text in
            ["", "/a", "a/", "a//b", "..", "a/../b", "a/.", "a b", "a\\b", "가", "a@", "a\0"]
        {
            let error = text.parse::<Key>().unwrap_err().to_string();
            assert!(error.contains("is no object key"), "{text}: {error}");
        }
        assert!("a".repeat(201).parse::<Key>().is_err());
        assert!("a/".repeat(600).parse::<Key>().is_err());
        let key = "kis/rest/dt=2024-08-05/inquire-price/005930/a1-0.json.zst";
        assert_eq!(key.parse::<Key>().unwrap().segments().count(), 6);
    }

    proptest! {
        /// Whatever the text: a key that is taken is the text, and as a path it only goes down.
        #[test]
        fn a_key_is_a_path_that_only_goes_down(text in "[a-c./@\\\\ =]{0,12}|\\PC{0,12}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.as_str(), text.as_str());
                let path = std::path::Path::new(key.as_str());
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(path.components().all(plain));
                prop_assert_eq!(path.components().count(), key.segments().count());
            }
        }
    }
}
