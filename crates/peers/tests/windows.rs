//! How much a peer may say on a stream before it is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_protocol::SecretKey;
use std::time::Duration;
use support::{Node, SOON, raw};
use tokio::{io::AsyncWriteExt, time::timeout};

/// The window that every stream begins with, in bytes.
const WINDOW_BYTES: usize = 256 << 10;
/// What the multiplexer calls its pieces.
const UPDATE: u8 = 1;
const PING: u8 = 2;

/// The largest room that a node makes on a stream for a peer which seems far away and fills it.
async fn room_most(member: bool) -> usize {
    let node = Node::start(1).await;
    let key = SecretKey::from_seed(&[3; 32]);
    if member {
        node.does.add(key.public());
    }
    let mut tls = raw::tls(node.peers.local_addr().unwrap(), Some(&key), None).await.unwrap();
    raw::greet(&mut tls, 1).await.unwrap();
    // A window grows when it is filled within two round trips. This one takes a second.
    let (kind, _, ping) = raw::next_piece(&mut tls).await;
    assert_eq!(kind, PING);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pong = [&[0, PING, 0, 2, 0, 0, 0, 0], &ping.to_be_bytes()[..]].concat();
    tls.write_all(&pong).await.unwrap();
    let (mut room, mut most) = (WINDOW_BYTES, WINDOW_BYTES);
    for round in 0..8 {
        let bytes = vec![0; room.min(WINDOW_BYTES)];
        tls.write_all(&raw::piece(1, round == 0, &bytes)).await.unwrap();
        tls.flush().await.unwrap();
        room -= bytes.len();
        while room == 0 {
            if let (UPDATE, 1, more) = raw::next_piece(&mut tls).await {
                room += more as usize;
                most = most.max(room);
            }
        }
    }
    most
}

#[tokio::test]
async fn windows_grow_for_members_and_not_for_strangers() {
    let both = async { tokio::join!(room_most(true), room_most(false)) };
    let (member, stranger) = timeout(SOON, both).await.expect("the node makes room");
    assert!(member > WINDOW_BYTES, "{member}");
    assert_eq!(stranger, WINDOW_BYTES);
}
