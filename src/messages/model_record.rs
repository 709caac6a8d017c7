//! A model switch as a journal record.
//!
//! In: a [`ModelSwitch`]. Out: JSON text that stands in the journal like any frame, the document in it
//! compressed (Zstandard) and as base64, so that the record is text for every reader of the journal.
//! **Limits:** a record has at most [`MAX_RECORD`] bytes, a document at most [`MAX_DOCUMENT`]; a larger
//! one is refused by name. **Failures:** [`ModelRecordError`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::market::{ModelId, ModelOrigin, ModelSwitch};

/// Longest record: a quarter of what the journal takes.
pub const MAX_RECORD: usize = 1 << 20;
/// Longest document.
pub const MAX_DOCUMENT: usize = 8 << 20;
const LEVEL: i32 = 9;

/// What stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    id: ModelId,
    origin: ModelOrigin,
    sha256: String,
    /// Base64 of the Zstandard frame over the document.
    document: String,
}

/// Why a model cannot be a record, or a record is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRecordError {
    /// Too long.
    #[error(
        "the model {id} has {bytes} bytes as a journal record, at most {MAX_RECORD} are allowed"
    )]
    TooLong {
        /// Version.
        id: ModelId,
        /// Its length.
        bytes: usize,
    },
    /// Not what was written.
    #[error("expected version, origin, sha256 and document: {0}")]
    Wrong(String),
}

impl ModelRecord {
    /// The payload of a journal record.
    ///
    /// # Errors
    /// [`ModelRecordError::TooLong`].
    pub fn payload(switch: &ModelSwitch) -> Result<Vec<u8>, ModelRecordError> {
        let wrong = |error: &dyn std::fmt::Display| ModelRecordError::Wrong(error.to_string());
        let packed = zstd::bulk::compress(switch.document.as_bytes(), LEVEL)
            .map_err(|error| wrong(&error))?;
        let record = Self {
            id: switch.id,
            origin: switch.origin,
            sha256: switch.sha256.clone(),
            document: STANDARD.encode(packed),
        };
        let payload = serde_json::to_vec(&record).map_err(|error| wrong(&error))?;
        match payload.len() {
            bytes if bytes > MAX_RECORD => Err(ModelRecordError::TooLong { id: switch.id, bytes }),
            _ => Ok(payload),
        }
    }

    /// The switch in the payload of a journal record.
    ///
    /// # Errors
    /// [`ModelRecordError::Wrong`].
    pub fn parse(payload: &[u8]) -> Result<ModelSwitch, ModelRecordError> {
        let wrong = |error: &dyn std::fmt::Display| ModelRecordError::Wrong(error.to_string());
        let record: Self = serde_json::from_slice(payload).map_err(|error| wrong(&error))?;
        let packed = STANDARD.decode(&record.document).map_err(|error| wrong(&error))?;
        let document =
            zstd::bulk::decompress(&packed, MAX_DOCUMENT).map_err(|error| wrong(&error))?;
        let document = String::from_utf8(document).map_err(|error| wrong(&error))?;
        let Self { id, origin, sha256, .. } = record;
        Ok(ModelSwitch { id, origin, sha256, document: document.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    fn switch(document: &str) -> ModelSwitch {
        ModelSwitch {
            id: "20260105T090000Z".parse().unwrap(),
            origin: ModelOrigin::Registry,
            sha256: "ab".repeat(32),
            document: document.into(),
        }
    }

    #[test]
    fn a_record_is_short_text_and_one_that_is_not_is_refused() {
        let numbers = (0..4_000).map(|n| format!("{}", f64::from(n) / 7.0));
        let document = numbers.collect::<Vec<_>>().join(",");
        let payload = ModelRecord::payload(&switch(&document)).unwrap();
        assert!(payload.len() < document.len() && payload.is_ascii(), "{}", payload.len());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let chance: String = (0..1_500_000).map(|_| rng.random_range('!'..='z')).collect();
        let error = ModelRecord::payload(&switch(&chance)).map(|payload| payload.len());
        let error = error.unwrap_err();
        assert!(error.to_string().contains("20260105T090000Z"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(document in "\\PC{0,200}") {
            let switch = switch(&document);
            prop_assert_eq!(ModelRecord::parse(&ModelRecord::payload(&switch).unwrap()).unwrap(), switch);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400) {
            prop_assert!(ModelRecord::parse(&bytes).is_err());
            let mut payload = ModelRecord::payload(&switch("{\"a\":1}")).unwrap();
            let at = at % payload.len();
            payload.truncate(at);
            prop_assert!(ModelRecord::parse(&payload).is_err());
        }
    }
}
