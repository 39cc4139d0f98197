//! Who observes a call sees what the guest asked for, and changes nothing.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Memory, apply, image, on_stack};

#[test]
fn every_host_call_in_order_with_its_price() {
    let body = "(call $put (local.get $args) (i32.const 1) (local.get $args) (local.get $len)
                  (global.get $ret))
                (call $get (local.get $args) (i32.const 1) (global.get $ret))
                (call $get (local.get $args) (i32.const 0) (global.get $ret))
                (drop (call $index))
                (call $log (i32.const 1) (local.get $args) (local.get $len))
                (call $call (local.get $args) (i32.const 1) (local.get $args) (i32.const 2)
                  (local.get $args) (i32.const 0) (global.get $ret))
                (call $ok (i32.const 0) (i32.const 0))";
    let image = image("", body);
    let args = [b"key".as_slice(), &[b'x'; 100]].concat();
    let (plain, finished) = image.call(Memory::default(), apply(&args));
    let watching = Memory { observed: Some(Vec::new()), ..Memory::default() };
    let (watched, same) = image.call(watching, apply(&args));
    assert_eq!(finished.unwrap(), same.unwrap());
    assert_eq!((plain.db, plain.logs), (watched.db.clone(), watched.logs));

    let seen = watched.observed.unwrap();
    let shown: Vec<String> = seen
        .iter()
        .map(|call| {
            let args: Vec<_> = call.args.iter().map(|(name, v)| format!("{name}={v}")).collect();
            format!("{}({}) = {} [{}]", call.function, args.join(", "), call.result, call.fuel)
        })
        .collect();
    let value = format!("\"key{}\"... (103 bytes)", "x".repeat(61));
    assert_eq!(
        shown,
        [
            format!("db.put(key=\"k\", value={value}) =  [5413]"),
            format!("db.get(key=\"k\") = {value} [5104]"),
            "db.get(key=\"\") = invalid: key of db.get: empty; a key has at least one byte [5000]"
                .into(),
            "context.index() =  [500]".into(),
            format!("log.log(message={value}) =  [1103]"),
            "programs.call(program=\"k\", method=\"ke\", args=\"\") = \"kke!\" [101007]".into(),
        ]
    );
}

/// The price of every host function, on record: a changed one is another outcome.
#[test]
fn prices() {
    // The argument is `k`; addresses up from 0 hold zeroes.
    let one = "(local.get $args) (i32.const 1)";
    let ret = "(global.get $ret)";
    for (call, function, fuel) in [
        (format!("(call $get {one} {ret})"), "db.get", 5_000 + 1),
        (format!("(call $put {one} {one} {ret})"), "db.put", 5_000 + 1 + 4),
        (format!("(call $delete {one} {ret})"), "db.delete", 5_000 + 1),
        (
            format!(
                "(call $scan {one} (i32.const 1) {one} (i32.const 1) {one} (i32.const 1) (i32.const 9)
                   {ret})"
            ),
            "db.scan",
            5_000 + 3,
        ),
        (format!("(call $delete-prefix {one} (i32.const 9) {ret})"), "db.delete-prefix", 5_000 + 1),
        (format!("(call $caller {ret})"), "context.caller", 500),
        (format!("(call $author {ret})"), "context.author", 500),
        ("(drop (call $index))".to_owned(), "context.index", 500),
        ("(drop (call $timestamp))".to_owned(), "context.timestamp-us", 500),
        (format!("(call $seed {ret})"), "context.seed", 500),
        (format!("(call $program {ret})"), "context.program", 500),
        (format!("(call $emit {one} {one} {ret})"), "events.emit", 2_000 + 1 + 4),
        (format!("(call $log (i32.const 0) {one})"), "log.log", 1_000 + 1),
        (format!("(call $hash (i32.const 0) {one} {ret})"), "crypto.hash", 1_000 + 4),
        (format!("(call $hash (i32.const 1) {one} {ret})"), "crypto.hash", 1_000 + 16),
        (format!("(drop (call $verify {one} {one} {one}))"), "crypto.verify-signature", 400_000),
        (
            format!(
                "(drop (call $verify (i32.const 0) (i32.const 32) {one} (i32.const 0)
                   (i32.const 64)))"
            ),
            "crypto.verify-signature",
            400_000 + 32 + 64 + 12,
        ),
        // The test's host says that the callee cost 1,000, and gives its arguments back.
        (
            format!("(call $call {one} {one} {one} {ret})"),
            "programs.call",
            100_000 + 3 + 1_000 + 4,
        ),
        (
            format!("(call $ask {one} {one} {one} {ret})"),
            "programs.query",
            100_000 + 3 + 1_000 + 4,
        ),
    ] {
        let image = image("", &format!("{call} (call $ok (i32.const 0) (i32.const 0))"));
        let watching = Memory { observed: Some(Vec::new()), ..Memory::default() };
        let (host, finished) = on_stack(|| image.call(watching, apply(b"k")));
        assert!(finished.unwrap().output.is_ok(), "{function}");
        let seen: Vec<_> =
            host.observed.unwrap().iter().map(|call| (call.function, call.fuel)).collect();
        assert_eq!(seen, [(function, fuel)]);
    }
}

/// A pair of a page costs more than its bytes, and so does a key that is deleted by its prefix.
#[test]
fn prices_of_what_there_is() {
    let all = "(i32.const 0) (i32.const 0)";
    let scan = format!(
        "(call $scan {all} (i32.const 0) {all} (i32.const 0) {all} (i32.const 0) (i32.const 9)
           (global.get $ret))"
    );
    let delete = format!("(call $delete-prefix {all} (i32.const 9) (global.get $ret))");
    for (call, fuel) in [(scan, 5_000 + 3 * 1_000 + 3 * 11), (delete, 5_000 + 3 * 5_000 + 3 * 11)] {
        let image = image("", &format!("{call} (call $ok (i32.const 0) (i32.const 0))"));
        let db = (0..3).map(|key| (vec![key], vec![0; 10].into())).collect();
        let watching = Memory { observed: Some(Vec::new()), db, ..Memory::default() };
        let (host, finished) = on_stack(|| image.call(watching, apply(b"")));
        assert!(finished.unwrap().output.is_ok());
        assert_eq!(host.observed.unwrap()[0].fuel, fuel);
    }
}
