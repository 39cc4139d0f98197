//! What a component is, read before it is compiled: its kind, its imports and exports, its size.
//!
//! A function of the bytes alone, so every node refuses the same images with the same words.

use crate::{config, imports::OFFERED, limits};
use althing_protocol::{Error, limits::GUEST_MEMORY_BYTES_MAX, limits::IMAGE_BYTES_MAX};
use wasmparser::{
    ComponentExternalKind, Encoding, Instance, MemoryType, Parser, Payload, PrimitiveValType,
    Validator,
    component_types::{
        ComponentDefinedType, ComponentEntityType, ComponentFuncType, ComponentValType,
    },
    types::TypesRef,
};

/// What a package is, read from what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exports `apply` and `query`: a replicated program.
    Contract,
}

/// What [`inspect`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What it is.
    pub kind: Kind,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Linear memory that it starts with.
    pub memory_bytes_min: u64,
}

/// Reads the component `bytes`.
///
/// Bodies of functions are not looked at: that happens when it is compiled.
///
/// # Errors
/// `invalid`, naming what the component has or lacks, and what to do about it.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Error> {
    check_header(bytes)?;
    let mut survey = Survey::default();
    let mut validator = Validator::new_with_features(config::features());
    let mut parser = Parser::new(0);
    parser.set_features(config::features());
    let malformed = |error: wasmparser::BinaryReaderError| {
        Error::invalid(format!(
            "component: not valid, or uses a proposal that is not offered: {} (at offset {})",
            error.message(),
            error.offset()
        ))
    };
    let mut depth = 0_u32;
    let mut inspection = None;
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        if let Payload::End(_) = payload
            && depth == 0
        {
            let types = validator.types(0).ok_or_else(|| Error::invalid("component: empty"))?;
            inspection = Some(survey.conclude(types)?);
        }
        match &payload {
            Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        survey.visit(&payload).map_err(malformed)??;
        validator.payload(&payload).map_err(malformed)?;
    }
    inspection.ok_or_else(|| Error::invalid("component: it has no end"))
}

/// Refuses what is not a component, by its first bytes.
fn check_header(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > IMAGE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "component: {} bytes, the limit is {IMAGE_BYTES_MAX}; strip it, and build it for size",
            bytes.len()
        )));
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Error::invalid(
            "component: this is a core module; make a component of it with `wasm-tools component \
             new module.wasm -o component.wasm`, or build guests with `cargo xtask guests`",
        ));
    }
    Err(Error::invalid("component: this is not WebAssembly; wants a component (.wasm)"))
}

/// What a walk over the sections gathers.
#[derive(Default)]
struct Survey {
    imports: Vec<String>,
    exports: Vec<String>,
    /// Memory and tables that each core module defines.
    modules: Vec<Module>,
    /// Indices of the modules that are instantiated.
    instances: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Module {
    memories: u32,
    memory_bytes_min: u64,
    tables: u32,
}

impl Survey {
    /// Notes what matters in `payload`. The outer error is the parser's, the inner one ours.
    fn visit(
        &mut self,
        payload: &Payload<'_>,
    ) -> Result<Result<(), Error>, wasmparser::BinaryReaderError> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.modules.push(Module::default());
                if self.modules.len() > limits::MODULES_MAX as usize {
                    return Ok(Err(too_many("core modules", limits::MODULES_MAX)));
                }
            }
            Payload::ComponentSection { .. } => {
                return Ok(Err(Error::invalid(
                    "component: it holds another component; link them into one without nesting",
                )));
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.memory(&memory?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let elements = table?.ty.initial;
                    if elements > limits::TABLE_ELEMENTS_MAX as u64 {
                        return Ok(Err(Error::invalid(format!(
                            "component: a table starts with {elements} elements, the limit is {}",
                            limits::TABLE_ELEMENTS_MAX
                        ))));
                    }
                    self.module().tables += 1;
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.instances.push(module_index);
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind != ComponentExternalKind::Type {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    fn memory(&mut self, memory: &MemoryType) {
        let module = self.module();
        module.memories += 1;
        module.memory_bytes_min = memory.initial.saturating_mul(1 << 16);
    }

    /// The module that is being read.
    fn module(&mut self) -> &mut Module {
        if self.modules.is_empty() {
            self.modules.push(Module::default());
        }
        let last = self.modules.len() - 1;
        &mut self.modules[last]
    }

    /// The whole component is read: `types` are those of its imports and exports.
    fn conclude(&self, types: TypesRef<'_>) -> Result<Inspection, Error> {
        for name in &self.imports {
            check_import(types, name)?;
        }
        for name in ["apply", "query"] {
            check_export(types, name)?;
        }
        let memory_bytes_min = self.check_resources()?;
        Ok(Inspection {
            kind: Kind::Contract,
            imports: self.imports.clone(),
            exports: self.exports.clone(),
            memory_bytes_min,
        })
    }

    /// Counts what an instance of the component is made of.
    fn check_resources(&self) -> Result<u64, Error> {
        if self.instances.len() > limits::CORE_INSTANCES_MAX as usize {
            return Err(too_many("core instances", limits::CORE_INSTANCES_MAX));
        }
        let made: Vec<Module> = self
            .instances
            .iter()
            .filter_map(|index| self.modules.get(*index as usize))
            .copied()
            .collect();
        if made.iter().map(|module| module.memories).sum::<u32>() > 1 {
            return Err(too_many("memories", 1));
        }
        if made.iter().map(|module| module.tables).sum::<u32>() > limits::TABLES_MAX {
            return Err(too_many("tables", limits::TABLES_MAX));
        }
        let bytes = made.iter().map(|module| module.memory_bytes_min).sum();
        if bytes > GUEST_MEMORY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "component: starts with {bytes} bytes of memory, the limit is \
                 {GUEST_MEMORY_BYTES_MAX}"
            )));
        }
        Ok(bytes)
    }
}

fn too_many(what: &str, max: u32) -> Error {
    Error::invalid(format!("component: more {what} than {max}; link it into fewer"))
}

/// Refuses an import that is not one of [`OFFERED`].
fn check_import(types: TypesRef<'_>, name: &str) -> Result<(), Error> {
    let offered = || {
        let names: Vec<&str> = OFFERED.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let refused = |what: String| {
        let hint = if name.starts_with("wasi:") {
            "; build it for a target without WASI (wasm32-unknown-unknown)"
        } else {
            ""
        };
        Error::invalid(format!(
            "component: imports {what}, which is not offered to contracts{hint}. Offered: {}",
            offered()
        ))
    };
    let Some((_, functions)) = OFFERED.iter().find(|(offered, _)| *offered == name) else {
        return Err(refused(format!("`{name}`")));
    };
    let item = types.component_item_for_import(name).map(|item| item.ty);
    let Some(ComponentEntityType::Instance(id)) = item else {
        return Err(refused(format!("`{name}` as something else than an interface")));
    };
    for (function, item) in &types[id].exports {
        let is_type = matches!(item.ty, ComponentEntityType::Type { .. });
        if !is_type && !functions.contains(&function.as_str()) {
            return Err(refused(format!("`{function}` of `{name}`")));
        }
    }
    Ok(())
}

const SIGNATURE: &str = "func(method: string, args: list<u8>) -> result<list<u8>, string>";

/// Refuses a component without the export `name` of the world, or with one of another type.
fn check_export(types: TypesRef<'_>, name: &str) -> Result<(), Error> {
    let wants = format!("a contract exports `{name}: {SIGNATURE}`");
    let Some(item) = types.component_item_for_export(name) else {
        return Err(Error::invalid(format!("component: has no export `{name}`; {wants}")));
    };
    match item.ty {
        ComponentEntityType::Func(id) if is_contract_function(types, &types[id]) => Ok(()),
        _ => {
            Err(Error::invalid(format!("component: its export `{name}` has another type; {wants}")))
        }
    }
}

fn is_contract_function(types: TypesRef<'_>, function: &ComponentFuncType) -> bool {
    let [(_, method), (_, args)] = &*function.params else { return false };
    let result = match function.result {
        Some(ComponentValType::Type(id)) => match &types[id] {
            ComponentDefinedType::Result { ok: Some(ok), err: Some(err), .. } => {
                is_bytes(types, *ok) && is_string(types, *err)
            }
            _ => false,
        },
        _ => false,
    };
    !function.async_ && is_string(types, *method) && is_bytes(types, *args) && result
}

fn is_string(types: TypesRef<'_>, ty: ComponentValType) -> bool {
    is_primitive(types, ty, PrimitiveValType::String)
}

fn is_bytes(types: TypesRef<'_>, ty: ComponentValType) -> bool {
    let ComponentValType::Type(id) = ty else { return false };
    match types[id] {
        ComponentDefinedType::List { element, .. } => {
            is_primitive(types, element, PrimitiveValType::U8)
        }
        _ => false,
    }
}

fn is_primitive(types: TypesRef<'_>, ty: ComponentValType, wanted: PrimitiveValType) -> bool {
    match ty {
        ComponentValType::Primitive(found) => found == wanted,
        ComponentValType::Type(id) => {
            matches!(types[id], ComponentDefinedType::Primitive(found) if found == wanted)
        }
    }
}
