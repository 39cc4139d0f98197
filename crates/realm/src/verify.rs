//! Recomputing what the log says about itself: chains and signatures (`althing log verify`).

use crate::{Realm, halt::internal};
use althing_protocol::{
    Batch, Error, Hash, RealmId, Result, decode, next_entry_chain, next_result_chain, v1,
    verify_all,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Entries read and checked at a time.
const PAGE_ENTRIES: u64 = 4_096;
/// Their bytes.
const PAGE_BYTES: usize = 8 << 20;

/// From where the log can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyRange {
    /// From the first entry on: the chains start from the realm's id.
    Genesis,
    /// From the oldest checkpoint kept on, at this index; what came before is compacted away.
    Checkpoint(u64),
}

/// What was recomputed, and agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verified {
    /// Where it starts.
    pub from: VerifyRange,
    /// The last entry checked.
    pub to: u64,
    /// Entries checked.
    pub entries: u64,
    /// Signatures checked.
    pub signatures: u64,
    /// Checkpoints in the log whose chains agree.
    pub checkpoints: u64,
    /// Chain over entries at `to`, as recomputed and as the state has it.
    pub entry_chain: String,
    /// Chain over results at `to`, as recomputed and as the state has it.
    pub result_chain: String,
    /// The entry that the state on disk is of; the log holds what follows.
    pub state_index: u64,
    /// Hash of that state, recomputed from every pair.
    pub state_hash: String,
}

/// The walk so far.
struct Walk {
    realm: RealmId,
    chains: [Hash; 2],
    /// Chains after each index that a checkpoint may name: multiples of the interval.
    marks: Vec<(u64, [Hash; 2])>,
    done: Verified,
}

impl Realm {
    /// Recomputes both chains and checks all signatures, up to what is applied now, and adds up
    /// the state on disk again. `progress` hears the last index of each page.
    ///
    /// # Errors
    /// `internal`, naming the first entry that does not agree.
    pub async fn verify(&self, progress: impl Fn(u64, u64) + Send) -> Result<Verified> {
        let (from, chains, mut next) = self.verify_start().await?;
        let view = self.core.store.view();
        let target = view.applied().clone();
        drop(view);
        let mut walk = Walk {
            realm: self.core.id,
            chains,
            marks: vec![(next.saturating_sub(1), chains)],
            done: Verified {
                from,
                to: target.index,
                entries: 0,
                signatures: 0,
                checkpoints: 0,
                entry_chain: target.entry_chain.to_string(),
                result_chain: target.result_chain.to_string(),
                state_index: 0,
                state_hash: String::new(),
            },
        };
        while next <= target.index {
            let limit = PAGE_ENTRIES.min(target.index + 1 - next);
            let page = self.entries(next, limit, PAGE_BYTES).await?;
            let Some(last) = page.last().map(|entry| entry.index) else {
                return Err(missing(next));
            };
            let step = move || walk.page(next, page).map(|()| walk);
            walk = tokio::task::spawn_blocking(step).await.map_err(internal)??;
            next = last + 1;
            progress(last, target.index);
        }
        let [entry_chain, result_chain] = walk.chains;
        if entry_chain != target.entry_chain || result_chain != target.result_chain {
            return Err(Error::internal(format!(
                "log up to entry {}: its chains are {entry_chain} and {result_chain}, the state \
                 has {} and {}; restore this node from a snapshot, or by `althing repair` from \
                 another member",
                target.index, target.entry_chain, target.result_chain
            )));
        }
        let store = self.core.store.clone();
        let report = tokio::task::spawn_blocking(move || store.check()).await.map_err(internal)?;
        let report = report.map_err(|e| Error::internal(format!("state on disk: {e}")))?;
        walk.done.state_index = report.applied.index;
        walk.done.state_hash = report.state_hash.to_string();
        Ok(walk.done)
    }

    /// Where the chains can be picked up: before the first entry, or at the checkpoint that the
    /// log was cut behind.
    async fn verify_start(&self) -> Result<(VerifyRange, [Hash; 2], u64)> {
        let first = self.log.first_kept()?;
        let start = Hash(self.core.id.0);
        if first == 0 {
            return Ok((VerifyRange::Genesis, [start; 2], 0));
        }
        let store = self.core.store.clone();
        let read = move || store.checkpoint_get(first - 1);
        let values = tokio::task::spawn_blocking(read).await.map_err(internal)?;
        match values.map_err(internal)? {
            Some(values) => Ok((
                VerifyRange::Checkpoint(values.index),
                [values.entry_chain, values.result_chain],
                first,
            )),
            None => Err(Error::internal(format!(
                "log from entry {first}: the checkpoint before it is not kept on this node, so its \
                 chains cannot be recomputed"
            ))),
        }
    }
}

impl Walk {
    fn page(&mut self, mut next: u64, page: Vec<crate::LogEntry>) -> Result<()> {
        let mut envelopes = Vec::new();
        for item in &page {
            if item.index != next {
                return Err(missing(next));
            }
            next += 1;
            if let Some(bytes) = &item.entry {
                let result = item.result.as_deref().ok_or_else(|| {
                    Error::internal(format!("entry {}: its result is not kept", item.index))
                })?;
                self.chains = [
                    next_entry_chain(&self.chains[0], item.index, bytes),
                    next_result_chain(&self.chains[1], item.index, result),
                ];
                self.done.entries += 1;
                self.entry(item.index, bytes, &mut envelopes)?;
            }
            if item.index.is_multiple_of(althing_protocol::limits::CHECKPOINT_INTERVAL) {
                self.marks.push((item.index, self.chains));
            }
        }
        self.signatures(&envelopes)
    }

    fn entry(
        &mut self,
        index: u64,
        bytes: &[u8],
        envelopes: &mut Vec<(u64, v1::Envelope)>,
    ) -> Result<()> {
        let entry: v1::Entry = decode("entry", bytes).map_err(|e| at(index, e))?;
        match entry.kind {
            Some(v1::entry::Kind::Signed(signed)) => {
                envelopes.push((index, signed.envelope.unwrap_or_default()));
            }
            Some(v1::entry::Kind::Checkpoint(checkpoint)) => self.checkpoint(index, &checkpoint)?,
            Some(v1::entry::Kind::Tick(_)) | None => {}
        }
        Ok(())
    }

    fn checkpoint(&mut self, index: u64, checkpoint: &v1::Checkpoint) -> Result<()> {
        let Some((_, chains)) = self.marks.iter().find(|(at, _)| *at == checkpoint.index) else {
            return Ok(());
        };
        let claimed = [&checkpoint.entry_chain, &checkpoint.result_chain];
        if claimed.iter().zip(chains).any(|(claimed, own)| claimed.as_slice() != own.0) {
            return Err(Error::internal(format!(
                "checkpoint in entry {index}: its chains at entry {} differ from the log's",
                checkpoint.index
            )));
        }
        self.done.checkpoints += 1;
        Ok(())
    }

    fn signatures(&mut self, envelopes: &[(u64, v1::Envelope)]) -> Result<()> {
        let mut signed = Vec::with_capacity(envelopes.len());
        for (index, envelope) in envelopes {
            let batch = Batch::decode(envelope).map_err(|e| at(*index, e))?;
            if batch.realm != self.realm {
                return Err(Error::internal(format!("entry {index}: signed for {}", batch.realm)));
            }
            signed.push((envelope, batch.author));
        }
        for (group, indices) in signed.chunks(256).zip(envelopes.chunks(256)) {
            let verdicts = verify_all(group, rand::rng());
            for (verdict, (index, _)) in verdicts.into_iter().zip(indices) {
                verdict.map_err(|e| at(*index, e))?;
                self.done.signatures += 1;
            }
        }
        Ok(())
    }
}

fn at(index: u64, error: Error) -> Error {
    Error::internal(format!("entry {index}: {}", error.message))
}

fn missing(index: u64) -> Error {
    Error::internal(format!("entry {index}: missing from the log of this node"))
}
