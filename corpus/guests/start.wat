;; Has work to do before it can be called: an instantiation that counts, and copies data.
(data (i32.const 2048) "made before the first call")
(global $counted (mut i32) (i32.const 0))
(func $count
  (loop $next
    (global.set $counted (i32.add (global.get $counted) (i32.const 1)))
    (br_if $next (i32.lt_u (global.get $counted) (i32.const 1000)))))
(start $count)
(func $run (param i32 i32 i32 i32) (result i32)
  (call $say (i32.const 2048) (i32.const 26))
  (call $say_i32 (global.get $counted))
  (global.set $counted (i32.const 0))
  (call $done))
