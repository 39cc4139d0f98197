#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use althing_corpus::Corpus;
use althing_sandbox::EngineOptions;
use std::path::Path;

pub fn corpus() -> Corpus {
    Corpus::at(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// With images kept between runs: to compile Python takes most of a minute here.
pub fn cached(options: EngineOptions) -> EngineOptions {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    EngineOptions { cache_dir: Some(dir), ..options }
}
