//! What is too large is refused with words that name it, before it is compiled; what just fits runs.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Hash;
use althing_sandbox::{LoadError, inspect, limits};
use common::{component, engine, module, on_stack};

/// Inspection refuses `items`, or else the engine, and says `why`.
fn refused(items: &str, why: &str) {
    let component = component(&module(items, "unreachable"));
    let error = match inspect(&component) {
        Err(error) => error,
        Ok(_) => match engine().load(&Hash::of(&component), &component) {
            Err(LoadError::Refused(error)) => error,
            Err(LoadError::Halt(halt)) => panic!("{halt}"),
            Ok(_) => panic!("it was loaded; wanted: {why}"),
        },
    };
    assert!(error.message.contains(why), "{error}");
}

fn fits(items: &str) {
    let component = component(&module(items, "unreachable"));
    on_stack(|| engine().load(&Hash::of(&component), &component).map(drop)).unwrap();
}

/// `count` times `piece`.
fn times(count: impl TryInto<usize>, piece: &str) -> String {
    piece.repeat(count.try_into().ok().unwrap())
}

#[test]
fn parameters_and_results() {
    let (params, results) = (limits::PARAMS_MAX, limits::RESULTS_MAX);
    fits(&format!(
        "(func (param {}) (result {}) unreachable)",
        times(params, "i64 "),
        times(results, "i64 ")
    ));
    refused(&format!("(type (func (param {})))", times(params + 1, "i32 ")), "65 parameters");
    refused(&format!("(type (func (result {})))", times(results + 1, "i32 ")), "17 results");
}

#[test]
fn locals() {
    let function = |locals| format!("(func (local {}))", times(locals, "i32 "));
    fits(&function(limits::LOCALS_MAX));
    let two = format!("(import \"a\" \"b\" (func)) (func) {}", function(limits::LOCALS_MAX + 1));
    let component = wat::parse_str(format!("(component (core module) (core module {two}))"));
    let error = inspect(&component.unwrap()).unwrap_err();
    // Imported functions are counted, as in every other tool.
    assert!(error.message.contains("function 2 of core module 1 has 4097 locals"), "{error}");
}

#[test]
fn globals_and_imports() {
    let globals = |count| times(count, "(global i32 (i32.const 0))");
    fits(&globals(limits::GLOBALS_MAX - 2));
    refused(&globals(limits::GLOBALS_MAX), "core module 0 has 8194 globals");
    let imports = times(limits::IMPORTS_MAX + 1, r#"(import "a" "b" (func))"#);
    let error = inspect(&wat::parse_str(format!("(component (core module {imports}))")).unwrap());
    assert!(error.unwrap_err().message.contains("core module 0 has 8193 imports"));
}

#[test]
fn functions() {
    let functions = times(limits::FUNCTIONS_MAX + 1, "(func)");
    let error = inspect(&wat::parse_str(format!("(component (core module {functions}))")).unwrap());
    assert!(error.unwrap_err().message.contains("more functions than 65536"));
}

#[test]
fn bytes_of_a_function() {
    let function = |bytes| format!("(func {})", times(bytes / 5, "(i64.const 0) drop nop nop "));
    refused(&function(limits::FUNCTION_BYTES_MAX + 5), "bytes, the limit is 1048576; split it");
}

#[test]
fn operators_of_a_function() {
    let most = limits::FUNCTION_OPERATORS_MAX;
    let function = |operators| format!("(func {})", times(operators - 1, "nop "));
    fits(&function(most));
    refused(&function(most + 1), "262145 operators and values passed, the limit is 262144");
    // A call counts with what it passes.
    let values = times(16, "i32 ");
    let pass = format!("(func $p (param {values}) (result {values}) unreachable)");
    let calls = times(most / 33 + 1, "call $p ");
    let items = format!("{pass} (func (param {values}) unreachable {calls} unreachable)");
    refused(&items, "operators and values passed");
}

#[test]
fn blocks_inside_each_other() {
    let function = |depth| format!("(func {} {})", times(depth, "(block "), times(depth, ")"));
    // The function is one, too.
    fits(&function(limits::FUNCTION_NESTING_MAX - 1));
    refused(&function(limits::FUNCTION_NESTING_MAX), "2049 blocks inside each other");
}

#[test]
fn branches_times_locals() {
    let branch = "(br_if 0 (i32.const 0))";
    let function = |branches| {
        format!("(func (local {}) {})", times(1_000_u32, "i32 "), times(branches, branch))
    };
    let most = limits::FUNCTION_FLOW_MAX / 1_000;
    fits(&function(most));
    refused(&function(most + 1), "525000 branches times locals, the limit is 524288");
    let many = function(most).repeat((limits::FLOW_MAX / (most * 1_000)) as usize + 1);
    refused(&many, "more than 16777216 branches times locals");
}
