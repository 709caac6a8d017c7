//! A fault that tests can set: a panic on frames that contain a given text.
//!
//! Compiled into builds with debug assertions only; a release build has no such path.

/// Panics when `BONGSU_TEST_PANIC_ON` is set and `payload` contains its text.
#[cfg(debug_assertions)]
pub(super) fn trip(payload: &[u8]) {
    use std::sync::OnceLock;
    static TEXT: OnceLock<Option<String>> = OnceLock::new();
    let text = TEXT.get_or_init(|| std::env::var("BONGSU_TEST_PANIC_ON").ok());
    if let Some(text) = text
        && memchr::memmem::find(payload, text.as_bytes()).is_some()
    {
        panic!("a test asked for a panic on frames that contain \"{text}\"");
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(super) const fn trip(_payload: &[u8]) {}
