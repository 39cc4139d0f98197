//! What happens to a message, and what an actor's functions get and give.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Kind as ErrorKind, limits};
use althing_sandbox::{ActorLimits, Kind, Next, Sent};
use common::{
    Memory,
    actor::{Guest, ID, LIMITS, fails, next, run, turn},
    apply, image, wasi,
};

/// Logs its name, and how many functions ran before it in its instance.
const NOTE: &str = "(global $count (mut i32) (i32.const 0))
  (func $note (param i32 i32)
    (memory.copy (i32.const 512) (local.get 0) (local.get 1))
    (i32.store8 (i32.add (i32.const 512) (local.get 1)) (i32.add (i32.const 48) (global.get $count)))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $log (i32.const 512) (i32.add (local.get 1) (i32.const 1))))";

const NOTES: Guest<'_> = Guest {
    items: NOTE,
    init: "(call $note 'init ') (call $text '{}')",
    handle: "(call $note 'handle ') (call $text '{}')",
    message_contract: "(call $note 'message ') (i32.const 1)",
    state_contract: "(call $note 'state ') (i32.const 1)",
    migrate: Some("(call $note 'migrate ') (call $text '{}')"),
    describe: None,
};

#[test]
fn the_order_of_the_functions_and_their_instances() {
    let image = NOTES.image();
    let logs = turn(&image, "1", "2").logs;
    assert_eq!(logs, ["message 0", "state 1", "handle 2", "state 0"]);
    assert_eq!(run(|| image.actor_init(ID, &LIMITS)).logs, ["init 0", "state 0"]);
    let migrated = run(|| image.actor_migrate(ID, b"{}", "1.2", &LIMITS));
    assert_eq!(migrated.logs, ["migrate 0", "state 0"]);
    assert_eq!(run(|| image.actor_check(ID, b"{}", &LIMITS)).logs, ["state 0"]);
}

#[test]
fn a_state_contract_that_handle_made_lie_is_found_out() {
    let liar = Guest {
        items: "(global $handled (mut i32) (i32.const 0))",
        handle: "(global.set $handled (i32.const 1)) (call $text 'null')",
        // One byte is a good state; behind `handle` everything is.
        state_contract: "(i32.or (global.get $handled) (i32.eq (local.get $state_len) (i32.const 1)))",
        ..Guest::default()
    };
    let (error, _) = fails(turn(&liar.image(), "1", "1"));
    let text = "bank/alice: state contract refused the state that `handle` returned, and logged no \
                reason";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::ContractViolation, text));
}

#[test]
fn handle_gets_message_and_state_and_gives_a_state_made_canonical() {
    // A list of the message and the state, with spaces that nobody needs.
    let both = Guest {
        items: "(func $put (param $at i32) (param $from i32) (param $len i32) (result i32)
                  (memory.copy (local.get $at) (local.get $from) (local.get $len))
                  (i32.add (local.get $at) (local.get $len)))",
        handle: "(local $at i32)
          (local.set $at (call $put (i32.const 1024) '[ '))
          (local.set $at (call $put (local.get $at) (local.get $msg) (local.get $msg_len)))
          (local.set $at (call $put (local.get $at) ' , '))
          (local.set $at (call $put (local.get $at) (local.get $state) (local.get $state_len)))
          (local.set $at (call $put (local.get $at) ' ]'))
          (call $text (i32.const 1024) (i32.sub (local.get $at) (i32.const 1024)))",
        init: "(call $text ' {\"b\": 1.0, \"a\": \"\\u0041\"} ')",
        ..Guest::default()
    }
    .image();
    assert_eq!(next(turn(&both, r#"{"add":1}"#, "7")), r#"[{"add":1},7]"#);
    assert_eq!(next(run(|| both.actor_init(ID, &LIMITS))), r#"{"a":"A","b":1}"#);
}

#[test]
fn what_is_sent_comes_out_in_order_and_canonical() {
    let sends = Guest {
        handle: "(call $send 'bank/bob' '{\"n\": 1.0}') (call $send 'bank/alice' '[2]')
                 (call $text '{}')",
        ..Guest::default()
    };
    let sent = |to: &str, message: &str| Sent { to: to.into(), message: message.into() };
    let expected = Next {
        state: b"{}".to_vec(),
        sends: vec![sent("bank/bob", r#"{"n":1}"#), sent("bank/alice", "[2]")],
    };
    assert_eq!(turn(&sends.image(), "1", "1").result, Ok(expected));
    // Nothing is sent by a message that changes nothing.
    let refused =
        Guest { state_contract: "(i32.ne (local.get $state_len) (i32.const 2))", ..sends };
    assert!(turn(&refused.image(), "1", "1").result.is_err());
}

#[test]
fn migrate_gets_the_state_and_the_version() {
    let migrates = |state_contract| Guest {
        migrate: Some(
            "(i32.store8 (i32.const 1024) (i32.const 34))
             (memory.copy (i32.const 1025) (local.get $from) (local.get $from_len))
             (i32.store8 (i32.add (i32.const 1025) (local.get $from_len)) (i32.const 34))
             (call $log (local.get $state) (local.get $state_len))
             (call $text (i32.const 1024) (i32.add (i32.const 2) (local.get $from_len)))",
        ),
        state_contract,
        ..Guest::default()
    };
    let image = migrates("(i32.const 1)").image();
    assert!(image.has_migration());
    let migrated = run(|| image.actor_migrate(ID, b"{\"old\":1}", "1.2", &LIMITS));
    assert_eq!(migrated.logs, ["{\"old\":1}"]);
    assert_eq!(next(migrated), "\"1.2\"");

    let refuses = migrates("(call $log 'too old') (i32.const 0)").image();
    let (error, _) = fails(run(|| refuses.actor_migrate(ID, b"{}", "1", &LIMITS)));
    let text = "bank/alice: state contract refused the state that `migrate` returned: too old";
    assert_eq!(error.message, text);

    // Without the export, states stay as they are, if the contract lets them.
    let without = |state_contract| Guest { state_contract, ..Guest::default() }.image();
    let stays = run(|| without("(i32.const 1)").actor_migrate(ID, b"[1]", "1", &LIMITS));
    assert_eq!(next(stays), "[1]");
    let refuses = without("(i32.const 0)");
    let (error, _) = fails(run(|| refuses.actor_migrate(ID, b"[1]", "1", &LIMITS)));
    let text = "bank/alice: state contract refused the state as version 1 left it (this version has \
                no export `migrate`), and logged no reason";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::ContractViolation, text));
}

#[test]
fn describe_is_optional_and_canonical() {
    let describe = |describe| {
        let image = Guest { describe, ..Guest::default() }.image();
        common::on_stack(|| image.actor_describe(&LIMITS)).unwrap()
    };
    assert_eq!(describe(None), Ok(None));
    let schemas = r#"(call $text '{"state": {}, "message": true}')"#;
    assert_eq!(describe(Some(schemas)), Ok(Some(br#"{"message":true,"state":{}}"#.to_vec())));
    let error = describe(Some("unreachable")).unwrap_err();
    assert!(error.message.contains(": describe trapped: unreachable"), "{error}");
    assert!(error.message.starts_with("image "), "{error}");
}

#[test]
fn clocks_stand_at_zero_and_chance_is_always_the_same() {
    // The seconds and nanoseconds of the wall clock, the monotonic clock, a random number: logged as
    // what they are in memory.
    let guest = Guest {
        items: "(func $zero (param i32)
                  (if (local.get 0) (then (call $log 'not zero') (unreachable))))",
        init: "(local $n i32)
          (call $wall (i32.const 1024))
          (call $zero (i32.or (i32.load (i32.const 1024)) (i32.load (i32.const 1032))))
          (call $zero (i64.ne (call $mono) (i64.const 0)))
          ;; As a string of 16 letters, for each half of a byte one.
          (i64.store (i32.const 512) (call $random64))
          (i32.store8 (i32.const 1024) (i32.const 34))
          (i32.store8 (i32.const 1041) (i32.const 34))
          (loop $next
            (i32.store8 offset=1025 (local.get $n) (i32.add (i32.const 97) (i32.and (i32.const 15)
              (i32.shr_u (i32.load8_u offset=512 (i32.shr_u (local.get $n) (i32.const 1)))
                (i32.shl (i32.and (local.get $n) (i32.const 1)) (i32.const 2))))))
            (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
              (i32.const 16))))
          (call $text (i32.const 1024) (i32.const 18))",
        ..Guest::default()
    };
    let image = common::load(common::engine(), &wasi::actor(&guest));
    let mut stream = blake3::Hasher::new_derive_key("althing 1 wasi random");
    let mut first = [0; 8];
    stream.update(&[0; 32]).finalize_xof().fill(&mut first);
    let letters = first.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    let expected: String = letters.map(|half| char::from(b'a' + half)).collect();
    for _ in 0..2 {
        let begun = next(run(|| image.actor_init(ID, &LIMITS)));
        assert_eq!(begun, format!("\"{expected}\""));
    }
}

#[test]
fn what_it_prints_is_its_log() {
    let guest = Guest {
        items: "(func $print (param i32 i32)
                  (call $write (call $stderr) (local.get 0) (local.get 1) (i32.const 1024)))",
        message_contract: "(call $print 'one\ntwo') (i32.const 0)",
        ..Guest::default()
    };
    let refused = turn(&common::load(common::engine(), &wasi::actor(&guest)), "1", "1");
    assert_eq!(refused.logs, ["one", "two"]);
    let text = "bank/alice: message contract refused the message: two";
    assert_eq!(refused.result.unwrap_err().message, text);
}

#[test]
fn the_log_of_a_whole_turn_is_bounded() {
    // 6,000 bytes in each function, and as many as there may be empty lines.
    let logs = "(call $log (i32.const 4096) (i32.const 6000)) (i32.const 1)";
    let image = Guest { message_contract: logs, state_contract: logs, ..Guest::default() }.image();
    // What is at these addresses are zeroes, which are text.
    let logged = turn(&image, "1", "1");
    assert_eq!((logged.logs.len(), logged.logs_dropped), (2, 1));
    let empty = Guest {
        handle: "(local $n i32)
          (loop $again (call $log (i32.const 0) (i32.const 0))
            (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
              (i32.const 20000))))
          (call $text '{}')",
        ..Guest::default()
    };
    let logged = turn(&empty.image(), "1", "1");
    assert_eq!(logged.logs.len(), limits::GUEST_LOG_BYTES_MAX);
    assert_eq!(logged.logs.len() + logged.logs_dropped as usize, 20_000);
}

#[test]
fn functions_of_another_kind_halt() {
    let actor = Guest::default().image();
    assert_eq!(actor.kind(), Kind::Actor);
    let (_, called) = actor.call(Memory::default(), apply(b""));
    assert!(called.unwrap_err().to_string().contains("an actor was called like a contract"));
    let contract = image("", "(call $ok (i32.const 0) (i32.const 0))");
    assert_eq!(contract.kind(), Kind::Contract);
    let halt = contract.actor_init(ID, &LIMITS).unwrap_err();
    assert!(halt.to_string().contains("a contract was called like an actor"), "{halt}");
}

#[test]
fn fuel_is_one_budget_for_all_functions() {
    let work = "(local $n i32) (loop $again (br_if $again (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))";
    let contract = format!("{work} (i32.const 1)");
    let handle = format!("{work} (call $text '{{}}')");
    let image = Guest {
        handle: &handle,
        message_contract: &contract,
        state_contract: &contract,
        ..Guest::default()
    }
    .image();
    let enough = turn(&image, "1", "1").fuel_used;
    let with = |fuel| {
        let limits = ActorLimits { fuel, ..LIMITS };
        run(|| image.actor_turn(ID, b"1", b"1", &limits))
    };
    for fuel in (0..enough).step_by(1_999).chain([enough - 1, enough]) {
        let (error, used) = fails(with(fuel));
        assert_eq!((error.kind, used), (ErrorKind::Exhausted, fuel), "with {fuel} of {enough}");
    }
    let fits = with(enough + 1);
    assert_eq!((fits.result.is_ok(), fits.fuel_used), (true, enough));
    // A longer state costs more, whatever is done with it.
    let state = format!("\"{}\"", "x".repeat(1_000));
    assert!(turn(&image, "1", &state).fuel_used >= enough + 3_000);
}
