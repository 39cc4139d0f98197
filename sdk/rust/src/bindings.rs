//! The worlds of contracts, as generated from `wit/contract`.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::unwrap_used)]

wit_bindgen::generate!({
    path: "../../wit/contract",
    world: "contract",
    pub_export_macro: true,
    default_bindings_module: "althing_sdk::bindings",
});

/// The world of a contract that exports `migrate` as well. What it imports is the same.
pub mod migrating {
    wit_bindgen::generate!({
        path: "../../wit/contract",
        world: "migrating-contract",
        pub_export_macro: true,
        default_bindings_module: "althing_sdk::bindings::migrating",
        with: {
            "althing:contract/types@0.1.0": crate::bindings::althing::contract::types,
            "althing:contract/db@0.1.0": crate::bindings::althing::contract::db,
            "althing:contract/context@0.1.0": crate::bindings::althing::contract::context,
            "althing:contract/events@0.1.0": crate::bindings::althing::contract::events,
            "althing:contract/log@0.1.0": crate::bindings::althing::contract::log,
            "althing:contract/crypto@0.1.0": crate::bindings::althing::contract::crypto,
            "althing:contract/programs@0.1.0": crate::bindings::althing::contract::programs,
            "althing:contract/migration@0.1.0": generate,
        },
    });
}
