//! Limits of a scope, and parts of it that are undone alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, limits};
use althing_state::{Key, Scope, Value, Writes};
use common::Numbers;
use proptest::prelude::*;
use std::sync::Arc;

fn scope() -> Scope {
    let mut writes = Writes::new();
    writes.put(common::key("0"), *b"from below");
    Scope::new(common::memory(writes).view())
}

#[test]
fn keys_and_values_have_limits() {
    let mut scope = scope();
    let longest = Key::new("test", &vec![1; limits::KEY_BYTES_MAX]);
    scope.put(longest.clone(), vec![0; limits::STORED_VALUE_BYTES_MAX]).unwrap();

    let error =
        scope.put(longest.clone(), vec![0; limits::STORED_VALUE_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("1049601 bytes, the limit is 1049600"), "{error}");
    let too_long = Key::new("test", &vec![1; limits::KEY_BYTES_MAX + 1]);
    for error in [scope.put(too_long.clone(), *b""), scope.delete(too_long)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("key of test: 4097 bytes"), "{error}");
    }
    assert_eq!(scope.writes().len(), 1);
}

#[test]
fn all_writes_together_have_a_limit() {
    let mut scope = scope();
    let value: Value = Arc::from(vec![0; limits::STORED_VALUE_BYTES_MAX]);
    let fitting = limits::SCOPE_WRITES_BYTES_MAX / (limits::STORED_VALUE_BYTES_MAX + 10);
    for i in 0..fitting {
        scope.put(common::key(&format!("{i:05}")), value.clone()).unwrap();
    }
    let one_more = common::key("one more");
    let error = scope.put(one_more.clone(), value.clone()).unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(scope.writes().bytes() <= limits::SCOPE_WRITES_BYTES_MAX);

    scope.put(common::key("00000"), value.clone()).unwrap();
    scope.delete(common::key("00000")).unwrap();
    scope.put(one_more, value).unwrap();
}

#[test]
fn a_rolled_back_part_leaves_no_trace() {
    let mut scope = scope();
    scope.put(common::key("1"), *b"outer").unwrap();
    let before = scope.writes().clone();
    let outer = scope.savepoint();
    scope.put(common::key("1"), *b"inner").unwrap();
    scope.delete(common::key("0")).unwrap();
    let inner = scope.savepoint();
    scope.put(common::key("2"), *b"innermost").unwrap();
    scope.release(inner);
    assert_eq!(scope.get(&common::key("0")).unwrap(), None);
    scope.rollback(outer);
    assert_eq!(scope.get(&common::key("0")).unwrap().as_deref(), Some(&b"from below"[..]));
    assert_eq!(scope.into_writes(), before);
}

#[test]
#[should_panic(expected = "reverse order")]
fn savepoints_nest() {
    let mut scope = scope();
    let outer = scope.savepoint();
    let _inner = scope.savepoint();
    scope.release(outer);
}

proptest! {
    /// Savepoints are copies of the writes, taken and put back.
    #[test]
    fn savepoints_are_copies(seed: u64) {
        let mut numbers = Numbers(seed);
        let mut scope = scope();
        let mut open = Vec::new();
        for _ in 0..60 {
            let key = common::key(&numbers.below(4).to_string());
            match numbers.below(6) {
                0 => {
                    let copy = scope.writes().clone();
                    open.push((scope.savepoint(), copy));
                }
                1 => if let Some((savepoint, copy)) = open.pop() {
                    scope.rollback(savepoint);
                    prop_assert_eq!(scope.writes(), &copy);
                    prop_assert_eq!(scope.writes().bytes(), copy.bytes());
                },
                2 => if let Some((savepoint, _)) = open.pop() {
                    let copy = scope.writes().clone();
                    scope.release(savepoint);
                    prop_assert_eq!(scope.writes(), &copy);
                },
                3 => scope.delete(key).unwrap(),
                n => scope.put(key, vec![n as u8; numbers.below(9) as usize]).unwrap(),
            }
        }
    }
}

/// A scope goes into a guest's store by value, and a view to any thread.
#[test]
fn scopes_and_views_travel() {
    fn travels<T: Send + 'static>() {}
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    travels::<Scope>();
    travels::<althing_state::Tip>();
    travels::<althing_state::Flusher>();
    is_shared::<althing_state::View>();
    is_shared::<althing_state::Store>();
}
