;; Never gets as far as to be called.
(func $for_ever (loop $again (br $again)))
(start $for_ever)
(func $run (param i32 i32 i32 i32) (result i32) (call $done))
