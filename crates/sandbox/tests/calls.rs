//! What a contract can do, and what it gets.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Error, Kind, limits};
use althing_sandbox::{Call, Halt, HostError, Level};
use common::{FUEL, apply, fails, halts, image, query, run};

#[test]
fn returns_its_args() {
    let image = image("", "(call $ok (local.get $args) (local.get $len))");
    for args in [&b""[..], b"hello", &[0xff; 40_000]] {
        let (_, finished) = run(&image, apply(args));
        assert_eq!(finished.output.unwrap(), args);
        assert!(finished.fuel_used > 0 && finished.fuel_used < FUEL);
    }
}

#[test]
fn an_error_of_the_guest_is_an_outcome_and_costs_what_it_used() {
    let image = image("", "(call $err (local.get $args) (local.get $len))");
    let (error, fuel) = fails(&image, apply(b"no such thing"));
    assert_eq!(error, Error::guest_failed("guest: no such thing"));
    assert!(fuel < 10_000);
    let (error, _) = fails(&image, apply(&[b'x'; 60_000]));
    assert_eq!(error.message.len(), limits::ERROR_TEXT_BYTES_MAX);
}

#[test]
fn sees_the_context() {
    let image = image(
        "",
        "(i64.store (i32.const 256) (call $index))
         (i64.store (i32.const 264) (call $timestamp))
         (call $author (i32.const 128)) (call $seed (i32.const 136)) (call $program (i32.const 144))
         (memory.copy (i32.const 272) (i32.load (i32.const 128)) (i32.load (i32.const 132)))
         (memory.copy (i32.const 304) (i32.load (i32.const 136)) (i32.load (i32.const 140)))
         (memory.copy (i32.const 336) (i32.load (i32.const 144)) (i32.load (i32.const 148)))
         (call $ok (i32.const 256) (i32.const 85))",
    );
    let expected = [
        &42_u64.to_le_bytes()[..],
        &1_700_000_000_000_000_u64.to_le_bytes(),
        &[7; 32],
        &[9; 32],
        b"guest",
    ];
    for call in [apply(b""), query(b"")] {
        assert_eq!(run(&image, call).1.output.unwrap(), expected.concat());
    }
}

const PUT: &str = "(call $put (local.get $args) (i32.const 1) (local.get $args) (local.get $len)
                     (global.get $ret)) (call $told (i32.const 0))";

#[test]
fn writes_reads_scans_and_deletes() {
    let (host, finished) = run(&image("", PUT), apply(b"kvalue"));
    assert_eq!(finished.output.unwrap(), b"");
    assert_eq!(&*host.db[&b"k"[..]], b"kvalue");

    // option<list<u8>> in a result: its own discriminant at 4, the list at 8 and 12.
    let get = image(
        "",
        "(call $get (local.get $args) (local.get $len) (global.get $ret))
         (if (result i32) (i32.load8_u offset=4 (global.get $ret))
           (then (call $ok (i32.load (i32.const 72)) (i32.load (i32.const 76))))
           (else (call $err (i32.const 0) (i32.const 0))))",
    );
    let (host, finished) = get.call(host, query(b"k"));
    assert_eq!(finished.unwrap().output.unwrap(), b"kvalue");
    let (mut host, finished) = get.call(host, query(b"other"));
    assert_eq!(finished.unwrap().output, Err(Error::guest_failed("guest: ")));

    // Args: the prefix, a key after, and in the upper half of the order a key before. The answer: the
    // keys of a page, one byte each, and whether there is more.
    host.db = (b'a'..b'g').map(|key| (vec![b'x', key], [key][..].into())).collect();
    let scan = |order: &str| {
        let body = format!(
            r#"(local $at i32) (local $end i32) (local $out i32)
         (call $scan (local.get $args) (i32.const 1)
           (i32.const 1) (local.get $args) (i32.const 2)
           (i32.ne (local.get $len) (i32.const 2))
             (i32.add (local.get $args) (i32.const 2)) (i32.const 2)
           (i32.const {order}) (i32.const 3) (global.get $ret))
         (local.set $at (i32.load offset=4 (global.get $ret)))
         (local.set $end (i32.add (local.get $at)
           (i32.mul (i32.const 16) (i32.load offset=8 (global.get $ret)))))
         (local.set $out (i32.const 1024))
         (loop $next
           (i32.store8 (local.get $out) (i32.load8_u offset=1 (i32.load (local.get $at))))
           (local.set $out (i32.add (local.get $out) (i32.const 1)))
           (local.set $at (i32.add (local.get $at) (i32.const 16)))
           (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
         (i32.store8 (local.get $out)
           (i32.add (i32.const 48) (i32.load8_u offset=12 (global.get $ret))))
         (call $ok (i32.const 1024) (i32.sub (local.get $out) (i32.const 1023)))"#
        );
        image("", &body)
    };
    for (order, args, page) in [
        ("0", &b"xb"[..], "cde1"),
        ("0", b"xc", "def0"),
        ("1", b"xb", "fed1"),
        ("1", b"xc", "fed0"),
        ("0", b"xbxe", "cd0"),
        ("1", b"xaxe", "dcb0"),
    ] {
        let finished;
        (host, finished) = scan(order).call(host, query(args));
        assert_eq!(finished.unwrap().output.unwrap(), page.as_bytes(), "{args:?}");
    }

    let delete = image(
        "",
        "(call $delete (local.get $args) (local.get $len) (global.get $ret))
         (call $told (i32.const 0))",
    );
    let (host, finished) = delete.call(host, apply(b"xa"));
    assert!(finished.unwrap().output.is_ok());
    assert_eq!(host.db.len(), 5);
}

#[test]
fn a_query_cannot_change_anything() {
    let emit = "(call $emit (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                  (global.get $ret)) (call $told (i32.const 0))";
    let delete = "(call $delete (local.get $args) (local.get $len) (global.get $ret))
                  (call $told (i32.const 0))";
    let prefix = "(call $delete-prefix (local.get $args) (local.get $len) (i32.const 9)
                    (global.get $ret)) (call $told (i32.const 0))";
    let program = "(call $call (local.get $args) (local.get $len) (local.get $args) (local.get $len)
                    (local.get $args) (local.get $len) (global.get $ret)) (call $told (i32.const 0))";
    for body in [PUT, delete, emit, prefix, program] {
        let image = image("", body);
        assert!(run(&image, apply(b"key")).1.output.is_ok());
        let (host, finished) = run(&image, query(b"key"));
        let error = finished.output.unwrap_err();
        assert!(error.message.contains("a query cannot change anything"), "{error}");
        assert!(host.db.is_empty() && host.events.is_empty() && host.called.is_empty());
    }
}

#[test]
fn sizes_are_refused_by_name() {
    let key = image(
        "",
        "(call $get (local.get $args) (local.get $len) (global.get $ret)) (call $told (i32.const 0))",
    );
    assert!(run(&key, query(&[1; limits::KEY_BYTES_MAX])).1.output.is_ok());
    let (error, _) = fails(&key, query(&[1; limits::KEY_BYTES_MAX + 1]));
    assert_eq!(error.message, "guest: key of db.get: 4097 bytes, the limit is 4096");
    let (error, _) = fails(&key, query(b""));
    assert!(error.message.contains("key of db.get: empty"), "{error}");

    let put = image("", PUT);
    assert!(run(&put, apply(&vec![1; limits::VALUE_BYTES_MAX])).1.output.is_ok());
    let (error, _) = fails(&put, apply(&vec![1; limits::VALUE_BYTES_MAX + 1]));
    assert!(error.message.contains("value of db.put: 1048577 bytes"), "{error}");

    let emit = image(
        "",
        "(call $emit (local.get $args) (local.get $len) (local.get $args) (local.get $len)
           (global.get $ret)) (call $told (i32.const 0))",
    );
    let (host, _) = run(&emit, apply(&[b't'; limits::TOPIC_BYTES_MAX]));
    assert_eq!(host.events.len(), 1);
    let (error, _) = fails(&emit, apply(&[b't'; limits::TOPIC_BYTES_MAX + 1]));
    assert!(error.message.contains("topic of events.emit: 257 bytes"), "{error}");
}

#[test]
fn the_log_is_bounded() {
    let image = image(
        "",
        "(loop $again
           (call $log (i32.const 2) (local.get $args) (i32.const 1000))
           (local.set $len (i32.sub (local.get $len) (i32.const 1)))
           (br_if $again (local.get $len)))
         (call $ok (i32.const 0) (i32.const 0))",
    );
    let (host, finished) = run(&image, query(&[b'a'; 1_000]));
    assert_eq!(host.logs.len(), limits::GUEST_LOG_BYTES_MAX / 1_000);
    assert_eq!(host.logs[0], (Level::Warn, "a".repeat(1_000)));
    assert_eq!(finished.logs_dropped as usize, 1_000 - host.logs.len());
}

#[test]
fn the_host_refuses_or_halts() {
    let image = image("", PUT);
    let refused = Error::exhausted("writes of this call: 64 MiB, which is the limit");
    let finished = halts(&image, apply(b"k"), HostError::Refused(refused.clone())).unwrap();
    let error = finished.output.unwrap_err();
    assert_eq!(error.message, format!("guest: {}", refused.message));
    let halt = Halt::new("the disk is gone");
    assert_eq!(halts(&image, apply(b"k"), HostError::Halt(halt.clone())), Err(halt));
}

#[test]
fn memory_below_what_it_starts_with() {
    let image = image("", "(call $ok (i32.const 0) (i32.const 0))");
    assert_eq!(image.memory_bytes_min(), 4 << 16);
    let enough = Call { memory_bytes_max: 4 << 16, ..apply(b"") };
    assert!(run(&image, enough).1.output.is_ok());
    let (error, fuel) = fails(&image, Call { memory_bytes_max: (4 << 16) - 1, ..apply(b"") });
    assert_eq!((error.kind, fuel), (Kind::Exhausted, FUEL));
    assert!(error.message.contains("memory_bytes_max"), "{error}");
}

#[test]
fn nothing_of_a_call_is_left_for_the_next() {
    let image = image(
        "(global $count (mut i32) (i32.const 0))",
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (global.get $count)))
         (i32.store (i32.const 200000) (i32.add (i32.load (i32.const 200000)) (i32.const 1)))
         (i32.store (i32.const 516) (i32.load (i32.const 200000)))
         (call $ok (i32.const 512) (i32.const 8))",
    );
    for _ in 0..100 {
        assert_eq!(run(&image, apply(b"")).1.output.unwrap(), [1, 0, 0, 0, 1, 0, 0, 0]);
    }
}
