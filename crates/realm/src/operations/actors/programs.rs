//! `query:actor.upgrade.v1` and `query:actor.describe.v1`, of the actors of a program, and
//! `query:actor.logs.v1`.

use super::{
    super::{catalog, need_sys, on_sys},
    PAGE_MAX, blocking, internal, need, on_actor, outcome, page_limit, read,
};
use crate::{LoggedLine, Realm};
use althing_operations::{
    Context, GrantNeeded, Need, Operation,
    actor::{ShownUpgrade, json as json_of},
};
use althing_protocol::{ProgramId, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn upgrade_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.upgrade.v1",
        "Says how many actors a program has, and how far an upgrade of them is.",
        on_sys("programs"),
        |_: &ProgramInput| need_sys("programs"),
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| {
                let info = machine.program(view, &input.program).map_err(internal)?;
                info.ok_or_else(|| catalog::unknown(&input.program))?;
                let program = machine.actor_program(view, &input.program).map_err(internal)?;
                Ok(UpgradeOutput { upgrade: program.into(), index: view.applied().index })
            })
        },
    )
    .example(json!({"program": "ledger"}))
}

/// Names a program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProgramInput {
    /// The program's id.
    program: String,
}

#[derive(Serialize, JsonSchema)]
struct UpgradeOutput {
    #[serde(flatten)]
    upgrade: ShownUpgrade,
    /// Index of the state of the realm that was read.
    index: u64,
}

pub(super) fn describe_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.describe.v1",
        "Says what messages and states of the actors of a program look like, as its active version has it.",
        GrantNeeded::new("{program}", "describe"),
        |input: &ProgramInput| {
            Ok(Need::new(ProgramId::new(input.program.as_str())?.as_str(), "describe"))
        },
        move |context, input| describe(Arc::clone(&realm), context, input),
    )
    .example(json!({"program": "ledger"}))
}

#[derive(Serialize, JsonSchema)]
struct Description {
    /// What the program says: by its SDKs an object with the JSON schemas `message` and `state`. Absent
    /// when it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Value>,
    /// Index of the state of the realm that was read.
    index: u64,
}

async fn describe(realm: Arc<Realm>, context: Context, input: ProgramInput) -> Result<Description> {
    let view = realm.view(context.read).await?;
    let core = Arc::clone(&realm.core);
    let run = move |deadline| {
        let described = realm.core.machine.actor_describe(&view, &input.program, deadline);
        let description =
            described.map_err(outcome)?.map(|text| json_of(&text).unwrap_or_default());
        Ok(Description { description, index: view.applied().index })
    };
    core.queries.run(run).await
}

pub(super) fn logs_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.logs.v1",
        "Reads what is kept of what an actor logged on this node, among the lines of its program.",
        on_actor("logs"),
        |input: &LogsInput| need("logs", &input.actor),
        move |context, input| logs(Arc::clone(&realm), context, input),
    )
    .example(json!({"actor": "bank/alice"}))
}

/// Lines of an actor's log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogsInput {
    /// The actor's id.
    actor: String,
    /// Lines with a number above this one.
    #[serde(default)]
    after: u64,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Lines {
    /// Oldest first.
    lines: Vec<LoggedLine>,
}

async fn logs(realm: Arc<Realm>, context: Context, input: LogsInput) -> Result<Lines> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    let view = realm.view(context.read).await?;
    blocking(move || {
        let info = realm.core.machine.actor(&view, &input.actor).map_err(outcome)?;
        let logs = &realm.core.logs;
        Ok(Lines { lines: logs.read_actor(&info, input.after, limit) })
    })
    .await
}
