//! A model as scoring uses it: its document, and which version it is.

use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentError};
use crate::market::{ModelId, ModelOrigin, ModelSwitch};

/// A model that was read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedModel {
    /// Version.
    pub id: ModelId,
    /// Where it comes from.
    pub origin: ModelOrigin,
    /// SHA-256 of the document as it is stored, hexadecimal.
    pub sha256: String,
    /// What was fitted.
    pub document: Document,
}

impl FittedModel {
    /// The model that `switch` brings.
    ///
    /// # Errors
    /// When its document cannot be used.
    pub fn read(switch: &ModelSwitch) -> Result<Self, DocumentError> {
        let document = Document::from_json(switch.document.as_bytes())?;
        let ModelSwitch { id, origin, sha256, .. } = switch;
        Ok(Self { id: *id, origin: *origin, sha256: sha256.clone(), document })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::example;

    #[test]
    fn a_switch_brings_a_model_or_says_why_not() {
        let document = example(0.1);
        let mut switch = ModelSwitch {
            id: "20260105T090000Z".parse().unwrap(),
            origin: ModelOrigin::Registry,
            sha256: "ab".repeat(32),
            document: document.to_json().unwrap().into(),
        };
        let fitted = FittedModel::read(&switch).unwrap();
        assert_eq!((fitted.id, &fitted.document), (switch.id, &document));
        switch.document = "{}".into();
        assert!(FittedModel::read(&switch).is_err());
    }
}
