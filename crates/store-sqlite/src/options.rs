/// How the store works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Writes, and reads, that wait for their thread; further ones wait before they are taken.
    pub waiting_max: usize,
    /// Commits in one transaction.
    pub group_max: usize,
    /// Length of the write-ahead log, in pages of 4 KiB, from which on it is copied into the database
    /// before the next commit.
    pub checkpoint_pages: u32,
    /// Memory for pages of each of the two connections, in KiB.
    pub cache_kib: u32,
}

impl Default for SqliteOptions {
    /// 1024 waiting writes, 512 commits a transaction, a checkpoint every 16 MiB, 8 MiB of pages.
    fn default() -> Self {
        Self { waiting_max: 1024, group_max: 512, checkpoint_pages: 4096, cache_kib: 8192 }
    }
}
