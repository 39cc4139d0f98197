//! A task that panics ends alone, and quietly: here it is a breach like any other.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Has panics on this thread remembered instead of printed.
pub(crate) fn catch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHES.get() {
                FIRST.with_borrow_mut(|first| {
                    first.get_or_insert_with(|| info.to_string());
                });
            } else {
                print(info);
            }
        }));
    });
    CATCHES.set(true);
    FIRST.set(None);
}

/// The first panic on this thread since it was asked for last. From then on they are printed again.
pub(crate) fn take() -> Option<String> {
    FIRST.take()
}

/// Panics on this thread are printed again.
pub(crate) fn release() {
    CATCHES.set(false);
}
