//! What WASI has and a replicated guest has not: environment, arguments, terminals, files, sockets,
//! HTTP.
//!
//! It is defined from what a component imports, by the types of its functions alone: what can be
//! empty is empty, what can fail fails, and an object is one that fails at whatever it is asked for.
//! Only a function that can say neither stops the call.

use super::{Entered, State, broken, canonical, price};
use crate::state::Phase;
use wasmtime::{
    Result, StoreContextMut,
    component::{
        Component, Linker, Resource, ResourceAny, ResourceType, Type, Val,
        types::{ComponentItem, ResultType},
    },
};

/// An object that can do nothing.
pub(super) enum Absent {}

/// Cases of errors that say "there is no such thing here", best first.
const REFUSALS: &[&str] =
    &["unsupported", "not-supported", "not-permitted", "access-denied", "HTTP-request-denied"];

/// Defines every interface of WASI that `component` imports as one that is not there.
pub(super) fn define(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    // A resource that an interface uses of another stays the other's.
    let mut resources = Vec::new();
    for (name, import) in component.component_type().imports(&engine) {
        let (Some(canonical), ComponentItem::ComponentInstance(interface)) =
            (canonical(name), &import.ty)
        else {
            continue;
        };
        let mut instance = linker.instance(&canonical)?;
        for (function, export) in interface.exports(&engine) {
            match export.ty {
                ComponentItem::Resource(resource) if !resources.contains(&resource) => {
                    resources.push(resource);
                    instance.resource(function, ResourceType::host::<Absent>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => {
                    let name = format!("{name} {function}");
                    instance.func_new(function, move |store, ty, args, results| {
                        call(store, &name, args, ty.results().zip(results))
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn call<'a>(
    store: StoreContextMut<'_, State>,
    name: &str,
    args: &[Val],
    results: impl Iterator<Item = (Type, &'a mut Val)>,
) -> Result<()> {
    if store.data().phase == Phase::Starting {
        return Err(broken(format!(
            "called the import {name}, while it was instantiated; do that in an exported function instead"
        )));
    }
    let mut on = Entered::new(store, "wasi", price::NOTHING)?;
    on.tell("function", name);
    for arg in args {
        take(&mut on, arg)?;
    }
    for (ty, result) in results {
        let Some(value) = nothing(&mut on, &ty)? else {
            return Err(broken(format!("called {name}, which is not offered")));
        };
        *result = value;
    }
    Ok(())
}

/// Charges for an argument, and lets go of the handles in it.
fn take(on: &mut Entered<'_>, value: &Val) -> Result<()> {
    on.charge(price::NOTHING_PER_VALUE)?;
    match value {
        Val::String(text) => on.charge(text.len() as u64),
        Val::Resource(resource) => resource.resource_drop(&mut on.store),
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| take(on, value))
        }
        Val::Record(fields) => fields.iter().try_for_each(|(_, value)| take(on, value)),
        Val::Variant(_, Some(value))
        | Val::Option(Some(value))
        | Val::Result(Ok(Some(value)) | Err(Some(value))) => take(on, value),
        _ => Ok(()),
    }
}

/// The value of type `ty` that promises nothing, if there is one.
fn nothing(on: &mut Entered<'_>, ty: &Type) -> Result<Option<Val>> {
    Ok(match ty {
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Result(result) => refusal(result).map(|error| Val::Result(Err(error))),
        Type::Own(resource) if *resource == ResourceType::host::<Absent>() => {
            let object = Resource::<Absent>::new_own(0);
            Some(Val::Resource(ResourceAny::try_from_resource(object, &mut on.store)?))
        }
        _ => None,
    })
}

/// What a result fails with, if it can.
#[allow(clippy::option_option)]
fn refusal(result: &ResultType) -> Option<Option<Box<Val>>> {
    let value = match result.err() {
        None => return Some(None),
        Some(Type::Enum(error)) => Val::Enum(choose(error.names())?),
        Some(Type::Variant(error)) => {
            let bare = error.cases().filter(|case| case.ty.is_none());
            Val::Variant(choose(bare.map(|case| case.name))?, None)
        }
        Some(_) => return None,
    };
    Some(Some(Box::new(value)))
}

fn choose<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let rank =
        |name: &&str| REFUSALS.iter().position(|refusal| refusal == name).unwrap_or(usize::MAX);
    names.min_by_key(rank).map(str::to_owned)
}
