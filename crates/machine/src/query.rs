//! Reading a view: what queries are made of.

use crate::{
    Context, Fault, Halt, LogLine, Machine, contract,
    grants::{Pairs, Read, decode_stored, split_role},
    keyspace, programs, sessions,
    sessions::Session,
};
use althing_protocol::{PublicKey, limits, v1};
use althing_state::{Value, View};
use std::ops::Bound;

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

    /// Asks a contract's read-only `query`.
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
    ) -> Result<(Vec<u8>, u64, Vec<LogLine>), Fault> {
        let context = Context {
            author: caller,
            index: view.applied().index,
            position: 0,
            timestamp_us: view.applied().timestamp_us,
            // A query is asked of one node, at any time: it gets no chance.
            seed: [0; 32],
        };
        contract::query(self, view, &context, program, method, args)
    }

    /// The images that programs of `view` run or have staged.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn images_in_use(&self, view: &View) -> Result<Vec<Vec<u8>>, Halt> {
        let images = |info: v1::ProgramInfo| [info.active, info.staged].into_iter().flatten();
        let programs = programs::list(view)?;
        Ok(programs.into_iter().flat_map(images).map(|image| image.image).collect())
    }
}
