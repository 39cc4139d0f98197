//! Compiling function by function: how far it is, and which functions were compiled before.
//!
//! The compiler asks for every function by a hash of all that its code depends on. So the asking is
//! counted, and what is found is not compiled again: two programs in Python differ in their data,
//! hardly in their code. What it found or made is kept in one file beside the compiled images:
//!
//! ```text
//!   records: 32 bytes of key, length of the code (4 bytes, little endian), the code
//!   BLAKE3 of the file's name and of the records   32 bytes
//!   magic and version                              16 bytes
//! ```

use crate::cache::Cache;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use wasmparser::{Parser, Payload};
use wasmtime::CacheStore;

pub(crate) const MAGIC: &[u8; 16] = b"althing funcs 1\n";
const KEY_BYTES: usize = 32;
/// Compiled functions on disk, in bytes: those of two large runtimes, such as Python's.
const KEPT_BYTES_MAX: usize = 96 << 20;
/// An image with fewer functions compiles in about the time that reading the file takes.
const KEPT_FUNCTIONS_MIN: u32 = 1_000;

/// How far the compilation of an image is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU32,
    total: AtomicU32,
}

impl Progress {
    /// Functions that are compiled, and how many there are; both are 0 before it begins.
    pub fn functions(&self) -> (u32, u32) {
        let total = self.total.load(Ordering::Relaxed);
        // The compiler adds some of its own, between the guest's and the host's.
        (self.done.load(Ordering::Relaxed).min(total), total)
    }
}

/// What the compiler asks. One compilation at a time: it has all processors.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    one: Mutex<()>,
    run: Mutex<Run>,
}

/// What belongs to the compilation that runs.
#[derive(Debug, Default)]
struct Run {
    progress: Arc<Progress>,
    /// Whether there is a place to keep them.
    is_kept: bool,
    known: HashMap<[u8; KEY_BYTES], Code>,
}

#[derive(Debug)]
struct Code {
    bytes: Vec<u8>,
    is_used: bool,
}

impl Functions {
    /// Runs `compile`, which compiles `component`, and keeps its functions in `cache`.
    pub(crate) fn during<T>(
        &self,
        component: &[u8],
        cache: Option<&Cache>,
        progress: &Arc<Progress>,
        compile: impl FnOnce() -> T,
    ) -> T {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let total = count(component);
        let cache = cache.filter(|_| total >= KEPT_FUNCTIONS_MIN);
        let known = cache.and_then(Cache::functions).map(|records| parse(&records));
        progress.total.store(total, Ordering::Relaxed);
        let (progress, known) = (Arc::clone(progress), known.unwrap_or_default());
        *self.run() = Run { progress, is_kept: cache.is_some(), known };
        let compiled = compile();
        let run = std::mem::take(&mut *self.run());
        if let Some(cache) = cache {
            cache.keep_functions(&run.records());
        }
        compiled
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut run = self.run();
        run.progress.done.fetch_add(1, Ordering::Relaxed);
        let code = run.known.get_mut(key)?;
        code.is_used = true;
        Some(Cow::Owned(code.bytes.clone()))
    }

    fn insert(&self, key: &[u8], bytes: Vec<u8>) -> bool {
        let mut run = self.run();
        let Ok(key) = key.try_into() else { return false };
        if run.is_kept {
            run.known.insert(key, Code { bytes, is_used: true });
        }
        run.is_kept
    }
}

impl Run {
    /// The records to keep: those of this compilation first, then as many others as there is room.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let used = self.known.iter().filter(|(_, code)| code.is_used);
        let others = self.known.iter().filter(|(_, code)| !code.is_used);
        for (key, code) in used.chain(others) {
            if records.len() + KEY_BYTES + 4 + code.bytes.len() > KEPT_BYTES_MAX {
                break;
            }
            records.extend_from_slice(key);
            records.extend_from_slice(&(code.bytes.len() as u32).to_le_bytes());
            records.extend_from_slice(&code.bytes);
        }
        records
    }
}

/// What is in `records`, whose hash is right.
fn parse(mut records: &[u8]) -> HashMap<[u8; KEY_BYTES], Code> {
    let mut known = HashMap::new();
    while let Some((key, rest)) = records.split_first_chunk()
        && let Some((len, rest)) = rest.split_first_chunk()
        && let Some((code, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)
    {
        known.insert(*key, Code { bytes: code.to_vec(), is_used: false });
        records = rest;
    }
    known
}

/// Functions with a body in all modules of `component`.
fn count(component: &[u8]) -> u32 {
    let sections = Parser::new(0).parse_all(component);
    let counts = sections.map_while(Result::ok).map(|payload| match payload {
        Payload::CodeSectionStart { count, .. } => count,
        _ => 0,
    });
    counts.fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A module with so many functions.
    fn module(functions: u32) -> Vec<u8> {
        wat::parse_str(format!("(module {})", "(func)".repeat(functions as usize))).unwrap()
    }

    #[test]
    fn what_one_compilation_made_the_next_one_finds() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), &wasmtime::Engine::default()).unwrap();
        let key = [7; KEY_BYTES];
        for (functions, is_kept) in [(KEPT_FUNCTIONS_MIN - 1, false), (KEPT_FUNCTIONS_MIN, true)] {
            let progress = Arc::default();
            let during = |compile: &dyn Fn(&Functions) -> bool| {
                let functions_of = Functions::default();
                let compile = || compile(&functions_of);
                functions_of.during(&module(functions), Some(&cache), &progress, compile)
            };
            assert!(!during(&|found| found.get(&key).is_some()));
            assert_eq!(during(&|found| found.insert(&key, vec![1, 2, 3])), is_kept);
            let finds = |found: &Functions| found.get(&key).is_some_and(|code| *code == [1, 2, 3]);
            assert_eq!(during(&finds), is_kept);
            assert_eq!(progress.functions(), (2, functions));
        }
    }

    fn run(codes: &[(u8, usize, bool)]) -> Run {
        let code = |(key, len, is_used): &(u8, usize, bool)| {
            ([*key; KEY_BYTES], Code { bytes: vec![*key; *len], is_used: *is_used })
        };
        Run { known: codes.iter().map(code).collect(), ..Run::default() }
    }

    #[test]
    fn records_come_back() {
        let found = parse(&run(&[(1, 0, true), (2, 300, false), (3, 7, true)]).records());
        let mut found: Vec<_> = found.iter().map(|(key, code)| (key[0], &code.bytes[..])).collect();
        found.sort_unstable();
        assert_eq!(found, [(1, &[][..]), (2, &[2; 300]), (3, &[3; 7])]);
    }

    #[test]
    fn what_was_not_used_goes_first() {
        let third = KEPT_BYTES_MAX / 3;
        let records = run(&[(1, third, false), (2, third, true), (3, third, true)]).records();
        assert!(records.len() <= KEPT_BYTES_MAX);
        let known = parse(&records);
        assert!(known.contains_key(&[2; KEY_BYTES]) && known.contains_key(&[3; KEY_BYTES]));
        assert!(!known.contains_key(&[1; KEY_BYTES]));
    }
}
