//! kill -9 at random moments under load: every acknowledged instruction is there, once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_client::{Client, Endpoint, Keystore};
use althing_operations::Freshness;
use althing_protocol::{SecretKey, sys, v1};
use prost::Message;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

const KILLS: u64 = 50;
const WRITERS: usize = 4;

/// A real node; killed when dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // SIGKILL: the process gets no chance to tidy up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn althing(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_althing"));
    command.env("XDG_CONFIG_HOME", home.join("config")).env("ALTHING_DATA", home.join("data"));
    command
}

fn start(home: &Path) -> Node {
    let mut command = althing(home);
    command.args(["up", "--json", "--listen", "127.0.0.1:0"]);
    command.args(["--set", "data.disk_low_water_bytes=0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The first line of output comes once it listens.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the node did not start");
    Node(child)
}

async fn connect(home: &Path) -> Client {
    let key: SecretKey =
        Keystore::open(home.join("config/althing/keys")).unwrap().load("founder").unwrap();
    let endpoint = Endpoint::discover(&home.join("data")).unwrap();
    Client::connect(&endpoint, Some(key)).await.unwrap()
}

/// What one writer has tried, and what was acknowledged: number and index of the entry.
#[derive(Default)]
struct Progress {
    attempted: AtomicU64,
    acknowledged: Mutex<Vec<(u64, u64)>>,
}

/// Writes numbered keys until the node is gone.
async fn write(client: Client, writer: usize, progress: Arc<Progress>) {
    loop {
        let number = progress.attempted.fetch_add(1, Ordering::SeqCst);
        let put = sys::put(format!("/w/{writer}/{number:08}"), format!("{number}"));
        // Longer than the node lives: what is left unanswered stays unanswered.
        let answer = tokio::time::timeout(Duration::from_secs(5), client.submit(vec![put])).await;
        let Ok(Ok(outcomes)) = answer else { return };
        let Some(v1::outcome::Result::Output(output)) = &outcomes[0].result else {
            panic!("a put failed: {outcomes:?}");
        };
        let revision = v1::Written::decode(output.as_slice()).unwrap().revision.unwrap();
        assert_eq!(revision.create, revision.modify, "key {number} was written before");
        progress.acknowledged.lock().unwrap().push((number, revision.modify));
    }
}

/// All keys of `writer` in order, each with its revisions.
async fn keys(client: &Client, writer: usize) -> Vec<(u64, u64, u64)> {
    let prefix = format!("/w/{writer}/");
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let input = match &after {
            None => json!({"prefix": prefix, "limit": 1000}),
            Some(after) => json!({"prefix": prefix, "after": after, "limit": 1000}),
        };
        let page = client.call("query:kv.list.v1", input, Freshness::Linearizable).await.unwrap();
        for item in page["items"].as_array().unwrap() {
            let number = item["value"].as_str().unwrap().parse().unwrap();
            found.push((
                number,
                item["create"].as_u64().unwrap(),
                item["modify"].as_u64().unwrap(),
            ));
            after = Some(item["key"].as_str().unwrap().to_owned());
        }
        if page["more"] == false {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_after_fifty_kills() {
    let home = TempDir::new().unwrap();
    let progress: Vec<Arc<Progress>> = (0..WRITERS).map(|_| Arc::default()).collect();
    for round in 0..KILLS {
        let node = start(home.path());
        let mut writers = tokio::task::JoinSet::new();
        for (writer, progress) in progress.iter().enumerate() {
            let client = connect(home.path()).await;
            writers.spawn(write(client, writer, Arc::clone(progress)));
        }
        // Spread over start-up, a quiet log and a busy one; the same in every run.
        let pause = Duration::from_millis(round * 37 % 200);
        tokio::time::sleep(pause).await;
        drop(node);
        writers.abort_all();
        while let Some(ended) = writers.join_next().await {
            assert!(ended.is_ok() || ended.is_err_and(|e| e.is_cancelled()), "a writer failed");
        }
    }
    let node = start(home.path());
    let client = connect(home.path()).await;
    let mut total = 0;
    for (writer, progress) in progress.iter().enumerate() {
        let found: BTreeMap<_, _> = keys(&client, writer)
            .await
            .into_iter()
            .map(|(number, create, modify)| (number, (create, modify)))
            .collect();
        let acknowledged = progress.acknowledged.lock().unwrap();
        total += acknowledged.len() as u64;
        for (number, index) in &*acknowledged {
            assert_eq!(found.get(number), Some(&(*index, *index)), "writer {writer}, {number}");
        }
        assert!(found.values().all(|(create, modify)| create == modify), "written twice");
    }
    assert!(total > KILLS, "the load was real: {total} writes");
    let verify = althing(home.path()).args(["log", "verify", "--json"]).output().unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
    drop(node);
}
