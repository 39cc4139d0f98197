;; Does what args say, one word after the other, and says what came of each. A word is a letter, and
;; one or two texts with = between them:
;;
;;   pKEY=VALUE     put                     gKEY           get
;;   dKEY           delete                  xPREFIX=LIMIT  delete-prefix
;;   sPREFIX=LIMIT  scan                    rPREFIX=LIMIT  the same, backwards
;;   aKEY=LIMIT     scan after the key      bKEY=LIMIT     backwards, before the key
;;   eTOPIC=DATA    emit                    lTEXT          log
;;   c              context                 hTEXT          both hashes
;;   vTEXT          verify a signature that is none
;;   oPROGRAM=TEXT  call apply of a program with one word of args; qPROGRAM=TEXT its query
;;   fTIMES         floats                  mPAGES         grow memory
;;   wTIMES         work: so many rounds of a hash
;;   t              trap                    !              fail with what was said
;;
;; In the args of o and q, a comma stands for the space between words and : for the sign =.
(data (i32.const 1024) "run")

(func $say_text_at (param $at i32)
  (call $say (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))))
;; Says the message of an error that an import left, and is 1 then.
(func $is_error (result i32)
  (if (result i32) (i32.load8_u (global.get $ret))
    (then
      (call $say_byte (i32.const 60))
      (call $say_text_at (i32.add (global.get $ret) (i32.const 8)))
      (call $say_byte (i32.const 62))
      (i32.const 1))
    (else (i32.const 0))))
(func $say_page
  (local $pair i32) (local $left i32)
  (if (call $is_error) (then (return)))
  (local.set $pair (i32.load offset=4 (global.get $ret)))
  (local.set $left (i32.load offset=8 (global.get $ret)))
  (loop $next
    (if (local.get $left)
      (then
        (call $say_text_at (local.get $pair))
        (call $say_byte (i32.const 61))
        (call $say_text_at (i32.add (local.get $pair) (i32.const 8)))
        (call $say_byte (i32.const 32))
        (local.set $pair (i32.add (local.get $pair) (i32.const 16)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next))))
  (call $say_byte (i32.add (i32.const 48) (i32.load8_u offset=12 (global.get $ret)))))
;; A hash of rounds of integer work.
(func $work (param $times i32) (result i64)
  (local $hash i64)
  (local.set $hash (i64.const 0x9e3779b97f4a7c15))
  (loop $next
    (local.set $hash (i64.mul
      (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29)))
      (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
    (br_if $next (i32.gt_s (local.get $times) (i32.const 0))))
  (local.get $hash))
;; Floats that run into the edges: infinities, denormals, what is not a number.
(func $floats (param $times i32) (result f64)
  (local $x f64) (local $y f32)
  (local.set $x (f64.add (f64.convert_i32_u (local.get $times)) (f64.const 0.1)))
  (local.set $y (f32.const 3))
  (loop $next
    (local.set $x (f64.sub (f64.mul (local.get $x) (local.get $x))
      (f64.div (f64.const 1) (local.get $x))))
    (local.set $y (f32.sqrt (f32.sub (f32.demote_f64 (local.get $x)) (local.get $y))))
    (local.set $x (f64.add (local.get $x) (f64.promote_f32 (local.get $y))))
    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
    (br_if $next (i32.gt_s (local.get $times) (i32.const 0))))
  (local.get $x))
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
(func $replace (param $at i32) (param $end i32) (param $byte i32) (param $with i32)
  (loop $next
    (local.set $at (call $find (local.get $at) (local.get $end) (local.get $byte)))
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then (i32.store8 (local.get $at) (local.get $with)) (br $next)))))

(func $word (param $op i32) (param $a i32) (param $a_len i32) (param $b i32) (param $b_len i32)
  (local $number i32)
  (local.set $number (call $number (local.get $b) (local.get $b_len)))
  (if (i32.eq (local.get $op) (i32.const 112)) ;; p
    (then
      (call $put (local.get $a) (local.get $a_len) (local.get $b) (local.get $b_len) (global.get $ret))
      (drop (call $is_error))))
  (if (i32.eq (local.get $op) (i32.const 103)) ;; g
    (then
      (call $get (local.get $a) (local.get $a_len) (global.get $ret))
      (if (i32.eqz (call $is_error))
        (then
          (if (i32.load8_u offset=4 (global.get $ret))
            (then (call $say_text_at (i32.add (global.get $ret) (i32.const 8))))
            (else (call $say_byte (i32.const 45))))))))
  (if (i32.eq (local.get $op) (i32.const 100)) ;; d
    (then
      (call $delete (local.get $a) (local.get $a_len) (global.get $ret))
      (if (i32.eqz (call $is_error))
        (then (call $say_byte (i32.add (i32.const 48) (i32.load8_u offset=4 (global.get $ret))))))))
  (if (i32.eq (local.get $op) (i32.const 115)) ;; s
    (then (call $scan (local.get $a) (local.get $a_len)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (local.get $number) (global.get $ret)) (call $say_page)))
  (if (i32.eq (local.get $op) (i32.const 114)) ;; r
    (then (call $scan (local.get $a) (local.get $a_len)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 1) (local.get $number) (global.get $ret)) (call $say_page)))
  (if (i32.eq (local.get $op) (i32.const 97)) ;; a
    (then (call $scan (i32.const 0) (i32.const 0)
      (i32.const 1) (local.get $a) (local.get $a_len) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (local.get $number) (global.get $ret)) (call $say_page)))
  (if (i32.eq (local.get $op) (i32.const 98)) ;; b
    (then (call $scan (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (local.get $a) (local.get $a_len)
      (i32.const 1) (local.get $number) (global.get $ret)) (call $say_page)))
  (if (i32.eq (local.get $op) (i32.const 120)) ;; x
    (then
      (call $delete_prefix (local.get $a) (local.get $a_len) (local.get $number) (global.get $ret))
      (if (i32.eqz (call $is_error))
        (then
          (call $say_i32 (i32.load offset=4 (global.get $ret)))
          (call $say_byte (i32.add (i32.const 48) (i32.load8_u offset=8 (global.get $ret))))))))
  (if (i32.eq (local.get $op) (i32.const 101)) ;; e
    (then
      (call $emit (local.get $a) (local.get $a_len) (local.get $b) (local.get $b_len) (global.get $ret))
      (drop (call $is_error))))
  (if (i32.eq (local.get $op) (i32.const 108)) ;; l
    (then (call $log (i32.const 1) (local.get $a) (local.get $a_len))))
  (if (i32.eq (local.get $op) (i32.const 99)) ;; c
    (then
      (call $say_i64 (call $index))
      (call $say_i64 (call $timestamp))
      (call $author (global.get $ret))
      (call $say_text_at (global.get $ret))
      (call $seed (global.get $ret))
      (call $say_text_at (global.get $ret))
      (call $program (global.get $ret))
      (call $say_text_at (global.get $ret))
      (call $caller (global.get $ret))
      (call $say_text_at (i32.add (global.get $ret) (i32.const 4)))))
  (if (i32.eq (local.get $op) (i32.const 104)) ;; h
    (then
      (call $hash (i32.const 0) (local.get $a) (local.get $a_len) (global.get $ret))
      (call $say_text_at (global.get $ret))
      (call $hash (i32.const 1) (local.get $a) (local.get $a_len) (global.get $ret))
      (call $say_text_at (global.get $ret))))
  (if (i32.eq (local.get $op) (i32.const 118)) ;; v
    (then (call $say_byte (i32.add (i32.const 48)
      (call $verify (i32.const 2048) (i32.const 32) (local.get $a) (local.get $a_len)
        (i32.const 2048) (i32.const 64))))))
  (if (i32.eq (local.get $op) (i32.const 111)) ;; o
    (then
      (call $replace (local.get $b) (i32.add (local.get $b) (local.get $b_len)) (i32.const 44) (i32.const 32))
      (call $replace (local.get $b) (i32.add (local.get $b) (local.get $b_len)) (i32.const 58) (i32.const 61))
      (call $call_program (local.get $a) (local.get $a_len) (i32.const 1024) (i32.const 3)
        (local.get $b) (local.get $b_len) (global.get $ret))
      (if (i32.eqz (call $is_error))
        (then (call $say_text_at (i32.add (global.get $ret) (i32.const 4)))))))
  (if (i32.eq (local.get $op) (i32.const 113)) ;; q
    (then
      (call $replace (local.get $b) (i32.add (local.get $b) (local.get $b_len)) (i32.const 44) (i32.const 32))
      (call $replace (local.get $b) (i32.add (local.get $b) (local.get $b_len)) (i32.const 58) (i32.const 61))
      (call $query_program (local.get $a) (local.get $a_len) (i32.const 1024) (i32.const 3)
        (local.get $b) (local.get $b_len) (global.get $ret))
      (if (i32.eqz (call $is_error))
        (then (call $say_text_at (i32.add (global.get $ret) (i32.const 4)))))))
  (if (i32.eq (local.get $op) (i32.const 102)) ;; f
    (then (call $say_i64 (i64.reinterpret_f64
      (call $floats (call $number (local.get $a) (local.get $a_len)))))))
  (if (i32.eq (local.get $op) (i32.const 109)) ;; m
    (then (call $say_i32 (memory.grow (call $number (local.get $a) (local.get $a_len))))))
  (if (i32.eq (local.get $op) (i32.const 119)) ;; w
    (then (call $say_i64 (call $work (call $number (local.get $a) (local.get $a_len))))))
  (if (i32.eq (local.get $op) (i32.const 116)) ;; t
    (then unreachable)))

(func $run (param i32 i32) (param $at i32) (param $bytes i32) (result i32)
  (local $end i32) (local $word_end i32) (local $equals i32)
  (local.set $end (i32.add (local.get $at) (local.get $bytes)))
  (loop $next
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 33)) ;; !
          (then (return (call $failed))))
        (local.set $word_end (call $find (local.get $at) (local.get $end) (i32.const 32)))
        (local.set $equals (call $find (local.get $at) (local.get $word_end) (i32.const 61)))
        (call $word (i32.load8_u (local.get $at))
          (i32.add (local.get $at) (i32.const 1))
          (i32.sub (local.get $equals) (i32.add (local.get $at) (i32.const 1)))
          (i32.add (local.get $equals) (i32.const 1))
          (select (i32.const 0)
            (i32.sub (local.get $word_end) (i32.add (local.get $equals) (i32.const 1)))
            (i32.eq (local.get $equals) (local.get $word_end))))
        (call $say_byte (i32.const 32))
        (local.set $at (i32.add (local.get $word_end) (i32.const 1)))
        (br $next))))
  (call $done))
