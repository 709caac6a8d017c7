//! Ids that come from causes, not from counters or clocks.

use sha2::{Digest, Sha256};

/// The first 128 bits of the SHA-256 over `parts`, each followed by a zero byte, as lower-case
/// hex. Used for every id that must be the same after a restart, in a replay and elsewhere.
#[must_use]
pub fn deterministic_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(deterministic_id(&["ab", "c"]), deterministic_id(&["a", "bc"]));
        assert_eq!(deterministic_id(&["risk"]).len(), 32);
    }
}
