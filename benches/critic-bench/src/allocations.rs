use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Whether anything is counted. Counters that two threads share cost each of them more than an allocation does, so
/// nothing is while times are taken.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes held beyond those at the start of the count, and the most that ever were.
static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, and a count of what was asked of it by all threads.
pub(crate) struct CountingAllocator;

/// What some work asked of the allocator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocated {
    pub(crate) count: u64,
    /// The most bytes that it held at once.
    pub(crate) peak_bytes: i64,
}

impl Allocated {
    /// Counts what all threads ask for while some work is done.
    pub(crate) fn by(work: impl FnOnce()) -> Self {
        ALLOCATIONS.store(0, Ordering::SeqCst);
        HELD.store(0, Ordering::SeqCst);
        PEAK.store(0, Ordering::SeqCst);
        IS_COUNTING.store(true, Ordering::SeqCst);
        work();
        IS_COUNTING.store(false, Ordering::SeqCst);
        Self { count: ALLOCATIONS.load(Ordering::SeqCst), peak_bytes: PEAK.load(Ordering::SeqCst) }
    }
}

fn grew(bytes: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        let bytes = signed(bytes);
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK.fetch_max(held, Ordering::Relaxed);
    }
}

fn shrank(bytes: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        HELD.fetch_sub(signed(bytes), Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
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
