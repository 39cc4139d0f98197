//! Images: from blobs, through the sandbox, kept compiled.

use althing_blobs::Blobs;
use althing_machine::{Halt, Images};
use althing_protocol::{Error, Hash, Result};
use althing_sandbox::{Engine, Image, LoadError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Compiled images in memory; beyond it those that were not asked for are dropped first.
const COMPILED_MAX: usize = 64;

/// The images of this node.
pub(crate) struct NodeImages {
    blobs: Arc<Blobs>,
    engine: Engine,
    compiled: Mutex<HashMap<Hash, Arc<Image>>>,
}

impl NodeImages {
    pub(crate) fn new(blobs: Arc<Blobs>, engine: Engine) -> Self {
        Self { blobs, engine, compiled: Mutex::default() }
    }

    /// Whether the bytes are here.
    pub(crate) fn is_present(&self, hash: &Hash) -> bool {
        self.compiled().contains_key(hash) || self.blobs.size(hash).is_ok_and(|size| size.is_some())
    }

    /// The compiled image, compiling it if need be. The inner error is the sandbox's refusal.
    fn load(&self, hash: &Hash) -> Result<Result<Arc<Image>>, Halt> {
        if let Some(image) = self.compiled().get(hash) {
            return Ok(Ok(Arc::clone(image)));
        }
        let bytes = self.blobs.get(hash).map_err(|e| Halt::new(format!("image {hash}: {e}")))?;
        let bytes = bytes.ok_or_else(|| {
            Halt::new(format!("image {hash}: missing on this node; upload it again, then restart"))
        })?;
        let image = match self.engine.load(hash, &bytes) {
            Ok(image) => Arc::new(image),
            Err(LoadError::Refused(error)) => return Ok(Err(error)),
            Err(LoadError::Halt(halt)) => return Err(halt.into()),
        };
        let mut compiled = self.compiled();
        if compiled.len() >= COMPILED_MAX {
            compiled.retain(|_, image| Arc::strong_count(image) > 1);
        }
        compiled.insert(*hash, Arc::clone(&image));
        Ok(Ok(image))
    }

    /// What the door asks before it proposes to stage an image.
    ///
    /// # Errors
    /// `not-found` when it was not uploaded, or the sandbox's refusal.
    pub(crate) fn check(&self, hash: &Hash) -> Result<()> {
        if !self.is_present(hash) {
            return Err(Error::not_found(format!(
                "image {hash}: not on this node; upload it first, `althing deploy` does"
            )));
        }
        self.load(hash).map_err(crate::halt::internal)?.map(drop)
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, Arc<Image>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Images for NodeImages {
    fn image(&self, hash: &Hash) -> Result<Result<Arc<Image>>, Halt> {
        self.load(hash)
    }
}
