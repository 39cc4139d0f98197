//! Changes on their way into the realm: tagger first, then `sys`.
//!
//! A record in `sys` says that the file is done, so it is written last: what is cut off in between
//! is found again by the next run. Batches are independent, so many are under way at once.

use super::walk::{File, Record};
use crate::context::Remote;
use althing_client::SubmitStream;
use althing_protocol::{Error, Result, sys, v1};
use data_encoding::BASE64;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

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
        #[derive(Serialize)]
        struct Files<'a> {
            files: &'a [File],
            deleted: &'a [String],
        }
        let files = Files { files: &self.files, deleted: &self.deleted };
        let args = serde_json::to_vec(&files)
            .map_err(|e| Error::internal(format!("args of tagger: {e}")))?;
        Ok(v1::Instruction::new(TAGGER, "files", args))
    }
}

/// Where batches go.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    under_way: JoinSet<Result<usize>>,
}

struct Shared {
    remote: Arc<Remote>,
    /// Signed here when the user named a key; else the node signs for the caller.
    stream: Option<SubmitStream>,
    tags: bool,
}

impl Sender {
    /// With `tags`, tagger gets its batches.
    pub(crate) async fn open(remote: Arc<Remote>, tags: bool) -> Result<Self> {
        let stream = match remote.client.author() {
            Some(_) => Some(remote.client.submit_stream().await?),
            None => None,
        };
        Ok(Self { shared: Arc::new(Shared { remote, stream, tags }), under_way: JoinSet::new() })
    }

    /// Sends a batch, waiting for a place; gives the number of changes done meanwhile.
    ///
    /// # Errors
    /// What refused this or an earlier batch.
    pub(crate) async fn send(&mut self, batch: Batch) -> Result<usize> {
        let mut done = 0;
        while self.under_way.len() >= IN_FLIGHT_MAX {
            done += self.one().await?;
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

    /// Waits for all that is under way; gives the number of changes done.
    ///
    /// # Errors
    /// What refused a batch.
    pub(crate) async fn settle(&mut self) -> Result<usize> {
        let mut done = 0;
        while !self.under_way.is_empty() {
            done += self.one().await?;
        }
        Ok(done)
    }

    async fn one(&mut self) -> Result<usize> {
        match self.under_way.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(e)) => Err(Error::internal(format!("a batch of files: {e}"))),
            None => Ok(0),
        }
    }
}

impl Shared {
    async fn send(&self, batch: Batch) -> Result<usize> {
        let changes = batch.len();
        if self.tags {
            self.submit(vec![batch.tagging()?]).await?;
        }
        if !batch.instructions.is_empty() {
            self.submit(batch.instructions).await?;
        }
        Ok(changes)
    }

    /// Submits instructions of which each must succeed.
    async fn submit(&self, instructions: Vec<v1::Instruction>) -> Result<()> {
        let Some(stream) = &self.stream else {
            let list: Vec<Value> = instructions.iter().map(instruction).collect();
            let input = json!({ "instructions": list });
            return self.remote.call("action:instruction.submit.v1", input).await.map(|_| ());
        };
        let outcomes = stream.send(instructions).await?.await?;
        let failed = outcomes.into_iter().find_map(|outcome| match outcome.result {
            Some(v1::outcome::Result::Failure(failure)) => Some(Error::from(&failure)),
            _ => None,
        });
        failed.map_or(Ok(()), Err)
    }
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
    use super::super::walk::FileKind;
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
        assert_eq!(args["files"][0]["path"], "/a");
        assert_eq!(args["deleted"], json!(["/b"]));
        assert_eq!(instruction(&batch.instructions[0])["program"], SYS);
    }
}
