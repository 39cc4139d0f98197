//! How a node reaches its peers.

use crate::types::{Ballot, Snapshot, Types};
use crate::{Replica, SnapshotFile};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{NetSnapshot, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, OptionalSend};
use std::future::Future;

/// Makes the connections to peers. Anything that the engine takes as a network is one.
pub trait Peers<R: Replica, T: AsyncRuntime>:
    RaftNetworkFactory<
        Types<R::Response, T>,
        Network: NetSnapshot<Types<R::Response, T>, SnapshotData = SnapshotFile>,
    >
{
}

impl<R, T, N> Peers<R, T> for N
where
    R: Replica,
    T: AsyncRuntime,
    N: RaftNetworkFactory<
            Types<R::Response, T>,
            Network: NetSnapshot<Types<R::Response, T>, SnapshotData = SnapshotFile>,
        >,
{
}

/// No peers: whoever asks for one is told that it cannot be reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

/// A peer that [`Alone`] was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Absent(u64);

impl Absent {
    fn unreachable<C: openraft::RaftTypeConfig>(self) -> Unreachable<C> {
        Unreachable::from_string(format!(
            "node {} cannot be reached: this node runs alone, without a peer network",
            self.0
        ))
    }
}

impl<A: Send + Sync + 'static, T: AsyncRuntime> RaftNetworkFactory<Types<A, T>> for Alone {
    type Network = Absent;

    async fn new_client(&mut self, target: u64, _: &openraft::impls::BasicNode) -> Absent {
        Absent(target)
    }
}

impl<A: Send + Sync + 'static, T: AsyncRuntime> RaftNetworkV2<Types<A, T>> for Absent {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Types<A, T>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<A, T>>, RPCError<Types<A, T>>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _: VoteRequest<Types<A, T>>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types<A, T>>, RPCError<Types<A, T>>> {
        Err(self.unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _: VoteRequest<Types<A, T>>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types<A, T>>, RPCError<Types<A, T>>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _: Ballot,
        _: Snapshot,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types<A, T>>, StreamingError<Types<A, T>>> {
        Err(self.unreachable().into())
    }
}
