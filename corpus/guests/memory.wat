;; Grows: memory by pages (method m), or a table by elements (method t), as args say; says what the
;; grow gave, and the size after it. Method f fills what it grew, and says its last byte.
(table $grows 1 30000 funcref)
(func $run (param $method i32) (param i32) (param $args i32) (param $bytes i32) (result i32)
  (local $more i32) (local $kind i32) (local $end i32)
  (local.set $more (call $number (local.get $args) (local.get $bytes)))
  (local.set $kind (i32.load8_u (local.get $method)))
  (if (i32.eq (local.get $kind) (i32.const 116))
    (then
      (call $say_i32 (table.grow $grows (ref.null func) (local.get $more)))
      (call $say_i32 (table.size $grows)))
    (else
      (call $say_i32 (memory.grow (local.get $more)))
      (call $say_i32 (memory.size))))
  (if (i32.eq (local.get $kind) (i32.const 102))
    (then
      (local.set $end (i32.shl (memory.size) (i32.const 16)))
      (memory.fill (i32.const 262144) (i32.const 7) (i32.sub (local.get $end) (i32.const 262144)))
      (call $say_byte (i32.load8_u (i32.sub (local.get $end) (i32.const 1))))))
  (call $done))
