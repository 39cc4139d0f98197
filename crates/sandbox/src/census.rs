//! Counts what an instance of a component is made of, through the components that it nests.
//!
//! Compilers nest: an exported interface is a small component of its own, and so is a stub that
//! completes a runtime. What is counted is what comes to life, so an inner component counts as often
//! as it is instantiated. For that to be plain to see, modules and components are neither imported,
//! exported, passed nor taken from outside.

use crate::limits;
use althing_protocol::{Error, limits::GUEST_MEMORY_BYTES_MAX};
use std::ops::AddAssign;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Encoding, Instance, Payload, TypeRef,
};

/// What comes to life with an instance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    /// Instances of components.
    components: u32,
    /// Instances of core modules.
    core_instances: u32,
    memories: u32,
    tables: u32,
    /// Linear memory at the start.
    pub(crate) memory_bytes: u64,
}

impl AddAssign for Made {
    fn add_assign(&mut self, more: Self) {
        self.components = self.components.saturating_add(more.components);
        self.core_instances = self.core_instances.saturating_add(more.core_instances);
        self.memories = self.memories.saturating_add(more.memories);
        self.tables = self.tables.saturating_add(more.tables);
        self.memory_bytes = self.memory_bytes.saturating_add(more.memory_bytes);
    }
}

impl Made {
    fn check(&self) -> Result<(), Error> {
        for (what, count, max) in [
            ("component instances", self.components, limits::COMPONENT_INSTANCES_MAX),
            ("core instances", self.core_instances, limits::CORE_INSTANCES_MAX),
            ("memories", self.memories, limits::MEMORIES_MAX),
            ("tables", self.tables, limits::TABLES_MAX),
        ] {
            if count > max {
                return Err(too_many(what, max));
            }
        }
        if self.memory_bytes > GUEST_MEMORY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "component: starts with {} bytes of memory, the limit is {GUEST_MEMORY_BYTES_MAX}",
                self.memory_bytes
            )));
        }
        Ok(())
    }
}

/// A component that is being read.
#[derive(Default)]
struct Frame {
    modules: Vec<Made>,
    components: Vec<Made>,
    made: Made,
}

/// Counts along a walk over the sections.
#[derive(Default)]
pub(crate) struct Census {
    frames: Vec<Frame>,
    /// The core module that is being read, and the memories that it has, also those it imports.
    module: Option<Made>,
    module_memories: u32,
    modules: u32,
    /// Component functions that core modules may call.
    lowered: u32,
    /// What the outermost component makes, once it is read.
    pub(crate) total: Option<Made>,
}

impl Census {
    /// Is the outermost component being read, and no module in it?
    pub(crate) fn is_outermost(&self) -> bool {
        self.frames.len() == 1 && self.module.is_none()
    }

    /// Counts `payload`. The outer error is the parser's, the inner one ours.
    pub(crate) fn visit(
        &mut self,
        payload: &Payload<'_>,
    ) -> Result<Result<(), Error>, BinaryReaderError> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.module = Some(Made { core_instances: 1, ..Made::default() });
                self.module_memories = 0;
                self.modules += 1;
                if self.modules > limits::MODULES_MAX {
                    return Ok(Err(too_many("core modules", limits::MODULES_MAX)));
                }
            }
            Payload::Version { encoding: Encoding::Component, .. } => {
                self.frames.push(Frame::default());
                if self.frames.len() > limits::COMPONENTS_DEPTH_MAX {
                    let max = limits::COMPONENTS_DEPTH_MAX as u32;
                    return Ok(Err(too_many("components inside each other", max)));
                }
            }
            Payload::End(_) => self.end(),
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let memory_bytes = memory?.initial.saturating_mul(1 << 16);
                    self.defines(Made { memories: 1, memory_bytes, ..Made::default() });
                    self.module_memories = self.module_memories.saturating_add(1);
                }
                return Ok(self.check_module_memories());
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    if let TypeRef::Memory(_) = import?.ty {
                        self.module_memories = self.module_memories.saturating_add(1);
                    }
                }
                return Ok(self.check_module_memories());
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
                    self.defines(Made { tables: 1, ..Made::default() });
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone() {
                    if let CanonicalFunction::Lower { .. } = function? {
                        self.lowered = self.lowered.saturating_add(1);
                    }
                }
                if self.lowered > limits::LOWERED_MAX {
                    return Ok(Err(too_many("lowered functions", limits::LOWERED_MAX)));
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let frame = self.frame();
                        let Some(made) = frame.modules.get(module_index as usize).copied() else {
                            return Ok(Err(passed_on()));
                        };
                        if let Err(error) = frame.adds(made) {
                            return Ok(Err(error));
                        }
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Err(error) = self.instance(&instance?) {
                        return Ok(Err(error));
                    }
                }
            }
            payload => {
                if passes_on(payload)? {
                    return Ok(Err(passed_on()));
                }
            }
        }
        Ok(Ok(()))
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn defines(&mut self, more: Made) {
        if let Some(module) = &mut self.module {
            *module += more;
        }
    }

    /// The proposal is on for the engine's own modules, which copy between the memories of two
    /// components. Those of guests have one memory.
    fn check_module_memories(&self) -> Result<(), Error> {
        match self.module_memories {
            0 | 1 => Ok(()),
            _ => Err(too_many("memories in a module", 1)),
        }
    }

    /// A module ends, or the innermost component.
    fn end(&mut self) {
        if let Some(module) = self.module.take() {
            self.frame().modules.push(module);
            return;
        }
        let Some(mut frame) = self.frames.pop() else { return };
        frame.made.components = frame.made.components.saturating_add(1);
        match self.frames.last_mut() {
            Some(outer) => outer.components.push(frame.made),
            None => self.total = Some(frame.made),
        }
    }

    fn instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), Error> {
        let ComponentInstance::Instantiate { component_index, args } = instance else {
            return Ok(());
        };
        let frame = self.frame();
        let is_passed = args.iter().any(|arg| is_code(arg.kind));
        match frame.components.get(*component_index as usize).copied() {
            Some(made) if !is_passed => frame.adds(made),
            _ => Err(passed_on()),
        }
    }
}

impl Frame {
    fn adds(&mut self, made: Made) -> Result<(), Error> {
        self.made += made;
        self.made.check()
    }
}

/// Does it give a module or a component another name or place?
fn passes_on(payload: &Payload<'_>) -> Result<bool, BinaryReaderError> {
    Ok(match payload {
        Payload::ComponentAliasSection(aliases) => {
            let mut found = false;
            for alias in aliases.clone() {
                found |= match alias? {
                    ComponentAlias::InstanceExport { kind, .. } => is_code(kind),
                    ComponentAlias::Outer { kind, .. } => matches!(
                        kind,
                        ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component
                    ),
                    ComponentAlias::CoreInstanceExport { .. } => false,
                };
            }
            found
        }
        Payload::ComponentImportSection(imports) => {
            let mut found = false;
            for import in imports.clone() {
                found |= matches!(
                    import?.ty,
                    ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)
                );
            }
            found
        }
        Payload::ComponentExportSection(exports) => {
            let mut found = false;
            for export in exports.clone() {
                found |= is_code(export?.kind);
            }
            found
        }
        _ => false,
    })
}

fn is_code(kind: ComponentExternalKind) -> bool {
    matches!(kind, ComponentExternalKind::Module | ComponentExternalKind::Component)
}

fn passed_on() -> Error {
    Error::invalid(
        "component: it imports, exports or passes on a module or a component; link everything into \
         one component that holds what it needs",
    )
}

fn too_many(what: &str, max: u32) -> Error {
    Error::invalid(format!("component: more {what} than {max}; link it into fewer"))
}
