//! What every surface stands on: one realm, its operations, the callers, and admission.

use crate::admission::Admission;
use crate::callers::{Callers, LOCAL, revoked};
use crate::catalog;
use crate::config::Settings;
use crate::membership;
use crate::metrics::Metrics;
use crate::tokens;
use althing_operations::{Authority, Caller, Context, Freshness, Need, Registry};
use althing_protocol::{Error, PublicKey, Result, SYS, v1};
use althing_realm::Realm;
use futures::future::BoxFuture;
use prost::Message;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Shared by all requests.
pub(crate) struct Host {
    pub(crate) realm: Arc<Realm>,
    pub(crate) registry: Registry,
    pub(crate) callers: Arc<Callers>,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    /// Cancelled when the node stops: what lasts ends then.
    pub(crate) stopping: CancellationToken,
}

/// What of a body is needed before it is verified.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Head {
    #[prost(bytes = "vec", tag = "2")]
    author: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(crate) session: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) sequence: u64,
    /// Counted, not read.
    #[prost(message, repeated, tag = "5")]
    payloads: Vec<()>,
}

impl Host {
    pub(crate) fn new(
        realm: Arc<Realm>,
        callers: Callers,
        settings: Settings,
    ) -> Result<Arc<Self>> {
        let callers = Arc::new(callers);
        let mut operations = realm.operations();
        operations.extend(tokens::operations(&callers));
        operations.extend(membership::operations(&realm));
        let registry = catalog::registry(operations)?;
        Ok(Arc::new(Self {
            metrics: Metrics::new(),
            admission: Admission::new(&settings.limits),
            stopping: CancellationToken::new(),
            realm,
            registry,
            callers,
            settings,
        }))
    }

    /// Runs an operation in the name of `caller`.
    pub(crate) async fn call(
        self: &Arc<Self>,
        caller: Caller,
        operation: &str,
        input: Value,
        read: Freshness,
    ) -> Result<Value> {
        let resolved = self.registry.resolve(operation);
        let name = resolved.as_ref().map_or("unknown", |found| found.descriptor().name.as_str());
        let run = async {
            let operation = resolved.clone()?;
            let _permit = self.admission.request()?;
            self.admission.rate(&caller, &caller.key, 1)?;
            let authority = Arc::clone(self) as Arc<dyn Authority>;
            operation.run(Context { caller: caller.clone(), read, authority }, input).await
        };
        self.metrics.observe(name, run).await
    }

    /// Submits what its author signed, through the door of `caller`.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        envelope: v1::Envelope,
        head: Option<&Head>,
    ) -> Result<Vec<v1::Outcome>> {
        let run = async {
            let _permit = self.admission.request()?;
            let author = head.and_then(|head| PublicKey::try_from(head.author.as_slice()).ok());
            // What has no author costs its bearer; the realm says what is wrong with it.
            let author = author.unwrap_or(caller.key);
            let cost = head.map_or(1, |head| head.payloads.len().max(1));
            self.admission.rate(caller, &author, cost)?;
            self.realm.submit(envelope).await
        };
        self.metrics.observe("submit", run).await
    }

    /// Why the node is not ready, if it is not.
    pub(crate) fn not_ready(&self) -> Option<Error> {
        if self.stopping.is_cancelled() {
            return Some(Error::unavailable("node: is stopping; try again once it is back"));
        }
        if let Some(reason) = self.realm.stopped() {
            return Some(Error::unavailable(format!("realm: stopped: {reason}")));
        }
        let unprepared = self.realm.images_unprepared();
        if unprepared > 0 {
            let error = Error::unavailable(format!(
                "programs: images of {unprepared} are being prepared; try again in a moment"
            ));
            return Some(error.retry_after_ms(100));
        }
        match self.realm.status() {
            Err(error) => Some(error),
            Ok(status) if status.leader.is_some() => None,
            Ok(status) => {
                let what = status.waits_for.unwrap_or_else(|| "a leader".into());
                let error = Error::unavailable(format!("realm: waits for {what}"));
                Some(error.retry_after_ms(100))
            }
        }
    }
}

/// The head of an envelope's body, if it can be read at all.
pub(crate) fn head(envelope: &v1::Envelope) -> Option<Head> {
    Head::decode(envelope.body.as_slice()).ok()
}

/// What is about this node and not the realm. Who has the token of `local` can read the node's own key
/// beside it, so nothing is gained by asking for a grant; and on a machine that has just joined,
/// nobody has one.
fn is_of_node(need: &Need) -> bool {
    need.program == tokens::PROGRAM || (need.program == SYS && need.method == "status")
}

impl Authority for Host {
    fn allow(&self, caller: &Caller, need: &Need) -> Result<()> {
        if !self.callers.knows(caller) {
            return Err(revoked(&caller.name));
        }
        if caller.name == LOCAL && is_of_node(need) {
            return Ok(());
        }
        self.realm.allow(&caller.key, need)
    }

    fn reach(&self, read: Freshness) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.realm.view(read).await.map(drop) })
    }

    fn submit<'a>(
        &'a self,
        caller: &'a Caller,
        instructions: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>> {
        Box::pin(async move {
            // The call itself has paid for one.
            self.admission.rate(caller, &caller.key, instructions.len().saturating_sub(1))?;
            let secret = self.callers.secret(caller)?;
            // A client that goes away must not leave a number of its session half used.
            let realm = Arc::clone(&self.realm);
            tokio::spawn(async move { realm.submit_as(&secret, instructions).await })
                .await
                .map_err(|error| Error::internal(format!("submission: {error}")))?
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::{Batch, RealmId, SecretKey, sign, sys};

    #[test]
    fn the_head_is_that_of_the_body() {
        let key = SecretKey::from_seed(&[7; 32]);
        let batch = Batch {
            realm: RealmId([1; 32]),
            author: key.public(),
            session: 5,
            sequence: 9,
            instructions: vec![sys::put("a", "b"); 3],
        };
        let head = head(&sign(&key, batch)).unwrap();
        assert_eq!(head.author, key.public().0);
        assert_eq!((head.session, head.sequence, head.payloads.len()), (5, 9, 3));
    }
}
