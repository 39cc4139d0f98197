#![allow(clippy::unwrap_used, unsafe_code)]
use std::alloc::{GlobalAlloc, Layout, System};
struct A;
thread_local! { static IN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) }; }
unsafe impl GlobalAlloc for A {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        if l.size() >= 128 << 10 && std::env::var_os("TRACE").is_some() && !IN.with(|i| i.replace(true)) {
            eprintln!("ALLOC {} {}", l.size(), std::backtrace::Backtrace::force_capture());
            IN.with(|i| i.set(false));
        }
        unsafe { System.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) { unsafe { System.dealloc(p, l) } }
}
#[global_allocator]
static G: A = A;

use althing_log::*;
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Instant;

#[derive(Default)]
struct Count(Mutex<Position>);
impl Replica for Count {
    type Response = ();
    fn applied(&self) -> Position { self.0.lock().unwrap().clone() }
    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<()>, Halt> {
        let mut p = self.0.lock().unwrap();
        let mut r = vec![];
        for e in entries { p.index = e.index; if let Some(m) = e.membership { p.membership = m; } if e.bytes.is_some() { r.push(()) } }
        Ok(r)
    }
    async fn snapshot(&self) -> Result<SnapshotFile, Halt> { Ok(SnapshotFile::default()) }
    async fn install(&self, _: SnapshotFile) -> Result<(), Halt> { Ok(()) }
}
impl Count { fn at(n: u64) -> Arc<Self> { let c = Self::default(); if n > 0 { *c.0.lock().unwrap() = Position { index: n, term: 1, node: 1, membership: one_voter(1) }; } Arc::new(c) } }
fn rss() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM")).collect::<Vec<_>>().join(" ")
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers() {
    let dir = tempfile::tempdir_in("/work/scratch").unwrap();
    let log = Log::create(LogConfig::new(dir.path(), 1), Arc::new(Count::default())).await.unwrap();
    println!("fresh {}", rss());
    for (tasks, each) in [(1, 1500), (64, 400), (256, 150)] {
        let t = Instant::now();
        let b = log.metrics().flush;
        let hs: Vec<_> = (0..tasks).map(|_| { let log = log.clone(); tokio::spawn(async move { for _ in 0..each { log.propose(Bytes::from(vec![7u8; 200])).await.unwrap(); } }) }).collect();
        for h in hs { h.await.unwrap(); }
        let s = t.elapsed().as_secs_f64();
        let f = log.metrics().flush;
        println!("{tasks} writers: {:.0}/s, {:.1} entries a flush, p50 {} us p99 {} us", (tasks * each) as f64 / s, (f.entries - b.entries) as f64 / (f.flushes - b.flushes) as f64, f.flush_p50_us, f.flush_p99_us);
    }
    let t = Instant::now();
    let n = log.last().unwrap().unwrap();
    for _ in 0..(1_000_000 - n) / 1000 { log.propose_all((0..1000).map(|_| Bytes::from(vec![7u8; 200])).collect()).await.unwrap(); }
    println!("million written in {:?} {}", t.elapsed(), rss());
    let t = Instant::now();
    log.shutdown().await.unwrap();
    println!("shutdown {:?}", t.elapsed());
    drop(log);
    println!("closed {}", rss());
    let t = Instant::now();
    let log = Log::open(LogConfig::new(dir.path(), 1), Arc::new(Count::default())).await.unwrap();
    println!("open and replay all {:?} {}", t.elapsed(), rss());
    println!("{:?}", log.metrics());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phase_write() {
    let dir = std::path::Path::new("/work/scratch/logbench/d");
    let _ = std::fs::remove_dir_all(dir);
    println!("start {}", rss());
    let log = Log::create(LogConfig::new(dir, 1), Arc::new(Count::default())).await.unwrap();
    println!("fresh {}", rss());
    let hs: Vec<_> = (0..256).map(|_| { let log = log.clone(); tokio::spawn(async move { for _ in 0..3900 { log.propose(Bytes::from(vec![7u8; 200])).await.unwrap(); } }) }).collect();
    for h in hs { h.await.unwrap(); }
    println!("written {}", rss());
    log.shutdown().await.unwrap();
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phase_open() {
    let dir = std::path::Path::new("/work/scratch/logbench/d");
    let replay: u64 = std::env::var("REPLAY").unwrap().parse().unwrap();
    let c = Count::at(998_000 - replay);
    println!("start {}", rss());
    let t = Instant::now();
    let log = Log::open(LogConfig::new(dir, 1), c).await.unwrap();
    println!("open {:?} {}", t.elapsed(), rss());
    println!("{:?}", log.metrics());
    log.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phase_fresh() {
    let dir = tempfile::tempdir_in("/work/scratch").unwrap();
    println!("start {}", rss());
    let log = Log::create(LogConfig::new(dir.path(), 1), Arc::new(Count::default())).await.unwrap();
    println!("fresh {}", rss());
    log.shutdown().await.unwrap();
}
