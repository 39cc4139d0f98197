//! Which programs there are: what runs, what could run, who manages it.

use super::{Nothing, blocking, need_sys, on_sys};
use crate::{Realm, halt::internal};
use althing_operations::{Context, Operation};
use althing_protocol::{Error, Result, v1};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_list, for_show) = (Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::query(
            "query:program.list.v1",
            "Lists the programs of the realm and their images.",
            on_sys("programs"),
            |_: &Nothing| need_sys("programs"),
            move |context, _| list(Arc::clone(&for_list), context),
        ),
        Operation::query(
            "query:program.show.v1",
            "Shows a program: its images, who manages it, and if asked how many keys it has.",
            on_sys("programs"),
            |_: &ShowInput| need_sys("programs"),
            move |context, input| show(Arc::clone(&for_show), context, input),
        )
        .example(json!({"program": "counter"})),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Programs {
    programs: Vec<Program>,
}

/// A program of the realm.
#[derive(Serialize, JsonSchema)]
struct Program {
    /// Its id.
    program: String,
    /// What calls run.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Image>,
    /// What can be activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    staged: Option<Image>,
    /// What it can be rolled back to: images that were active, the last one first.
    versions: Vec<Image>,
    /// Public key that may manage it.
    owner: String,
    /// Role whose members may manage it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Public keys of which one must have signed an image. None: images need no signature.
    publishers: Vec<String>,
    /// Present while it refuses calls and queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<Disabled>,
}

#[derive(Serialize, JsonSchema)]
struct Image {
    /// BLAKE3 of the component.
    image: String,
    /// `contract`, or `actor`.
    kind: &'static str,
    /// The package's version.
    version: String,
    /// What it is for.
    description: String,
    /// Fuel of one call; 0 is the default.
    fuel_max: u64,
    /// Linear memory of one call, in bytes; 0 is the default.
    memory_bytes_max: u64,
    /// Index of the entry that staged it.
    staged_index: u64,
    /// Index of the entry that activated it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_index: Option<u64>,
    /// Public key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Disabled {
    /// Index of the entry that disabled it.
    index: u64,
    /// Public key that signed that entry.
    key: String,
    /// Whether its keys are being deleted: then it cannot be enabled again.
    removing: bool,
}

fn image(info: v1::ImageInfo) -> Image {
    let kind = match info.kind() {
        v1::image_info::Kind::Contract => "contract",
        v1::image_info::Kind::Actor => "actor",
    };
    let manifest = info.manifest.unwrap_or_default();
    Image {
        image: HEXLOWER.encode(&info.image),
        kind,
        version: manifest.version,
        description: manifest.description,
        fuel_max: manifest.fuel_max,
        memory_bytes_max: manifest.memory_bytes_max,
        staged_index: info.staged,
        activated_index: (info.activated > 0).then_some(info.activated),
        publisher: info.signature.map(|signature| HEXLOWER.encode(&signature.publisher)),
    }
}

fn program(info: v1::ProgramInfo) -> Program {
    let publishers = info.publishers.unwrap_or_default().keys;
    Program {
        program: info.program,
        active: info.active.map(image),
        staged: info.staged.map(image),
        versions: info.versions.into_iter().map(image).collect(),
        owner: HEXLOWER.encode(&info.owner),
        role: Some(info.role).filter(|role| !role.is_empty()),
        publishers: publishers.iter().map(|key| HEXLOWER.encode(key)).collect(),
        disabled: info.disabled.map(|disabled| Disabled {
            index: disabled.index,
            key: HEXLOWER.encode(&disabled.author),
            removing: disabled.removing,
        }),
    }
}

async fn list(realm: Arc<Realm>, context: Context) -> Result<Programs> {
    let view = realm.view(context.read).await?;
    blocking(move || {
        let programs = realm.core.machine.programs(&view).map_err(internal)?;
        Ok(Programs { programs: programs.into_iter().map(program).collect() })
    })
    .await
}

/// Names a program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShowInput {
    /// The program's id.
    program: String,
    /// Whether to count its keys, which takes reading them.
    #[serde(default)]
    count_keys: bool,
}

#[derive(Serialize, JsonSchema)]
struct Shown {
    #[serde(flatten)]
    program: Program,
    /// Keys it has, if they were to be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    /// Whether it has more: counting ends at 100,000 keys, or 64 MiB of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_more: Option<bool>,
}

pub(super) fn unknown(program: &str) -> Error {
    Error::not_found(format!(
        "program {program}: not in this realm; `althing programs` lists those that are"
    ))
}

async fn show(realm: Arc<Realm>, context: Context, input: ShowInput) -> Result<Shown> {
    let view = realm.view(context.read).await?;
    blocking(move || {
        let machine = &realm.core.machine;
        let info = machine.program(&view, &input.program).map_err(internal)?;
        let info = info.ok_or_else(|| unknown(&input.program))?;
        let counted = input.count_keys.then(|| machine.program_keys(&view, &info.program));
        let (keys, keys_more) = counted.transpose().map_err(internal)?.unzip();
        Ok(Shown { program: program(info), keys, keys_more })
    })
    .await
}
