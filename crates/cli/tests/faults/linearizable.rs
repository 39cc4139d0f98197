//! Clients of three nodes read, write and swap registers while nodes are killed, stand still and hand
//! the leadership over. One order explains all that they see.

use crate::{
    cluster::Cluster,
    history::{Answer, Ask, Recorder},
    load::brisk,
    lots::{Lots, rounds},
    machine::until,
};
use althing_client::{Client, Options, RetryPolicy};
use althing_operations::Freshness;
use althing_protocol::{Error, Kind, sys, v1};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

/// Each round has registers of its own: what a checker has to order grows with the history of one.
const REGISTERS_A_ROUND: u32 = 4;
/// A client that gave up on an answer is quiet for so long: what has no answer multiplies the orders
/// that there are to try.
const QUIET: Duration = Duration::from_millis(300);
/// Answers before a fault, during it, and after it, at most.
const ANSWERS: usize = 100;
/// For the checker, which takes exponential time for some histories.
const CHECK_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Fault {
    LeaderDies,
    FollowerDies,
    AllDie,
    LeaderStandsStill,
    FollowerStandsStill,
    LeaderHandsOver,
}

use Fault::*;

const FAULTS: [Fault; 6] =
    [LeaderDies, FollowerDies, AllDie, LeaderStandsStill, FollowerStandsStill, LeaderHandsOver];

/// What all clients share.
#[derive(Default)]
struct Table {
    recorder: Recorder,
    /// No value is written twice.
    next_value: AtomicU64,
    answered: AtomicU64,
    is_over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_explains_what_clients_see() {
    let mut lots = Lots::draw();
    let mut cluster = Cluster::of(3).await;
    let table = Arc::new(Table::default());
    let mut faults = FAULTS;
    for round in 0..rounds(FAULTS.len()) {
        if round % FAULTS.len() == 0 {
            lots.shuffle(&mut faults);
        }
        let fault = faults[round % FAULTS.len()];
        eprintln!("round {round}: {fault:?}");
        let clients = begin(&cluster, &table, round as u32, &mut lots).await;
        answers(&table, lots.below(ANSWERS)).await;
        suffer(&mut cluster, fault, &table, &mut lots).await;
        answers(&table, 1 + lots.below(ANSWERS)).await;
        table.is_over.store(true, Ordering::SeqCst);
        clients.join_all().await;
        table.is_over.store(false, Ordering::SeqCst);
    }
    let (asked, known) = table.recorder.counts();
    eprintln!("{asked} questions, {known} answers");
    assert!(known * 2 > asked, "most questions must have an answer: {known} of {asked}");
    let checked = timeout(CHECK_WAIT, spawn_blocking(move || table.recorder.check())).await;
    if let Err(why) = checked.expect("the checker did not come to an end").unwrap() {
        panic!("{why}");
    }
    cluster.agree().await;
    cluster.verify();
}

/// Waits for more answers.
async fn answers(table: &Table, more: usize) {
    let goal = table.answered.load(Ordering::SeqCst) + more as u64;
    until("clients are answered", async || table.answered.load(Ordering::SeqCst) >= goal).await;
}

async fn suffer(cluster: &mut Cluster, fault: Fault, table: &Table, lots: &mut Lots) {
    let place = match fault {
        LeaderDies | LeaderStandsStill | AllDie | LeaderHandsOver => cluster.leader().await,
        FollowerDies | FollowerStandsStill => cluster.follower().await,
    };
    let meanwhile = lots.below(ANSWERS);
    match fault {
        LeaderDies | FollowerDies => {
            cluster.machines[place].kill();
            answers(table, meanwhile).await;
            cluster.machines[place].start().await;
        }
        LeaderStandsStill | FollowerStandsStill => {
            cluster.machines[place].pause();
            answers(table, meanwhile).await;
            cluster.machines[place].resume();
        }
        AllDie => {
            cluster.machines.iter_mut().for_each(|machine| machine.kill());
            for machine in &mut cluster.machines {
                machine.start().await;
            }
        }
        LeaderHandsOver => {
            // Who was chosen may not be able to take over now: then nothing happens.
            cluster.machines[place].user.run(&["transfer-leader"]);
        }
    }
}

async fn begin(cluster: &Cluster, table: &Arc<Table>, round: u32, lots: &mut Lots) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for options in [brisk(), hasty()] {
        for client in cluster.clients(options).await {
            let (table, lots) = (Arc::clone(table), lots.part());
            clients.spawn(use_registers(client, table, round * REGISTERS_A_ROUND, lots));
        }
    }
    clients
}

/// For clients that give up soon, and never know what came of it.
fn hasty() -> Options {
    let retry = RetryPolicy { total: Duration::ZERO, ..RetryPolicy::default() };
    Options { answer_timeout: Duration::from_millis(250), retry, ..brisk() }
}

/// Asks about registers from `first` on until the round is over.
async fn use_registers(client: Client, table: Arc<Table>, first: u32, mut lots: Lots) {
    // What the client knows of a register is what it swaps.
    let mut known: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    while !table.is_over.load(Ordering::SeqCst) {
        let register = first + lots.below(REGISTERS_A_ROUND as usize) as u32;
        let next = || table.next_value.fetch_add(1, Ordering::SeqCst);
        let from = known.get(&register).copied().flatten();
        let ask = match lots.below(4) {
            0 | 1 => Ask::Read,
            2 => Ask::Write(next()),
            _ => Ask::Swap { from, to: next() },
        };
        let number = table.recorder.asked(register, ask);
        let answer = put_to(&client, register, ask).await;
        table.recorder.answered(number, answer);
        match (ask, answer) {
            (_, Answer::Unknown) => {
                sleep(QUIET).await;
                continue;
            }
            (_, Answer::Found(value)) => drop(known.insert(register, value)),
            (Ask::Write(to) | Ask::Swap { to, .. }, Answer::Done) => {
                known.insert(register, Some(to));
            }
            _ => {}
        }
        table.answered.fetch_add(1, Ordering::SeqCst);
    }
}

async fn put_to(client: &Client, register: u32, ask: Ask) -> Answer {
    let key = format!("/r/{register}");
    let instruction = match ask {
        Ask::Read => return read(client, &key).await,
        Ask::Write(value) => sys::put(key, value.to_string()),
        Ask::Swap { from, to } => sys::compare_and_swap(&v1::CompareAndSwap {
            key: key.into(),
            expected: Some(match from {
                None => v1::compare_and_swap::Expected::Absent(true),
                Some(value) => v1::compare_and_swap::Expected::Value(value.to_string().into()),
            }),
            new_value: to.to_string().into(),
        }),
    };
    let outcomes = match client.submit(vec![instruction]).await {
        Ok(outcomes) => outcomes,
        // Whatever it says: that nothing was done is not for this test to believe.
        Err(error) => return unknown(&error),
    };
    match &outcomes[0].result {
        Some(v1::outcome::Result::Output(_)) => Answer::Done,
        Some(v1::outcome::Result::Failure(failure)) => {
            let error = Error::from(failure);
            assert!(error.kind == Kind::Conflict && matches!(ask, Ask::Swap { .. }), "{error}");
            Answer::Refused
        }
        None => panic!("an outcome without a result"),
    }
}

async fn read(client: &Client, key: &str) -> Answer {
    let read = Freshness::Linearizable;
    match client.call("query:kv.get.v1", json!({ "key": key }), read).await {
        Ok(item) => Answer::Found(Some(item["value"].as_str().unwrap().parse().unwrap())),
        Err(error) if error.kind == Kind::NotFound => Answer::Found(None),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &Error) -> Answer {
    assert_eq!(error.kind, Kind::Unavailable, "no fault is a reason for: {error}");
    Answer::Unknown
}
