//! One core module, rewritten.

use super::{
    LEFT, MODULE, Meter, OVERFLOW, Rewritten,
    cost::{self, Body},
    left,
};
use crate::{config, inspect::malformed};
use althing_protocol::Error;
use std::collections::BTreeMap;
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ImportSection, Instruction, TypeSection, ValType,
    reencode::{self, Reencode, utils},
};
use wasmparser::{
    FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, ValidPayload, Validator,
    types::TypesRef,
};

/// What is known of a module before it is rewritten, and how far that is.
#[derive(Default)]
pub(super) struct Plan {
    /// Functions that it imports. The meter's comes next, and moves those that it defines.
    pub(super) imported_functions: u32,
    /// Globals that it imports. The meter's comes next, and moves those that it defines.
    pub(super) imported_globals: u32,
    /// The types of `overflow`, and of the block in functions with several results, are written.
    pub(super) has_types: bool,
    /// What it needs of the meter is imported.
    pub(super) has_imports: bool,
    types: u32,
    /// Results of the types of its functions.
    results: BTreeMap<u32, Vec<ValType>>,
    bodies: std::vec::IntoIter<Body>,
    is_metered: bool,
}

impl Plan {
    /// Reads the core module `module`, the component's module number `number`.
    ///
    /// # Errors
    /// `invalid`, when a function is not valid or too large.
    pub(super) fn of(module: &[u8], number: u32) -> Result<Self, Error> {
        let mut validator = Validator::new_with_features(config::features());
        let mut parser = Parser::new(0);
        parser.set_features(config::features());
        let mut allocations = FuncValidatorAllocations::default();
        let mut bodies = Vec::new();
        let mut globals = 0;
        let mut plan = Self::default();
        for payload in parser.parse_all(module) {
            let payload = payload.map_err(|error| malformed(&error))?;
            if let Payload::GlobalSection(section) = &payload {
                globals = section.count();
            }
            match validator.payload(&payload).map_err(|error| malformed(&error))? {
                ValidPayload::Func(function, body) => {
                    let at = format!("function {} of core module {number}", function.index);
                    bodies.push(cost::measure(function, &body, &at, &mut allocations)?);
                }
                ValidPayload::End(types) => plan.types_are(types.as_ref(), &bodies, globals),
                _ => {}
            }
        }
        plan.bodies = bodies.into_iter();
        Ok(plan)
    }

    fn types_are(&mut self, types: TypesRef<'_>, bodies: &[Body], globals: u32) {
        self.imported_functions = types.function_count() - bodies.len() as u32;
        self.imported_globals = types.global_count() - globals;
        self.types = types.core_type_count_in_module();
        self.is_metered = !bodies.is_empty();
        // What has no functions needs nothing.
        self.has_types = !self.is_metered;
        self.has_imports = !self.is_metered;
        for body in bodies {
            let ty = types[types.core_type_at_in_module(body.ty)].unwrap_func();
            let results = ty.results().iter().filter_map(|ty| ValType::try_from(*ty).ok());
            self.results.entry(body.ty).or_insert_with(|| results.collect());
        }
    }

    /// Locals times branches, in all its functions.
    pub(super) fn flow(&self) -> u64 {
        self.bodies.as_slice().iter().map(|body| body.flow).sum()
    }

    /// Does it have functions?
    pub(super) fn is_metered(&self) -> bool {
        self.is_metered
    }

    pub(super) fn add_types(&mut self, types: &mut TypeSection) {
        if std::mem::replace(&mut self.has_types, true) {
            return;
        }
        types.ty().function([], []);
        for results in self.several().map(|(_, results)| results) {
            types.ty().function([], results.iter().copied());
        }
    }

    pub(super) fn add_imports(&mut self, imports: &mut ImportSection) {
        if std::mem::replace(&mut self.has_imports, true) {
            return;
        }
        imports.import(MODULE, LEFT, left());
        imports.import(MODULE, OVERFLOW, EntityType::Function(self.types));
    }

    /// The types that need one more for the block: with several results.
    fn several(&self) -> impl Iterator<Item = (u32, &[ValType])> {
        let all = self.results.iter().map(|(ty, results)| (*ty, results.as_slice()));
        all.filter(|(_, results)| results.len() > 1)
    }

    /// The type of the block around the body of a function of type `ty`.
    fn block(&self, ty: u32) -> BlockType {
        match self.results.get(&ty).map(Vec::as_slice) {
            None | Some([]) => BlockType::Empty,
            Some([result]) => BlockType::Result(*result),
            Some(_) => {
                let before = self.several().take_while(|(several, _)| *several != ty).count();
                BlockType::FunctionType(self.types + 1 + before as u32)
            }
        }
    }
}

/// Rewrites the next function of the module.
pub(super) fn function(
    meter: &mut Meter,
    code: &mut CodeSection,
    body: &FunctionBody<'_>,
) -> Rewritten {
    let unplanned = || reencode::Error::UserError(Error::internal("a function was not measured"));
    let plan = meter.module.as_mut().ok_or_else(unplanned)?;
    let Body { ty, cost, is_leaf, .. } = plan.bodies.next().ok_or_else(unplanned)?;
    let block = plan.block(ty);
    let (left, overflow) = (plan.imported_globals, plan.imported_functions);

    let mut function = utils::new_function_with_parsed_locals(meter, body)?;
    let mut code_of = function.instructions();
    code_of.global_get(left).i32_const(cost).i32_lt_s();
    code_of.if_(BlockType::Empty).call(overflow).end();
    if !is_leaf {
        code_of.global_get(left).i32_const(cost).i32_sub().global_set(left).block(block);
    }
    // Blocks of the guest that are open; the last `end` closes its function, or our block.
    let mut depth = 0;
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let operator = reader.read()?;
        match &operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth += 1,
            Operator::End if depth > 0 => depth -= 1,
            Operator::Return if !is_leaf => {
                function.instruction(&Instruction::Br(depth));
                continue;
            }
            _ => {}
        }
        function.instruction(&meter.instruction(operator)?);
    }
    if !is_leaf {
        let mut code_of = function.instructions();
        code_of.global_get(left).i32_const(cost).i32_add().global_set(left).end();
    }
    code.function(&function);
    Ok(())
}
