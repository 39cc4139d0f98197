//! kill -9 of the leader while money moves between accounts of actors: none is created, none lost, each
//! transfer takes place once, and on every node the histories replay.

use crate::{
    cluster::Cluster,
    machine::{Machine, until},
};
use althing_client::{Client, Options};
use althing_operations::Freshness;
use althing_protocol::{actor, v1};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::task::JoinSet;

const TRANSFERS: usize = 10_000;
/// Transfers under one signature.
const BATCH: usize = 50;
const BATCHES: usize = TRANSFERS / BATCH;
const LEDGERS: usize = 4;
/// Times that the leader dies.
const KILLS: usize = 3;
/// What a ledger has to move.
const ISSUED: i64 = 1_000_000;
const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];

fn ledger(number: usize) -> String {
    format!("bank/{}", number % LEDGERS)
}

/// The transfers of a batch. Every other one waits for what comes of it; the others only send.
fn transfers(batch: usize) -> Vec<v1::Instruction> {
    let numbers = batch * BATCH..(batch + 1) * BATCH;
    let one = |number: usize| {
        let to = ACCOUNTS[number % ACCOUNTS.len()];
        let message = json!({"transfer": {"amount": 1 + number % 7, "from": "vault", "to": to}});
        let (to, message) = (ledger(batch), message.to_string());
        if batch.is_multiple_of(2) { actor::request(to, message) } else { actor::send(to, message) }
    };
    numbers.map(one).collect()
}

/// What each account of a ledger has in the end.
fn expected(of: usize) -> BTreeMap<&'static str, i64> {
    let mut accounts: BTreeMap<_, _> = ACCOUNTS.map(|account| (account, 0)).into();
    for batch in (0..BATCHES).filter(|batch| batch % LEDGERS == of) {
        for number in batch * BATCH..(batch + 1) * BATCH {
            *accounts.entry(ACCOUNTS[number % ACCOUNTS.len()]).or_default() +=
                1 + number as i64 % 7;
        }
    }
    accounts.insert("vault", ISSUED - accounts.values().sum::<i64>());
    accounts
}

fn found_banks(machine: &Machine) {
    machine.user.deploy("ledger");
    for number in 0..LEDGERS {
        let id = ledger(number);
        machine.user.says(&["actor", "spawn", &id, "ledger"]);
        for account in ACCOUNTS.iter().chain(&["vault"]) {
            let open = json!({"open": {"account": account}}).to_string();
            machine.user.says(&["actor", "request", &id, &open]);
        }
        let issue = json!({"issue": {"to": "vault", "amount": ISSUED}}).to_string();
        machine.user.says(&["actor", "request", &id, &issue]);
    }
}

/// Takes every so-manieth batch until none is left.
async fn work(client: Client, next: Arc<AtomicUsize>, done: Arc<AtomicUsize>) {
    loop {
        let batch = next.fetch_add(1, Ordering::SeqCst);
        if batch >= BATCHES {
            return;
        }
        let outcomes = client.submit(transfers(batch)).await.unwrap();
        for outcome in &outcomes {
            let is_taken = matches!(outcome.result, Some(v1::outcome::Result::Output(_)));
            assert!(is_taken, "{outcome:?}");
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
}

async fn ask(client: &Client, query: &str, input: Value) -> Value {
    client.call(query, input, Freshness::Local).await.unwrap()
}

/// Whether nothing waits to be delivered any more, as this node sees it.
async fn is_quiet(client: &Client) -> bool {
    let list = ask(client, "query:actor.list.v1", json!({})).await;
    let actors = list["actors"].as_array().unwrap();
    assert_eq!(actors.len(), LEDGERS);
    actors.iter().all(|actor| actor["waiting"] == 0)
}

/// What this node itself has of a ledger.
async fn check_ledger(client: &Client, number: usize) {
    let id = ledger(number);
    let found = ask(client, "query:actor.state.v1", json!({"actor": id})).await;
    assert_eq!(found["state"]["accounts"], json!(expected(number)), "{id}");
    let mut page = json!({"actor": id});
    loop {
        let replayed = ask(client, "query:actor.replay.v1", page.clone()).await;
        assert_eq!(replayed["first_difference"], Value::Null, "{id}: {replayed}");
        if replayed["next"].is_null() {
            return;
        }
        page["from"] = replayed["next"].clone();
        page["state"] = replayed["state"].clone();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_conserved_when_the_leader_dies() {
    let mut cluster = Cluster::of(3).await;
    found_banks(cluster.running());
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for client in cluster.clients(Options::default()).await {
        workers.spawn(work(client, Arc::clone(&next), Arc::clone(&done)));
    }
    for kill in 1..=KILLS {
        let goal = BATCHES * kill / (KILLS + 1);
        until("money moves", async || done.load(Ordering::SeqCst) >= goal).await;
        let leader = cluster.leader().await;
        assert!(done.load(Ordering::SeqCst) < BATCHES, "it dies while money moves");
        cluster.machines[leader].kill();
        cluster.leader().await;
        cluster.machines[leader].start().await;
    }
    workers.join_all().await;
    let clients = cluster.clients(Options::default()).await;
    until("all is delivered", async || is_quiet(&clients[0]).await).await;
    cluster.agree().await;
    for client in &clients {
        for number in 0..LEDGERS {
            check_ledger(client, number).await;
        }
    }
    cluster.verify();
}
