//! Headers as text, and texts that a header may carry.

/// A header with its value as text; `None` when it is not text.
pub(super) fn text_header(
    name: &impl ToString,
    value: &impl AsRef<[u8]>,
) -> Option<(String, String)> {
    let value = std::str::from_utf8(value.as_ref()).ok()?;
    Some((name.to_string().to_ascii_lowercase(), value.to_owned()))
}

/// Metadata as a header may carry it: what is no printable ASCII, and `%`, as `%XX`.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=32 | 127.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// What [`encoded`] was given.
pub(super) fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let pair = after.first_chunk::<2>().filter(|_| first == b'%');
        let byte = pair.and_then(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        });
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
