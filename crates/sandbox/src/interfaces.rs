//! The worlds: what a component of each kind may import, must export and may export, by names and
//! types.

use crate::{
    Kind,
    imports::{self, Interface},
    signature, wasi,
};
use althing_protocol::Error;
use wasmparser::{
    component_types::{ComponentAnyTypeId, ComponentEntityType},
    types::TypesRef,
};

/// The optional export of a contract that is told when it takes over from another version.
pub(crate) const MIGRATION: &str = "althing:contract/migration@0.1.0";
/// The optional export of an actor that takes over the states of another version.
pub(crate) const ACTOR_MIGRATION: &str = "althing:actor/migration@0.1.0";
/// The optional export of an actor that says what its messages and its state look like.
pub(crate) const ACTOR_DESCRIPTION: &str = "althing:actor/description@0.1.0";

/// What there is to know about components of a kind.
pub(crate) struct World {
    pub(crate) kind: Kind,
    /// One of them, in a sentence.
    one: &'static str,
    imports: &'static [Interface],
    /// Functions that it must export: the name, the type as [`signature`] writes it, and for people
    /// with the names of what is passed.
    exports: &'static [(&'static str, &'static str, &'static str)],
    /// Interfaces that it may export, each with its only function, and the type of that.
    optional: &'static [(&'static str, &'static str, &'static str)],
}

const CALL: &str = "func(string, list<u8>) -> result<list<u8>, string>";
const CALL_NAMED: &str = "func(method: string, args: list<u8>) -> result<list<u8>, string>";

static CONTRACT: World = World {
    kind: Kind::Contract,
    one: "a contract",
    imports: imports::CONTRACT,
    exports: &[("apply", CALL, CALL_NAMED), ("query", CALL, CALL_NAMED)],
    optional: &[(MIGRATION, "migrate", "func(string) -> result<_, string>")],
};

static ACTOR: World = World {
    kind: Kind::Actor,
    one: "an actor",
    imports: imports::ACTOR,
    exports: &[
        ("init", "func() -> string", "func() -> string"),
        ("handle", "func(string, string) -> string", "func(msg: string, state: string) -> string"),
        (
            "message-contract",
            "func(string, string) -> bool",
            "func(msg: string, state: string) -> bool",
        ),
        ("state-contract", "func(string) -> bool", "func(state: string) -> bool"),
    ],
    optional: &[
        (ACTOR_MIGRATION, "migrate", "func(string, string) -> string"),
        (ACTOR_DESCRIPTION, "describe", "func() -> string"),
    ],
};

/// Interfaces of ours that are exported are known here: one of a later version would never be called.
const OURS: &str = "althing:";

/// The world of a component that has these `exports`: the one that is whole, if one is. Otherwise an
/// actor's functions make it an actor, if nothing says that it is a contract.
pub(crate) fn world(exports: &[String]) -> &'static World {
    match (CONTRACT.is_whole(exports), ACTOR.is_whole(exports)) {
        (true, _) => return &CONTRACT,
        (false, true) => return &ACTOR,
        (false, false) => {}
    }
    let is_actor = ACTOR.first_of(exports).is_some() && CONTRACT.first_of(exports).is_none();
    if is_actor { &ACTOR } else { &CONTRACT }
}

impl World {
    /// The first of `exports` that it must have.
    fn first_of<'a>(&self, exports: &'a [String]) -> Option<&'a String> {
        exports.iter().find(|name| self.exports.iter().any(|(known, ..)| known == name))
    }

    /// Whether all are there that it must have.
    fn is_whole(&self, exports: &[String]) -> bool {
        self.exports.iter().all(|(name, ..)| exports.iter().any(|export| export == name))
    }

    /// Refuses an import that is not offered, or that has another type.
    pub(crate) fn check_import(&self, types: TypesRef<'_>, name: &str) -> Result<(), Error> {
        let refused = |what: String| {
            let offered = || self.imports.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            let hint = match name.starts_with("wasi:") {
                true => wasi::REFUSED.to_owned(),
                false => format!("offered are {}", offered().join(", ")),
            };
            Error::invalid(format!(
                "component: imports {what}, which is not offered to {}s; {hint}",
                self.kind
            ))
        };
        let offered = match self.imports.iter().find(|(offered, _)| *offered == name) {
            Some((_, functions)) => Some(*functions),
            // Whatever else these interfaces have is one that is not there.
            None if wasi::offers(name) => None,
            None => return Err(refused(format!("`{name}`"))),
        };
        let item = types.component_item_for_import(name).map(|item| item.ty);
        let Some(ComponentEntityType::Instance(id)) = item else {
            return Err(refused(format!("`{name}` as something else than an interface")));
        };
        let Some(offered) = offered else { return Ok(()) };
        for (item, found) in &types[id].exports {
            let known = offered.iter().find(|(function, _)| *function == item.as_str());
            match (found.ty, known) {
                (ComponentEntityType::Func(id), Some((_, wanted))) => {
                    let found = signature::of(types, &types[id]);
                    if found != *wanted {
                        return Err(Error::invalid(format!(
                            "component: imports `{item}` of `{name}` as {found}, but it is \
                             {wanted}; build it against the interface of this version"
                        )));
                    }
                }
                (ComponentEntityType::Type { referenced, .. }, None)
                    if !matches!(referenced, ComponentAnyTypeId::Resource(_)) => {}
                _ => return Err(refused(format!("`{item}` of `{name}`"))),
            }
        }
        Ok(())
    }

    /// Refuses a component without the exports of this world, or with others that would not be called
    /// as it expects.
    pub(crate) fn check_exports(
        &self,
        types: TypesRef<'_>,
        exports: &[String],
    ) -> Result<(), Error> {
        // A single function of the other kind says nothing: what is made of JavaScript exports an `init`
        // of its toolchain's own, and an actor may have a `query` for its own ends.
        if CONTRACT.is_whole(exports) && ACTOR.is_whole(exports) {
            return Err(Error::invalid(format!(
                "component: exports all functions of {} and all of {}; it is one or the other: leave \
                 the exports of one of them out",
                CONTRACT.one, ACTOR.one
            )));
        }
        for (name, wanted, named) in self.exports {
            let wants = format!("{} exports `{name}: {named}`", self.one);
            let found = match types.component_item_for_export(name).map(|item| item.ty) {
                Some(ComponentEntityType::Func(id)) => signature::of(types, &types[id]),
                Some(_) => "something else than a function".to_owned(),
                None => {
                    let text = format!("component: has no export `{name}`; {wants}");
                    return Err(Error::invalid(text));
                }
            };
            if found != *wanted {
                return Err(Error::invalid(format!(
                    "component: its export `{name}` has another type, {found}; {wants}"
                )));
            }
        }
        exports.iter().filter(|name| name.starts_with(OURS)).try_for_each(|name| {
            let Some((_, function, wanted)) =
                self.optional.iter().find(|(known, ..)| known == name)
            else {
                let known: Vec<_> = self.optional.iter().map(|(name, ..)| *name).collect();
                return Err(Error::invalid(format!(
                    "component: exports `{name}`, which nobody calls; optional exports are {}",
                    known.join(", ")
                )));
            };
            check_optional(types, name, function, wanted)
        })
    }

    /// Which of `exports` are optional ones.
    pub(crate) fn optional(&self, exports: &[String]) -> Vec<String> {
        let is_optional = |name: &&String| self.optional.iter().any(|(known, ..)| known == name);
        exports.iter().filter(is_optional).cloned().collect()
    }
}

fn check_optional(
    types: TypesRef<'_>,
    name: &str,
    function: &str,
    wanted: &str,
) -> Result<(), Error> {
    let found = match types.component_item_for_export(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            match types[id].exports.get(function).map(|item| item.ty) {
                Some(ComponentEntityType::Func(id)) => signature::of(types, &types[id]),
                Some(_) => "something else than a function".to_owned(),
                None => "nothing".to_owned(),
            }
        }
        _ => "something else than an interface".to_owned(),
    };
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "component: its export `{function}` of `{name}` is {found}, but wants to be {wanted}; build it \
         against the interface of this version, or leave it out"
    )))
}
