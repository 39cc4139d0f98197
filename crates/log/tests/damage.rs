//! Power loss and damaged bytes: what was acknowledged is there, or its loss is found and named.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod toy;

use althing_log::LogConfig;
use althing_protocol::{Error, Kind};
use bytes::Bytes;
use raft_log::codeq::config::{CodeqConfig, Crc32fast};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toy::{Toy, command, config, copy_dir, segments};

/// Sizes of all kinds, and bytes that look like a record's type.
fn value(i: usize) -> Bytes {
    let mut bytes = command(i).to_vec();
    bytes.extend([0, 0, 0, 1].repeat(i * 7 % 40));
    bytes.into()
}

/// A small generator: the places that a run damages are the same in every run.
struct Places(u64);

impl Places {
    fn next(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (self.0 >> 33) % (range.end - range.start)
    }
}

/// What a machine had on disk at two moments. Until `before`, `acknowledged` commands were. Then
/// one batch of `batch` more was written and flushed, which `after` holds.
struct Machine {
    dir: TempDir,
    acknowledged: usize,
    batch: usize,
}

impl Machine {
    async fn run(segment_bytes_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let config = LogConfig { segment_bytes_max, ..config(&live) };
        let log = toy::create(config, Toy::new()).await.unwrap();
        let (acknowledged, batch) = (120, 40);
        for i in 0..acknowledged {
            log.propose(value(i)).await.unwrap();
        }
        copy_dir(&live, &dir.path().join("before"));
        let values = (acknowledged..acknowledged + batch).map(value).collect();
        log.propose_all(values).await.unwrap();
        copy_dir(&live, &dir.path().join("after"));
        log.shutdown().await.unwrap();
        Self { dir, acknowledged, batch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of `name` to damage.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.path("damaged");
        fs::remove_dir_all(&to).ok();
        copy_dir(&self.path(name), &to);
        to
    }

    /// A copy of what power loss in the midst of the batch leaves, before anything is torn: its
    /// bytes are there, and `durable` knows nothing of them.
    fn copy_unflushed(&self) -> PathBuf {
        let to = self.copy("after");
        fs::copy(self.path("before").join("durable"), to.join("durable")).unwrap();
        to
    }
}

fn last(dir: &Path) -> PathBuf {
    segments(dir).pop().unwrap()
}

fn len(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len()
}

fn cut(file: &Path, at: u64) {
    File::options().write(true).open(file).unwrap().set_len(at).unwrap();
}

fn flip(file: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
}

/// How many commands an opened log holds; it is checked that they are the first ones.
async fn held(dir: &Path) -> Result<usize, Error> {
    let toy = Toy::new();
    let log = toy::open(config(dir), toy.clone()).await?;
    let commands = toy.commands();
    let count = commands.len();
    assert!(
        commands.iter().enumerate().all(|(i, bytes)| *bytes == value(i)),
        "not the first {count}"
    );
    // It goes on.
    log.propose(value(count)).await.unwrap();
    log.shutdown().await.unwrap();
    Ok(count)
}

async fn refused(dir: &Path, file: &Path) {
    let before = segments(dir).iter().map(|file| len(file)).collect::<Vec<_>>();
    let error = held(dir).await.unwrap_err();
    assert_eq!(error.kind, Kind::Internal, "{error}");
    assert!(error.message.contains(file.to_str().unwrap()), "{error}");
    assert!(error.message.contains("at byte"), "{error}");
    let after = segments(dir).iter().map(|file| len(file)).collect::<Vec<_>>();
    assert_eq!(before, after, "what is damaged stays as it is");
}

#[tokio::test]
async fn a_tail_cut_anywhere_behind_the_last_flush_is_dropped() {
    let machine = Machine::run(1 << 20).await;
    let flushed = len(&last(&machine.path("before")));
    let written = len(&last(&machine.path("after")));
    let mut places = Places(1);
    let mut found = Vec::new();
    for _ in 0..40 {
        let dir = machine.copy_unflushed();
        cut(&last(&dir), places.next(flushed..written));
        let count = held(&dir).await.unwrap();
        assert!(count >= machine.acknowledged, "{count}");
        found.push(count - machine.acknowledged);
    }
    assert!(found.iter().any(|&n| n > 0) && found.iter().all(|&n| n <= machine.batch), "{found:?}");
}

#[tokio::test]
async fn a_batch_that_reached_the_disk_in_the_wrong_order_is_dropped() {
    let machine = Machine::run(1 << 20).await;
    let flushed = len(&last(&machine.path("before")));
    let written = len(&last(&machine.path("after")));
    let mut places = Places(2);
    for _ in 0..40 {
        let dir = machine.copy_unflushed();
        let at = places.next(flushed..written - 1);
        let hole = vec![0; places.next(1..written - at) as usize];
        File::options().write(true).open(last(&dir)).unwrap().write_all_at(&hole, at).unwrap();
        let count = held(&dir).await.unwrap();
        assert!(count >= machine.acknowledged, "{count}");
    }
}

#[tokio::test]
async fn a_new_segment_that_did_not_come_to_be_is_dropped() {
    let machine = Machine::run(1 << 20).await;
    for left in [0, 1, 20] {
        let dir = machine.copy("after");
        let end = len(&last(&dir));
        let name = dir.join("wal").join(format!(
            "r-00_000_000_000_000_{:03}_{:03}.wal",
            end / 1_000,
            end % 1_000
        ));
        fs::write(name, vec![0; left]).unwrap();
        assert_eq!(held(&dir).await.unwrap(), machine.acknowledged + machine.batch);
    }
}

#[tokio::test]
async fn acknowledged_bytes_that_are_cut_off_are_missed() {
    let machine = Machine::run(1 << 20).await;
    let flushed = len(&last(&machine.path("before")));
    let mut places = Places(3);
    for _ in 0..25 {
        let dir = machine.copy("before");
        let file = last(&dir);
        cut(&file, places.next(0..flushed));
        refused(&dir, &file).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_segment_is_found() {
    let machine = Machine::run(1_500).await;
    let count = segments(&machine.path("after")).len();
    assert!(count > 4, "{count}");
    let mut places = Places(4);
    for round in 0..60 {
        let dir = machine.copy("after");
        let file = segments(&dir)[round % count].clone();
        flip(&file, places.next(0..len(&file)));
        refused(&dir, &file).await;
    }
}

/// Power loss may leave `durable` behind, or nothing of it: then later records are the witnesses.
#[tokio::test]
async fn a_flipped_bit_is_found_without_the_mark() {
    let machine = Machine::run(1 << 20).await;
    let flushed = len(&last(&machine.path("before")));
    let mut places = Places(5);
    for _ in 0..60 {
        let dir = machine.copy("after");
        fs::remove_file(dir.join("durable")).unwrap();
        let file = last(&dir);
        flip(&file, places.next(0..flushed));
        refused(&dir, &file).await;
    }
}

#[tokio::test]
async fn a_missing_segment_is_missed() {
    let machine = Machine::run(1_500).await;
    let count = segments(&machine.path("after")).len();
    for gone in 0..count {
        let dir = machine.copy("after");
        fs::remove_file(&segments(&dir)[gone]).unwrap();
        let error = held(&dir).await.unwrap_err();
        assert_eq!(error.kind, Kind::Internal, "{gone}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_mark_harms_nothing() {
    let machine = Machine::run(1 << 20).await;
    for at in 0..len(&machine.path("after").join("durable")) {
        let dir = machine.copy("after");
        flip(&dir.join("durable"), at);
        assert_eq!(held(&dir).await.unwrap(), machine.acknowledged + machine.batch);
    }
}

/// The bytes of a record of an entry that says `mark` about durability, as raft-log writes them.
fn forged(mark: u64) -> Vec<u8> {
    let body = b"forged";
    let mut bytes = vec![0, 0, 0, 1];
    for number in [9_u64 << 20 | 1, 1_000, mark] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(1);
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes.extend(Crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// An author cannot put a record into a value that makes a torn tail look acknowledged, for lack
/// of the log's salt. With the salt it would.
#[tokio::test]
async fn a_forged_record_in_a_torn_tail_is_no_witness() {
    let machine = Machine::run(1 << 20).await;
    let format = fs::read_to_string(machine.path("live").join("format")).unwrap();
    let salt = format.lines().find_map(|line| line.strip_prefix("salt ")).unwrap();
    let salt = u64::from_str_radix(salt, 16).unwrap();
    for (mask, believed) in [(0, false), (salt, true)] {
        let dir = machine.copy("live");
        let mark = fs::read(dir.join("durable")).unwrap();
        let log = toy::open(config(&dir), Toy::new()).await.unwrap();
        let flushed = len(&last(&dir));
        let mut value = vec![b' '; 4_000];
        // The reopened log wrote a little of its own before this.
        let end = flushed + 500;
        value.extend(forged((end + 1) ^ mask));
        log.propose(value.into()).await.unwrap();
        log.shutdown().await.unwrap();
        fs::write(dir.join("durable"), mark).unwrap();
        // The record with the value is torn at its end.
        let file = last(&dir);
        let bytes = fs::read(&file).unwrap();
        let at = bytes.windows(6).rposition(|window| window == b"forged").unwrap() as u64;
        cut(&file, at + 6 + 8);
        match held(&dir).await {
            Ok(count) => assert!(!believed && count == machine.acknowledged + machine.batch),
            Err(error) => assert!(believed && error.message.contains("at byte"), "{error}"),
        }
    }
}
