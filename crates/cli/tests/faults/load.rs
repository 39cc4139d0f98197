//! Clients that write numbered keys, and a ledger of what they were told.

use crate::{cluster::Cluster, machine::until};
use althing_client::{Client, Options, RetryPolicy};
use althing_operations::Freshness;
use althing_protocol::{Error, Kind, sys, v1};
use prost::Message as _;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Between two writes of a client: the log has to be verified afterwards.
const THINK: Duration = Duration::from_millis(8);

/// For clients of a node that may be gone for good: they give up soon, and go on with another write.
pub(crate) fn brisk() -> Options {
    let retry = RetryPolicy { total: Duration::from_secs(3), ..RetryPolicy::default() };
    let connect_timeout = Duration::from_secs(1);
    Options { connect_timeout, answer_timeout: Duration::from_secs(3), retry }
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<Page>,
}

#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// What one writer was told.
struct Page {
    writer: usize,
    /// Numbers of writes and the entries that they are, as acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    errors: Vec<Error>,
    /// The longest that one write took.
    stall: Duration,
}

/// What all of them were told.
pub(crate) struct Ledger(Vec<Page>);

impl Load {
    pub(crate) fn start(clients: Vec<Client>) -> Self {
        let shared = Arc::new(Shared::default());
        let mut writers = JoinSet::new();
        for (writer, client) in clients.into_iter().enumerate() {
            writers.spawn(write(client, writer, Arc::clone(&shared)));
        }
        Self { shared, writers }
    }

    /// Waits until `count` more writes were acknowledged.
    pub(crate) async fn more(&mut self, count: u64) {
        let goal = self.shared.acknowledged.load(Ordering::SeqCst) + count;
        until("writes are acknowledged", async || {
            if let Some(ended) = self.writers.try_join_next() {
                panic!("a writer ended: {:?}", ended.map(|page| page.writer));
            }
            self.shared.acknowledged.load(Ordering::SeqCst) >= goal
        })
        .await;
    }

    /// Lets what was begun come to its end.
    pub(crate) async fn stop(self) -> Ledger {
        self.shared.is_over.store(true, Ordering::SeqCst);
        Ledger(self.writers.join_all().await)
    }
}

fn key(writer: usize, number: u64) -> String {
    format!("/w/{writer}/{number:08}")
}

async fn write(client: Client, writer: usize, shared: Arc<Shared>) -> Page {
    let (acknowledged, errors) = (BTreeMap::new(), Vec::new());
    let mut page = Page { writer, acknowledged, errors, stall: Duration::ZERO };
    for number in 0.. {
        if shared.is_over.load(Ordering::SeqCst) {
            break;
        }
        let begun = Instant::now();
        let put = sys::put(key(writer, number), number.to_string());
        match client.submit(vec![put]).await {
            Ok(outcomes) => {
                page.acknowledged.insert(number, written(&outcomes[0]));
                shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => page.errors.push(error),
        }
        page.stall = page.stall.max(begun.elapsed());
        tokio::time::sleep(THINK).await;
    }
    page
}

/// The entry that a put is, which made its key.
fn written(outcome: &v1::Outcome) -> u64 {
    let Some(v1::outcome::Result::Output(output)) = &outcome.result else {
        panic!("a put failed: {outcome:?}");
    };
    let revision = v1::Written::decode(output.as_slice()).unwrap().revision.unwrap();
    assert_eq!(revision.create, revision.modify, "a key was written before");
    revision.modify
}

impl Ledger {
    pub(crate) fn acknowledged(&self) -> usize {
        self.0.iter().map(|page| page.acknowledged.len()).sum()
    }

    /// What went wrong for clients, in words, and how often.
    pub(crate) fn errors(&self) -> BTreeMap<String, usize> {
        let mut errors = BTreeMap::new();
        for error in self.0.iter().flat_map(|page| &page.errors) {
            *errors.entry(error.to_string()).or_default() += 1;
        }
        errors
    }

    /// The longest that a write took.
    pub(crate) fn stall(&self) -> Duration {
        self.0.iter().map(|page| page.stall).max().unwrap()
    }

    /// On every machine that runs, by what it has itself: each acknowledged write is there as the
    /// entry that its client was told, and none is there twice.
    pub(crate) async fn check(&self, cluster: &mut Cluster) {
        for error in self.0.iter().flat_map(|page| &page.errors) {
            assert_eq!(error.kind, Kind::Unavailable, "no fault is a reason for: {error}");
        }
        cluster.agree().await;
        for client in cluster.clients(Options::default()).await {
            for page in &self.0 {
                let found = keys(&client, page.writer).await;
                for (number, entry) in &page.acknowledged {
                    let revisions = found.get(number);
                    assert_eq!(revisions, Some(&(*entry, *entry)), "{}, {number}", page.writer);
                }
                assert!(found.values().all(|(made, last)| made == last), "written twice");
            }
        }
        cluster.verify();
    }
}

/// Numbers that a writer wrote, with the entries that made and last changed their keys.
async fn keys(client: &Client, writer: usize) -> BTreeMap<u64, (u64, u64)> {
    let mut input = json!({"prefix": format!("/w/{writer}/"), "limit": 1000});
    let mut found = BTreeMap::new();
    loop {
        let page = client.call("query:kv.list.v1", input.clone(), Freshness::Local).await.unwrap();
        for item in page["items"].as_array().unwrap() {
            let number: u64 = item["value"].as_str().unwrap().parse().unwrap();
            let index = |name: &str| item[name].as_u64().unwrap();
            assert_eq!(item["key"], key(writer, number));
            found.insert(number, (index("create"), index("modify")));
            input["after"] = item["key"].clone();
        }
        if page["more"] == false {
            return found;
        }
    }
}
