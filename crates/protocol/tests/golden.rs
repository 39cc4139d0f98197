//! Bytes that must never change: what was signed and stored stays readable.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{
    Batch, CheckpointValues, Hash, ImageClaim, Kind, RealmId, SecretKey, decode, entry_seed,
    next_entry_chain, next_result_chain, realm_id, sign, sys, v1, verify,
};
use prost::Message;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn envelope() -> v1::Envelope {
    let instructions = vec![
        sys::put("/a", "1"),
        v1::Instruction::new("counter", "increment", b"{\"by\":2}".to_vec()),
    ];
    let author = key().public();
    let batch = Batch { realm: RealmId([9; 32]), author, session: 256, sequence: 1, instructions };
    sign(&key(), batch)
}

fn entry() -> Vec<u8> {
    let signed = v1::Signed { envelope: Some(envelope()) };
    v1::Entry {
        timestamp_us: 1_800_000_000_000_000,
        seed: vec![5; 16],
        kind: Some(v1::entry::Kind::Signed(signed)),
    }
    .encode_to_vec()
}

#[test]
fn an_envelope() {
    let envelope = envelope();
    let expected = concat!(
        "0a200909090909090909090909090909090909090909090909090909090909090909",
        "1220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
        "1880022001",
        "2a150a130a0373797312037075741a070a022f61120131",
        "2a200a1e0a07636f756e7465721209696e6372656d656e741a087b226279223a327d",
    );
    assert_eq!(hex(&envelope.body), expected);
    verify(&envelope, &key().public()).unwrap();
    assert_eq!(
        hex(&envelope.signature),
        "61e30835d7b5b62d05a9767c07ade9e103390c368774b12d5b6b592fc9b1f80bb83f59f18988a2059f4bc07ed5dee61e7e04792d9a254e270c4d4666798bec02",
        "ed25519 is deterministic: domain or body changed"
    );
}

#[test]
fn chains_and_seeds() {
    let start = Hash(realm_id(b"genesis").0);
    assert_eq!(
        start.to_string(),
        "ca2262f514b144a0cc0d1be0e52e2d6349704f936d54be2844b2e12509c69358"
    );
    assert_eq!(
        next_entry_chain(&start, 1, &entry()).to_string(),
        "25d6c259415dba8e77c006533a9869de4ccc3b9a21885b3bc5c8edab99b4d15f"
    );
    assert_eq!(
        next_result_chain(&start, 1, b"result").to_string(),
        "b4334127837bf950bb9ea12d012225d4cdb88e9938b4900a86e106e5297ea736"
    );
    assert_eq!(
        hex(&entry_seed(&[5; 16], 1, 0)),
        "b7bbf6e97ce8e2542fa911e5bd02b04f5b41eb3a469b90b5f6d345fae6fa0c15"
    );
}

#[test]
fn a_published_image() {
    let image = Hash::of(b"component");
    let claim = ImageClaim { program: "counter", image: &image, version: "1.2" };
    let signature = claim.sign(&key());
    assert_eq!(
        hex(&signature.signature),
        "873d27784af9c9e13a25fe76e77a6900b7c4e3caa76470883a3f489e93e44876877437be2b6ba39bc6429877f72095ab9fdd9412f09d56670d810569632fe706",
        "ed25519 is deterministic: domain or message changed"
    );
    assert_eq!(claim.verify(&signature), Ok(key().public()));
    // The same bytes, put together by hand: docs/formats.md has them.
    let message =
        [&b"althing image v1\0counter\0"[..], image.as_bytes().as_slice(), b"1.2"].concat();
    let signed = ed25519_zebra::Signature::from(<[u8; 64]>::try_from(signature.signature).unwrap());
    let key = ed25519_zebra::VerificationKey::try_from(key().public().0).unwrap();
    key.verify(&signed, &message).unwrap();
}

#[test]
fn a_signed_checkpoint() {
    let realm = RealmId([9; 32]);
    let values = CheckpointValues {
        index: 0x0123_4567_89ab_cdef,
        entry_chain: Hash([1; 32]),
        result_chain: Hash([2; 32]),
        state_hash: Hash([3; 32]),
    };
    let signature = values.sign(&realm, &key());
    assert_eq!(
        hex(&signature.signature),
        "757390ee1e023571255a6f46a67a733ddaa7af130903898c2d752ca1e08b2c0f99430ea5968805f4c7c829e3a8e1b5a70962274dcb86477fbb7693d61efa1007",
        "ed25519 is deterministic: domain or message changed"
    );
    assert_eq!(values.verify(&realm, &signature), Ok(key().public()));
    // The same bytes, put together by hand: docs/formats.md has them.
    let index = [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01];
    let message =
        [&b"althing checkpoint v1\0"[..], &[9; 32], &index, &[[1; 32], [2; 32], [3; 32]].concat()]
            .concat();
    let signed = <[u8; 64]>::try_from(signature.signature.as_slice()).unwrap();
    let public = ed25519_zebra::VerificationKey::try_from(key().public().0).unwrap();
    public.verify(&signed.into(), &message).unwrap();
    // What was signed is one realm, one index, three values, and one node's.
    let other = Hash([4; 32]);
    for changed in [
        CheckpointValues { index: 1, ..values },
        CheckpointValues { entry_chain: other, ..values },
        CheckpointValues { result_chain: other, ..values },
        CheckpointValues { state_hash: other, ..values },
    ] {
        assert_eq!(changed.verify(&realm, &signature).unwrap_err().kind, Kind::Denied);
    }
    let elsewhere = values.verify(&RealmId([8; 32]), &signature).unwrap_err();
    assert_eq!(elsewhere.kind, Kind::Denied);
    let node = SecretKey::from_seed(&[8; 32]).public().0.to_vec();
    let stolen = v1::CheckpointSignature { node, ..signature.clone() };
    assert_eq!(values.verify(&realm, &stolen).unwrap_err().kind, Kind::Denied);
    for (node, bytes) in [(31, 64), (32, 63), (0, 0)] {
        let broken = v1::CheckpointSignature {
            node: signature.node[..node].to_vec(),
            signature: signature.signature[..bytes].to_vec(),
        };
        assert_eq!(values.verify(&realm, &broken).unwrap_err().kind, Kind::Invalid);
    }
    let checkpoint = values.with(vec![signature]);
    assert_eq!(CheckpointValues::try_from(&checkpoint), Ok(values));
}

#[test]
fn instructions_that_manage_a_program() {
    let rules = v1::ProgramRules {
        program: "counter".into(),
        owner: Some(vec![0xab; 32]),
        role: Some(String::new()),
        publishers: Some(v1::Publishers { keys: vec![vec![0xcd; 32]] }),
    };
    let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
    let rollback = |image| v1::Rollback { program: "counter".into(), image };
    let name = "0a07636f756e746572";
    for (instruction, method, args) in [
        (sys::rollback(&rollback(None)), "rollback", name.to_owned()),
        (sys::rollback(&rollback(Some(vec![0xcd; 32]))), "rollback", format!("{name}1220{cd}")),
        (sys::disable("counter"), "disable", name.to_owned()),
        (sys::enable("counter"), "enable", name.to_owned()),
        (sys::remove("counter"), "remove", name.to_owned()),
        (sys::program_rules(&rules), "program_rules", format!("{name}1220{ab}1a0022220a20{cd}")),
    ] {
        assert_eq!((instruction.method.as_str(), hex(&instruction.args)), (method, args));
    }
}

#[test]
fn a_message_has_one_encoding() {
    let bytes = entry();
    decode::<v1::Entry>("entry", &bytes).unwrap();
    // A field that we do not know, and one that is given though it is the default.
    for extra in [&[0xf8, 0x07, 0x01][..], &[0x08, 0x00][..]] {
        let error = decode::<v1::Entry>("entry", &[&bytes, extra].concat()).unwrap_err();
        assert!(error.message.contains("canonical"), "{error}");
    }
    // A message cut inside a field is no message.
    for cut in 29..bytes.len() {
        assert!(decode::<v1::Entry>("entry", &bytes[..cut]).is_err(), "cut at {cut}");
    }
}
