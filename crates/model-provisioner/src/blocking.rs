use tokio::task::spawn_blocking;

/// Does file work where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work)
        .await
        .expect("file work does not panic, and runtimes end after their callers")
}
