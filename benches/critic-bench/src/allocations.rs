use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes held now, and the most that ever were since the peak was last reset.
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, and a count of what was asked of it by all threads.
pub(crate) struct CountingAllocator;

/// Allocations since the program started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocated(u64);

impl Allocated {
    pub(crate) fn now() -> Self {
        Self(ALLOCATIONS.load(Ordering::Relaxed))
    }

    pub(crate) fn since(self, before: Self) -> u64 {
        self.0 - before.0
    }

    /// The most bytes that some work held at once, beyond those that were held before.
    pub(crate) fn peak_of(work: impl FnOnce()) -> usize {
        let before = HELD.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        work();
        PEAK.load(Ordering::SeqCst).saturating_sub(before)
    }
}

fn grew(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn shrank(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; each call goes to System as it came"
)]
// SAFETY: every method passes its arguments to `System` unchanged and returns its answer unchanged; counting
// changes a few atomics, which allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        grew(new_size);
        shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
