//! What comes to the port and is no node: refused, and the node goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::limits;
use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};
use support::{ECHO, Node, SOON, check_error, raw};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// Sends `bytes` to a node; it hangs up within the time for a handshake, and serves others.
async fn check(bytes: &[u8]) {
    let (one, other) = Node::pair().await;
    let mut tcp = TcpStream::connect(other.peers.local_addr().unwrap()).await.unwrap();
    tcp.write_all(bytes).await.unwrap();
    let mut answer = vec![];
    let read = tcp.read_to_end(&mut answer);
    let _ = timeout(limits::HANDSHAKE_MAX * 2, read).await.expect("it hangs up");
    assert!(answer.len() < 32, "an alert at most: {answer:?}");
    one.echo(&other.peer()).await;
}

#[tokio::test]
async fn random_bytes() {
    check(&[0x5a; 4_096]).await;
}

#[tokio::test]
async fn a_record_that_is_longer_than_tls_allows() {
    check(b"\x16\x03\x01\xff\xff\x01\xff\xff\xff").await;
}

#[tokio::test]
async fn a_web_browser() {
    check(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n").await;
}

#[tokio::test]
async fn silence() {
    check(b"").await;
}

#[tokio::test]
async fn half_a_handshake() {
    check(b"\x16\x03\x01\x00\xc8\x01\x00").await;
}

#[tokio::test]
async fn tls_without_a_key() {
    let (one, other) = Node::pair().await;
    let keyless = async {
        let mut tls = raw::tls(other.peers.local_addr().unwrap(), None, None).await?;
        raw::greet(&mut tls, 1).await
    };
    assert!(keyless.await.is_err());
    one.echo(&other.peer()).await;
}

#[tokio::test]
async fn a_node_that_speaks_another_version_is_told() {
    let (one, other) = Node::pair().await;
    let mut tls = raw::tls(other.peers.local_addr().unwrap(), Some(&one.key), None).await.unwrap();
    let answer = raw::greet(&mut tls, 2).await.unwrap();
    assert_eq!(answer[..10], raw::greeting(1)[..10]);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("speaks protocol 2") && text.contains("this node 1"), "{text}");
    assert!(other.connections().is_empty());
    one.echo(&other.peer()).await;
}

/// `count` connections from 127.0.0.`host` that say nothing.
async fn silent(to: SocketAddr, host: u8, count: usize) -> Vec<TcpStream> {
    let mut silent = vec![];
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        silent.push(socket.connect(to).await.unwrap());
    }
    silent
}

#[tokio::test]
async fn many_who_say_nothing_from_one_address_leave_room_for_others() {
    let (one, other) = Node::pair().await;
    let address = other.peers.local_addr().unwrap();
    let mut silent = silent(address, 2, limits::HANDSHAKES_MAX).await;
    one.echo(&other.peer()).await;
    // As many as may still have their time to prove a key, the others were closed.
    for (n, tcp) in silent.iter_mut().enumerate() {
        if n < limits::HANDSHAKES_PER_SOURCE_MAX {
            assert_eq!(tcp.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "{n}");
        } else {
            assert!(matches!(tcp.read(&mut [0]).await, Ok(0) | Err(_)), "{n}");
        }
    }
}

#[tokio::test]
async fn more_who_say_nothing_than_there_are_places() {
    let (one, other) = Node::pair().await;
    let address = other.peers.local_addr().unwrap();
    let mut all = vec![];
    for host in 2..2 + (limits::HANDSHAKES_MAX / limits::HANDSHAKES_PER_SOURCE_MAX) as u8 {
        all.extend(silent(address, host, limits::HANDSHAKES_PER_SOURCE_MAX).await);
    }
    // The silent ones are thrown out in time for whoever waits behind them.
    let began = Instant::now();
    while one.ask(&other.peer(), ECHO, SOON).await.is_err() {
        assert!(began.elapsed() < limits::HANDSHAKE_MAX * 3);
    }
}

#[tokio::test]
async fn a_listener_that_is_no_node() {
    let node = Node::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"SSH-2.0-a different thing\r\n").await;
        }
    });
    let answer = node.ask(&node.at(address), ECHO, SOON).await;
    check_error(answer, &["unavailable", &address.to_string(), "TLS"]);
    let nowhere = node.at("nowhere.invalid:1");
    check_error(node.ask(&nowhere, ECHO, SOON).await, &["unavailable", "nowhere.invalid:1"]);
    let malformed = node.at("no port");
    check_error(node.ask(&malformed, ECHO, Duration::from_secs(2)).await, &["no port"]);
}
