//! WASI as replicated guests have it: time, chance, streams, and the absence of everything else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::limits::GUEST_LOG_BYTES_MAX;
use althing_sandbox::{Call, Finished, Image, Level, inspect};
use common::{
    Memory, apply, engine, load, query,
    wasi::{guest, guest_of},
};

fn image(items: &str, body: &str) -> Image {
    load(engine(), &guest(items, body))
}

fn call(image: &Image, call: Call<'_>) -> (Memory, Finished) {
    common::run(image, call)
}

/// What a guest returns that stores its findings from address 1,024 on.
fn finds(bytes: usize, body: &str) -> Vec<u8> {
    let image = image("", &format!("{body} (call $ok (i32.const 1024) (i32.const {bytes}))"));
    let (_, applied) = call(&image, apply(b""));
    let (_, asked) = call(&image, query(b""));
    assert_eq!(applied, asked, "a query is given the same");
    applied.output.unwrap()
}

/// The lines that a guest writes, in the order they reach the log.
fn logs(body: &str) -> (Vec<(Level, String)>, Finished) {
    // The text of the tests, at 2,048.
    let items = "(data (i32.const 2048) \"one\\ntwo\\n\\nthree\")
                 (global $handle (mut i32) (i32.const 0))
                 (func $out (param i32 i32)
                   (if (i32.eqz (global.get $handle))
                     (then (global.set $handle (call $stdout))))
                   (call $write (global.get $handle) (local.get 0) (local.get 1) (i32.const 64)))
                 (func $bad (param i32 i32)
                   (call $write2 (call $stderr) (local.get 0) (local.get 1) (i32.const 64)))";
    let (host, finished) = call(&image(items, body), apply(b""));
    (host.logs, finished)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The time of [`Memory`], in seconds.
const NOW_S: u64 = 1_700_000_000;
const RETURN: &str = "(call $ok (i32.const 1024) (i32.const 0))";

#[test]
fn clocks_show_the_entrys_time_and_what_was_slept() {
    let found = finds(
        88,
        "(call $wall (i32.const 1024))
         (i64.store (i32.const 1040) (call $mono))
         (call $block (call $after (i64.const 1500000001)))
         (call $wall (i32.const 1048))
         (i64.store (i32.const 1064) (call $mono))
         (call $wall_step (i32.const 1072))
         (i64.store (i32.const 1088) (call $mono_step))
         (i64.store (i32.const 1104) (i64.const 0))",
    );
    assert_eq!((u64_at(&found, 0), u64_at(&found, 8) as u32), (NOW_S, 0));
    assert_eq!(u64_at(&found, 16), NOW_S * 1_000_000_000);
    // A microsecond is the least step: half a nanosecond too many waits for all of it.
    assert_eq!((u64_at(&found, 24), u64_at(&found, 32) as u32), (NOW_S + 1, 500_001_000));
    assert_eq!(u64_at(&found, 40), NOW_S * 1_000_000_000 + 1_500_001_000);
    assert_eq!((u64_at(&found, 48), u64_at(&found, 56) as u32), (0, 1_000));
    assert_eq!(u64_at(&found, 64), 1_000);
}

#[test]
fn polling_sleeps_until_the_first_is_ready() {
    let poll = "(i32.store (i32.const 2048) (call $after (i64.const 3000000)))
                (i32.store (i32.const 2052) (call $after (i64.const 1000000)))
                (i32.store (i32.const 2056) (call $at (i64.const 0x7fffffffffffffff)))
                (i32.store (i32.const 2060) (call $after (i64.const 1000000)))";
    let found = finds(
        40,
        &format!(
            "{poll}
             (i64.store (i32.const 1024) (call $mono))
             (call $poll (i32.const 2048) (i32.const 4) (i32.const 64))
             (i64.store (i32.const 1032) (i64.load (i32.load (i32.const 64))))
             (i32.store (i32.const 1040) (i32.load (i32.const 68)))
             (i64.store (i32.const 1048) (call $mono))
             (i32.store8 (i32.const 1056) (call $ready (i32.load (i32.const 2048))))
             (i32.store8 (i32.const 1057) (call $ready (i32.load (i32.const 2052))))"
        ),
    );
    assert_eq!(u64_at(&found, 8), 1 | 3 << 32, "the second and the fourth");
    assert_eq!(u64_at(&found, 16) as u32, 2);
    assert_eq!(u64_at(&found, 24) - u64_at(&found, 0), 1_000_000);
    assert_eq!(found[32..34], [0, 1]);

    // A stream is ready at once, so nobody sleeps.
    let found = finds(
        16,
        &format!(
            "{poll}
             (i32.store (i32.const 2064) (call $out_ready (call $stdout)))
             (i32.store (i32.const 2068) (call $in_ready (call $stdin)))
             (call $poll (i32.const 2048) (i32.const 6) (i32.const 64))
             (i64.store (i32.const 1024) (i64.load (i32.load (i32.const 64))))
             (i64.store (i32.const 1032) (call $mono))"
        ),
    );
    assert_eq!(u64_at(&found, 0), 4 | 5 << 32);
    assert_eq!(u64_at(&found, 8), NOW_S * 1_000_000_000);
}

#[test]
fn sleeping_for_ever_ends_at_the_end_of_time() {
    let found = finds(
        33,
        "(call $block (call $after (i64.const -1)))
         (i64.store (i32.const 1024) (call $mono))
         (call $wall (i32.const 1032))
         (call $block (call $after (i64.const -1)))
         (call $block (call $at (i64.const -1)))
         (i64.store (i32.const 1048) (call $mono))
         (i32.store8 (i32.const 1056) (call $ready (call $at (i64.const 0))))",
    );
    assert_eq!((u64_at(&found, 0), u64_at(&found, 24)), (u64::MAX, u64::MAX));
    assert_eq!(u64_at(&found, 8), u64::MAX / 1_000_000_000);
    assert_eq!(found[32], 1);
}

#[test]
fn a_time_beyond_the_clocks_is_no_trouble() {
    let image = image(
        "",
        "(call $block (call $after (i64.const 5)))
         (i64.store (i32.const 1024) (call $mono))
         (call $wall (i32.const 1032))
         (call $ok (i32.const 1024) (i32.const 16))",
    );
    let mut host = Memory::default();
    host.context.timestamp_us = u64::MAX;
    let found = image.call(host, apply(b"")).1.unwrap().output.unwrap();
    assert_eq!((u64_at(&found, 0), u64_at(&found, 8)), (u64::MAX, u64::MAX / 1_000_000));
}

#[test]
fn chance_is_a_stream_of_the_seed() {
    let image = image(
        "(func $copy (param i32 i32)
           (memory.copy (local.get 0) (i32.load (i32.const 64)) (local.get 1)))",
        "(call $random (i64.const 10) (i32.const 64)) (call $copy (i32.const 1024) (i32.const 10))
         (i64.store (i32.const 1034) (call $random64))
         (call $insecure (i64.const 6) (i32.const 64)) (call $copy (i32.const 1042) (i32.const 6))
         (i64.store (i32.const 1048) (call $insecure64))
         (call $insecure_seed (i32.const 1056))
         (call $random (i64.const 0) (i32.const 64))
         (i32.store (i32.const 1072) (i32.load (i32.const 68)))
         (call $ok (i32.const 1024) (i32.const 52))",
    );
    for seed in [[9; 32], [10; 32]] {
        let mut expected = [0; 52];
        let mut keyed = blake3::Hasher::new_derive_key("althing 1 wasi random");
        keyed.update(&seed).finalize_xof().fill(&mut expected[..48]);
        for _ in 0..2 {
            let mut host = Memory::default();
            host.context.seed = seed;
            let found = image.call(host, apply(b"")).1.unwrap().output.unwrap();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn lines_go_to_the_log() {
    let (info, warn) = (Level::Info, Level::Warn);
    let check = |body: &str, expected: &[(Level, &str)]| {
        let (lines, finished) = logs(body);
        let expected: Vec<_> = expected.iter().map(|(level, l)| (*level, (*l).into())).collect();
        assert_eq!(lines, expected);
        assert_eq!(finished.logs_dropped, 0);
    };
    let whole = "(call $out (i32.const 2048) (i32.const 14))";
    let lines = [(info, "one"), (info, "two"), (info, ""), (info, "three")];
    check(&format!("{whole} {RETURN}"), &lines);
    // A line may come in pieces, through any handle, with lines of the other stream between.
    check(
        &format!(
            "(call $out (i32.const 2048) (i32.const 2)) (call $bad (i32.const 2052) (i32.const 4))
             (call $out (i32.const 2050) (i32.const 4)) (call $bad (i32.const 2048) (i32.const 3))
             {RETURN}"
        ),
        &[(warn, "two"), (info, "one"), (info, "tw"), (warn, "one")],
    );
    // A trap loses nothing that was written.
    check(&format!("{whole} unreachable"), &lines);
    // What is no text is replaced, and zeroes are a text.
    check(
        &format!(
            "(i32.store (i32.const 1024) (i32.const 0x0a41ff41)) (call $out (i32.const 1024) (i32.const 4))
             (call $zeroes (call $stdout) (i64.const 3) (i32.const 64)) {RETURN}"
        ),
        &[(info, "A\u{fffd}A"), (info, "\0\0\0")],
    );
}

#[test]
fn what_does_not_fit_the_log_is_dropped_line_by_line() {
    let endless = |bytes: usize, times: usize| {
        logs(&format!(
            "(local $n i32)
             (memory.fill (i32.const 65536) (i32.const 46) (i32.const {bytes}))
             (i32.store8 (i32.const {}) (i32.const 10))
             (loop $l
               (call $out (i32.const 65536) (i32.const {bytes}))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $l (i32.lt_u (local.get $n) (i32.const {times}))))
             (call $out (i32.const 2048) (i32.const 4))
             {RETURN}",
            65_535 + bytes
        ))
    };
    // Two lines of 6,000 bytes fit, and later a short one does.
    let (lines, finished) = endless(6_000, 4);
    assert_eq!(lines.iter().map(|(_, line)| line.len()).collect::<Vec<_>>(), [5_999, 5_999, 3]);
    assert_eq!(finished.logs_dropped, 2);
    // One that is longer than the log is not kept while it grows.
    let (lines, finished) = endless(60_000, 3);
    assert_eq!((lines.len(), finished.logs_dropped), (1, 3));
    // Even lines without any text are bounded.
    let (lines, finished) = endless(1, 20_000);
    assert_eq!(lines.len(), GUEST_LOG_BYTES_MAX);
    assert_eq!(finished.logs_dropped as usize, 20_001 - GUEST_LOG_BYTES_MAX);
}

#[test]
fn a_full_log_changes_nothing_for_the_guest() {
    let write = "(call $out (i32.const 65536) (i32.const 20000))
                 (i32.store8 (i32.const 1024) (i32.load8_u (i32.const 64)))
                 (call $check (call $stdout) (i32.const 72))
                 (i64.store (i32.const 1032) (i64.load (i32.const 80)))
                 (call $flush (call $stdout) (i32.const 96))
                 (i32.store8 (i32.const 1025) (i32.load8_u (i32.const 96)))";
    let (_, once) = logs(&format!("{write} (call $ok (i32.const 1024) (i32.const 16))"));
    let (_, twice) = logs(&format!("{write} {write} (call $ok (i32.const 1024) (i32.const 16))"));
    assert_eq!((once.logs_dropped, twice.logs_dropped), (1, 1));
    assert_eq!(once.output, twice.output);
    let output = once.output.unwrap();
    assert_eq!((output[0], output[1], u64_at(&output, 8)), (0, 0, 64 << 10));
}

#[test]
fn stdin_is_at_its_end() {
    // Each result: 1 for an error, then 1 for the case `closed`.
    let found = finds(
        16,
        "(call $read (call $stdin) (i64.const 100) (i32.const 64))
         (i32.store (i32.const 1024) (i32.load (i32.const 64)))
         (i32.store (i32.const 1028) (i32.load (i32.const 68)))
         (call $read2 (call $stdin) (i64.const 0) (i32.const 64))
         (i32.store (i32.const 1032) (i32.load8_u (i32.const 64)))
         (call $skip (call $stdin) (i64.const -1) (i32.const 64))
         (i32.store8 (i32.const 1036) (i32.load8_u (i32.const 64)))
         (call $splice (call $stdout) (call $stdin) (i64.const -1) (i32.const 64))
         (i32.store8 (i32.const 1037) (i32.load8_u (i32.const 64)))",
    );
    assert_eq!((found[0], found[4], found[8], found[12], found[13]), (1, 1, 1, 1, 1));
}

#[test]
fn everything_else_is_told_to_be_absent() {
    let found = finds(
        32,
        "(call $environment (i32.const 64)) (i32.store8 (i32.const 1024) (i32.load (i32.const 68)))
         (call $arguments (i32.const 64)) (i32.store8 (i32.const 1025) (i32.load (i32.const 68)))
         (call $directories (i32.const 64)) (i32.store8 (i32.const 1026) (i32.load (i32.const 68)))
         (i32.store8 (i32.const 64) (i32.const 9))
         (call $cwd (i32.const 64)) (i32.store8 (i32.const 1027) (i32.load8_u (i32.const 64)))
         (i32.store8 (i32.const 64) (i32.const 9))
         (call $tty_in (i32.const 64)) (i32.store8 (i32.const 1028) (i32.load8_u (i32.const 64)))
         (call $tty_out (i32.const 64)) (i32.store8 (i32.const 1029) (i32.load8_u (i32.const 64)))
         (call $tty_err (i32.const 64)) (i32.store8 (i32.const 1030) (i32.load8_u (i32.const 64)))
         (call $tcp (i32.const 0) (i32.const 64))
         (i32.store16 (i32.const 1032) (i32.load8_u (i32.const 64)))
         (i32.store8 (i32.const 1033) (i32.load8_u (i32.const 68)))
         (call $udp (i32.const 1) (i32.const 64))
         (i32.store8 (i32.const 1034) (i32.load8_u (i32.const 64)))
         (i32.store8 (i32.const 1035) (i32.load8_u (i32.const 68)))
         (call $resolve (call $network) (i32.const 1024) (i32.const 2) (i32.const 64))
         (i32.store8 (i32.const 1036) (i32.load8_u (i32.const 64)))
         (i32.store8 (i32.const 1037) (i32.load8_u (i32.const 68)))
         (call $append (call $fields) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 64))
         (i32.store8 (i32.const 1038) (i32.load8_u (i32.const 64)))
         (call $handle (call $request (call $fields)) (i32.const 1) (call $options) (i32.const 64))
         (i32.store8 (i32.const 1040) (i32.load8_u (i32.const 64)))
         (i32.store8 (i32.const 1041) (i32.load8_u (i32.const 68)))
         (i32.store8 (i32.const 1042) (call $timeout (call $options) (i32.const 0) (i64.const 0)))
         (call $drop_network (call $network))",
    );
    assert_eq!(found[..7], [0; 7], "empty lists, and no option");
    assert_eq!(found[8..14], [1, 2, 1, 2, 1, 2], "not-supported");
    assert_eq!(found[14], 1, "no header is taken");
    assert_eq!(found[16..19], [1, 1, 1], "HTTP-request-denied, and an error without more");
}

#[test]
fn a_function_that_cannot_fail_says_that_it_is_not_offered() {
    let image =
        image("", "(drop (call $has (call $fields) (i32.const 0) (i32.const 1))) unreachable");
    let (error, fuel) = common::fails(&image, apply(b""));
    assert_eq!(
        error.message,
        "guest: run called wasi:http/types@0.2.6 [method]fields.has, which is not offered"
    );
    assert_eq!(fuel, common::FUEL);
}

#[test]
fn exits_are_failures() {
    let why = "; return from the exported function instead, with an error if it failed";
    for (body, how) in [
        ("(call $exit (i32.const 0))", "as if it had succeeded"),
        ("(call $exit (i32.const 1))", "as failed"),
        ("(call $exit_code (i32.const 7))", "with code 7"),
    ] {
        let (error, fuel) = common::fails(&image("", &format!("{body} unreachable")), apply(b""));
        assert_eq!(error.message, format!("guest: run ended itself {how}{why}"));
        assert_eq!(fuel, common::FUEL);
    }
}

#[test]
fn every_version_of_preview_2_is_one() {
    let body = "(i64.store (i32.const 1024) (call $mono))
                (i32.store8 (i32.const 64) (i32.const 9))
                (call $tcp (i32.const 0) (i32.const 64))
                (i32.store8 (i32.const 1032) (i32.load8_u (i32.const 68)))
                (call $ok (i32.const 1024) (i32.const 9))";
    let outputs = ["0.2.0", "0.2.6", "0.2.99"].map(|version| {
        let (_, finished) = call(&load(engine(), &guest_of(version, "", body)), apply(b""));
        (finished.output.unwrap(), finished.fuel_used)
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn other_versions_are_refused() {
    for version in ["0.3.0", "0.2.0-rc-2023-12-05", "1.0.0"] {
        let error = inspect(&guest_of(version, "", RETURN)).unwrap_err();
        assert!(error.message.contains(&format!("@{version}`, which is not offered")), "{error}");
        assert!(error.message.contains("build it for preview 2"), "{error}");
    }
}

#[test]
fn other_packages_are_refused() {
    for name in ["wasi:nn/tensor@0.2.0", "wasi:keyvalue/store@0.2.0", "wasi:cli@0.2.0"] {
        let text = format!("(component (import \"{name}\" (instance)))");
        // The last one is no name of an interface, and no component either.
        let Ok(wasm) = wat::parse_str(text) else { continue };
        let error = inspect(&wasm).unwrap_err();
        assert!(
            error.message.contains("not offered") || error.message.contains("not valid"),
            "{error}"
        );
    }
}
