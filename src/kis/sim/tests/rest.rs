//! REST over real sockets: refusals, header names, a taken port.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{call, options, post, start, token};
use crate::kis::sim::{SimOptions, Simulator};

#[tokio::test]
async fn rest_refuses_as_kis_does() {
    let sim = start(options()).await;
    for (grant, secret, code) in [
        ("client_credentials", "x", "EGW00105"),
        ("", "SECRET", "EGW00115"),
        ("authorization_code", "SECRET", "EGW00116"),
    ] {
        let token = json!({ "grant_type": grant, "appkey": "KEY", "appsecret": secret });
        let approval = json!({ "grant_type": grant, "appkey": "KEY", "secretkey": secret });
        for (path, body) in [("/oauth2/tokenP", token), ("/oauth2/Approval", approval)] {
            let (status, answer) = post(&sim, path, body).await;
            assert_eq!((status, &answer["error_code"]), (403, &json!(code)), "{path}");
        }
    }
    let token = token(&sim).await;
    let price = "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930";
    for (token, tr_id, path, status, code) in [
        ("x", "FHKST01010100", price, 500, "EGW00121"),
        ("", "FHKST01010100", price, 500, "EGW00122"),
        (&token, "FHKST99999999", price, 200, "OPSQ0002"),
        (&token, "FHKST01010100", "inquire-price?FID_INPUT_ISCD=005930", 200, "OPSQ2001"),
        (
            &token,
            "FHKST01010100",
            "inquire-price?FID_COND_MRKT_DIV_CODE=Z&FID_INPUT_ISCD=005930",
            200,
            "OPSQ2001",
        ),
        (
            &token,
            "FHKST01010100",
            "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=999999",
            200,
            "APBK0656",
        ),
        (
            &token,
            "FHKST01010100",
            "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=0059300059300",
            200,
            "OPSQ2002",
        ),
        (&token, "FHKST01010100", price, 200, "MCA00000"),
        (
            &token,
            "FHPUP02100000",
            "inquire-index-price?FID_COND_MRKT_DIV_CODE=U&FID_INPUT_ISCD=0001",
            200,
            "MCA00000",
        ),
        (
            &token,
            "CTCA0903R",
            "chk-holiday?BASS_DT=20260919&CTX_AREA_NK=&CTX_AREA_FK=",
            200,
            "KIOK0500",
        ),
        (
            &token,
            "FHKST01010400",
            "inquire-daily-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930&FID_PERIOD_DIV_CODE=D&FID_ORG_ADJ_PRC=0",
            200,
            "MCA00000",
        ),
        (
            &token,
            "FHKST03010100",
            "inquire-daily-itemchartprice?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930&FID_INPUT_DATE_1=20260101&FID_INPUT_DATE_2=20260930&FID_PERIOD_DIV_CODE=D&FID_ORG_ADJ_PRC=0",
            200,
            "MCA00000",
        ),
    ] {
        let (got, answer) = call(&sim, token, tr_id, path).await;
        assert_eq!((got, answer["msg_cd"].as_str().unwrap()), (status, code), "{path}");
    }
    let (status, _) = call(&sim, &token, "FHKST01010100", "inquire-nothing").await;
    assert_eq!(status, 404);
    let hash = post(&sim, "/uapi/hashkey", json!({ "CANO": "50000001" })).await.1;
    assert_eq!(hash["HASH"].as_str().unwrap().len(), 64);
    let revoke = json!({ "appkey": "KEY", "appsecret": "SECRET", "token": token });
    assert_eq!(post(&sim, "/oauth2/revokeP", revoke).await.1["code"], 200);
    assert_eq!(call(&sim, &token, "FHKST01010100", price).await.1["msg_cd"], "EGW00121");
    sim.stop().await;
}

#[tokio::test]
async fn kis_header_names_are_lower_case_and_standard_ones_are_not() {
    let sim = start(options()).await;
    let token = token(&sim).await;
    let mut stream = TcpStream::connect(sim.rest_addr).await.unwrap();
    let request = format!(
        "GET /uapi/domestic-stock/v1/quotations/inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930 HTTP/1.1\r\n\
         Host: x\r\nConnection: close\r\nauthorization: Bearer {token}\r\nappkey: KEY\r\nappsecret: SECRET\r\ntr_id: FHKST01010100\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    for name in [
        "\r\nContent-Type: ",
        "\r\nContent-Length: ",
        "\r\ntr_id: FHKST01010100\r\n",
        "\r\ntr_cont: ",
        "\r\ngt_uid: ",
    ] {
        assert!(answer.contains(name), "{name} in {answer}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let sim = start(options()).await;
    let taken = Simulator::load(SimOptions { rest_listen: sim.rest_addr, ..options() }).unwrap();
    let Err(error) = taken.start().await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&sim.rest_addr.to_string()), "{error}");
    sim.stop().await;
}
