/// Time as the orchestrator needs it.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the machine booted; runs on through suspend, ignores steps of the wall clock.
    fn boot_ms(&self) -> u64;
    /// Wall clock, in milliseconds since 1970.
    fn wall_ms(&self) -> u64;
    /// Which boot [`Self::boot_ms`] counts from; another one after a reboot.
    fn boot_id(&self) -> &str;
}
