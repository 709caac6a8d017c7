//! How many tokens a text is, about, and whether an endpoint read all of a prompt.
//!
//! No tokenizer of a model is at hand for every endpoint. The estimate is on the high side for the
//! byte-pair encodings in use (a Hangul syllable one token, four ASCII letters or two digits one),
//! so that a prompt that passes fits. The floor is on the low side: an endpoint that counted fewer
//! cut the prompt without a word, as servers of local models do.

/// Tokens of a text at most, about.
#[must_use]
pub fn estimate(text: &str) -> u32 {
    // In quarters of a token.
    let quarters: u64 = text
        .chars()
        .map(|c| match c {
            _ if c.is_ascii_digit() || c.is_ascii_punctuation() => 2,
            _ if c.is_ascii() => 1,
            '가'..='힣' => 4,
            _ => 6,
        })
        .sum();
    u32::try_from(quarters.div_ceil(4)).unwrap_or(u32::MAX)
}

/// Fewest tokens that any encoding in use makes of an estimate.
const FLOOR: f64 = 0.3;
/// A share of what the same endpoint usually counts below which it did not read all.
const USUAL: f64 = 0.6;
/// No encoding in use makes more of an estimate.
const MOST: f64 = 1.2;
/// Contexts are no smaller than this. What is below was not counted at all: test servers and some
/// gateways send a made-up figure.
const SMALLEST_CONTEXT: u32 = 256;

/// What an endpoint's counts are, compared with our estimates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calibration {
    ratio: Option<f64>,
    /// It counts more than there can be: its figures are made up.
    distrusted: bool,
}

impl Calibration {
    /// Takes in a count; false when the endpoint cannot have read the whole prompt.
    pub fn is_whole(&mut self, estimated: u32, counted: u32) -> bool {
        if counted < SMALLEST_CONTEXT || estimated < SMALLEST_CONTEXT {
            return true;
        }
        let ratio = f64::from(counted) / f64::from(estimated);
        self.distrusted |= ratio > MOST;
        if self.distrusted {
            return true;
        }
        let usual = self.ratio.map_or(FLOOR, |usual| (usual * USUAL).max(FLOOR));
        if ratio < usual {
            return false;
        }
        self.ratio = Some(self.ratio.map_or(ratio, |usual| usual + 0.2 * (ratio - usual)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("가나다"), 3);
        assert_eq!(estimate("abcdefgh"), 2);
        assert_eq!(estimate("71,000"), 3);
    }

    #[test]
    fn a_prompt_that_was_cut_shows() {
        let mut calibration = Calibration::default();
        assert!(calibration.is_whole(4_000, 100), "not a count");
        assert!(!calibration.is_whole(4_000, 1_024), "cut to a context");
        assert!(calibration.is_whole(4_000, 3_000));
        assert!(calibration.is_whole(2_000, 1_450));
        assert!(!calibration.is_whole(6_000, 2_048), "above the floor, far below the usual");
        assert!(calibration.is_whole(1_000, 1_500), "more than there can be");
        assert!(calibration.is_whole(4_000, 1_500), "its figures mean nothing");
    }
}
