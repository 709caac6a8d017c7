//! Fernet tokens, as `symmetric_encryption_keys` of a channel layer has them.
//!
//! A token is the URL-safe base64 text of `0x80 ‖ time (8 bytes, big-endian, seconds) ‖ IV (16) ‖
//! AES-128-CBC of the PKCS #7 padded text ‖ HMAC-SHA-256 of all before it`. The layer's key is SHA-256 of
//! the secret: its first half signs, its second half encrypts.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const VERSION: u8 = 0x80;

/// Encrypts for whoever has the secret. Prints without it.
pub(super) struct Fernet {
    signing: [u8; 16],
    encryption: [u8; 16],
}

impl std::fmt::Debug for Fernet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fernet")
    }
}

impl Fernet {
    /// The cipher of a layer whose first key is `secret`.
    pub(super) fn of_secret(secret: &SecretString) -> Self {
        Self::of_key(Sha256::digest(secret.expose_secret().as_bytes()).into())
    }

    fn of_key(key: [u8; 32]) -> Self {
        let (mut signing, mut encryption) = ([0; 16], [0; 16]);
        signing.copy_from_slice(&key[..16]);
        encryption.copy_from_slice(&key[16..]);
        Self { signing, encryption }
    }

    /// The token of `plain`. `now` is Unix time in seconds; `iv` must be fresh and random.
    pub(super) fn token(&self, plain: &[u8], now: u64, iv: [u8; 16]) -> String {
        let cipher = cbc::Encryptor::<aes::Aes128>::new(&self.encryption.into(), &iv.into());
        let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(plain);
        let mut token = vec![VERSION];
        token.extend(now.to_be_bytes());
        token.extend(iv);
        token.extend(encrypted);
        // A key of a fixed length: `new`, which takes any, has nothing to refuse.
        let mut mac = Hmac::<Sha256>::new(&padded(self.signing).into());
        mac.update(&token);
        token.extend(mac.finalize().into_bytes());
        URL_SAFE.encode(token)
    }
}

/// A key shorter than the block of the hash is filled with zeros, says HMAC.
fn padded(key: [u8; 16]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..16].copy_from_slice(&key);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the token's specification.
    #[test]
    fn the_published_example() {
        let key = URL_SAFE.decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap();
        let iv = std::array::from_fn(|at| at as u8);
        let token = Fernet::of_key(key.try_into().unwrap()).token(b"hello", 499_162_800, iv);
        assert_eq!(
            token,
            "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
        );
    }

    #[test]
    fn the_secret_is_not_printed() {
        let fernet = Fernet::of_secret(&"canary".to_owned().into());
        assert_eq!(format!("{fernet:?}"), "Fernet");
    }
}
