use crate::ReplicaKey;

/// Where `round-robin` stands: it goes on behind the replica that it chose last, whether or not that one is
/// still there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor(pub Option<ReplicaKey>);
