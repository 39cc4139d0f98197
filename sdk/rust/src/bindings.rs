//! The world `contract`, as generated from `wit/contract`.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::unwrap_used)]

wit_bindgen::generate!({
    path: "../../wit/contract",
    world: "contract",
    pub_export_macro: true,
    default_bindings_module: "althing_sdk::bindings",
});
