//! The corpus: logs whose every result is on record, and the means to run them.
//!
//! A realm's nodes must arrive at the same state whatever they run on. This crate takes logs through
//! the machine, over a state in memory, and says entry by entry what came of it. The same log is run
//! in several ways (compiled for this processor, interpreted, on another processor) and the lines
//! must be equal; and for each semantics number they are kept, so that a change of semantics is seen.
//!
//! ```text
//!   Scenario   a text that people write: corpus/logs/NUMBER/NAME.toml
//!     | guests corpus/guests/NAME.wat, or a built one: target/guests/NAME.wasm
//!   Log        the entries it stands for, times, seeds and signatures among them
//!     | run    machine and state; no realm, no disk
//!   Line       what one entry gave, as a text that is the same everywhere
//! ```

mod compare;
mod generate;
mod guests;
mod log;
mod making;
mod run;
mod scenario;

pub use compare::{Difference, first_difference};
pub use generate::generate;
pub use log::{Log, LogBuilder, Step, key};
pub use run::{Line, Outcome, Ran, run, run_flushing};
pub use scenario::Scenario;

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the parts of the corpus are: a checkout, or a copy of `corpus`, `wit` and `target/guests`.
#[derive(Clone, Debug)]
pub struct Corpus {
    root: PathBuf,
}

impl Corpus {
    /// The corpus in the checkout at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The scenarios of the semantics `number`, by name. One that is `also` for other guests is there
    /// once for each: `NAME` and `NAME/GUEST`.
    ///
    /// # Errors
    /// When there are none, or one says what no scenario can say.
    pub fn scenarios(&self, number: u32) -> Result<Vec<(String, Scenario)>> {
        let dir = self.logs(number);
        let files = fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
        let mut scenarios = Vec::new();
        for file in files {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let scenario: Scenario = toml::from_str(&String::from_utf8(read(&path)?)?)
                    .with_context(|| format!("in {}", path.display()))?;
                let others = scenario.variants();
                scenarios.extend(others.map(|(guest, other)| (format!("{name}/{guest}"), other)));
                scenarios.push((name, scenario));
            }
        }
        scenarios.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(scenarios)
    }

    /// The file with the lines on record for the scenario `name`.
    pub fn expected(&self, number: u32, name: &str) -> PathBuf {
        self.logs(number).join(name).with_extension("expected")
    }

    fn logs(&self, number: u32) -> PathBuf {
        self.root.join("corpus/logs").join(number.to_string())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
