//! Who signed what.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{
    Batch, Kind, RealmId, SecretKey, limits, sign, sys, v1, verify, verify_all,
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

fn envelope(seed: u8, text: &str) -> (SecretKey, v1::Envelope) {
    let key = SecretKey::from_seed(&[seed; 32]);
    let instructions = vec![sys::put("/k", text)];
    let realm = RealmId([1; 32]);
    let batch = Batch { realm, author: key.public(), session: 1, sequence: 1, instructions };
    (key.clone(), sign(&key, batch))
}

proptest! {
    /// One bad signature in a batch is found, named by its place, and spoils no other.
    #[test]
    fn a_batch_judges_as_each_alone(count in 1_usize..40, bad in 0_usize..40, bit in 0_usize..512) {
        let mut signed: Vec<_> = (0..count).map(|n| envelope(n as u8, &n.to_string())).collect();
        let bad = bad % count;
        signed[bad].1.signature[bit / 8] ^= 1 << (bit % 8);
        let pairs: Vec<_> = signed.iter().map(|(key, e)| (e, key.public())).collect();
        let verdicts = verify_all(&pairs, StdRng::seed_from_u64(bit as u64));
        for (at, (verdict, (envelope, author))) in verdicts.iter().zip(&pairs).enumerate() {
            prop_assert_eq!(verdict.is_ok(), at != bad);
            prop_assert_eq!(verdict, &verify(envelope, author));
        }
    }

    /// What decodes as a batch encodes to the same bytes; nothing panics on rubbish.
    #[test]
    fn rubbish_is_refused_or_canonical(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let envelope = v1::Envelope { body: body.clone(), signature: vec![0; 64] };
        if let Ok(batch) = Batch::decode(&envelope) {
            prop_assert_eq!(batch.encode(), body);
        }
    }
}

#[test]
fn a_signature_holds_for_its_author_and_body_only() {
    let (key, envelope) = envelope(3, "x");
    verify(&envelope, &key.public()).unwrap();
    let other = SecretKey::from_seed(&[4; 32]).public();
    assert_eq!(verify(&envelope, &other).unwrap_err().kind, Kind::Denied);
    let mut changed = envelope.clone();
    *changed.body.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&changed, &key.public()).unwrap_err().kind, Kind::Denied);
    for length in [0, 63, 65] {
        let cut = v1::Envelope { signature: vec![0; length], ..envelope.clone() };
        assert_eq!(verify(&cut, &key.public()).unwrap_err().kind, Kind::Denied);
        assert!(verify_all(&[(&cut, key.public())], StdRng::seed_from_u64(1))[0].is_err());
    }
}

#[test]
fn limits_are_named() {
    let batch = |instructions| Batch {
        realm: RealmId([1; 32]),
        author: SecretKey::from_seed(&[3; 32]).public(),
        session: 1,
        sequence: 1,
        instructions,
    };
    let check = |batch: Batch, words: &str| {
        let envelope = v1::Envelope { body: batch.encode(), signature: Vec::new() };
        let error = Batch::decode(&envelope).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains(words), "{error}");
    };
    check(batch(Vec::new()), "payloads");
    check(batch(vec![sys::delete("k"); limits::BATCH_PAYLOADS_MAX + 1]), "payloads");
    check(batch(vec![v1::Instruction::new("Sys", "put", Vec::new())]), "program");
    check(batch(vec![v1::Instruction::new("sys", "", Vec::new())]), "method");
    check(batch(vec![v1::Instruction::new("sys", "p t", Vec::new())]), "method");
    let big = vec![0; limits::INSTRUCTION_BYTES_MAX + 1];
    check(batch(vec![v1::Instruction::new("p", "m", big)]), "args");
    check(Batch { sequence: u64::MAX, ..batch(vec![sys::delete("k")]) }, "sequence");
}
