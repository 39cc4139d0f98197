//! What a node that is stopped has.

use crate::{cluster, divergence::Divergence, identity, realm::state_path};
use althing_log::Kept;
use althing_machine::{Halt, Images, Machine};
use althing_protocol::{Error, Hash, Kind, PublicKey, RealmId, Result, realm_id, v1};
use althing_sandbox::Image;
use althing_state::{StateError, Store};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A node with a whole log.
pub(super) struct Own {
    pub(super) dir: PathBuf,
    pub(super) realm: RealmId,
    pub(super) key: PublicKey,
    pub(super) log: Kept,
    /// What is wrong with its state.
    pub(super) why: String,
    /// The members as its state knows them; none when that cannot be read.
    pub(super) members: Vec<v1::Member>,
    /// Keys of voters that are right, when that is known.
    pub(super) signers: Vec<String>,
}

impl Own {
    /// Looks into the realm directory `dir` of the node with `key`.
    pub(super) fn look(dir: &Path, key: &PublicKey) -> Result<Self> {
        let realm = identity::read(dir)?;
        let state = State::read(dir, &realm)?;
        let log = Kept::read(&dir.join("log"));
        let log = log.map_err(|error| lost(error, state.member))?;
        if state.member.is_some_and(|member| member != log.node) {
            return Err(Error::conflict(format!(
                "{}: its log is that of member {}, and its state that of another; restore the \
                 directory",
                dir.display(),
                log.node
            )));
        }
        let found = Divergence::read(dir).ok().flatten();
        let why = found.as_ref().map(|found| found.reason(dir)).or(state.damage);
        Ok(Self {
            dir: dir.to_owned(),
            realm,
            key: *key,
            log,
            why: why.unwrap_or_else(|| "nothing that can be seen here".into()),
            members: state.members,
            signers: found.map(|found| found.signers).unwrap_or_default(),
        })
    }
}

/// What the state file says.
#[derive(Default)]
struct State {
    member: Option<u64>,
    members: Vec<v1::Member>,
    damage: Option<String>,
}

impl State {
    fn read(dir: &Path, realm: &RealmId) -> Result<Self> {
        let damaged = |damage: String| Ok(Self { damage: Some(damage), ..Self::default() });
        let store = match Store::open(&state_path(dir)) {
            Ok(store) => store,
            Err(error @ (StateError::Locked | StateError::NewerFormat { .. })) => {
                return Err(Error::unavailable(error.to_string()));
            }
            Err(error) => return damaged(error.to_string()),
        };
        let found = realm_id(&store.genesis());
        if found != *realm {
            return damaged(format!("the state is of realm {found}"));
        }
        let Ok(member) = cluster::member_of(&store) else {
            return damaged("the state does not say which member it is".into());
        };
        // A membership that has ended is not brought back.
        cluster::check_is_member(&store, member)?;
        let members = match machine(*realm).members(&store.view()) {
            Ok(members) => members,
            Err(error) => return damaged(error.to_string()),
        };
        let damage = store.check().err().map(|error| error.to_string());
        Ok(Self { member: Some(member), members, damage })
    }
}

/// One that reads the state, and runs nothing.
fn machine(realm: RealmId) -> Machine {
    struct None;
    impl Images for None {
        fn image(&self, _: &Hash) -> Result<Result<Arc<Image>>, Halt> {
            Err(Halt::new("no image is run while a node is repaired"))
        }
    }
    Machine::new(realm, Arc::new(None), Vec::new())
}

/// What to do when the log is not what it was. Trouble of the moment stays what it is.
fn lost(error: Error, member: Option<u64>) -> Error {
    if !matches!(error.kind, Kind::NotFound | Kind::Internal) {
        return error;
    }
    let (who, id) = match member {
        Some(id) => (format!("member {id}"), id.to_string()),
        None => ("the member that it was".into(), "ID".into()),
    };
    Error::conflict(format!(
        "this node cannot come back as {who}: {}. What it voted for and acknowledged is not known any \
         more. On another member, run `althing remove {id}`, then `althing invite`; here, run `althing \
         join` with an empty data directory",
        error.message
    ))
}
