//! A join token comes through whole or is refused, and lets in one key only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{Contact, JoinToken, Kind, PublicKey, RealmId, SecretKey, limits, sys, v1};
use proptest::prelude::*;

fn token(contacts: usize) -> JoinToken {
    let contact = |n: usize| Contact {
        address: format!("node{n}.lan:{}", 4_100 + n),
        key: PublicKey([n as u8; 32]),
    };
    JoinToken {
        realm: RealmId([9; 32]),
        secret: SecretKey::from_seed(&[7; 32]),
        contacts: (0..contacts).map(contact).collect(),
    }
}

fn refused(text: &str) -> String {
    let error = text.parse::<JoinToken>().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    let told = text.trim().len() > 30 && error.message.contains(text.trim());
    assert!(!told, "a secret was told: {error}");
    error.message
}

fn join() -> v1::MemberJoin {
    let label = v1::Label { name: "gpu".into(), value: "yes".into() };
    token(1).join(&SecretKey::from_seed(&[2; 32]).public(), "pi:4100", vec![label])
}

#[test]
fn the_text_of_a_token() {
    let text = token(1).text();
    assert_eq!(
        *text,
        "althing-join-1.CiAJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCRIgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\
         HBwcHBwcaMgoObm9kZTAubGFuOjQxMDASIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8FJupQ"
    );
}

#[test]
fn it_survives_as_text() {
    for contacts in 1..=limits::JOIN_CONTACTS_MAX {
        let token = token(contacts);
        let read: JoinToken = format!("  {}\n", *token.text()).parse().unwrap();
        assert_eq!((read.realm, &read.contacts), (token.realm, &token.contacts));
        assert_eq!(read.secret.seed(), token.secret.seed());
        assert_eq!(read.invite(), token.invite());
    }
}

#[test]
fn what_is_no_token() {
    for (text, says) in [
        ("", "begin with"),
        ("althing-join-1.", "checksum"),
        ("althing-join-2.AAAA", "begin with"),
        ("althing-join-1.****", "characters"),
    ] {
        assert!(refused(text).contains(says), "{text}: {}", refused(text));
    }
    assert!(refused(&"a".repeat(limits::JOIN_TOKEN_BYTES_MAX + 1)).contains("too long"));
    for contacts in [0, limits::JOIN_CONTACTS_MAX + 1] {
        assert!(refused(&token(contacts).text()).contains("members to ask"));
    }
    let mut nowhere = token(1);
    nowhere.contacts[0].address = "0.0.0.0:1".into();
    assert!(refused(&nowhere.text()).contains("HOST:PORT"));
}

#[test]
fn any_token_cut_short_is_found() {
    let text = token(2).text();
    for cut in 0..text.len() {
        refused(&text[..cut]);
    }
}

/// The bytes that are signed, put together by hand: docs/formats.md has them.
#[test]
fn the_signature_of_a_join() {
    let join = join();
    let (invite, key) = (SecretKey::from_seed(&[7; 32]).public(), SecretKey::from_seed(&[2; 32]));
    let fields = [
        &[0x0a, 32][..],
        &invite.0,
        &[0x12, 32],
        &key.public().0,
        b"\x1a\x07pi:4100",
        b"\x22\x0a\x0a\x03gpu\x12\x03yes",
    ]
    .concat();
    let message = [&b"althing member join v1\0"[..], &[9; 32], &fields].concat();
    let signature = <[u8; 64]>::try_from(join.signature.as_slice()).unwrap();
    let verifying = ed25519_zebra::VerificationKey::try_from(invite.0).unwrap();
    verifying.verify(&signature.into(), &message).unwrap();
    let args = [&fields[..], &[0x2a, 64], &signature].concat();
    let instruction = sys::member_join(&join);
    assert_eq!((instruction.method.as_str(), instruction.args), ("member_join", args));
}

#[test]
fn a_join_is_for_one_realm_and_one_machine() {
    let good = join();
    assert_eq!(good.verify(&RealmId([9; 32])), Ok(()));
    assert_eq!(good.verify(&RealmId([8; 32])).unwrap_err().kind, Kind::Denied);
    let other = SecretKey::from_seed(&[3; 32]).public().0.to_vec();
    for changed in [
        v1::MemberJoin { key: other.clone(), ..good.clone() },
        v1::MemberJoin { invite: other, ..good.clone() },
        v1::MemberJoin { address: "elsewhere:4100".into(), ..good.clone() },
        v1::MemberJoin { labels: Vec::new(), ..good.clone() },
        v1::MemberJoin { signature: good.signature[..63].to_vec(), ..good.clone() },
        v1::MemberJoin { signature: Vec::new(), ..good },
    ] {
        assert_eq!(changed.verify(&RealmId([9; 32])).unwrap_err().kind, Kind::Denied);
    }
}

proptest! {
    #[test]
    fn any_changed_character_is_found(at: prop::sample::Index, to in "[ -~]") {
        let text = token(2).text();
        let (at, to) = (at.index(text.len()), to.as_bytes()[0]);
        prop_assume!(text.as_bytes()[at] != to);
        let mut changed = text.as_bytes().to_vec();
        changed[at] = to;
        refused(std::str::from_utf8(&changed).unwrap());
    }

    #[test]
    fn any_two_characters_swapped_are_found(at in 0_usize..200) {
        let text = token(2).text();
        prop_assume!(at + 1 < text.len() && text.as_bytes()[at] != text.as_bytes()[at + 1]);
        let mut changed = text.as_bytes().to_vec();
        changed.swap(at, at + 1);
        refused(std::str::from_utf8(&changed).unwrap());
    }

    #[test]
    fn any_text_is_no_token(text: String) {
        refused(&text);
        refused(&format!("althing-join-1.{text}"));
    }
}
