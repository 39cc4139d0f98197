//! Many seeds, on several threads.

use crate::simulation::{Options, Report, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs seeds in order until one shows a breach: gives the first that does. `done` hears of each
/// run, on the thread that ran it.
pub fn hunt(
    seeds: Range<u64>,
    options: Options,
    threads: usize,
    done: impl Fn(&Report) + Sync,
) -> Option<Report> {
    let next = AtomicU64::new(seeds.start);
    // Seeds behind one that shows a breach need not run; those before it must.
    let end = AtomicU64::new(seeds.end);
    let first: Mutex<Option<Report>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= end.load(SeqCst) {
                        return;
                    }
                    let report = run(seed, options);
                    done(&report);
                    if report.breach.is_none() {
                        continue;
                    }
                    end.fetch_min(seed, SeqCst);
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|first| seed < first.seed) {
                        *first = Some(report);
                    }
                }
            });
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Threads that this machine runs at once.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
