//! An actor in text form: an account, whose state is how much it holds. It begins with 100.
//!
//! A message is a string: a letter, and what it is about.
//!
//! ```text
//!   +N       takes N
//!   -N TO    gives N of what it has to the actor TO, which gets `+N`; refused when it has less
//!   *N TO    sends `+1` to TO, N times, and keeps what it has
//!   >XY      takes 1, and sends `>YX` to the actor X, which has a name of one letter
//!   !TO      sends `.` to TO, and traps
//!   oTEXT    logs TEXT
//!   ?        refused
//!   #        makes a debt, which the state contract refuses
//!   {        makes something that is no JSON
//!   zN       becomes a text of N times `z`
//!   l        loops for ever
//!   .        nothing
//! ```
#![allow(dead_code, unreachable_pub)]

use crate::guests::actor::Guest;

const ITEMS: &str = r#"
  ;; Where the last number ended.
  (global $end (mut i32) (i32.const 0))
  (func $number (param $at i32) (result i32)
    (local $n i32) (local $digit i32)
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10)) (then
        (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10)) (local.get $digit)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
    (global.set $end (local.get $at))
    (local.get $n))
  (func $decimal (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 84))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $next (local.get $n)))
    (call $text (local.get $at) (i32.sub (i32.const 84) (local.get $at))))
  ;; The letter of a message.
  (func $op (param $msg i32) (result i32) (i32.load8_u offset=1 (local.get $msg)))
  ;; `"+N"` at 512, with the digits from $from to $end; gives its length.
  (func $plus (param $from i32) (result i32)
    (local $len i32)
    (local.set $len (i32.sub (global.get $end) (local.get $from)))
    (i32.store16 (i32.const 512) (i32.const 0x2b22))
    (memory.copy (i32.const 514) (local.get $from) (local.get $len))
    (i32.store8 offset=514 (local.get $len) (i32.const 0x22))
    (i32.add (local.get $len) (i32.const 3)))"#;

const MESSAGE_CONTRACT: &str = r#"
  (if (i32.eq (call $op (local.get $msg)) (i32.const 63))
    (then (call $log 'what is that?') (return (i32.const 0))))
  (if (i32.and
        (i32.eq (call $op (local.get $msg)) (i32.const 45))
        (i32.gt_u (call $number (i32.add (local.get $msg) (i32.const 2)))
                  (call $number (local.get $state))))
    (then (call $log 'not enough') (return (i32.const 0))))
  (i32.const 1)"#;

/// Refuses debts; `{more}` can refuse more.
const STATE_CONTRACT: &str = r#"
  (if (i32.eq (i32.load8_u (local.get $state)) (i32.const 45))
    (then (call $log 'no debts') (return (i32.const 0))))
  {more}
  (i32.const 1)"#;

fn handle() -> String {
    let is = |letter: char| {
        format!("(i32.eq (call $op (local.get $msg)) (i32.const {}))", letter as u32)
    };
    // The text behind a number and a space, or behind the letter.
    let rest = |at: &str| {
        format!(
            "{at} (i32.sub (i32.sub (i32.add (local.get $msg) (local.get $msg_len)) (i32.const 1)) {at})"
        )
    };
    let to = rest("(local.get $to)");
    let text = rest("(i32.add (local.get $msg) (i32.const 2))");
    let as_it_is = "(return (call $text (local.get $state) (local.get $state_len)))";
    format!(
        r#"(local $n i32) (local $to i32) (local $len i32)
  (local.set $n (call $number (i32.add (local.get $msg) (i32.const 2))))
  (local.set $to (i32.add (global.get $end) (i32.const 1)))
  (if {plus} (then
    (return (call $decimal (i32.add (call $number (local.get $state)) (local.get $n))))))
  (if {minus} (then
    (local.set $len (call $plus (i32.add (local.get $msg) (i32.const 2))))
    (call $send {to} (i32.const 512) (local.get $len))
    (return (call $decimal (i32.sub (call $number (local.get $state)) (local.get $n))))))
  (if {times} (then
    (loop $next
      (if (local.get $n) (then
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (call $send {to} '"+1"')
        (br $next))))
    {as_it_is}))
  (if {onwards} (then
    (i32.store16 (i32.const 512) (i32.const 0x3e22))
    (i32.store8 (i32.const 514) (i32.load8_u offset=3 (local.get $msg)))
    (i32.store8 (i32.const 515) (i32.load8_u offset=2 (local.get $msg)))
    (i32.store8 (i32.const 516) (i32.const 0x22))
    (call $send (i32.add (local.get $msg) (i32.const 2)) (i32.const 1) (i32.const 512) (i32.const 5))
    (return (call $decimal (i32.add (call $number (local.get $state)) (i32.const 1))))))
  (if {bang} (then (call $send {text} '"."') unreachable))
  (if {log} (then (call $log {text})))
  (if {debt} (then (return (call $text '-1'))))
  (if {broken} (then (return (call $text '{{'))))
  (if {long} (then
    (i32.store8 (i32.const 180000) (i32.const 34))
    (memory.fill (i32.const 180001) (i32.const 122) (local.get $n))
    (i32.store8 offset=180001 (local.get $n) (i32.const 34))
    (return (call $text (i32.const 180000) (i32.add (local.get $n) (i32.const 2))))))
  (if {forever} (then (loop $again (br $again))))
  {as_it_is} unreachable"#,
        plus = is('+'),
        minus = is('-'),
        times = is('*'),
        onwards = is('>'),
        bang = is('!'),
        log = is('o'),
        debt = is('#'),
        broken = is('{'),
        long = is('z'),
        forever = is('l'),
    )
}

/// The component.
pub fn account() -> Vec<u8> {
    made("(call $text '100')", "", None)
}

/// One that takes over every state as it is.
pub fn migrating() -> Vec<u8> {
    made("(call $text '100')", "", Some("(call $text (local.get $state) (local.get $state_len))"))
}

/// One whose `init` makes a debt.
pub fn indebted() -> Vec<u8> {
    made("(call $text '-5')", "", None)
}

/// One that refuses to hold exactly `n`.
pub fn refusing(n: u32) -> Vec<u8> {
    let refusal = format!(
        "(if (i32.eq (call $number (local.get $state)) (i32.const {n}))
           (then (call $log 'not that number') (return (i32.const 0))))"
    );
    made("(call $text '100')", &refusal, None)
}

fn made(init: &str, more: &str, migrate: Option<&str>) -> Vec<u8> {
    let guest = Guest {
        items: ITEMS,
        init,
        handle: &handle(),
        message_contract: MESSAGE_CONTRACT,
        state_contract: &STATE_CONTRACT.replace("{more}", more),
        migrate,
        ..Guest::default()
    };
    guest.component()
}
