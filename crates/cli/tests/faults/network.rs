//! A network of its own for the machines of a test: a namespace each, and a bridge between them. It
//! can be cut for real, which takes root.
//!
//! Clients of a machine stay where they are. A thread in its namespace takes their connections on.

use crate::machine::{HTTP_PORT, Machine};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::AsFd as _,
    process::{Command, id},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tokio::{io::copy_bidirectional, net::TcpStream};

/// No machine has it: what is sent there is lost.
const NOWHERE: &str = "02:00:00:00:00:ff";
/// The end of the cable in a namespace.
const CABLE: &str = "eth0";

pub(crate) struct Network {
    bridge: String,
    count: usize,
}

impl Network {
    /// None, with a line that says why, where it cannot be had.
    pub(crate) fn of(count: usize) -> Option<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        // A name of an interface has 15 characters at most.
        let network = Self { bridge: format!("al{}{}", id(), (b'a' + made as u8) as char), count };
        match network.build() {
            Ok(()) => Some(network),
            Err(why) => {
                println!("skipped: a network to cut takes root and `ip netns`: {why}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let bridge = &self.bridge;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("link set {bridge} up"))?;
        for place in 0..self.count {
            let (space, end) = (self.space(place), self.end(place));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {end} type veth peer name {CABLE} netns {space}"))?;
            ip(&format!("link set {end} master {bridge} up"))?;
            ip(&format!("-n {space} address add {}/24 dev {CABLE}", address(place)))?;
            ip(&format!("-n {space} link set {CABLE} up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(())
    }

    /// The namespace of a machine.
    fn space(&self, place: usize) -> String {
        format!("{}{place}", self.bridge)
    }

    /// The end of its cable at the bridge.
    fn end(&self, place: usize) -> String {
        format!("{}v{place}", self.bridge)
    }

    /// The machines, each in its place.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        let machines = (0..self.count).map(|place| {
            let space = self.space(place);
            let launcher = ["ip", "netns", "exec", &space].map(str::to_owned);
            let machine = Machine::new(&[]).elsewhere(launcher.into(), address(place));
            take_on(&space, (machine.address, HTTP_PORT).into());
            machine
        });
        machines.collect()
    }

    /// Pulls the cable of a machine.
    pub(crate) fn cut(&self, place: usize) {
        ip(&format!("link set {} down", self.end(place))).unwrap();
    }

    /// Nothing that one sends reaches the other. The other way is open.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        let (space, to) = (self.space(from), address(to));
        ip(&format!("-n {space} neigh replace {to} lladdr {NOWHERE} dev {CABLE} nud permanent"))
            .unwrap();
    }

    /// Puts everything back.
    pub(crate) fn mend(&self) {
        for place in 0..self.count {
            ip(&format!("link set {} up", self.end(place))).unwrap();
            ip(&format!("-n {} neigh flush dev {CABLE} nud permanent", self.space(place))).unwrap();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in 0..self.count {
            let _ = ip(&format!("link delete {}", self.end(place)));
            let _ = ip(&format!("netns delete {}", self.space(place)));
        }
        let _ = ip(&format!("link delete {}", self.bridge));
    }
}

fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 61, 0, 1 + place as u8)
}

fn ip(args: &str) -> Result<(), String> {
    let ran = Command::new("ip").args(args.split(' ')).output();
    let ran = ran.map_err(|error| format!("ip: {error}"))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(format!("ip {args}: {}", String::from_utf8_lossy(&ran.stderr).trim())),
    }
}

/// Takes connections to `at` on into a namespace, as long as this process lives.
fn take_on(space: &str, at: SocketAddr) {
    let space = File::open(format!("/run/netns/{space}")).unwrap();
    // A listener stays in the namespace where it was made.
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // One thread: what it connects to is in the namespace of this one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    // A node that is dead refuses, and the client sees its connection end.
                    let mut node = TcpStream::connect(at).await?;
                    copy_bidirectional(&mut client, &mut node).await
                });
            }
        });
    });
}
