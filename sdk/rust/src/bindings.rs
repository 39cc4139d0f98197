//! The worlds of contracts and of actors, as generated from `wit/`.

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

/// What the world `described-actor` imports and exports. That world itself imports an interface of types
/// by name: every component made with this crate would import it too, contracts as well.
pub mod actor {
    wit_bindgen::generate!({
        path: "../../wit/actor",
        inline: "
            package althing:sdk;

            world actor {
                import althing:actor/host@0.1.0;
                export init: func() -> string;
                export handle: func(msg: string, state: string) -> string;
                export message-contract: func(msg: string, state: string) -> bool;
                export state-contract: func(state: string) -> bool;
                export althing:actor/description@0.1.0;
            }
        ",
        world: "althing:sdk/actor",
        pub_export_macro: true,
        default_bindings_module: "althing_sdk::bindings::actor",
        generate_all,
    });
}

/// What an actor exports besides, to take over the states of another version: with the world above it
/// is the world `migrating-actor`, whose own bindings would have macros of the same names.
pub mod actor_migration {
    wit_bindgen::generate!({
        path: "../../wit/actor",
        inline: "
            package althing:sdk;

            world actor-migration {
                export althing:actor/migration@0.1.0;
            }
        ",
        world: "althing:sdk/actor-migration",
        pub_export_macro: true,
        default_bindings_module: "althing_sdk::bindings::actor_migration",
        with: {
            "althing:actor/types@0.1.0": generate,
            "althing:actor/migration@0.1.0": generate,
        },
    });
}
