//! Bodies that a client compressed.
//!
//! `headers.compression` names the method by a content type. What Celery calls gzip is a zlib
//! stream; a gzip file is read too. Every method is cut off at a limit: a few kilobytes may
//! otherwise unpack to gigabytes.

use std::io::{self, Read};

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// Nobody here knows the method.
    #[error("compression \"{0}\" is not known; expected application/x-gzip, x-bz2 or x-lzma")]
    Unknown(String),
    /// The bytes are not what the method makes.
    #[error("the body is no {method} stream: {cause}")]
    Damaged {
        /// The method.
        method: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// It unpacks to more than is taken.
    #[error("the body unpacks to more than {0} bytes")]
    TooLarge(usize),
}

/// Undoes the compression that `method` names.
///
/// # Errors
/// When the method is unknown, the bytes are damaged, or there is more in them than `limit`.
pub fn expand(method: &str, bytes: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    match method {
        "application/x-gzip" | "application/gzip" | "application/zlib"
            if bytes.starts_with(&[0x1f, 0x8b]) =>
        {
            read("gzip", flate2::read::GzDecoder::new(bytes), limit)
        }
        "application/x-gzip" | "application/gzip" | "application/zlib" => {
            read("zlib", flate2::read::ZlibDecoder::new(bytes), limit)
        }
        "application/x-bz2" => read("bzip2", bzip2_rs::DecoderReader::new(bytes), limit),
        "application/x-lzma" => read("xz", lzma_rust2::XzReader::new(bytes, false), limit),
        _ => Err(CompressionError::Unknown(method.to_owned())),
    }
}

fn read(
    method: &'static str,
    reader: impl Read,
    limit: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    let damaged = |error: io::Error| CompressionError::Damaged { method, cause: error.to_string() };
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(damaged)?;
    if out.len() > limit { Err(CompressionError::TooLarge(limit)) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_celery_calls_gzip_is_zlib() {
        assert_eq!(expand("application/x-gzip", &zlib(b"[]"), 99).unwrap(), b"[]");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"[]").unwrap();
        let file = encoder.finish().unwrap();
        assert_eq!(expand("application/x-gzip", &file, 99).unwrap(), b"[]");
    }

    /// `bz2.compress(b"[[],{},{}]")` and `lzma.compress(...)` of Python 3.11.
    #[test]
    fn bzip2_and_xz_files_are_read() {
        let bz2 = hex::decode(BZ2).unwrap();
        assert_eq!(expand("application/x-bz2", &bz2, 99).unwrap(), b"[[],{},{}]");
        let xz = hex::decode(XZ).unwrap();
        assert_eq!(expand("application/x-lzma", &xz, 99).unwrap(), b"[[],{},{}]");
    }

    const BZ2: &str = "425a6839314159265359bc49a7f800000112800004000a000a200030cd0090133a4a638bb9229c28485e24d3fc00";
    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a30100095b5b5d2c7b7d2c7b7d5d0000006f8514c1f6c392ef0001220a151ae1671fb6f37d010000000004595a";

    #[test]
    fn a_bomb_is_cut_off() {
        let bomb = zlib(&vec![0; 1 << 20]);
        assert_eq!(
            expand("application/x-gzip", &bomb, 1 << 10),
            Err(CompressionError::TooLarge(1 << 10))
        );
        assert!(matches!(expand("x", b"", 1), Err(CompressionError::Unknown(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for method in ["application/x-gzip", "application/x-bz2", "application/x-lzma"] {
                let _ = expand(method, &bytes, 1 << 16);
            }
        }

        #[test]
        fn no_change_of_a_file_makes_it_panic(at in 0_usize..90, byte in any::<u8>()) {
            for (method, file) in [("application/x-bz2", BZ2), ("application/x-lzma", XZ)] {
                let mut file = hex::decode(file).unwrap();
                if let Some(place) = file.get_mut(at) {
                    *place = byte;
                }
                let _ = expand(method, &file, 1 << 16);
            }
        }
    }
}
