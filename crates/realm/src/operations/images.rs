//! Images on this node: prepared before they are staged, and how far that is.

use super::{blocking, need_sys, on_sys};
use crate::{Realm, images::ImageStatus};
use althing_operations::{Operation, text};
use althing_protocol::{Hash, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_prepare, for_status) = (Arc::clone(realm), Arc::clone(realm));
    let example = json!({"image": Hash([0xab; 32]).to_string()});
    vec![
        Operation::local_action(
            "action:image.prepare.v1",
            "Compiles an uploaded image on this node, in the background; returns at once.",
            on_sys("stage"),
            |_: &ImageInput| need_sys("stage"),
            move |_, input| prepare(Arc::clone(&for_prepare), input),
        )
        .example(example.clone()),
        Operation::query(
            "query:image.status.v1",
            "Says how far an image is on this node: absent, present, compiling, ready or refused.",
            on_sys("programs"),
            |_: &ImageInput| need_sys("programs"),
            move |_, input| status(Arc::clone(&for_status), input),
        )
        .example(example),
    ]
}

/// An image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImageInput {
    /// BLAKE3 of the component.
    image: String,
}

async fn prepare(realm: Arc<Realm>, input: ImageInput) -> Result<ImageStatus> {
    let hash = text::hash("image", &input.image)?;
    blocking(move || realm.core.images.prepare(&hash)).await
}

async fn status(realm: Arc<Realm>, input: ImageInput) -> Result<ImageStatus> {
    let hash = text::hash("image", &input.image)?;
    blocking(move || Ok(realm.core.images.status(&hash))).await
}
