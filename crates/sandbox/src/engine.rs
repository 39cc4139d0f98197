//! Compiling and linking components.

use crate::{
    Halt,
    cache::Cache,
    call::{Image, Linked, State},
    config, fault, fuel, imports, inspect,
};
use althing_protocol::{Error, Hash};
use std::path::PathBuf;
use wasmtime::component::{Component, Linker};

/// How a node runs its guests. None of it changes what a guest computes or costs.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Instances live in slots that are reserved once and reused: half the time of a call, and
    /// 4 GiB of address space for each slot. Default: true.
    pub pooling: bool,
    /// Slots of the pool: the calls that may run at once, the apply thread's and queries together.
    /// One more gets a [`Halt`], so bound the queries below this. Default: 32.
    pub instances_max: u32,
    /// Where compiled images are kept between starts; without it, each start compiles them again.
    /// The directory is made, and kept to its owner (0700): what lies in it is run.
    pub cache_dir: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { pooling: true, instances_max: 32, cache_dir: None }
    }
}

/// Why an image was not loaded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot run here or anywhere.
    #[error(transparent)]
    Refused(#[from] Error),
    /// This node cannot run it now.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// Compiles components under the one configuration of replicated guests.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
}

impl Engine {
    /// An engine. One per process is enough, whatever the number of realms.
    ///
    /// # Errors
    /// When the host has not the address space, or the cache directory cannot be used.
    pub fn new(options: &EngineOptions) -> Result<Self, Halt> {
        let halt = |error: wasmtime::Error| Halt::new(format!("engine: {error:#}"));
        let engine = wasmtime::Engine::new(&config::config(options)).map_err(halt)?;
        let mut linker = Linker::new(&engine);
        imports::define(&mut linker).map_err(halt)?;
        let cache = match &options.cache_dir {
            Some(dir) => Some(Cache::open(dir, &engine)?),
            None => None,
        };
        Ok(Self { engine, linker, cache })
    }

    /// The engine below, with its configuration: what a bare call of it costs is measured beside
    /// ours.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Makes an image of the component `bytes`, whose hash is `hash`, and starts it once to see
    /// that it starts.
    ///
    /// Compiles for a while when the image is not in the cache: not for the apply thread.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, hash: &Hash, bytes: &[u8]) -> Result<Image, LoadError> {
        let found = Hash::of(bytes);
        if found != *hash {
            let text = format!("image {hash}: its bytes have the hash {found}; fetch it again");
            return Err(Error::invalid(text).into());
        }
        let inspection = inspect(bytes)?;
        let component = self.component(hash, bytes)?;
        let refused = |error: wasmtime::Error| Error::invalid(format!("image {hash}: {error:#}"));
        let pre = self.linker.instantiate_pre(&component).map_err(refused)?;
        let export = |name| {
            component
                .get_export_index(None, name)
                .ok_or_else(|| Error::invalid(format!("image {hash}: exports no `{name}`")))
        };
        let image = Image::new(Linked {
            hash: *hash,
            pre,
            apply: export("apply")?,
            query: export("query")?,
            memory_bytes_min: inspection.memory_bytes_min,
            instantiation_fuel: fuel::instantiation(bytes.len()),
        });
        image.try_start()?;
        Ok(image)
    }

    fn component(&self, hash: &Hash, bytes: &[u8]) -> Result<Component, LoadError> {
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.get(&self.engine, hash))
        {
            return Ok(component);
        }
        let component = Component::new(&self.engine, bytes).map_err(|error| {
            if fault::is_node(&error) {
                return LoadError::Halt(Halt::new(format!("compiling image {hash}: {error:#}")));
            }
            Error::invalid(format!("image {hash}: does not compile: {error:#}")).into()
        })?;
        if let Some(cache) = &self.cache {
            cache.put(hash, &component);
        }
        Ok(component)
    }
}
