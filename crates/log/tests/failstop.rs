//! A disk that fails: everyone who waits hears why, nothing more is written, and nobody leads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod toy;

use althing_log::{Alone, Begin, Done, FlushStats, Id, Log, Record, State, Storage, Vote};
use althing_protocol::{Error, Kind};
use openraft_rt_tokio::TokioRuntime;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use toy::{Toy, command, config};

/// What the test does to the disk, and what it sees of it.
#[derive(Default)]
struct Control {
    /// Flushes that are not answered yet; None: they are answered at once.
    held: Option<Vec<Done>>,
    /// Why flushes fail.
    broken: Option<&'static str>,
    /// Why reads fail.
    unreadable: Option<&'static str>,
    /// Whether the next append panics.
    panics: bool,
    first_in_memory: u64,
    /// Where it was read, and how many bytes at most.
    reads: Vec<(ThreadId, usize)>,
    appends_after_failure: usize,
}

/// A log in memory. It shows what a storage has to do, and no more.
struct Memory {
    records: Vec<Record>,
    state: State,
    control: Arc<Mutex<Control>>,
}

impl Storage for Memory {
    fn state(&self) -> State {
        self.state
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut control = self.control.lock().unwrap();
        assert!(!std::mem::take(&mut control.panics), "a panic of the test");
        control.appends_after_failure += usize::from(control.broken.is_some());
        self.state.last = records.last().map(|record| record.id).or(self.state.last);
        self.records.extend(records);
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Id>) -> io::Result<()> {
        self.records.retain(|record| Some(record.id) <= last);
        self.state.last = self.records.last().map(|record| record.id);
        Ok(())
    }

    fn purge(&mut self, upto: Id) -> io::Result<()> {
        self.records.retain(|record| record.id > upto);
        self.state.purged = Some(upto);
        self.state.last = self.state.last.max(Some(upto));
        Ok(())
    }

    fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.state.vote = Some(vote);
        Ok(())
    }

    fn save_committed(&mut self, committed: Id) -> io::Result<()> {
        self.state.committed = Some(committed);
        Ok(())
    }

    fn flush(&mut self, done: Done) -> io::Result<()> {
        let mut control = self.control.lock().unwrap();
        match (control.broken, &mut control.held) {
            (Some(reason), _) => done(Err(io::Error::other(reason))),
            (None, Some(held)) => held.push(done),
            (None, None) => done(Ok(())),
        }
        Ok(())
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let mut control = self.control.lock().unwrap();
        control.reads.push((thread::current().id(), bytes_max));
        if let Some(reason) = control.unreadable {
            return Err(io::Error::other(reason));
        }
        Ok(self.records.iter().filter(|record| range.contains(&record.id.index)).cloned().collect())
    }

    fn first_within(&self, _: u64) -> u64 {
        0
    }

    fn first_in_memory(&self) -> u64 {
        self.control.lock().unwrap().first_in_memory
    }

    fn stats(&self) -> FlushStats {
        FlushStats::default()
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

async fn start(control: &Arc<Mutex<Control>>) -> (Log<Toy>, Arc<Toy>) {
    let memory = Memory { records: Vec::new(), state: State::default(), control: control.clone() };
    let toy = Toy::new();
    let config = config(std::path::Path::new("unused"));
    let log = Log::<Toy, TokioRuntime>::start_on(
        config,
        toy.clone(),
        Alone,
        Box::new(memory),
        Begin::Found,
    );
    (log.await.unwrap(), toy)
}

/// Waits until the log has stopped, and gives the reason. Nobody leads then.
async fn stopped(log: &Log<Toy>) -> String {
    let mut watch = log.watch();
    while watch.changed().await.is_some() {}
    // Who follows the engine is a task beside this one.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let fault = log.fault().unwrap();
    let metrics = log.metrics();
    assert_eq!((log.standing().leader, log.standing().leads), (None, false));
    assert_eq!(
        (metrics.leader, metrics.leads, metrics.fault.as_ref()),
        (None, false, Some(&fault))
    );
    assert_eq!(log.watch().now(), log.standing());
    fault
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_flush() {
    let control = Arc::default();
    let (log, toy) = start(&control).await;
    control.lock().unwrap().held = Some(Vec::new());
    let proposal = log.propose(command(0));
    tokio::pin!(proposal);
    // The engine writes it, and then has nothing more to do until the flush is answered.
    loop {
        tokio::select! {
            biased;
            result = &mut proposal => panic!("acknowledged: {result:?}"),
            () = tokio::task::yield_now() => {}
        }
        if control.lock().unwrap().held.as_ref().is_some_and(|held| !held.is_empty()) {
            break;
        }
    }
    assert!(toy.commands().is_empty());
    for done in control.lock().unwrap().held.take().unwrap() {
        done(Ok(()));
    }
    proposal.await.unwrap();
    assert_eq!(toy.commands(), vec![command(0)]);
}

#[tokio::test]
async fn a_failed_flush_stops_the_log_and_everyone_hears_why() {
    let control = Arc::default();
    let (log, toy) = start(&control).await;
    log.propose(command(0)).await.unwrap();
    control.lock().unwrap().broken = Some("No space left on device");
    let waiting: Vec<_> = (0..50)
        .map(|i| {
            let log = log.clone();
            tokio::spawn(async move { log.propose(command(i)).await })
        })
        .collect();
    for task in waiting {
        let error = Error::from(task.await.unwrap().unwrap_err());
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains("No space left on device"), "{error}");
    }
    // A disk that seems to be well again changes nothing: what it holds is not known.
    control.lock().unwrap().broken = None;
    let error = log.propose(command(99)).await.unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");
    let error = log.propose_all(vec![command(99)]).await.unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");
    assert!(log.fault().unwrap().contains("No space left"));
    assert_eq!(toy.commands(), vec![command(0)]);
    assert!(control.lock().unwrap().appends_after_failure <= 50);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_stops_the_log() {
    let control = Arc::default();
    let (log, toy) = start(&control).await;
    log.propose(command(0)).await.unwrap();
    control.lock().unwrap().unreadable = Some("Input/output error");
    // It is read when it is applied.
    let error = log.propose(command(1)).await.unwrap_err().to_string();
    assert!(error.contains("Input/output error"), "{error}");
    assert!(stopped(&log).await.contains("reading the log failed: Input/output error"));
    assert_eq!(toy.commands(), vec![command(0)]);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_panics_stops_the_log() {
    let control: Arc<Mutex<Control>> = Arc::default();
    let (log, _) = start(&control).await;
    control.lock().unwrap().panics = true;
    log.propose(command(0)).await.unwrap_err();
    let fault = stopped(&log).await;
    assert!(fault.contains("panicked"), "{fault}");
    let error = log.propose(command(0)).await.unwrap_err().to_string();
    assert!(error.contains("the log stopped: "), "{error}");
}

#[tokio::test]
async fn a_log_that_is_shut_down_has_not_failed() {
    let control = Arc::default();
    let (log, _) = start(&control).await;
    log.shutdown().await.unwrap();
    let mut watch = log.watch();
    while watch.changed().await.is_some() {}
    assert_eq!(log.fault(), None);
}

/// What is on disk is read in small pieces where it may block: not on this thread, which is the only
/// one of the reactor.
#[tokio::test]
async fn only_what_is_in_memory_is_read_on_the_reactor() {
    let control: Arc<Mutex<Control>> = Arc::default();
    let (log, toy) = start(&control).await;
    for (place, first_in_memory) in [0, u64::MAX].into_iter().enumerate() {
        control.lock().unwrap().first_in_memory = first_in_memory;
        control.lock().unwrap().reads.clear();
        log.propose(command(place)).await.unwrap();
        let reads = std::mem::take(&mut control.lock().unwrap().reads);
        assert!(!reads.is_empty(), "it is read when it is applied");
        for (thread, bytes_max) in reads {
            assert_eq!(thread == thread::current().id(), first_in_memory == 0);
            assert!(first_in_memory == 0 || bytes_max <= 64 << 10, "{bytes_max}");
        }
    }
    assert_eq!(toy.commands(), [command(0), command(1)]);
    log.shutdown().await.unwrap();
}

/// A compaction that takes too long is no fault: the log runs.
#[tokio::test(start_paused = true)]
async fn a_compaction_that_waits_says_so() {
    let control: Arc<Mutex<Control>> = Arc::default();
    let (log, toy) = start(&control).await;
    log.propose_all((0..100).map(command).collect()).await.unwrap();
    toy.save();
    control.lock().unwrap().held = Some(Vec::new());
    let error = log.compact(u64::MAX).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("the purge is not done within 10 s"), "{error}");
    assert!(!error.message.contains("restart"), "{error}");
    assert_eq!(log.fault(), None);
    for done in control.lock().unwrap().held.take().unwrap() {
        done(Ok(()));
    }
    assert!(log.compact(u64::MAX).await.unwrap() > 80);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_vote_that_cannot_be_flushed_elects_nobody() {
    let control =
        Arc::new(Mutex::new(Control { broken: Some("Input/output error"), ..Control::default() }));
    let memory = Memory { records: Vec::new(), state: State::default(), control };
    let config = config(std::path::Path::new("unused"));
    let log = Log::<Toy, TokioRuntime>::start_on(
        config,
        Toy::new(),
        Alone,
        Box::new(memory),
        Begin::Found,
    )
    .await;
    let error = log.err().unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("Input/output error"), "{error}");
}
