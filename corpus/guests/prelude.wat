;; What every guest of the corpus has besides its own functions, with prelude-contract.wat or
;; prelude-actor.wat. It is not a module of its own: imports, these, and the guest's text become one.
;;
;; 16 to 28    what exported functions return
;; 64 to 128   $ret: what imports return
;; 1,024       and more: the guest's own, up to
;; 65,536      $out: what the guest says
;; 131,072     and more: what is passed in
(memory (export "memory") 4)
(global $ret i32 (i32.const 64))
(global $out i32 (i32.const 65536))
(global $said (mut i32) (i32.const 0))
;; Zero, though a compiler cannot know it.
(global $zero (mut i32) (i32.const 0))
(global $heap (mut i32) (i32.const 131072))

(func $grow (param $end i32)
  (local $pages i32)
  (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
    (then
      (local.set $pages (i32.add (i32.const 1) (i32.shr_u
        (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))) (i32.const 16))))
      (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable)))))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get 3)))
  (call $grow (global.get $heap))
  (local.get $at))

;; Says so many bytes more; traps beyond 64 KiB.
(func $say (param $at i32) (param $bytes i32)
  (if (i32.gt_u (i32.add (global.get $said) (local.get $bytes)) (i32.const 65536))
    (then unreachable))
  (memory.copy (i32.add (global.get $out) (global.get $said)) (local.get $at) (local.get $bytes))
  (global.set $said (i32.add (global.get $said) (local.get $bytes))))
(func $say_byte (param $byte i32)
  (i32.store8 (i32.const 32) (local.get $byte))
  (call $say (i32.const 32) (i32.const 1)))
(func $say_i64 (param $value i64)
  (i64.store (i32.const 32) (local.get $value))
  (call $say (i32.const 32) (i32.const 8)))
(func $say_i32 (param $value i32)
  (i32.store (i32.const 32) (local.get $value))
  (call $say (i32.const 32) (i32.const 4)))

;; The decimal number at $at.
(func $number (param $at i32) (param $bytes i32) (result i32)
  (local $value i32)
  (loop $next
    (if (local.get $bytes)
      (then
        (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 10))
          (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $next))))
  (local.get $value))
