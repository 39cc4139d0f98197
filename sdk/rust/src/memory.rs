//! The heap of a guest: the allocator that the standard library has for wasm, which first hands out
//! memory that the guest starts with.
//!
//! The library's own grows the memory for its very first byte. Each call is a fresh instance, so
//! each would grow, and shrink again afterwards: two changes of the address space, which take longer
//! than all else that a small call does. Memory that is never touched costs nothing.

#![allow(unsafe_code)]

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32,
    cell::{Cell, UnsafeCell},
    ptr,
};
use dlmalloc::{Allocator, Dlmalloc};

/// What most calls need, in bytes.
const FIRST_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 64 << 10;
/// What the allocator asks for is a multiple of this.
const GRAIN_BYTES: usize = 4 << 10;

#[global_allocator]
static HEAP: Heap =
    Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory { first_used: Cell::new(0) })));

static FIRST: First = First(UnsafeCell::new([0; FIRST_BYTES]));

#[repr(align(4096))]
struct First(UnsafeCell<[u8; FIRST_BYTES]>);

struct Heap(UnsafeCell<Dlmalloc<Memory>>);

struct Memory {
    first_used: Cell<usize>,
}

// SAFETY: guests have one thread (the sandbox refuses shared memory).
unsafe impl Sync for First {}
// SAFETY: as above.
unsafe impl Sync for Heap {}
// SAFETY: as above.
unsafe impl Send for Memory {}

// SAFETY: every piece is handed out once: of `FIRST` the part after `first_used`, which only grows,
// else pages that did not exist before. Both are zero, and stay until the instance ends.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let used = self.first_used.get();
        if size <= FIRST_BYTES - used {
            self.first_used.set(used + size);
            // SAFETY: `used + size` is within `FIRST`.
            return (unsafe { FIRST.0.get().cast::<u8>().add(used) }, size, 0);
        }
        let pages = size.div_ceil(PAGE_BYTES);
        match wasm32::memory_grow(0, pages) {
            usize::MAX => (ptr::null_mut(), 0, 0),
            before => ((before * PAGE_BYTES) as *mut u8, pages * PAGE_BYTES, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        GRAIN_BYTES
    }
}

impl Heap {
    /// # Safety
    /// The reference must be gone before this is called again: no method of the allocator calls
    /// another one of ours that does.
    #[allow(clippy::mut_from_ref)]
    unsafe fn inner(&self) -> &mut Dlmalloc<Memory> {
        // SAFETY: there is one thread, and the caller keeps to the above.
        unsafe { &mut *self.0.get() }
    }
}

// SAFETY: the allocator below keeps the contract, and is given what came from it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.inner().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.inner().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { self.inner().free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.inner().realloc(pointer, layout.size(), layout.align(), size) }
    }
}
