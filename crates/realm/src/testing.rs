//! What this crate's own tests share: realms in temporary directories, and a follower without a log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod three;

use crate::{
    Founding, Options, Realm, apply, flusher,
    realm::{Core, Gate},
    replica::LogReplica,
    start::Parts,
};
use althing_log::{Committed, Replica};
use althing_protocol::{Hash, SecretKey, sys, v1};
use std::{
    fs,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) fn options(dir: &Path) -> Options {
    Options { disk_low_water_bytes: 0, ..Options::new(dir) }
}

/// A realm of one node, which founded it.
pub(crate) async fn realm(dir: &Path) -> Arc<Realm> {
    let founding = Founding {
        name: "test".into(),
        founder: key(1).public(),
        node: key(200).public(),
        grants: Vec::new(),
    };
    Realm::create(&options(dir), founding).unwrap();
    Realm::open(options(dir)).await.unwrap()
}

/// Puts so many keys, each in an entry of its own.
pub(crate) async fn put(realm: &Realm, name: &str, count: u8) {
    for n in 0..count {
        run(realm, sys::put(format!("/{name}/{n}"), [n])).await;
    }
}

pub(crate) async fn run(realm: &Realm, instruction: v1::Instruction) {
    let outcomes = realm.submit_as(&key(1), vec![instruction]).await.unwrap();
    for outcome in outcomes {
        assert!(matches!(outcome.result, Some(v1::outcome::Result::Output(_))), "{outcome:?}");
    }
}

/// A program; with another number it is another image, that does the same.
pub(crate) fn component(n: u8) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    let component = fs::read(path);
    let mut component = component.expect("counter.wasm is missing: run `cargo xtask guests`");
    component.extend([0, 3, 1, b'v', n]);
    component
}

/// What stages an image as `program`.
pub(crate) fn stage(program: &str, image: &Hash) -> v1::Instruction {
    sys::stage(&v1::Stage {
        program: program.into(),
        image: image.0.to_vec(),
        manifest: Some(v1::Manifest::default()),
        signature: None,
    })
}

/// What makes it the active one.
pub(crate) fn activate(program: &str, image: &Hash) -> v1::Instruction {
    sys::activate(&v1::Activate { program: program.into(), image: image.0.to_vec() })
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The entries that a realm has applied from `first` on.
pub(crate) async fn entries(realm: &Realm, first: u64) -> Vec<Committed> {
    let end = *realm.core.applied.borrow() + 1;
    let items = realm.log.read(first..end, usize::MAX).await.unwrap();
    assert_eq!(items.len() as u64, end - first);
    let committed = |item: althing_log::Item| Committed {
        index: item.index,
        term: item.term,
        node: item.node,
        bytes: item.bytes,
        membership: None,
    };
    items.into_iter().map(committed).collect()
}

/// Threads and replica of a node whose log is the test.
pub(crate) struct Follower {
    pub(crate) core: Arc<Core>,
    pub(crate) replica: LogReplica,
    apply: JoinHandle<()>,
    flusher: JoinHandle<()>,
}

impl Follower {
    pub(crate) fn open(dir: &Path) -> Self {
        let core = Arc::new(Parts::open(options(dir)).unwrap().core);
        let (work_in, work) = std::sync::mpsc::channel();
        let flusher = core.store.flusher();
        let flushing = Arc::clone(&core);
        let flusher = thread::spawn(move || flusher::run(&flushing, flusher));
        let applying = Arc::clone(&core);
        let apply = thread::Builder::new().stack_size(althing_sandbox::limits::THREAD_STACK_BYTES);
        let apply = apply.spawn(move || apply::run(&applying, &work)).unwrap();
        let replica = LogReplica {
            core: Arc::clone(&core),
            work: Gate::new(work_in),
            staged: tokio::sync::mpsc::channel(1).0,
            appended: Gate::new(crate::verifier::channel().0),
        };
        Self { core, replica, apply, flusher }
    }

    pub(crate) async fn apply(&self, entries: Vec<Committed>) {
        self.replica.apply(entries).await.unwrap();
    }

    /// Makes everything durable and ends, as a node does that is shut down.
    pub(crate) fn close(self) {
        let Self { core, replica, apply, flusher } = self;
        replica.work.close();
        apply.join().unwrap();
        core.images.close();
        core.flusher.close();
        flusher.join().unwrap();
    }
}
