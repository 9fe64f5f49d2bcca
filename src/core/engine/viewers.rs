//! The viewers of a worker, found by their session's key without hashing: they are visited for every packet.

use crate::core::egress::Viewer;

#[derive(Default)]
pub(super) struct Viewers {
    /// Indexed by the session's key.
    slots: Vec<Option<Viewer>>,
}

impl Viewers {
    pub fn insert(&mut self, key: usize, viewer: Viewer) {
        while self.slots.len() <= key {
            self.slots.push(None);
        }
        if let Some(slot) = self.slots.get_mut(key) {
            *slot = Some(viewer);
        }
    }

    #[inline]
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Viewer> {
        self.slots.get_mut(key)?.as_mut()
    }

    pub fn get(&self, key: usize) -> Option<&Viewer> {
        self.slots.get(key)?.as_ref()
    }

    pub fn remove(&mut self, key: usize) -> Option<Viewer> {
        self.slots.get_mut(key)?.take()
    }
}
