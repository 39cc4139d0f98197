//! A machine over a state on disk, and what one instruction takes in it.

use crate::{load::histogram, raw::key};
use althing_machine::{EntryAt, Halt, Images, Machine, genesis_writes};
use althing_protocol::{
    Batch, FORMAT, Hash, RealmId, SEMANTICS, SecretKey, realm_id, sign, sys, v1,
};
use althing_sandbox::Image;
use althing_state::{Applied, Flusher, Store, Tip};
use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use prost::Message as _;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Instructions after which the state is flushed, out of the measured time.
const FLUSH_INTERVAL: u64 = 10_000;

/// One author in a session; every instruction is an entry, and what it writes is kept.
pub(crate) struct World {
    machine: Machine,
    images: Arc<Loaded>,
    realm: RealmId,
    author: SecretKey,
    tip: Tip,
    flusher: Flusher,
    session: u64,
    sequence: u64,
    _store: Store,
}

impl World {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let author = key(0);
        let genesis = v1::Genesis {
            format: FORMAT,
            name: "bench".to_owned(),
            founder: author.public().0.to_vec(),
            semantics: SEMANTICS,
            node: key(1).public().0.to_vec(),
            ..v1::Genesis::default()
        };
        let genesis = genesis.encode_to_vec();
        let writes = genesis_writes(&genesis)?;
        let store = Store::create(dir, &genesis, writes)?;
        let realm = realm_id(&genesis);
        let images = Arc::new(Loaded::default());
        let machine = Machine::new(realm, Arc::clone(&images) as _, Vec::new());
        let (tip, flusher) = (store.tip(), store.flusher());
        let (session, sequence) = (0, 1);
        let mut world =
            Self { machine, images, realm, author, tip, flusher, session, sequence, _store: store };
        let (_, opened) = world.apply(sys::session_open("bench"))?;
        let opened = v1::SessionOpened::decode(opened.as_slice()).context("opening a session")?;
        (world.session, world.sequence) = (opened.session, 1);
        Ok(world)
    }

    /// Makes `image` the program `program`.
    pub(crate) fn deploy(&mut self, program: &str, image: &Image) -> Result<()> {
        self.images.lock().insert(image.hash(), Arc::new(image.clone()));
        let image = image.hash().0.to_vec();
        let program = program.to_owned();
        self.apply(sys::stage(&v1::Stage {
            program: program.clone(),
            image: image.clone(),
            manifest: Some(v1::Manifest::default()),
            ..v1::Stage::default()
        }))?;
        self.apply(sys::activate(&v1::Activate { program, image }))?;
        Ok(())
    }

    /// Times each of `rounds` instructions, after a tenth more to warm up.
    pub(crate) fn measure(
        &mut self,
        rounds: u64,
        work: impl Fn(u64) -> v1::Instruction,
    ) -> Result<Histogram<u64>> {
        let mut times = histogram()?;
        for number in 0..rounds + rounds / 10 {
            let (took, _) = self.apply(work(number))?;
            if number >= rounds / 10 {
                times.saturating_record(took.as_nanos() as u64);
            }
        }
        Ok(times)
    }

    /// Runs one entry as a realm does. How long the machine took for it, and its output.
    pub(crate) fn apply(&mut self, instruction: v1::Instruction) -> Result<(Duration, Vec<u8>)> {
        let (took, outcome) = self.outcome(instruction)?;
        match outcome.result.context("an outcome without a result")? {
            v1::outcome::Result::Output(output) => Ok((took, output)),
            v1::outcome::Result::Failure(failure) => bail!("refused: {}", failure.message),
        }
    }

    /// The same, with all that the instruction gave.
    pub(crate) fn outcome(
        &mut self,
        instruction: v1::Instruction,
    ) -> Result<(Duration, v1::Outcome)> {
        let batch = Batch {
            realm: self.realm,
            author: self.author.public(),
            session: self.session,
            sequence: self.sequence,
            instructions: vec![instruction],
        };
        self.sequence += 1;
        let signed = v1::Signed { envelope: Some(sign(&self.author, batch)) };
        let applied = self.tip.applied().clone();
        let index = applied.index + 1;
        let entry = v1::Entry {
            timestamp_us: index,
            seed: vec![7; 16],
            kind: Some(v1::entry::Kind::Signed(signed)),
        };
        let view = self.tip.view();
        let begun = Instant::now();
        let ran = self.machine.apply(view, EntryAt { index, entry: &entry, is_verified: true })?;
        let took = begun.elapsed();
        let outcome = ran.result.outcomes.first().context("an entry without an outcome")?.clone();
        self.tip.merge(ran.writes);
        self.tip.record(index, ran.result.encode_to_vec());
        self.tip.set_applied(Applied { index, timestamp_us: ran.timestamp_us, ..applied });
        self.tip.publish();
        if index.is_multiple_of(FLUSH_INTERVAL) {
            ensure!(self.tip.freeze(), "the state has nothing to flush");
            self.flusher.flush()?;
        }
        Ok((took, outcome))
    }
}

/// Images that are compiled already.
#[derive(Default)]
struct Loaded(Mutex<BTreeMap<Hash, Arc<Image>>>);

impl Loaded {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Hash, Arc<Image>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Images for Loaded {
    fn image(&self, hash: &Hash) -> Result<althing_protocol::Result<Arc<Image>>, Halt> {
        let image = self.lock().get(hash).map(Arc::clone);
        image.map(Ok).ok_or_else(|| Halt::new(format!("image {hash}: not one of the bench")))
    }
}
