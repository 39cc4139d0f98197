;; Does one thing wrong: the one whose number is in args.
(table $functions 4 8 funcref)
(elem (table $functions) (i32.const 1) func $nothing)
(type $nothing (func))
(type $other (func (param f64) (result i64)))
(func $nothing)
(func $of_a_float (param $float f64) (result i32) (i32.trunc_f64_s (local.get $float)))

(func $run (param $method i32) (param i32) (param $args i32) (param $bytes i32) (result i32)
  (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7 (block $6 (block $5
  (block $4 (block $3 (block $2 (block $1 (block $0
    (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13
      (call $number (local.get $args) (local.get $bytes))))
    ;; 0: unreachable
    unreachable)
    ;; 1: a division by zero
    (return (i32.div_s (i32.const 1) (global.get $zero))))
    ;; 2: a quotient that does not fit
    (return (i32.div_s (i32.const 0x80000000) (i32.sub (global.get $zero) (i32.const 1)))))
    ;; 3: a load past the end of memory
    (return (i32.load (i32.const 0x7fffffff))))
    ;; 4: a store across the end of memory
    (i64.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i64.const -1))
    (return (call $done)))
    ;; 5: a copy past the end of memory
    (memory.copy (i32.const 0) (i32.const 0) (i32.const 300000))
    (return (call $done)))
    ;; 6: past the end of a table
    (call_indirect $functions (type $nothing) (i32.const 4))
    (return (call $done)))
    ;; 7: a function that is not there
    (call_indirect $functions (type $nothing) (i32.const 0))
    (return (call $done)))
    ;; 8: a function of another type
    (return (i32.wrap_i64
      (call_indirect $functions (type $other) (f64.const 1) (i32.const 1)))))
    ;; 9: an integer of what is none
    (return (call $of_a_float (f64.div (f64.const 0) (f64.const 0)))))
    ;; 10: an integer of what is too large
    (return (call $of_a_float (f64.const 1e300))))
    ;; 11: an endless loop
    (loop $for_ever (br $for_ever)))
    ;; 12: a result outside of memory
    (return (i32.const 0x7ffffff0)))
    ;; 13, and what is not listed: a result whose bytes are outside of memory
    (global.set $said (i32.const 0x7fffffff))
    (call $done))
