;; What actors have besides. Their own are the functions $init, $handle, $message_contract and
;; $state_contract, of which each gets texts and returns one, or a bool. One that has $migrate, too,
;; exports it itself.

;; Returns a text.
(func $text (param $at i32) (param $bytes i32) (result i32)
  (i32.store (i32.const 16) (local.get $at))
  (i32.store (i32.const 20) (local.get $bytes))
  (i32.const 16))
;; Returns what was said.
(func $told (result i32) (call $text (global.get $out) (global.get $said)))

;; The place of $byte, or the end.
(func $find (param $at i32) (param $end i32) (param $byte i32) (result i32)
  (loop $next
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then
        (if (i32.eq (i32.load8_u (local.get $at)) (local.get $byte))
          (then (return (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
  (local.get $end))

;; Says a number in decimal.
(func $say_number (param $number i32)
  (local $at i32)
  (local.set $at (i32.const 128))
  (loop $next
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
    (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
    (br_if $next (local.get $number)))
  (call $say (local.get $at) (i32.sub (i32.const 128) (local.get $at))))

(func (export "init") (result i32) (call $init))
(func (export "handle") (param i32 i32 i32 i32) (result i32)
  (call $handle (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
(func (export "message-contract") (param i32 i32 i32 i32) (result i32)
  (call $message_contract (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
(func (export "state-contract") (param i32 i32) (result i32)
  (call $state_contract (local.get 0) (local.get 1)))
