;; Finds how deep the program "recurse" can go: the method is the kind of frame, args a depth that is
;; too deep. Says the deepest that still returned, and how often it asked.
(data (i32.const 1024) "recurse")

;; Writes the number so that it ends before 1,100; gives where it starts.
(func $decimal (param $number i32) (result i32)
  (local $at i32)
  (local.set $at (i32.const 1100))
  (loop $next
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
    (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
    (br_if $next (local.get $number)))
  (local.get $at))

(func $run (param $method i32) (param $bytes i32) (param $args i32) (param $args_bytes i32) (result i32)
  (local $good i32) (local $bad i32) (local $middle i32) (local $at i32) (local $asked i32)
  (local.set $bad (call $number (local.get $args) (local.get $args_bytes)))
  (loop $next
    (local.set $middle (i32.shr_u (i32.add (local.get $good) (local.get $bad)) (i32.const 1)))
    (local.set $at (call $decimal (local.get $middle)))
    (call $call_program (i32.const 1024) (i32.const 7) (local.get $method) (local.get $bytes)
      (local.get $at) (i32.sub (i32.const 1100) (local.get $at)) (global.get $ret))
    (local.set $asked (i32.add (local.get $asked) (i32.const 1)))
    (if (i32.load8_u (global.get $ret))
      (then (local.set $bad (local.get $middle)))
      (else (local.set $good (local.get $middle))))
    (br_if $next (i32.gt_u (i32.sub (local.get $bad) (local.get $good)) (i32.const 1))))
  (local.set $at (call $decimal (local.get $good)))
  (call $say (local.get $at) (i32.sub (i32.const 1100) (local.get $at)))
  (call $say_byte (i32.const 32))
  (local.set $at (call $decimal (local.get $asked)))
  (call $say (local.get $at) (i32.sub (i32.const 1100) (local.get $at)))
  (call $done))
