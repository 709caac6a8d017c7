use std::collections::BTreeSet;

use super::*;
use crate::config::value::Form;

#[test]
fn keys_are_unique_and_grouped_by_known_sections() {
    let paths: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(paths.len(), KEYS.len());
    let mut groups: Vec<&str> = KEYS.iter().map(|key| key.parts().0).collect();
    groups.dedup();
    let sections: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(groups, sections);
}

#[test]
fn defaults_and_examples_are_of_their_own_form() {
    for key in KEYS {
        let text = key.default.unwrap_or(key.example);
        assert!(key.kind.parse(text, Form::Text, key.secret).is_some(), "{} {text}", key.path);
        assert!(key.default.is_some() || !key.example.is_empty(), "{}", key.path);
    }
}

#[test]
fn variables_follow_from_keys() {
    let variable = |path| find(path).map(Key::bongsu_variable);
    assert_eq!(variable("feed.symbols").as_deref(), Some("BONGSU_FEED__SYMBOLS"));
    assert_eq!(variable("data_dir").as_deref(), Some("BONGSU_DATA_DIR"));
}
