//! Names: ids of runs, keys of raw answers, accounts without their numbers.

use sha2::{Digest, Sha256};

use crate::market::{EventTime, SessionDay};

/// Stands where a personal number stood.
const MASK: &str = "***";
/// Members of KIS's account answers that tell of a person.
const PERSONAL: &[&str] = &["CANO", "cano", "ctac_tlno", "inqr_ip_addr", "ordr_empno"];

fn short_hash(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(digits);
    text
}

/// The id of the run of `job` that was planned for `planned`: the same run has the same id, so that
/// doing it again writes the same rows and objects.
#[must_use]
pub fn run_id(job: &str, planned: EventTime) -> String {
    short_hash(&["run", job, &planned.micros().to_string()], 24)
}

/// What stands for an account in rows and keys: a pseudonym that tells accounts apart and does not
/// show their number.
#[must_use]
pub fn account_hash(account: &str) -> String {
    short_hash(&["account", account], 12)
}

/// Where the `number`th raw answer of a run lies: `subject` is an issue or an
/// [account's pseudonym](account_hash).
#[must_use]
pub fn raw_key(day: SessionDay, endpoint: &str, subject: &str, run: &str, number: usize) -> String {
    format!("kis/rest/dt={day}/{endpoint}/{subject}/{run}-{number}.json.zst")
}

/// Where a run's log lies.
#[must_use]
pub fn log_key(run: &str) -> String {
    format!("kis/rest/runs/{run}.json")
}

/// An account answer as it may be kept: personal members and the account's digits are masked.
#[must_use]
pub fn mask_account(body: &[u8], account_number: &str) -> Vec<u8> {
    let text = match serde_json::from_slice::<serde_json::Value>(body) {
        // A bare number is text: written anew it could look otherwise.
        Ok(mut value) if value.is_object() || value.is_array() => {
            mask_members(&mut value);
            value.to_string()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    mask_number(&text, account_number).into_bytes()
}

fn mask_members(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member {
                    serde_json::Value::String(text) if PERSONAL.contains(&name.as_str()) => {
                        if !text.trim().is_empty() {
                            MASK.clone_into(text);
                        }
                    }
                    member => mask_members(member),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(mask_members),
        _ => {}
    }
}

/// `text` with `number` masked wherever it stands as a number of its own, or with two further
/// digits (the account's product) behind it.
fn mask_number(text: &str, number: &str) -> String {
    if number.is_empty() {
        return text.to_owned();
    }
    let mut masked = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, None);
    while let Some(at) = rest.find(number) {
        let (head, found) = rest.split_at(at);
        let behind = &found[number.len()..];
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        let opens = head.chars().next_back().or(before).is_none_or(|c| !c.is_ascii_digit());
        masked.push_str(head);
        let hides = opens && (digits == 0 || digits == 2);
        masked.push_str(if hides { MASK } else { number });
        before = number.chars().next_back();
        rest = behind;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_is_known_by_job_and_planned_time() {
        let planned = EventTime::from_micros(1_722_816_000_000_000);
        let id = run_id("collect", planned);
        assert_eq!(id.len(), 24);
        assert_eq!(id, run_id("collect", planned));
        assert_ne!(id, run_id("collect", planned.plus_micros(1)));
        assert_ne!(id, run_id("collect2", planned));
        let day = "2024-08-05".parse().unwrap();
        let key = raw_key(day, "inquire_price", "005930", &id, 3);
        assert_eq!(key, format!("kis/rest/dt=2024-08-05/inquire_price/005930/{id}-3.json.zst"));
    }

    #[test]
    fn personal_members_and_the_account_are_masked() {
        let body = r#"{"CANO":"12345678","output1":[{"odno":"0000012345","ctac_tlno":"01012345678","note":"12345678-01, 1234567801"}],"sum":"912345678"}"#;
        let masked = String::from_utf8(mask_account(body.as_bytes(), "12345678")).unwrap();
        assert_eq!(
            masked,
            r#"{"CANO":"***","output1":[{"odno":"0000012345","ctac_tlno":"***","note":"***-01, ***01"}],"sum":"912345678"}"#
        );
        assert_eq!(mask_account(b"<12345678>", "12345678"), b"<***>");
        assert_eq!(account_hash("1234567801").len(), 12);
    }

    proptest! {
        #[test]
        fn a_number_of_its_own_never_stays(text in "[a-z ]{0,9}", tail in "([a-z ][0-9]{0,3})?") {
            let body = format!("{text}87654321{tail}");
            let kept = mask_account(body.as_bytes(), "87654321");
            prop_assert!(!String::from_utf8(kept).unwrap().contains("87654321"));
        }

        #[test]
        fn nothing_else_is_touched(text in "\\PC{0,60}") {
            prop_assert_eq!(mask_number(&text, "99999999999999"), text);
        }
    }
}
