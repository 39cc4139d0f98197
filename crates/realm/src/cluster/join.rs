//! A machine becomes a member: it asks one, that one brings the invitation into the log, and answers
//! with what the machine needs to begin.

use super::{Identity, is_member, kind, message::Joined};
use crate::{Options, Realm, halt::internal, identity, realm::Core, realm::state_path};
use althing_machine::genesis_writes;
use althing_peers::{Peer, call_once};
use althing_protocol::{Error, JoinToken, Kind, PublicKey, Result, decode, realm_id, sys, v1};
use althing_state::Store;
use bytes::Bytes;
use prost::Message;
use std::{fs, sync::Arc, time::Duration};

/// For a member to bring the invitation into the log, wherever the leader is.
const JOIN_WAIT: Duration = Duration::from_secs(20);

impl Realm {
    /// Makes the machine with the identity in `options` a member of the realm of `token`, and its
    /// directory one to [open](Realm::open): the log comes from the others. Doing it again after it
    /// was cut short goes on with the same member. Returns the id of the member.
    ///
    /// # Errors
    /// `conflict` when the directory holds a realm; what the members refuse; `unavailable` when none
    /// of those in the token answers.
    pub async fn join(options: &Options, token: &JoinToken) -> Result<u64> {
        let identity = options.identity.as_ref();
        let identity = identity.ok_or_else(|| internal("joining without a key of the node"))?;
        let path = state_path(&options.dir);
        if path.exists() {
            return Err(Error::conflict(format!(
                "realm in {}: exists; start its node, or choose another directory",
                options.dir.display()
            )));
        }
        let joined = ask(identity, token).await?;
        let Some(member) = joined.member else { return Err(internal("joined without a member")) };
        if realm_id(&joined.genesis) != token.realm {
            return Err(Error::denied("the member's genesis is that of another realm"));
        }
        let writes = genesis_writes(&joined.genesis)?;
        let at = |e: std::io::Error| {
            Error::unavailable(format!("realm in {}: {e}", options.dir.display()))
        };
        fs::create_dir_all(&options.dir).map_err(at)?;
        identity::write(&options.dir, &token.realm)?;
        // Under another name until it is whole: a directory that has the state is one to open.
        let unfinished = path.with_extension("joining");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        let store = Store::create(&unfinished, &joined.genesis, writes).map_err(internal)?;
        is_member(&store, member.id, joined.members.unwrap_or_default())?;
        drop(store);
        fs::rename(&unfinished, &path).map_err(at)?;
        fs::File::open(&options.dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        Ok(member.id)
    }
}

/// Asks the members of the token, one after the other, until one says yes or no. A no is certain only
/// if none was lost on the way that may have let the machine in.
async fn ask(identity: &Identity, token: &JoinToken) -> Result<Joined> {
    // A port that it gets only when it listens it says then.
    let address = identity.address.as_str();
    let address = if address.ends_with(":0") { "" } else { address };
    let join = token.join(&identity.key.public(), address, identity.labels.clone());
    let body = Bytes::from(join.encode_to_vec());
    let mut lost: Option<Error> = None;
    for contact in &token.contacts {
        let peer = Peer { key: contact.key, address: contact.address.clone() };
        let (key, body) = (&identity.key, body.clone());
        match call_once(key, &peer, &token.realm, kind::JOIN, body, JOIN_WAIT).await {
            Ok(answer) => return decode("answer to a join", &answer).map_err(internal),
            Err(error) if error.kind == Kind::Unavailable => {
                tracing::warn!(address = contact.address, %error, "a member was not reached");
                lost = Some(error);
            }
            Err(error) => {
                return Err(match lost {
                    None => error,
                    Some(lost) => Error::unavailable(format!(
                        "{}; and it is not known whether another member has let this machine in \
                         ({}): join again, in the same directory",
                        error.message, lost.message
                    )),
                });
            }
        }
    }
    Err(lost.unwrap_or_else(|| Error::invalid("join token: names no member to ask")))
}

/// Refuses who has no invitation before that becomes an entry on every node: anybody may ask.
async fn check_invited(core: &Arc<Core>, join: &v1::MemberJoin) -> Result<()> {
    join.verify(&core.id)?;
    let check = || core.machine.check_join(&core.store.view(), join).map_err(internal);
    if check()?.is_ok() {
        return Ok(());
    }
    // The invitation may be news here.
    core.reach(core.read_index().await?).await?;
    check()?
}

/// Lets the machine with the key `from` in, if its invitation holds.
pub(super) async fn admit(core: &Arc<Core>, from: &PublicKey, body: &[u8]) -> Result<Bytes> {
    let identity = core.cluster.identity.as_ref();
    let identity = identity.ok_or_else(|| internal("a node without a key was asked"))?;
    let join: v1::MemberJoin = decode("request to join", body)?;
    if join.key != from.0 {
        return Err(Error::denied(format!(
            "request to join: is for another key than {from}, which proved itself"
        )));
    }
    check_invited(core, &join).await?;
    let instruction = sys::member_join(&join);
    let outcomes = core.authors.submit(core, &identity.key, vec![instruction]).await?;
    let outcome = outcomes.into_iter().next().ok_or_else(|| internal("no outcome"))?;
    let member: v1::Member = match outcome.result {
        Some(v1::outcome::Result::Output(output)) => decode("member", &output)?,
        Some(v1::outcome::Result::Failure(failure)) => return Err((&failure).into()),
        None => return Err(internal("a member joined without an outcome")),
    };
    core.reach(outcome.index).await?;
    let members = Some(core.members_here()?);
    let genesis = core.store.genesis().to_vec();
    tracing::info!(id = member.id, address = member.address, key = %from, "a member joins");
    Ok(Joined { member: Some(member), genesis, members }.encode_to_vec().into())
}
