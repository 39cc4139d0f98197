//! What is read from many keys and asked often: kept in memory, and read again when it has changed.

use crate::{Fault, Halt, grants::Read};
use althing_protocol::Hash;
use althing_state::{Key, Scope, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// The last one used. Its version is a value of the state, a hash of all changes so far, each with all
/// that it says: equal versions are equal content, also where a savepoint was rolled back.
#[derive(Debug)]
pub(crate) struct Cached<T>(Mutex<Option<(Value, Arc<T>)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Cached<T> {
    /// What `load` reads, of the version that `state` has at `key`.
    pub(crate) fn get<S: Read>(
        &self,
        state: &S,
        key: &Key,
        load: impl FnOnce(&S) -> Result<T, Halt>,
    ) -> Result<Arc<T>, Halt> {
        let version = state.read(key)?.unwrap_or_default();
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, content)) = &*cached
            && *of == version
        {
            return Ok(Arc::clone(content));
        }
        let content = Arc::new(load(state)?);
        *cached = Some((version, Arc::clone(&content)));
        Ok(content)
    }

    /// Does with what is in memory what was done with the state, if it is what was there before.
    pub(crate) fn amend(&self, versions: Versions, amend: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, content)) = &mut *cached
            && *version == versions.old
        {
            amend(Arc::make_mut(content));
            *version = versions.new;
        }
    }
}

/// Before a change, and after it.
#[derive(Debug)]
pub(crate) struct Versions {
    old: Value,
    new: Value,
}

/// Marks what has its version at `key` as changed by `change`.
pub(crate) fn touch(scope: &mut Scope, key: Key, change: &[u8]) -> Result<Versions, Fault> {
    let old = scope.get(&key)?.unwrap_or_default();
    let new = Value::from(Hash::of(&[&old, change].concat()).0.as_slice());
    scope.put(key, Value::clone(&new))?;
    Ok(Versions { old, new })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grants::Pairs;
    use althing_state::StateError;
    use std::cell::Cell;

    /// A state that has nothing but a version.
    struct At(u8);

    impl Read for At {
        fn read(&self, _: &Key) -> Result<Option<Value>, StateError> {
            Ok(Some(version(self.0)))
        }

        fn pairs(&self, _: &str, _: &[u8], _: usize) -> Result<Pairs, StateError> {
            Ok(Vec::new())
        }
    }

    fn version(n: u8) -> Value {
        Value::from([n])
    }

    #[test]
    fn what_is_amended_is_not_read_again_and_nothing_else_is_amended() {
        let cached = Cached::default();
        let loads = Cell::new(0);
        let get = |at: u8| -> Vec<u8> {
            let load = |_: &At| {
                loads.set(loads.get() + 1);
                Ok(vec![at])
            };
            cached.get(&At(at), &Key::new("k", b""), load).unwrap().to_vec()
        };
        let amend = |old: u8, new: u8| {
            let versions = Versions { old: version(old), new: version(new) };
            cached.amend(versions, |content: &mut Vec<u8>| content.push(new));
        };
        assert_eq!(get(1), [1]);
        amend(1, 2);
        assert_eq!((get(2), loads.get()), (vec![1, 2], 1));
        // It was done to another state than the one in memory.
        amend(1, 3);
        assert_eq!((get(2), loads.get()), (vec![1, 2], 1));
        assert_eq!((get(3), loads.get()), (vec![3], 2));
        // What was amended was rolled back.
        amend(3, 4);
        assert_eq!((get(3), loads.get()), (vec![3], 3));
    }
}
