//! The number of a securities account: eight digits and the two of its product.
//!
//! It is no key, yet it names a person: it prints masked, and only the calls that need it read it.

use std::fmt;
use std::str::FromStr;

/// An account. Prints as `******78-01`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Account {
    number: String,
    product: String,
}

/// Why a text is not an account. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an account ({digits} digits): expected eight digits and the two of its product, for \
     example 12345678-01: check KIS_ACCOUNT"
)]
pub struct AccountError {
    /// Digits found.
    pub digits: usize,
}

impl Account {
    /// The account written as `12345678-01`, `1234567801`, or as eight digits alone, whose product
    /// is then `product` (`01` is the general account).
    ///
    /// # Errors
    /// [`AccountError`] for any other text.
    pub fn parse(text: &str, product: &str) -> Result<Self, AccountError> {
        let text = text.trim();
        let (number, own) = match text.split_once('-') {
            Some((number, own)) => (number, own),
            None if text.len() == 10 && text.is_ascii() => text.split_at(8),
            None => (text, product.trim()),
        };
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if digits(number, 8) && digits(own, 2) {
            Ok(Self { number: number.to_owned(), product: own.to_owned() })
        } else {
            Err(AccountError { digits: text.bytes().filter(u8::is_ascii_digit).count() })
        }
    }

    /// The first eight digits, `CANO`.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The last two digits, `ACNT_PRDT_CD`.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }
}

impl FromStr for Account {
    type Err = AccountError;

    /// As [`Account::parse`] with the general product `01`.
    fn from_str(text: &str) -> Result<Self, AccountError> {
        Self::parse(text, "01")
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "******{}-{}", &self.number[6..], self.product)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_people_write() {
        for text in ["12345678-01", "1234567801", "12345678", " 12345678-01\n"] {
            let account: Account = text.parse().unwrap();
            assert_eq!((account.number(), account.product()), ("12345678", "01"), "{text}");
        }
        assert_eq!(Account::parse("12345678", "22").unwrap().product(), "22");
        assert_eq!(Account::parse("12345678-29", "22").unwrap().product(), "29");
        for text in ["", "1234567", "12345678-1", "1234-567801", "123456789", "12345678-01-01"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
        assert!(Account::parse("12345678", "").is_err());
    }

    #[test]
    fn it_prints_masked() {
        let account: Account = "12345678-01".parse().unwrap();
        assert_eq!(format!("{account} {account:?}"), "******78-01 Account(******78-01)");
        let error = "1234567890-01".parse::<Account>().unwrap_err().to_string();
        assert!(!error.contains("1234567890") && error.contains("KIS_ACCOUNT"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_an_account_or_an_error(text in "[-0-9가 ]{0,14}|\\PC{0,14}") {
            if let Ok(account) = text.parse::<Account>() {
                prop_assert_eq!(account.number().len() + account.product().len(), 10);
            }
        }
    }
}
