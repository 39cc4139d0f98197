;; The next version of a guest that kept its names under "name/": on migration it moves them to
;; the top, notes from which version, and fails when there is a key "stuck". Called, it says its keys.
(data (i32.const 1024) "name/")
(data (i32.const 1040) "from")
(data (i32.const 1056) "stuck")
(data (i32.const 1072) "there is a key that cannot be migrated")

(func $first (param $prefix i32) (param $bytes i32)
  (call $scan (local.get $prefix) (local.get $bytes)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 0) (i32.const 1) (global.get $ret)))

(func (export "althing:contract/migration@0.1.0#migrate") (param $from i32) (param $bytes i32)
  (result i32)
  (local $pair i32) (local $key i32)
  (call $put (i32.const 1040) (i32.const 4) (local.get $from) (local.get $bytes) (global.get $ret))
  (loop $next
    (call $first (i32.const 1024) (i32.const 5))
    (if (i32.load offset=8 (global.get $ret))
      (then
        (local.set $pair (i32.load offset=4 (global.get $ret)))
        (local.set $key (i32.load (local.get $pair)))
        (call $put (i32.add (local.get $key) (i32.const 5))
          (i32.sub (i32.load offset=4 (local.get $pair)) (i32.const 5))
          (i32.load offset=8 (local.get $pair)) (i32.load offset=12 (local.get $pair))
          (i32.const 96))
        (call $delete (local.get $key) (i32.load offset=4 (local.get $pair)) (i32.const 96))
        (br $next))))
  (call $get (i32.const 1056) (i32.const 5) (global.get $ret))
  (if (i32.load8_u offset=4 (global.get $ret))
    (then
      (call $say (i32.const 1072) (i32.const 38))
      (return (call $failed))))
  (call $done))

(func $run (param i32 i32 i32 i32) (result i32)
  (local $pair i32) (local $left i32)
  (call $scan (i32.const 0) (i32.const 0)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 0) (i32.const 100) (global.get $ret))
  (local.set $pair (i32.load offset=4 (global.get $ret)))
  (local.set $left (i32.load offset=8 (global.get $ret)))
  (loop $next
    (if (local.get $left)
      (then
        (call $say (i32.load (local.get $pair)) (i32.load offset=4 (local.get $pair)))
        (call $say_byte (i32.const 61))
        (call $say (i32.load offset=8 (local.get $pair)) (i32.load offset=12 (local.get $pair)))
        (call $say_byte (i32.const 32))
        (local.set $pair (i32.add (local.get $pair) (i32.const 16)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next))))
  (call $done))
