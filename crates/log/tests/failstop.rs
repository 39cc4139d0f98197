//! A disk that fails: everyone who waits hears why, and nothing more is written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod toy;

use althing_log::{Alone, Done, FlushStats, Id, Log, Record, State, Storage, Vote};
use althing_protocol::Kind;
use openraft_rt_tokio::TokioRuntime;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use toy::{Toy, command, config};

/// What the test does to the disk, and what it sees of it.
#[derive(Default)]
struct Control {
    /// Flushes that are not answered yet; None: they are answered at once.
    held: Option<Vec<Done>>,
    /// Why flushes fail.
    broken: Option<&'static str>,
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

    fn read(&self, range: Range<u64>, _: usize) -> io::Result<Vec<Record>> {
        Ok(self.records.iter().filter(|record| range.contains(&record.id.index)).cloned().collect())
    }

    fn first_within(&self, _: u64) -> u64 {
        0
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
    let log = Log::<Toy, TokioRuntime>::start_on(config, toy.clone(), Alone, Box::new(memory));
    (log.await.unwrap(), toy)
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
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains("No space left on device"), "{error}");
    }
    // A disk that seems to be well again changes nothing: what it holds is not known.
    control.lock().unwrap().broken = None;
    let error = log.propose(command(99)).await.unwrap_err();
    assert!(error.message.contains("No space left on device"), "{error}");
    let error = log.propose_all(vec![command(99)]).await.unwrap_err();
    assert!(error.message.contains("No space left on device"), "{error}");
    assert!(log.fault().unwrap().contains("No space left"));
    assert_eq!(toy.commands(), vec![command(0)]);
    assert!(control.lock().unwrap().appends_after_failure <= 50);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_vote_that_cannot_be_flushed_elects_nobody() {
    let control =
        Arc::new(Mutex::new(Control { broken: Some("Input/output error"), ..Control::default() }));
    let memory = Memory { records: Vec::new(), state: State::default(), control };
    let config = config(std::path::Path::new("unused"));
    let log = Log::<Toy, TokioRuntime>::start_on(config, Toy::new(), Alone, Box::new(memory)).await;
    let error = log.err().unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("Input/output error"), "{error}");
}
