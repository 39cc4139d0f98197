//! Grants, roles, sessions, and how the realm is.

use super::{Nothing, blocking, need_sys, on_sys};
use crate::{Realm, RestoredSnapshot, Status, halt::internal};
use althing_operations::{Context, Operation, session, text};
use althing_protocol::{Result, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let of = || Arc::clone(realm);
    let (for_grants, for_roles, for_sessions, for_status, for_snapshot) =
        (of(), of(), of(), of(), of());
    vec![
        Operation::query(
            "query:grant.list.v1",
            "Lists all grants.",
            on_sys("grants"),
            |_: &Nothing| need_sys("grants"),
            move |context, _| grants(Arc::clone(&for_grants), context),
        ),
        Operation::query(
            "query:role.list.v1",
            "Lists all roles and who holds them.",
            on_sys("grants"),
            |_: &Nothing| need_sys("grants"),
            move |context, _| roles(Arc::clone(&for_roles), context),
        ),
        Operation::query(
            session::LIST,
            "Lists the open sessions of an author, and the number that opens the next.",
            on_sys("sessions"),
            |_: &session::ListInput| need_sys("sessions"),
            move |context, input| sessions(Arc::clone(&for_sessions), context, input),
        )
        .example(json!({})),
        Operation::query(
            "query:realm.status.v1",
            "Says how the realm is on this node.",
            on_sys("status"),
            |_: &Nothing| need_sys("status"),
            move |_, _| status(Arc::clone(&for_status)),
        ),
        Operation::local_action(
            "action:snapshot.save.v1",
            "Writes the state to a file on this node.",
            on_sys("snapshot"),
            |_: &SaveInput| need_sys("snapshot"),
            move |_, input| save(Arc::clone(&for_snapshot), input),
        )
        .example(json!({"name": "before-upgrade"})),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Grants {
    grants: Vec<Grant>,
}

#[derive(Serialize, JsonSchema)]
struct Grant {
    /// Its number; revoking takes it.
    id: u64,
    /// `key:HEX`, `role:NAME`, `program:ID` or `any`.
    subject: String,
    /// A program, or `*`.
    program: String,
    /// A method, several with `|` between, or `*`.
    method: String,
    /// Path prefix, if it is text; absent is everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// Path prefix in base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_base64: Option<String>,
    /// Where it reaches, only grants of its prefix or a longer one count.
    exclusive: bool,
    /// Not valid from this time on, in microseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_us: Option<u64>,
}

async fn grants(realm: Arc<Realm>, context: Context) -> Result<Grants> {
    let view = realm.view(context.read).await?;
    blocking(move || {
        let grants = realm.core.machine.grant_list(&view).map_err(internal)?;
        let grants = grants.into_iter().map(|(id, grant)| {
            let (prefix, prefix_base64) = text::text_or_base64(grant.prefix);
            Grant {
                id,
                subject: grant.subject,
                program: grant.program,
                method: grant.method,
                prefix: prefix.filter(|prefix| !prefix.is_empty()),
                prefix_base64,
                exclusive: grant.exclusive,
                expires_us: (grant.expires_us > 0).then_some(grant.expires_us),
            }
        });
        Ok(Grants { grants: grants.collect() })
    })
    .await
}

#[derive(Serialize, JsonSchema)]
struct Roles {
    members: Vec<Member>,
}

#[derive(Serialize, JsonSchema)]
struct Member {
    /// The role.
    role: String,
    /// Public key of who holds it.
    key: String,
}

async fn roles(realm: Arc<Realm>, context: Context) -> Result<Roles> {
    let view = realm.view(context.read).await?;
    blocking(move || {
        let members = realm.core.machine.role_list(&view).map_err(internal)?;
        let members = members.into_iter().map(|(role, key)| Member { role, key: key.to_string() });
        Ok(Roles { members: members.collect() })
    })
    .await
}

async fn sessions(
    realm: Arc<Realm>,
    context: Context,
    input: session::ListInput,
) -> Result<session::ListOutput> {
    let author = match &input.author {
        Some(hex) => text::public_key("author", hex)?,
        None => context.caller.key,
    };
    let view = realm.view(context.read).await?;
    blocking(move || {
        let (next_open, open) =
            realm.core.machine.session_list(&view, &author).map_err(internal)?;
        let sessions = open.into_iter().map(|open| session::Session {
            session: open.session,
            label: open.state.label,
            floor: (open.state.highest + 1).saturating_sub(limits::SESSION_WINDOW),
            next: open.state.highest + 1,
            used: open.state.used,
        });
        let sessions = sessions.collect();
        Ok(session::ListOutput { author: author.to_string(), next_open, sessions })
    })
    .await
}

async fn status(realm: Arc<Realm>) -> Result<Status> {
    blocking(move || realm.status()).await
}

/// A snapshot's name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SaveInput {
    /// Name of the file in the realm's `snapshots` directory, without its ending; the index of the
    /// state if absent.
    name: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Saved {
    /// The file.
    path: PathBuf,
    /// What it holds.
    #[serde(flatten)]
    snapshot: RestoredSnapshot,
}

async fn save(realm: Arc<Realm>, input: SaveInput) -> Result<Saved> {
    let index = realm.core.store.view().applied().index;
    let name = input.name.unwrap_or_else(|| format!("at-{index}"));
    // A caller chooses a name, never a place.
    althing_protocol::ProgramId::new(name.as_str()).map_err(|_| {
        althing_protocol::Error::invalid(format!(
            "name {name:?}: use 1 to 64 of a-z 0-9 - _, a letter first"
        ))
    })?;
    let dir = realm.core.options.dir.join("snapshots");
    tokio::fs::create_dir_all(&dir).await.map_err(internal)?;
    let path = dir.join(format!("{name}.snapshot"));
    let snapshot = realm.save_snapshot(&path).await?;
    Ok(Saved { path, snapshot })
}
