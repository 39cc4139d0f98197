//! Types of functions as text: what two of them are compared by, and what people are told.
//!
//! The text is our own, so that a refusal has the same words whatever the version of the engine. Named
//! types are written out, and names of parameters left out: neither makes a difference to a call.

use crate::imports::shorten;
use wasmparser::{
    PrimitiveValType as P,
    component_types::{ComponentDefinedType as Ty, ComponentFuncType, ComponentValType},
    types::TypesRef,
};

/// Types within types that are written out; one that goes deeper is no type of ours.
const DEPTH_MAX: u32 = 16;
/// The text of a type, in bytes; a longer one is no type of ours.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The type of a function, like `func(list<u8>) -> result<bool, error>`.
pub(crate) fn of(types: TypesRef<'_>, function: &ComponentFuncType) -> String {
    let mut text = String::new();
    text += if function.async_ { "async func(" } else { "func(" };
    for (at, (_, ty)) in function.params.iter().enumerate() {
        text += if at == 0 { "" } else { ", " };
        value(&mut text, types, *ty, 0);
    }
    text.push(')');
    if let Some(result) = function.result {
        text += " -> ";
        value(&mut text, types, result, 0);
    }
    let mut text = shorten(&text);
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text += "...";
    }
    text
}

fn value(text: &mut String, types: TypesRef<'_>, ty: ComponentValType, depth: u32) {
    if depth > DEPTH_MAX || text.len() > TEXT_BYTES_MAX {
        text.push_str("...");
        return;
    }
    match ty {
        ComponentValType::Primitive(ty) => text.push_str(primitive(ty)),
        ComponentValType::Type(id) => defined(text, types, &types[id], depth + 1),
    }
}

fn defined(text: &mut String, types: TypesRef<'_>, ty: &Ty, depth: u32) {
    let some = |text: &mut String, ty: &Option<ComponentValType>| match ty {
        Some(ty) => value(text, types, *ty, depth),
        None => text.push('_'),
    };
    match ty {
        Ty::Primitive(ty) => text.push_str(primitive(*ty)),
        Ty::Record(record) => list(text, "record { ", record.fields.iter(), |text, (name, ty)| {
            text.push_str(name);
            text.push_str(": ");
            value(text, types, *ty, depth);
        }),
        Ty::Variant(variant) => {
            list(text, "variant { ", variant.cases.iter(), |text, (name, case)| {
                text.push_str(name);
                if case.ty.is_some() {
                    text.push('(');
                    some(text, &case.ty);
                    text.push(')');
                }
            })
        }
        Ty::Enum(names) => list(text, "enum { ", names.iter(), |text, name| text.push_str(name)),
        Ty::Flags(names) => list(text, "flags { ", names.iter(), |text, name| text.push_str(name)),
        Ty::Tuple(tuple) => list(text, "tuple { ", tuple.types.iter(), |text, ty| {
            value(text, types, *ty, depth);
        }),
        Ty::List { element, .. } => {
            text.push_str("list<");
            value(text, types, *element, depth);
            text.push('>');
        }
        Ty::Option { ty, .. } => {
            text.push_str("option<");
            value(text, types, *ty, depth);
            text.push('>');
        }
        Ty::Result { ok, err, .. } => {
            text.push_str("result<");
            some(text, ok);
            text.push_str(", ");
            some(text, err);
            text.push('>');
        }
        Ty::Own(_) | Ty::Borrow(_) => text.push_str("resource"),
        Ty::Map { .. } => text.push_str("map"),
        Ty::FixedLengthList { .. } => text.push_str("list of fixed length"),
        Ty::Future { .. } => text.push_str("future"),
        Ty::Stream { .. } => text.push_str("stream"),
    }
}

fn list<T>(
    text: &mut String,
    open: &str,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    text.push_str(open);
    for (at, item) in items.enumerate() {
        if text.len() > TEXT_BYTES_MAX {
            break;
        }
        text.push_str(if at == 0 { "" } else { ", " });
        write(text, item);
    }
    text.push_str(" }");
}

fn primitive(ty: P) -> &'static str {
    match ty {
        P::Bool => "bool",
        P::S8 => "s8",
        P::U8 => "u8",
        P::S16 => "s16",
        P::U16 => "u16",
        P::S32 => "s32",
        P::U32 => "u32",
        P::S64 => "s64",
        P::U64 => "u64",
        P::F32 => "f32",
        P::F64 => "f64",
        P::Char => "char",
        P::String => "string",
        P::ErrorContext => "error-context",
    }
}
