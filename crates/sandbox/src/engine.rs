//! Compiling and linking components.

use crate::{
    Allocation, Backend, EngineOptions, Halt,
    cache::{Cache, Facts},
    config::{self, Layout},
    deadline::Queries,
    fault, fuel,
    functions::{Functions, Progress},
    image::{Exports, Image, Linked},
    imports, inspect, meter,
    state::State,
    wasi,
};
use althing_protocol::{Error, Hash};
use std::sync::Arc;
use wasmtime::component::{Component, InstancePre, Linker};

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
    backend: Backend,
    layout: Layout,
    queries: Arc<Queries>,
    linker: Linker<State>,
    functions: Arc<Functions>,
    cache: Option<Cache>,
}

impl Engine {
    /// An engine. One per process is enough, whatever the number of realms.
    ///
    /// # Errors
    /// When the host has not the address space, or the cache directory cannot be used.
    pub fn new(options: &EngineOptions) -> Result<Self, Halt> {
        let halt = |error: wasmtime::Error| Halt::new(format!("engine: {error:#}"));
        let functions = Arc::default();
        let (engine, layout) = reserve(options, &functions).map_err(halt)?;
        let mut linker = Linker::new(&engine);
        imports::define(&mut linker).map_err(halt)?;
        let cache = match &options.cache_dir {
            Some(dir) => Some(Cache::open(dir, &engine)?),
            None => None,
        };
        let instances = layout.slots.unwrap_or(options.instances_max);
        let queries = Arc::new(Queries::new(engine.clone(), instances));
        Ok(Self { engine, backend: options.backend, layout, queries, linker, functions, cache })
    }

    /// What runs the code of guests.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// How it got its memory.
    pub fn allocation(&self) -> Allocation {
        match self.layout {
            Layout { slots: None, .. } => Allocation::OnDemand,
            Layout { full: true, .. } => Allocation::Full,
            Layout { full: false, .. } => Allocation::Small,
        }
    }

    /// Instances that queries may have at once; one more is `exhausted`. The others are kept free
    /// for the apply thread, and for starting images.
    pub fn query_instances_max(&self) -> u32 {
        self.queries.slots_max()
    }

    /// The engine below, with its configuration: what a bare call of it costs is measured beside
    /// ours.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Makes an image of the component `bytes`, whose hash is `hash`: from the cache, else by
    /// [compiling](Self::compile) it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, hash: &Hash, bytes: &[u8]) -> Result<Image, LoadError> {
        match self.cached(hash) {
            Some(image) => Ok(image),
            None => self.compile(hash, bytes, &Arc::default()),
        }
    }

    /// The image with the hash `hash`, when it was compiled before: a matter of milliseconds.
    pub fn cached(&self, hash: &Hash) -> Option<Image> {
        let (component, facts) = self.cache.as_ref()?.get(&self.engine, hash)?;
        self.image(hash, &component, facts).ok()
    }

    /// Compiles the component `bytes`, whose hash is `hash`, starts it once to see that it starts,
    /// and keeps it in the cache. One at a time: the next one waits.
    ///
    /// A function is at most [`FUNCTION_BYTES_MAX`](crate::limits::FUNCTION_BYTES_MAX) long, and their
    /// number is bounded, so it ends; but it takes a while, so it is not for the apply thread.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn compile(
        &self,
        hash: &Hash,
        bytes: &[u8],
        progress: &Arc<Progress>,
    ) -> Result<Image, LoadError> {
        let found = Hash::of(bytes);
        if found != *hash {
            let text = format!("image {hash}: its bytes have the hash {found}; fetch it again");
            return Err(Error::invalid(text).into());
        }
        let inspection = inspect(bytes)?;
        let metered = meter::meter(bytes)?;
        let compile = || Component::new(&self.engine, &metered);
        let compiled = self.functions.during(&metered, self.cache.as_ref(), progress, compile);
        let component = compiled.map_err(|error| {
            if fault::is_node(&error) {
                return LoadError::Halt(Halt::new(format!("compiling image {hash}: {error:#}")));
            }
            Error::invalid(format!("image {hash}: does not compile: {error:#}")).into()
        })?;
        let facts = Facts {
            component_bytes: bytes.len() as u64,
            memory_bytes_min: inspection.memory_bytes_min,
        };
        let image = self.image(hash, &component, facts)?;
        image.linked().try_start()?;
        if let Some(cache) = &self.cache {
            cache.put(hash, &component, facts);
        }
        Ok(image)
    }

    fn image(&self, hash: &Hash, component: &Component, facts: Facts) -> Result<Image, LoadError> {
        let refused = |error: wasmtime::Error| Error::invalid(format!("image {hash}: {error:#}"));
        let pre = self.link(component).map_err(refused)?;
        let exports = Exports::of(component).ok_or_else(|| {
            Error::invalid(format!("image {hash}: has the exports of no kind of program"))
        })?;
        Ok(Image::new(Linked {
            hash: *hash,
            pre,
            exports,
            memory_bytes_min: facts.memory_bytes_min,
            instantiation_fuel: fuel::instantiation(facts.component_bytes),
            nested_start_fuel: fuel::nested_start(facts.component_bytes),
            queries: Arc::clone(&self.queries),
        }))
    }

    /// WASI is defined for each image apart, from what it imports.
    fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<State>> {
        let ty = component.component_type();
        if !ty.imports(&self.engine).any(|(name, _)| wasi::offers(name)) {
            return self.linker.instantiate_pre(component);
        }
        let mut linker = self.linker.clone();
        wasi::define(&mut linker, component)?;
        linker.instantiate_pre(component)
    }
}

/// An engine in the first layout that this system has the address space for.
fn reserve(
    options: &EngineOptions,
    functions: &Arc<Functions>,
) -> wasmtime::Result<(wasmtime::Engine, Layout)> {
    let mut failed = None;
    for layout in config::layouts(options) {
        match wasmtime::Engine::new(&config::config(options, layout, functions)?) {
            Ok(engine) => return Ok((engine, layout)),
            Err(error) => {
                tracing::info!(?layout, error = format!("{error:#}"), "no such memory for guests");
                failed = Some(error);
            }
        }
    }
    Err(failed.unwrap_or_else(|| wasmtime::Error::msg("no way of allocating is left")))
}
