//! The harness keeps its own promises: otherwise what other tests show is worth little.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::{
    self, Daemon, MariaDb, Process, RedisServer, Reply, await_until, free_port, http, http_get,
    skip, temp_dir, wait_until,
};

const SOON: Duration = Duration::from_secs(10);

fn panic_text(action: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().expect("with a formatted text")
}

#[test]
fn a_port_is_given_out_once_and_can_be_bound() {
    let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
    let distinct: std::collections::BTreeSet<u16> = ports.iter().copied().collect();
    assert_eq!(distinct.len(), ports.len());
    for port in ports {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    }
}

#[tokio::test]
async fn waiting_ends_with_the_condition_or_names_it() {
    let looks = AtomicU32::new(0);
    await_until(SOON, || async { looks.fetch_add(1, Ordering::Relaxed) == 2 }, "third look").await;
    assert_eq!(looks.load(Ordering::Relaxed), 3);

    let never = tokio::spawn(async {
        await_until(Duration::from_millis(30), || async { false }, "pigs fly").await;
    });
    let panic = never.await.expect_err("it panics").into_panic();
    let text = panic.downcast_ref::<String>().expect("with a formatted text");
    assert!(text.contains("pigs fly"), "{text}");

    // A look that hangs is cut off too.
    let hangs = tokio::spawn(async {
        await_until(Duration::from_millis(30), std::future::pending, "an answer").await;
    });
    assert!(hangs.await.is_err());
}

#[test]
fn a_skip_is_named_and_recorded() {
    let line = support::skip::line("all::bus::reconnects::{{closure}}::{{closure}}", "no server");
    assert_eq!(line, "SKIPPED bus::reconnects: no server");
    let dir = temp_dir();
    let log = dir.path().join("skipped");
    support::skip::record("SKIPPED a: b", Some(log.clone().into()));
    support::skip::record("SKIPPED c: d", Some(log.clone().into()));
    let text = std::fs::read_to_string(log).expect("the log was written");
    assert_eq!(text, "SKIPPED a: b\nSKIPPED c: d\n");
}

#[test]
fn a_child_is_ended_by_signal_and_shows_its_log() {
    let dir = temp_dir();
    let log = dir.path().join("log");
    let script = "trap 'kill $!; echo bye; exit 7' TERM; sleep 600 & echo up; wait";
    let mut child = Process::spawn("sh", Command::new("sh").args(["-c", script]), &log);
    wait_until(SOON, || child.log().contains("up"), "its first line");
    child.terminate();
    assert_eq!(child.wait_exit(SOON).code(), Some(7));
    assert!(child.tail().ends_with("up\nbye\n---"), "{}", child.tail());

    let mut child = Process::spawn("cat", Command::new("sh").args(["-c", "exit 3"]), &log);
    let text = panic_text(|| child.wait_ready(SOON, || false));
    assert!(text.contains("ended before it was ready: exit status: 3"), "{text}");
}

#[test]
fn dropping_a_child_ends_it() {
    let dir = temp_dir();
    let command = &mut Command::new("sleep");
    let child = Process::spawn("sleep", command.arg("600"), &dir.path().join("log"));
    let entry = std::path::PathBuf::from(format!("/proc/{}", child.pid()));
    assert!(entry.exists());
    drop(child);
    assert!(!entry.exists());
}

#[test]
fn the_daemon_gets_its_own_folder_and_nothing_of_our_environment() {
    let dir = temp_dir();
    let setup = Daemon::setup().args(["--help"]).env("BONGSU_WRITES", "off").dir(dir.path());
    let mut daemon = setup.start();
    assert!(daemon.wait_exit(SOON).success(), "{}", daemon.process().tail());
    assert_eq!(daemon.dir(), dir.path());
    assert!(dir.path().join("bongsu.log").exists());
    let address = daemon.address();
    daemon.restart();
    assert_eq!(daemon.address(), address);
    daemon.kill9();
}

#[test]
fn a_request_goes_out_whole_and_its_answer_is_unframed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let answers: [&[u8]; 2] = [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfeed",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    ];
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            while !head.ends_with("\r\n\r\n") {
                std::io::BufRead::read_line(&mut reader, &mut head).expect("a line");
            }
            heads.push(head);
            stream.write_all(answer).expect("the caller still listens");
        }
        heads
    });
    assert_eq!(http_get(address, "/readyz").expect("an answer"), (503, "feed".to_owned()));
    let token = [("authorization", "Bearer x")];
    let response = http::request(address, "POST", "/v1", &token, "").expect("an answer");
    assert_eq!(response.body, "abc0123456789");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let heads = server.join().expect("the server ends");
    assert!(heads[0].starts_with("GET /readyz HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[1].contains("authorization: Bearer x\r\n"), "{}", heads[1]);
}

#[test]
fn a_broken_answer_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort";
    assert!(http::parse(cut).unwrap_err().to_string().contains("cut short"));
    assert!(http::parse(b"garbage").is_err());
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc\r\n";
    assert!(http::parse(chunk).is_err());
    assert!(http_get(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), "/").is_err());
}

#[test]
fn replies_of_every_kind_are_read() {
    let mut input = BufReader::new(&b"*5\r\n+OK\r\n-ERR no\r\n:-3\r\n$4\r\na\r\nb\r\n$-1\r\n"[..]);
    let reply = support::redis::read_reply(&mut input).expect("a reply");
    let expected = Reply::List(vec![
        Reply::Status("OK".into()),
        Reply::Error("ERR no".into()),
        Reply::Integer(-3),
        Reply::Text("a\r\nb".into()),
        Reply::Nil,
    ]);
    assert_eq!(reply, expected);
    for broken in ["", "?\r\n", "$5\r\nab\r\n", ":x\r\n", "*2\r\n+OK\r\n"] {
        assert!(support::redis::read_reply(&mut BufReader::new(broken.as_bytes())).is_err());
    }
}

#[test]
fn redis_keeps_what_it_acknowledged_over_a_kill() {
    let Some(mut redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    assert_eq!(redis.command(&["PING"]), Reply::Status("PONG".into()));
    assert_eq!(redis.command(&["SET", "봉수", "불"]), Reply::Status("OK".into()));
    redis.kill9();
    assert!(!redis.is_up());
    redis.restart();
    assert_eq!(redis.command(&["GET", "봉수"]), Reply::Text("불".into()));
    redis.stop();
    assert!(!redis.is_up());
    assert!(redis.dir().join("appendonlydir").is_dir());
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
}

#[test]
fn redis_takes_further_arguments() {
    let Some(redis) = RedisServer::start_with(&["--requirepass", "beacon"]) else {
        skip!("redis-server is not installed")
    };
    let Reply::Error(text) = redis.command(&["GET", "a"]) else { panic!("it asks for a password") };
    assert!(text.starts_with("NOAUTH"), "{text}");
}

#[test]
fn mariadb_keeps_committed_rows_over_a_kill_and_each_server_is_empty_at_first() {
    let Some(mut database) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    assert_eq!(database.sql("select 1, '삼성전자 🔥'"), "1\t삼성전자 🔥");
    database.sql("create table t (name varchar(20)); insert into t values ('봉수')");
    database.kill9();
    assert!(!database.is_up());
    database.restart();
    assert_eq!(database.sql("select name from t"), "봉수");

    let second = MariaDb::require();
    assert_ne!(second.port(), database.port());
    assert_eq!(second.sql("show tables"), "");
    assert!(second.url().ends_with(&format!("@127.0.0.1:{}/bongsu", second.port())));
    database.stop();
    assert!(!database.is_up());
}

#[test]
fn servers_that_must_be_there_are() {
    if support::find_program("redis-server").is_none() {
        skip!("redis-server is not installed");
    }
    assert!(RedisServer::require().is_up());
    assert!(support::find_program("no-program-of-this-name").is_none());
}

#[test]
fn shared_data_are_found_or_the_test_is_skipped_by_name() {
    let Some(shared) = support::shared_dir() else {
        skip!("no folder of market data: set BONGSU_SHARED")
    };
    assert!(shared.join("data").is_dir(), "{} holds no `data` folder", shared.display());
}
