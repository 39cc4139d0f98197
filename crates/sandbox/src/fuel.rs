//! Prices. One unit of fuel is about a nanosecond of the slowest board we support, for the cheapest
//! operator. They belong to the semantics: a changed price is another outcome.

use wasmtime::{OperatorCost, VariableOperatorCost};

/// Fuel that the instantiation of a component of `bytes` may use: some for its start functions, and
/// enough to copy all its data. It is not charged to the call, since a part of it depends on how the
/// host fills memories. Every instantiation of an image does the same work, for it knows no input:
/// an image that starts once always starts.
pub(crate) fn instantiation(bytes: u64) -> u64 {
    10_000_000 + 2 * bytes
}

/// What it costs a program to have another one started whose component has `bytes`, beside
/// [`PROGRAM`]. A component of 18 MB takes milliseconds, one of 60 KB hardly any time.
pub(crate) fn nested_start(bytes: u64) -> u64 {
    bytes / 4
}

/// Reading who calls, and when.
pub(crate) const CONTEXT: u64 = 500;
/// One read of the state: it may go to the disk.
pub(crate) const DB_READ: u64 = 5_000;
/// One write to the state, with what it costs later: hashing and flushing it.
pub(crate) const DB_WRITE: u64 = 5_000;
/// Each pair of a page, on top of its bytes.
pub(crate) const DB_SCAN_PAIR: u64 = 1_000;
/// One call of another program, beside its image: its grant and its manifest are looked up, it gets a
/// store of its own, and an instance.
pub(crate) const PROGRAM: u64 = 100_000;
/// A hash, whatever its length.
pub(crate) const HASH: u64 = 1_000;
/// A byte hashed with BLAKE3: 250 MB/s on a core of the slowest board.
pub(crate) const BLAKE3_PER_BYTE: u64 = 4;
/// A byte hashed with SHA-256, for which that board has no instructions.
pub(crate) const SHA256_PER_BYTE: u64 = 16;
/// Verifying a signature: 62 us on a desktop's core, and six times that on the slowest board.
pub(crate) const VERIFY: u64 = 400_000;
/// A byte of what was signed, which is hashed with SHA-512.
pub(crate) const VERIFY_PER_BYTE: u64 = 12;
/// One event.
pub(crate) const EMIT: u64 = 2_000;
/// A message that an actor sends: what it costs to keep it until it is delivered.
pub(crate) const SEND: u64 = 10_000;
/// An instance of an actor, beside its image: each has a store of its own, and a message takes two.
/// A core of a desktop takes 10 us.
pub(crate) const INSTANCE: u64 = 50_000;
/// A byte of JSON that is read, and written again in its canonical form: 5 to 25 ns on a desktop's
/// core, for many small members the most.
pub(crate) const JSON_PER_BYTE: u64 = 50;
/// One line of the log.
pub(crate) const LOG: u64 = 1_000;
/// A byte that is copied in or out.
pub(crate) const COPY_PER_BYTE: u64 = 1;
/// A byte that is written to the state: copied, hashed and flushed.
pub(crate) const WRITE_PER_BYTE: u64 = 4;

/// What each operator costs.
///
/// Most cost 1, and those that generate no code nothing. The exceptions are below. The whole table is
/// on record in `tests/semantics-1.txt`: a test fails when the engine changes a price of its own or
/// learns an operator.
pub(crate) fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    macro_rules! set {
        ($price:literal: $($operator:ident)*) => { $(cost.$operator = $price;)* };
    }
    // A call saves and restores registers, checks the stack, and adds its fuel.
    set!(4: Call);
    set!(8: CallIndirect);
    // Division takes tens of cycles on small cores, and so do roots.
    set!(8: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU);
    set!(8: F32Div F64Div F32Sqrt F64Sqrt);
    set!(16: F32x4Div F64x2Div F32x4Sqrt F64x2Sqrt);
    // A load may miss the cache.
    set!(2: I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U);
    set!(2: I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U V128Load);
    // These leave the guest for a function of the host.
    set!(100: MemoryCopy MemoryFill MemoryInit DataDrop);
    set!(100: TableCopy TableFill TableInit TableGrow ElemDrop);
    // Asks the kernel for pages, and every one of them is wiped after the call.
    set!(255: MemoryGrow);
    cost.variable = VariableOperatorCost {
        memory_copy_per_byte: 1,
        memory_fill_per_byte: 1,
        memory_init_per_byte: 1,
        // The most that fits here. What growing can cost in all is bounded by the memory limit.
        memory_grow_per_page: 255,
        table_copy_per_element: 4,
        table_fill_per_element: 4,
        table_init_per_element: 16,
        table_grow_per_element: 16,
        ..VariableOperatorCost::new()
    };
    cost
}
