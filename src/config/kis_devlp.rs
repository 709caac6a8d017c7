//! The vendor's `kis_devlp.yaml`: a flat file that users of the official samples already have.
//!
//! It holds the keys, accounts and addresses of both environments. Which half is taken is decided
//! by `kis.env`; where that is not set, by the half that is filled in. The template's placeholders
//! are Korean words, so a key that is not ASCII counts as not filled in. Values may be unquoted:
//! every scalar is read as the text it is, `01` as `01`.

use std::collections::BTreeMap;
use std::path::Path;

use super::problem::Problem;

/// What the file says about one environment; only what is filled in.
pub type Devlp = Vec<(&'static str, &'static str, String)>;

const REAL: [(&str, &str); 4] = [
    ("kis.app_key", "my_app"),
    ("kis.app_secret", "my_sec"),
    ("kis.base_url", "prod"),
    ("kis.ws_url", "ops"),
];
const MOCK: [(&str, &str); 4] = [
    ("kis.app_key", "paper_app"),
    ("kis.app_secret", "paper_sec"),
    ("kis.base_url", "vps"),
    ("kis.ws_url", "vops"),
];

/// Reads the file. The rows are (setting, key in the file, text); `env` is the environment if one
/// is set elsewhere, otherwise a row for `kis.env` tells which was found.
///
/// # Errors
/// [`Problem::Source`] when the file cannot be read or is not a flat YAML mapping.
pub fn read(path: &Path, env: Option<&str>) -> Result<Devlp, Box<Problem>> {
    let problem = |line, message: &str| {
        let (path, message) = (path.to_owned(), message.to_owned());
        Box::new(Problem::Source { path, line, message })
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| problem(0, &format!("cannot read this kis_devlp.yaml: {error}")))?;
    parse(&text, env).map_err(|line| {
        problem(line, "not a kis_devlp.yaml: expected one `key: text` a line (my_app, my_sec, …)")
    })
}

/// The rows of `text`, or the line that is wrong. The parser's own message could quote a secret.
fn parse(text: &str, env: Option<&str>) -> Result<Devlp, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: BTreeMap<String, Option<String>> = serde_saphyr::from_str(text).map_err(|error| {
        error.location().map_or(0, |at| usize::try_from(at.line()).unwrap_or(0))
    })?;
    let value = |key: &str| {
        let text = file.get(key)?.as_deref()?.trim();
        (!text.is_empty() && text.is_ascii()).then(|| text.to_owned())
    };
    let only_mock = value("my_app").is_none() && value("paper_app").is_some();
    let mock = env.map_or(only_mock, |env| env.eq_ignore_ascii_case("mock"));
    let mut rows = Devlp::new();
    if env.is_none() && mock {
        rows.push(("kis.env", "paper_app", "mock".into()));
    }
    for (setting, key) in if mock { MOCK } else { REAL } {
        if let Some(text) = value(key) {
            rows.push((setting, key, text));
        }
    }
    if let Some(text) = value("my_htsid") {
        rows.push(("kis.hts_id", "my_htsid", text));
    }
    let account_key = if mock { "my_paper_stock" } else { "my_acct_stock" };
    if let Some(account) = value(account_key) {
        let product = value("my_prod").unwrap_or_else(|| "01".into());
        rows.push(("kis.account", account_key, format!("{account}-{product}")));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "\
# 홈페이지에서 API서비스 신청시 받은 Appkey, Appsecret 값 설정
my_app: \"PSreal\"
my_sec: 'c2VjcmV0/+=='
paper_app: PSpaper
paper_sec: paper-secret
my_htsid: \"사용자 HTS ID\"
my_acct_stock: 01234567
my_paper_stock: \"50000000\"
my_prod: 01
prod: \"https://127.0.0.1:9443\"
ops: \"ws://127.0.0.1:21000\"
vps: \"https://127.0.0.1:29443\"
vops: \"ws://127.0.0.1:31000\"
my_token: \"\"
my_agent: Mozilla/5.0
";

    fn get<'a>(rows: &'a Devlp, setting: &str) -> Option<&'a str> {
        rows.iter().find(|(path, ..)| *path == setting).map(|(.., text)| text.as_str())
    }

    #[test]
    fn the_half_of_the_environment_is_taken() {
        let real = parse(FILE, None).unwrap();
        assert_eq!(get(&real, "kis.app_key"), Some("PSreal"));
        assert_eq!(get(&real, "kis.app_secret"), Some("c2VjcmV0/+=="));
        assert_eq!(get(&real, "kis.account"), Some("01234567-01"));
        assert_eq!(get(&real, "kis.ws_url"), Some("ws://127.0.0.1:21000"));
        assert_eq!(get(&real, "kis.env"), None);
        let mock = parse(FILE, Some("mock")).unwrap();
        assert_eq!(get(&mock, "kis.app_key"), Some("PSpaper"));
        assert_eq!(get(&mock, "kis.account"), Some("50000000-01"));
        assert_eq!(get(&mock, "kis.base_url"), Some("https://127.0.0.1:29443"));
    }

    #[test]
    fn the_hts_id_is_of_both_environments() {
        for env in ["real", "mock"] {
            let rows = parse("my_app: PS\npaper_app: PS\nmy_htsid: hong123\n", Some(env)).unwrap();
            assert_eq!(get(&rows, "kis.hts_id"), Some("hong123"));
        }
        let placeholder = parse("my_app: PS\nmy_htsid: \"사용자 HTS ID\"\n", None).unwrap();
        assert_eq!(get(&placeholder, "kis.hts_id"), None);
    }

    #[test]
    fn placeholders_are_not_values() {
        let rows = parse("my_app: \"앱키\"\npaper_app: PSpaper\nmy_token:\n", None).unwrap();
        assert_eq!(get(&rows, "kis.env"), Some("mock"));
        assert_eq!(get(&rows, "kis.app_key"), Some("PSpaper"));
        assert!(parse("", None).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_flat_mapping_is_refused_with_its_line() {
        assert_eq!(parse("my_app: a\nmy_sec: [canary\n", None), Err(2));
        assert!(parse("- a\n- b\n", None).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}(\n\\PC{0,40}){0,4}") {
            let _ = parse(&text, None);
        }
    }
}
