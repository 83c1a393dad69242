use std::ptr;

/// Bytes of a line of the cache, on nearly all processors of today.
const LINE_BYTES: usize = 64;

/// Most that is asked for at once, in bytes: a processor remembers some ten lines that it waits for, and what comes
/// too early is gone again when it is needed.
const FETCH_BYTES_MAX: usize = 4096;

/// A range of memory, by its addresses. It keeps nothing alive: where the memory is gone by the time that it is
/// asked for, the hint is worth nothing and does no harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// 0 where nothing is meant.
    address: usize,
    bytes: usize,
}

impl Lines {
    /// No memory at all.
    pub const NONE: Self = Self { address: 0, bytes: 0 };

    /// Everything of a value, but nothing that it points to.
    #[must_use]
    pub fn of<T: ?Sized>(value: &T) -> Self {
        Self { address: ptr::from_ref(value).addr(), bytes: size_of_val(value) }
    }

    /// So many bytes from an address on.
    #[must_use]
    pub fn at<T>(address: *const T, bytes: usize) -> Self {
        Self { address: address.addr(), bytes }
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        self.bytes
    }

    /// At most so many bytes from its start.
    #[must_use]
    pub fn first(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }

    /// Asks the processor to bring it near, its first 4 KiB at most, and waits for nothing. On processors other
    /// than those of x86-64 it does nothing.
    pub fn fetch(self) {
        if self.address == 0 {
            return;
        }
        let end = self.address.saturating_add(self.bytes.min(FETCH_BYTES_MAX));
        for line in (self.address & !(LINE_BYTES - 1)..end).step_by(LINE_BYTES) {
            fetch_line(line);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the safe hint of the standard library is not stable yet")]
fn fetch_line(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: the instruction is part of every x86-64 processor, and reads or writes nothing that a program
    // can see: an address that is not mapped is passed over.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(address)) }
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch_line(_address: usize) {}
