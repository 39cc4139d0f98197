//! (k) Actors: what a message costs in the sandbox, in the machine and through a node, and what actors
//! cost that nobody talks to.

use crate::{
    Bench,
    contracts::Guest,
    load::{Sample, timed},
    node::Node,
    raw::key,
    restart::settle,
    say,
    table::{Limit, Row, mebibytes, rate, thousands, time},
    world::World,
    writes::{BATCH, KEYS, Pool, check, people, streams},
};
use althing_protocol::{actor, json::canonical_value, v1};
use althing_sandbox::{ActorLimits, Image, Turn};
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::{hint::black_box, time::Duration};

/// A state of 1 KiB: so many accounts of a ledger.
const ACCOUNTS: u64 = 54;
const ISSUED: u64 = 1 << 40;
const LEDGER: &str = "bench/ledger";
/// Actors over which messages are spread.
const SPREAD: u64 = 10_000;
/// Actors that nobody talks to.
const IDLE: u64 = 100_000;
/// Messages that follow from one.
const CHAIN: u64 = 10;
const CLIENTS: usize = 64;
const MESSAGES_MIN: f64 = 10_000.0;
const SPAWN_MAX: Duration = Duration::from_millis(1);
/// What ten times as many actors may cost, of the memory of a node.
const IDLE_MAX: f64 = 1.25;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    say("k: actors");
    let ledger = Guest::load(bench, "ledger", "Rust")?;
    let relay = Guest::load(bench, "relay", "Rust")?;
    let mut rows = Vec::from(ledger.starts('k', "the ledger"));
    let state = in_machine(bench, &ledger, &relay, &mut rows)?;
    rows.extend(in_sandbox(ledger.image(), &state, bench.count(20_000, 50))?);
    rows.into_iter().for_each(|row| bench.table.add(row));
    through_a_node(bench)
}

fn canonical(message: &Value) -> Vec<u8> {
    // What is written here is JSON that anybody reads alike.
    canonical_value("message", message).unwrap_or_default()
}

fn account(number: u64) -> String {
    format!("account-{:02}", number % ACCOUNTS)
}

fn transfer(number: u64) -> Vec<u8> {
    canonical(&json!({"transfer": {"amount": 1, "from": "vault", "to": account(number)}}))
}

fn runner(number: u64) -> String {
    format!("bench/runner/{number:06}")
}

/// A message that sends no other.
fn run_alone() -> Vec<u8> {
    canonical(&json!({"run": {"legs": 0}}))
}

/// What makes a ledger of a new actor.
fn founding() -> Vec<v1::Instruction> {
    let accounts = (0..ACCOUNTS).map(account).chain(["vault".to_owned()]);
    let opened = accounts.map(|account| json!({"open": {"account": account}}));
    let issued = json!({"issue": {"to": "vault", "amount": ISSUED}});
    let messages = opened.chain([issued]);
    let requests = messages.map(|message| actor::request(LEDGER, canonical(&message)));
    [actor::spawn(LEDGER, "ledger")].into_iter().chain(requests).collect()
}

/// Inside the process: no log, no network, no signature. Gives the ledger's state.
fn in_machine(
    bench: &Bench,
    ledger: &Guest,
    relay: &Guest,
    rows: &mut Vec<Row>,
) -> Result<Vec<u8>> {
    let mut world = World::new(&bench.place("actors"))?;
    world.deploy("ledger", ledger.image())?;
    world.deploy("relay", relay.image())?;
    for instruction in founding() {
        world.apply(instruction)?;
    }
    let rounds = bench.count(30_000, 200);
    let requests = world.measure(rounds, |number| actor::request(LEDGER, transfer(number)))?;
    let state = reply(&mut world)?;
    let size = format!("state of {} bytes", thousands(state.len() as u64));
    let per_second = 1e9 / requests.mean();
    let aim = Limit::at_least(rate(MESSAGES_MIN), per_second, MESSAGES_MIN);
    rows.push(row("request in the machine, one actor", &requests, &size).limit(aim));
    let sends = world.measure(rounds, |number| actor::send(LEDGER, transfer(number)))?;
    rows.push(row("send, and its delivery behind the entry", &sends, &size));

    let actors = bench.count(SPREAD, 100);
    let spawns = world.measure(actors, |number| actor::spawn(runner(number), "relay"))?;
    let median = Duration::from_nanos(spawns.value_at_quantile(0.5));
    let aim = Limit::at_most(time(SPAWN_MAX), median.as_secs_f64(), SPAWN_MAX.as_secs_f64());
    rows.push(row("spawn in the machine, image in memory", &spawns, "").limit(aim));
    let spread = world.measure(rounds, |number| {
        // Far apart, one after the other.
        actor::request(runner(number * 7_919 % actors), run_alone())
    })?;
    let what = format!("request, spread over {} actors", thousands(actors));
    rows.push(row(&what, &spread, "small states"));
    rows.push(chain(&mut world, bench.count(2_000, 20))?);
    Ok(state)
}

/// The ledger's state as a request gives it.
fn reply(world: &mut World) -> Result<Vec<u8>> {
    use prost::Message as _;
    let (_, output) = world.apply(actor::request(LEDGER, transfer(0)))?;
    let reply = v1::ActorReply::decode(output.as_slice()).context("the reply of a ledger")?;
    reply.state.context("a ledger's state is too long to be shown")
}

/// Two actors hand a baton to and fro: one instruction, ten more messages behind it.
fn chain(world: &mut World, rounds: u64) -> Result<Row> {
    for (one, other) in [(0, 1), (1, 0)] {
        let next = json!({"next": {"runner": runner(other)}});
        world.apply(actor::request(runner(one), canonical(&next)))?;
    }
    let run = canonical(&json!({"run": {"legs": CHAIN}}));
    let times = world.measure(rounds, |_| actor::send(runner(0), run.clone()))?;
    let each = Duration::from_nanos((times.mean() / (CHAIN + 1) as f64) as u64);
    let goes = format!("{} each message", time(each));
    Ok(row(&format!("a chain of {CHAIN} sends, in one entry"), &times, &goes))
}

/// A message without the machine around it, and of that the contract in an instance of its own.
fn in_sandbox(image: &Image, state: &[u8], rounds: u64) -> Result<[Row; 2]> {
    let limits = ActorLimits { fuel: 50_000_000, memory_bytes_max: 64 << 20, deadline: None };
    let ended = |turn: Turn| -> Result<u64> {
        let fuel = turn.fuel_used;
        black_box(turn.result?);
        Ok(fuel)
    };
    let message = transfer(0);
    let fuel = ended(image.actor_turn(LEDGER, &message, state, &limits)?)?;
    let turns =
        timed(rounds, || ended(image.actor_turn(LEDGER, &message, state, &limits)?).map(drop))?;
    let checks = timed(rounds, || ended(image.actor_check(LEDGER, state, &limits)?).map(drop))?;
    let share = 100.0 * checks.mean() / turns.mean();
    let goes = format!("two instances; fuel {}", thousands(fuel));
    let of_it = format!(
        "{share:.0} % of a message; the handler's instance has one more, and the other contract"
    );
    Ok([
        row("a message in the sandbox: contracts, handle, contract", &turns, &goes),
        row("of it: the state contract, in an instance of its own", &checks, &of_it),
    ])
}

fn row(what: &str, times: &Histogram<u64>, goes: &str) -> Row {
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    Row::new('k', what, rate(1e9 / times.mean())).times(at(0.5), at(0.99)).goes(goes.to_owned())
}

fn to_ledger(_: usize, number: u64) -> v1::Instruction {
    actor::request(LEDGER, transfer(number))
}

fn to_many(client: usize, number: u64) -> v1::Instruction {
    let at = (client as u64 * 157 + number * 7_919) % SPREAD;
    actor::request(runner(at), run_alone())
}

/// The whole path: clients, signatures, log and flush.
fn through_a_node(bench: &mut Bench) -> Result<()> {
    let runtime = tokio::runtime::Handle::clone(bench.runtime.handle());
    let rows = runtime.block_on(async {
        let data = bench.place("actors-node");
        let node = Node::start(&bench.althing, &data, &[]).await?;
        for guest in ["ledger", "relay"] {
            node.deploy(&bench.guest(guest))?;
        }
        let mut rows = Vec::new();
        let founder = node.client(Some(key(0))).await?;
        node.admit(&key(0).public()).await?;
        check(&founder.submit(founding()).await?, ACCOUNTS + 3)?;
        // All that messages are spread over, however little is measured.
        spawn(&node, 0..SPREAD).await?;
        let clients = CLIENTS.min(bench.clients[2]);
        for (work, to) in [
            (to_ledger as fn(usize, u64) -> v1::Instruction, "one actor"),
            (to_many, "10,000 actors"),
        ] {
            let pool = Pool::connect(bench, &node, work, vec![node.process.id()]).await?;
            let (single, streamed) = pool.both(&[clients]).await?;
            rows.extend(single.iter().map(|sample| {
                load(bench, &format!("requests to {to}, {}", people(clients)), sample, 1)
            }));
            rows.extend(streamed.iter().map(|sample| {
                let what = format!("requests to {to}, signed by {BATCH}, {}", streams(clients));
                load(bench, &what, sample, BATCH)
            }));
        }
        rows.push(idle(bench, node).await?);
        anyhow::Ok(rows)
    })?;
    rows.into_iter().for_each(|row| bench.table.add(row));
    Ok(())
}

fn load(bench: &Bench, what: &str, sample: &Sample, per_signature: u64) -> Row {
    let crypto = 100.0 * bench.crypto.share(sample, per_signature);
    Row::load('k', what, sample).goes(format!("crypto {crypto:.0} %, {}", sample.cpu()))
}

/// Makes runners with these numbers.
async fn spawn(node: &Node, numbers: std::ops::Range<u64>) -> Result<()> {
    let client = node.client(Some(key(KEYS))).await?;
    node.admit(&key(KEYS).public()).await?;
    let stream = client.submit_stream().await?;
    let numbers: Vec<_> = numbers.collect();
    let mut waiting = std::collections::VecDeque::new();
    for batch in numbers.chunks(BATCH as usize) {
        let spawns = batch.iter().map(|number| actor::spawn(runner(*number), "relay")).collect();
        waiting.push_back((batch.len() as u64, stream.send(spawns).await?));
        if waiting.len() >= 8
            && let Some((count, pending)) = waiting.pop_front()
        {
            check(&pending.await?, count)?;
        }
    }
    for (count, pending) in waiting {
        check(&pending.await?, count)?;
    }
    stream.finish().await;
    Ok(())
}

/// What actors cost that nobody talks to: with few and with all of them the node is started again, and
/// holds what it needs.
async fn idle(bench: &Bench, node: Node) -> Result<Row> {
    let all = bench.count(IDLE, 2 * SPREAD);
    let (node, few) = restarted(bench, node).await?;
    say(format_args!("k: {} actors", thousands(all)));
    spawn(&node, SPREAD..all).await?;
    let (node, many) = restarted(bench, node).await?;
    let state = std::fs::metadata(node.launch.data.join("realm").join("state.redb"));
    let disk = mebibytes(state.context("the state's file")?.len());
    node.process.stop()?;
    let what = format!("memory of a node with {} idle actors, restarted", thousands(all));
    let text = format!("{IDLE_MAX} x with {}, {}", thousands(SPREAD), mebibytes(few));
    let limit = Limit::at_most(text, many as f64, IDLE_MAX * few as f64);
    let goes = format!("{disk} on disk, with the messages before");
    Ok(Row::new('k', what, mebibytes(many)).goes(goes).limit(limit))
}

/// The node, started again, and the memory that it has then.
async fn restarted(bench: &Bench, node: Node) -> Result<(Node, u64)> {
    settle(&node).await?;
    let launch = node.launch.clone();
    node.process.stop()?;
    let node = launch.start().await?;
    ensure!(node.number("index").await? > 0, "the node has nothing");
    tokio::time::sleep(bench.time(Duration::from_secs(5))).await;
    let bytes = node.process.resident_bytes()?;
    Ok((node, bytes))
}
