//! Disks that are full, and disks that are slow.

use crate::{
    cluster::Cluster,
    load::{Load, brisk},
    machine::{Machine, until},
};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const WRITES: u64 = 40;
const MIB: u64 = 1 << 20;

/// A file system of its own in the home of a machine.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not make one.
    fn of(machine: &Machine, bytes: u64) -> Option<Self> {
        let at = machine.user.path("");
        let size = format!("size={bytes}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&at).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(at))
    }

    fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Leaves no more than `bytes` free.
    fn fill(&self, bytes: u64) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        while self.free_bytes() > bytes {
            let most = (self.free_bytes() - bytes).min(MIB);
            if ballast.write_all(&vec![0; most as usize]).is_err() {
                return;
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_fills_hands_over_and_goes_on_when_there_is_room() {
    let machines: Vec<_> =
        (0..3).map(|_| Machine::new(&["data.disk_low_water_bytes=16777216"])).collect();
    let Some(disk) = SmallDisk::of(&machines[0], 96 * MIB) else {
        println!("skipped: a full disk takes a file system that only root can mount");
        return;
    };
    let mut cluster = Cluster::on(machines).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    load.more(WRITES).await;
    assert_eq!(cluster.leader().await, 0, "nobody else had a reason to lead");

    disk.fill(12 * MIB);
    until("another leads", async || cluster.leader().await != 0).await;
    load.more(WRITES).await;

    // Not a byte is left: it can promise nothing, and says so. The others go on.
    disk.fill(0);
    until("the realm stops there", async || match cluster.machines[0].status().await {
        Some(status) => status["stopped"].is_string(),
        None => true,
    })
    .await;
    load.more(WRITES).await;
    cluster.machines[0].fails().await;
    let said = cluster.machines[0].log();
    assert!(said.contains("No space left"), "{said}");

    disk.empty();
    cluster.machines[0].start().await;
    load.more(WRITES).await;
    load.stop().await.check(&mut cluster).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_short_of_disk_serves_and_does_not_lead() {
    let mut cluster = Cluster::of(3).await;
    let short = cluster.leader().await;
    cluster.machines[short].terminate();
    cluster.machines[short].set(&format!("data.disk_low_water_bytes={}", i64::MAX));
    cluster.machines[short].start().await;
    // A node that was stopped before another could take the leadership comes back with it.
    until("it knows, and another leads", async || {
        let status = cluster.machines[short].status().await;
        status.is_some_and(|status| {
            let leader = &status["leader"];
            status["is_disk_low"] == true && leader.is_number() && *leader != status["member"]
        })
    })
    .await;
    let member = cluster.machines[short].status().await.unwrap()["member"].to_string();
    // Who leads hears of it a moment later; until then the short one gets the leadership, and hands it on.
    let user = &cluster.machines[short].user;
    until("it is not let lead", async || user.run(&["transfer-leader", &member]).code == 5).await;
    let (_, kind, message) = user.fails(&["transfer-leader", &member]);
    assert_eq!(kind, "conflict", "{message}");
    user.says(&["kv", "put", "/a", "through it"]);

    // Of the two that are left only the other one can lead.
    let leader = cluster.leader().await;
    assert_ne!(leader, short);
    cluster.machines[leader].kill();
    let heir = cluster.leader().await;
    assert_ne!(heir, short);
    cluster.machines[short].user.says(&["kv", "put", "/b", "through it"]);
    cluster.machines[leader].start().await;
    cluster.agree().await;
    cluster.verify();
}

/// Time that a flush of a slow disk takes longer, in milliseconds.
const FLUSH_MS: u64 = 400;

/// Stands before the system's own flushes.
const SLOW: &str = r#"
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int slowly(long call, int fd) {
    struct timespec wait = {0, FLUSH_MS * 1000000L};
    nanosleep(&wait, 0);
    return syscall(call, fd);
}
int fdatasync(int fd) { return slowly(SYS_fdatasync, fd); }
int fsync(int fd) { return slowly(SYS_fsync, fd); }
"#;

/// A library to load before the system's; none where there is no compiler for it.
fn slow_flushes(dir: &Path) -> Option<PathBuf> {
    let (source, library) = (dir.join("slow.c"), dir.join("slow.so"));
    fs::write(&source, SLOW).unwrap();
    let delay = format!("-DFLUSH_MS={FLUSH_MS}");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", &delay, "-o"]).arg(&library).arg(&source);
    let is_made = cfg!(all(target_os = "linux", target_env = "gnu"))
        && compile.status().is_ok_and(|status| status.success());
    is_made.then_some(library)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_disk_of_three_slows_nobody_down() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = slow_flushes(dir.path()) else {
        println!("skipped: a slow disk takes glibc and a C compiler");
        return;
    };
    let mut cluster = Cluster::of(3).await;
    let slow = cluster.follower().await;
    cluster.machines[slow].terminate();
    cluster.machines[slow].set_variable("LD_PRELOAD", &library);
    cluster.machines[slow].start().await;
    cluster.agree().await;

    // Clients of the others, which write one after the other.
    let mut clients = Vec::new();
    for machine in cluster.machines.iter().enumerate().filter(|(n, _)| *n != slow).map(|(_, m)| m) {
        clients.push(machine.client(&cluster.key, brisk()).await);
    }
    let count = clients.len() as u64;
    let flushes =
        |status: Option<serde_json::Value>| status.unwrap()["log_flushes"].as_u64().unwrap();
    let flushed = flushes(cluster.machines[slow].status().await);
    let begun = Instant::now();
    let mut load = Load::start(clients);
    load.more(WRITES).await;
    let took = begun.elapsed();
    let flushed = flushes(cluster.machines[slow].status().await) - flushed;
    let most = took.as_millis() as u64 / FLUSH_MS + 1;
    assert!(flushed <= most, "its disk is slow: {flushed} flushes in {took:?}");
    let had_it_been_waited_for = WRITES / count * FLUSH_MS;
    eprintln!("{WRITES} writes in {took:?}, {flushed} flushes of the slow disk");
    assert!(took.as_millis() as u64 * 3 < had_it_been_waited_for, "{WRITES} writes took {took:?}");
    let ledger = load.stop().await;
    assert!(ledger.errors().is_empty(), "{:#?}", ledger.errors());
    ledger.check(&mut cluster).await;
}
