//! What is refused before it runs.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Hash;
use althing_sandbox::{Kind, LoadError, inspect, limits};
use common::{component, engine, module};

fn refused(wat: &str) -> String {
    inspect(&wat::parse_str(wat).unwrap()).unwrap_err().message
}

#[test]
fn a_contract_is_one() {
    let inspection = inspect(&component(&module("", "unreachable"))).unwrap();
    assert_eq!(inspection.kind, Kind::Contract);
    assert_eq!(inspection.exports, ["apply", "query"]);
    assert!(inspection.imports.contains(&"althing:contract/db@0.1.0".to_owned()));
    assert_eq!(inspection.memory_bytes_min, 4 << 16);
}

#[test]
fn what_is_no_component() {
    assert!(refused("(module)").contains("wasm-tools component new"));
    assert!(inspect(b"hello").unwrap_err().message.contains("not WebAssembly"));
    assert!(inspect(b"").unwrap_err().message.contains("not WebAssembly"));
    let whole = component(&module("", "unreachable"));
    for len in (8..whole.len()).step_by(41) {
        assert!(inspect(&whole[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn unknown_imports_are_named() {
    let text = refused(
        r#"(component (import "wasi:cli/environment@0.3.0" (instance (export "f" (func)))))"#,
    );
    assert!(text.contains("imports `wasi:cli/environment@0.3.0`"), "{text}");
    assert!(text.contains("version 0.2 of cli") && text.contains("without WASI"), "{text}");
    let text = refused(
        r#"(component (import "althing:contract/db@0.1.0" (instance (export "drop-all" (func)))))"#,
    );
    assert!(text.contains("`drop-all` of `althing:contract/db@0.1.0`"), "{text}");
    let text = refused(r#"(component (import "sleep" (func)))"#);
    assert!(text.contains("imports `sleep`"), "{text}");
    assert!(text.contains("offered are") && text.contains("althing:contract/db@0.1.0"), "{text}");
}

#[test]
fn missing_and_wrong_exports_are_named() {
    let text = refused("(component)");
    assert!(text.contains("no export `apply`; a contract exports `apply: func(method"), "{text}");
    let text = refused(
        r#"(component
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (func (export "apply") (canon lift (core func $i "f"))))"#,
    );
    assert!(text.contains("export `apply` has another type"), "{text}");
}

#[test]
fn an_import_of_another_type_is_refused_by_name() {
    let wasm = wat::parse_str(
        r#"(component
             (import "althing:contract/context@0.1.0"
               (instance $context (export "index" (func (result u32)))))
             (core module $m
               (memory (export "memory") 1)
               (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
             (core instance $i (instantiate $m))
             (type $f (func (param "method" string) (param "args" (list u8))
               (result (result (list u8) (error string)))))
             (func $f (type $f) (canon lift (core func $i "f")
               (memory (core memory $i "memory"))
               (realloc (core func $i "realloc"))))
             (export "apply" (func $f))
             (export "query" (func $f)))"#,
    )
    .unwrap();
    let error = inspect(&wasm).unwrap_err();
    let words = "imports `index` of `althing:contract/context@0.1.0` as func() -> u32, but it is \
                 func() -> u64";
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn proposals_that_are_off() {
    for module in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(tag)",
        "(type (struct))",
        "(memory 1 (pagesize 1))",
    ] {
        let text = refused(&format!("(component (core module {module}))"));
        assert!(text.contains("not valid, or uses a proposal that is not offered"), "{text}");
    }
    // Those that only show in the bodies of functions are found when it is loaded.
    for body in [
        "(return_call $run (local.get $args) (local.get $len))",
        "(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0))) unreachable",
    ] {
        let component = component(&module("", body));
        inspect(&component).unwrap();
        let loaded = engine().load(&Hash::of(&component), &component);
        let Err(LoadError::Refused(error)) = loaded else { panic!("{body}") };
        assert!(error.message.contains("a proposal that is not offered"), "{error}");
    }
}

#[test]
fn too_much_of_anything() {
    let many = |item: &str, count: u32| item.repeat(count as usize);
    let text = refused(&format!("(component {})", many("(core module)", limits::MODULES_MAX + 1)));
    assert!(text.contains("more core modules than 32"), "{text}");

    let instances = many("(core instance (instantiate $m))", limits::CORE_INSTANCES_MAX + 1);
    let wasm = format!("(component (core module $m) {instances})");
    assert!(inspect(&wat::parse_str(&wasm).unwrap()).is_err());

    let text = refused("(component (core module (table 32769 funcref)))");
    assert!(text.contains("32769 elements"), "{text}");

    let module = module("", "unreachable").replace("\"memory\") 4)", "\"memory\") 4097)");
    let error = inspect(&component(&module)).unwrap_err();
    assert!(error.message.contains("starts with 268500992 bytes"), "{error}");
}

#[test]
fn bytes_of_another_hash() {
    let component = component(&module("", "unreachable"));
    let loaded = engine().load(&Hash::of(b"another"), &component);
    let Err(LoadError::Refused(error)) = loaded else { panic!() };
    assert!(error.message.contains("fetch it again"), "{error}");
}

#[test]
fn a_flipped_bit_never_panics() {
    let whole = component(&module("", "unreachable"));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        drop(inspect(&damaged));
    }
}

/// [`module`] imports every function that `wit/contract` declares, so the tests that call it prove
/// that the world and the sandbox agree.
#[test]
fn the_tests_import_the_whole_world() {
    let module = module("", "unreachable");
    let (resolve, world) = common::world("contract");
    let mut functions = 0;
    for item in resolve.worlds[world].imports.values() {
        let wit_parser::WorldItem::Interface { id, .. } = item else { panic!("{item:?}") };
        let interface = &resolve.interfaces[*id];
        let name = interface.name.as_deref().unwrap();
        for function in interface.functions.keys() {
            let import = format!("\"althing:contract/{name}@0.1.0\" \"{function}\"");
            assert!(module.contains(&import), "{import}");
            functions += 1;
        }
    }
    assert_eq!(module.matches("(import ").count(), functions);
}
