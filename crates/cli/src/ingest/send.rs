//! Changes on their way into the realm: tagger first, then `sys`.
//!
//! A record in `sys` says that the file is done, so it is written last: what is cut off in between
//! is found again by the next run. Batches are independent, so many are under way at once.

use super::walk::{File, FileKind, Record};
use crate::{context::Remote, values};
use althing_client::SubmitStream;
use althing_protocol::{Error, Result, sys, v1};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{sync::OnceCell, task::JoinSet};

/// The program that tags files.
pub(crate) const TAGGER: &str = "tagger";
/// Changes in one batch.
const BATCH_CHANGES_MAX: usize = 128;
/// Keys and values in one batch, in bytes: with base64 and the tagger's copy well within a message.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Batches under way.
const IN_FLIGHT_MAX: usize = 16;

/// Changes that go together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    files: Vec<File>,
    deleted: Vec<String>,
    instructions: Vec<v1::Instruction>,
    bytes: usize,
}

impl Batch {
    /// A file that is new or changed.
    pub(crate) fn put(&mut self, record: Record) {
        self.bytes += record.key.len() + record.value.len();
        self.instructions.push(sys::put(record.key, record.value));
        self.files.push(record.file);
    }

    /// A file that tagger shall see once more, though `sys` has it.
    pub(crate) fn tag(&mut self, record: Record) {
        self.bytes += record.key.len() + record.value.len();
        self.files.push(record.file);
    }

    /// A key of a file that is gone; `path` is how tagger knows it.
    pub(crate) fn delete(&mut self, key: Vec<u8>, path: String) {
        self.bytes += key.len();
        self.instructions.push(sys::delete(key));
        self.deleted.push(path);
    }

    /// Changes in it.
    pub(crate) fn len(&self) -> usize {
        self.files.len() + self.deleted.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= BATCH_CHANGES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// The call of tagger for this batch.
    fn tagging(&self) -> Result<v1::Instruction> {
        let upserts = self.files.iter().map(Tagged::from).collect();
        let files = Files { upserts, removes: &self.deleted };
        let args = serde_json::to_vec(&files)
            .map_err(|e| Error::internal(format!("args of tagger: {e}")))?;
        Ok(v1::Instruction::new(TAGGER, "files", args))
    }
}

/// Args of tagger's method `files`.
#[derive(Serialize)]
struct Files<'a> {
    upserts: Vec<Tagged<'a>>,
    removes: &'a [String],
}

/// A file as tagger takes it.
#[derive(Serialize)]
struct Tagged<'a> {
    path: &'a str,
    size: u64,
    modified_us: u64,
    kind: FileKind,
}

impl<'a> From<&'a File> for Tagged<'a> {
    fn from(file: &'a File) -> Self {
        Self {
            path: &file.path,
            size: file.size,
            // Tagger's clock starts with the epoch.
            modified_us: u64::try_from(file.modified_us).unwrap_or(0),
            kind: file.kind,
        }
    }
}

/// What has been done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Changes.
    pub changes: usize,
    /// Paths that tagger did not take: they are longer than its keys.
    pub untagged: Vec<String>,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.untagged.extend(other.untagged);
    }
}

/// Where batches go.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    under_way: JoinSet<Result<Done>>,
}

struct Shared {
    remote: Arc<Remote>,
    /// Batches signed here, opened when there is something to send.
    stream: OnceCell<SubmitStream>,
    tags: bool,
}

impl Sender {
    /// With `tags`, tagger gets its batches.
    pub(crate) fn new(remote: Arc<Remote>, tags: bool) -> Self {
        let shared = Shared { remote, stream: OnceCell::new(), tags };
        Self { shared: Arc::new(shared), under_way: JoinSet::new() }
    }

    /// Sends a batch, waiting for a place; gives what was done meanwhile.
    ///
    /// # Errors
    /// What refused this or an earlier batch.
    pub(crate) async fn send(&mut self, batch: Batch) -> Result<Done> {
        let mut done = Done::default();
        while self.under_way.len() >= IN_FLIGHT_MAX {
            done.add(self.one().await?);
        }
        if batch.len() > 0 {
            let shared = Arc::clone(&self.shared);
            self.under_way.spawn(async move { shared.send(batch).await });
        }
        Ok(done)
    }

    /// Gives up on what is under way. Some of it may be done.
    pub(crate) fn forget(&mut self) {
        self.under_way = JoinSet::new();
    }

    /// Waits for all that is under way; gives what was done.
    ///
    /// # Errors
    /// What refused a batch.
    pub(crate) async fn settle(&mut self) -> Result<Done> {
        let mut done = Done::default();
        while !self.under_way.is_empty() {
            done.add(self.one().await?);
        }
        Ok(done)
    }

    /// Has tagger look at all files again whose rules changed, step by step. It has seen them all
    /// by now, so this only settles its books.
    ///
    /// # Errors
    /// What refused a step.
    pub(crate) async fn settle_rules(&self) -> Result<()> {
        let mut before = u64::MAX;
        loop {
            let step = v1::Instruction::new(TAGGER, "retag", b"{}".to_vec());
            let outputs = self.shared.submit(vec![step]).await?;
            let remaining = outputs.first().map_or(0, |output| remaining(output));
            // A tagger that gets nowhere is not asked for ever.
            if remaining == 0 || remaining >= before {
                return Ok(());
            }
            before = remaining;
        }
    }

    async fn one(&mut self) -> Result<Done> {
        match self.under_way.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(e)) => Err(Error::internal(format!("a batch of files: {e}"))),
            None => Ok(Done::default()),
        }
    }
}

impl Shared {
    async fn send(&self, batch: Batch) -> Result<Done> {
        let mut done = Done { changes: batch.len(), untagged: Vec::new() };
        if self.tags {
            let outputs = self.submit(vec![batch.tagging()?]).await?;
            done.untagged = outputs.first().map_or_else(Vec::new, |output| skipped(output));
        }
        if !batch.instructions.is_empty() {
            self.submit(batch.instructions).await?;
        }
        Ok(done)
    }

    /// Submits instructions of which each must succeed, and gives their outputs.
    async fn submit(&self, instructions: Vec<v1::Instruction>) -> Result<Vec<Vec<u8>>> {
        if self.remote.client.author().is_none() {
            // The node signs for the caller.
            let list: Vec<Value> = instructions.iter().map(instruction).collect();
            let input = json!({ "instructions": list });
            let output = self.remote.call("action:instruction.submit.v1", input).await?;
            let outcomes = output["outcomes"].as_array().into_iter().flatten();
            return Ok(outcomes
                .map(|outcome| values::extract(outcome, "output").unwrap_or_default())
                .collect());
        }
        let stream = self.stream.get_or_try_init(|| self.remote.client.submit_stream()).await?;
        let outcomes = stream.send(instructions).await?.await?;
        let outputs = outcomes.into_iter().map(|outcome| match outcome.result {
            Some(v1::outcome::Result::Failure(failure)) => Err(Error::from(&failure)),
            Some(v1::outcome::Result::Output(output)) => Ok(output),
            None => Ok(Vec::new()),
        });
        outputs.collect()
    }
}

/// The paths that tagger says it did not take.
fn skipped(output: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Reply {
        #[serde(default)]
        skipped: Vec<String>,
    }
    // Another tagger than ours may reply as it likes.
    serde_json::from_slice(output).map(|reply: Reply| reply.skipped).unwrap_or_default()
}

/// The files that tagger says it has to look at again.
fn remaining(output: &[u8]) -> u64 {
    let reply: Value = serde_json::from_slice(output).unwrap_or_default();
    reply["remaining"].as_u64().unwrap_or(0)
}

fn instruction(instruction: &v1::Instruction) -> Value {
    json!({
        "program": instruction.program_id, "method": instruction.method,
        "args_base64": BASE64.encode(&instruction.args),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::{SYS, limits};

    fn record(path: &str) -> Record {
        let file =
            File { path: path.into(), kind: FileKind::File, size: 1, modified_us: 2, mode: 0o644 };
        Record { key: format!("/files{path}"), value: serde_json::to_vec(&file).unwrap(), file }
    }

    #[test]
    fn the_largest_batch_fits_into_an_instruction_and_an_envelope() {
        let mut batch = Batch::default();
        let longest = format!("/{}", "\"".repeat(limits::KEY_BYTES_MAX - 7));
        while !batch.is_full() {
            batch.put(record(&longest));
        }
        assert!(batch.tagging().unwrap().args.len() < limits::INSTRUCTION_BYTES_MAX);
        let puts: usize = batch.instructions.iter().map(|put| put.args.len() + 64).sum();
        assert!(puts * 4 / 3 < limits::ENVELOPE_BYTES_MAX);
        assert!(batch.instructions.len() <= limits::BATCH_PAYLOADS_MAX);
    }

    #[test]
    fn tagger_sees_what_sys_has_already_and_sys_does_not() {
        let mut batch = Batch::default();
        batch.tag(record("/a"));
        batch.delete(b"/files/b".to_vec(), "/b".into());
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.instructions, [sys::delete("/files/b")]);
        let args: Value = serde_json::from_slice(&batch.tagging().unwrap().args).unwrap();
        assert_eq!(args["upserts"][0]["path"], "/a");
        assert_eq!(args["removes"], json!(["/b"]));
        assert_eq!(instruction(&batch.instructions[0])["program"], SYS);
    }
}
