//! Deleting by prefix, and what it costs.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Kind, limits};
use althing_sandbox::{Call, Image};
use common::{FUEL, Memory, apply, fails, image};

/// Deletes at most `limit` keys of the prefix `args`; answers with the number and whether there are
/// more.
fn deleting(limit: u32) -> Image {
    let body = format!(
        "(call $delete-prefix (local.get $args) (local.get $len) (i32.const {limit})
           (global.get $ret))
         (if (i32.load8_u (global.get $ret))
           (then (return (call $told (i32.const 0)))))
         (call $ok (i32.add (global.get $ret) (i32.const 4)) (i32.const 5))"
    );
    image("", &body)
}

fn filled(keys: u32, value_bytes: usize) -> Memory {
    let db =
        (0..keys).map(|key| ([b"k", &key.to_be_bytes()[..]].concat(), vec![0; value_bytes].into()));
    Memory { db: db.collect(), ..Memory::default() }
}

fn answer(bytes: &[u8]) -> (u32, bool) {
    (u32::from_le_bytes(bytes[..4].try_into().unwrap()), bytes[4] == 1)
}

#[test]
fn deletes_the_first_ones_and_says_whether_there_are_more() {
    let rich = |args| Call { fuel: 400_000_000, ..apply(args) };
    for (keys, limit, deleted, more) in [
        (0, 10, 0, false),
        (3, 10, 3, false),
        (10, 10, 10, false),
        (11, 10, 10, true),
        (5, 0, 0, true),
        (2_500, 2_500, 2_500, false),
        (2_500, 2_400, 2_400, true),
        (10_001, u32::MAX, 10_000, true),
    ] {
        let mut host = filled(keys, 1);
        host.db.insert(b"other".to_vec(), vec![].into());
        let (host, finished) = deleting(limit).call(host, rich(b"k"));
        let finished = finished.unwrap();
        assert_eq!(answer(&finished.output.unwrap()), (deleted, more), "{keys} {limit}");
        assert_eq!(host.db.len() as u32, keys - deleted + 1);
        assert!(finished.fuel_used >= u64::from(deleted) * 5_000);
    }
    assert_eq!(limits::DELETE_PREFIX_KEYS_MAX, 10_000);
}

#[test]
fn what_fuel_does_not_reach_for_fails_as_a_whole() {
    let (_, finished) = deleting(u32::MAX).call(filled(20_000, 1), apply(b"k"));
    let finished = finished.unwrap();
    assert_eq!(finished.output.unwrap_err().kind, Kind::Exhausted);
    assert_eq!(finished.fuel_used, FUEL);
    // Values that have to be read are paid for.
    let one = |bytes| deleting(1).call(filled(1, bytes), apply(b"k")).1.unwrap().fuel_used;
    assert_eq!(one(1_000_000) - one(0), 1_000_000);
}

#[test]
fn a_prefix_may_be_as_long_as_a_key() {
    let long = vec![b'k'; limits::KEY_BYTES_MAX + 1];
    let (_, finished) = deleting(1).call(Memory::default(), apply(&long[1..]));
    assert!(finished.unwrap().output.is_ok());
    let (error, _) = fails(&deleting(1), apply(&long));
    assert!(error.message.contains("prefix of db.delete-prefix: 4097 bytes"), "{error}");
}
