//! Where fields begin: one pass over the payload, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const CARETS: u64 = ONES * b'^' as u64;
const LOW_SEVEN: u64 = ONES * 0x7f;

/// The top bit of every byte of `word` (little endian) that is a caret, exactly.
///
/// After the exclusive or a caret is a zero byte; adding 0x7f to the low seven bits sets the top
/// bit of any other. No carry crosses a byte, so there is no false hit behind a true one.
#[inline]
const fn carets(word: u64) -> u64 {
    let word = word ^ CARETS;
    !(((word & LOW_SEVEN) + LOW_SEVEN) | word | LOW_SEVEN)
}

/// Writes the start of every field of `payload[body..]` to `starts`, and after the last one the
/// start a further field would have (`payload.len() + 1`), so that field `i` spans
/// `starts[i] .. starts[i + 1] - 1`. Returns the number of fields. `starts` only ever grows; what
/// it holds beyond is left over from earlier frames.
pub(super) fn field_starts(payload: &[u8], body: usize, starts: &mut Vec<u32>) -> usize {
    let bytes = &payload[body..];
    // Every byte could be a separator: one more field, and the end.
    let needed = bytes.len() + 2;
    if starts.len() < needed {
        starts.resize(needed.next_power_of_two(), 0);
    }
    let slots = &mut starts[..needed];
    slots[0] = body as u32;
    let mut fields = 1;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut base = body + 1;
    for word in words {
        let mut hits = carets(u64::from_le_bytes(*word));
        while hits != 0 {
            slots[fields] = (base + (hits.trailing_zeros() >> 3) as usize) as u32;
            fields += 1;
            hits &= hits - 1;
        }
        base += 8;
    }
    for (offset, byte) in rest.iter().enumerate() {
        if *byte == b'^' {
            slots[fields] = (base + offset) as u32;
            fields += 1;
        }
    }
    slots[fields] = (payload.len() + 1) as u32;
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_split_finds(
            bytes in proptest::collection::vec(prop_oneof![Just(b'^'), Just(b']'), Just(b'_'), Just(0xde), any::<u8>()], 0..200),
            body in 0usize..20,
        ) {
            let body = body.min(bytes.len());
            let mut starts = Vec::new();
            let fields = field_starts(&bytes, body, &mut starts);
            let found: Vec<&[u8]> = (0..fields)
                .map(|field| &bytes[starts[field] as usize..starts[field + 1] as usize - 1])
                .collect();
            let expected: Vec<&[u8]> = bytes[body..].split(|byte| *byte == b'^').collect();
            prop_assert_eq!(found, expected);
        }
    }
}
