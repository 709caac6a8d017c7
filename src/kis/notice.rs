//! Notices of the account's own orders (체결통보, `H0STCNI0`, paper `H0STCNI9`).
//!
//! In: an encrypted frame, and the key and initialisation vector that came with the
//! acknowledgement of its subscription. Out: the same frame in plain text with the person's own
//! data masked: it is this that is journaled and stored. The key lives in the session's memory and
//! nowhere else. AES-256-CBC with PKCS#7 padding over base64, as the vendor documents.
//!
//! Failure modes: a payload that is no base64, cannot be decrypted with the key (a wrong key shows
//! as bad padding or as text that is no UTF-8), or has not 26 fields a record, is a
//! [`NoticeError`]; the caller keeps the frame as it came.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::control::Ack;

/// Fields of a notice.
pub const FIELDS: usize = 26;
/// Customer, account, and the account's holder.
const PERSONAL: [usize; 3] = [0, 1, 17];

/// Key and initialisation vector of one subscription.
#[derive(Debug, Clone)]
pub struct NoticeKey {
    key: SecretString,
    iv: SecretString,
}

/// Why a notice cannot be read. Never holds a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// The acknowledgement's key has not 32, or its vector not 16 characters, or there was none.
    #[error(
        "the acknowledgement's key or vector has a wrong length: expected 32 and 16 characters"
    )]
    Key,
    /// Not a frame with flag 1.
    #[error("not an encrypted frame: expected 1|TR id|count|base64")]
    Frame,
    /// The payload is no base64.
    #[error("the payload is no base64")]
    Base64,
    /// Bad padding or no text: mostly a wrong key.
    #[error("the payload cannot be decrypted with the key of this subscription")]
    Cipher,
    /// The plain text has another shape.
    #[error("{fields} fields in {count} notices: expected {FIELDS} each, or some more")]
    Fields {
        /// Fields found.
        fields: usize,
        /// Count of the frame.
        count: usize,
    },
}

impl NoticeKey {
    /// The key that came with an acknowledgement; `None` when it brought none.
    #[must_use]
    pub fn of(ack: &Ack) -> Option<Self> {
        Some(Self { key: ack.key.clone()?, iv: ack.iv.clone()? })
    }

    /// The encrypted frame `frame` in plain text, masked: `0|TR id|count|26 fields each`.
    ///
    /// # Errors
    /// See [`NoticeError`].
    pub fn open(&self, frame: &[u8]) -> Result<Vec<u8>, NoticeError> {
        let text = std::str::from_utf8(frame).map_err(|_| NoticeError::Frame)?;
        let mut parts = text.splitn(4, '|');
        let (Some("1"), Some(tr_id), Some(count), Some(payload)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoticeError::Frame);
        };
        let count: usize = count.parse().map_err(|_| NoticeError::Frame)?;
        let plain = self.decrypt(payload)?;
        let mut fields: Vec<&str> = plain.split('^').collect();
        // KIS appends fields to its records without a word.
        let width = fields.len() / count.max(1);
        if count == 0 || fields.len() != count * width || !(FIELDS..2 * FIELDS).contains(&width) {
            return Err(NoticeError::Fields { fields: fields.len(), count });
        }
        let masks: Vec<(usize, String)> = (0..count)
            .flat_map(|record| PERSONAL.map(|field| record * width + field))
            .map(|at| (at, masked(fields[at])))
            .collect();
        for (at, mask) in &masks {
            fields[*at] = mask;
        }
        Ok(format!("0|{tr_id}|{count:03}|{}", fields.join("^")).into_bytes())
    }

    fn decrypt(&self, payload: &str) -> Result<String, NoticeError> {
        let bytes = STANDARD.decode(payload.trim()).map_err(|_| NoticeError::Base64)?;
        let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(
            self.key.expose_secret().as_bytes(),
            self.iv.expose_secret().as_bytes(),
        )
        .map_err(|_| NoticeError::Key)?;
        let plain = cipher.decrypt_padded_vec::<Pkcs7>(&bytes).map_err(|_| NoticeError::Cipher)?;
        String::from_utf8(plain).map_err(|_| NoticeError::Cipher)
    }
}

/// All but the last two characters as stars; a name of two is hidden whole.
fn masked(text: &str) -> String {
    let count = text.chars().count();
    let hidden = if count > 4 { count - 2 } else { count };
    text.chars().enumerate().map(|(at, letter)| if at < hidden { '*' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockModeEncrypt;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz012345";
    const IV: &str = "0123456789abcdef";

    fn key() -> NoticeKey {
        NoticeKey { key: KEY.into(), iv: IV.into() }
    }

    fn sealed(plain: &str, count: usize) -> Vec<u8> {
        let cipher =
            cbc::Encryptor::<aes::Aes256>::new_from_slices(KEY.as_bytes(), IV.as_bytes()).unwrap();
        let bytes = cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes());
        format!("1|H0STCNI0|{count:03}|{}", STANDARD.encode(bytes)).into_bytes()
    }

    fn notice(name: &str) -> String {
        let mut fields = vec!["0"; FIELDS];
        (fields[0], fields[1], fields[8], fields[17]) = ("trader01", "1234567801", "005930", name);
        fields.join("^")
    }

    #[test]
    fn a_notice_is_opened_and_the_person_is_masked() {
        let opened = key().open(&sealed(&notice("김철수"), 1)).unwrap();
        let text = String::from_utf8(opened).unwrap();
        assert!(text.starts_with("0|H0STCNI0|001|******01^********01^0^"), "{text}");
        assert!(text.contains("^005930^") && text.contains("^***^"), "{text}");
        assert!(!text.contains("trader") && !text.contains("김철수"), "{text}");
        let two = format!("{}^{}", notice("A"), notice("B"));
        let text = String::from_utf8(key().open(&sealed(&two, 2)).unwrap()).unwrap();
        assert_eq!(text.matches("********01").count(), 2, "{text}");
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let frame = sealed(&notice("A"), 1);
        let wrong = NoticeKey { key: KEY.to_uppercase().into(), iv: IV.into() };
        assert_eq!(wrong.open(&frame), Err(NoticeError::Cipher));
        let short = NoticeKey { key: "abc".into(), iv: IV.into() };
        assert_eq!(short.open(&frame), Err(NoticeError::Key));
        assert_eq!(key().open(b"1|H0STCNI0|001|%%%"), Err(NoticeError::Base64));
        assert_eq!(key().open(b"0|H0STCNI0|001|AAAA"), Err(NoticeError::Frame));
        let wider = key().open(&sealed(&format!("{}^new", notice("A")), 1)).unwrap();
        assert!(wider.ends_with(b"^new"), "KIS appends fields");
        let fields = NoticeError::Fields { fields: FIELDS, count: 2 };
        assert_eq!(key().open(&sealed(&notice("A"), 2)), Err(fields));
        assert!(!format!("{:?}", key()).contains("abc"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "1\\|H0STCNI0\\|00[0-9]\\|[A-Za-z0-9+/=]{0,80}") {
            let _ = key().open(&bytes);
            let _ = key().open(text.as_bytes());
        }
    }
}
