//! Grants and roles.

use super::{done, only_output};
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Result, SYS, sys, v1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) fn actions() -> Vec<Operation> {
    let key = "00".repeat(32);
    vec![
        Operation::action(
            "action:grant.add.v1",
            "Lets a subject use a method of a program, at a path and below.",
            GrantNeeded::new(SYS, "grant"),
            |input: AddInput| Ok(vec![sys::grant(&grant(input)?)]),
            |outcomes| {
                let (index, granted): (_, v1::GrantId) = only_output(outcomes)?;
                Ok(AddOutput { id: granted.id, index })
            },
        )
        .example(json!({
            "subject": format!("key:{key}"), "program": SYS, "method": "put",
            "prefix": "/processed_photos", "exclusive": true,
        })),
        Operation::action(
            "action:grant.revoke.v1",
            "Removes a grant.",
            GrantNeeded::new(SYS, "revoke"),
            |input: RevokeInput| Ok(vec![sys::revoke(input.id)]),
            done,
        )
        .example(json!({"id": 7})),
        Operation::action(
            "action:role.add.v1",
            "Gives a key a role: what is granted to the role is granted to the key.",
            GrantNeeded::new(SYS, "role_add"),
            |input: RoleInput| Ok(vec![sys::role_add(&member(input)?)]),
            done,
        )
        .example(json!({"role": "photographer", "key": key})),
        Operation::action(
            "action:role.remove.v1",
            "Takes a role from a key.",
            GrantNeeded::new(SYS, "role_remove"),
            |input: RoleInput| Ok(vec![sys::role_remove(&member(input)?)]),
            done,
        )
        .example(json!({"role": "photographer", "key": key})),
    ]
}

/// Who may do what, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddInput {
    /// `key:HEX`, `role:NAME`, `program:ID` or `any`.
    subject: String,
    /// A program's id, or `*`.
    program: String,
    /// A method, or `*`. Queries are methods too.
    method: String,
    /// Path prefix of whole segments, as text. With neither this nor prefix_base64: everywhere.
    prefix: Option<String>,
    /// Path prefix of whole segments, in base64.
    prefix_base64: Option<String>,
    /// Where this grant reaches, only grants of this prefix or a longer one count.
    #[serde(default)]
    exclusive: bool,
    /// Not valid from this time on, in microseconds since the Unix epoch; 0 is forever.
    #[serde(default)]
    expires_us: u64,
}

#[derive(Serialize, JsonSchema)]
struct AddOutput {
    /// The grant's number: what revokes it.
    id: u64,
    /// Index of the entry.
    index: u64,
}

/// Names a grant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RevokeInput {
    /// The grant's number, as query:grant.list.v1 shows it.
    id: u64,
}

/// A key, and a role that it has.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleInput {
    /// The role's name.
    role: String,
    /// The public key, in hexadecimal.
    key: String,
}

fn grant(input: AddInput) -> Result<v1::Grant> {
    let prefix = text::optional_bytes("prefix", input.prefix, input.prefix_base64)?;
    Ok(v1::Grant {
        subject: input.subject,
        program: input.program,
        method: input.method,
        prefix: prefix.unwrap_or_default(),
        exclusive: input.exclusive,
        expires_us: input.expires_us,
    })
}

fn member(input: RoleInput) -> Result<v1::RoleMember> {
    let key = text::public_key("key", &input.key)?.0.to_vec();
    Ok(v1::RoleMember { role: input.role, key })
}
