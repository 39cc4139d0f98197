//! What a core module may have: so much that real programs fit with room, so little that compiling
//! takes bounded time and memory, and that frames are bounded.
//!
//! What shows only in the operators of a function is checked when they are read, by the meter.

use crate::{limits, meter};
use althing_protocol::Error;
use wasmparser::{
    BinaryReaderError, CompositeInnerType, Encoding, FunctionBody, Instance, Payload, TypeRef,
};

/// Checks along a walk over the sections.
#[derive(Default)]
pub(crate) struct Bounds {
    /// Core modules so far.
    modules: u32,
    /// Functions that they define.
    functions: u32,
    /// Index of the next body in the module that is being read.
    function: u32,
}

impl Bounds {
    /// Checks `payload`. The outer error is the parser's, the inner one ours.
    pub(crate) fn visit(
        &mut self,
        payload: &Payload<'_>,
    ) -> Result<Result<(), Error>, BinaryReaderError> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.modules += 1;
                self.function = 0;
            }
            Payload::TypeSection(types) => {
                for group in types.clone() {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = &ty.composite_type.inner else {
                            continue;
                        };
                        let (params, results) = (ty.params().len(), ty.results().len());
                        if params > limits::PARAMS_MAX {
                            return Ok(self.too_many("parameters", params, limits::PARAMS_MAX));
                        }
                        if results > limits::RESULTS_MAX {
                            return Ok(self.too_many("results", results, limits::RESULTS_MAX));
                        }
                    }
                }
            }
            Payload::ImportSection(imports) => {
                let mut count = 0;
                for import in imports.clone().into_imports() {
                    let import = import?;
                    if import.module == meter::MODULE {
                        return Ok(Err(reserved()));
                    }
                    count += 1;
                    if matches!(import.ty, TypeRef::Func(_)) {
                        self.function += 1;
                    }
                }
                if count > limits::IMPORTS_MAX {
                    return Ok(self.too_many_in_module("imports", count, limits::IMPORTS_MAX));
                }
            }
            Payload::GlobalSection(globals) if globals.count() > limits::GLOBALS_MAX => {
                let count = globals.count();
                return Ok(self.too_many_in_module("globals", count, limits::GLOBALS_MAX));
            }
            Payload::FunctionSection(functions) => {
                self.functions = self.functions.saturating_add(functions.count());
                if self.functions > limits::FUNCTIONS_MAX {
                    return Ok(Err(Error::invalid(format!(
                        "component: more functions than {}; leave out what it does not use",
                        limits::FUNCTIONS_MAX
                    ))));
                }
            }
            Payload::CodeSectionEntry(body) => return self.body(body),
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { args, .. } = instance?
                        && args.iter().any(|arg| arg.name == meter::MODULE)
                    {
                        return Ok(Err(reserved()));
                    }
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    /// Reads the size of a body and of its locals.
    fn body(&mut self, body: &FunctionBody<'_>) -> Result<Result<(), Error>, BinaryReaderError> {
        let at = self.function;
        self.function += 1;
        let mut locals = 0_u32;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0);
        }
        for (what, found, max) in [
            ("bytes", body.range().len(), limits::FUNCTION_BYTES_MAX),
            ("locals", locals as usize, limits::LOCALS_MAX),
        ] {
            if found > max {
                return Ok(Err(Error::invalid(format!(
                    "component: function {at} of core module {} has {found} {what}, the limit is \
                     {max}; split it, or build with less inlining (opt-level \"s\")",
                    self.modules.saturating_sub(1)
                ))));
            }
        }
        Ok(Ok(()))
    }

    fn too_many(&self, what: &str, found: usize, max: usize) -> Result<(), Error> {
        Err(Error::invalid(format!(
            "component: a function type of core module {} has {found} {what}, the limit is {max}; \
             pass them in memory",
            self.modules.saturating_sub(1)
        )))
    }

    fn too_many_in_module(&self, what: &str, found: u32, max: u32) -> Result<(), Error> {
        Err(Error::invalid(format!(
            "component: core module {} has {found} {what}, the limit is {max}; leave out what it \
             does not use",
            self.modules.saturating_sub(1)
        )))
    }
}

fn reserved() -> Error {
    Error::invalid(format!(
        "component: a core module uses the name `{}`, which is the sandbox's own; rename it",
        meter::MODULE
    ))
}
