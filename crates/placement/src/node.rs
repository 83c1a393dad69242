use std::sync::Arc;

use crate::{DeviceId, DeviceMemory};

/// A machine that runs pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: Arc<str>,
    /// Whether work may be sent there.
    pub is_online: bool,
    /// Whether its last report is too old to go by.
    pub is_stale: bool,
    /// Its devices; put in order of ids by the snapshot.
    pub devices: Vec<Device>,
}

/// A GPU, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: DeviceId,
    /// `None` where nobody can tell: no driver, no device of this kind.
    pub memory: Option<DeviceMemory>,
}

impl Node {
    /// A node that is online and has no devices.
    #[must_use]
    pub fn online(id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), is_online: true, is_stale: false, devices: Vec::new() }
    }

    /// Free memory of a device in bytes, where it is known.
    #[must_use]
    pub fn free_bytes(&self, device: &DeviceId) -> Option<u64> {
        let device = self.devices.binary_search_by(|one| one.id.cmp(device)).ok()?;
        Some(self.devices[device].memory.as_ref()?.free_bytes())
    }
}
