//! How the heap gives memory back: an import shall take little, and training shall be fast.

/// While it lives, every large tensor has pages of its own, which go back to the system with it.
///
/// On the heap the activations of one evaluation leave holes that those of the next, of another batch size, do not fit into, and
/// an import takes up to twice the memory.
pub(super) struct LargeBlocksApart;

impl LargeBlocksApart {
    pub(super) fn begin() -> Self {
        set(Keep { own_pages_from: 1 << 20, mappings: 1 << 16, free_at_the_end: 1 << 20 });
        Self
    }
}

impl Drop for LargeBlocksApart {
    fn drop(&mut self) {
        keep_pages();
    }
}

/// Large tensors come from the heap from now on, and the heap keeps what they leave for the next step. Pages that go back to the system
/// with every tensor come back one by one and cleared: two thirds of the time of the job in `engine/tests/engine/large_data.rs`.
pub fn keep_pages() {
    set(Keep { own_pages_from: 32 << 20, mappings: 0, free_at_the_end: i32::MAX });
}

/// What the allocator of glibc can be told.
#[derive(Clone, Copy)]
struct Keep {
    /// Bytes from which on a block has pages of its own.
    own_pages_from: i32,
    /// How many blocks may have pages of their own.
    mappings: i32,
    /// Bytes that stay free at the end of the heap.
    free_at_the_end: i32,
}

#[cfg(target_env = "gnu")]
fn set(keep: Keep) {
    // SAFETY: takes values only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, keep.own_pages_from);
        libc::mallopt(libc::M_MMAP_MAX, keep.mappings);
        libc::mallopt(libc::M_TRIM_THRESHOLD, keep.free_at_the_end);
    }
}

/// Gives back the pages of the heap that nothing is left on.
#[cfg(target_env = "gnu")]
pub(super) fn return_small_blocks() {
    // SAFETY: takes no pointer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn set(_keep: Keep) {}

#[cfg(not(target_env = "gnu"))]
pub(super) fn return_small_blocks() {}
