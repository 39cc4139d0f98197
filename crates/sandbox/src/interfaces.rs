//! What a contract may import, must export and may export: names and types.

use crate::{imports::OFFERED, signature, wasi};
use althing_protocol::Error;
use wasmparser::{
    component_types::{ComponentAnyTypeId, ComponentEntityType},
    types::TypesRef,
};

/// The type of `apply` and `query`.
const CONTRACT: &str = "func(string, list<u8>) -> result<list<u8>, string>";
/// The same for people, with the names of what is passed.
const CONTRACT_NAMED: &str = "func(method: string, args: list<u8>) -> result<list<u8>, string>";

/// The optional export of a contract that is told when it takes over from another version.
pub(crate) const MIGRATION: &str = "althing:contract/migration@0.1.0";

/// Interfaces that a contract may export, each with its only function, and the type of that.
const OPTIONAL: &[(&str, &str, &str)] =
    &[(MIGRATION, "migrate", "func(string) -> result<_, string>")];

/// Interfaces of this package that are exported are known here: one of a later version would never be
/// called.
const OURS: &str = "althing:contract/";

/// Refuses an import that is not one of [`OFFERED`], or that has another type.
pub(crate) fn check_import(types: TypesRef<'_>, name: &str) -> Result<(), Error> {
    let refused = |what: String| {
        let offered = || OFFERED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let hint = match name.starts_with("wasi:") {
            true => wasi::REFUSED.to_owned(),
            false => format!("offered are {}", offered()),
        };
        Error::invalid(format!(
            "component: imports {what}, which is not offered to contracts; {hint}"
        ))
    };
    let offered = match OFFERED.iter().find(|(offered, _)| *offered == name) {
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
                        "component: imports `{item}` of `{name}` as {found}, but it is {wanted}; \
                         build it against the interface of this version"
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

/// Refuses a component without the exports of a contract, or with an optional one that would not be
/// called as it expects.
pub(crate) fn check_exports(types: TypesRef<'_>, exports: &[String]) -> Result<(), Error> {
    for name in ["apply", "query"] {
        let wants = format!("a contract exports `{name}: {CONTRACT_NAMED}`");
        let found = match types.component_item_for_export(name).map(|item| item.ty) {
            Some(ComponentEntityType::Func(id)) => signature::of(types, &types[id]),
            Some(_) => "something else than a function".to_owned(),
            None => {
                return Err(Error::invalid(format!("component: has no export `{name}`; {wants}")));
            }
        };
        if found != CONTRACT {
            return Err(Error::invalid(format!(
                "component: its export `{name}` has another type, {found}; {wants}"
            )));
        }
    }
    exports.iter().filter(|name| name.starts_with(OURS)).try_for_each(|name| {
        let Some((_, function, wanted)) = OPTIONAL.iter().find(|(known, ..)| known == name) else {
            let known: Vec<_> = OPTIONAL.iter().map(|(name, ..)| *name).collect();
            return Err(Error::invalid(format!(
                "component: exports `{name}`, which nobody calls; optional exports are {}",
                known.join(", ")
            )));
        };
        check_optional(types, name, function, wanted)
    })
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

/// Which of `exports` are optional ones of a contract.
pub(crate) fn optional(exports: &[String]) -> Vec<String> {
    let is_optional = |name: &&String| OPTIONAL.iter().any(|(known, ..)| known == name);
    exports.iter().filter(is_optional).cloned().collect()
}
