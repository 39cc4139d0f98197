//! Hashes and signatures.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Hash;
use althing_sandbox::Image;
use common::{FUEL, apply, fails, image, query, run};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

/// The hash of its arguments; their first byte is not part of it.
fn hashing(algorithm: u32) -> Image {
    let body = format!(
        "(call $hash (i32.const {algorithm}) (local.get $args) (local.get $len) (global.get $ret))
         (call $ok (i32.load (global.get $ret)) (i32.load offset=4 (global.get $ret)))"
    );
    image("", &body)
}

/// Known answers, so that another implementation could not slip in.
#[test]
fn known_hashes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (algorithm, data, known) in [
        (0, &b""[..], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ] {
        for call in [apply(data), query(data)] {
            assert_eq!(hex(&run(&hashing(algorithm), call).1.output.unwrap()), known);
        }
    }
    let long = vec![7; 300_000];
    assert_eq!(run(&hashing(0), apply(&long)).1.output.unwrap(), Hash::of(&long).0);
}

#[test]
fn an_unknown_algorithm_is_the_guests_fault() {
    let (error, fuel) = fails(&hashing(2), apply(b"x"));
    assert!(error.message.contains("broke the canonical ABI"), "{error}");
    assert_eq!(fuel, FUEL);
}

#[test]
fn a_hash_costs_by_the_byte() {
    for (algorithm, price) in [(0, 4), (1, 16)] {
        let image = hashing(algorithm);
        let cost = |len: usize| run(&image, apply(&vec![0; len])).1.fuel_used;
        let more = cost(200_000) - cost(100_000);
        // Growing the memory for the longer arguments costs a little as well.
        assert!((100_000 * price..100_000 * price + 2_000).contains(&more), "{more}");
    }
    let huge = "(drop (memory.grow (i32.const 40)))
                (loop $l (call $hash (i32.const 0) (i32.const 0) (i32.const 2000000)
                  (global.get $ret)) (br $l)) unreachable";
    let (error, _) = fails(&image("", huge), apply(b""));
    assert!(error.message.contains("used all its fuel"), "{error}");
}

/// Verifies: 32 bytes of key, 64 of signature, the rest is the message.
fn verifying(key_len: u32, signature_len: u32) -> Image {
    let body = format!(
        "(i32.store8 (i32.const 1024) (call $verify
           (local.get $args) (i32.const {key_len})
           (i32.add (local.get $args) (i32.const 96)) (i32.sub (local.get $len) (i32.const 96))
           (i32.add (local.get $args) (i32.const 32)) (i32.const {signature_len})))
         (call $ok (i32.const 1024) (i32.const 1))"
    );
    image("", &body)
}

#[test]
fn signatures() {
    let key = SigningKey::from([5; 32]);
    let public: [u8; 32] = VerificationKeyBytes::from(&key).into();
    let message = b"pay 5 to Ada";
    let signature: [u8; 64] = key.sign(message).into();
    let good = [&public[..], &signature, message].concat();
    let image = verifying(32, 64);
    let verdict = |image: &Image, args: &[u8]| run(image, query(args)).1.output.unwrap() == [1];
    assert!(verdict(&image, &good));
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0x80;
        assert!(!verdict(&image, &damaged), "byte {at}");
    }
    for (key_len, signature_len) in [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0)] {
        assert!(!verdict(&verifying(key_len, signature_len), &good));
    }
    // A key of small order verifies a signature of zeroes, by the rules of ZIP-215: here as anywhere.
    let mut small = vec![0; 96];
    small[0] = 1;
    small[32] = 1;
    assert!(verdict(&image, &small));
    let spent = run(&image, apply(&good)).1.fuel_used;
    assert!((400_000..402_000).contains(&spent), "{spent}");
}
