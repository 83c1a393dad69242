use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// File descriptors that are needed beside those of connections: the store, segments, engines, downloads.
const OWN_DESCRIPTORS: u64 = 256;

/// Raises the soft limit of open files to the hard one, and says what was reached. Where that is too few for
/// the connections that may come, those beyond it wait in the system's queue.
pub(crate) fn raise(connections_max: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        getrlimit(Resource::RLIMIT_NOFILE)
    });
    let needed = (connections_max as u64).saturating_add(OWN_DESCRIPTORS);
    match raised {
        Ok((reached, _)) if reached >= needed => {
            tracing::info!(event = "file_descriptors", reached, needed);
        }
        Ok((reached, _)) => tracing::warn!(
            event = "file_descriptors",
            reached,
            needed,
            "fewer files may be open than server.connections_max asks for; raise the hard limit"
        ),
        Err(error) => {
            tracing::warn!(event = "file_descriptors", %error, "the limit of open files stays as it is");
        }
    }
}
