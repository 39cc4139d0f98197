//! Reading a view: what queries are made of.

use crate::{
    Context, Fault, Halt, LogLine, Machine, actor,
    grants::{Pairs, Read, decode_stored, split_role},
    keyspace, programs, sessions,
    sessions::Session,
};
use althing_protocol::{PublicKey, limits, v1};
use althing_sandbox::Deadline;
use althing_state::{Value, View};
use std::ops::Bound;

/// Keys of a program counted at once, and the bytes read to count them: a view does not live long.
const KEYS_COUNTED_MAX: usize = 100_000;
const BYTES_COUNTED_MAX: usize = 64 << 20;

/// One page of a listing of keys.
#[derive(Debug)]
pub struct KvPage {
    /// Keys and stored values; [`decode_pair`] reads the latter.
    pub pairs: Pairs,
    /// Whether there is more after the last one.
    pub more: bool,
}

impl Machine {
    /// The stored value of a key of `sys`; [`decode_pair`] reads it.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn kv_get(&self, view: &View, key: &[u8]) -> Result<Option<Value>, Halt> {
        Ok(view.get(&keyspace::kv(key))?)
    }

    /// Keys of `sys` under `prefix`, after `after`, in order.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn kv_list(
        &self,
        view: &View,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<KvPage, Halt> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = limit.min(limits::SCAN_PAIRS_MAX);
        let page =
            view.scan(althing_protocol::SYS, start, prefix, pairs, limits::SCAN_BYTES_MAX)?;
        Ok(KvPage { pairs: page.pairs, more: page.more })
    }

    /// All programs, by id.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn programs(&self, view: &View) -> Result<Vec<v1::ProgramInfo>, Halt> {
        programs::list(view)
    }

    /// All grants with their ids.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn grant_list(&self, view: &View) -> Result<Vec<(u64, v1::Grant)>, Halt> {
        let pairs = view.pairs(keyspace::GRANT, b"", limits::GRANTS_MAX + 1)?;
        pairs
            .iter()
            .map(|(key, bytes)| {
                let id = key.as_slice().try_into().map_or(0, u64::from_be_bytes);
                Ok((id, decode_stored("grant", bytes)?))
            })
            .collect()
    }

    /// All roles and who holds them.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn role_list(&self, view: &View) -> Result<Vec<(String, PublicKey)>, Halt> {
        let pairs = view.pairs(keyspace::ROLE, b"", limits::GRANTS_MAX + 1)?;
        pairs.iter().map(|(key, _)| split_role(key)).collect()
    }

    /// The open sessions of `author`, and the number its next session_open has in session 0.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn session_list(
        &self,
        view: &View,
        author: &PublicKey,
    ) -> Result<(u64, Vec<Session>), Halt> {
        let zero = sessions::find(view, author, 0)?.unwrap_or_default();
        Ok((zero.highest + 1, sessions::list(view, author)?))
    }

    /// Asks a contract's read-only `query`, which must answer before `deadline`.
    ///
    /// # Errors
    /// `not-found` for an unknown program, what the guest says, or a halt.
    pub fn query(
        &self,
        view: View,
        caller: PublicKey,
        program: &str,
        method: &str,
        args: &[u8],
        deadline: Deadline,
    ) -> Result<(Vec<u8>, u64, Vec<LogLine>), Fault> {
        let context = Context {
            author: caller,
            index: view.applied().index,
            position: 0,
            timestamp_us: view.applied().timestamp_us,
            // A query is asked of one node, at any time: it gets no chance.
            seed: [0; 32],
        };
        let index = context.index;
        let (work, finished) =
            self.contracts.query(view, context, program, method, args, deadline)?;
        Ok((finished.output?, finished.fuel_used, work.logs.into_lines(index, program)))
    }

    /// A program, if it is there.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn program(&self, view: &View, program: &str) -> Result<Option<v1::ProgramInfo>, Halt> {
        programs::find(view, program)
    }

    /// How many keys a program has; with whether there are more, where counting ended.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn program_keys(&self, view: &View, program: &str) -> Result<(u64, bool), Halt> {
        let (mut keys, mut bytes, mut last) = (0, 0, None::<Vec<u8>>);
        loop {
            let start = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let (pairs, size) = (limits::SCAN_PAIRS_MAX, limits::SCAN_BYTES_MAX);
            let page = view.scan(program, start, b"", pairs, size)?;
            keys += page.pairs.len();
            bytes += page.pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            last = page.pairs.into_iter().last().map(|(key, _)| key);
            if !page.more || keys >= KEYS_COUNTED_MAX || bytes >= BYTES_COUNTED_MAX {
                return Ok((keys as u64, page.more));
            }
        }
    }

    /// The images that programs of `view` run, or are upgraded to: the next entry may call them.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn images_to_run(&self, view: &View) -> Result<Vec<Vec<u8>>, Halt> {
        let mut images = Vec::new();
        for info in programs::list(view)? {
            images.extend(actor::upgrading_to(view, &info)?);
            images.extend(info.active.map(|image| image.image));
        }
        Ok(images)
    }

    /// The images that programs of `view` run, have staged, are upgraded to, or keep to be rolled back
    /// to.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn images_in_use(&self, view: &View) -> Result<Vec<Vec<u8>>, Halt> {
        let mut images = Vec::new();
        for info in programs::list(view)? {
            images.extend(actor::upgrading_to(view, &info)?);
            let kept = [info.active, info.staged].into_iter().flatten().chain(info.versions);
            images.extend(kept.map(|image| image.image));
        }
        Ok(images)
    }
}
