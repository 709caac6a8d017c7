//! Control messages of the WebSocket session: acknowledgements and PINGPONG.
//!
//! A control message is JSON and begins with `{`. It is not journaled and never stored: an
//! acknowledgement carries the key and the initialisation vector of encrypted feeds.

use secrecy::SecretString;
use serde_json::Value;

/// Longest text of an acknowledgement that is kept, characters. KIS says at most 80 bytes.
const MESSAGE_CHARS: usize = 120;

/// A control message.
#[derive(Debug)]
pub enum Control {
    /// The server asks for a sign of life; the same text is the answer.
    PingPong,
    /// An answer to a subscription.
    Ack(Ack),
    /// JSON of another shape, or no JSON; why.
    Unknown(String),
}

/// An answer to a subscription.
#[derive(Debug)]
pub struct Ack {
    /// TR id of the subscription; empty when the answer is about the session.
    pub tr_id: String,
    /// Its key; empty when the answer is about the session.
    pub tr_key: String,
    /// Whether it was granted, and if not, why.
    pub code: AckCode,
    /// The code as received, `OPSP0000`.
    pub msg_cd: String,
    /// KIS's text, never with an approval key in it.
    pub message: String,
    /// Key of an encrypted feed.
    pub key: Option<SecretString>,
    /// Initialisation vector of an encrypted feed.
    pub iv: Option<SecretString>,
}

/// What an acknowledgement says (`OPSP` codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Subscribed.
    Subscribed,
    /// No longer subscribed.
    Unsubscribed,
    /// Was subscribed before; harmless.
    AlreadySubscribed,
    /// Was not subscribed.
    NotSubscribed,
    /// Trouble inside KIS.
    ServerTrouble,
    /// The session has no free registration.
    LimitReached,
    /// The app key is not known.
    InvalidAppKey,
    /// The approval key is unknown or too old.
    InvalidApproval,
    /// The HTS id is wrong.
    InvalidHtsId,
    /// The message was not what KIS expects, or the feed does not exist for it.
    InvalidRequest,
    /// Another session uses the app key, perhaps our own last one.
    AppKeyInUse,
    /// A code that is not documented.
    Other,
}

impl AckCode {
    /// What the code means.
    #[must_use]
    pub fn from_msg_cd(code: &str) -> Self {
        match code {
            "OPSP0000" => Self::Subscribed,
            "OPSP0001" => Self::Unsubscribed,
            "OPSP0002" => Self::AlreadySubscribed,
            "OPSP0003" => Self::NotSubscribed,
            "OPSP0007" | "OPSP0009" | "OPSP9993" => Self::ServerTrouble,
            "OPSP0008" => Self::LimitReached,
            "OPSP0010" | "OPSP9994" => Self::InvalidAppKey,
            "OPSP0011" => Self::InvalidApproval,
            "OPSP0017" => Self::InvalidHtsId,
            "OPSP8991" | "OPSP8992" | "OPSP8993" | "OPSP8994" | "OPSP8995" | "OPSP8997"
            | "OPSP8998" | "OPSP9990" | "OPSP9991" | "OPSP9992" | "OPSP9995" | "OPSP9996"
            | "OPSP9997" | "OPSP9998" | "OPSP9999" => Self::InvalidRequest,
            "OPSP8996" => Self::AppKeyInUse,
            _ => Self::Other,
        }
    }

    /// Whether the registration stands.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Subscribed | Self::AlreadySubscribed)
    }

    /// Whether the same request may succeed later: after a pause, or with a new approval key.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::ServerTrouble | Self::AppKeyInUse | Self::InvalidApproval)
    }

    /// Whether no retry will help until the settings change.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::InvalidAppKey | Self::InvalidHtsId | Self::InvalidRequest)
    }
}

/// What a control message says. Never fails: what is not understood is [`Control::Unknown`].
#[must_use]
pub fn parse(text: &str) -> Control {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Control::Unknown(format!("no JSON: {error}")),
    };
    let header = &value["header"];
    let tr_id = header["tr_id"].as_str().unwrap_or_default();
    if tr_id == "PINGPONG" {
        return Control::PingPong;
    }
    let body = &value["body"];
    let Some(msg_cd) = body["msg_cd"].as_str() else {
        return Control::Unknown(format!("tr_id \"{}\" without body.msg_cd", cut(tr_id)));
    };
    let code = AckCode::from_msg_cd(msg_cd);
    let secret = |name: &str| body["output"][name].as_str().map(SecretString::from);
    Control::Ack(Ack {
        tr_id: named(tr_id),
        tr_key: named(header["tr_key"].as_str().unwrap_or_default()),
        code,
        msg_cd: cut(msg_cd),
        message: message(code, body["msg1"].as_str().unwrap_or_default()),
        key: secret("key"),
        iv: secret("iv"),
    })
}

/// KIS writes `(null)` for nothing.
fn named(text: &str) -> String {
    let text = text.trim();
    if text == "(null)" { String::new() } else { cut(text) }
}

fn message(code: AckCode, text: &str) -> String {
    // "invalid approval : NOT FOUND" may be followed by the key itself.
    let text = match (code, text.find("NOT FOUND")) {
        (AckCode::InvalidApproval, Some(at)) => &text[..at + "NOT FOUND".len()],
        (AckCode::InvalidApproval, None) => "invalid approval",
        _ => text,
    };
    cut(text)
}

fn cut(text: &str) -> String {
    text.trim().chars().take(MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn ack(text: &str) -> Ack {
        match parse(text) {
            Control::Ack(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_granted_subscription_hides_its_key() {
        let ack = ack(
            r#"{"header":{"tr_id":"H0STCNT0","tr_key":"005930","encrypt":"N"},"body":{"rt_cd":"0","msg_cd":"OPSP0000","msg1":"SUBSCRIBE SUCCESS","output":{"iv":"0f2d4b6987a5c3e1","key":"ab12cd34ef56ab78cd90ef12ab34cd56"}}}"#,
        );
        assert_eq!((ack.tr_id.as_str(), ack.tr_key.as_str()), ("H0STCNT0", "005930"));
        assert!(ack.code.is_success() && !ack.code.is_terminal());
        assert_eq!(ack.iv.as_ref().unwrap().expose_secret(), "0f2d4b6987a5c3e1");
        assert!(!format!("{ack:?}").contains("ab12cd34"));
    }

    #[test]
    fn refusals() {
        let in_use = ack(
            r#"{"header":{"tr_id":"(null)","tr_key":"","encrypt":"N"},"body":{"rt_cd":"9","msg_cd":"OPSP8996","msg1":"ALREADY IN USE appkey"}}"#,
        );
        assert_eq!((in_use.tr_id.as_str(), in_use.code), ("", AckCode::AppKeyInUse));
        assert!(in_use.code.is_retryable());
        let approval = ack(
            r#"{"header":{"tr_id":"H0STCNT0","tr_key":"005930"},"body":{"rt_cd":"1","msg_cd":"OPSP0011","msg1":"invalid approval : NOT FOUND 3f6d1c52-0000"}}"#,
        );
        assert_eq!(approval.message, "invalid approval : NOT FOUND");
        assert!(approval.code.is_retryable());
        assert!(AckCode::from_msg_cd("OPSP8991").is_terminal());
        assert_eq!(AckCode::from_msg_cd("OPSP0008"), AckCode::LimitReached);
        assert_eq!(AckCode::from_msg_cd("?"), AckCode::Other);
    }

    #[test]
    fn pingpong_and_noise() {
        let ping = r#"{"header":{"tr_id":"PINGPONG","datetime":"20260915101530"}}"#;
        assert!(matches!(parse(ping), Control::PingPong));
        for noise in
            ["{", "{}", "[]", "{\"header\":{\"tr_id\":\"X\"}}", "{\"body\":{\"msg_cd\":1}}"]
        {
            assert!(matches!(parse(noise), Control::Unknown(_)), "{noise}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\{.{0,80}") {
            let _ = parse(&text);
        }
    }
}
