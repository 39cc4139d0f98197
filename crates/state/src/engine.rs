//! The open database, and the one place where it closes.

use crate::error::guarded;
use redb::Database;
use std::ops::{Deref, DerefMut};

/// A database that does not panic when it closes.
///
/// Closing commits what the next start needs to skip a repair, which reads pages that may be
/// damaged; without it, the next start repairs.
pub(crate) struct Engine(Option<Database>);

impl Engine {
    pub(crate) fn new(db: Database) -> Self {
        Self(Some(db))
    }
}

impl Deref for Engine {
    type Target = Database;

    fn deref(&self) -> &Database {
        let Some(db) = &self.0 else { unreachable!("it is taken when it closes") };
        db
    }
}

impl DerefMut for Engine {
    fn deref_mut(&mut self) -> &mut Database {
        let Some(db) = &mut self.0 else { unreachable!("it is taken when it closes") };
        db
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let db = self.0.take();
        let closed = guarded(|| {
            drop(db);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the state was not closed cleanly");
        }
    }
}
