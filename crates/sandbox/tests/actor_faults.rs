//! Actors that refuse, misbehave or lie: nothing comes of their messages but an error, in words that
//! are the same everywhere.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Kind, limits};
use althing_sandbox::{ActorLimits, Deadline};
use common::{
    FUEL,
    actor::{Guest, ID, LIMITS, fails, run, turn},
};

/// A turn fails as `text` says, which follows the actor's id; `costs` all of its fuel, or less.
fn check(guest: &Guest<'_>, kind: Kind, text: &str, costs: Costs) {
    let (error, fuel) = fails(turn(&guest.image(), "1", "1"));
    assert_eq!(error.message, format!("{ID}: {text}"));
    assert_eq!(error.kind, kind, "{error}");
    match costs {
        Costs::All => assert_eq!(fuel, FUEL, "{error}"),
        Costs::Used => assert!(fuel < FUEL / 2, "{error}: {fuel}"),
    }
}

#[derive(Clone, Copy)]
enum Costs {
    All,
    Used,
}

fn with_message_contract(body: &str) -> Guest<'_> {
    Guest { message_contract: body, ..Guest::default() }
}

fn with_state_contract(body: &str) -> Guest<'_> {
    Guest { state_contract: body, ..Guest::default() }
}

fn with_handle(body: &str) -> Guest<'_> {
    Guest { handle: body, ..Guest::default() }
}

#[test]
fn contracts_that_refuse() {
    for (guest, text) in [
        (
            with_message_contract("(call $log 'not today') (i32.const 0)"),
            "message contract refused the message: not today",
        ),
        (
            with_message_contract("(call $log 'one') (call $log 'two') (i32.const 0)"),
            "message contract refused the message: two",
        ),
        (
            with_message_contract("(i32.const 0)"),
            "message contract refused the message, and logged no reason",
        ),
        (
            with_state_contract("(call $log 'too much') (i32.const 0)"),
            "state contract refused the state before the message: too much",
        ),
        // What another function logged is no reason.
        (
            Guest {
                message_contract: "(call $log 'fine') (i32.const 1)",
                state_contract: "(i32.const 0)",
                ..Guest::default()
            },
            "state contract refused the state before the message, and logged no reason",
        ),
        (
            Guest {
                handle: "(call $text '{}')",
                state_contract: "(call $log 'not one byte')
                                 (i32.eq (local.get $state_len) (i32.const 1))",
                ..Guest::default()
            },
            "state contract refused the state that `handle` returned: not one byte",
        ),
        (
            with_message_contract("(call $log (i32.const 4096) (i32.const 20000)) (i32.const 0)"),
            "message contract refused the message: (a line that its log had no room for)",
        ),
    ] {
        check(&guest, Kind::ContractViolation, text, Costs::Used);
    }
    let begins = with_state_contract("(call $log 'empty') (i32.const 0)").image();
    let (error, _) = fails(run(|| begins.actor_init(ID, &LIMITS)));
    let text = "bank/alice: state contract refused the state that `init` returned: empty";
    assert_eq!((error.kind, error.message.as_str()), (Kind::ContractViolation, text));
    let (error, _) = fails(run(|| begins.actor_check(ID, b"{}", &LIMITS)));
    assert_eq!(error.message, "bank/alice: state contract refused the state: empty");
}

#[test]
fn functions_that_do_not_return() {
    const PANIC: &str = "trapped: unreachable code (a panic or an abort)";
    let loops = "(loop $l (br $l)) unreachable";
    let fuel = "used all its fuel; do less in one call, or raise fuel_max in its manifest";
    for (name, guest) in [
        ("message-contract", with_message_contract as fn(&str) -> Guest<'_>),
        ("state-contract", with_state_contract),
        ("handle", with_handle),
    ] {
        let text = format!("{name} {PANIC}");
        check(&guest("unreachable"), Kind::GuestFailed, &text, Costs::All);
        let text = format!("{name} {PANIC}; it logged: no such account");
        let body = "(call $log 'first') (call $log 'no such account') unreachable";
        check(&guest(body), Kind::GuestFailed, &text, Costs::All);
        check(&guest(loops), Kind::Exhausted, &format!("{name} {fuel}"), Costs::All);
        let deep = Guest {
            items: "(func $deep (param i32) (result i32) (i32.add (i32.const 1)
                      (call $deep (i32.add (i32.const 1) (local.get 0)))))",
            ..guest("(call $deep (i32.const 0))")
        };
        let text = format!("{name} trapped: stack overflow (recursion too deep)");
        check(&deep, Kind::GuestFailed, &text, Costs::All);
    }
    // The state contract may fail for the state after the message alone.
    let after = Guest {
        handle: "(call $text '{}')",
        state_contract: "(if (i32.eq (local.get $state_len) (i32.const 2)) (then unreachable))
                         (i32.const 1)",
        ..Guest::default()
    };
    check(&after, Kind::GuestFailed, &format!("state-contract {PANIC}"), Costs::All);
    let init = Guest { init: "unreachable", ..Guest::default() }.image();
    let (error, used) = fails(run(|| init.actor_init(ID, &LIMITS)));
    assert_eq!((error.message, used), (format!("{ID}: init {PANIC}"), FUEL));
    let migrate = Guest { migrate: Some("unreachable"), ..Guest::default() }.image();
    let (error, used) = fails(run(|| migrate.actor_migrate(ID, b"{}", "1", &LIMITS)));
    assert_eq!((error.message, used), (format!("{ID}: migrate {PANIC}"), FUEL));
}

#[test]
fn states_that_are_none() {
    let deep = format!("(call $text '{}')", "[".repeat(65) + &"]".repeat(65));
    for (body, text) in [
        ("(call $text 'hello')", "is no JSON"),
        ("(call $text '')", "ends too early to be JSON"),
        ("(call $text 'NaN')", "is no JSON"),
        (r#"(call $text '{"a":1,"a":2}')"#, "has the key \"a\" twice"),
        ("(call $text '9007199254740993')", "number 9007199254740993: no double is exactly that"),
        (r#"(call $text '"\ud800"')"#, "has half of a surrogate pair"),
        (&deep, "has more than 64 levels"),
        // A megabyte of zeroes.
        (
            "(drop (memory.grow (i32.const 16))) (call $text (i32.const 262144) (i32.const 1048576))",
            "1048576 bytes, the limit is 524288; keep less in it",
        ),
    ] {
        let (error, fuel) = fails(turn(&with_handle(body).image(), "1", "1"));
        let text = format!("{ID}: the state that `handle` returned: {text}");
        assert!(error.message.starts_with(&text), "{error}");
        assert_eq!(error.kind, Kind::GuestFailed);
        assert!(fuel < FUEL, "{error}");
    }
    let init = Guest { init: "(call $text '{')", ..Guest::default() }.image();
    let (error, _) = fails(run(|| init.actor_init(ID, &LIMITS)));
    assert!(
        error.message.starts_with("bank/alice: the state that `init` returned: ends"),
        "{error}"
    );
}

/// The canonical form of a number may be longer than the number.
#[test]
fn a_state_whose_canonical_form_is_too_large() {
    let fill = |tokens: usize| {
        // `tokens` times "1e20," between brackets, the last comma overwritten.
        format!(
            "(local $at i32) (local $end i32)
             (drop (memory.grow (i32.const 16)))
             (local.set $at (i32.const 262145))
             (local.set $end (i32.add (local.get $at) (i32.const {})))
             (i32.store8 (i32.const 262144) (i32.const 91))
             (loop $next
               (i32.store (local.get $at) (i32.const 0x30326531))
               (i32.store8 offset=4 (local.get $at) (i32.const 44))
               (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 5)))
                 (local.get $end))))
             (i32.store8 (i32.sub (local.get $end) (i32.const 1)) (i32.const 93))
             (call $text (i32.const 262144) (i32.add (i32.const 1) (i32.const {})))",
            tokens * 5,
            tokens * 5,
        )
    };
    let text =
        "the state that `handle` returned: 880001 bytes, the limit is 524288; keep less in it";
    check(&with_handle(&fill(40_000)), Kind::GuestFailed, text, Costs::Used);
    assert!(turn(&with_handle(&fill(20_000)).image(), "1", "1").result.is_ok());
}

#[test]
fn messages_that_cannot_be_sent() {
    let long = format!("(call $send '{}' '1') unreachable", "a".repeat(129));
    let many = |count: usize| {
        format!("{} (call $text '{{}}')", "(call $send 'bank/bob' '1')".repeat(count))
    };
    let too_many = many(limits::ACTOR_SENDS_MAX + 1);
    // Five strings of 60,000 letters.
    let much = format!(
        "(memory.fill (i32.const 65536) (i32.const 97) (i32.const 60000))
         (i32.store8 (i32.const 65536) (i32.const 34)) (i32.store8 (i32.const 125535) (i32.const 34))
         {} (call $text '{{}}')",
        "(call $send 'b' (i32.const 65536) (i32.const 60000))".repeat(5)
    );
    for (body, kind, text) in [
        (
            "(call $send 'bank/ bob' '1') unreachable",
            Kind::GuestFailed,
            "sent to actor \"bank/ bob\": not an actor id; use 1 to 128 of a-z A-Z 0-9 . - _, in \
             segments parted by /",
        ),
        (&long, Kind::GuestFailed, "sent to an actor id of 129 bytes, the limit is 128"),
        (
            "(call $send 'bank/bob' '9007199254740993') unreachable",
            Kind::GuestFailed,
            "sent a message to bank/bob: number 9007199254740993: no double is exactly that (up to \
             2^53 all integers are); write it as a string",
        ),
        (
            "(call $send 'bank/bob' (i32.const 4096) (i32.const 65537)) unreachable",
            Kind::GuestFailed,
            "sent a message to bank/bob: 65537 bytes, the limit is 65536",
        ),
        (
            &too_many,
            Kind::Exhausted,
            "sent more than 64 messages; send fewer, or let those who get them send on",
        ),
        (
            &much,
            Kind::Exhausted,
            "sent more than 262144 bytes in all; send fewer, or let those who get them send on",
        ),
    ] {
        check(&with_handle(body), kind, &format!("handle {text}"), Costs::All);
    }
    let most = turn(&with_handle(&many(limits::ACTOR_SENDS_MAX)).image(), "1", "1");
    assert_eq!(most.result.unwrap().sends.len(), limits::ACTOR_SENDS_MAX);
}

#[test]
fn only_handle_sends() {
    let send = "(call $send 'bank/bob' '1') (i32.const 1)";
    let text = "called host.send, which only `handle` may call";
    for (name, guest) in [
        ("message-contract", with_message_contract(send)),
        ("state-contract", with_state_contract(send)),
    ] {
        check(&guest, Kind::GuestFailed, &format!("{name} {text}"), Costs::All);
    }
    let init = Guest { init: "(call $send 'bank/bob' '1') (call $text '{}')", ..Guest::default() };
    let (error, _) = fails(run(|| init.image().actor_init(ID, &LIMITS)));
    assert_eq!((error.kind, error.message), (Kind::GuestFailed, format!("{ID}: init {text}")));
}

#[test]
fn what_the_abi_does_not_let_through() {
    let text = "handle broke the canonical ABI: it passed or returned a value that is malformed, out \
                of bounds or larger than 2097152 bytes";
    for body in ["(i32.const -4)", "(call $text (i32.const 0) (i32.const 0x40000000))"] {
        check(&with_handle(body), Kind::GuestFailed, text, Costs::All);
    }
    let body = "(i32.store8 (i32.const 512) (i32.const 0xff))
                (call $log (i32.const 512) (i32.const 1)) unreachable";
    let text = "handle passed a text to host.log that is not valid Unicode";
    check(&with_handle(body), Kind::GuestFailed, text, Costs::All);
}

#[test]
fn who_gets_no_memory_and_aborts_is_told_so() {
    let abort = "handle trapped: unreachable code (a panic or an abort)";
    let too_much = with_handle("(drop (memory.grow (i32.const 4096))) unreachable");
    let text = format!(
        "{abort}; it was refused more memory than its {} bytes before that: keep less in it, or raise \
         memory_bytes_max in its manifest",
        LIMITS.memory_bytes_max
    );
    check(&too_much, Kind::GuestFailed, &text, Costs::All);
    let enough = with_handle("(drop (memory.grow (i32.const 1))) unreachable");
    check(&enough, Kind::GuestFailed, abort, Costs::All);
}

#[test]
fn too_little_memory_to_start() {
    let image = Guest::default().image();
    let limits = ActorLimits { memory_bytes_max: (4 << 16) - 1, ..LIMITS };
    let (error, fuel) = fails(run(|| image.actor_turn(ID, b"1", b"1", &limits)));
    let text = "bank/alice: its program needs 262144 bytes of memory to start, and may have 262143; \
                raise memory_bytes_max in its manifest";
    assert_eq!((error.kind, error.message.as_str(), fuel), (Kind::Exhausted, text, FUEL));
}

#[test]
fn what_is_no_text_is_not_passed_on() {
    let image = Guest::default().image();
    let (error, _) = fails(run(|| image.actor_turn(ID, b"\xff", b"1", &LIMITS)));
    assert_eq!(error.message, "bank/alice: the message is no JSON: not UTF-8");
    let (error, _) = fails(run(|| image.actor_check(ID, b"\xff", &LIMITS)));
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Invalid, "bank/alice: the state is no JSON: not UTF-8")
    );
}

/// A query: time may stop it.
#[test]
fn a_deadline_ends_what_fuel_does_not() {
    let image = with_handle("(loop $l (br $l)) unreachable").image();
    let deadline = Some(Deadline::after_ms(20));
    let limits = ActorLimits { fuel: u64::MAX / 4, deadline, ..LIMITS };
    let (error, used) = fails(run(|| image.actor_turn(ID, b"1", b"1", &limits)));
    assert!(error.message.starts_with("bank/alice: handle ran for longer than 20 ms"), "{error}");
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(used < limits.fuel);
}
