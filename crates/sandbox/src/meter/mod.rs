//! Metering of the stack: how deep a guest may recurse is a number, not what is left of some thread.
//!
//! How much of the native stack a frame takes differs by processor, by compiler version and between
//! compiled and interpreted code, so where a native stack overflows is not the same on every node.
//! This pass makes the guest count for itself. Each core module of a component is rewritten:
//!
//! ```text
//!   f:  if left < cost(f): call overflow        left, overflow: of one small module that is put
//!       left = left - cost(f)                   in front of the others, and that all import
//!       block (result ...)
//!         the body; `return` is a branch to the end of this block
//!       end
//!       left = left + cost(f)
//! ```
//!
//! A function that calls no other only checks. `left` is never negative: a frame that does not fit
//! is not entered. Branches to the level of the function keep their depth, since the block takes
//! that level's place.
//!
//! What a frame costs is in [`cost`](mod@cost). The costs bound the native frames, so with a native
//! stack that is large enough (`limits::STACK_BYTES_MAX`) the budget always ends first. Should the
//! engine's stack end all the same, the node stops: that is never an outcome.
//!
//! `overflow` grows a table that is known by its maximum, which no table of a guest has. The engine
//! asks [`State`](crate::state::State) about growth, and that ends the call: neither trap of the guest
//! nor native overflow looks like it.
//!
//! Core modules share nothing across the border of a component, so each component that holds modules
//! has a `left` of its own, and the budget is divided between their instances ([`stacks`]).

mod cost;
mod rewrite;
mod stacks;
#[cfg(test)]
mod tests;

use crate::{inspect::malformed, limits};
use althing_protocol::Error;
use rewrite::Plan;
use stacks::Stacks;
use wasm_encoder::{
    CodeSection, Component, ConstExpr, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, InstanceSection, Module, ModuleArg, ModuleSection,
    RefType, SectionId, TableSection, TableType, TypeSection, ValType,
    reencode::{self, Reencode, ReencodeComponent, component_utils, utils},
};
use wasmparser::Parser;

/// Number of this pass: compiled images of another one are not used.
pub(crate) const VERSION: u32 = 1;
/// Name of the module that holds the budget. Guests may import nothing of this name.
pub(crate) const MODULE: &str = "althing:meter";
/// Its global: what is left of the budget.
const LEFT: &str = "left";
/// Its function that ends the call.
const OVERFLOW: &str = "overflow";
/// Elements of the table that marks an overflow: one more than any table of a guest may have.
const MARK_ELEMENTS_MAX: usize = limits::TABLE_ELEMENTS_MAX + 1;

/// Is it the mark of an overflow that is to grow to `desired` elements? It starts with none.
pub(crate) fn is_overflow(desired: usize, maximum: Option<usize>) -> bool {
    desired > 0 && maximum == Some(MARK_ELEMENTS_MAX)
}

/// The component, rewritten so that it meters its stack. It must have passed `inspect`.
///
/// Validates every function on the way.
///
/// # Errors
/// `invalid`, when a function is not valid or too large.
pub(crate) fn meter(component: &[u8]) -> Result<Vec<u8>, Error> {
    let stacks = Stacks::of(component).map_err(|error| malformed(&error))?;
    let outermost = Scope::new(stacks.budget(0));
    let mut meter =
        Meter { stacks, components: 1, modules: 0, flow: 0, scopes: vec![outermost], module: None };
    let mut out = Component::new();
    match meter.parse_component(&mut out, Parser::new(0), component) {
        Ok(()) => Ok(out.finish()),
        Err(reencode::Error::UserError(error)) => Err(error),
        Err(reencode::Error::ParseError(error)) => Err(malformed(&error)),
        Err(error) => Err(Error::invalid(format!("component: cannot be metered: {error}"))),
    }
}

/// What steps of the rewriting give.
type Rewritten<T = ()> = Result<T, reencode::Error<Error>>;

/// The pass, on its way through a component.
struct Meter {
    stacks: Stacks,
    /// Components so far.
    components: usize,
    /// Core modules so far.
    modules: u32,
    /// Locals times branches so far.
    flow: u64,
    /// The component that is being read, innermost last.
    scopes: Vec<Scope>,
    /// The core module that is being rewritten.
    module: Option<Plan>,
}

/// A component that is being read.
struct Scope {
    /// What `left` starts with.
    budget: i32,
    /// Core instances so far, without ours.
    instances: u32,
    /// Index of the instance that holds the budget, once there is one. Its module has index 0: no
    /// module comes before it, since components take none from outside.
    meter: Option<u32>,
}

impl Scope {
    fn new(budget: u32) -> Self {
        Self { budget: budget.cast_signed(), instances: 0, meter: None }
    }
}

impl Meter {
    /// The innermost component. There is always one: the outermost is never left.
    fn scope(&mut self) -> &mut Scope {
        let innermost = self.scopes.len() - 1;
        &mut self.scopes[innermost]
    }

    /// Puts the module that holds the budget, and its instance, in front of the first module.
    fn introduce(&mut self, component: &mut Component) {
        let scope = self.scope();
        if scope.meter.is_some() {
            return;
        }
        scope.meter = Some(scope.instances);
        component.section(&ModuleSection(&gauge(scope.budget)));
        let mut instances = InstanceSection::new();
        instances.instantiate::<[(&str, ModuleArg); 0], &str>(0, []);
        component.section(&instances);
    }

    fn shifted(&self, index: u32, count: impl Fn(&Plan) -> u32) -> u32 {
        match &self.module {
            Some(plan) if plan.is_metered() && index >= count(plan) => index + 1,
            _ => index,
        }
    }

    /// Writes what comes before section `before`, if the module has no such section of its own.
    fn complete(&mut self, module: &mut Module, before: Option<SectionId>) -> Rewritten {
        let Some(plan) = &mut self.module else { return Ok(()) };
        if !plan.has_types && before != Some(SectionId::Type) {
            let mut types = TypeSection::new();
            plan.add_types(&mut types);
            module.section(&types);
        }
        let is_early = matches!(before, Some(SectionId::Type | SectionId::Import));
        if !plan.has_imports && !is_early {
            let mut imports = ImportSection::new();
            plan.add_imports(&mut imports);
            module.section(&imports);
        }
        Ok(())
    }
}

impl Reencode for Meter {
    type Error = Error;

    fn function_index(&mut self, index: u32) -> Rewritten<u32> {
        Ok(self.shifted(index, |plan| plan.imported_functions))
    }

    fn global_index(&mut self, index: u32) -> Rewritten<u32> {
        Ok(self.shifted(index, |plan| plan.imported_globals))
    }

    /// No table can have more elements than this, so to say so changes nothing, and tells every
    /// table of a guest from the mark.
    fn table_type(&mut self, ty: wasmparser::TableType) -> Rewritten<TableType> {
        let most = limits::TABLE_ELEMENTS_MAX as u64;
        let maximum = Some(ty.maximum.map_or(most, |maximum| maximum.min(most)));
        Ok(TableType { maximum, ..utils::table_type(self, ty)? })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Rewritten {
        utils::parse_type_section(self, types, section)?;
        if let Some(plan) = &mut self.module {
            plan.add_types(types);
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Rewritten {
        utils::parse_import_section(self, imports, section)?;
        if let Some(plan) = &mut self.module {
            plan.add_imports(imports);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Rewritten {
        rewrite::function(self, code, &body)
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Rewritten {
        self.complete(module, before)
    }

    /// Names and notes: nothing reads them, and their indices would be wrong.
    fn parse_custom_section(
        &mut self,
        _module: &mut Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Rewritten {
        Ok(())
    }
}

impl ReencodeComponent for Meter {
    fn module_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.scope().meter.is_some())
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.scope().meter.is_some_and(|meter| index >= meter))
    }

    fn parse_component_submodule(
        &mut self,
        component: &mut Component,
        parser: Parser,
        module: &[u8],
    ) -> Rewritten {
        self.introduce(component);
        let plan = Plan::of(module, self.modules).map_err(reencode::Error::UserError)?;
        self.modules += 1;
        self.flow = self.flow.saturating_add(plan.flow());
        if self.flow > limits::FLOW_MAX {
            return Err(reencode::Error::UserError(too_much_flow()));
        }
        self.module = Some(plan);
        let rewritten = component_utils::parse_component_submodule(self, component, parser, module);
        self.module = None;
        rewritten
    }

    fn parse_component_subcomponent(
        &mut self,
        component: &mut Component,
        parser: Parser,
        subcomponent: &[u8],
        whole_component: &[u8],
    ) -> Rewritten {
        self.scopes.push(Scope::new(self.stacks.budget(self.components)));
        self.components += 1;
        let (inner, whole) = (subcomponent, whole_component);
        let rewritten =
            component_utils::parse_component_subcomponent(self, component, parser, inner, whole);
        self.scopes.pop();
        rewritten
    }

    /// An instance of a module of the guest gets the budget as one more argument.
    fn parse_instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: wasmparser::Instance<'_>,
    ) -> Rewritten {
        match instance {
            wasmparser::Instance::Instantiate { module_index, args } => {
                let meter = self.scope().meter.map(|index| (MODULE, ModuleArg::Instance(index)));
                let args: Vec<_> = args
                    .iter()
                    .map(|arg| (arg.name, ModuleArg::Instance(self.instance_index(arg.index))))
                    .chain(meter)
                    .collect();
                instances.instantiate(self.module_index(module_index), args);
            }
            exports => component_utils::parse_instance(self, instances, exports)?,
        }
        self.scope().instances += 1;
        Ok(())
    }

    fn parse_component_custom_section(
        &mut self,
        _component: &mut Component,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Rewritten {
        Ok(())
    }
}

/// The module that holds the budget.
fn gauge(budget: i32) -> Module {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types);
    let mut functions = FunctionSection::new();
    functions.function(0);
    module.section(&functions);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 0,
        maximum: Some(MARK_ELEMENTS_MAX as u64),
        shared: false,
    });
    module.section(&tables);
    let mut globals = GlobalSection::new();
    globals.global(left(), &ConstExpr::i32_const(budget));
    module.section(&globals);
    let mut exports = ExportSection::new();
    exports.export(LEFT, ExportKind::Global, 0).export(OVERFLOW, ExportKind::Func, 0);
    module.section(&exports);
    let mut overflow = Function::new([]);
    let funcref = RefType::FUNCREF.heap_type;
    overflow.instructions().ref_null(funcref).i32_const(1).table_grow(0).drop().unreachable().end();
    let mut code = CodeSection::new();
    code.function(&overflow);
    module.section(&code);
    module
}

fn too_much_flow() -> Error {
    Error::invalid(format!(
        "component: its functions have more than {} branches times locals, which takes too long to \
         compile; leave out what it does not use",
        limits::FLOW_MAX
    ))
}

/// Type of `left`.
fn left() -> GlobalType {
    GlobalType { val_type: ValType::I32, mutable: true, shared: false }
}
