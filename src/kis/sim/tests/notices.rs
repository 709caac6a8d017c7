//! Order notices: who is sent them, that they decrypt, what they say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use serde_json::Value;

use super::client::{
    Caller, Socket, answer, approval, ask, connect, next_text, options, post, start,
};
use super::trading::{KEYS, buy, odno, revise, revision, sell};
use super::{number, shared_file};
use crate::kis::sim::notices::NoticeCipher;
use crate::kis::sim::{RunningSim, SimEnv, SimHolding, SimOptions, SimSpeed};

/// The text behind a notice's payload, with the key and vector of an acknowledgement.
fn decrypt(payload: &str, key: &str, iv: &str) -> String {
    let key: [u8; 32] = key.as_bytes().try_into().unwrap();
    let iv: [u8; 16] = iv.as_bytes().try_into().unwrap();
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&key.into(), &iv.into());
    let mut bytes = STANDARD.decode(payload).unwrap();
    String::from_utf8(cipher.decrypt_padded::<Pkcs7>(&mut bytes).unwrap().to_vec()).unwrap()
}

/// Subscribes to notices; gives the session, its key and its vector.
async fn subscribed(sim: &RunningSim, tr_id: &str, hts_id: &str) -> (Socket, String, String) {
    let key = approval(sim).await;
    let mut socket = connect(sim).await;
    ask(&mut socket, &key, "1", tr_id, hts_id).await;
    let ack = answer(&mut socket).await;
    assert_eq!(ack["header"]["encrypt"], "Y", "{ack}");
    assert_eq!(ack["body"]["msg_cd"], "OPSP0000");
    let text = |name: &str| ack["body"]["output"][name].as_str().unwrap().to_owned();
    (socket, text("key"), text("iv"))
}

/// The fields of the next notice.
async fn next(socket: &mut Socket, tr_id: &str, key: &str, iv: &str) -> Vec<String> {
    loop {
        let text = next_text(socket).await;
        let Some(payload) = text.strip_prefix(&format!("1|{tr_id}|001|")) else { continue };
        let fields: Vec<String> = decrypt(payload, key, iv).split('^').map(str::to_owned).collect();
        assert_eq!(fields.len(), 26, "{fields:?}");
        return fields;
    }
}

#[test]
fn the_samples_come_out_byte_by_byte() {
    let test = "the_samples_come_out_byte_by_byte";
    let Some(path) = shared_file(test, "kis/samples/ws/H0STCNI0.key.json") else { return };
    let read = |name: &str| std::fs::read_to_string(path.with_file_name(name)).unwrap();
    let secret: Value = serde_json::from_str(&read("H0STCNI0.key.json")).unwrap();
    let text = |name: &str| secret[name].as_str().unwrap().to_owned();
    let cipher = NoticeCipher { key: text("key"), iv: text("iv") };
    let (plain, frames) = (read("H0STCNI0.plain.txt"), read("H0STCNI0.txt"));
    for (plain, frame) in plain.lines().zip(frames.lines()) {
        let payload = frame.splitn(4, '|').nth(3).unwrap();
        assert_eq!(cipher.encrypt(plain), payload);
        assert_eq!(decrypt(payload, &cipher.key, &cipher.iv), plain);
    }
    assert_eq!(plain.lines().count(), 5);
}

fn with_shares() -> SimOptions {
    let held =
        SimHolding { symbol: "000660".parse().unwrap(), quantity: 30, average_price: 150_000 };
    SimOptions { speed: Some(SimSpeed::Max), holdings: vec![held], ..options() }
}

#[tokio::test]
async fn an_order_is_told_from_its_receipt_to_its_fill() {
    let sim = start(SimOptions { hts_id: Some("htsuser1".into()), ..with_shares() }).await;
    let (mut socket, key, iv) = subscribed(&sim, "H0STCNI0", "htsuser1").await;
    let caller = Caller::new(&sim, KEYS).await;
    let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", "005930")];
    let price = caller.get("quotations/inquire-price", "FHKST01010100", &query).await;
    let won = |name: &str| number(price.body["output"][name].as_str().unwrap());
    let (upper, lower) = (won("stck_mxpr"), won("stck_llam"));

    let bought = odno(&buy(&caller, "005930", 10, upper).await);
    let resting = odno(&buy(&caller, "005930", 4, lower).await);
    let amended = odno(&revise(&caller, &revision("01", &resting, Some(1), lower)).await);
    let cancelled = odno(&revise(&caller, &revision("02", &resting, None, 0)).await);
    let off_tick = odno(&buy(&caller, "005930", 3, upper + 1).await);
    let sold = odno(&sell(&caller, "000660", 2, 0).await);
    let mut got = Vec::new();
    for _ in 0..6 {
        got.push(next(&mut socket, "H0STCNI0", &key, &iv).await);
    }
    // Order, original, side, revision, kind, quantity, refused, filled, accepted, ordered.
    let shown = |n: &[String]| [2, 3, 4, 5, 6, 9, 12, 13, 14, 16].map(|at| n[at].clone());
    let expected = [
        [&bought, "", "02", "0", "00", "0000000010", "0", "1", "1", "000000010"],
        [&resting, "", "02", "0", "00", "0000000004", "0", "1", "1", "000000004"],
        [&amended, &resting, "02", "1", "00", "0000000001", "0", "1", "2", "000000001"],
        [&cancelled, &resting, "02", "2", "00", "0000000003", "0", "1", "2", "000000003"],
        [&off_tick, "", "02", "0", "00", "0000000003", "1", "1", "1", "000000003"],
        [&sold, "", "01", "0", "01", "0000000002", "0", "1", "1", "000000002"],
    ];
    for (notice, expected) in got.iter().zip(expected) {
        assert_eq!(shown(notice), expected);
        assert_eq!((notice[0].as_str(), notice[1].as_str()), ("htsuser1", "5000000101"));
    }
    assert_eq!((got[0][10].as_str(), number(&got[0][25])), (&*format!("{upper:09}"), upper));
    assert_eq!((got[5][8].as_str(), got[5][24].as_str()), ("000660", "SK하이닉스"));

    // The opening fills what is at any price.
    ask(&mut socket, &approval(&sim).await, "1", "H0STCNT0", "005930").await;
    let mut filled = [0; 2];
    while filled != [10, 2] {
        let notice = next(&mut socket, "H0STCNI0", &key, &iv).await;
        assert_eq!((notice[12].as_str(), notice[13].as_str()), ("0", "2"));
        let which = [&bought, &sold].iter().position(|number| **number == notice[2]).unwrap();
        filled[which] += number(&notice[9]);
        assert!(number(&notice[10]) <= upper || which == 1);
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_wrong_hts_id_is_refused() {
    let sim = start(SimOptions { hts_id: Some("htsuser1".into()), ..options() }).await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for (tr_id, id, code) in [
        ("H0STCNI0", "other", "OPSP0017"),
        ("H0STCNI0", "", "OPSP0017"),
        ("H0STCNI9", "htsuser1", "OPSP8991"),
    ] {
        ask(&mut socket, &key, "1", tr_id, id).await;
        let refused = answer(&mut socket).await;
        assert_eq!(refused["body"]["msg_cd"], code);
        if code == "OPSP0017" {
            assert_eq!(
                (&refused["header"]["tr_id"], &refused["body"]["rt_cd"]),
                (&"(null)".into(), &"9".into())
            );
            assert!(refused["body"].get("output").is_none());
        }
    }
    let log = sim.requests();
    let outcomes: Vec<&str> = log
        .iter()
        .filter(|record| record.endpoint == "ws:subscribe")
        .map(|record| record.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["OPSP0017", "OPSP0017", "OPSP8991"]);
    sim.stop().await;
}

#[tokio::test]
async fn without_an_hts_id_each_app_key_hears_of_its_own_orders() {
    let sim = start(SimOptions {
        env: SimEnv::Mock,
        extra_keys: vec![("OTHER".into(), "HIDDEN".into())],
        ..with_shares()
    })
    .await;
    let (mut mine, key, iv) = subscribed(&sim, "H0STCNI9", "anybody").await;
    let other = Caller::new(&sim, ("OTHER", "HIDDEN")).await;
    let caller = Caller::new(&sim, KEYS).await;
    let order = super::trading::order("000660", 1, 0);
    let theirs = odno(&other.post("trading/order-cash", "VTTC0011U", &order).await);
    let own = odno(&caller.post("trading/order-cash", "VTTC0011U", &order).await);
    assert_ne!(theirs, own);
    let notice = next(&mut mine, "H0STCNI9", &key, &iv).await;
    assert_eq!(
        (notice[0].as_str(), notice[2].as_str(), notice[15].as_str()),
        ("anybody", &*own, "00950")
    );
    // A second app key may have a session of its own at the same time.
    let body = serde_json::json!({ "grant_type": "client_credentials", "appkey": "OTHER", "secretkey": "HIDDEN" });
    let approval = post(&sim, "/oauth2/Approval", body).await.1;
    let mut second = connect(&sim).await;
    ask(&mut second, approval["approval_key"].as_str().unwrap(), "1", "H0STCNT0", "005930").await;
    assert_eq!(answer(&mut second).await["body"]["msg_cd"], "OPSP0000");
    sim.stop().await;
}
