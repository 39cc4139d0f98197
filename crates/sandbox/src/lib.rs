//! The sandbox of replicated guests: WebAssembly that gives the same outcome on every node.
//!
//! ```text
//!   inspect   what a component imports and exports, before anything is compiled
//!   Engine    one configuration, every option set on purpose; compiles, or takes from its cache
//!   Image     a component, linked once; each call gets a fresh instance of it
//!   Call      one of a contract, to which the machine is the Host
//!   Turn      one message of an actor, which is a function of it and of the actor's state
//! ```
//!
//! What a guest does wrong (a trap, an exhausted limit, a broken rule of the canonical ABI) is an
//! [`Error`](althing_protocol::Error) with a text that is the same on every machine: no address, no
//! backtrace. What the node itself cannot do (no memory, no disk) is a [`Halt`], never an outcome.
//!
//! Guests that are not replicated run elsewhere, under another configuration.

mod actor;
mod bounds;
mod cache;
mod call;
mod census;
mod config;
mod deadline;
mod engine;
mod fault;
mod fuel;
mod functions;
mod host;
mod image;
mod imports;
mod inspect;
mod interfaces;
mod meter;
mod options;
mod report;
mod signature;
mod state;
mod wasi;

pub use actor::{ActorLimits, Next, Sent, Turn};
pub use call::{Call, Export, Finished};
pub use deadline::Deadline;
pub use engine::{Engine, LoadError};
pub use functions::Progress;
pub use host::{
    CallContext, Callee, Caller, Deleted, Halt, Host, HostError, Level, Observed, Order, Page,
    Pair, Range,
};
pub use image::Image;
pub use inspect::{Inspection, Kind, inspect};
pub use options::{Allocation, Backend, EngineOptions, Reservation};
pub use report::{Function, Import, Report, report};

/// Limits of the sandbox itself. They belong to the semantics: a node that allowed more would
/// arrive at another outcome.
pub mod limits {
    /// Core modules in a component, with those of the components in it: Python's runtime has 14.
    pub const MODULES_MAX: u32 = 32;
    /// Instances of core modules that an instance of a component is made of.
    pub const CORE_INSTANCES_MAX: u32 = 32;
    /// Instances of components, each with those in it, that an instance is made of.
    pub const COMPONENT_INSTANCES_MAX: u32 = 16;
    /// Component functions that its core modules may call: for one of another component, the engine
    /// compiles code that passes the values, however large their types are.
    pub const LOWERED_MAX: u32 = 2_000;
    /// How deep components hold components.
    pub const COMPONENTS_DEPTH_MAX: usize = 4;
    /// Memories of an instance. One is a guest's own; a runtime's stub may bring an empty one.
    pub const MEMORIES_MAX: u32 = 2;
    /// Tables of an instance.
    pub const TABLES_MAX: u32 = 8;
    /// Elements of one table.
    pub const TABLE_ELEMENTS_MAX: usize = 32_768;
    /// Bytes that a guest can pass to the host at once, or return to it. What is allowed is less,
    /// and depends on what is passed; beyond this, the canonical ABI gives up and the call fails.
    pub const TRANSFER_BYTES_MAX: usize = 2 << 20;
    /// Handles to resources that a call may hold.
    pub const HANDLES_MAX: usize = 1_024;
    /// Functions that the core modules of a component define. Python's runtime has 13,385.
    pub const FUNCTIONS_MAX: u32 = 65_536;
    /// What one core module imports: Python's largest list has 918.
    pub const IMPORTS_MAX: u32 = 8_192;
    /// Globals that one core module defines: Python's linker makes 508.
    pub const GLOBALS_MAX: u32 = 8_192;
    /// Parameters of a core function. Compilers pass what is large in memory: 18 is the most in
    /// Python's runtime. A call copies all of them, so three bytes of code could be a thousand moves.
    pub const PARAMS_MAX: usize = 64;
    /// Results of a core function. Compilers give one.
    pub const RESULTS_MAX: usize = 16;
    /// Locals of a function, without its parameters: Python's runtime has one with 273.
    pub const LOCALS_MAX: usize = 4_096;
    /// Bytes of the body of a function. Compiling takes more time per byte the larger it is. The
    /// largest real ones are straight lists of stores that a linker wrote, 427 KB for Python; an
    /// interpreter's loop has 76 KB in Python, 54 KB in QuickJS.
    pub const FUNCTION_BYTES_MAX: usize = 1 << 20;
    /// Operators of a function, and for each call the values that it passes: 166,865 in that list of
    /// Python's linker, some 40,000 in its interpreter.
    pub const FUNCTION_OPERATORS_MAX: u64 = 1 << 18;
    /// Blocks of a function inside each other: 782 in Python's runtime. Compiling takes time and
    /// memory by the square of it.
    pub const FUNCTION_NESTING_MAX: u64 = 2_048;
    /// Locals (parameters too) times branches of a function: the compiler follows each local through
    /// each branch. Python's interpreter has 188,160.
    pub const FUNCTION_FLOW_MAX: u64 = 1 << 19;
    /// The same in all functions of a component: 5,148,994 in Python's runtime.
    pub const FLOW_MAX: u64 = 1 << 24;
    /// Stack of a call, in slots of the meter: what all frames of a guest may cost together. Frames
    /// of Rust cost 20 to 200, so this is tens of thousands of them. That of QuickJS's interpreter
    /// costs 6,300 (320 nested calls in JavaScript), that of Python's 9,200 (228 nested calls
    /// through C; calls between functions in Python do not nest frames).
    pub const STACK_BUDGET: u32 = 2 << 20;
    /// Bytes of native stack for each slot. The worst function known takes 10.7 (a loop that adds up
    /// constant vectors); ordinary ones take 3 to 6.
    pub const STACK_SLOT_BYTES: usize = 16;
    /// Native stack of a call, in bytes: more than the budget can take, so that the budget always
    /// ends first. The rest is for what the engine itself puts between a guest and the host. The
    /// thread that runs a guest needs this and what the host functions use.
    pub const STACK_BYTES_MAX: usize = STACK_BUDGET as usize * STACK_SLOT_BYTES + (1 << 20);
    /// Stack of a thread that runs guests, in bytes: programs nest, each on a stack of its own
    /// above the host functions of the one that called it.
    pub const THREAD_STACK_BYTES: usize = (althing_protocol::limits::CALL_DEPTH_MAX as usize + 1)
        * (STACK_BYTES_MAX + (512 << 10))
        + (1 << 20);
    /// Instances that queries never take: those of the apply thread with all programs nested, and
    /// that of an image which is tried.
    pub const RESERVED_INSTANCES: u32 = althing_protocol::limits::CALL_DEPTH_MAX + 2;
}
