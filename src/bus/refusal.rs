//! What a refusal of Redis means, and what helps against it.

/// Codes that an error of Redis carries, with what they mean for whoever runs it.
const CODES: &[(&str, &str)] = &[
    ("NOAUTH", "it asks for a password: put one into REDIS_URL, redis://user:password@host:port"),
    ("WRONGPASS", "user or password are wrong: check REDIS_URL"),
    ("NOPERM", "the user lacks a right, see docs/outages.md"),
    ("READONLY", "this is a replica that takes no writes: point REDIS_URL at the master"),
    ("OOM", "its memory is used up: raise maxmemory, or lower redis.stream_maxlen"),
    ("LOADING", "it is reading its data after a start and will be there soon"),
    ("MASTERDOWN", "this is a replica that has lost its master"),
    ("MISCONF", "it cannot save to its disk and takes no writes: look at its log"),
    ("NOREPLICAS", "it takes no writes without its replicas"),
    ("BUSY", "a script of somebody's has been running in it for too long"),
    ("CLUSTERDOWN", "the cluster does not serve this key"),
];

/// What a script's command answers where the bare one would say NOPERM.
const NO_RIGHT: &str = "The user executing the script can't";

/// The error text of Redis or its client with the meaning of its code, when it carries one.
pub(super) fn explain(details: &str) -> String {
    let words = || details.split(|c: char| !c.is_ascii_uppercase());
    let carries = |code: &str| {
        words().any(|word| word == code) || (code == "NOPERM" && details.contains(NO_RIGHT))
    };
    match CODES.iter().find(|(code, _)| carries(code)) {
        Some((code, meaning)) => format!("{code}: {meaning} ({details})"),
        None if details.is_empty() => "no answer".to_owned(),
        None => details.to_owned(),
    }
}

/// The same of a host of the channel layer, which has settings and rights of its own.
pub(super) fn explain_layer(details: &str) -> String {
    let text = explain(details);
    text.replace("REDIS_URL", "channels.hosts").replace("docs/outages.md", "docs/channels.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_with_what_to_do() {
        for (details, begins) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS: user or"),
            ("NOAUTH Authentication required.", "NOAUTH: it asks for a password"),
            (
                "READONLY You can't write against a read only replica. script: f, on @s:1.",
                "READONLY: ",
            ),
            (
                "ERR Error running script: @user_script:12: -OOM command not allowed",
                "OOM: its memory",
            ),
            ("LOADING Redis is loading the dataset in memory", "LOADING: it is reading"),
        ] {
            let text = explain(details);
            assert!(text.starts_with(begins) && text.contains(details), "{text}");
        }
        assert_eq!(
            explain("Connection refused (os error 111)"),
            "Connection refused (os error 111)"
        );
        let text = explain_layer("WRONGPASS invalid username-password pair");
        assert!(text.contains("check channels.hosts"), "{text}");
        assert_eq!(explain("DOOMED"), "DOOMED", "a code is a word of its own");
        assert_eq!(explain(""), "no answer");
    }
}
