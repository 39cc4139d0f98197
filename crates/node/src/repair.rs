//! Giving a node that is stopped the state of another member.

use crate::config::Config;
use crate::data_dir::Lock;
use crate::node::realm_options;
use althing_protocol::{Contact, Result};
use althing_realm::{Realm, Repaired};

/// Replaces the state of the node of `config`, as [`Realm::repair`] says. What was there is moved
/// aside, not removed.
///
/// # Errors
/// `unavailable` while the node runs; as [`Realm::repair`].
pub async fn repair(
    config: &Config,
    from: &[Contact],
    is_dry_run: bool,
    progress: impl Fn(u64, u64) + Send,
) -> Result<Repaired> {
    let _lock = Lock::take(&config.dir)?;
    let options = realm_options(&config.dir, &config.settings)?;
    Realm::repair(&options, from, is_dry_run, progress).await
}
