//! Making a machine a member: a data directory of its own, and the word of a member that lets it in.

use crate::callers::{Callers, LOCAL};
use crate::config::{Config, Overrides};
use crate::data_dir::{self, Lock};
use crate::init::{self, make_directory};
use crate::node::realm_options;
use althing_client::Keystore;
use althing_protocol::{Error, JoinToken, Kind, PublicKey, Result};
use althing_realm::Realm;
use std::fs;
use std::path::{Path, PathBuf};

/// How a machine joins.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The data directory: nothing is there, or what an earlier try left.
    pub dir: PathBuf,
    /// What lets it in.
    pub token: JoinToken,
    /// Settings, as `section.key` and a value. A directory that is made now keeps them.
    pub settings: Vec<(String, String)>,
    /// What stands above the directory's file beside them.
    pub overrides: Overrides,
}

/// A machine that is a member.
#[derive(Clone, Debug)]
pub struct Joined {
    /// What to start its node with.
    pub config: Config,
    /// The node's own key.
    pub node: PublicKey,
    /// The key that the node keeps for the caller `local`: it holds no grant.
    pub local: PublicKey,
}

/// Makes this machine a member of the realm of the token. It has nothing of the realm yet but its
/// beginning: the rest comes once the node is started. Doing it again, after it was cut short or
/// done, goes on with the same member.
///
/// # Errors
/// `conflict` when the directory holds something else; what the members refuse, and then a directory
/// that was made for it is gone again; `unavailable` when none of those in the token answers.
pub async fn join(options: JoinOptions) -> Result<Joined> {
    let JoinOptions { dir, token, settings, mut overrides } = options;
    let is_new = init::is_vacant(&dir)?;
    let dir = match is_new {
        true => make_directory(&dir, |building| prepare(building, &settings))?.0,
        false => dir,
    };
    overrides.flags.extend(settings);
    match enter(&dir, &token, &overrides).await {
        // The members may have let it in all the same: the key that they know stays.
        Err(error) if is_new && !matches!(error.kind, Kind::Unavailable | Kind::Internal) => {
            fs::remove_dir_all(&dir).map_err(data_dir::failed("remove", &dir))?;
            Err(error)
        }
        entered => entered,
    }
}

/// What a data directory has before there is a realm in it.
fn prepare(dir: &Path, settings: &[(String, String)]) -> Result<()> {
    init::build_machine(dir, settings)?;
    data_dir::make_private(&data_dir::realm(dir))
}

async fn enter(dir: &Path, token: &JoinToken, overrides: &Overrides) -> Result<Joined> {
    let config = Config::load(dir, overrides)?;
    let _lock = Lock::take(dir)?;
    let node = Keystore::open(dir)?.show(data_dir::NODE_KEY)?;
    let callers = Callers::open(data_dir::callers(dir))?;
    let local = callers.list().into_iter().find(|caller| caller.name == LOCAL);
    let local = local.map(|caller| caller.key).ok_or_else(|| {
        Error::unavailable(format!(
            "data directory {}: has no caller {LOCAL}; join with an empty one",
            dir.display()
        ))
    })?;
    let options = realm_options(dir, &config.settings)?;
    match Realm::found_in(&options.dir)? {
        None => Realm::join(&options, token).await.map(drop)?,
        Some(realm) if realm == token.realm => {}
        Some(realm) => {
            return Err(Error::conflict(format!(
                "data directory {}: holds realm {realm}, and the token is of realm {}; name another \
                 directory",
                dir.display(),
                token.realm
            )));
        }
    }
    Ok(Joined { config, node, local })
}
