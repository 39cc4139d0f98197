//! A network between two nodes that can go dark.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections, until it is told to hold back what comes; nobody is told.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    dark: watch::Sender<[bool; 2]>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dark = watch::Sender::new([false; 2]);
        let light = dark.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let light = light.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let (near, far) = (split(near), split(far));
                    tokio::spawn(forward(near.0, far.1, light.clone(), 0));
                    forward(far.0, near.1, light, 1).await;
                });
            }
        });
        Self { address, dark }
    }

    /// Holds back what goes to the target, what comes from it.
    pub(crate) fn cut(&self, there: bool, back: bool) {
        self.dark.send_replace([there, back]);
    }
}

async fn forward(
    mut from: ReadHalf<TcpStream>,
    mut to: WriteHalf<TcpStream>,
    mut light: watch::Receiver<[bool; 2]>,
    way: usize,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if light.wait_for(|dark| !dark[way]).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
    if light.wait_for(|dark| !dark[way]).await.is_ok() {
        let _ = to.shutdown().await;
    }
}
