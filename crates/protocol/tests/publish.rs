//! A publisher's signature says one thing about one image.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{Hash, ImageClaim, Kind, SecretKey, v1};
use proptest::prelude::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn signed() -> (Hash, v1::ImageSignature) {
    let image = Hash::of(b"component");
    (image, ImageClaim { program: "counter", image: &image, version: "1" }.sign(&key(1)))
}

#[test]
fn it_is_refused_for_anything_else() {
    let (image, signature) = signed();
    let other = Hash::of(b"other");
    for (program, image, version) in
        [("other", &image, "1"), ("counter", &other, "1"), ("counter", &image, "2")]
    {
        let error = ImageClaim { program, image, version }.verify(&signature).unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.message.contains("did not sign this program"), "{error}");
    }
}

#[test]
fn it_is_refused_in_another_publishers_name() {
    let (image, signature) = signed();
    let claim = ImageClaim { program: "counter", image: &image, version: "1" };
    let forged = v1::ImageSignature { publisher: key(2).public().0.to_vec(), ..signature.clone() };
    assert_eq!(claim.verify(&forged).unwrap_err().kind, Kind::Denied);
    assert_eq!(claim.verify(&signature).unwrap(), key(1).public());
}

#[test]
fn what_is_cut_short_is_malformed() {
    let (image, signature) = signed();
    let claim = ImageClaim { program: "counter", image: &image, version: "1" };
    for bytes in 0..64 {
        let mut cut = signature.clone();
        cut.signature.truncate(bytes);
        let error = claim.verify(&cut).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("wants 64"), "{error}");
    }
    let nobody = v1::ImageSignature { publisher: vec![1; 31], ..signature };
    let error = claim.verify(&nobody).unwrap_err();
    assert!(error.kind == Kind::Invalid && error.message.contains("publisher"), "{error}");
}

proptest! {
    /// No byte moves from one part of a claim to the next.
    #[test]
    fn claims_do_not_run_together(
        program in "[a-z][a-z0-9]{0,5}", version in ".{0,5}", shift in 1usize..5,
    ) {
        let image = Hash::of(b"component");
        let signature = ImageClaim { program: &program, image: &image, version: &version }.sign(&key(1));
        let cut = program.len().saturating_sub(shift).max(1);
        prop_assume!(cut < program.len());
        let moved = ImageClaim { program: &program[..cut], image: &image, version: &version };
        prop_assert!(moved.verify(&signature).is_err());
        let longer = format!("{version}x");
        let moved = ImageClaim { program: &program, image: &image, version: &longer };
        prop_assert!(moved.verify(&signature).is_err());
    }

    #[test]
    fn any_bytes_are_no_signature(publisher: [u8; 32], signature: Vec<u8>) {
        let image = Hash::of(b"component");
        let claim = ImageClaim { program: "counter", image: &image, version: "1" };
        let given = v1::ImageSignature { publisher: publisher.to_vec(), signature };
        prop_assert!(claim.verify(&given).is_err());
    }
}
