//! What a frame costs of the budget: a bound of its native size, from the code alone.
//!
//! The unit is the slot, which stands for at most [`STACK_SLOT_BYTES`](limits::STACK_SLOT_BYTES) of the
//! native stack. A frame costs
//!
//! ```text
//!   (parameters + locals + most operands + most values that a call takes and gives) x width
//!     + 8                      return address, frame pointer, registers to keep
//!     + operators x width / 4  values that the compiler keeps for longer than the code does
//! ```
//!
//! where `width` is 2 in a function that touches a `v128`, else 1. The last term is there because a
//! compiler computes once what occurs twice, or what a loop does not change, and keeps it: 400
//! divisions of vectors, done before a call and again after it, take 6.4 KB of stack with only two
//! locals. An operator counts twice when it brings a value with it that may be kept, or takes three,
//! so that the values kept per operator stay below what it costs.

use crate::{inspect::malformed, limits};
use althing_protocol::Error;
use wasmparser::{
    BinaryReaderError, FuncToValidate, FuncType, FuncValidator, FuncValidatorAllocations,
    FunctionBody, Operator, OperatorsReader, ValType, ValidatorResources, WasmModuleResources,
};

/// Slots of a frame that has nothing in it.
const FRAME: u64 = 8;
/// Operators that pay for one value which the compiler keeps.
const OPERATORS_PER_SLOT: u64 = 4;

/// A function, as its frame sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// Index of its type.
    pub(super) ty: u32,
    /// What a call of it costs.
    pub(super) cost: i32,
    /// It calls no other function.
    pub(super) is_leaf: bool,
    /// Locals times branches.
    pub(super) flow: u64,
}

/// What is counted along the operators of a function.
#[derive(Default)]
struct Count {
    /// Operators read, and for each call what it passes.
    work: u64,
    /// Operators, some of them twice.
    weight: u64,
    /// Operators that end a stretch of straight code, and the targets of tables.
    joins: u64,
    operands: u64,
    nesting: u64,
    /// Most values that one call takes and gives.
    passed: u64,
    is_wide: bool,
    calls: bool,
}

/// Validates a function and measures it. `at` names it in messages.
///
/// # Errors
/// `invalid`, when it is not valid or too large to compile in bounded time.
pub(super) fn measure(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    at: &str,
    allocations: &mut FuncValidatorAllocations,
) -> Result<Body, Error> {
    let ty = function.ty;
    let mut validator = function.into_validator(std::mem::take(allocations));
    let count = count(&mut validator, body).map_err(|error| malformed(&error))?;
    let locals = u64::from(validator.len_locals());
    *allocations = validator.into_allocations();
    count.check(locals, at)?;
    let flow = count.flow(locals);
    Ok(Body { ty, cost: count.cost(locals), is_leaf: !count.calls, flow })
}

fn count(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<Count, BinaryReaderError> {
    let mut count = Count::default();
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut locals = 0..validator.len_locals();
    count.is_wide = locals.any(|index| validator.get_local_type(index) == Some(ValType::V128));
    let mut reader = OperatorsReader::new(reader);
    while !reader.eof() {
        let offset = reader.original_position();
        let operator = reader.read()?;
        validator.op(offset, &operator)?;
        count.operator(&operator, validator.resources());
        count.operands = count.operands.max(u64::from(validator.operand_stack_height()));
        count.nesting = count.nesting.max(u64::from(validator.control_stack_height()));
        count.is_wide |= validator.get_operand_type(0) == Some(Some(ValType::V128));
    }
    reader.finish()?;
    Ok(count)
}

impl Count {
    fn operator(&mut self, operator: &Operator<'_>, resources: &ValidatorResources) {
        use Operator as O;
        self.work += 1;
        self.weight += match operator {
            O::GlobalGet { .. } | O::V128Const { .. } => 2,
            O::Select | O::TypedSelect { .. } | O::V128Bitselect => 2,
            _ => 1,
        };
        match operator {
            O::Block { .. } | O::Loop { .. } | O::If { .. } | O::Else => self.joins += 1,
            O::Br { .. } | O::BrIf { .. } | O::Return => self.joins += 1,
            O::BrTable { targets } => self.joins += 1 + u64::from(targets.len()),
            O::Call { function_index } => {
                let ty = resources.type_index_of_function(*function_index);
                self.call(ty, resources);
            }
            O::CallIndirect { type_index, .. } => self.call(Some(*type_index), resources),
            _ => {}
        }
    }

    fn call(&mut self, ty: Option<u32>, resources: &ValidatorResources) {
        self.calls = true;
        let Some(ty) = ty.and_then(|ty| resources.sub_type_at(ty)) else { return };
        let ty: &FuncType = ty.unwrap_func();
        let passed = (ty.params().len() + ty.results().len()) as u64;
        self.passed = self.passed.max(passed);
        self.work += passed;
        self.is_wide |= ty.params().iter().chain(ty.results()).any(|ty| *ty == ValType::V128);
    }

    fn cost(&self, locals: u64) -> i32 {
        let width = if self.is_wide { 2 } else { 1 };
        let values = locals + self.operands + self.passed;
        let cost = FRAME + values * width + self.weight * width / OPERATORS_PER_SLOT;
        i32::try_from(cost).unwrap_or(i32::MAX)
    }

    fn flow(&self, locals: u64) -> u64 {
        self.joins.saturating_mul(locals)
    }

    fn check(&self, locals: u64, at: &str) -> Result<(), Error> {
        let too_large = |what: &str, found: u64, max: u64| {
            Err(Error::invalid(format!(
                "component: {at} has {found} {what}, the limit is {max}; split it, or build with \
                 less inlining (opt-level \"s\")"
            )))
        };
        for (what, found, max) in [
            ("operators and values passed", self.work, limits::FUNCTION_OPERATORS_MAX),
            ("blocks inside each other", self.nesting, limits::FUNCTION_NESTING_MAX),
            ("branches times locals", self.flow(locals), limits::FUNCTION_FLOW_MAX),
        ] {
            if found > max {
                return too_large(what, found, max);
            }
        }
        Ok(())
    }
}
