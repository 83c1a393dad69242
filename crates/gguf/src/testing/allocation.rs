use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what the current thread holds.
///
/// A test binary installs it with `#[global_allocator]`; elsewhere nothing is counted.
#[derive(Debug)]
pub struct TrackingAllocator;

impl TrackingAllocator {
    /// Runs `work` and returns what it gave and the most bytes that it held at any moment on this
    /// thread, beyond what the thread held before.
    pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = HELD_BYTES.get();
        PEAK_BYTES.set(before);
        let outcome = work();
        (outcome, (PEAK_BYTES.get() - before).unsigned_abs())
    }

    fn grew(bytes: usize) {
        let held = HELD_BYTES.get().wrapping_add_unsigned(bytes);
        HELD_BYTES.set(held);
        PEAK_BYTES.set(PEAK_BYTES.get().max(held));
    }

    fn shrank(bytes: usize) {
        HELD_BYTES.set(HELD_BYTES.get().wrapping_sub_unsigned(bytes));
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; each call goes to System as it came"
)]
// SAFETY: every method passes its arguments to `System` unchanged and returns its answer unchanged. The
// counters are thread-local cells without a destructor, so they never allocate.
unsafe impl GlobalAlloc for TrackingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::grew(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::grew(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new may both be held while the bytes move.
        Self::grew(new_size);
        Self::shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
