;; An actor: an account, whose state is how much it holds. It begins with 100. A message is a string:
;; a letter, and what it is about.
;;
;;   +N       takes N
;;   -N TO    gives N of what it has to the actor TO, which gets `+N`; refused when it has less
;;   *N TO    sends `+1` to TO, N times, and keeps what it has
;;   >XY      takes 1, and sends `>YX` to the actor X, which has a name of one letter
;;   !TO      sends `+1` to TO, and traps
;;   lTEXT    logs TEXT
;;   ?        refused
;;   #        makes a debt, which the state contract refuses
;;   {        makes something that is no JSON
;;   w        works for ever
;;   .        nothing
(data (i32.const 1024) "not enough")
(data (i32.const 1040) "what is that?")
(data (i32.const 1056) "no debts")
(data (i32.const 1072) "\"+1\"")
(data (i32.const 1080) "-1")
(data (i32.const 1088) "{")
(data (i32.const 1096) "100")

(func $op (param $msg i32) (result i32) (i32.load8_u offset=1 (local.get $msg)))
;; The number behind the letter.
(func $amount (param $msg i32) (param $len i32) (result i32)
  (local $at i32) (local $end i32)
  (local.set $at (i32.add (local.get $msg) (i32.const 2)))
  (local.set $end (i32.sub (i32.add (local.get $msg) (local.get $len)) (i32.const 1)))
  (call $number (local.get $at)
    (i32.sub (call $find (local.get $at) (local.get $end) (i32.const 32)) (local.get $at))))

(func $init (result i32) (call $text (i32.const 1096) (i32.const 3)))

(func $message_contract (param $msg i32) (param $msg_len i32) (param $state i32) (param $state_len i32)
  (result i32)
  (if (i32.eq (call $op (local.get $msg)) (i32.const 63)) ;; ?
    (then (call $log (i32.const 1040) (i32.const 13)) (return (i32.const 0))))
  (if (i32.and
        (i32.eq (call $op (local.get $msg)) (i32.const 45)) ;; -
        (i32.gt_u (call $amount (local.get $msg) (local.get $msg_len))
          (call $number (local.get $state) (local.get $state_len))))
    (then (call $log (i32.const 1024) (i32.const 10)) (return (i32.const 0))))
  (i32.const 1))

(func $state_contract (param $state i32) (param $state_len i32) (result i32)
  (if (i32.eq (i32.load8_u (local.get $state)) (i32.const 45))
    (then (call $log (i32.const 1056) (i32.const 8)) (return (i32.const 0))))
  (i32.const 1))

(func $handle (param $msg i32) (param $msg_len i32) (param $state i32) (param $state_len i32)
  (result i32)
  (local $op i32) (local $at i32) (local $end i32) (local $to i32) (local $amount i32) (local $has i32)
  (local.set $op (call $op (local.get $msg)))
  (local.set $at (i32.add (local.get $msg) (i32.const 2)))
  (local.set $end (i32.sub (i32.add (local.get $msg) (local.get $msg_len)) (i32.const 1)))
  (local.set $to (i32.add (i32.const 1)
    (call $find (local.get $at) (local.get $end) (i32.const 32))))
  (local.set $has (call $number (local.get $state) (local.get $state_len)))
  (if (i32.eq (local.get $op) (i32.const 43)) ;; +
    (then
      (call $say_number (i32.add (local.get $has) (call $amount (local.get $msg) (local.get $msg_len))))
      (return (call $told))))
  (if (i32.eq (local.get $op) (i32.const 45)) ;; -
    (then
      (local.set $amount (call $amount (local.get $msg) (local.get $msg_len)))
      (call $say (i32.const 1072) (i32.const 2))
      (call $say_number (local.get $amount))
      (call $say_byte (i32.const 34))
      (call $send (local.get $to) (i32.sub (local.get $end) (local.get $to))
        (global.get $out) (global.get $said))
      (global.set $said (i32.const 0))
      (call $say_number (i32.sub (local.get $has) (local.get $amount)))
      (return (call $told))))
  (if (i32.eq (local.get $op) (i32.const 42)) ;; *
    (then
      (local.set $amount (call $amount (local.get $msg) (local.get $msg_len)))
      (loop $next
        (if (local.get $amount)
          (then
            (call $send (local.get $to) (i32.sub (local.get $end) (local.get $to))
              (i32.const 1072) (i32.const 4))
            (local.set $amount (i32.sub (local.get $amount) (i32.const 1)))
            (br $next))))))
  (if (i32.eq (local.get $op) (i32.const 62)) ;; >
    (then
      (call $say (local.get $msg) (i32.const 2))
      (call $say (i32.add (local.get $at) (i32.const 1)) (i32.const 1))
      (call $say (local.get $at) (i32.const 1))
      (call $say_byte (i32.const 34))
      (call $send (local.get $at) (i32.const 1) (global.get $out) (global.get $said))
      (global.set $said (i32.const 0))
      (call $say_number (i32.add (local.get $has) (i32.const 1)))
      (return (call $told))))
  (if (i32.eq (local.get $op) (i32.const 33)) ;; !
    (then
      (call $send (local.get $at) (i32.sub (local.get $end) (local.get $at))
        (i32.const 1072) (i32.const 4))
      unreachable))
  (if (i32.eq (local.get $op) (i32.const 108)) ;; l
    (then (call $log (local.get $at) (i32.sub (local.get $end) (local.get $at)))))
  (if (i32.eq (local.get $op) (i32.const 35)) ;; #
    (then (return (call $text (i32.const 1080) (i32.const 2)))))
  (if (i32.eq (local.get $op) (i32.const 123)) ;; {
    (then (return (call $text (i32.const 1088) (i32.const 1)))))
  (if (i32.eq (local.get $op) (i32.const 119)) ;; w
    (then (loop $again (br $again))))
  (call $text (local.get $state) (local.get $state_len)))
