//! The engine's own test suite of storages, over ours.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::LogConfig;
use crate::fault::Fault;
use crate::machine::Machine;
use crate::store::{Dir, Segments, Store};
use crate::types::Types;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};
use openraft_rt_tokio::TokioRuntime;
use std::sync::Arc;
use tempfile::TempDir;

#[path = "../tests/toy/mod.rs"]
mod toy;

type C = Types<u64, TokioRuntime>;

struct Builder;

impl StoreBuilder<C, Store, Machine<toy::Toy>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Store, Machine<toy::Toy>), StorageError<C>> {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { segment_bytes_max: 4_096, ..LogConfig::new(dir.path(), 1) };
        let segments = Segments::open(Dir::create(&config.dir, 1).unwrap(), &config).unwrap();
        let fault = Fault::default();
        let machine = Machine::new(Arc::new(toy::Toy::lenient()), fault.clone());
        Ok((dir, Store::new(Box::new(segments), fault), machine))
    }
}

#[test]
fn the_engines_suite_passes() {
    TokioRuntime::run(async { Suite::test_all(Builder).await }).unwrap();
}
