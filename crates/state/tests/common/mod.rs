//! What the tests share: a disk that can lose power, and entries made of numbers.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod disk;

use althing_protocol::Hash;
use althing_state::{Applied, Key, Scope, Store, Tip, Value, View};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

pub const GENESIS: &[u8] = b"genesis of the test realm";

/// The state as a plain map.
pub type Model = BTreeMap<Key, Vec<u8>>;

/// A repeatable sequence of numbers (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

pub fn key(name: &str) -> Key {
    Key::new("test", name.as_bytes())
}

/// A position that depends on the index alone.
pub fn applied(index: u64) -> Applied {
    if index == 0 {
        return Applied::at_genesis(GENESIS);
    }
    Applied {
        index,
        term: index / 7,
        node: index % 3,
        timestamp_us: index * 1_000,
        entry_chain: Hash::of(&index.to_le_bytes()),
        result_chain: Hash::of(&(!index).to_le_bytes()),
        membership: Arc::from(index.to_le_bytes()),
    }
}

pub fn result(index: u64) -> Vec<u8> {
    format!("result of {index}").into_bytes()
}

/// Runs the next entry: `writes` in one scope, its result, its position.
pub fn entry(tip: &mut Tip, writes: &[(Key, Option<Vec<u8>>)]) {
    let index = tip.applied().index + 1;
    let mut scope = Scope::new(tip.view());
    for (key, value) in writes {
        match value {
            Some(value) => scope.put(key.clone(), value.as_slice()).unwrap(),
            None => scope.delete(key.clone()).unwrap(),
        }
    }
    tip.merge(scope.into_writes());
    tip.record(index, result(index));
    tip.set_applied(applied(index));
}

pub fn apply_to_model(model: &mut Model, writes: &[(Key, Option<Vec<u8>>)]) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(key)),
        }
    }
}

/// A few writes among a few keys of two keyspaces.
pub fn random_writes(numbers: &mut Numbers) -> Vec<(Key, Option<Vec<u8>>)> {
    let write = |numbers: &mut Numbers| {
        let keyspace = ["a", "a.b"][numbers.below(2) as usize];
        let key = Key::new(keyspace, format!("key {}", numbers.below(40)).as_bytes());
        let value = (numbers.below(4) > 0).then(|| {
            let length = [3, 30, 3_000][numbers.below(3) as usize];
            vec![numbers.next() as u8; length]
        });
        (key, value)
    };
    (0..numbers.below(6)).map(|_| write(numbers)).collect()
}

/// Everything in a keyspace.
pub fn all(view: &View, keyspace: &str) -> Vec<(Vec<u8>, Value)> {
    let page = view.scan(keyspace, Bound::Unbounded, b"", usize::MAX, usize::MAX).unwrap();
    assert!(!page.more);
    page.pairs
}

/// The view has the model's pairs in `keyspaces`, by scan and one by one.
pub fn assert_holds(view: &View, model: &Model, keyspaces: &[&str]) {
    for keyspace in keyspaces {
        let wanted = model.iter().filter(|(key, _)| key.keyspace() == *keyspace);
        let wanted: Vec<_> =
            wanted.map(|(key, value)| (key.key().to_vec(), Value::from(&value[..]))).collect();
        assert_eq!(all(view, keyspace), wanted, "{keyspace} of {view:?}");
    }
    for (key, value) in model {
        assert_eq!(view.get(key).unwrap().as_deref(), Some(&value[..]), "{key:?}");
    }
}

/// The state hash of a store that is given the model's pairs and nothing else.
pub fn hash_from_scratch(model: &Model) -> Hash {
    let mut writes = althing_state::Writes::new();
    for (key, value) in model {
        writes.put(key.clone(), value.as_slice());
    }
    memory(writes).state_hash_durable()
}

pub fn memory(writes: althing_state::Writes) -> Store {
    let backend = althing_state::InMemoryBackend::new();
    Store::create_with_backend(backend, GENESIS, writes, &Default::default()).unwrap()
}
