//! (a) What everything else is made of: the disk, the log, signatures.

use crate::{
    Bench,
    load::{Sample, histogram},
    say,
    table::{Limit, Row, rate, time},
};
use althing_log::{Alone, Committed, Halt, Log, LogConfig, Position, Replica, SnapshotFile};
use althing_protocol::{Batch, PublicKey, RealmId, SecretKey, sign, sys, v1, verify, verify_all};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAGE_BYTES: usize = 4 << 10;
const RECORD_BYTES: usize = 200;
const RECORDS: [usize; 3] = [1, 64, 256];
const SIGNATURES: usize = 64;

/// What signatures cost on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crypto {
    sign: Duration,
    verify: Duration,
    /// Each, in a batch of 64 from as many authors.
    verify_batched: Duration,
}

impl Crypto {
    pub(crate) fn measure(scale: f64) -> Self {
        let rounds = ((20.0 * scale) as usize).max(2);
        let keys: Vec<SecretKey> = (0..SIGNATURES).map(|n| key(n as u64)).collect();
        let batches: Vec<Batch> = keys.iter().map(batch).collect();
        let signed: Vec<v1::Envelope> =
            keys.iter().zip(&batches).map(|(key, batch)| sign(key, batch.clone())).collect();
        let pairs: Vec<(&v1::Envelope, PublicKey)> =
            signed.iter().zip(&keys).map(|(envelope, key)| (envelope, key.public())).collect();
        let sign = median(rounds, || {
            for (key, batch) in keys.iter().zip(&batches) {
                black_box(sign(key, batch.clone()));
            }
        });
        let verify = median(rounds, || {
            for (envelope, author) in &pairs {
                assert!(black_box(verify(envelope, author)).is_ok());
            }
        });
        let verify_batched = median(rounds, || {
            assert!(black_box(verify_all(&pairs, rand::rng())).iter().all(Result::is_ok));
        });
        Self { sign, verify, verify_batched }
    }

    /// Part of all processors that went into signatures, one for each `per_signature` writes: made
    /// by a client, and checked by every node in batches.
    pub(crate) fn share(&self, sample: &Sample, per_signature: u64) -> f64 {
        let signatures = sample.count as f64 / per_signature as f64;
        let each = self.sign + self.verify_batched * sample.servers as u32;
        let processors = crate::table::cores() as f64;
        signatures * each.as_secs_f64() / (sample.wall.as_secs_f64() * processors)
    }
}

/// Median of the rounds, for one signature.
fn median(rounds: usize, mut round: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            round();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2] / SIGNATURES as u32
}

/// The key of a client; the same in every run.
pub(crate) fn key(number: u64) -> SecretKey {
    let mut seed = *b"althing bench: a key of no worth";
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(&seed)
}

fn batch(key: &SecretKey) -> Batch {
    Batch {
        realm: RealmId::default(),
        author: key.public(),
        session: 1,
        sequence: 1,
        instructions: vec![sys::put("/bench/0/0", vec![7; 256])],
    }
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    say("a: the disk, the log, signatures");
    let dir = bench.place("raw");
    std::fs::create_dir(&dir).context("making a directory")?;
    let rounds = bench.count(2_000, 20);

    let page = appends(&dir.join("page"), PAGE_BYTES, rounds)?;
    let mean = Duration::from_nanos(page.mean() as u64);
    bench.table.add(
        timed("append of 4 KiB and fdatasync", &page)
            .goes(format!("{} fdatasyncs a second", (1.0 / mean.as_secs_f64()).round())),
    );
    let mut raw = Vec::new();
    for records in RECORDS {
        let commits = appends(&dir.join("file"), records * RECORD_BYTES, rounds)?;
        raw.push(per_second(records, &commits));
        let what = format!("group commit to a file, {records} x 200 B");
        bench.table.add(committed(&what, records, &commits));
    }
    let logged = bench.runtime.block_on(log(&dir.join("log"), rounds))?;
    for ((records, commits), raw) in RECORDS.into_iter().zip(&logged).zip(raw) {
        let what = format!("group commit to the log, {records} x 200 B");
        let text = format!("the file's {}", rate(raw));
        let limit = Limit::beside(text, per_second(records, commits), raw);
        bench.table.add(committed(&what, records, commits).limit(limit));
    }
    let Crypto { sign, verify, verify_batched } = bench.crypto;
    for (what, cost) in [
        ("ed25519 sign", sign),
        ("ed25519 verify", verify),
        ("ed25519 verify, each of a batch of 64", verify_batched),
    ] {
        bench.table.add(Row::new('a', what, time(cost)));
    }
    Ok(())
}

fn timed(what: &str, commits: &Histogram<u64>) -> Row {
    let at = |quantile| Duration::from_nanos(commits.value_at_quantile(quantile));
    Row::new('a', what, time(at(0.5))).times(at(0.5), at(0.99))
}

fn committed(what: &str, records: usize, commits: &Histogram<u64>) -> Row {
    let at = |quantile| Duration::from_nanos(commits.value_at_quantile(quantile));
    Row::new('a', what, rate(per_second(records, commits))).times(at(0.5), at(0.99))
}

fn per_second(records: usize, commits: &Histogram<u64>) -> f64 {
    records as f64 * 1e9 / commits.mean()
}

/// Appends `bytes` to a growing file, each append durable before the next.
fn appends(path: &Path, bytes: usize, rounds: u64) -> Result<Histogram<u64>> {
    let mut file = File::create(path).context("making a file")?;
    let record = vec![0x5a; bytes];
    let mut times = histogram()?;
    for _ in 0..rounds {
        let begun = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.saturating_record(begun.elapsed().as_nanos() as u64);
    }
    Ok(times)
}

/// The same records through consensus and the log of a realm, with a state that does nothing.
async fn log(dir: &Path, rounds: u64) -> Result<Vec<Histogram<u64>>> {
    let replica = Arc::new(Nothing::default());
    let log: Log<Nothing> = Log::create(LogConfig::new(dir, 1), replica, Alone).await?;
    let mut all = Vec::new();
    for records in RECORDS {
        let entries = vec![Bytes::from(vec![0x5a; RECORD_BYTES]); records];
        let mut times = histogram()?;
        for _ in 0..rounds {
            let begun = Instant::now();
            let answers = log.propose_all(entries.clone()).await?;
            times.saturating_record(begun.elapsed().as_nanos() as u64);
            ensure!(answers.iter().all(Result::is_ok), "the log refused an entry");
        }
        all.push(times);
    }
    log.shutdown().await?;
    Ok(all)
}

/// A state that only knows how far it is.
#[derive(Default)]
struct Nothing(Mutex<Position>);

impl Nothing {
    fn position(&self) -> Position {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Replica for Nothing {
    type Response = ();

    fn applied(&self) -> Position {
        self.position()
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<()>, Halt> {
        let mut position = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            (position.index, position.term, position.node) = (entry.index, entry.term, entry.node);
            if let Some(membership) = entry.membership {
                position.membership = membership;
            }
            answers.extend(entry.bytes.map(drop));
        }
        Ok(answers)
    }

    async fn snapshot(&self) -> Result<SnapshotFile, Halt> {
        Ok(SnapshotFile { position: self.position(), path: None })
    }

    async fn install(&self, _: SnapshotFile) -> Result<(), Halt> {
        Err(Halt("a bench has no peers".to_owned()))
    }
}
